//! The counts of a log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use memchr::memmem::Finder;
use memchr::memrchr;
use nix::unistd::{Uid, User};

use super::summary::{Fatal, Group, Reason, Sender, Summary};
use crate::admin::log_line::{self, Said, Stamp};
use crate::admin::output::Failure;
use crate::admin::program::output;
use crate::admin::remedies::kind_of;
use crate::admin::store::time::{UtcTime, days};

/// What is counted together: the domain, whether the line names a signing domain, the result and the code of the reason.
type Key = (String, bool, &'static str, &'static str);

/// The counts of a log.
pub(super) struct Tally {
    since: UtcTime,
    now: UtcTime,
    /// Local time minus UTC in seconds; set when it is needed.
    offset: Option<i64>,
    groups: HashMap<Key, u64>,
    /// The first reason of each kind.
    examples: BTreeMap<&'static str, String>,
    users: BTreeMap<u32, u64>,
    failures: BTreeMap<String, u64>,
}

/// How many bytes are read at a time.
const PIECE: usize = 1 << 20;

/// The longest line of the wrapper.
const LONGEST_LINE: usize = 64 << 10;

/// The most domains that are counted separately: callers can write any domain to the log.
const MOST_GROUPS: usize = 100_000;

impl Tally {
    pub(super) fn new(since: UtcTime, now: UtcTime) -> Self {
        let (groups, examples, users, failures) = Default::default();
        Self { since, now, offset: None, groups, examples, users, failures }
    }

    /// Counts the lines of a log.
    pub(super) fn read(&mut self, mut log: impl Read, path: &Path) -> Result<(), Failure> {
        let finder = Finder::new(b" sendmail-dkim[");
        let mut piece = vec![0; PIECE];
        let mut kept = 0;
        loop {
            let free = piece.get_mut(kept..).unwrap_or_default();
            let length = match log.read(free) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::reading(path, &error)),
            };
            let filled = piece.get(..kept.saturating_add(length)).unwrap_or_default();
            let whole = match memrchr(b'\n', filled) {
                Some(end) if length > 0 => end.saturating_add(1),
                // The last line may have no line end. A line that is longer than the buffer is skipped.
                _ if length == 0 || filled.len() == PIECE => filled.len(),
                _ => 0,
            };
            self.lines(filled.get(..whole).unwrap_or_default(), &finder);
            if length == 0 {
                return Ok(());
            }
            let rest = whole..filled.len();
            kept = rest.len();
            piece.copy_within(rest, 0);
        }
    }

    fn lines(&mut self, mut text: &[u8], finder: &Finder<'_>) {
        while let Some(at) = finder.find(text) {
            let (before, after) = text.split_at_checked(at).unwrap_or_default();
            let start = memrchr(b'\n', before).map_or(0, |end| end.saturating_add(1));
            let length = memchr::memchr(b'\n', after).unwrap_or(after.len());
            let end = at.saturating_add(length);
            let line = text.get(start..end).unwrap_or_default();
            if line.len() <= LONGEST_LINE
                && let Ok(line) = std::str::from_utf8(line)
                && let Some((stamp, said)) = log_line::parse(line)
                && self.is_meant(stamp)
            {
                self.count(said);
            }
            text = text.get(end..).unwrap_or_default();
        }
    }

    /// Whether a line is recent enough.
    fn is_meant(&mut self, stamp: Stamp) -> bool {
        let time = match stamp {
            Stamp::Utc(time) => time,
            Stamp::Local(..) if self.since.0 == 0 => return true,
            Stamp::Local(month, seconds) => {
                let offset = *self.offset.get_or_insert_with(local_offset);
                in_the_last_year(month, seconds, offset, self.now)
            }
        };
        time >= self.since
    }

    fn count(&mut self, said: Said<'_>) {
        let entry = match said {
            Said::Message(entry) => entry,
            Said::Fatal(text) => {
                let is_known = self.failures.len() < MOST_GROUPS;
                let text = if is_known { text } else { "other failures" };
                return add(self.failures.entry(text.to_owned()).or_default());
            }
        };
        if entry.result != "signed" {
            add(self.users.entry(entry.uid).or_default());
        }
        let code = entry.reason.map_or("", |reason| {
            let code = kind_of(reason).code;
            self.examples.entry(code).or_insert_with(|| reason.to_owned());
            code
        });
        let is_full = self.groups.len() >= MOST_GROUPS;
        let domain = if is_full { "" } else { entry.about() };
        let key = (domain.to_owned(), entry.domain.is_some(), entry.result, code);
        add(self.groups.entry(key).or_default());
    }

    pub(super) fn summary(&self) -> Summary {
        let group = |(key, messages): (&Key, &u64)| {
            let (domain, configured, result, reason) = key.clone();
            Group { domain, configured, result, reason, messages: *messages }
        };
        let mut groups: Vec<_> = self.groups.iter().map(group).collect();
        groups.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        let total = |result| {
            groups.iter().filter(|group| group.result == result).map(|group| group.messages).sum()
        };
        let reason = |(code, example): (&&'static str, &String)| {
            let of_code = groups.iter().filter(|group| group.reason == *code);
            Reason {
                code,
                example: example.clone(),
                remedy: kind_of(example).remedy,
                messages: of_code.map(|group| group.messages).sum(),
            }
        };
        let mut reasons: Vec<_> = self.examples.iter().map(reason).collect();
        reasons.sort_by_key(|reason| Reverse(reason.messages));
        let user = |(&uid, &messages): (&u32, &u64)| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            Sender { uid, name: user.map(|user| user.name), messages }
        };
        let mut users: Vec<_> = self.users.iter().map(user).collect();
        users.sort_by_key(|user| Reverse(user.messages));
        let failure = |(text, times): (&String, &u64)| Fatal { text: text.clone(), times: *times };
        Summary {
            since: (self.since.0 > 0).then(|| self.since.to_string()),
            until: self.now.to_string(),
            signed: total("signed"),
            unsigned: total("unsigned"),
            refused: total("refused"),
            failures: self.failures.iter().map(failure).collect(),
            groups,
            reasons,
            users,
        }
    }
}

fn add(count: &mut u64) {
    *count = count.saturating_add(1);
}

/// A day, in seconds.
pub(super) const DAY: u64 = 86_400;

/// Local time minus UTC, in seconds. Without date(1), 0.
fn local_offset() -> i64 {
    let text = output("date", &["+%z"]).unwrap_or_default();
    log_line::zone(text.trim()).unwrap_or_default()
}

/// The time of a line without a year: the latest one that is not in the future, with a tolerance for a clock that was set back.
fn in_the_last_year(month: u8, seconds: u32, offset: i64, now: UtcTime) -> UtcTime {
    let year: i64 = now.date().get(..4).and_then(|year| year.parse().ok()).unwrap_or_default();
    let of = |year| {
        let begin = days(year, month.into(), 1).saturating_mul(86_400);
        let local = begin.saturating_add(seconds.into());
        UtcTime(u64::try_from(local.saturating_sub(offset)).unwrap_or_default())
    };
    // In a time zone ahead of UTC the new year may have begun.
    let years = [year.saturating_add(1), year, year.saturating_sub(1)];
    let latest = years.map(of).into_iter().find(|time| *time <= now.after(DAY));
    latest.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::checks::finding::Severity;

    const NOW: &str = "2026-11-29T16:00:00Z";

    fn at(text: &str) -> UtcTime {
        UtcTime::parse(&text.parse().unwrap()).unwrap()
    }

    fn tally(since: u64, log: &[u8]) -> Summary {
        let mut tally = Tally::new(UtcTime(since), at(NOW));
        tally.offset = Some(3_600);
        // The size of the reads does not matter.
        struct Pieces<'a>(&'a [u8]);
        impl Read for Pieces<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.0.len().min(7).min(buffer.len());
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let path = Path::new("x");
        tally.read(Pieces(log), path).unwrap();
        let mut whole = Tally::new(UtcTime(since), at(NOW));
        whole.offset = tally.offset;
        whole.read(log, path).unwrap();
        assert_eq!(tally.groups, whole.groups);
        tally.summary()
    }

    fn line(time: &str, text: &str) -> String {
        format!("{time} host sendmail-dkim[7]: {text}\n")
    }

    #[test]
    fn messages_are_counted_by_domain_result_and_reason() {
        let time = "2026-11-29T15:00:00Z";
        let mut log = line(time, "uid=33 author=<a@x.test> d=x.test s=s1 result=signed").repeat(3);
        log.push_str(&line(
            time,
            "uid=33 author=<a@y.test> result=unsigned reason=\"no domain file\"",
        ));
        log.push_str(&line(
            time,
            "uid=0 author=<b@y.test> result=unsigned reason=\"no domain file\"",
        ));
        log.push_str(&line(
            time,
            "uid=0 author=<a@x.test> d=x.test s=s1 result=refused reason=\"cannot open key /k\"",
        ));
        log.push_str(&line(time, "fatal: no real sendmail at \"/x\""));
        log.push_str("2026-11-29T15:00:00Z host postfix/qmgr[1]: 4F: from=<a@x.test>, size=3\n");
        // The last line has no end, as when the daemon is writing it.
        log.push_str(line(time, "uid=5 result=unsigned reason=\"no From field\"").trim_end());
        let found = tally(0, log.as_bytes());
        assert_eq!((found.signed, found.unsigned, found.refused), (3, 3, 1));
        let groups: Vec<_> = found
            .groups
            .iter()
            .map(|group| {
                (&*group.domain, group.configured, group.result, group.reason, group.messages)
            })
            .collect();
        assert_eq!(
            groups,
            [
                ("", false, "unsigned", "bad-from", 1),
                ("x.test", true, "signed", "", 3),
                ("x.test", true, "refused", "key", 1),
                ("y.test", false, "unsigned", "no-domain-file", 2),
            ]
        );
        assert_eq!(
            found.users.iter().map(|user| (user.uid, user.messages)).collect::<Vec<_>>(),
            [(0, 2), (5, 1), (33, 1)]
        );
        assert_eq!(found.reasons[0].code, "no-domain-file");
        // The first reason of a kind is its example.
        let other = line(time, "uid=0 result=unsigned reason=\"cannot open key /k2\"");
        let later = tally(0, [&log, "\n", &*other].concat().as_bytes());
        let of_keys = later.reasons.iter().find(|reason| reason.code == "key").unwrap();
        assert_eq!((&*of_keys.example, of_keys.messages), ("cannot open key /k", 2));
        assert_eq!(found.failures[0].times, 1);
        let text = found.prometheus();
        assert!(text.contains("{domain=\"x.test\",result=\"signed\",reason=\"\"} 3\n"), "{text}");
        assert!(
            text.contains("{domain=\"\",result=\"unsigned\",reason=\"no-domain-file\"} 2\n"),
            "{text}"
        );
    }

    #[test]
    fn every_call_that_failed_counts_for_prometheus_even_with_the_same_text() {
        let failed = |text: &str| line("2026-11-29T15:00:00Z", &format!("fatal: {text}"));
        let log = failed("no real sendmail at \"/x\"").repeat(2) + &failed("cannot run \"/y\"");
        let text = tally(0, log.as_bytes()).prometheus();
        assert!(text.ends_with("\nsendmail_dkim_failures_total 3\n"), "{text}");
    }

    #[test]
    fn the_text_has_the_domains_and_users_with_the_most_messages_first() {
        let mut log = String::new();
        for uid in 1..=12 {
            let text =
                format!("uid={uid} author=<a@y.test> result=unsigned reason=\"no domain file\"");
            log.push_str(&line("2026-11-29T15:00:00Z", &text).repeat(uid));
        }
        log.push_str(&line(
            "2026-11-29T15:00:00Z",
            "uid=1 author=<a@a.test> d=a.test s=s result=signed",
        ));
        log.push_str(&line(
            "2026-11-29T15:00:00Z",
            "uid=1 result=unsigned reason=\"no From field\"",
        ));
        log.push_str(&line("2026-11-29T15:00:00Z", "fatal: no real sendmail at \"/x\""));
        let found = tally(0, log.as_bytes());
        let text = found.text();
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(
            at("        0        78         0  y.test\n") < at("         0  a.test\n"),
            "{text}"
        );
        assert!(at("       78  no domain file\n") < at("        1  no From field\n"), "{text}");
        assert!(
            at("         0  (none)\n") < at("       12  ") && at("       12  ") < at("       11  ")
        );
        // Ten of twelve users.
        assert_eq!(text.matches(" (uid ").count(), 10, "{text}");
        let severities: Vec<_> = found.findings().iter().map(|one| one.severity).collect();
        assert_eq!(severities, [Severity::Warning, Severity::Warning, Severity::Error]);
    }

    #[test]
    fn older_lines_are_left_out() {
        let since = at("2026-11-29T15:00:00Z").0;
        let signed = "uid=33 author=<a@x.test> d=x.test s=s1 result=signed";
        for (time, expected) in [
            ("2026-11-29T14:59:59Z", 0),
            ("2026-11-29T15:00:00Z", 1),
            ("2026-11-29T16:00:00+01:00", 1),
            ("2026-11-29T15:30:00+01:00", 0),
            // Local time is an hour ahead of UTC here.
            ("Nov 29 15:59:59", 0),
            ("Nov 29 16:00:00", 1),
            ("Dec  1 16:00:00", 0),
            ("Nov  9 23:00:00", 0),
        ] {
            assert_eq!(tally(since, line(time, signed).as_bytes()).signed, expected, "{time}");
        }
    }

    #[test]
    fn a_line_without_a_year_is_of_the_last_twelve_months() {
        for (now, month, expected) in [
            ("2026-11-29T16:00:00Z", 11, "2026-11-01T00:00:00Z"),
            ("2026-11-29T16:00:00Z", 12, "2025-12-01T00:00:00Z"),
            ("2026-12-31T23:30:00Z", 1, "2027-01-01T00:00:00Z"),
            ("2027-01-01T00:30:00Z", 12, "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(in_the_last_year(month, 0, 0, at(now)).to_string(), expected, "{now}");
        }
    }

    #[test]
    fn hostile_logs_cost_no_more_than_their_length() {
        let domains = (0..MOST_GROUPS + 10).map(|number| {
            line(
                "2026-11-29T15:00:00Z",
                &format!(
                    "uid=1 author=<a@{number}.test> result=unsigned reason=\"no domain file\""
                ),
            )
        });
        let found = tally(0, domains.collect::<String>().as_bytes());
        assert_eq!(
            (found.unsigned, found.groups.len()),
            (u64::try_from(MOST_GROUPS).unwrap() + 10, MOST_GROUPS + 1)
        );
        let fatal = |number: usize| line("2026-11-29T15:00:00Z", &format!("fatal: {number}"));
        let found = tally(0, (0..MOST_GROUPS + 10).map(fatal).collect::<String>().as_bytes());
        assert_eq!(found.failures.len(), MOST_GROUPS + 1);
        let long = format!("2026-11-29T15:00:00Z host sendmail-dkim[1]: {}\n", "x".repeat(3 << 20));
        let signed = line("2026-11-29T15:00:00Z", "uid=33 d=x.test s=s1 result=signed");
        let mut log = format!("{long}{signed}").into_bytes();
        log.splice(0..0, *b"\xff\xfe sendmail-dkim[\n");
        let mut read = Tally::new(UtcTime(0), at(NOW));
        read.read(&*log, Path::new("x")).unwrap();
        assert_eq!(read.summary().signed, 1);
    }
}
