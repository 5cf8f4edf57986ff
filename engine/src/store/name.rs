//! What a name may be, and how it becomes the name of a file.

use std::fmt;

use crate::error::{Error, Result};
use crate::format::name::NAME_BYTES_MAX;

/// The longest escaped name in bytes: with what is put around it, it still is a
/// file name of at most 250 bytes, and every host takes 255.
const ESCAPED_BYTES_MAX: usize = 220;
/// So many digits of an id are shown where it is shown short.
const ID_DIGITS_MIN: usize = 12;
/// The tag of a name that is looked up where none is said.
const LATEST: &str = ":latest";

/// A name of a tag or a volume, checked.
///
/// One to 200 bytes of printable characters; `/` and `:` are allowed. A name does not
/// begin with `-` or `.` and holds no `@`, no white space and no control character: it is
/// one word and no option, and `NAME@N` means one thing. What a shell takes for more than
/// a letter may be in it, and is quoted there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Name> {
        let name = name.into();
        let bad =
            |expected| Err(Error::invalid("take a name", "name", format!("{name:?}"), expected));
        if name.is_empty() {
            return bad("at least one character");
        }
        if name.len() > NAME_BYTES_MAX {
            return bad("at most 200 bytes");
        }
        if name.starts_with(['-', '.']) {
            return bad("no '-' or '.' at the start");
        }
        let refused = |c: char| c == '@' || c.is_whitespace() || c.is_control() || is_invisible(c);
        if name.contains(refused) {
            return bad("printable characters, no white space and no '@'");
        }
        Ok(Name(name))
    }

    /// As [`new`](Name::new), of a name that is to be given to something. It holds no `:/`, as `REF:/path`
    /// is a file in a tree, and does not look like an id or a digest: names are looked up first, and
    /// whoever gives one must not come between a digest and what it is of. What was named so once keeps
    /// its name.
    pub fn to_give(name: impl Into<String>) -> Result<Name> {
        let name = Name::new(name)?;
        let bad = |expected| {
            Err(Error::invalid("take a name", "name", format!("{:?}", name.0), expected))
        };
        if name.0.contains(":/") {
            return bad("no \":/\" in it, which parts a tree from the path of a file");
        }
        let found_as = name.0.strip_suffix(LATEST).unwrap_or(&name.0);
        // Decimal digits alone are a date as often.
        let is_long =
            found_as.len() >= ID_DIGITS_MIN && !found_as.bytes().all(|b| b.is_ascii_digit());
        if is_long && found_as.bytes().all(|byte| byte.is_ascii_hexdigit())
            || found_as.starts_with("sha256:")
        {
            return bad("one that does not look like an id or a digest");
        }
        Ok(name)
    }

    /// The name as people write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as part of a file name: letters, digits and `._:+=,~-` stand for
    /// themselves, other bytes are `%xx`. What would be longer than 220 bytes is
    /// `%%` and the BLAKE3 hash of the name instead, which no escaped byte looks like.
    pub fn escaped(&self) -> String {
        use fmt::Write;
        let mut escaped = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => escaped.push(byte as char),
                b'.' | b'_' | b':' | b'+' | b'=' | b',' | b'~' | b'-' => escaped.push(byte as char),
                _ => write!(escaped, "%{byte:02x}").expect("writing to a string"),
            }
        }
        if escaped.len() > ESCAPED_BYTES_MAX {
            escaped = format!("%%{}", blake3::hash(self.0.as_bytes()).to_hex());
        }
        escaped
    }

    /// The name that is escaped so; `None` for what no name becomes, and for the hash of one.
    pub fn from_escaped(escaped: &str) -> Option<Name> {
        let mut name = Vec::with_capacity(escaped.len());
        let mut bytes = escaped.bytes();
        while let Some(byte) = bytes.next() {
            name.push(match byte {
                b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
                other => other,
            });
        }
        let name = Name::new(String::from_utf8(name).ok()?).ok()?;
        (name.escaped() == escaped).then_some(name)
    }

    /// Whether [`escaped`](Name::escaped) tells the name, and not only its hash.
    pub fn is_told_by_its_file(&self) -> bool {
        !self.escaped().starts_with("%%")
    }

    /// A number of 63 bits that stands for the name: where in a file its lock lies.
    pub fn number(&self) -> u64 {
        let hash = blake3::hash(self.0.as_bytes());
        let (start, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*start) >> 1
    }
}

/// The value of a hexadecimal digit as [`Name::escaped`] writes it: in lower case.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that print as nothing, or turn the line around.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_printable_and_safe_to_type() {
        for good in [
            "a",
            "debian:12",
            "team/web:latest",
            "x-1.2_3",
            "größe",
            "%41",
            "a".repeat(200).as_str(),
        ] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(201);
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "a@1",
            "a\tb",
            "a\0b",
            "a\u{7f}",
            "a\u{200b}b",
            "\u{202e}a",
            &long,
        ] {
            let error = Name::new(bad).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{bad:?}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_file_in_a_tree_or_an_id_is_not_given() {
        for good in
            ["debian:12", "team/web:latest", "a:b/c", "host:80/debian", "cafe", "20261128143000"]
        {
            assert!(Name::to_give(good).is_ok(), "{good}");
        }
        let digest = "0123456789abcdef".repeat(4);
        let latest = format!("{digest}:latest");
        let of_config = format!("sha256:{digest}");
        let looks = [&digest[..12], &digest[..32], &digest, &latest, &of_config];
        for bad in ["debian:/12", "q:/r", "host:80/a:/b", "a@1"].into_iter().chain(looks) {
            let error = Name::to_give(bad).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{bad:?}");
        }
        assert!(Name::new("debian:/12").is_ok(), "one that is there can be looked up");
    }

    #[test]
    fn a_long_name_is_hashed_and_stays_distinct() {
        let first = Name::new("/".repeat(200)).unwrap().escaped();
        let second = Name::new("/".repeat(199)).unwrap().escaped();
        assert!(first.starts_with("%%") && second.starts_with("%%"));
        assert_ne!(first, second);
    }

    proptest! {
        #[test]
        fn escaping_is_injective_and_bounded(a in "[ -~é/:%]{1,120}", b in "[ -~é/:%]{1,120}") {
            let (Ok(a), Ok(b)) = (Name::new(a), Name::new(b)) else { return Ok(()) };
            prop_assert_eq!(a == b, a.escaped() == b.escaped());
            for name in [&a, &b] {
                let file = crate::store::paths::name_aside(name, crate::units::LayerId([1; 16]));
                let file = file.file_name().unwrap().to_str().unwrap().to_owned();
                prop_assert!(file.len() <= 250, "{}", file);
                prop_assert!(!name.escaped().contains('/'));
                let told = name.is_told_by_its_file().then(|| name.clone());
                prop_assert_eq!(Name::from_escaped(&name.escaped()), told);
            }
        }
    }
}
