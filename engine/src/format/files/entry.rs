//! The values of items that are not inodes: names, further links, pieces of attributes.

use crate::error::{Error, Result};

/// The longest name of a file in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The size of an entry before its name.
pub const ENTRY_HEAD_BYTES: usize = 5;
/// The size of a further link's value.
pub const LINK_BYTES: usize = 12;
/// The longest value of an extended attribute in bytes, as the host has it.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 65_536;

/// What a name in a directory leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryValue<'a> {
    /// The inode.
    pub inode: u32,
    /// The type bits of its mode, shifted down by 12: what `d_type` says.
    pub kind: u8,
    /// The name: 1 to 255 bytes, any but NUL and `/`.
    pub name: &'a [u8],
}

impl<'a> EntryValue<'a> {
    /// The value on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ENTRY_HEAD_BYTES + self.name.len());
        bytes.extend(self.inode.to_le_bytes());
        bytes.push(self.kind);
        bytes.extend(self.name);
        bytes
    }

    /// What the value says.
    pub fn decode(bytes: &'a [u8]) -> Result<EntryValue<'a>> {
        let bad = |field, found: String, expected| {
            Error::corrupt("read a name of a directory", field, found, expected)
        };
        let Some((head, name)) = bytes.split_first_chunk::<ENTRY_HEAD_BYTES>() else {
            return Err(bad("length", bytes.len().to_string(), "at least 6 bytes"));
        };
        let inode = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let kind = head[4];
        if inode == 0 {
            return Err(bad("inode", inode.to_string(), "1 or more"));
        }
        if !matches!(kind, 1 | 2 | 4 | 6 | 8 | 10 | 12) {
            return Err(bad("kind", kind.to_string(), "the type bits of a mode"));
        }
        let whole = (1..=NAME_BYTES_MAX).contains(&name.len());
        if !whole || name.contains(&0) || name.contains(&b'/') || name == b"." || name == b".." {
            return Err(bad("name", name.escape_ascii().to_string(), "1 to 255 bytes of a name"));
        }
        Ok(EntryValue { inode, kind, name })
    }
}

/// A name of a file: the directory, and the number of the entry in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct NamePlace {
    /// The directory.
    pub directory: u32,
    /// The entry's number in it: its cookie.
    pub cookie: u64,
}

impl NamePlace {
    /// The value of a further link.
    pub fn encode(self) -> [u8; LINK_BYTES] {
        let mut bytes = [0; LINK_BYTES];
        bytes[..4].copy_from_slice(&self.directory.to_le_bytes());
        bytes[4..].copy_from_slice(&self.cookie.to_le_bytes());
        bytes
    }

    /// What the value says.
    pub fn decode(bytes: &[u8]) -> Result<NamePlace> {
        let Ok(bytes) = <&[u8; LINK_BYTES]>::try_from(bytes) else {
            let (found, expected) = (bytes.len(), LINK_BYTES);
            return Err(Error::corrupt("read a link of a file", "length", found, expected));
        };
        let directory = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let mut cookie = [0; 8];
        cookie.copy_from_slice(&bytes[4..]);
        Ok(NamePlace { directory, cookie: u64::from_le_bytes(cookie) })
    }
}

/// The first piece of an extended attribute: length of the name, name, length of the value, and
/// the value's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeHead<'a> {
    /// The name, with its namespace: `user.note`.
    pub name: &'a [u8],
    /// How long the whole value is.
    pub value_bytes: u32,
    /// Its first bytes.
    pub first: &'a [u8],
}

impl<'a> AttributeHead<'a> {
    /// How many bytes stand before the value in the first piece.
    pub fn head_bytes(name: &[u8]) -> usize {
        1 + name.len() + 4
    }

    /// The value on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::head_bytes(self.name) + self.first.len());
        bytes.push(self.name.len() as u8);
        bytes.extend(self.name);
        bytes.extend(self.value_bytes.to_le_bytes());
        bytes.extend(self.first);
        bytes
    }

    /// What the value says.
    pub fn decode(bytes: &'a [u8]) -> Result<AttributeHead<'a>> {
        let bad = |field, found: usize, expected: &str| {
            Error::corrupt("read an extended attribute", field, found, expected)
        };
        let short = || bad("length", bytes.len(), "name, length and value");
        let (&length, rest) = bytes.split_first().ok_or_else(short)?;
        let length = usize::from(length);
        let (name, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        let (value_bytes, first) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let value_bytes = u32::from_le_bytes(*value_bytes);
        if name.is_empty() || name.contains(&0) {
            return Err(bad("name length", name.len(), "1 to 255 bytes without NUL"));
        }
        if value_bytes as usize > ATTRIBUTE_VALUE_BYTES_MAX || first.len() > value_bytes as usize {
            return Err(bad("value length", value_bytes as usize, "at most 65536, all of it"));
        }
        Ok(AttributeHead { name, value_bytes, first })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_what_was_written_and_refuse_the_rest() {
        let entry = EntryValue { inode: 7, kind: 8, name: b"sap\xff" };
        assert_eq!(EntryValue::decode(&entry.encode()).unwrap(), entry);
        for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
            assert!(EntryValue::decode(&EntryValue { name, ..entry }.encode()).is_err());
        }
        assert!(EntryValue::decode(&EntryValue { inode: 0, ..entry }.encode()).is_err());
        assert!(EntryValue::decode(&EntryValue { kind: 3, ..entry }.encode()).is_err());
        let place = NamePlace { directory: 3, cookie: 1 << 60 };
        assert_eq!(NamePlace::decode(&place.encode()).unwrap(), place);
        assert!(NamePlace::decode(&[0; 11]).is_err());
        let head = AttributeHead { name: b"user.a", value_bytes: 9, first: b"12345" };
        let bytes = head.encode();
        assert_eq!(AttributeHead::decode(&bytes).unwrap(), head);
        assert!((0..11).all(|length| AttributeHead::decode(&bytes[..length]).is_err()));
    }
}
