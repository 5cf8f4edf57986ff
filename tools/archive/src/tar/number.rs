//! Numbers in the fields of a header: octal digits, or two's complement behind a set first bit.

use sapwood::Result;

use super::{malformed, shown};

/// The number in a field of a header.
///
/// Digits may have spaces before them, and spaces or NULs behind. A field of NULs and spaces
/// alone is 0. Fields are 12 bytes at most, so 128 bits hold any of them.
pub fn field(bytes: &[u8], name: &'static str) -> Result<i128> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => Ok(binary(bytes)),
        _ => octal(bytes, name),
    }
}

fn octal(bytes: &[u8], name: &'static str) -> Result<i128> {
    let bad = || malformed(name, shown(bytes), "octal digits");
    let is_pad = |byte: &u8| matches!(byte, b' ' | 0);
    if bytes.iter().all(is_pad) {
        return Ok(0);
    }
    let start = bytes.iter().position(|&byte| byte != b' ').unwrap_or(bytes.len());
    let digits = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes[start..].split_at(digits);
    if digits.is_empty() || !rest.iter().all(is_pad) {
        return Err(bad());
    }
    digits.iter().try_fold(0, |number, &digit| match digit {
        b'0'..=b'7' => Ok(number * 8 + i128::from(digit - b'0')),
        _ => Err(bad()),
    })
}

/// The first bit says that the number is binary, the second one is its sign.
fn binary(bytes: &[u8]) -> i128 {
    let negative = bytes[0] & 0x40 != 0;
    let first = if negative { i128::from(bytes[0]) - 256 } else { i128::from(bytes[0] & 0x3f) };
    bytes[1..].iter().fold(first, |number, &byte| number << 8 | i128::from(byte))
}

/// A decimal number of a PAX record: digits, nothing else.
pub fn decimal(bytes: &[u8], name: &'static str) -> Result<u64> {
    let bad = || malformed(name, shown(bytes), "a decimal number");
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(bad)
}

/// A number that is not negative and fits.
pub fn unsigned(number: i128, name: &'static str) -> Result<u64> {
    // Offsets in a file are signed everywhere below.
    match u64::try_from(number) {
        Ok(number) if i64::try_from(number).is_ok() => Ok(number),
        _ => Err(malformed(name, number, "0 to 2^63 - 1")),
    }
}

/// A user's or group's number. The largest one means "no change" to the host, so it is nobody's.
pub fn identity(number: i128, name: &'static str) -> Result<u32> {
    match u32::try_from(number) {
        Ok(number) if number != u32::MAX => Ok(number),
        _ => Err(malformed(name, number, "0 to 2^32 - 2")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_digits_stand_between_spaces_and_end_in_spaces_or_nuls() {
        for (bytes, number) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"77777777", 0o7777_7777),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
        ] {
            assert_eq!(field(bytes, "mode").unwrap(), number, "{bytes:?}");
        }
        for bytes in [&b"000064x\0"[..], b"0000698\0", b"\x000000644", b"64\x0064\0\0", b"-0000644"]
        {
            assert_eq!(field(bytes, "mode").unwrap_err().field(), Some("mode"), "{bytes:?}");
        }
    }

    #[test]
    fn binary_numbers_keep_their_sign_and_all_their_bytes() {
        assert_eq!(field(&[0x80, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1], "size").unwrap(), (2 << 56) + 1);
        assert_eq!(field(&[0xff; 12], "mtime").unwrap(), -1);
        let above = field(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "size").unwrap();
        assert_eq!(above, 1 << 64);
        assert!(unsigned(above, "size").is_err() && unsigned(-1, "size").is_err());
        assert!(unsigned(1 << 63, "size").is_err());
        assert!(identity(i128::from(u32::MAX), "uid").is_err());
    }

    #[test]
    fn decimal_numbers_have_no_sign_and_no_spaces() {
        assert_eq!(decimal(b"18446744073709551615", "size").unwrap(), u64::MAX);
        for bytes in [&b""[..], b"+1", b" 1", b"1 ", b"18446744073709551616", b"1.0"] {
            assert!(decimal(bytes, "size").is_err(), "{bytes:?}");
        }
    }
}
