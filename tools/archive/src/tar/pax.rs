//! PAX extended headers: records of `length key=value\n`, where the length counts all of it.

use sapwood::Result;

use super::number::decimal;
use super::{malformed, shown};

/// A record: a key and its value, which may hold any bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaxRecord<'a> {
    /// Not empty, without `=`.
    pub key: &'a [u8],
    /// As it stands.
    pub value: &'a [u8],
}

/// The records of an extended header, which fill `bytes` exactly.
pub fn records(mut bytes: &[u8]) -> Result<Vec<PaxRecord<'_>>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) = record(bytes)?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

fn record(bytes: &[u8]) -> Result<(PaxRecord<'_>, &[u8])> {
    /// More digits than the longest record has.
    const DIGITS_MAX: usize = 20;
    let bad = |expected| malformed("PAX record", shown(bytes), expected);
    let space = bytes.iter().take(DIGITS_MAX).position(|&byte| byte == b' ');
    let space = space.ok_or_else(|| bad("a length and a space"))?;
    let length = decimal(&bytes[..space], "length of a PAX record")?;
    let length = usize::try_from(length).ok().filter(|&length| length <= bytes.len());
    let length = length.ok_or_else(|| bad("a length within the header"))?;
    let text = bytes.get(space + 1..length).ok_or_else(|| bad("a length past the space"))?;
    let text = text.strip_suffix(b"\n").ok_or_else(|| bad("a newline where the record ends"))?;
    let equals = text.iter().position(|&byte| byte == b'=').filter(|&at| at > 0);
    let equals = equals.ok_or_else(|| bad("a key, `=` and a value"))?;
    let record = PaxRecord { key: &text[..equals], value: &text[equals + 1..] };
    Ok((record, &bytes[length..]))
}

/// Appends a record.
pub fn push_record(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    // The length counts its own digits.
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length = rest + digits(length);
    }
    to.extend(length.to_string().bytes());
    to.push(b' ');
    to.extend(key);
    to.push(b'=');
    to.extend(value);
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_lengths_come_back_with_any_bytes_in_them() {
        for length in (0..200).chain(980..1010).chain(9_980..10_010) {
            let value: Vec<u8> = (0..length).map(|at| [b'\n', b'=', 0, b' '][at % 4]).collect();
            let mut bytes = Vec::new();
            push_record(&mut bytes, b"SCHILY.xattr.user.a", &value);
            push_record(&mut bytes, b"k", b"");
            let records = records(&bytes).unwrap();
            assert_eq!(records.len(), 2);
            assert_eq!(records[0], PaxRecord { key: b"SCHILY.xattr.user.a", value: &value });
            assert_eq!(records[1], PaxRecord { key: b"k", value: b"" });
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for bytes in [
            &b"6 a=b"[..],
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 a=b\nx",
            b"x a=b\n",
            b"6  =b\n\n",
            b"5 =b\n",
            b"5 ab\n",
            b"06 a=b",
            b"\n",
            b"2 ",
            b"1 ",
            b"0 ",
            b"18446744073709551616 a=b\n",
            b"999999999999999999999999 a=b\n",
            b"6 a=b\n\0",
        ] {
            assert!(records(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        assert_eq!(records(b"").unwrap(), []);
        assert_eq!(records(b"6 a=b\n").unwrap().len(), 1);
    }
}
