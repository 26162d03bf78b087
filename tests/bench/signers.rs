//! The signers, set up alike: the same keys, any number of domains, and a line in the log for each message.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::host::Host;
use crate::support::{built, stdout};

/// Where Postfix finds the milter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Tcp,
    Unix,
}

/// Both keys, as the wrapper has them.
#[derive(Debug)]
pub(crate) struct Keys {
    rsa: Vec<u8>,
    ed25519: Vec<u8>,
}

/// The one domain of most of the figures.
pub(crate) const RSA: &str = "rsa.test";
pub(crate) const ED25519: &str = "ed.test";
/// Signed twice.
pub(crate) const BOTH: &str = "both.test";
/// A domain that nothing on this host signs for.
pub(crate) const UNSIGNED: &str = "other.test";

/// One of many domains.
pub(crate) fn domain(number: usize) -> String {
    format!("d{number:06}.test")
}

/// Makes the keys, and lets the wrapper sign for one domain with each.
pub(crate) fn set_up_wrapper(host: &Host) -> Keys {
    host.sandbox.root(&format!(
        "for domain in {RSA} {ED25519} {BOTH}; do dkimctl genkey -d $domain -s s1 --bits 2048; done
         for domain in {ED25519} {BOTH}; do dkimctl genkey -d $domain -s s2 --type ed25519; done
         cd /etc/sendmail-dkim
         cp -p keys/{RSA}/s1.private keys/{BOTH}/s1.private
         cp -p keys/{ED25519}/s2.private keys/{BOTH}/s2.private
         echo 'selectors = [\"s2\"]' >domains/{ED25519}.toml
         echo 'selectors = [\"s1\", \"s2\"]' >domains/{BOTH}.toml"
    ));
    let key = |name: &str| {
        let path = host.sandbox.path(&format!("/etc/sendmail-dkim/keys/{name}.private"));
        fs::read(path).unwrap()
    };
    Keys { rsa: key(&format!("{RSA}/s1")), ed25519: key(&format!("{ED25519}/s2")) }
}

/// Domain files and keys for the domains of these numbers; the keys are links to one.
pub(crate) fn add_to_wrapper(host: &Host, numbers: std::ops::Range<usize>) {
    let etc = host.sandbox.path("/etc/sendmail-dkim");
    let key = etc.join(format!("keys/{RSA}/s1.private"));
    for number in numbers {
        let domain = domain(number);
        let folder = etc.join("keys").join(&domain);
        fs::create_dir(&folder).unwrap();
        fs::hard_link(&key, folder.join("s1.private")).unwrap();
        let file = etc.join(format!("domains/{domain}.toml"));
        fs::write(file, "selectors = [\"s1\"]\n").unwrap();
    }
}

/// Sets OpenDKIM up for the domain that has the key, and Postfix to ask it.
pub(crate) fn set_up_opendkim(host: &Host, socket: Socket, keys: &Keys, domain: &str) {
    host.sandbox.root("mkdir -p /bench/opendkim/keys");
    let folder = host.sandbox.path("/bench/opendkim");
    let key = if domain == ED25519 { &keys.ed25519 } else { &keys.rsa };
    let place = folder.join("key");
    fs::write(&place, key).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
    host.sandbox.root("chown opendkim: /bench/opendkim/key");
    let algorithm = if domain == ED25519 { "ed25519-sha256" } else { "rsa-sha256" };
    let (milter, place) = match socket {
        Socket::Tcp => ("inet:127.0.0.1:8891", "inet:8891@127.0.0.1"),
        Socket::Unix => ("unix:/bench/run/opendkim.sock", "local:/bench/run/opendkim.sock"),
    };
    let conf = format!(
        "KeyTable /bench/opendkim/KeyTable\nSigningTable refile:/bench/opendkim/SigningTable\n\
         Mode s\nSocket {place}\nUserID opendkim\nUMask 000\nPidFile /bench/run/opendkim.pid\n\
         SignatureAlgorithm {algorithm}\nCanonicalization relaxed/relaxed\nOversignHeaders From\n\
         Syslog yes\nSyslogSuccess yes\nRequireSafeKeys no\n"
    );
    fs::write(folder.join("conf"), conf).unwrap();
    write_tables(&folder, domain, 0);
    start(host);
    ask(host, milter);
}

/// Sets dkimpy-milter up likewise, on a Unix socket.
pub(crate) fn set_up_dkimpy(host: &Host, keys: &Keys) {
    let folder = host.sandbox.path("/bench/dkimpy");
    let modules = built("tests/bench/dkimpy.sh");
    stdout(&Command::new("cp").arg("-r").arg(modules).arg(&folder).output().unwrap());
    let place = host.sandbox.path("/bench/run/dkimpy.key");
    fs::write(&place, &keys.rsa).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600)).unwrap();
    let conf = format!(
        "Syslog yes\nSyslogSuccess yes\nUMask 000\nUserID opendkim\nDomain {RSA}\nSelector s1\n\
         KeyFile /bench/run/dkimpy.key\nCanonicalization relaxed/relaxed\nMode s\n\
         Socket local:/bench/run/dkimpy.sock\nPidFile /bench/run/dkimpy.pid\nInternalHosts 127.0.0.1\n"
    );
    fs::write(folder.join("conf"), conf).unwrap();
    host.start_daemon(
        "chown opendkim: /bench/run/dkimpy.key; cd /
         PYTHONPATH=/bench/dkimpy setsid python3 -m dkimpy_milter /bench/dkimpy/conf </dev/null >/dev/null 2>&1 &
         for i in $(seq 100); do
             if [ -S /bench/run/dkimpy.sock ]; then exit 0; fi
             sleep 0.2
         done
         exit 1",
    );
    ask(host, "unix:/bench/run/dkimpy.sock");
}

/// Has Postfix ask a milter about mail that is submitted.
fn ask(host: &Host, milter: &str) {
    host.sandbox.root(&format!(
        "postconf -e non_smtpd_milters={milter} milter_default_action=tempfail; postfix reload"
    ));
}

/// OpenDKIM with this many domains more, each with a key file of its own.
pub(crate) fn widen_opendkim(host: &Host, numbers: std::ops::Range<usize>) {
    let folder = host.sandbox.path("/bench/opendkim");
    for number in numbers.clone() {
        fs::hard_link(folder.join("key"), folder.join("keys").join(domain(number))).unwrap();
    }
    write_tables(&folder, RSA, numbers.end);
    start(host);
}

/// Both tables; the domain that is signed for is the last of them.
fn write_tables(folder: &Path, last: &str, count: usize) {
    let (mut keys, mut signers) = (String::new(), String::new());
    for number in 0..count {
        let domain = domain(number);
        writeln!(keys, "{domain} {domain}:s1:/bench/opendkim/keys/{domain}").unwrap();
        writeln!(signers, "*@{domain} {domain}").unwrap();
    }
    writeln!(keys, "{last} {last}:s1:/bench/opendkim/key").unwrap();
    writeln!(signers, "*@{last} {last}").unwrap();
    fs::write(folder.join("KeyTable"), keys).unwrap();
    fs::write(folder.join("SigningTable"), signers).unwrap();
}

/// Restarts it if it runs already; returns when it listens.
fn start(host: &Host) {
    host.start_daemon(
        "if [ -e /bench/run/opendkim.pid ]; then kill $(cat /bench/run/opendkim.pid); fi
         while pgrep -x opendkim >/dev/null; do sleep 0.1; done
         rm -f /bench/run/opendkim.sock
         opendkim -x /bench/opendkim/conf
         for i in $(seq 600); do
             if [ -S /bench/run/opendkim.sock ] || ss -ltn | grep -q ':8891 '; then exit 0; fi
             sleep 0.2
         done
         exit 1",
    );
}

/// Resident memory of the milter, in KiB.
pub(crate) fn opendkim_memory(host: &Host) -> f64 {
    let text = host.sandbox.root("ps -o rss= -C opendkim");
    text.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).sum()
}
