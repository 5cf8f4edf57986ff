//! Times as people read them.

use std::time::Duration;

const SECONDS_A_DAY: i64 = 86_400;

/// `nanoseconds` since 1970 UTC as `2025-04-27 09:05:41Z`.
pub fn utc(nanoseconds: i64) -> String {
    utc_seconds(nanoseconds.div_euclid(1_000_000_000))
}

/// As [`utc`], of `seconds` since 1970 UTC.
pub fn utc_seconds(seconds: i64) -> String {
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_A_DAY));
    let rest = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// `nanoseconds` since 1970 UTC as RFC 3339 has it, to the second.
pub fn rfc3339(nanoseconds: i64) -> String {
    utc(nanoseconds).replacen(' ', "T", 1)
}

/// A duration with three digits: `850 us`, `12.3 ms`, `4.56 s`.
pub fn duration(duration: Duration) -> String {
    let microseconds = duration.as_micros();
    match microseconds {
        0..1_000 => format!("{microseconds} us"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// The Gregorian date of a day counted from 1970-01-01: days are counted in eras of 400 years
/// that begin on the first of March, so that a leap day is the last of its year.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_over_leap_years_and_before_1970() {
        let times = [
            (0, "1970-01-01 00:00:00Z"),
            (-1, "1969-12-31 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (1_745_744_741, "2025-04-27 09:05:41Z"),
        ];
        for (seconds, text) in times {
            assert_eq!(utc(seconds * 1_000_000_000), text);
        }
        assert_eq!(utc(i64::MIN), "1677-09-21 00:12:43Z");
        assert_eq!(utc(i64::MAX), "2262-04-11 23:47:16Z");
    }

    #[test]
    fn durations_have_three_digits() {
        assert_eq!(duration(Duration::from_micros(850)), "850 us");
        assert_eq!(duration(Duration::from_micros(12_340)), "12.3 ms");
        assert_eq!(duration(Duration::from_millis(4_560)), "4.56 s");
    }
}
