//! Each system call of a submission is made to fail (strace(1), `--inject`), one at a time, with each error that it may have, and
//! the process is killed at each. In each case the message is delivered once and whole, or the caller learns that it is not
//! accepted. `make faults` does all of it, `make test` one in [`STRIDE`], others for each commit.
//!
//! Strace runs as root and the wrapper as www-data, by `-u`: the only way in which the set-gid bit holds under it.

mod calls;
mod commands;
mod judge;
mod killed;
mod kinds;
mod load;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use calls::{Site, faults_of, sites};
use judge::{Judge, Outcome};
use kinds::{Kind, kinds};

use crate::support::{Sandbox, feed, project, sample, stdout};

/// Of how many faults `make test` tries one. A prime: no kind of call is missed each time.
const STRIDE: usize = 17;

/// A run takes a tenth of a second.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Where the stand-in keeps messages.
const OUT: &str = "/faults/out";

/// A sandbox with a key of sample.com, and the stand-in behind the wrapper.
fn sandbox(test: &str, has_stand_in: bool) -> Sandbox {
    let sandbox = Sandbox::own(test);
    sandbox.key("sample.com", "s1");
    sandbox.root(&format!("mkdir -p {OUT} /faults/log; chmod 1777 {OUT} /faults/log"));
    if has_stand_in {
        // Static: what it needs is no matter of the sandbox. In place of the real sendmail, which is also found
        // where config.toml cannot be read.
        let made = Command::new("cc")
            .args(["-O1", "-static", &format!("-DFOLDER=\"{OUT}\""), "-o"])
            .arg(sandbox.path("/usr/sbin/sendmail.postfix"))
            .arg(project("tests/it/faults/queue.c"))
            .output();
        stdout(&made.unwrap());
    }
    sandbox
}

/// One submission under strace, which does what `options` say. The log is kept under the name of the recipient.
fn submit(sandbox: &Sandbox, kind: &Kind, recipient: &str, options: &[&str]) -> (Output, Duration) {
    let mut command = sandbox.command("root", "timeout");
    let log = format!("/faults/log/{recipient}");
    command.args(["-s", "KILL", "60", "strace", "-u", "www-data", "-o", &log]).args(options);
    command.arg("/usr/sbin/sendmail.dkim").args(kind.arguments(recipient));
    let message = kind.input(recipient);
    let begin = Instant::now();
    let output = if kind.from_a_file {
        let path = format!("/faults/log/{recipient}.in");
        fs::write(sandbox.path(&path), &message).unwrap();
        command.stdin(File::open(sandbox.path(&path)).unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
    } else {
        feed(&mut command, &message)
    };
    (output, begin.elapsed())
}

/// What a plain run calls up to the exec of the real sendmail.
fn traced(sandbox: &Sandbox, judge: &Judge<'_>, kind: &Kind) -> Vec<Site> {
    let recipient = format!("plain-{}@sink.test", kind.name);
    let (output, _) = submit(sandbox, kind, &recipient, kind.follow());
    let outcome = judge.of(kind, &recipient, &output);
    assert_eq!(outcome, Ok(Outcome::Signed), "{}: {output:?}", kind.name);
    let log = fs::read_to_string(sandbox.path(&format!("/faults/log/{recipient}"))).unwrap();
    let sites = sites(&log, !kind.is_session);
    assert!(sites.len() > 20, "{}: {log}", kind.name);
    let is_kept_in_a_file = log.contains("O_TMPFILE");
    assert_eq!(is_kept_in_a_file, kind.name.starts_with("large"), "{}", kind.name);
    sites
}

/// One fault.
struct Fault<'a> {
    kind: &'a Kind,
    site: Site,
    fault: &'static str,
}

impl Fault<'_> {
    fn try_out(&self, sandbox: &Sandbox, judge: &Judge<'_>, number: usize) -> Tried<'_> {
        let recipient = format!("f{number}-{}@sink.test", self.kind.name);
        let Site { call, nth } = &self.site;
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:{}:when={nth}", self.fault);
        let mut options = self.kind.follow().to_vec();
        options.extend(["-e", &trace, "-e", &inject]);
        let (output, took) = submit(sandbox, self.kind, &recipient, &options);
        let log = format!("/faults/log/{recipient}");
        let happened = happened(sandbox, &log);
        let mut outcome = judge.of(self.kind, &recipient, &output);
        if took > TOO_LONG {
            outcome = Err("it hangs".to_owned());
        }
        let outcome = outcome.map_err(|violation| {
            format!("{} {call} {nth} {}: {violation}", self.kind.name, self.fault)
        });
        Tried { kind: self.kind, recipient, happened, outcome }
    }
}

/// Whether the fault is in a log of strace.
fn happened(sandbox: &Sandbox, log: &str) -> bool {
    let log = fs::read_to_string(sandbox.path(log)).unwrap_or_default();
    log.contains("(INJECTED)") || log.contains("killed by SIGKILL")
}

/// What became of one fault.
struct Tried<'a> {
    kind: &'a Kind,
    recipient: String,
    happened: bool,
    outcome: Result<Outcome, String>,
}

/// Tries the faults, as many at a time as there are processors, and gives the violations.
fn try_all(test: &str, sandbox: &Sandbox, judge: &Judge<'_>, kinds: &[Kind], stride: usize) {
    let mut faults = Vec::new();
    for kind in kinds {
        let mut of_kind = Vec::new();
        let is_chosen = |site: &Site| kind.calls.is_none_or(|calls| calls.contains(&&*site.call));
        for site in traced(sandbox, judge, kind).into_iter().filter(is_chosen) {
            for fault in faults_of(&site.call) {
                of_kind.push(Fault { kind, site: site.clone(), fault });
            }
        }
        show(&format!("{test}: {}: {} calls × errors", kind.name, of_kind.len()));
        faults.extend(of_kind);
    }
    let chosen: Vec<&Fault<'_>> = faults.iter().skip(sample(stride)).step_by(stride).collect();
    let tried = each(&chosen, |number, fault| {
        let one = fault.try_out(sandbox, judge, number);
        if let Err(violation) = &one.outcome {
            show(violation);
        }
        one
    });
    report(test, &tried, judge.settle(&tried));
}

/// Tries each, as many at a time as there are processors.
fn each<T: Sync, R: Send>(all: &[T], act: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(number) else { return };
                    let result = act(number, one);
                    results.lock().unwrap().push(result);
                }
            });
        }
    });
    results.into_inner().unwrap()
}

fn report(test: &str, tried: &[Tried<'_>], late: Vec<String>) {
    let happened = tried.iter().filter(|one| one.happened).count();
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for outcome in tried.iter().filter_map(|one| one.outcome.as_ref().ok()) {
        *counts.entry(*outcome).or_default() += 1;
    }
    let seen = tried.iter().filter_map(|one| one.outcome.clone().err());
    let violations: Vec<String> = seen.chain(late).collect();
    show(&format!(
        "{test}: {} faults tried, {happened} happened, {counts:?}, {} violations",
        tried.len(),
        violations.len()
    ));
    assert!(happened * 10 >= tried.len() * 9, "of {} only {happened} happened", tried.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

/// Of which kinds one in how many: all of it, all of some kinds, or a sample.
fn selection() -> (Vec<Kind>, usize) {
    (kinds().into_iter().filter(|kind| is_chosen(kind.name)).collect(), stride())
}

fn is_chosen(name: &str) -> bool {
    let wanted = env::var("FAULTS").unwrap_or_else(|_| "all".to_owned());
    wanted == "all" || wanted.split(' ').any(|one| one == name)
}

fn stride() -> usize {
    if env::var_os("FAULTS").is_some() { 1 } else { STRIDE }
}

/// A figure that is shown with --nocapture.
#[expect(clippy::print_stderr, reason = "the report of the make targets")]
fn show(text: &str) {
    eprintln!("{text}");
}

#[test]
#[ignore = "needs root"]
fn no_failing_call_loses_doubles_or_damages_mail() {
    let sandbox = sandbox("faults", true);
    let judge = Judge::of_the_queue(&sandbox);
    let (kinds, stride) = selection();
    try_all("faults", &sandbox, &judge, &kinds, stride);
}

#[test]
#[ignore = "needs root"]
fn no_failing_call_loses_doubles_or_damages_mail_to_postfix() {
    let sandbox = sandbox("faults_postfix", false);
    let judge = Judge::of_the_sink(&sandbox);
    let (mut kinds, stride) = selection();
    kinds.retain(|kind| ["small", "large", "session"].contains(&kind.name));
    try_all("faults, Postfix", &sandbox, &judge, &kinds, stride);
}
