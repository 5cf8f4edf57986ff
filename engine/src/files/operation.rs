//! One operation: a batch of the volume, and transactions of the tree in it.

use std::ops::ControlFlow;

use super::blocks::first_block;
use super::core::Core;
use super::names::{self, find_link};
use super::occupied::Occupied;
use super::read::Reader;
use super::tree::Change;
use super::types::{Attributes, FileKind, Inode, NewFile, attributes_of, is_inline, kind_of};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::NamePlace;
use crate::format::files::{EntryValue, InodeFlags, InodeRecord, ItemKind, Key, Time};
use crate::units::ADDRESS_END;
use crate::volume::Batch;

/// An operation under way.
pub(super) struct Operation<'a> {
    pub core: &'a Core,
    pub batch: Batch<'a>,
    pub name: &'static str,
}

/// A transaction of the tree, in the words of files.
pub(super) struct Editor<'a, 'b> {
    pub change: &'a mut Change<'b>,
    pub now: Time,
    /// What the operation is called in errors.
    pub operation: &'static str,
    /// The open layer: numbers of files that were given in it are used again.
    layer: crate::units::LayerId,
    occupied: &'a Occupied,
}

impl Core {
    /// Does an operation in a batch of its own: a commit has it whole or not at all. Where the
    /// host is full, free space is looked for once, and the operation tried again.
    pub fn operate<T>(
        &self,
        name: &'static str,
        attempt: impl Fn(&Operation<'_>) -> Result<T>,
    ) -> Result<T> {
        let checked = self.volume.check_writable(name);
        self.settle(checked)?;
        self.refuse_while_showing(name)?;
        let once = || attempt(&Operation { core: self, batch: self.volume.batch(), name });
        let done = match once() {
            Err(error) if error.kind() == ErrorKind::NoSpace && self.volume.find_room()? => once(),
            done => done,
        };
        self.settle(done)
    }
}

impl Operation<'_> {
    /// Changes the tree, whole or not at all.
    pub fn change<T>(&self, change: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>) -> Result<T> {
        self.make_room()?;
        self.change_further(change)
    }

    /// Writes the changed pages out where there are too many of them: what may find no room.
    pub fn make_room(&self) -> Result<()> {
        let core = self.core;
        let mut tree = core.tree.write();
        if tree.changed_bytes() > core.options.changed_bytes_max {
            tree.write_out(&self.batch, &core.cache)?;
        }
        Ok(())
    }

    /// As [`change`](Self::change), of what belongs to a change before, and must not lack room after it.
    pub fn change_further<T>(
        &self,
        change: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let core = self.core;
        let layer = core.volume.layer_id();
        let mut tree = core.tree.write();
        let now = (core.options.clock)();
        let done = tree.transaction(&core.cache, &core.volume, |change_of_tree| {
            let (operation, occupied) = (self.name, &core.occupied);
            change(&mut Editor { change: change_of_tree, now, operation, layer, occupied })
        })?;
        core.volume.note_change_above();
        Ok(done)
    }

    /// Gives up the blocks of a file that has no name and is not held, and the file with them. None of it
    /// needs room: a full host is emptied this way.
    pub fn free(&self, inode: Inode) -> Result<()> {
        match self.make_room() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {}
            made => made?,
        }
        let record = self.core.look(|reader| reader.record(inode))?;
        // Never done: it is forgotten, as its number will be another's.
        let _recount = self.recount(inode, record.size, 0..0);
        if kind_of(&record)? == FileKind::Regular && !is_inline(&record) {
            // Before the record goes: what is left after an error is still an orphan.
            let start = first_block(inode.0);
            let blocks = first_block(1).0.min(ADDRESS_END - start.0);
            self.batch.discard_blocks(start, 0, blocks << self.core.volume.block_size().log2())?;
        }
        self.change_further(|editor| editor.erase(inode))
    }
}

impl Editor<'_, '_> {
    /// The tree as the transaction has left it so far.
    pub fn reader(&self) -> Reader<'_> {
        Reader { pages: self.change.pages(), occupied: self.occupied }
    }

    pub fn record(&self, inode: Inode) -> Result<InodeRecord> {
        self.reader().record(inode)
    }

    pub fn put_record(&mut self, inode: Inode, record: &InodeRecord) -> Result<()> {
        self.change.put(Key::new(ItemKind::Inode, inode.0, 0), &record.encode())
    }

    /// Attributes of a file whose blocks did not change.
    pub fn attributes(&self, inode: Inode) -> Result<Attributes> {
        self.reader().attributes(inode)
    }

    /// The record of a directory that a name is to be put into or taken from.
    pub fn directory(&self, inode: Inode) -> Result<InodeRecord> {
        let record = self.reader().directory(self.operation, inode)?;
        match record.links {
            // Removed, and still held by somebody.
            0 => Err(Error::new(ErrorKind::NotFound, self.operation).about(
                "directory",
                "one that was removed",
                "one that is there",
            )),
            _ => Ok(record),
        }
    }

    /// Notes that names of a directory changed, and how many directories came or went below it.
    pub fn touch_directory(&mut self, inode: Inode, directories: i32) -> Result<()> {
        let mut record = self.record(inode)?;
        record.modified = self.now;
        record.changed = self.now;
        let links = record.links.checked_add_signed(directories);
        record.links = links.ok_or_else(|| {
            let kind = if directories > 0 { ErrorKind::TooManyLinks } else { ErrorKind::Corrupt };
            Error::new(kind, self.operation).about("links", record.links, "as many as directories")
        })?;
        self.put_record(inode, &record)
    }

    /// Makes a file, with one name or none.
    pub fn make(
        &mut self,
        new: &NewFile,
        name: Option<(Inode, &[u8])>,
        symlink: Option<&[u8]>,
    ) -> Result<Attributes> {
        let (mut permissions, mut group) = (new.permissions & 0o7777, new.group);
        let kind = if symlink.is_some() { FileKind::Symlink } else { new.kind };
        let is_directory = kind == FileKind::Directory;
        if let Some((directory, name)) = name {
            names::check_new_name(self.operation, name)?;
            self.expect_may_hold(directory, kind)?;
            let above = self.directory(directory)?;
            if names::find(&self.reader().pages, directory, name)?.is_some() {
                return Err(already_there(self.operation, name));
            }
            if above.mode & 0o2000 != 0 {
                group = above.group;
                if is_directory {
                    permissions |= 0o2000;
                }
            }
        }
        let (inode, generation) = self.allocate_inode()?;
        let place = match name {
            Some((directory, name)) => self.put_name(directory, name, inode, kind)?,
            None => NamePlace::default(),
        };
        let in_tree = matches!(kind, FileKind::Regular | FileKind::Symlink);
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        let record = InodeRecord {
            mode: kind.mode_bits() | permissions,
            flags: InodeFlags::default().with(InodeFlags::INLINE, in_tree),
            owner: new.owner,
            group,
            links: if is_directory { 2 } else { u32::from(name.is_some()) },
            generation,
            device: if is_device { new.device } else { 0 },
            size: symlink.map_or(0, |target| target.len() as u64),
            accessed: self.now,
            modified: self.now,
            changed: self.now,
            created: self.now,
            name: place,
        };
        self.put_record(inode, &record)?;
        if let Some(target) = symlink {
            self.put_content(inode, 0, target)?;
        }
        match name {
            Some((directory, _)) => self.touch_directory(directory, i32::from(is_directory))?,
            None => self.change.put(Key::new(ItemKind::Orphan, inode.0, 0), &[])?,
        }
        self.change.superblock_mut().inodes += 1;
        attributes_of(inode, &record, 0)
    }

    /// A number that no file has: one that was freed in the open layer, else a new one.
    pub(super) fn allocate_inode(&mut self) -> Result<(Inode, u32)> {
        let layer = self.layer;
        let superblock = self.change.superblock_mut();
        if superblock.layer != layer {
            superblock.layer = layer;
            superblock.first_of_layer = superblock.next_inode;
        }
        let (next, first) = (superblock.next_inode, superblock.first_of_layer);
        let mut freed = self.first_freed(first)?;
        if freed.is_none() && next == u32::MAX {
            freed = self.first_freed(0)?;
        }
        if let Some((inode, generation)) = freed {
            self.change.remove(Key::new(ItemKind::Free, inode, 0))?;
            return Ok((Inode(inode), generation.wrapping_add(1)));
        }
        if next == u32::MAX {
            let error = Error::new(ErrorKind::NoSpace, self.operation);
            return Err(error.about("numbers of files", "all in use", "one that is free"));
        }
        self.change.superblock_mut().next_inode += 1;
        Ok((Inode(next), 1))
    }

    fn first_freed(&self, from: u32) -> Result<Option<(u32, u32)>> {
        let mut freed = None;
        let (_, last) = Key::range(ItemKind::Free, u32::MAX);
        self.reader().pages.scan(Key::new(ItemKind::Free, from, 0), last, |key, value| {
            let Ok(value) = <[u8; 4]>::try_from(value) else {
                let found = value.len();
                return Err(Error::corrupt("read a freed number", "length", found, 4));
            };
            freed = Some((key.inode(), u32::from_le_bytes(value)));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(freed)
    }

    /// Puts a name into a directory that does not have it.
    pub fn put_name(
        &mut self,
        directory: Inode,
        name: &[u8],
        inode: Inode,
        kind: FileKind,
    ) -> Result<NamePlace> {
        let cookie = names::free_cookie(&self.reader().pages, directory, name)?;
        let kind = (kind.mode_bits() >> 12) as u8;
        let value = EntryValue { inode: inode.0, kind, name }.encode();
        self.change.put(Key::new(ItemKind::Entry, directory.0, cookie), &value)?;
        self.change.superblock_mut().entries += 1;
        Ok(NamePlace { directory: directory.0, cookie })
    }

    /// Takes a name out of a directory.
    pub fn take_name(&mut self, place: NamePlace) -> Result<()> {
        let key = Key::new(ItemKind::Entry, place.directory, place.cookie);
        if !self.change.remove(key)? {
            return Err(Error::corrupt(self.operation, "name", "none", "the one just found"));
        }
        let superblock = self.change.superblock_mut();
        superblock.entries = superblock.entries.saturating_sub(1);
        Ok(())
    }

    /// Notes in a file's record that it has one name more.
    pub fn add_link(
        &mut self,
        inode: Inode,
        record: &mut InodeRecord,
        place: NamePlace,
    ) -> Result<()> {
        match record.links {
            0 => {
                record.name = place;
                self.change.remove(Key::new(ItemKind::Orphan, inode.0, 0))?;
            }
            _ => {
                let key = names::free_link(&self.reader().pages, inode, place)?;
                self.change.put(key, &place.encode())?;
            }
        }
        record.links = record.links.checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::TooManyLinks, self.operation).about("links", u32::MAX, "fewer")
        })?;
        Ok(())
    }

    /// Notes in a file's record that one of its names is gone, or stands elsewhere now.
    pub fn move_link(
        &mut self,
        inode: Inode,
        record: &mut InodeRecord,
        old: NamePlace,
        new: Option<NamePlace>,
    ) -> Result<()> {
        if record.name != old {
            let Some(key) = find_link(&self.reader().pages, inode, old)? else {
                let expected = "a link for each name";
                return Err(Error::corrupt(self.operation, "link of a file", "none", expected));
            };
            self.change.remove(key)?;
            if let Some(new) = new {
                let key = names::free_link(&self.reader().pages, inode, new)?;
                self.change.put(key, &new.encode())?;
            }
            return Ok(());
        }
        record.name = match new {
            Some(new) => new,
            None => self.take_further_link(inode)?.unwrap_or_default(),
        };
        Ok(())
    }

    fn take_further_link(&mut self, inode: Inode) -> Result<Option<NamePlace>> {
        let mut found = None;
        let (first, last) = Key::range(ItemKind::Link, inode.0);
        self.reader().pages.scan(first, last, |key, value| {
            found = Some((key, NamePlace::decode(value)?));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((key, place)) = found else { return Ok(None) };
        self.change.remove(key)?;
        Ok(Some(place))
    }

    /// Writes the content of a file that stands in the metadata; it was `old_bytes` long.
    pub fn put_content(&mut self, inode: Inode, old_bytes: u64, content: &[u8]) -> Result<()> {
        let piece_bytes = self.reader().piece_bytes();
        let mut pieces = 0;
        for piece in content.chunks(piece_bytes) {
            self.change.put(Key::new(ItemKind::Content, inode.0, pieces), piece)?;
            pieces += 1;
        }
        for piece in pieces..old_bytes.div_ceil(piece_bytes as u64) {
            self.change.remove(Key::new(ItemKind::Content, inode.0, piece))?;
        }
        Ok(())
    }

    /// Takes a file out of the tree, with all that belongs to it.
    fn erase(&mut self, inode: Inode) -> Result<()> {
        let record = self.record(inode)?;
        if is_inline(&record) {
            self.put_content(inode, record.size, &[])?;
        }
        if record.flags.has(InodeFlags::ATTRIBUTES) {
            let (first, last) = Key::range(ItemKind::Attribute, inode.0);
            self.change.remove_range(first, last)?;
        }
        self.change.remove(Key::new(ItemKind::Orphan, inode.0, 0))?;
        self.change.remove(Key::new(ItemKind::Inode, inode.0, 0))?;
        let free = Key::new(ItemKind::Free, inode.0, 0);
        self.change.put(free, &record.generation.to_le_bytes())?;
        let superblock = self.change.superblock_mut();
        superblock.inodes = superblock.inodes.saturating_sub(1);
        Ok(())
    }
}

/// That a name is there already.
pub(super) fn already_there(operation: &str, name: &[u8]) -> Error {
    let found = format!("\"{}\"", name.escape_ascii());
    Error::new(ErrorKind::AlreadyExists, operation).about("name", found, "one that is free")
}

/// Whether a record is that of a directory.
pub(super) fn is_directory(record: &InodeRecord) -> Result<bool> {
    Ok(kind_of(record)? == FileKind::Directory)
}
