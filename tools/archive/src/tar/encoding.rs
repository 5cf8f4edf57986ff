//! How attributes are kept: libarchive has percent signs in names and values in base64, GNU tar the
//! two signs that would be misread in a key.

use sapwood::Result;

use super::{malformed, shown};

/// The bytes that `%XX` stands for.
pub fn from_percent(text: &[u8]) -> Result<Vec<u8>> {
    let bad = || malformed("name of an attribute", shown(text), "two hex digits behind each `%`");
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.iter();
    while let Some(&byte) = left.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (high, low) = (digit(left.next()), digit(left.next()));
        let (high, low) = (high.ok_or_else(bad)?, low.ok_or_else(bad)?);
        bytes.push((high * 16 + low) as u8);
    }
    Ok(bytes)
}

/// What GNU tar writes in a key of PAX records for a sign of a name of an attribute.
const SIGNS: [(u8, &[u8]); 2] = [(b'=', b"%3D"), (b'%', b"%25")];

/// The name of an attribute that stands in a key as GNU tar writes it. Others write names as they are: what is
/// no such sign is left.
pub fn from_key(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len());
    let mut left = key;
    while let Some((&byte, rest)) = left.split_first() {
        let sign = SIGNS.iter().find_map(|(sign, word)| Some((sign, left.strip_prefix(*word)?)));
        let (byte, rest) = sign.map_or((byte, rest), |(&sign, rest)| (sign, rest));
        name.push(byte);
        left = rest;
    }
    name
}

/// The name of an attribute as it is to stand in a key: as it is, but where [`from_key`] would make
/// another one of it, and with no equals sign, which would end the key.
pub fn to_key(name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len());
    for (at, &byte) in name.iter().enumerate() {
        let is_misread = SIGNS.iter().any(|(_, word)| name[at..].starts_with(word));
        match SIGNS.iter().find(|(sign, _)| *sign == byte) {
            Some((_, word)) if byte == b'=' || is_misread => key.extend(*word),
            _ => key.push(byte),
        }
    }
    key
}

/// The bytes that base64 text stands for, with or without `=` at its end.
pub fn from_base64(text: &[u8]) -> Result<Vec<u8>> {
    let bad = || malformed("value of an attribute", shown(text), "base64");
    let end = text.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    if text.len() - end > 2 {
        return Err(bad());
    }
    let mut bytes = Vec::with_capacity(end / 4 * 3 + 2);
    for group in text[..end].chunks(4) {
        let mut bits = 0_u32;
        for &byte in group {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return Err(bad()),
            };
            bits = bits << 6 | u32::from(six);
        }
        bits <<= 6 * (4 - group.len());
        let whole = group.len() * 6 / 8;
        // A single letter is no byte, and what does not fill one is zero.
        if whole == 0 || bits.to_be_bytes()[1 + whole..].iter().any(|&byte| byte != 0) {
            return Err(bad());
        }
        bytes.extend(&bits.to_be_bytes()[1..=whole]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_stand_for_bytes() {
        assert_eq!(from_percent(b"user.a%3Db%ff").unwrap(), b"user.a=b\xff");
        for text in [&b"%"[..], b"%4", b"%4x", b"a%"] {
            assert!(from_percent(text).is_err());
        }
    }

    #[test]
    fn names_come_back_from_keys_without_equals_signs() {
        for (name, key) in [
            (&b"user.plain"[..], &b"user.plain"[..]),
            (b"user.a=b", b"user.a%3Db"),
            (b"user.50%", b"user.50%"),
            (b"user.%41", b"user.%41"),
            (b"user.a%3Db", b"user.a%253Db"),
            (b"user.%25%=%", b"user.%2525%%3D%"),
            (b"%%25", b"%%2525"),
        ] {
            assert_eq!(to_key(name), key, "{}", name.escape_ascii());
            assert_eq!(from_key(key), name);
        }
        assert_eq!(from_key(b"user.50%25"), b"user.50%", "as GNU tar writes it");
    }

    #[test]
    fn base64_is_read_with_and_without_its_end() {
        for (text, bytes) in [
            (&b""[..], &b""[..]),
            (b"Zg==", b"f"),
            (b"Zg", b"f"),
            (b"Zm8=", b"fo"),
            (b"Zm9v", b"foo"),
            (b"Zm9vYg", b"foob"),
            (b"/+8A", b"\xff\xef\0"),
        ] {
            assert_eq!(from_base64(text).unwrap(), bytes);
        }
        for text in [&b"Z"[..], b"Zh==", b"Zm9!", b"Zg===", b"Zg==Zg=="] {
            assert!(from_base64(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
