//! Lengths of time as Go writes them: `1m30s`, `500ms`.

use std::time::Duration;

use super::error::{Problem, shown};
use super::place::Word;

const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("h", 3600e9), ("m", 60e9), ("s", 1e9)];
/// What is shorter counts as a mistake, as Docker has it; 0 asks for the default.
const SHORTEST: Duration = Duration::from_millis(1);
/// What fits into the nanoseconds that a configuration counts in.
const LONGEST_NANOSECONDS: f64 = i64::MAX as f64;

/// Reads the value of the option `name`.
pub fn read(name: &str, word: &Word) -> Result<Duration, Problem> {
    let wrong = |expected: &str| {
        Problem::new(word.at, format!("option --{name}"), shown(&word.text), expected)
    };
    let duration = parse(&word.text).ok_or_else(|| wrong("a time, as 1m30s or 500ms"))?;
    match duration.is_zero() || duration >= SHORTEST {
        true => Ok(duration),
        false => Err(wrong("at least 1ms, or 0")),
    }
}

/// Reads a length of time, as `1h30m`; `None` for what is none.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        nanoseconds += number * scale;
    }
    let fits = !text.is_empty() && nanoseconds < LONGEST_NANOSECONDS;
    fits.then(|| Duration::from_nanos(nanoseconds.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_writes_them() {
        let read = |text: &str| read("x", &Word { text: text.into(), at: 0 }).ok();
        assert_eq!(read("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("0"), Some(Duration::ZERO));
        assert_eq!(read("0s"), Some(Duration::ZERO));
        for wrong in ["", "5", "s", "1x", "-1s", "1us", "9999999999h", "1.2.3s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
