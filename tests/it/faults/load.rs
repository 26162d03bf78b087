//! Many submitters at once through a real Postfix: all mail arrives once and verifies, and nothing is left behind.
//! `make load` sends 20,000, LOAD in the environment says how many; `make test` sends one by each submitter.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::judge::Judge;
use super::killed::leftovers;
use super::{sandbox, show};
use crate::support::Sandbox;

const SUBMITTERS: usize = 200;

/// One submission; what fails is written down.
const ONE: &str = "#!/bin/sh
printf 'From: a@sample.com\\nTo: l%s@sink.test\\nSubject: load\\n\\nmessage %s\\nlast line\\n' $1 $1 |
    sendmail -i l$1@sink.test >>/faults/said 2>&1 || echo \"$1 $?\" >>/faults/failed
";

/// Of how many messages the three verifiers are asked, besides our own.
const SAMPLE: usize = 200;

/// The queue may take as long as it likes, as long as it moves.
fn wait_for_the_queue(sandbox: &Sandbox, count: usize) {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let arrived = fs::read_dir(sandbox.path("/out/rcpt")).map_or(0, Iterator::count);
        if arrived >= count {
            return;
        }
        if arrived > before {
            (before, since) = (arrived, Instant::now());
        }
        let waited = since.elapsed() > Duration::from_secs(60);
        assert!(!waited, "of {count} messages {arrived} arrived");
        sleep(Duration::from_millis(500));
    }
}

/// Descriptors that the daemons which live on have open: a leak is one for each message.
fn descriptors(sandbox: &Sandbox) -> usize {
    let count = sandbox.root("ls -d /proc/[0-9]*/fd/* 2>/dev/null | wc -l");
    count.trim().parse().unwrap()
}

/// The most memory of a wrapper that was seen, in KiB.
fn submit_all(sandbox: &Sandbox, count: usize) -> u64 {
    let script =
        format!("seq {count} | xargs -P {SUBMITTERS} -n 1 /faults/one; touch /faults/done");
    let mut most = 0;
    std::thread::scope(|scope| {
        let submission = scope.spawn(|| sandbox.sh("www-data", &script, b""));
        while !submission.is_finished() {
            let sizes = sandbox.root("ps -o rss= -C sendmail || true");
            most = sizes.lines().filter_map(|size| size.trim().parse().ok()).fold(most, u64::max);
            sleep(Duration::from_millis(500));
        }
        assert!(submission.join().unwrap().status.success());
    });
    most
}

#[test]
#[ignore = "needs root"]
fn all_mail_of_many_submitters_arrives_once_and_verifies() {
    let sandbox = sandbox("load", false);
    let count = env::var("LOAD").map_or(SUBMITTERS, |count| count.parse().unwrap());
    sandbox.root("chmod 1777 /faults");
    sandbox.write("/faults/one", ONE);
    sandbox.root("chmod 755 /faults/one");
    let before = descriptors(&sandbox);
    let begin = Instant::now();
    let most = submit_all(&sandbox, count);
    let submitted = begin.elapsed();
    let failed = fs::read_to_string(sandbox.path("/faults/failed")).unwrap_or_default();
    let said = fs::read_to_string(sandbox.path("/faults/said")).unwrap_or_default();
    assert!(failed.is_empty() && said.is_empty(), "{failed}{said}");
    wait_for_the_queue(&sandbox, count);
    let judge = Judge::of_the_sink(&sandbox);
    let mut paths: BTreeMap<usize, String> = BTreeMap::new();
    for number in 1..=count {
        let arrived = sandbox.arrived(&format!("l{number}@sink.test"));
        let [one] = arrived.as_slice() else { panic!("{number}: {arrived:?}") };
        let text = format!("message {number}\r\nlast line\r\n");
        assert!(judge.is_signed(&one.bytes) && one.bytes.ends_with(text.as_bytes()), "{one:?}");
        if number % (count / SAMPLE).max(1) == 0 {
            paths.insert(number, one.path().to_owned());
        }
    }
    assert_eq!(fs::read_dir(sandbox.path("/out/sink")).unwrap().count(), 2 * count);
    let sample: Vec<&str> = paths.values().map(String::as_str).collect();
    let failures = sandbox.failures_in(&sample);
    assert!(failures.is_empty(), "{failures:#?}");
    let left = leftovers(&sandbox);
    assert!(left.is_empty(), "{left}");
    let after = descriptors(&sandbox);
    // Postfix may have some more of its own processes now.
    assert!(after < before + 2_000, "{before} descriptors before, {after} after");
    show(&format!(
        "load: {count} messages by {SUBMITTERS} submitters in {} s, all signed, arrived once and verified \
         ({} of them by three verifiers); at most {most} KiB for a wrapper; open descriptors {before} before, \
         {after} after",
        submitted.as_secs(),
        sample.len()
    ));
}
