//! `dkimctl setup --smtp`, `import` and `doctor` on hosts whose clients submit by SMTP.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::message;
use crate::support::{Received, Sandbox, feed, project, reported, signing_domains};

const USER: &str =
    "useradd --system --no-create-home --gid nogroup --shell /usr/sbin/nologin sendmail-dkim";

/// Neighbors, each in a network namespace of its own: the host has 192.0.2.1, 198.51.100.1 and 203.0.113.1.
pub(super) const NEIGHBORS: &str = "
for one in near:192.0.2 named:198.51.100 far:203.0.113; do
    name=${one%%:*} net=${one#*:}
    ip netns add $name
    ip link add v$name type veth peer name eth0 netns $name
    ip addr add $net.1/24 dev v$name; ip link set v$name up
    ip netns exec $name ip addr add $net.2/24 dev eth0; ip netns exec $name ip link set eth0 up
done
echo '198.51.100.2 app.named.test' >>/etc/hosts
postconf -e inet_interfaces=all relay_domains=sink.test 'mynetworks=127.0.0.0/8 192.0.2.0/24 198.51.100.0/24' \
    smtp_host_lookup=native
postfix stop 2>&1; postfix start 2>&1; sleep 1";

/// Port 587 for trusted networks and for clients that authenticate with Dovecot's SASL; see `base.sh`.
const SUBMISSION: &str = "
ip netns exec near ip addr add 192.0.2.3/24 dev eth0
dovecot >/dev/null 2>&1 </dev/null
postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_tls_cert_file=/etc/postfix/tls.crt \
    smtpd_tls_key_file=/etc/postfix/tls.key
postconf -M 'submission/inet=submission inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_sasl_auth_enable=yes \
    -o smtpd_relay_restrictions=permit_mynetworks,permit_sasl_authenticated,reject'
postfix reload 2>&1; sleep 1";

/// The set-up of a tutorial, for both ways of submission.
const OPENDKIM: &str = r#"
mkdir -p /etc/opendkim/keys
cd /etc/opendkim/keys
opendkim-genkey -b 2048 -D . -d tutorial.test -s s1
/opt/sandbox/publish.py tutorial.test /etc/opendkim/keys/s1.txt
echo 's1._domainkey.tutorial.test tutorial.test:s1:/etc/opendkim/keys/s1.private' >/etc/opendkim/KeyTable
echo '*@tutorial.test s1._domainkey.tutorial.test' >/etc/opendkim/SigningTable
printf '127.0.0.1\nlocalhost\n192.0.2.0/24\n!192.0.2.3\napp.named.test\n' >/etc/opendkim/TrustedHosts
chown -R opendkim:opendkim /etc/opendkim
cat >/etc/opendkim.conf <<CONF
PidFile /run/opendkim.pid
Mode    sv
UserID  opendkim:opendkim
Socket  inet:8891@localhost
Canonicalization        relaxed/relaxed
KeyTable        /etc/opendkim/KeyTable
SigningTable    refile:/etc/opendkim/SigningTable
ExternalIgnoreList      refile:/etc/opendkim/TrustedHosts
InternalHosts   refile:/etc/opendkim/TrustedHosts
CONF
opendkim -x /etc/opendkim.conf
postconf -e smtpd_milters=inet:localhost:8891 non_smtpd_milters=inet:localhost:8891
postfix reload 2>&1; sleep 1"#;

/// Where mail comes from: what that is, why OpenDKIM signs it, the namespace, the host's address there, and an address of one's own.
const CLIENTS: [(&str, &str, &str, &str, &str); 5] = [
    ("this host", "in the table", "", "127.0.0.1", ""),
    ("a host of a trusted network", "in the table", "near", "192.0.2.1", "192.0.2.2"),
    ("a host that `!` takes out of that network", "none", "near", "192.0.2.1", "192.0.2.3"),
    ("a host known by its name", "in the table", "named", "198.51.100.1", "198.51.100.2"),
    ("a host elsewhere", "none", "far", "203.0.113.1", "203.0.113.2"),
];

/// Where they submit it, and with which login.
const PORTS: [(&str, &str, &str); 3] = [
    ("port 25", "25", ""),
    ("port 587", "587", ""),
    ("port 587 with a login", "587", "alice:secret"),
];

/// What becomes of mail of each client at each port, and of sendmail(1): `d=` of the signer, or that it is refused.
fn outcomes(sandbox: &Sandbox) -> Vec<String> {
    let python = fs::read_to_string(project("tests/it/filter/send.py")).unwrap();
    let from = "a@tutorial.test";
    let outcome = |arrived: &Received| match signing_domains(arrived).as_slice() {
        [] => "unsigned".to_owned(),
        [domain] if domain == "tutorial.test" => {
            sandbox.assert_signed(arrived, "tutorial.test", "s1");
            "signed".to_owned()
        }
        domains => format!("signed by {}", domains.join(", ")),
    };
    let mut rows = Vec::new();
    for (_, _, namespace, server, own) in CLIENTS {
        for (_, port, login) in PORTS {
            let recipient = sandbox.recipient();
            let mut command = sandbox.command("root", "env");
            command.args([format!("SERVER={server}"), format!("SOURCE={own}")]);
            if !login.is_empty() {
                command.arg(format!("LOGIN={login}"));
            }
            if !namespace.is_empty() {
                command.args(["ip", "netns", "exec", namespace]);
            }
            command.args(["python3", "-c", &python, port, from, "", &recipient]);
            let output = feed(&mut command, &message(from));
            rows.push(match output.status.success() {
                false => "refused".to_owned(),
                true => outcome(&sandbox.received(&recipient)),
            });
        }
    }
    let recipient = sandbox.recipient();
    let script = format!("sendmail -f {from} {recipient}");
    assert!(sandbox.sh("alice", &script, &message(from)).status.success());
    rows.push(outcome(&sandbox.received(&recipient)));
    rows
}

/// The table of docs/smtp.md.
fn table(before: &[String], after: &[String]) -> String {
    let mut text = "| client | its right | port | with OpenDKIM | with sendmail.dkim |\n|---|---|---|---|---|\n".to_owned();
    let pairs = CLIENTS.iter().flat_map(|client| PORTS.map(|port| (client, port)));
    for (((client, right, ..), (port, _, login)), (before, after)) in
        pairs.zip(before.iter().zip(after))
    {
        let right = if login.is_empty() { right } else { "a login" };
        writeln!(text, "| {client} | {right} | {port} | {before} | {after} |").unwrap();
    }
    let [.., before] = before else { panic!("nothing") };
    let [.., after] = after else { panic!("nothing") };
    writeln!(text, "| a program of this host | `users` | sendmail(1) | {before} | {after} |")
        .unwrap();
    text
}

#[test]
#[ignore = "needs root"]
fn after_import_and_setup_the_same_mail_is_signed_as_by_opendkim() {
    let sandbox = Sandbox::on("filter", "tests/it/sandbox/layer.sh smtp");
    sandbox.root(USER);
    sandbox.root(NEIGHBORS);
    sandbox.root(SUBMISSION);
    sandbox.root(OPENDKIM);
    // OpenDKIM signs what sendmail(1) submits, so that the wrapper is not there yet.
    sandbox.root("chmod 755 /usr/sbin/sendmail.dkim; mv /etc/sendmail-dkim/config.toml /tmp");
    sandbox.root("ln -sf /usr/sbin/sendmail.postfix /etc/alternatives/mta");
    let before = outcomes(&sandbox);
    // Otherwise the comparison would be of nothing.
    let count = |outcome: &str| before.iter().filter(|it| *it == outcome).count();
    assert_eq!([count("signed"), count("unsigned"), count("refused")], [12, 3, 1], "{before:?}");
    sandbox.root("chmod 2755 /usr/sbin/sendmail.dkim; mv /tmp/config.toml /etc/sendmail-dkim");
    sandbox.root("ln -sf /usr/sbin/sendmail.dkim /etc/alternatives/mta");
    let said = sandbox.sh("root", "dkimctl import", b"");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.status.code(), Some(78), "{text}");
    let step = "dkimctl setup --smtp, if the milter that signs is in smtpd_milters";
    assert!(text.contains(step), "{text}");
    // Also if there is no config.toml yet.
    let without = "mv /etc/sendmail-dkim/config.toml /tmp; dkimctl import --dry-run; mv /tmp/config.toml /etc/sendmail-dkim";
    let output = sandbox.sh("root", without, b"");
    assert!(String::from_utf8_lossy(&output.stdout).contains(step), "{output:?}");
    let clients = sandbox.root("grep -v '^#' /etc/sendmail-dkim/clients.cidr");
    assert_eq!(
        clients,
        "192.0.2.3 DUNNO\n127.0.0.1 FILTER dkim:dummy\n192.0.2.0/24 FILTER dkim:dummy\n"
    );
    sandbox.root("dkimctl setup --smtp --yes");
    let said = sandbox.root("dkimctl import");
    assert!(said.contains("All mail that OpenDKIM signs is signed here."), "{said}");
    sandbox.root("postconf -X smtpd_milters non_smtpd_milters; kill $(cat /run/opendkim.pid); postfix reload 2>&1; sleep 1");
    let after = outcomes(&sandbox);
    assert_eq!(after, before);
    super::in_docs("outcomes", &table(&before, &after));
}

#[test]
#[ignore = "needs root"]
fn setup_shows_what_it_does_does_that_and_undoes_it() {
    let sandbox = Sandbox::own("filter");
    let output = sandbox.sh("root", "dkimctl setup --smtp", b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(67), "{said}");
    assert!(said.contains("there is no user \"sendmail-dkim\": useradd "), "{said}");
    sandbox.root(USER);
    // An own setting is kept, and so is another filter.
    sandbox.root(
        "postconf -e 'smtpd_end_of_data_restrictions=check_policy_service inet:127.0.0.1:9' 'mynetworks=127.0.0.0/8 0.0.0.0/1 [::1]/128'
        postconf -M '465/inet=465 inet n - n - - smtpd -o content_filter=scan:x' 'submission/inet=submission inet n - n - - smtpd -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject' '10025/inet=10025 inet n - n - - smtpd'",
    );
    // A comment in another charset.
    sandbox.root("printf '# gr\\374n\\n' >>/etc/postfix/main.cf");
    let postfix = "iconv -f latin1 /etc/postfix/main.cf; postconf -M";
    let state = &format!("{postfix}; cat /etc/sendmail-dkim/config.toml");
    sandbox.root("dkimctl setup");
    let before = sandbox.root(state);
    let shown = sandbox.root("dkimctl setup --smtp");
    assert_eq!(
        sandbox.root(&format!("{state}; ls /etc/sendmail-dkim/clients.cidr 2>/dev/null || true")),
        before
    );
    for line in [
        "+    -o content_filter=dkim:dummy",
        "+    -o smtpd_end_of_data_restrictions=check_client_access,cidr:/etc/sendmail-dkim/clients.cidr,check_policy_service,inet:127.0.0.1:9",
        "+dkim_destination_recipient_limit = 1000",
        "+filter_user = \"sendmail-dkim\"",
        "+smtp = true",
        "+127.0.0.0/8 FILTER dkim:dummy",
        "note: mynetworks: not used: 0.0.0.0/1: too many addresses to be clients of this host",
        "note: 465/inet is left as it is: it hands its mail to scan:x already",
        "note: an unsigned message with raw 8-bit text in its header requires SMTPUTF8 of the next hop once it has passed the filter. If no program of this host passes non-ASCII addresses to sendmail(1), avoid that: postconf -P pickup/unix/smtputf8_autodetect_classes=verify",
        "next: dkimctl setup --smtp --yes applies this",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert_eq!(shown.matches("-o content_filter=dkim:dummy").count(), 1, "{shown}");
    sandbox.root("dkimctl setup --smtp --yes --dry-run");
    assert_eq!(sandbox.root(state), before);
    let shown = sandbox.root("dkimctl setup --smtp --yes");
    assert!(shown.ends_with("note: Postfix has reloaded its settings\n"), "{shown}");
    // The port at which another filter hands mail back is none that clients submit to.
    assert!(!sandbox.root("postconf -P").contains("10025/"));
    assert_eq!(sandbox.root("dkimctl setup --smtp"), {
        let note = "note: 465/inet is left as it is: it hands its mail to scan:x already\n";
        format!("nothing to change\n{note}")
    });
    // A line of another version is replaced.
    let line = sandbox.root("postconf -M dkim/unix");
    sandbox.root("postconf -M dkim/unix=\"$(postconf -M dkim/unix | sed 's/flags=Rq/flags=R/')\"");
    assert_ne!(sandbox.root("postconf -M dkim/unix"), line);
    sandbox.root("dkimctl setup --smtp --yes");
    assert_eq!(sandbox.root("postconf -M dkim/unix"), line);
    sandbox.root("dkimctl setup --smtp=off --yes");
    assert_eq!(sandbox.root(state), before);
    // What `postfix check` does not like is undone.
    sandbox.root("printf '#!/bin/sh\\necho wrong >&2; exit 1\\n' >/usr/local/bin/postfix; chmod 755 /usr/local/bin/postfix");
    let failing = "PATH=/usr/local/bin:$PATH dkimctl setup --smtp --yes";
    let output = sandbox.sh("root", failing, b"");
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    assert_eq!(sandbox.root(state), before);
}

/// What breaks the filter, and words of what doctor says of it.
const HALF: [(&str, &str); 18] = [
    ("sed -i /^message_size_limit/d CONFIG", "config.toml has no message_size_limit"),
    ("sed -i '/^filter_user/d' CONFIG", "config.toml has no filter_user"),
    ("sed -i 's/^filter_user.*/filter_user = \"gone\"/' CONFIG", "there is no such user"),
    ("sed -i 's/^filter_user.*/filter_user = \"alice\"/' CONFIG", "but filter_user is \"alice\""),
    ("usermod --gid sendmail-dkim sendmail-dkim", "which can read the keys"),
    ("usermod --groups sendmail-dkim sendmail-dkim", "which can read the keys"),
    ("postconf -F dkim/unix/chroot=y", "runs in a chroot"),
    ("postconf -P smtp/inet/content_filter=dkim:dummy", "mail of other hosts gets signed"),
    ("postconf -e content_filter=dkim:dummy", "mail loops through the filter"),
    ("postconf -P pickup/unix/content_filter=dkim:dummy", "mail loops through the filter"),
    (
        "echo '/^X-Y:/ FILTER dkim:dummy' >/etc/postfix/checks; postconf -e header_checks=regexp:/etc/postfix/checks",
        "mail loops",
    ),
    ("postconf -MX dkim/unix", "master.cf has no transport dkim"),
    (
        "postconf -e authorized_submit_users=root,alice",
        "sendmail(1) accepts no mail of sendmail-dkim",
    ),
    ("postconf -P smtp/inet/receive_override_options=no_address_mappings", "aliases unresolved"),
    (
        "echo '0.0.0.0/0 FILTER dkim:dummy' >>/etc/sendmail-dkim/clients.cidr",
        "is too large for a network",
    ),
    (
        "echo '0.0.0.0/0 FILTER scan:x' >/etc/postfix/other.cidr; postconf -P smtp/inet/smtpd_end_of_data_restrictions=check_client_access,cidr:/etc/sendmail-dkim/clients.cidr,check_client_access,cidr:/etc/postfix/other.cidr",
        "overrides the one for the wrapper",
    ),
    (
        "postconf -M 'dkim/unix=dkim unix - n n - 10 pipe user=sendmail-dkim argv=/usr/sbin/sendmail.dkim -f ${sender} ${recipient}'",
        "lacks -G",
    ),
    (
        "mkdir -p /etc/systemd/system/postfix.service.d; printf '[Service]\\nNoNewPrivileges=yes\\n' >/etc/systemd/system/postfix.service.d/x.conf",
        "set-gid programs are disabled",
    ),
];

#[test]
#[ignore = "needs root"]
fn doctor_finds_every_way_in_which_the_filter_is_half_set_up() {
    let sandbox = Sandbox::own("filter");
    sandbox.key("origin.example", "s1");
    sandbox.root(USER);
    let found = || -> BTreeSet<String> {
        let output = sandbox.sh("root", "dkimctl doctor --offline --json", b"");
        let (_, findings) = reported(&output.stdout);
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        findings.iter().map(|it| text(it, "evidence")).collect()
    };
    assert_eq!(found(), BTreeSet::new());
    sandbox.root("echo 'smtp = true' >>/etc/sendmail-dkim/config.toml");
    assert!(found().iter().any(|text| text.contains("mail by SMTP is not signed")));
    sandbox.root("dkimctl setup --smtp --yes");
    assert_eq!(found(), BTreeSet::new());
    sandbox.root("cp -a /etc /opt/etc");
    for (half, words) in HALF {
        sandbox
            .root(&half.replace("CONFIG", "/etc/sendmail-dkim/config.toml").replace("${", "\\${"));
        let found = found();
        assert!(found.iter().any(|text| text.contains(words)), "{half}: {found:?}");
        sandbox.root(
            "rm -rf /etc/systemd/system/postfix.service.d; cp -a /opt/etc/postfix /opt/etc/sendmail-dkim /opt/etc/passwd /opt/etc/group /etc",
        );
    }
    // A milter that signs.
    sandbox.root("postconf -e smtpd_milters=inet:localhost:8891");
    assert!(found().iter().any(|text| text.contains("if one of these milters signs")));
}
