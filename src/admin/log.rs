//! `dkimctl log`: counts the messages in the log by domain, result and reason.

mod summary;
mod tally;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use super::checks::log::FILES;
use super::cli::{Args, Opt};
use super::input;
use super::output::{Failure, say};
use super::store::time::{UtcTime, parse_length};
use crate::report::plain;
use tally::{DAY, Tally};

pub(super) const OPTIONS: &[Opt] = &[
    Opt("--since TIME", "how far to look back, as 12h or 7d, or a date (default: 1d)"),
    Opt("--file FILE", "read this log file, or standard input for -"),
    Opt("--prometheus", "print counters for Prometheus, of the whole log by default"),
];

pub(super) const HELP: &str = "\
usage: dkimctl log [OPTION...]

Show what became of mail: signed, unsigned or refused, and why.

Counts the messages in the log by domain, result and reason, says what to do
about each reason, and lists the users whose mail is not signed. Reads
/var/log/mail.log or /var/log/maillog if one of them was written in the last
day, else the journal.

Exits with 66 if there is no log that you may read.
";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let is_prometheus = args.has("--prometheus");
    if is_prometheus && args.is_json() {
        return Err(Failure::usage("--json and --prometheus exclude each other"));
    }
    let now = UtcTime::now();
    let since = args.value("--since", |text| time(text, now))?;
    let since = since.unwrap_or(UtcTime(if is_prometheus { 0 } else { now.0.saturating_sub(DAY) }));
    let mut tally = Tally::new(since, now);
    match args.path("--file").map(Path::to_owned).or_else(|| written_lately(now)) {
        Some(file) if file == Path::new("-") => {
            tally.read(io::stdin().lock(), Path::new("standard input"))?;
        }
        Some(file) => {
            let opened = input::open(&file).map_err(|error| Failure::reading(&file, &error))?;
            tally.read(opened, &file)?;
        }
        None => journal(&mut tally, since)?,
    }
    let summary = tally.summary();
    if is_prometheus {
        return say(summary.prometheus());
    }
    args.report(&summary, &summary.findings(), summary.text())
}

fn time(text: &str, now: UtcTime) -> Result<UtcTime, &'static str> {
    if let Some(length) = parse_length(text) {
        return Ok(UtcTime(now.0.saturating_sub(length)));
    }
    let date = text.parse().ok().and_then(|date| UtcTime::parse(&date));
    date.ok_or(
        "expected a length of time, as 12h or 7d, or a date, as 2026-11-29 or 2026-11-29T08:00:00Z",
    )
}

/// The log file of the host, unless its last line is old: a host that only uses the journal may still have an old file.
fn written_lately(now: UtcTime) -> Option<PathBuf> {
    let is_new = |path: &&&str| {
        let modified = std::fs::metadata(path).and_then(|found| found.modified());
        modified.is_ok_and(|time| UtcTime::of(time).after(DAY) > now)
    };
    FILES.iter().find(is_new).map(PathBuf::from)
}

fn journal(tally: &mut Tally, since: UtcTime) -> Result<(), Failure> {
    let journal = Path::new("journalctl");
    let started = Command::new(journal)
        .args(["--identifier=sendmail-dkim", "--output=short-iso", "--no-pager", "--utc"])
        .arg(format!("--since=@{}", since.0))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| {
        let why =
            format!("no {} written today, and no journal: {}", FILES.join(" or "), plain(&error));
        Failure::missing(format_args!("{why}; name a log file with --file"))
    })?;
    if let Some(output) = child.stdout.take() {
        tally.read(output, journal)?;
    }
    let status = child.wait().map_err(|error| Failure::reading(journal, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::missing(format_args!("journalctl failed: {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_length_or_a_date() {
        let now = UtcTime(1_795_968_000);
        assert_eq!(time("1d", now), Ok(UtcTime(1_795_881_600)));
        assert_eq!(time("2026-11-28", now), Ok(UtcTime(1_795_824_000)));
        assert!(time("yesterday", now).is_err());
    }
}
