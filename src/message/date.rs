//! Dates and times in the format of RFC 5322 §3.3. The caller passes the clock and the offset as values.

use std::fmt;

/// A date and time of day at an offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: u64,
    /// Seconds east of UTC.
    pub offset: i32,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970-01-01 was one
const DAY: i64 = 86_400;

/// Year, month (0–11), day (1–31) of a day counted from 1970-01-01 in the Gregorian calendar.
#[expect(clippy::arithmetic_side_effects, reason = "|days| < 2^40: nowhere near the width of i64")]
fn civil(days: i64) -> (i64, usize, i64) {
    // Years begin in March here, so that the leap day is the last day of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    (year, usize::try_from(month).unwrap_or_default(), day)
}

impl DateTime {
    /// The date and time of day at the offset: days since 1970-01-01, and the second of the day.
    fn local(self) -> (i64, i64) {
        let seconds = i64::try_from(self.seconds).unwrap_or(i64::MAX).min(1 << 40);
        let local = seconds.saturating_add(i64::from(self.offset));
        (local.div_euclid(DAY), local.rem_euclid(DAY))
    }

    /// `20261124171002`: for a Message-ID, in UTC.
    #[must_use]
    pub fn compact(self) -> String {
        let (days, second) = Self { offset: 0, ..self }.local();
        let (year, month, day) = civil(days);
        let month = month.saturating_add(1);
        format!("{year:04}{month:02}{day:02}{}", clock(second, ""))
    }
}

fn clock(second: i64, separator: &str) -> String {
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{hour:02}{separator}{minute:02}{separator}{second:02}")
}

/// `Tue, 24 Nov 2026 17:10:02 +0000` (RFC 5322 §3.3).
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = self.local();
        let (year, month, day) = civil(days);
        let week_day = usize::try_from(days.rem_euclid(7)).unwrap_or_default();
        let month = MONTHS.get(month).copied().unwrap_or_default();
        let week_day = DAYS.get(week_day).copied().unwrap_or_default();
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        write!(
            f,
            "{week_day}, {day} {month} {year:04} {} {sign}{:02}{:02}",
            clock(second, ":"),
            minutes / 60,
            minutes % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(seconds: u64, offset: i32) -> String {
        DateTime { seconds, offset }.to_string()
    }

    #[test]
    fn a_date_has_the_format_of_rfc_5322() {
        assert_eq!(shown(0, 0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(shown(1_700_000_000, 0), "Tue, 14 Nov 2023 22:13:20 +0000");
        assert_eq!(shown(951_827_696, 0), "Tue, 29 Feb 2000 12:34:56 +0000");
        assert_eq!(shown(4_107_542_399, 0), "Sun, 28 Feb 2100 23:59:59 +0000");
        assert_eq!(shown(4_107_542_400, 0), "Mon, 1 Mar 2100 00:00:00 +0000");
    }

    #[test]
    fn an_offset_moves_the_clock_and_is_named() {
        assert_eq!(shown(1_700_000_000, 32_400), "Wed, 15 Nov 2023 07:13:20 +0900");
        assert_eq!(shown(0, -12_600), "Wed, 31 Dec 1969 20:30:00 -0330");
    }

    #[test]
    fn the_compact_form_is_in_utc() {
        let date = DateTime { seconds: 1_700_000_000, offset: 32_400 };
        assert_eq!(date.compact(), "20231114221320");
    }

    #[test]
    fn the_largest_time_is_a_date() {
        assert!(shown(u64::MAX, 0).contains(" 36812 "));
    }
}
