//! However the filter ends, Postfix's queue is the judge: no message is lost, and none is delivered twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{DOMAIN, FILTERED, host, message, send};
use crate::support::{Sandbox, signing_domains};

/// Tries again at once.
const IMPATIENT: &str = "postconf -e minimal_backoff_time=1s maximal_backoff_time=1s queue_run_delay=1s; postfix reload 2>&1; sleep 1";

/// Waits two seconds for a wrapper, which is a filter here, lets it go on for so many milliseconds, and ends it by SIGKILL; how many.
/// A process that has become the real sendmail is Postfix's own. One process looks all the time, as a filter lives for
/// milliseconds.
const KILL: &str = r#"
import os, signal, sys, time
def is_filter(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe") == "/usr/sbin/sendmail.dkim"
    except OSError:
        return False
print("ready", flush=True)
killed, until = 0, time.monotonic() + 2
while not killed and time.monotonic() < until:
    for pid in filter(is_filter, filter(str.isdigit, os.listdir("/proc"))):
        time.sleep(int(sys.argv[1]) / 1000)
        try:
            # Stopped, it cannot become the real sendmail before it is killed.
            os.kill(int(pid), signal.SIGSTOP)
            is_still = is_filter(pid)
            os.kill(int(pid), signal.SIGKILL if is_still else signal.SIGCONT)
            killed += is_still
        except ProcessLookupError:
            pass
print(killed)"#;

/// The recipients of all messages, each with how many it got, once the queue is empty.
fn delivered(sandbox: &Sandbox, recipients: &[String]) -> BTreeMap<String, usize> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let queue = sandbox.root("postqueue -f; postqueue -p");
        if queue.contains("Mail queue is empty") {
            break;
        }
        assert!(Instant::now() < deadline, "{queue}");
        sleep(Duration::from_millis(500));
    }
    recipients.iter().map(|one| (one.clone(), sandbox.count(one))).collect()
}

#[test]
#[ignore = "needs root"]
fn a_filter_that_is_killed_at_any_moment_loses_and_doubles_nothing() {
    let sandbox = host("bookworm");
    sandbox.root(IMPATIENT);
    let large =
        [message(&format!("a@{DOMAIN}")), "0123456789abcde\n".repeat(60_000).into_bytes()].concat();
    let mut recipients = Vec::new();
    let mut killed = 0;
    for round in 0..16 {
        let mut killer = sandbox
            .command("root", "python3")
            .args(["-c", KILL, &(round % 4).to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(killer.stdout.take().unwrap()).lines();
        assert_eq!(said.next().unwrap().unwrap(), "ready");
        for from in [format!("a@{DOMAIN}"), "a@other.test".to_owned()] {
            let recipient = sandbox.recipient();
            let text = if round % 3 == 0 { large.clone() } else { message(&from) };
            send(&sandbox, FILTERED, &from, &[&recipient], &text);
            recipients.push(recipient);
        }
        killed += said.next().unwrap().unwrap().parse::<u32>().unwrap();
        assert!(killer.wait().unwrap().success());
    }
    assert!(killed >= 4, "{killed} filters were killed");
    for (recipient, count) in delivered(&sandbox, &recipients) {
        assert_eq!(count, 1, "{recipient}; {killed} killed");
    }
}

#[test]
#[ignore = "needs root"]
fn on_a_full_disk_mail_waits_for_the_filter() {
    let sandbox = host("bookworm");
    sandbox.root(IMPATIENT);
    let large =
        |from: &str| [message(from), "0123456789abcde\n".repeat(30_000).into_bytes()].concat();
    // Where the wrapper keeps a large message, and where sendmail(1) does.
    for (number, full) in
        ["/tmp", "/var/tmp", "/var/spool/postfix/maildrop"].into_iter().enumerate()
    {
        let mode = sandbox.root(&format!("stat -c '%a,uid=%u,gid=%g' {full}"));
        let mode = mode.trim();
        sandbox.root(&format!("mount -t tmpfs -o size=128k,mode={mode} full {full}"));
        let mut recipients = Vec::new();
        for domain in [DOMAIN, "other.test"] {
            let (recipient, from) = (sandbox.recipient(), format!("full{number}@{domain}"));
            send(&sandbox, FILTERED, &from, &[&recipient], &large(&from));
            recipients.push(recipient);
        }
        sleep(Duration::from_secs(4));
        sandbox.root(&format!("umount -l {full}"));
        for (recipient, count) in delivered(&sandbox, &recipients) {
            assert_eq!(
                count,
                1,
                "{full} {recipient}\n{}",
                sandbox.root("tail -n 30 /var/log/postfix.log")
            );
        }
        let log = fs::read_to_string(sandbox.path("/var/log/postfix.log")).unwrap();
        assert!(!log.contains("status=bounced"), "{full}: {log}");
        // Once there is room, it is signed; or it went out unsigned before, as on_error says.
        assert!(signing_domains(&sandbox.received(&recipients[1])).is_empty());
    }
}
