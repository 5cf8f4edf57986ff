//! Sizes as people type and read them.

const IEC: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// How sizes are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// In KiB, MiB, ...: three digits, for people.
    Iec,
    /// In bytes, exact.
    Bytes,
}

impl Units {
    /// `bytes` in these units.
    pub fn size(self, bytes: u64) -> String {
        self.long_size(u128::from(bytes))
    }

    /// As [`Units::size`], for what spans an address space.
    pub fn long_size(self, bytes: u128) -> String {
        match self {
            Units::Bytes => bytes.to_string(),
            Units::Iec if bytes < 1024 => format!("{bytes} B"),
            Units::Iec => iec(bytes),
        }
    }
}

/// `1 layer`, `2 layers`.
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn iec(bytes: u128) -> String {
    let mut unit = 0;
    // In tenths, so that rounding is of integers and never of a float.
    let mut scale: u128 = 1024;
    while unit + 1 < IEC.len() && tenths(bytes, scale) >= 10_240 {
        scale *= 1024;
        unit += 1;
    }
    let tenths = tenths(bytes, scale);
    let unit = IEC[unit];
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, _) if whole >= 100 => format!("{} {unit}", (tenths + 5) / 10),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

fn tenths(bytes: u128, scale: u128) -> u128 {
    (bytes * 10 + scale / 2) / scale
}

/// Reads `4096`, `4K`, `4KiB`, `1.5G` (powers of 1024) or `4kB`, `1GB` (powers of 1000).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than an exact fraction of the largest unit can have are a mistake.
    if whole.is_empty() || !is_number(fraction) || fraction.len() > 18 || number.ends_with('.') {
        return Err("a size is a number of bytes, perhaps with a unit: 4096, 64K, 1.5G".to_owned());
    }
    let scale = scale_of(unit)
        .ok_or_else(|| format!("unknown unit {unit:?}: use K, M, G, T, P, E, KiB, ..., kB, ..."))?;
    let too_large = || "larger than 64 bits hold".to_owned();
    let whole: u128 = whole.parse::<u64>().map_err(|_| too_large())?.into();
    let denominator = 10_u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().unwrap_or(0) };
    let parts = fraction * scale;
    if !parts.is_multiple_of(denominator) {
        return Err("not a whole number of bytes".to_owned());
    }
    u64::try_from(whole * scale + parts / denominator).map_err(|_| too_large())
}

fn scale_of(unit: &str) -> Option<u128> {
    if matches!(unit, "" | "B") {
        return Some(1);
    }
    let (letter, rest) = unit.split_at_checked(1)?;
    let power = 1 + "KMGTPE".find(&letter.to_ascii_uppercase())? as u32;
    match rest {
        "" | "iB" => Some(1 << (10 * power)),
        "B" => Some(1000_u128.pow(power)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly() {
        let sizes = [
            ("0", 0),
            ("4096", 4096),
            ("17B", 17),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("4kB", 4000),
            ("1.5G", 3 << 29),
            ("1GB", 1_000_000_000),
            ("0.5kB", 500),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        let bad = [
            "",
            "K",
            ".5K",
            "5.K",
            "-1",
            "1.2.3",
            "1X",
            "1Ki",
            "1KB ",
            " 1",
            "0.3",
            "16E",
            "1é",
            "18446744073709551616",
            "0.0000000000000000001E",
            "1_000",
        ];
        for text in bad {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        for (text, told) in [("-5", "a size is"), ("five", "a size is"), ("5 five", "unknown unit")]
        {
            assert!(parse_size(text).unwrap_err().starts_with(told), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_printed_with_three_digits() {
        let sizes: [(u64, &str); 10] = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024 + 52, "10.1 KiB"),
            (123 * 1024 + 512, "124 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (1 << 30, "1 GiB"),
            (1023 << 30, "1023 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(Units::Iec.size(bytes), text);
        }
        assert_eq!(Units::Bytes.size(u64::MAX), u64::MAX.to_string());
        assert_eq!(
            (counted(1, "layer"), counted(0, "layer")),
            ("1 layer".into(), "0 layers".into())
        );
    }
}
