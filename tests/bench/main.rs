//! `make bench`: what signing costs, by this wrapper and by OpenDKIM's milter, on one machine in one run. Needs root and
//! what the sandbox needs. docs/performance.md says how it is done and has the figures; CONTRIBUTING.md names the
//! variables.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on has failed, and it shows what it found"
)]

/// What the tests stand on.
#[expect(dead_code, unused_imports, reason = "tests need more of it")]
#[path = "../it"]
mod it {
    pub(crate) mod support;
}

mod agent;
mod cpu;
mod figures;
mod host;
mod measure;
mod messages;
mod plot;
mod report;
mod signers;
mod sink;
mod smtp;
mod statistics;

use std::env;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::Instant;

use figures::Extent;
use it::support;
use it::support::project;

fn main() -> ExitCode {
    // The two helpers in the sandbox are this program, too.
    match env::args().nth(1).as_deref() {
        Some("agent") => agent::main(),
        Some("sink") => sink::main(),
        _ => return bench(),
    }
    ExitCode::SUCCESS
}

fn bench() -> ExitCode {
    let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
    let extent = if is_set("BENCH_QUICK") { Extent::Quick } else { Extent::Full };
    let begin = Instant::now();
    let may = Command::new(project("tests/may-make-namespaces")).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("make bench needs root, and namespaces");
        return ExitCode::FAILURE;
    }
    let wrapper = env::var("BENCH_WRAPPER").ok();
    if env::var("BENCH_ONLY").is_ok_and(|part| part == "smtp") {
        let (by_smtp, place) = figures::measure_by_smtp(extent, wrapper.as_deref());
        show_by_smtp(&by_smtp, &place, is_set("UPDATE_EXPECT"));
        return ExitCode::SUCCESS;
    }
    let figures = figures::measure(extent, wrapper.as_deref());
    let seconds = begin.elapsed().as_secs();
    let rows = report::rows(&figures, report::gate().as_ref());
    let table = report::table(&figures, &rows, seconds);
    println!("{table}");
    let folder = project("target/bench");
    fs::create_dir_all(&folder).unwrap();
    let json = report::json(&figures, &rows, seconds);
    fs::write(folder.join("bench.json"), format!("{json:#}\n")).unwrap();
    fs::write(folder.join("bench.md"), &table).unwrap();
    fs::write(folder.join("bench.svg"), plot::svg(&figures)).unwrap();
    println!("in target/bench: bench.json, bench.md, bench.svg, smtp.md");
    show_by_smtp(&figures.by_smtp, &figures.place, is_set("UPDATE_EXPECT"));
    if is_set("UPDATE_EXPECT") {
        report::write_into(&project("docs/performance.md"), &table);
        fs::copy(folder.join("bench.svg"), project("docs/performance.svg")).unwrap();
    }
    let missed: Vec<&str> =
        rows.iter().filter(|row| row.is_missed()).map(|row| row.what.as_str()).collect();
    for what in &missed {
        eprintln!("missed: {what}");
    }
    if missed.is_empty() || is_set("BENCH_LENIENT") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Mail submitted by SMTP is documented in a page of its own.
fn show_by_smtp(by_smtp: &[smtp::BySmtp], place: &str, is_written: bool) {
    let table = smtp::table(by_smtp, place);
    println!("{table}");
    fs::create_dir_all(project("target/bench")).unwrap();
    fs::write(project("target/bench/smtp.md"), &table).unwrap();
    if is_written {
        smtp::write_into(&project("docs/smtp.md"), &table);
    }
}
