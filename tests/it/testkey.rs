use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Sandbox, Stage, reported};

/// Its selectors are the cases.
const DOMAIN: &str = "testkey.test";

/// What is published for one selector, and what is to be said of it.
struct Case {
    selector: &'static str,
    /// The strings of each TXT record; `F` stands for the first 200 characters of
    /// the key, `R` for the rest; `OF` and `OR` for those of another selector.
    records: &'static [&'static [&'static str]],
    outcome: &'static str,
    /// The names of what was found.
    findings: &'static [&'static str],
    /// A part of the message.
    says: &'static str,
}

const fn case(
    selector: &'static str,
    records: &'static [&'static [&'static str]],
    outcome: &'static str,
    findings: &'static [&'static str],
    says: &'static str,
) -> Case {
    Case { selector, records, outcome, findings, says }
}

const CASES: [Case; 30] = [
    case("right", &[&["v=DKIM1; k=rsa; p=F", "R"]], "ok", &[], ""),
    case("noname", &[&["v=DKIM1;=rsa; p=F", "R"]], "wrong", &["lost-name"], "should be k=rsa"),
    case(
        "nosep",
        &[&["v=DKIM1 k=rsa; p=F", "R"]],
        "wrong",
        &["no-separator"],
        "no \";\" before k=",
    ),
    case(
        "quotes",
        &[&["\\\"v=DKIM1; k=rsa; \\\" \\\"p=F", "R\\\""]],
        "wrong",
        &["quotes"],
        "quotes",
    ),
    case(
        "escape",
        &[&["v=DKIM1\\\\; k=rsa\\\\; p=F", "R"]],
        "wrong",
        &["backslash"],
        "\\; in the record",
    ),
    case(
        "doubled",
        &[],
        "unavailable",
        &["elsewhere"],
        "doubled._domainkey.testkey.test.testkey.test",
    ),
    case(
        "two",
        &[&["v=DKIM1; p=F", "R"], &["v=spf1 -all"]],
        "wrong",
        &["several-records"],
        "2 TXT records",
    ),
    case(
        "pieces",
        &[&["v=DKIM1; k=rsa; p=F"], &["R"]],
        "wrong",
        &["pieces"],
        "as 2 separate TXT records",
    ),
    case("blank", &[&["v=DKIM1; k=rsa; p=F ", "R"]], "ok", &["blank-in-key"], "a space inside p="),
    case("cut", &[&["v=DKIM1; k=rsa; p=F"]], "wrong", &["cut"], "p= is cut off after 200 of 392"),
    case("revoked", &[&["v=DKIM1; k=rsa; p="]], "wrong", &["revoked"], "revoked"),
    case(
        "type",
        &[&["v=DKIM1; k=ed25519; p=F", "R"]],
        "wrong",
        &["key-type"],
        "k=ed25519, but the key on disk is rsa",
    ),
    case("hash", &[&["v=DKIM1; h=sha1; p=F", "R"]], "wrong", &["hash"], "h=sha1"),
    case("service", &[&["v=DKIM1; s=tlsrpt; p=F", "R"]], "wrong", &["service"], "s=tlsrpt"),
    case("testing", &[&["v=DKIM1; t=y; p=F", "R"]], "ok", &["testing"], "t=y"),
    case(
        "strict",
        &[&["v=DKIM1; t=s; p=F", "R"]],
        "wrong",
        &["strict"],
        "\"identity\" is of a subdomain",
    ),
    case(
        "alias",
        &[],
        "ok",
        &["alias"],
        "a chain of aliases (CNAME): a1.testkey.test, then a2.testkey.test",
    ),
    case("dangling", &[], "unavailable", &["no-record"], "an alias of nowhere.testkey.test"),
    case(
        "other",
        &[&["v=DKIM1; k=rsa; p=OF", "OR"]],
        "wrong",
        &["other-key"],
        "that of selector right",
    ),
    case("absent", &[], "unavailable", &["no-record"], "there is no record"),
    case(
        "target",
        &[&["s1.dkim.provider.test."]],
        "wrong",
        &["cname-target"],
        "publish it as a CNAME record",
    ),
    case(
        "upper",
        &[&["V=DKIM1; k=rsa; P=F", "R"]],
        "wrong",
        &["letters", "letters"],
        "should be v=DKIM1",
    ),
    case("bare", &[&["F", "R"]], "wrong", &["bare-key"], "write p= and the key"),
    case("barekey", &[&["v=DKIM1; k=rsa; F", "R"]], "wrong", &["bare-key"], "write p= and the key"),
    case(
        "pem",
        &[&["v=DKIM1; p=-----BEGIN PUBLIC KEY-----F", "R-----END PUBLIC KEY-----"]],
        "wrong",
        &["pem"],
        "publish only the text between them",
    ),
    case("dmarc", &[&["v=DMARC1; p=none"]], "wrong", &["misplaced"], "a DMARC record instead"),
    case("spf", &[&["v=spf1 mx -all"]], "wrong", &["misplaced"], "an SPF record instead"),
    case("short", &[], "unavailable", &["elsewhere"], "the record is at short.testkey.test"),
    case(
        "www",
        &[],
        "unavailable",
        &["elsewhere"],
        "publish it at www._domainkey.testkey.test instead",
    ),
    case("underscore", &[], "unavailable", &["elsewhere"], "at underscore.domainkey.testkey.test"),
];

/// The text of p= of a selector on the disk of the sandbox.
fn key(sandbox: &Sandbox, selector: &str) -> String {
    let pem = format!("/etc/sendmail-dkim/keys/{DOMAIN}/{selector}.txt");
    let text = fs::read_to_string(sandbox.path(&pem)).unwrap();
    let strings: Vec<&str> = text.split('"').collect();
    let joined: String = strings.iter().skip(3).step_by(2).copied().collect();
    joined.strip_prefix("p=").unwrap().to_owned()
}

fn publish(sandbox: &Sandbox) {
    let right = key(sandbox, "right");
    let (right_first, right_rest) = right.split_at(200);
    let mut zone =
        "alias._domainkey CNAME a1\na1 CNAME a2\ndangling._domainkey CNAME nowhere\n".to_owned();
    for case in &CASES {
        let key = key(sandbox, case.selector);
        let (first, rest) = key.split_at(200);
        let text = |string: &str| {
            let string = string.replace("p=F", &format!("p={first}"));
            let string = string.replace("P=F", &format!("P={first}"));
            let string = string.replace("----F", &format!("----{first}"));
            let string = string.replace("; F", &format!("; {first}"));
            let string = if string == "F" { first.to_owned() } else { string };
            let string = string.replace("p=OF", &format!("p={right_first}"));
            match string.strip_prefix('R') {
                Some(end) => format!("\"{rest}{end}\""),
                None if string == "OR" => format!("\"{right_rest}\""),
                None => format!("\"{string}\""),
            }
        };
        let mut entry = |name: &str, strings: &[&str]| {
            let strings: Vec<_> = strings.iter().map(|string| text(string)).collect();
            zone.push_str(&format!("{name} TXT {}\n", strings.join(" ")));
        };
        let name = format!("{}._domainkey", case.selector);
        for strings in case.records {
            entry(&name, strings);
        }
        let whole = ["v=DKIM1; k=rsa; p=F", "R"];
        match case.selector {
            "doubled" => entry(&format!("{name}.{DOMAIN}"), &whole),
            "alias" => entry("a2", &whole),
            "short" => entry("short", &whole),
            "www" => entry("www._domainkey.www", &whole),
            "underscore" => entry("underscore.domainkey", &whole),
            _ => {}
        }
    }
    sandbox.write("/tmp/testkey.zone", &zone);
    sandbox.publish(DOMAIN, "/tmp/testkey.zone");
}

fn testkey(sandbox: &Sandbox, args: &str) -> Output {
    sandbox.sh("root", &format!("dkimctl testkey {args}"), b"")
}

/// A domain with a key for each case, and i= below d=.
fn set_up(sandbox: &Sandbox) {
    let names: Vec<String> = CASES.iter().map(|case| format!("{:?}", case.selector)).collect();
    for case in &CASES {
        sandbox.root(&format!("dkimctl genkey -d {DOMAIN} -s {}", case.selector));
    }
    // No list may have more than ten.
    let lists: Vec<String> = names.chunks(10).map(|names| names.join(", ")).collect();
    let rules = lists.iter().skip(1).zip(0..).map(|(list, number)| {
        format!("[[sign]]\nfrom = \"x{number}@{DOMAIN}\"\nselectors = [{list}]\n")
    });
    let file = format!(
        "selectors = [{}]\nidentity = \"@sub.{DOMAIN}\"\n{}",
        lists[0],
        rules.collect::<String>()
    );
    sandbox.write(&format!("/etc/sendmail-dkim/domains/{DOMAIN}.toml"), &file);
}

#[test]
#[ignore = "needs root"]
fn every_mistake_is_named_in_one_run_and_the_worst_gives_the_exit_code() {
    let sandbox = Sandbox::own("testkey");
    set_up(&sandbox);
    publish(&sandbox);
    let output = testkey(&sandbox, "--json");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let (all, findings) = reported(&output.stdout);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), CASES.len());
    for (case, tested) in CASES.iter().zip(all) {
        assert_eq!(tested["selector"], case.selector);
        assert_eq!(tested["outcome"], case.outcome, "{tested:#}");
        let findings = findings.iter().filter(|one| one["subject"] == tested["name"]);
        let findings: Vec<_> = findings.collect();
        let names: Vec<_> = findings.iter().map(|one| one["code"].as_str().unwrap()).collect();
        let dangling = case.selector == "dangling";
        let wanted = if dangling { &["alias", "no-record"] } else { case.findings };
        assert_eq!(names, wanted, "{tested:#}");
        let said = findings.iter().any(|one| one["evidence"].as_str().unwrap().contains(case.says));
        assert!(said || findings.is_empty(), "{tested:#}");
    }
    // The same for people.
    let text = String::from_utf8(testkey(&sandbox, "--server 127.0.0.1").stdout).unwrap();
    for case in &CASES {
        let line =
            format!("{}._domainkey.{DOMAIN}: {} (DNSSEC: unsigned)\n", case.selector, case.outcome);
        assert!(text.contains(&line), "{line}{text}");
        assert!(text.contains(case.says), "{}: {text}", case.says);
    }
}

#[test]
#[ignore = "needs root"]
fn each_exit_code_tells_the_truth() {
    let sandbox = Sandbox::own("testkey");
    for (domain, record, code) in [
        ("right.test", None, 0),
        ("wrong.test", Some("s._domainkey TXT \"v=DKIM1; p=\"\n"), 65),
        ("absent.test", Some(""), 69),
    ] {
        sandbox.key(domain, "s");
        if let Some(record) = record {
            sandbox.write("/tmp/record", record);
            sandbox.publish(domain, "/tmp/record");
        }
        let output = testkey(&sandbox, domain);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    let output = testkey(&sandbox, "-q");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("wrong.test") && text.contains("absent.test"), "{text}");
    assert!(!text.contains("right.test"), "{text}");
    // d= of this one is that of each message, and there is nothing to compare.
    sandbox.write("/etc/sendmail-dkim/domains/default.toml", "selectors = [\"s\"]\n");
    let output = testkey(&sandbox, "");
    assert_eq!(String::from_utf8(output.stdout).unwrap().matches("_domainkey").count(), 3);
    // The key that cannot be read is the worst, and is not all that is said.
    let key = "/etc/sendmail-dkim/keys/wrong.test/s.private";
    sandbox.root(&format!("mv {key} {key}.away"));
    let output = testkey(&sandbox, "");
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(": unreadable\n") && text.contains("s._domainkey.right.test: ok"),
        "{text}"
    );
    assert!(text.contains("s._domainkey.absent.test: unavailable"), "{text}");
    sandbox.root(&format!("mv {key}.away {key}"));
    sandbox.write("/etc/sendmail-dkim/domains/broken.test.toml", "selector = 1\n");
    let output = testkey(&sandbox, "broken.test");
    assert_eq!(output.status.code(), Some(71), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains("broken.test.toml: unreadable\n"));
    assert_eq!(testkey(&sandbox, "unknown.test").status.code(), Some(66));
    assert_eq!(testkey(&sandbox, "--server localhost").status.code(), Some(64));
    assert_eq!(testkey(&sandbox, "--server 127.0.0.1:9 right.test").status.code(), Some(69));
}

#[test]
#[ignore = "needs root"]
fn each_server_of_the_zone_is_asked_itself() {
    let sandbox = Sandbox::own("testkey");
    sandbox.root("dkimctl genkey -d zone.test -s s");
    let servers = "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\n";
    sandbox.write("/tmp/servers", servers);
    let publish =
        "/opt/sandbox/publish.py zone.test /tmp/servers /etc/sendmail-dkim/keys/zone.test/s.txt";
    sandbox.root(publish);
    let output = testkey(&sandbox, "--authoritative zone.test");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("s._domainkey.zone.test at ns1.zone.test: ok\n"), "{text}");
    let line = "s._domainkey.zone.test at ns2.zone.test: unavailable: the DNS server ns2.zone.test has no address\n";
    assert!(text.contains(line), "{text}");
}

/// Stops a process that waits for a reply, and lets it continue.
fn stop_for_a_moment(pid: Pid) {
    sleep(Duration::from_millis(50));
    kill(pid, Signal::SIGSTOP).unwrap();
    let is_stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    while !is_stopped() {
        sleep(Duration::from_millis(1));
    }
    kill(pid, Signal::SIGCONT).unwrap();
}

/// The answer to a query that there is no such name, or that it does not fit into a datagram.
fn reply(query: &[u8], is_truncated: bool) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= if is_truncated { 0x82 } else { 0x80 };
    reply[3] = 0x83;
    reply
}

#[test]
fn a_lookup_goes_on_after_the_process_was_stopped() {
    let stage = Stage::new();
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    udp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dkimctl"));
    command.args(["testkey", "--server", &udp.local_addr().unwrap().to_string(), "--etc"]);
    command.arg(stage.path("etc")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    // Without a query by TCP the thread waits until the program of the tests ends.
    let by_tcp = thread::spawn(move || {
        let mut stream = tcp.accept().unwrap().0;
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query).unwrap();
        stop_for_a_moment(pid);
        stream.write_all(&[&length[..], &reply(&query, false)].concat()).unwrap();
    });
    let mut query = [0; 1500];
    while child.try_wait().unwrap().is_none() {
        if let Ok((length, from)) = udp.recv_from(&mut query) {
            stop_for_a_moment(pid);
            udp.send_to(&reply(&query[..length], true), from).unwrap();
        }
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let expected =
        "s1._domainkey.sample.com: unavailable (DNSSEC: unsigned)\n  error: there is no record\n";
    assert_eq!(text, expected, "{}", output.status);
    by_tcp.join().unwrap();
}

#[test]
fn without_dns_each_domain_has_one_clear_line_in_order() {
    let stage = Stage::new();
    for number in 1..200 {
        let domain = format!("d{number:03}.test");
        stage.key(&domain, "s1");
        stage.write(&format!("etc/domains/{domain}.toml"), "selectors = [\"s1\"]\n");
    }
    // Nothing reads what arrives there.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_dkimctl"))
        .args(["testkey", "--server", &server, "--etc"])
        .arg(stage.path("etc"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 200, "{text}");
    assert!(lines.is_sorted(), "{text}");
    for line in lines {
        let (name, why) = line.split_once(": unavailable: ").unwrap();
        assert!(name.starts_with("s1._domainkey."), "{line}");
        let does_not = format!("the DNS server {server} does not answer");
        let in_time = format!("no answer from the DNS server {server} in time");
        assert!([does_not, in_time].contains(&why.to_owned()), "{line}");
    }
    assert!(output.stderr.is_empty());
}
