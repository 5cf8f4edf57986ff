//! Names in directories: how they are found, and what numbers they stand under.

use std::ops::ControlFlow;

use super::tree::Pages;
use super::types::{FileKind, Inode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::{NAME_BYTES_MAX, NamePlace};
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// How many names of one hash a directory can hold.
const SLOTS: u64 = 256;
/// Numbers of names stay below 2^63: what a directory stream may hand out.
const HASH_BITS: u32 = 55;

#[cfg(test)]
thread_local! {
    /// The bits of hashes that count: nobody finds names that meet, so tests have fewer of them.
    pub static MEETING: std::cell::Cell<u64> = const { std::cell::Cell::new(u64::MAX) };
}

/// A name that was found.
#[derive(Clone, Copy, Debug)]
pub struct FoundName {
    /// Where it stands in its directory.
    pub cookie: u64,
    /// What it leads to.
    pub inode: Inode,
    /// What kind of file that is.
    pub kind: FileKind,
}

/// That `name` can be the name of a file.
///
/// Errors: [`ErrorKind::NameTooLong`] past 255 bytes; [`ErrorKind::InvalidInput`] for an empty
/// one, and for one with a NUL or a slash.
pub fn check_name(operation: &str, name: &[u8]) -> Result<()> {
    if name.len() > NAME_BYTES_MAX {
        let (found, expected) = (name.len(), format!("at most {NAME_BYTES_MAX}"));
        return Err(Error::new(ErrorKind::NameTooLong, operation).about("bytes", found, expected));
    }
    if name.is_empty() || name.contains(&0) || name.contains(&b'/') {
        let found = format!("\"{}\"", name.escape_ascii());
        return Err(Error::invalid(operation, "name", found, "bytes other than NUL and /"));
    }
    Ok(())
}

/// As [`check_name`], of a name that is to be made, removed or moved: not `.` or `..`.
pub fn check_new_name(operation: &str, name: &[u8]) -> Result<()> {
    check_name(operation, name)?;
    if name == b"." || name == b".." {
        let found = name.escape_ascii().to_string();
        return Err(Error::invalid(operation, "name", found, "not a directory's own name"));
    }
    Ok(())
}

/// The first of the numbers that `name` may stand under.
///
/// Keyed, so that nobody can choose names that all meet in one place.
fn first_cookie(pages: &Pages<'_>, name: &[u8]) -> u64 {
    let hash = blake3::keyed_hash(&pages.superblock.name_key, name);
    let mut low = [0; 8];
    low.copy_from_slice(&hash.as_bytes()[..8]);
    let hash = u64::from_le_bytes(low) & ((1 << HASH_BITS) - 1);
    #[cfg(test)]
    let hash = hash & MEETING.get();
    // The numbers below the first hash are those of a directory's own names.
    hash.max(1) * SLOTS
}

/// The first of the numbers of names that have the hash of this one.
pub fn group_of(cookie: u64) -> u64 {
    cookie & !(SLOTS - 1)
}

/// Whether a name may stand under this number.
pub fn is_cookie_of(pages: &Pages<'_>, cookie: u64, name: &[u8]) -> bool {
    group_of(cookie) == first_cookie(pages, name)
}

/// Finds a name in a directory.
pub fn find(pages: &Pages<'_>, directory: Inode, name: &[u8]) -> Result<Option<FoundName>> {
    let first = first_cookie(pages, name);
    let mut found = None;
    pages.scan(
        Key::new(ItemKind::Entry, directory.0, first),
        Key::new(ItemKind::Entry, directory.0, first + SLOTS - 1),
        |key, value| {
            let entry = EntryValue::decode(value)?;
            if entry.name != name {
                return Ok(ControlFlow::Continue(()));
            }
            let (inode, kind) = (Inode(entry.inode), entry_kind(&entry));
            found = Some(FoundName { cookie: key.sub(), inode, kind });
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found)
}

/// The kind of file that an entry says it leads to.
pub fn entry_kind(entry: &EntryValue<'_>) -> FileKind {
    FileKind::from_mode(u32::from(entry.kind) << 12)
        .expect("the decoder takes only kinds that there are")
}

/// A number for a name that the directory does not have.
pub fn free_cookie(pages: &Pages<'_>, directory: Inode, name: &[u8]) -> Result<u64> {
    let first = first_cookie(pages, name);
    free_sub(pages, ItemKind::Entry, directory.0, first)
}

/// The first number from `first` on, of those that share a hash, that no item has.
fn free_sub(pages: &Pages<'_>, kind: ItemKind, inode: u32, first: u64) -> Result<u64> {
    let mut free = first;
    let (start, end) = (Key::new(kind, inode, first), Key::new(kind, inode, first + SLOTS - 1));
    pages.scan(start, end, |key, _| {
        if key.sub() != free {
            return Ok(ControlFlow::Break(()));
        }
        free += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    if free < first + SLOTS {
        return Ok(free);
    }
    Err(Error::new(ErrorKind::NoSpace, "add a name to a file tree").about(
        "names of one hash",
        SLOTS,
        "fewer",
    ))
}

/// The first of the numbers under which a further link may stand.
fn first_of_link(place: NamePlace) -> u64 {
    let mixed = (place.cookie ^ u64::from(place.directory).rotate_left(32))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29) & !(SLOTS - 1)
}

/// The key of the further link that leads to `place`, if there is one.
pub fn find_link(pages: &Pages<'_>, inode: Inode, place: NamePlace) -> Result<Option<Key>> {
    let first = first_of_link(place);
    let mut found = None;
    pages.scan(
        Key::new(ItemKind::Link, inode.0, first),
        Key::new(ItemKind::Link, inode.0, first + (SLOTS - 1)),
        |key, value| {
            if NamePlace::decode(value)? != place {
                return Ok(ControlFlow::Continue(()));
            }
            found = Some(key);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(found)
}

/// The key for a new further link.
pub fn free_link(pages: &Pages<'_>, inode: Inode, place: NamePlace) -> Result<Key> {
    let sub = free_sub(pages, ItemKind::Link, inode.0, first_of_link(place))?;
    Ok(Key::new(ItemKind::Link, inode.0, sub))
}

/// All places at which a file has a name.
pub fn names_of(pages: &Pages<'_>, inode: Inode, record: &InodeRecord) -> Result<Vec<NamePlace>> {
    let mut places = Vec::new();
    if record.links > 0 {
        places.push(record.name);
    }
    let (first, last) = Key::range(ItemKind::Link, inode.0);
    pages.scan(first, last, |_, value| {
        places.push(NamePlace::decode(value)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(places)
}
