//! `dkimctl log`: counts the messages in the log by domain, result and reason.

mod summary;
mod tally;

use std::ffi::OsStr;
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
    Opt("--file FILE", "read this log file alone, or standard input for -"),
    Opt("--prometheus", "print counters for Prometheus, of the current log by default"),
];

pub(super) const HELP: &str = "\
usage: dkimctl log [OPTION...]

Show what became of mail: signed, unsigned or refused, and why.

Counts the messages in the log by domain, result and reason, says what to do
about each reason, and lists the users whose mail is not signed. Reads
/var/log/mail.log or /var/log/maillog if one of them was written in the last
day, together with the older files that logrotate made of it, as far back as
--since says; else the journal.

Exits with 66 if there is no log, 77 if you may not read it.
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
    match args.path("--file") {
        Some(file) if file == Path::new("-") => {
            tally.read(io::stdin().lock(), Path::new("standard input"))?;
        }
        Some(file) => read(&mut tally, file)?,
        None => match written_lately(now) {
            Some(file) => {
                for older in rotated(file, since)? {
                    read(&mut tally, &older)?;
                }
                read(&mut tally, file)?;
            }
            None => journal(&mut tally, since, Path::new("journalctl"))?,
        },
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
fn written_lately(now: UtcTime) -> Option<&'static Path> {
    FILES
        .into_iter()
        .map(Path::new)
        .find(|path| written(path).is_some_and(|at| at.after(DAY) > now))
}

/// When a file was last written. `None` if there is none.
fn written(path: &Path) -> Option<UtcTime> {
    std::fs::metadata(path).and_then(|found| found.modified()).ok().map(UtcTime::of)
}

/// Programs that decompress a file to standard output when called with `-dc`, by the extension of such files.
const COMPRESSED: [(&str, &str); 4] =
    [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz"), ("zst", "zstd")];

/// The files that logrotate(8) made of a log and that were written since then: `mail.log.1`, `mail.log.2.gz`, `maillog-20261129`.
/// None for the whole log: that is the current file.
fn rotated(file: &Path, since: UtcTime) -> Result<Vec<PathBuf>, Failure> {
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(OsStr::to_str))
    else {
        return Ok(Vec::new());
    };
    let is_rotated = |other: &str| {
        let Some(number) = other.strip_prefix(name).and_then(|rest| rest.strip_prefix(['.', '-']))
        else {
            return false;
        };
        let number = COMPRESSED
            .iter()
            .find_map(|(end, _)| number.strip_suffix(end)?.strip_suffix('.'))
            .unwrap_or(number);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    };
    let names = input::names(folder).map_err(|error| Failure::reading(folder, &error))?;
    let all = names.iter().filter(|name| since.0 > 0 && is_rotated(name));
    let all = all.map(|name| folder.join(name));
    Ok(all.filter(|path| written(path).is_some_and(|at| at >= since)).collect())
}

/// Counts the lines of a file.
fn read(tally: &mut Tally, file: &Path) -> Result<(), Failure> {
    let end = file.extension().and_then(OsStr::to_str).unwrap_or_default();
    let opened = input::open(file).map_err(|error| Failure::reading(file, &error))?;
    let Some((_, program)) = COMPRESSED.iter().find(|(known, _)| *known == end) else {
        return tally.read(opened, file);
    };
    let read = output_of(tally, Command::new(program).arg("-dc").stdin(opened));
    read.map_err(|why| Failure::missing(format_args!("cannot read {file:?}: {why}")))
}

fn journal(tally: &mut Tally, since: UtcTime, program: &Path) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command
        .args(["--identifier=sendmail-dkim", "--output=short-iso", "--no-pager", "--utc"])
        .arg(format!("--since=@{}", since.0))
        .stdin(Stdio::null());
    output_of(tally, &mut command).map_err(|why| {
        let files = FILES.join(" or ");
        Failure::missing(format_args!(
            "no {files} written today, and no journal: {why}; name a log file with --file"
        ))
    })
}

/// Counts the lines that a program writes. The error says why it cannot be run, or how it failed.
fn output_of(tally: &mut Tally, command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error| format!("{name}: {}", plain(&error));
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(output) = child.stdout.take() {
        tally.read(output, Path::new(&name)).map_err(|failure| failure.to_string())?;
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("{name} failed: {status}")) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::admin::temporary::Temporary;

    #[test]
    fn older_files_of_a_log_are_read_as_far_as_is_asked_for() {
        let folder = Temporary::new("logs").unwrap();
        let current = folder.path.join("mail.log");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_968_000);
        let since = now - Duration::from_secs(3_600);
        let line = "2099-01-01T00:00:00Z h sendmail-dkim[1]: uid=0 d=x.test result=signed\n";
        let all = ["mail.log-20990101", "mail.log.1", "mail.log.2.gz"];
        for (name, written) in all.map(|name| (name, since)).into_iter().chain([
            ("mail.log", now),
            ("mail.log.3", since - Duration::from_secs(1)),
            ("mail.log.bak", now),
            ("mail.log.1.txt", now),
            ("mail.log.", now),
            ("mail.logs.1", now),
        ]) {
            let path = folder.path.join(name.trim_end_matches(".gz"));
            fs::write(&path, line).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
            if name.ends_with(".gz") {
                assert!(Command::new("gzip").arg(&path).status().unwrap().success());
            }
        }
        let found = rotated(&current, UtcTime::of(since)).unwrap();
        assert_eq!(found, all.map(|name| folder.path.join(name)));
        let mut tally = Tally::new(UtcTime::of(since), UtcTime::of(now));
        found.iter().for_each(|file| read(&mut tally, file).unwrap());
        assert_eq!(tally.summary().signed, 3);
        // The whole log is the current file.
        assert!(rotated(&current, UtcTime(0)).unwrap().is_empty());
        fs::write(&found[2], line).unwrap();
        let failure = read(&mut tally, &found[2]).unwrap_err().to_string();
        assert!(failure.contains("mail.log.2.gz") && failure.contains("gzip failed"), "{failure}");
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_not_an_empty_one() {
        let code = |program: &str| {
            let mut tally = Tally::new(UtcTime(0), UtcTime(0));
            journal(&mut tally, UtcTime(0), Path::new(program)).map_err(|failure| failure.code)
        };
        assert_eq!(code("true"), Ok(()));
        assert_eq!((code("false"), code("/nowhere/journalctl")), (Err(66), Err(66)));
    }

    #[test]
    fn a_time_is_a_length_or_a_date() {
        let now = UtcTime(1_795_968_000);
        assert_eq!(time("1d", now), Ok(UtcTime(1_795_881_600)));
        assert_eq!(time("2026-11-28", now), Ok(UtcTime(1_795_824_000)));
        assert!(time("yesterday", now).is_err());
    }
}
