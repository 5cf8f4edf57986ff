//! Keys of the metadata tree: kind, inode and a number below it, in this order.

use crate::error::{Error, Result};

/// The size of a key in bytes.
pub const KEY_BYTES: usize = 13;

/// What an item is. The kind comes first in a key, so that items of a kind stand together: a
/// change of all owners rewrites inodes and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ItemKind {
    /// The attributes of a file.
    Inode = 1,
    /// A name in a directory.
    Entry = 2,
    /// A piece of an extended attribute.
    Attribute = 3,
    /// A piece of the content of a small file, or of the target of a symlink.
    Content = 4,
    /// A further name of a file that has several.
    Link = 5,
    /// A file without a name that somebody has open.
    Orphan = 6,
    /// A number that was freed, with its last generation.
    Free = 7,
}

impl ItemKind {
    /// All kinds, in the order of their keys.
    pub const ALL: [ItemKind; 7] = [
        ItemKind::Inode,
        ItemKind::Entry,
        ItemKind::Attribute,
        ItemKind::Content,
        ItemKind::Link,
        ItemKind::Orphan,
        ItemKind::Free,
    ];

    /// The kind as a word, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemKind::Inode => "inode",
            ItemKind::Entry => "entry",
            ItemKind::Attribute => "attribute",
            ItemKind::Content => "content",
            ItemKind::Link => "link",
            ItemKind::Orphan => "orphan",
            ItemKind::Free => "free number",
        }
    }
}

/// The key of an item: 8 bits of kind, 32 of inode, 64 of what tells items of one inode apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u128);

impl Key {
    /// Below all keys.
    pub const MIN: Key = Key(0);
    /// Above all keys of all kinds.
    pub const MAX: Key = Key((1 << (8 * KEY_BYTES)) - 1);

    /// The key of an item.
    pub fn new(kind: ItemKind, inode: u32, sub: u64) -> Key {
        Key(u128::from(kind as u8) << 96 | u128::from(inode) << 64 | u128::from(sub))
    }

    /// The first key that a range of items of `inode` may have, and the last.
    pub fn range(kind: ItemKind, inode: u32) -> (Key, Key) {
        (Key::new(kind, inode, 0), Key::new(kind, inode, u64::MAX))
    }

    /// The kind of the item.
    ///
    /// Errors: [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a kind that there is not.
    pub fn kind(self) -> Result<ItemKind> {
        let number = (self.0 >> 96) as u8;
        ItemKind::ALL.into_iter().find(|&kind| kind as u8 == number).ok_or_else(|| {
            Error::corrupt("read a key of a file tree", "kind", number, "a kind of item, 1 to 7")
        })
    }

    /// The inode it belongs to; of an entry the directory.
    pub fn inode(self) -> u32 {
        (self.0 >> 64) as u32
    }

    /// What tells items of one kind and inode apart.
    pub fn sub(self) -> u64 {
        self.0 as u64
    }

    /// The next key, for scans that go on.
    pub fn next(self) -> Option<Key> {
        (self < Key::MAX).then(|| Key(self.0 + 1))
    }

    /// The bytes on disk: big-endian, so that they sort as the key does.
    pub fn to_bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(&self.0.to_be_bytes()[16 - KEY_BYTES..]);
        bytes
    }

    /// The key that stands in `bytes`.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Key {
        let mut wide = [0; 16];
        wide[16 - KEY_BYTES..].copy_from_slice(bytes);
        Key(u128::from_be_bytes(wide))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_kind_then_inode_then_number_as_their_bytes_do() {
        let keys = [
            Key::MIN,
            Key::new(ItemKind::Inode, 1, 0),
            Key::new(ItemKind::Inode, u32::MAX, u64::MAX),
            Key::new(ItemKind::Entry, 1, 256),
            Key::new(ItemKind::Entry, 1, u64::MAX),
            Key::new(ItemKind::Entry, 2, 0),
            Key::new(ItemKind::Free, 0, 0),
            Key::MAX,
        ];
        assert!(keys.is_sorted());
        assert!(keys.map(Key::to_bytes).is_sorted());
        for key in keys {
            assert_eq!(Key::from_bytes(&key.to_bytes()), key);
        }
        let key = Key::new(ItemKind::Entry, 7, 9);
        assert_eq!((key.kind().unwrap(), key.inode(), key.sub()), (ItemKind::Entry, 7, 9));
        assert!(Key::MAX.kind().is_err());
    }
}
