//! Dates as in rotation.toml, and durations as in options.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset};

use crate::message::date::DateTime;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UtcTime(pub(crate) u64);

impl UtcTime {
    pub(crate) fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    #[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
    pub(crate) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// The time so many seconds later, or the last one that can be written and read.
    pub(crate) fn after(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds).min(YEAR_10000.saturating_sub(1)))
    }

    /// Converts a date, with or without a time of day. Without an offset it is UTC.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "years of 4 digits are far below the limits of i64"
    )]
    pub(crate) fn parse(text: &Datetime) -> Option<Self> {
        let date = text.date?;
        let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
        let time = text.time.map(|time| (time.hour, time.minute, time.second.unwrap_or_default()));
        let (hour, minute, second) = time.unwrap_or_default();
        let offset = match text.offset {
            Some(Offset::Custom { minutes }) => i64::from(minutes),
            Some(Offset::Z) | None => 0,
        };
        let minutes = days * 1_440 + i64::from(hour) * 60 + i64::from(minute) - offset;
        let seconds = u64::try_from(minutes * 60 + i64::from(second)).ok()?;
        // An offset may move a date out of the years that can be written.
        (seconds < YEAR_10000).then_some(Self(seconds))
    }

    /// `20261125160803`
    pub(crate) fn compact(self) -> String {
        DateTime { seconds: self.0, offset: 0 }.compact()
    }

    /// `2026-11-25`
    pub(crate) fn date(self) -> String {
        self.to_string().chars().take(10).collect()
    }
}

/// The first second that has no date of four digits.
const YEAR_10000: u64 = 253_402_300_800;

/// Days from 1970-01-01 to a day of the Gregorian calendar.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "years of 4 digits are far below the limits of i64"
)]
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last day of its year.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `2026-11-25T16:08:03Z`
impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks = ["", "", "", "", "-", "", "-", "", "T", "", ":", "", ":", ""];
        for (mark, digit) in marks.into_iter().zip(self.compact().chars()) {
            write!(f, "{mark}{digit}")?;
        }
        f.write_str("Z")
    }
}

/// Parses `7d` or `12h`. A number without a unit is rejected, because people could mean days or seconds.
pub(crate) fn parse_length(text: &str) -> Option<u64> {
    let (at, unit) = text.char_indices().next_back()?;
    let number = text.get(..at)?;
    let seconds = match unit {
        _ if text == "0" => return Some(0),
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for seconds in [0, 951_782_400, 951_868_799, 1_764_086_883, 4_102_444_800] {
            let text = UtcTime(seconds).to_string();
            assert_eq!(UtcTime::parse(&text.parse().unwrap()), Some(UtcTime(seconds)), "{text}");
        }
        assert_eq!(UtcTime(951_782_400).to_string(), "2000-02-29T00:00:00Z");
        assert_eq!(UtcTime(951_782_400).date(), "2000-02-29");
    }

    #[test]
    fn a_time_that_is_too_far_away_can_be_read_again() {
        for seconds in [0, 300_000_000_000, u64::MAX] {
            let until = UtcTime(1_764_086_883).after(seconds);
            let text = until.to_string();
            assert_eq!(UtcTime::parse(&text.parse().unwrap()), Some(until), "{text}");
        }
    }

    #[test]
    fn people_write_dates_in_other_ways() {
        for (text, seconds) in [
            ("2000-02-29", 951_782_400),
            ("2000-02-29T01:00:00+01:00", 951_782_400),
            ("2000-02-28T22:30:00-01:30", 951_782_400),
            ("2000-02-29 00:00:01", 951_782_401),
        ] {
            assert_eq!(UtcTime::parse(&text.parse().unwrap()), Some(UtcTime(seconds)), "{text}");
        }
    }

    #[test]
    fn a_length_has_a_unit() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("90s", Some(90)),
            ("7d", Some(604_800)),
            ("2h", Some(7_200)),
            ("5m", Some(300)),
            ("1w", Some(604_800)),
        ] {
            assert_eq!(parse_length(text), seconds);
        }
        for text in
            ["", "d", "180", "7y", "-1d", "1.5d", "99999999999999999999d", "999999999999999w"]
        {
            assert_eq!(parse_length(text), None, "{text}");
        }
    }
}
