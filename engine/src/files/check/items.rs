//! Each item of a tree by itself, and whether it stands where it is looked for.

use std::ops::ControlFlow;

use super::Check;
use crate::error::Result;
use crate::files::names::{find_link, group_of, is_cookie_of};
use crate::files::read::{PIECE_BITS, first_attribute, group_of_attribute};
use crate::files::types::{FileKind, Inode, kind_of};
use crate::format::files::entry::{AttributeHead, NamePlace};
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// What is known of a file while its tree is looked through.
pub(super) struct Seen {
    pub record: InodeRecord,
    pub names: u32,
    pub directories: u32,
    pub pieces: u64,
    pub piece_bytes: u64,
    pub has_attributes: bool,
    pub is_orphan: bool,
    /// Its own place was among its names.
    pub name_found: bool,
    pub links: u32,
}

/// What the items before one say about it.
#[derive(Default)]
struct Before {
    /// An attribute whose pieces follow.
    attribute: Option<Attribute>,
    same_hash: SameHash,
}

/// An attribute of which pieces are still to come.
struct Attribute {
    first: Key,
    bytes_left: u64,
    next_piece: u64,
}

/// The names of one hash in one directory, or on one file: they stand next to each other.
#[derive(Default)]
struct SameHash {
    group: Option<Key>,
    names: Vec<Vec<u8>>,
}

impl Seen {
    fn new(record: InodeRecord) -> Seen {
        Seen {
            record,
            names: 0,
            directories: 0,
            pieces: 0,
            piece_bytes: 0,
            has_attributes: false,
            is_orphan: false,
            name_found: false,
            links: 0,
        }
    }
}

impl SameHash {
    /// Whether a name of the group whose first number is `sub` was there before.
    fn has(&mut self, key: Key, sub: u64, name: &[u8]) -> Result<bool> {
        let group = Some(Key::new(key.kind()?, key.inode(), sub));
        if self.group != group {
            self.group = group;
            self.names.clear();
        }
        if self.names.iter().any(|other| other == name) {
            return Ok(true);
        }
        self.names.push(name.to_vec());
        Ok(false)
    }
}

impl Check<'_> {
    /// Looks at each item in the order of keys: records come first. Whether all could be read.
    pub(super) fn items(&mut self) -> Result<bool> {
        let view = self.view;
        let mut before = Before::default();
        let scanned = view.reader().pages.scan(Key::MIN, Key::MAX, |key, value| {
            if let Err(error) = self.item(key, value, &mut before) {
                self.report.failed(Some(key.inode()), None, &error);
            }
            Ok(ControlFlow::Continue(()))
        });
        self.end_attribute(&mut before);
        if let Err(error) = scanned {
            self.report.failed(None, None, &error);
            return Ok(false);
        }
        Ok(true)
    }

    fn item(&mut self, key: Key, value: &[u8], before: &mut Before) -> Result<()> {
        let (kind, inode) = (key.kind()?, key.inode());
        if kind != ItemKind::Attribute || is_head(key) {
            self.end_attribute(before);
        }
        if kind == ItemKind::Inode {
            return self.inode(key, value);
        }
        if kind == ItemKind::Free {
            return self.free(key, value);
        }
        if !self.files.contains_key(&inode) {
            let what = format!("a file that is not there has an item: {}", kind.as_str());
            self.report.damage(inode, what);
            return Ok(());
        }
        match kind {
            ItemKind::Entry => return self.entry(key, value, before),
            ItemKind::Attribute => return self.attribute(key, value, before),
            ItemKind::Link => return self.link(key, NamePlace::decode(value)?),
            ItemKind::Content => {
                let seen = self.seen(key);
                let is_target = kind_of(&seen.record)? == FileKind::Symlink;
                if key.sub() != seen.pieces {
                    let what =
                        format!("piece {} of its content, expected {}", key.sub(), seen.pieces);
                    self.report.damage(inode, what);
                } else {
                    seen.pieces += 1;
                    seen.piece_bytes += value.len() as u64;
                }
                if is_target && value.contains(&0) {
                    self.report.damage(inode, "a symlink whose target holds a NUL");
                }
            }
            ItemKind::Orphan => {
                self.seen(key).is_orphan = true;
                if key.sub() != 0 {
                    self.report.damage(inode, "noted as open under a wrong number");
                }
            }
            ItemKind::Inode | ItemKind::Free => {}
        }
        Ok(())
    }

    /// What is known of the file that an item belongs to.
    fn seen(&mut self, key: Key) -> &mut Seen {
        self.files.get_mut(&key.inode()).expect("looked up before its items are")
    }

    fn inode(&mut self, key: Key, value: &[u8]) -> Result<()> {
        let record = InodeRecord::decode(value)?;
        kind_of(&record)?;
        if let Err(error) = record.expect_size(self.reader().block_size()) {
            self.report.damage(key.inode(), error.to_string());
        }
        self.report.files += 1;
        if key.sub() != 0 || !self.was_given(key.inode()) {
            self.report.damage(key.inode(), "a number that was never given to a file");
        }
        self.files.insert(key.inode(), Seen::new(record));
        Ok(())
    }

    fn free(&mut self, key: Key, value: &[u8]) -> Result<()> {
        if self.files.contains_key(&key.inode()) {
            self.report.damage(key.inode(), "its number is noted as free");
        }
        if key.sub() != 0 || value.len() != 4 || !self.was_given(key.inode()) {
            self.report.damage(key.inode(), "noted as free, and never given to a file");
        }
        Ok(())
    }

    fn was_given(&self, inode: u32) -> bool {
        (1..self.reader().pages.superblock.next_inode).contains(&inode)
    }

    fn entry(&mut self, key: Key, value: &[u8], before: &mut Before) -> Result<()> {
        let entry = EntryValue::decode(value)?;
        self.report.names += 1;
        let name = entry.name.escape_ascii().to_string();
        if !is_cookie_of(&self.reader().pages, key.sub(), entry.name) {
            self.report
                .damage(key.inode(), format!("\"{name}\" does not stand where its hash says"));
        }
        if before.same_hash.has(key, group_of(key.sub()), entry.name)? {
            self.report.damage(key.inode(), format!("has the name \"{name}\" twice"));
        }
        let directory = self.seen(key);
        if kind_of(&directory.record)? != FileKind::Directory {
            self.report.damage(key.inode(), format!("has the name \"{name}\" and is no directory"));
            return Ok(());
        }
        if u16::from(entry.kind) << 12 == FileKind::Directory.mode_bits() {
            directory.directories += 1;
        }
        let Some(seen) = self.files.get_mut(&entry.inode) else {
            let what = format!("\"{name}\" leads to file {}, which is not there", entry.inode);
            self.report.damage(key.inode(), what);
            return Ok(());
        };
        seen.names += 1;
        let place = NamePlace { directory: key.inode(), cookie: key.sub() };
        seen.name_found |= seen.record.name == place;
        if entry.kind != seen.record.kind_bits() {
            let what = format!("\"{name}\" says another kind than the file");
            self.report.damage(key.inode(), what);
        }
        Ok(())
    }

    fn attribute(&mut self, key: Key, value: &[u8], before: &mut Before) -> Result<()> {
        self.seen(key).has_attributes = true;
        if is_head(key) {
            return self.attribute_head(key, AttributeHead::decode(value)?, before);
        }
        match &mut before.attribute {
            Some(attribute)
                if attribute.first.inode() == key.inode()
                    && attribute.first.sub() + attribute.next_piece == key.sub()
                    && attribute.bytes_left >= value.len() as u64 =>
            {
                attribute.bytes_left -= value.len() as u64;
                attribute.next_piece += 1;
            }
            _ => self.report.damage(key.inode(), "a piece of an attribute that belongs to none"),
        }
        Ok(())
    }

    fn attribute_head(
        &mut self,
        key: Key,
        head: AttributeHead<'_>,
        before: &mut Before,
    ) -> Result<()> {
        let bytes_left = u64::from(head.value_bytes) - head.first.len() as u64;
        before.attribute = Some(Attribute { first: key, bytes_left, next_piece: 1 });
        let (name, group) = (head.name.escape_ascii(), group_of_attribute(key.sub()));
        if group != first_attribute(head.name) {
            let what = format!("the attribute \"{name}\" does not stand where its hash says");
            self.report.damage(key.inode(), what);
        }
        if before.same_hash.has(key, group, head.name)? {
            self.report.damage(key.inode(), format!("has the attribute \"{name}\" twice"));
        }
        Ok(())
    }

    fn end_attribute(&mut self, before: &mut Before) {
        if let Some(Attribute { first, bytes_left, .. }) = before.attribute.take()
            && bytes_left > 0
        {
            let what = format!("an attribute lacks {bytes_left} bytes of its value");
            self.report.damage(first.inode(), what);
        }
    }

    fn link(&mut self, key: Key, place: NamePlace) -> Result<()> {
        let inode = key.inode();
        let entry = Key::new(ItemKind::Entry, place.directory, place.cookie);
        let leads_here = match self.reader().pages.get(entry)? {
            Some(item) => EntryValue::decode(&item)?.inode == inode,
            None => false,
        };
        if !leads_here || self.seen(key).record.name == place {
            self.report.damage(inode, "a link to a name that does not lead to it, or is its own");
        }
        if find_link(&self.reader().pages, Inode(inode), place)? != Some(key) {
            self.report.damage(inode, "a link that does not stand where it is looked for");
        }
        self.seen(key).links += 1;
        Ok(())
    }
}

/// Whether an attribute's item is its first, which has the name.
fn is_head(key: Key) -> bool {
    key.sub() & ((1 << PIECE_BITS) - 1) == 0
}
