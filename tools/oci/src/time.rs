//! Times as configurations write them and as the store does.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// A time of a configuration in nanoseconds since 1970 UTC; `None` for what is none, or is too far
/// away for them.
pub fn parse(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    time.as_nanosecond().try_into().ok()
}

/// Now, in nanoseconds since 1970 UTC.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970 UTC as a configuration writes them.
pub fn written(nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(nanoseconds.into());
    time.expect("64 bits of nanoseconds reach from 1677 to 2262").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone_and_written_in_utc() {
        assert_eq!(parse("2020-01-01T01:00:00.5+01:00"), Some(1_577_836_800_500_000_000));
        assert_eq!(written(1_577_836_800_500_000_000), "2020-01-01T00:00:00.5Z");
        assert_eq!(parse("0001-01-01T00:00:00Z"), None);
        assert_eq!(parse("yesterday"), None);
        for edge in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(parse(&written(edge)), Some(edge));
        }
    }
}
