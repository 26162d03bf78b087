//! Signals at every stage. Root has strace(1) send them, at a call, and run the wrapper as a user: so the set-gid bit holds.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::dumpable::OF_THE_HOST;
use super::{DOMAIN, message, sandbox, user};
use crate::support::{
    Attacks, Observed, Received, Sandbox, User, assert_no_secret, logged, sample, signing_domains,
};

const SIGNALS: [&str; 18] = [
    "HUP", "INT", "QUIT", "TERM", "KILL", "PIPE", "ALRM", "USR1", "USR2", "CHLD", "WINCH", "XCPU",
    "XFSZ", "SEGV", "ABRT", "STOP", "TSTP", "TTIN",
];

/// Of how many calls `make test` tries one with each signal, others for each commit; `make signals` tries all. A prime.
const STRIDE: usize = 11;

fn stride() -> usize {
    if std::env::var_os("SIGNALS").is_some() { 1 } else { STRIDE }
}

/// Runs the wrapper under strace(1) with these options, in a folder where a core could be written.
fn traced(sandbox: &Sandbox, user: &User, options: &str, recipient: &str) -> Output {
    // A stopped process is continued. Strace is not what runs in the background: that ignores SIGINT and SIGQUIT; nor its parent,
    // for whose children it would wait.
    let script = format!(
        "ulimit -c unlimited; cd /tmp/signals; \
         ((while kill -0 $$; do pkill -CONT -P $$ -x sendmail.dkim; sleep 0.1; done) <&- >/dev/null 2>&1 &); \
         exec strace -u {} {options} /usr/sbin/sendmail.dkim -i {recipient}",
        user.name
    );
    sandbox.sh("root", &script, &message(&format!("a@{DOMAIN}")))
}

/// The calls of a plain run up to the exec of the real sendmail, each with its number among those of its name.
fn stages(sandbox: &Sandbox, user: &User) -> Vec<(String, usize)> {
    let recipient = sandbox.recipient();
    let output = traced(sandbox, user, "-o /tmp/signals.trace", &recipient);
    assert!(output.status.success(), "{output:?}");
    sandbox.assert_signed(&sandbox.received(&recipient), DOMAIN, "s1");
    let trace = sandbox.root("cat /tmp/signals.trace");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut stages = Vec::new();
    // The first exec is that of the wrapper itself.
    for line in trace.lines().skip(1) {
        let Some((call, _)) = line.split_once('(') else { continue };
        if call.contains(' ') || call == "exit_group" {
            continue;
        }
        let count = counts.entry(call.to_owned()).or_default();
        *count += 1;
        if call == "execve" {
            break;
        }
        stages.push((call.to_owned(), *count));
    }
    assert!(stages.len() > 60, "{trace}");
    stages
}

#[test]
#[ignore = "needs root"]
fn a_signal_at_any_stage_ends_it_or_does_nothing() {
    let sandbox = sandbox();
    let attacks = Attacks::of(a_signal_at_any_stage_ends_it_or_does_nothing);
    let user = user();
    // With fs.suid_dumpable = 1, what is killed before it has called prctl(2) leaves a core, without a secret in it.
    let _unchanged = OF_THE_HOST.read().unwrap_or_else(PoisonError::into_inner);
    sandbox.root("mkdir -m 1777 /tmp/signals");
    let stages = stages(sandbox, &user);
    let all: Vec<_> =
        SIGNALS.iter().flat_map(|signal| stages.iter().map(move |stage| (signal, stage))).collect();
    let chosen: Vec<_> = all.iter().skip(sample(stride())).step_by(stride()).collect();
    let mark = sandbox.mark();
    let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((signal, (call, nth))) =
                    chosen.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let recipient = sandbox.recipient();
                    let options = format!(
                        "-o /dev/null -e trace={call} -e inject={call}:signal={signal}:when={nth}"
                    );
                    let output = traced(sandbox, &user, &options, &recipient);
                    ended.lock().unwrap().push((**signal, recipient, output));
                }
            });
        }
    });
    judge(attacks, sandbox, mark, &user, ended.into_inner().unwrap());
}

/// What was accepted arrived signed, what was not did not; nothing is left behind.
fn judge(
    attacks: Attacks,
    sandbox: &Sandbox,
    mark: usize,
    user: &User,
    ended: Vec<(&str, String, Output)>,
) {
    let mut accepted: Vec<(&str, Received)> = Vec::new();
    let mut refused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (signal, recipient, output) in ended {
        assert_no_secret(sandbox, &[output.stdout, output.stderr].concat());
        if output.status.success() {
            accepted.push((signal, sandbox.received(&recipient)));
        } else {
            refused.entry(signal).or_default().push(recipient);
        }
    }
    // One that is killed after its exec of the real sendmail may have been too late; but nothing of this is.
    for signal in SIGNALS {
        let arrived: Vec<_> = accepted.iter().filter(|(by, _)| *by == signal).collect();
        let ended = refused.get(signal).map_or(&[][..], Vec::as_slice);
        for (_, mail) in &arrived {
            assert_eq!(signing_domains(mail), [DOMAIN], "{signal}");
        }
        for recipient in ended {
            let arrived = sandbox.arrived(recipient);
            assert!(arrived.is_empty(), "{signal} {recipient}: {arrived:?}");
        }
        let outcome = format!(
            "{} ended and nothing of theirs arrived, {} arrived signed",
            ended.len(),
            arrived.len()
        );
        attacks.row(&format!("SIG{signal} at {} stages", ended.len() + arrived.len()), &outcome);
    }
    let lines = logged(sandbox, mark, &format!("uid={} ", user.uid), accepted.len()).len();
    let ended: usize = refused.values().map(Vec::len).sum();
    assert!(lines >= accepted.len() && lines <= accepted.len() + ended, "{lines}");
    let (ignored, killed) = (accepted.len(), ended);
    assert!(ignored > 10 && killed > 10, "{ignored} {killed}");
    assert_eq!(sandbox.root("ls /tmp/signals"), "");
    let paths: Vec<&str> = accepted.iter().map(|(_, mail)| mail.path()).collect();
    assert_eq!(sandbox.failures_in(&paths), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn one_that_is_stopped_at_any_moment_goes_on() {
    let sandbox = sandbox();
    let attacks = Attacks::of(one_that_is_stopped_at_any_moment_goes_on);
    let user = user();
    for delay in ["0", "0.002", "0.004", "0.008", "0.012", "0.016", "0.024", "0.032"] {
        let script = format!(
            "cat >/tmp/stopped.$$; sendmail -i RCPT </tmp/stopped.$$ & \
             sleep {delay}; kill -STOP $! && sleep 0.05 && kill -CONT $!; wait $!; \
             code=$?; rm /tmp/stopped.$$; exit $code"
        );
        let observed = Observed::of(sandbox, &user, &script, &message(&format!("a@{DOMAIN}")));
        assert_eq!(observed.signed_by().as_deref(), Some(DOMAIN), "{delay}: {observed:?}");
        attacks.row(&format!("SIGSTOP by its own user after {delay} s"), &observed.outcome());
    }
}
