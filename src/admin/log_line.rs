//! One line of a log as syslog daemons and journalctl(1) write it, and what the wrapper said in it.

use crate::admin::store::time::{UtcTime, days};

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) uid: u32,
    /// The author address, escaped as in the log.
    pub(crate) author: Option<&'a str>,
    /// d=
    pub(crate) domain: Option<&'a str>,
    pub(crate) result: &'static str,
    /// As it is in the log: quotes and backslashes are escaped.
    pub(crate) reason: Option<&'a str>,
}

impl Entry<'_> {
    /// The domain that signed, or else the one of the author address; empty if the line has neither.
    pub(crate) fn about(&self) -> &str {
        let of_author = || self.author.and_then(|author| author.rsplit_once('@'));
        self.domain.or_else(|| Some(of_author()?.1)).unwrap_or_default()
    }
}

/// What the wrapper wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// Of a message.
    Message(Entry<'a>),
    /// A failure before there was a message.
    Fatal(&'a str),
}

/// The time of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// RFC 3339, as rsyslog and journalctl write it.
    Utc(UtcTime),
    /// RFC 3164: local time without a year. The month, 1 to 12, and the seconds since that month began.
    Local(u8, u32),
}

/// Takes a line of the wrapper apart. `None`: another program wrote it.
pub(crate) fn parse(line: &str) -> Option<(Stamp, Said<'_>)> {
    let (stamp, rest) = stamp(line)?;
    let (_host, rest) = rest.split_once(' ')?;
    let (pid, text) = rest.strip_prefix("sendmail-dkim[")?.split_once("]: ")?;
    if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Some(fatal) = text.strip_prefix("fatal: ") {
        return Some((stamp, Said::Fatal(fatal)));
    }
    Some((stamp, Said::Message(message(text)?)))
}

/// The words before the reason end at a space, and the reason is the last part; see `DIAGNOSTICS` in sendmail.dkim(8).
fn message(text: &str) -> Option<Entry<'_>> {
    let (words, reason) = match text.split_once(" reason=\"") {
        Some((words, reason)) => (words, Some(reason.strip_suffix('"').unwrap_or(reason))),
        None => (text, None),
    };
    let (mut uid, mut author, mut domain, mut result) = (None, None, None, None);
    for word in words.split(' ') {
        match word.split_once('=')? {
            ("uid", value) => uid = value.parse().ok(),
            ("author", value) => author = value.strip_prefix('<').and_then(|v| v.strip_suffix('>')),
            ("d", value) => domain = Some(value),
            ("result", value) => result = RESULTS.into_iter().find(|known| *known == value),
            _ => (),
        }
    }
    Some(Entry { uid: uid?, author, domain, result: result?, reason })
}

/// What may become of a message.
pub(crate) const RESULTS: [&str; 3] = ["signed", "unsigned", "refused"];

const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

fn stamp(line: &str) -> Option<(Stamp, &str)> {
    if line.starts_with(|char: char| char.is_ascii_digit()) {
        let (time, rest) = line.split_once(' ')?;
        return Some((Stamp::Utc(rfc3339(time)?), rest));
    }
    let (time, rest) = line.split_at_checked("Nov 29 15:52:31".len())?;
    let month = MONTHS.find(time.get(..3)?).filter(|at| at % 3 == 0)?;
    let day: u32 =
        time.get(4..6)?.trim_start().parse().ok().filter(|day| (1..=31).contains(day))?;
    let seconds = day.checked_sub(1)?.checked_mul(86_400)?.checked_add(clock(time.get(7..)?)?)?;
    let month = u8::try_from(month / 3).ok()?.checked_add(1)?;
    Some((Stamp::Local(month, seconds), rest.strip_prefix(' ')?))
}

/// `15:52:31` in seconds.
fn clock(text: &str) -> Option<u32> {
    let part = |range| text.get::<std::ops::Range<usize>>(range)?.parse::<u32>().ok();
    let (hours, minutes, seconds) = (part(0..2)?, part(3..5)?, part(6..8)?);
    hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

/// `2026-11-29T15:52:31`, a fraction or none, and `Z`, `+01:00` or `+0100`.
fn rfc3339(text: &str) -> Option<UtcTime> {
    let (date, time) = text.split_at_checked("2026-11-29".len())?;
    let part = |range| date.get::<std::ops::Range<usize>>(range)?.parse::<i64>().ok();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let time = time.strip_prefix(['T', 't'])?;
    let seconds = i64::from(clock(time)?);
    let zone = time.get(8..)?.trim_start_matches(|char: char| char == '.' || char.is_ascii_digit());
    let offset = if zone.is_empty() { 0 } else { self::zone(zone)? };
    let seconds = days(year, month, day).checked_mul(86_400)?.checked_add(seconds)?;
    Some(UtcTime(u64::try_from(seconds.checked_sub(offset)?).ok()?))
}

/// `Z`, `+01:00` or `+0100` in seconds.
pub(crate) fn zone(text: &str) -> Option<i64> {
    let (sign, text) = match text.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let hours: i64 = text.get(..2)?.parse().ok()?;
    let minutes: i64 = text.get(2..)?.trim_start_matches(':').parse().ok()?;
    hours.checked_mul(60)?.checked_add(minutes)?.checked_mul(60)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "sendmail-dkim[12]: uid=33 envelope=<> message-id=<1@x> size=8 time=4 \
                          author=<a@sample.com> d=sample.com s=s1 result=signed";

    fn entry(text: &str) -> Option<Entry<'_>> {
        match parse(text)?.1 {
            Said::Message(entry) => Some(entry),
            Said::Fatal(_) => None,
        }
    }

    #[test]
    fn times_are_those_of_both_forms() {
        let utc = |text: &str| {
            let line = format!("{text} host {SIGNED}");
            match parse(&line).map(|(stamp, _)| stamp) {
                Some(Stamp::Utc(time)) => Some(time.to_string()),
                _ => None,
            }
        };
        for (text, expected) in [
            ("2026-11-29T15:52:31Z", "2026-11-29T15:52:31Z"),
            ("2026-11-29T15:52:31.123456+01:00", "2026-11-29T14:52:31Z"),
            ("2026-11-29T23:52:31-0130", "2026-11-30T01:22:31Z"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(expected));
        }
        for text in [
            "2026-11-29",
            "2026-13-29T15:52:31Z",
            "2026-11-29T15:5:31Z",
            "9T",
            "2026-11-29T15:52:31+x",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        let local = |text: &str| parse(text).map(|(stamp, _)| stamp);
        let seconds = 28 * 86_400 + 15 * 3_600 + 52 * 60 + 31;
        assert_eq!(
            local(&format!("Nov 29 15:52:31 host {SIGNED}")),
            Some(Stamp::Local(11, seconds))
        );
        assert_eq!(local(&format!("Jan  1 00:00:00 host {SIGNED}")), Some(Stamp::Local(1, 0)));
        for text in
            ["Nox 29 15:52:31 host", "ovD 29 15:52:31 host", "Nov 32 15:52:31 host", "Nov 29"]
        {
            assert_eq!(local(&format!("{text} {SIGNED}")), None, "{text}");
        }
    }

    #[test]
    fn a_line_is_that_of_the_wrapper_only_by_its_tag() {
        let line = format!("2026-11-29T15:52:31Z host {SIGNED}");
        let found = entry(&line).unwrap();
        assert_eq!((found.uid, found.result, found.about()), (33, "signed", "sample.com"));
        for text in [
            format!("2026-11-29T15:52:31Z host postfix/cleanup[1]: header Subject: {SIGNED}"),
            format!("2026-11-29T15:52:31Z host x {SIGNED}"),
            SIGNED.to_owned(),
            "2026-11-29T15:52:31Z host sendmail-dkim[x]: uid=1 result=signed".to_owned(),
            "2026-11-29T15:52:31Z host sendmail-dkim[1]: uid=1 result=lost".to_owned(),
            "2026-11-29T15:52:31Z host sendmail-dkim[1]: uid=1".to_owned(),
            String::new(),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_reason_and_the_domain_of_the_author_are_found() {
        let line = "Nov 29 15:52:31 h sendmail-dkim[1]: uid=0 author=<\"x\\u{20}y\"@other.net> \
                    result=unsigned reason=\"config.toml: \\\"x\\\" reason=\\\"\"";
        let found = entry(line).unwrap();
        assert_eq!(found.about(), "other.net");
        assert_eq!(found.reason, Some("config.toml: \\\"x\\\" reason=\\\""));
        let line =
            "Nov 29 15:52:31 h sendmail-dkim[1]: uid=0 author=<\"a@b\"@other.net> result=signed";
        assert_eq!(entry(line).unwrap().about(), "other.net");
        let line =
            "Nov 29 15:52:31 h sendmail-dkim[1]: uid=0 result=unsigned reason=\"no From field\"";
        assert_eq!(entry(line).unwrap().about(), "");
        let line = "Nov 29 15:52:31 h sendmail-dkim[1]: fatal: no real sendmail at \"/x\"";
        assert_eq!(parse(line).unwrap().1, Said::Fatal("no real sendmail at \"/x\""));
    }
}
