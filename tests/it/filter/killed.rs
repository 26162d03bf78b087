//! However the filter ends, Postfix's queue is the judge: no message is lost, and none is delivered twice.

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{DOMAIN, FILTERED, host, message, send};
use crate::support::{Sandbox, signing_domains};

/// Tries again at once.
const IMPATIENT: &str = "postconf -e minimal_backoff_time=1s maximal_backoff_time=1s queue_run_delay=1s; postfix reload 2>&1; sleep 1";

/// Ends wrappers that the filter's user runs, by SIGKILL; how many. A process that has become the real sendmail is Postfix's own.
const KILL: &str = "n=0; for pid in $(pgrep -u sendmail-dkim); do
    [ \"$(readlink /proc/$pid/exe)\" = /usr/sbin/sendmail.dkim ] && kill -9 $pid 2>/dev/null && n=$((n + 1)); done; echo $n";

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
    // On a fast machine a filter is gone before it is seen.
    for round in 0..100 {
        if round >= 12 && killed > 0 {
            break;
        }
        for from in [format!("a@{DOMAIN}"), "a@other.test".to_owned()] {
            let recipient = sandbox.recipient();
            let text = if round % 3 == 0 { large.clone() } else { message(&from) };
            send(&sandbox, FILTERED, &from, &[&recipient], &text);
            recipients.push(recipient);
        }
        for _ in 0..4 {
            killed += sandbox.root(KILL).trim().parse::<u32>().unwrap();
        }
    }
    assert!(killed > 0, "no filter was killed");
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
