//! Real programs, run as in production, send what is delivered, decoded and verified: the rows are the folders of
//! `tests/callers`, what came of them is `docs/callers.md`.

mod judge;
mod row;
mod run;
mod table;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use crate::support::{Sandbox, cargo, copy_program, project, stdout};
use row::Row;
use run::Run;

/// Those that callers send mail of.
const DOMAINS: [&str; 3] = ["sample.com", "origin.example", "example.test"];

/// With and without 8BITMIME.
const HOPS: [&str; 2] = ["sink", "7bit"];

/// What builds the root with all of the callers.
const ALL: &str = "tests/callers/base.sh";

/// The callers that are in the roots of all releases of Debian.
const OF_ALL_RELEASES: [&str; 10] = [
    "bsd-mailx",
    "lettre",
    "php-mail-bcc",
    "php-mail-crlf",
    "php-mail-lf",
    "php-mail-no-from",
    "python",
    "s-nail",
    "shell-sendmail",
    "shell-sendmail-t",
];

/// A sandbox in which sendmail(8) is the recorder, which becomes the wrapper.
fn sandbox(builder: &str, domains: &[&str]) -> Sandbox {
    let sandbox = Sandbox::on("callers", builder);
    // The root with all of the callers has these already.
    sandbox.root("mkdir -p /var/lib/fail2ban /var/list /var/mail /var/spool/cron /var/www");
    for domain in domains {
        sandbox.key(domain, "dkimselector");
        // Some senders take the host's own name.
        let file = format!("/etc/sendmail-dkim/domains/{domain}.toml");
        sandbox.root(&format!("echo 'subdomains = true' >>{file}"));
    }
    let root = sandbox.path("/");
    let compiled = Command::new("cc")
        .args(["-static", "-O", "-Wall", "-o"])
        .arg(root.join("usr/sbin/recorder"))
        .arg(project("tests/callers/recorder.c"))
        .output();
    stdout(&compiled.unwrap());
    // Rust's caller is built here: the sandbox has no compiler.
    let built = cargo()
        .args(["rustc", "--quiet", "--locked", "--target-dir"])
        .arg(project("target/callers"))
        .arg("--manifest-path")
        .arg(project("tests/callers/lettre/Cargo.toml"))
        .args(["--", "-Ctarget-feature=+crt-static"])
        .output();
    stdout(&built.unwrap());
    let program = project("target/callers/debug/lettre-caller");
    copy_program(program, root.join("usr/local/bin/lettre-caller"));
    let copied = Command::new("cp")
        .arg("-r")
        .arg(project("tests/callers"))
        .arg(root.join("opt/callers"))
        .output();
    stdout(&copied.unwrap());
    // The source may have been unpacked with a umask of 077.
    sandbox.root("chmod -R a+rX /opt/callers");
    for name in ["mta", "mta-sendmail"] {
        sandbox.root(&format!("ln -sf /usr/sbin/recorder /etc/alternatives/{name}"));
    }
    sandbox
}

/// All runs: those that only wait side by side, the others two at a time.
fn run_all(sandbox: &Sandbox, rows: &[Row]) -> Vec<Run> {
    let runs = Mutex::new(Vec::new());
    let all = || rows.iter().flat_map(|row| HOPS.map(|hop| (row, hop)));
    let queue: Mutex<VecDeque<_>> = Mutex::new(all().filter(|(row, _)| !row.slow).collect());
    let one = |(row, hop): (&Row, &'static str)| {
        let run = Run::of(sandbox, row, hop);
        runs.lock().unwrap().push(run);
    };
    thread::scope(|scope| {
        for slow in all().filter(|(row, _)| row.slow) {
            scope.spawn(move || one(slow));
        }
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some(next) = next else { break };
                    one(next);
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap();
    runs.sort_by(|a: &Run, b| (&a.row.name, b.hop).cmp(&(&b.row.name, a.hop)));
    runs
}

/// The rows that `CALLERS` names in the environment, or all, and whether these are all.
fn chosen() -> (Vec<Row>, bool) {
    let only = std::env::var("CALLERS").unwrap_or_default();
    let mut rows = Row::all();
    rows.retain(|row| only.is_empty() || only.split_whitespace().any(|name| row.name == name));
    assert!(!rows.is_empty(), "no caller is called {only}");
    (rows, only.is_empty())
}

fn assert_faultless(runs: &[Run]) {
    let faults: Vec<String> = runs
        .iter()
        .filter(|run| !run.faults.is_empty())
        .map(|run| format!("== {} by {}\n{}", run.row.name, run.hop, run.faults.join("\n")))
        .collect();
    assert!(faults.is_empty(), "{} of {} runs\n{}", faults.len(), runs.len(), faults.join("\n"));
}

#[test]
#[ignore = "needs root"]
fn every_caller_is_signed_for_and_says_what_it_meant() {
    let (rows, all) = chosen();
    let sandbox = sandbox(ALL, &DOMAINS);
    let mut runs = run_all(&sandbox, &rows);
    judge::judge(&sandbox, &mut runs);
    for pair in runs.chunks_exact_mut(2) {
        let [first, second] = pair else { continue };
        let (one, other) = (table::line(first), table::line(second));
        if one != other {
            second.faults.push(format!("the hops differ:\n{one}{other}"));
        }
    }
    assert_faultless(&runs);
    let text = table::text(&runs);
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("callers.md"), &text).unwrap();
    if !all {
        return;
    }
    let file = project("docs/callers.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&file, &text).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&file).unwrap_or_default(),
        text,
        "UPDATE_EXPECT=1 writes it again"
    );
}

#[test]
#[ignore = "needs root"]
fn without_a_key_for_the_origin_senders_without_a_domain_are_sent_as_before() {
    let (mut rows, _) = chosen();
    rows.retain(|row| row.signed.as_deref() == Some("origin.example") && !row.slow);
    for row in &mut rows {
        row.signed = None;
        row.unsigned = Some("no domain file".to_owned());
    }
    let sandbox = sandbox(ALL, &["sample.com"]);
    let mut runs = run_all(&sandbox, &rows);
    judge::judge(&sandbox, &mut runs);
    assert_faultless(&runs);
}

/// Some of the callers, with the Postfix of another release of Debian.
fn callers_are_signed_for(suite: &str) {
    let mut rows = Row::all();
    rows.retain(|row| OF_ALL_RELEASES.contains(&row.name.as_str()));
    assert_eq!(rows.len(), OF_ALL_RELEASES.len());
    let builder = format!("tests/it/sandbox/base.sh {suite}");
    let sandbox = sandbox(&builder, &DOMAINS);
    let mut runs = run_all(&sandbox, &rows);
    judge::judge(&sandbox, &mut runs);
    assert_faultless(&runs);
}

#[test]
#[ignore = "needs root"]
fn callers_are_signed_for_with_postfix_3_5() {
    callers_are_signed_for("bullseye");
}

#[test]
#[ignore = "needs root"]
fn callers_are_signed_for_with_postfix_3_10() {
    callers_are_signed_for("trixie");
}
