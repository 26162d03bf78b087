use std::fs;
use std::process::Command;

use crate::support::{Sandbox, project, result, stdout};

const DOMAIN: &str = "fleet.example";
/// The DNS server's address, which all hosts reach.
const SERVER: &str = "10.9.0.53";

/// A DNS server and three hosts, each in namespaces of its own, joined by three cables.
fn fleet() -> (Sandbox, Vec<Sandbox>) {
    let dns = Sandbox::own("fleet");
    ip(&dns, &format!("address add {SERVER}/32 dev lo"));
    let mut hosts = Vec::new();
    for number in 1..=3 {
        let host = Sandbox::own("fleet");
        let pid = host.pid();
        ip(&dns, &format!("link add port{number} type veth peer name uplink netns {pid}"));
        ip(&dns, &format!("address add 10.9.{number}.1/30 dev port{number}"));
        ip(&dns, &format!("link set port{number} up"));
        ip(&host, &format!("address add 10.9.{number}.2/30 dev uplink"));
        ip(&host, "link set uplink up");
        ip(&host, &format!("route add default via 10.9.{number}.1"));
        host.root(&format!("hostname web{number}; echo nameserver {SERVER} >/etc/resolv.conf"));
        hosts.push(host);
    }
    serve(&dns);
    (dns, hosts)
}

/// Sets up the network of a sandbox, with the host's ip(8): the numbers of processes are the host's.
fn ip(sandbox: &Sandbox, args: &str) {
    let mut command = Command::new("nsenter");
    command.args(["--net", "--target", &sandbox.pid().to_string(), "ip"]);
    stdout(&command.args(args.split(' ')).output().unwrap());
}

/// One zone that takes updates from the host itself.
fn serve(dns: &Sandbox) {
    dns.root(&format!(
        "mkdir /tmp/knot && cd /tmp/knot
         printf '$ORIGIN {DOMAIN}.\\n$TTL 1\\n@ SOA ns root 1 1 1 1 1\\n@ NS ns\\nns A {SERVER}\\n' >{DOMAIN}.zone
         cat >knot.conf <<'CONF'
server:
    rundir: /tmp/knot
    listen: {SERVER}
    user: root
database:
    storage: /tmp/knot
acl:
  - id: here
    address: {SERVER}
    action: update
zone:
  - domain: {DOMAIN}
    storage: /tmp/knot
    acl: here
CONF
         knotd -c knot.conf -d >/dev/null"
    ));
}

/// The one change for all hosts, from what each of them shows.
fn publish(dns: &Sandbox, hosts: &[Sandbox]) {
    let mut files = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let records = host.root("dkimctl record --all --json");
        assert!(!records.contains("PRIVATE"), "{records}");
        let file = format!("/tmp/host{number}.json");
        dns.write(&file, &records);
        files.push(file);
    }
    let files = files.join(" ");
    dns.root(&format!(
        "{{ echo server {SERVER}; dkimctl record --merge {files} --format nsupdate; }} | nsupdate"
    ));
}

/// The selector that a host's mail is signed with; all verifiers take it.
fn signed(host: &Sandbox) -> String {
    let recipient = host.recipient();
    let script = format!("echo x | bsd-mailx -s x -r a@{DOMAIN} {recipient}");
    stdout(&host.sh("www-data", &script, b""));
    let verdicts = host.verify(&host.received(&recipient));
    assert!(verdicts.all("pass"), "{verdicts}");
    verdicts.selector()
}

#[test]
#[ignore = "needs root"]
fn three_hosts_sign_for_one_domain_with_a_key_each_and_one_change_of_the_zone() {
    let (dns, hosts) = fleet();
    for host in &hosts {
        host.root(&format!("dkimctl genkey -d {DOMAIN} -s $(hostname -s)-old"));
    }
    publish(&dns, &hosts);
    let selectors: Vec<String> = hosts.iter().map(signed).collect();
    assert_eq!(selectors, ["web1-old", "web2-old", "web3-old"]);
    for host in &hosts {
        host.root("dkimctl testkey");
    }
    // The name of a selector is the month: it may end while the hosts rotate.
    let month = || dns.root("date -u +%Y%m").trim().to_owned();
    let before = month();
    // Each rotates by itself; the same change, again, lets all of them go on.
    let rotate = |host: &Sandbox| -> String {
        let shown = host.root(&format!("dkimctl rotate {DOMAIN} --json"));
        let reports = result(shown);
        reports[0]["stage"].as_str().unwrap().to_owned()
    };
    assert_eq!(hosts.iter().map(rotate).collect::<Vec<_>>(), ["pending"; 3]);
    assert_eq!(hosts.iter().map(signed).collect::<Vec<_>>(), selectors);
    publish(&dns, &hosts);
    assert_eq!(hosts.iter().map(rotate).collect::<Vec<_>>(), ["retiring"; 3]);
    let months = [before, month()];
    for (number, host) in (1..).zip(&hosts) {
        let selector = signed(host);
        let is_of = |month| selector == format!("web{number}-{month}");
        assert!(months.iter().any(is_of), "{selector}, not of {months:?}");
    }
    // The zone holds all keys, and no host more than its own.
    let read = "knotc -c /tmp/knot/knot.conf zone-read";
    assert_eq!(dns.root(&format!("{read} {DOMAIN} | grep -c 'TXT.*DKIM1'")), "6\n");
    for host in &hosts {
        let keys = host.root(&format!("ls /etc/sendmail-dkim/keys/{DOMAIN}/*.private | wc -l"));
        assert_eq!(keys, "2\n");
    }
}

#[test]
fn the_text_on_fleets_calls_what_there_is() {
    let text = fs::read_to_string(project("docs/fleet.md")).unwrap();
    let mut calls = 0;
    for line in text.lines().filter(|line| line.starts_with("    ")) {
        for call in line.split("dkimctl ").skip(1) {
            let words: Vec<&str> =
                call.split([' ', '|', ';', '>']).filter(|word| !word.is_empty()).collect();
            let help =
                Command::new(env!("CARGO_BIN_EXE_dkimctl")).args([words[0], "--help"]).output();
            let common = Command::new(env!("CARGO_BIN_EXE_dkimctl")).arg("--help").output();
            let help = stdout(&help.unwrap()) + &stdout(&common.unwrap());
            for option in words
                .iter()
                .take_while(|word| **word != "nsupdate")
                .filter(|word| word.starts_with("--"))
            {
                assert!(help.contains(option), "{line}: {option}");
            }
            calls += 1;
        }
    }
    assert!(calls >= 6, "{calls}");
}
