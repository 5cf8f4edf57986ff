//! Reading a tree at one moment: what live files and frozen ones have in common.

use std::ops::ControlFlow;

use super::blocks::{Blocks, first_block};
use super::names::{self, check_name};
use super::occupied::Occupied;
use super::tree::Pages;
use super::types::{
    Attributes, Entry, FileKind, Inode, Seek, Statistics, attributes_of, is_inline, kind_of,
};
use crate::chain::ViewTarget;
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::entry::{AttributeHead, NamePlace};
use crate::format::files::{EntryValue, InodeFlags, InodeRecord, ItemKind, Key, item_bytes_max};
use crate::units::{BlockAddress, BlockSize};

/// How many entries are taken out of the tree at once: what a directory holds is shown to
/// callers while no lock is held.
const ENTRIES_AT_ONCE: usize = 512;

/// How many low bits of an attribute's number tell its pieces apart, and how many the
/// attributes of one hash.
pub const PIECE_BITS: u32 = 8;
pub const ATTRIBUTE_SLOT_BITS: u32 = 8;

/// The tree at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub pages: Pages<'a>,
    pub occupied: &'a Occupied,
}

/// Entries of a directory, taken out of the tree.
#[derive(Debug, Default)]
pub struct EntryBatch {
    entries: Vec<(Inode, FileKind, u64, std::ops::Range<usize>)>,
    names: Vec<u8>,
}

/// What a read of a file has to do.
#[derive(Debug)]
pub enum ReadPlan {
    /// These are the bytes.
    Bytes(Vec<u8>),
    /// As many bytes stand in blocks.
    Blocks(usize),
}

impl Reader<'_> {
    pub fn block_size(&self) -> BlockSize {
        self.pages.blocks.block_size()
    }

    /// The longest piece of content or of an attribute.
    pub fn piece_bytes(&self) -> usize {
        item_bytes_max(self.block_size().bytes_usize())
    }

    /// The record of a file.
    pub fn record(&self, inode: Inode) -> Result<InodeRecord> {
        match self.pages.get(Key::new(ItemKind::Inode, inode.0, 0))? {
            Some(item) => {
                let record = InodeRecord::decode(&item)?;
                record.expect_size(self.block_size())?;
                Ok(record)
            }
            None => Err(Error::new(ErrorKind::NotFound, "look up a file").about(
                "inode",
                format!("no file {inode}"),
                "one that is there",
            )),
        }
    }

    /// The record of a directory.
    pub fn directory(&self, operation: &str, inode: Inode) -> Result<InodeRecord> {
        let record = self.record(inode)?;
        match kind_of(&record)? {
            FileKind::Directory => Ok(record),
            _ => Err(Error::new(ErrorKind::NotADirectory, operation)),
        }
    }

    pub fn attributes(&self, inode: Inode) -> Result<Attributes> {
        let record = self.record(inode)?;
        attributes_of(inode, &record, self.allocated_bytes(inode, &record)?)
    }

    fn allocated_bytes(&self, inode: Inode, record: &InodeRecord) -> Result<u64> {
        if is_inline(record) || kind_of(record)? != FileKind::Regular {
            return Ok(0);
        }
        let blocks = self.block_size().blocks_for(record.size);
        if !record.flags.has(InodeFlags::SPARSE) {
            return Ok(blocks << self.block_size().log2());
        }
        let data = self.occupied.count(self.pages.blocks, inode, blocks)?;
        Ok(data << self.block_size().log2())
    }

    /// What a name leads to, and the kind of file that it says that is.
    pub fn lookup(&self, directory: Inode, name: &[u8]) -> Result<(Inode, FileKind)> {
        let operation = "look up a name";
        let checked = check_name(operation, name);
        // Only directories have names in them: what is found needs no look at the record.
        if checked.is_ok()
            && let Some(found) = names::find(&self.pages, directory, name)?
        {
            return Ok((found.inode, found.kind));
        }
        let record = self.directory(operation, directory)?;
        checked?;
        match name {
            b"." => Ok((directory, FileKind::Directory)),
            // One that was removed is in no directory any more.
            b".." if record.links > 0 => Ok((Inode(record.name.directory), FileKind::Directory)),
            _ => Err(not_found(operation, name)),
        }
    }

    /// The next entries behind the number `after`.
    ///
    /// A directory has one name, and its record says which. Where another leads to it, going down
    /// might never end (INV-05).
    pub fn entries(&self, directory: Inode, after: u64) -> Result<EntryBatch> {
        let operation = "list a directory";
        self.directory(operation, directory)?;
        let mut batch = EntryBatch::default();
        let (_, last) = Key::range(ItemKind::Entry, directory.0);
        let first = Key::new(ItemKind::Entry, directory.0, after.saturating_add(1));
        self.pages.scan(first, last, |key, value| {
            let entry = EntryValue::decode(value)?;
            let kind = names::entry_kind(&entry);
            if kind == FileKind::Directory {
                let place = NamePlace { directory: directory.0, cookie: key.sub() };
                if self.record(Inode(entry.inode))?.name != place {
                    let expected = "the one that its record says";
                    let found = format!("another, of inode {}", entry.inode);
                    return Err(Error::corrupt(operation, "name of a directory", found, expected));
                }
            }
            let start = batch.names.len();
            batch.names.extend(entry.name);
            let name = start..batch.names.len();
            batch.entries.push((Inode(entry.inode), kind, key.sub(), name));
            Ok(match batch.entries.len() < ENTRIES_AT_ONCE {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        Ok(batch)
    }

    /// The whole content of a file that stands in the metadata, or the target of a symlink.
    pub fn content(&self, inode: Inode, size: u64) -> Result<Vec<u8>> {
        let (first, last) = Key::range(ItemKind::Content, inode.0);
        let mut content = Vec::new();
        let mut pieces = 0;
        self.pages.scan(first, last, |key, value| {
            if key.sub() != pieces {
                let found = key.sub();
                return Err(Error::corrupt("read a small file", "piece", found, pieces));
            }
            pieces += 1;
            content.extend_from_slice(value);
            Ok(ControlFlow::Continue(()))
        })?;
        if content.len() as u64 != size {
            let found = content.len();
            return Err(Error::corrupt("read a small file", "length", found, size));
        }
        Ok(content)
    }

    /// What a read of `length` bytes from `offset` on has to do.
    pub fn plan(&self, inode: Inode, offset: u64, length: usize) -> Result<ReadPlan> {
        let record = self.record(inode)?;
        expect_regular("read a file", &record)?;
        let left = record.size.saturating_sub(offset);
        let length = usize::try_from(left).map_or(length, |left| left.min(length));
        if length == 0 {
            return Ok(ReadPlan::Bytes(Vec::new()));
        }
        if !is_inline(&record) {
            return Ok(ReadPlan::Blocks(length));
        }
        let mut content = self.content(inode, record.size)?;
        content.drain(..offset as usize);
        content.truncate(length);
        Ok(ReadPlan::Bytes(content))
    }

    pub fn read_link(&self, inode: Inode) -> Result<Vec<u8>> {
        let record = self.record(inode)?;
        match kind_of(&record)? {
            FileKind::Symlink => self.content(inode, record.size),
            _ => Err(Error::new(ErrorKind::InvalidInput, "read a symlink").about(
                "file",
                "another kind",
                "a symlink",
            )),
        }
    }

    pub fn seek(&self, inode: Inode, offset: u64, seek: Seek) -> Result<Option<u64>> {
        let record = self.record(inode)?;
        expect_regular("look for data or holes", &record)?;
        if offset >= record.size {
            return Ok(None);
        }
        if is_inline(&record) {
            return Ok(Some(if seek == Seek::Data { offset } else { record.size }));
        }
        let log2 = self.block_size().log2();
        let start = first_block(inode.0);
        let from = BlockAddress(start.0 + (offset >> log2));
        let end = BlockAddress(start.0 + self.block_size().blocks_for(record.size));
        for extent in self.pages.blocks.extents(from, end) {
            let extent = extent?;
            let data = matches!(extent.target, ViewTarget::Data { .. });
            if data == (seek == Seek::Data) {
                return Ok(Some(((extent.start.0 - start.0) << log2).max(offset)));
            }
        }
        Ok((seek == Seek::Hole).then_some(record.size))
    }

    /// Where the pieces of an extended attribute stand, and its head.
    pub fn find_attribute(&self, inode: Inode, name: &[u8]) -> Result<Option<(u64, u32)>> {
        let first = first_attribute(name);
        let last = first | ((1 << (PIECE_BITS + ATTRIBUTE_SLOT_BITS)) - 1);
        let mut found = None;
        self.pages.scan(
            Key::new(ItemKind::Attribute, inode.0, first),
            Key::new(ItemKind::Attribute, inode.0, last),
            |key, value| {
                if key.sub() & ((1 << PIECE_BITS) - 1) == 0 {
                    let head = AttributeHead::decode(value)?;
                    if head.name == name {
                        found = Some((key.sub(), head.value_bytes));
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    pub fn extended_attribute(&self, inode: Inode, name: &[u8]) -> Result<Vec<u8>> {
        let operation = "read an extended attribute";
        let record = self.record(inode)?;
        let missing = || Err(Error::new(ErrorKind::NoAttribute, operation));
        if !record.flags.has(InodeFlags::ATTRIBUTES) {
            return missing();
        }
        let Some((first, length)) = self.find_attribute(inode, name)? else { return missing() };
        let mut value = Vec::with_capacity(length as usize);
        let last = first | ((1 << PIECE_BITS) - 1);
        self.pages.scan(
            Key::new(ItemKind::Attribute, inode.0, first),
            Key::new(ItemKind::Attribute, inode.0, last),
            |key, piece| {
                match key.sub() == first {
                    true => value.extend_from_slice(AttributeHead::decode(piece)?.first),
                    false => value.extend_from_slice(piece),
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        if value.len() != length as usize {
            return Err(Error::corrupt(operation, "length", value.len(), length));
        }
        Ok(value)
    }

    pub fn extended_attribute_names(&self, inode: Inode) -> Result<Vec<Vec<u8>>> {
        let record = self.record(inode)?;
        let mut names = Vec::new();
        if record.flags.has(InodeFlags::ATTRIBUTES) {
            let (first, last) = Key::range(ItemKind::Attribute, inode.0);
            self.pages.scan(first, last, |key, value| {
                if key.sub() & ((1 << PIECE_BITS) - 1) == 0 {
                    names.push(AttributeHead::decode(value)?.name.to_vec());
                }
                Ok(ControlFlow::Continue(()))
            })?;
            names.sort_unstable();
        }
        Ok(names)
    }

    pub fn statistics(&self) -> Statistics {
        let superblock = self.pages.superblock;
        Statistics {
            block_bytes: self.block_size().bytes(),
            inodes: superblock.inodes,
            entries: superblock.entries,
            metadata_bytes: superblock.pages << self.block_size().log2(),
        }
    }
}

impl ReadPlan {
    /// Does it; how many bytes it read.
    pub fn read(
        self,
        blocks: &dyn Blocks,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        match self {
            ReadPlan::Bytes(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            ReadPlan::Blocks(length) => {
                blocks.read(first_block(inode.0), offset, &mut buffer[..length])?;
                Ok(length)
            }
        }
    }

    /// Does it, without a copy where that can be, and shows what it read.
    pub fn read_with(
        self,
        blocks: &dyn Blocks,
        inode: Inode,
        offset: u64,
        buffer: &mut [u8],
        show: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        if let ReadPlan::Blocks(length) = self {
            let log2 = blocks.block_size().log2();
            let first = offset >> log2;
            let count = blocks.block_size().blocks_for(offset + length as u64) - first;
            let address = BlockAddress(first_block(inode.0).0 + first);
            if let Some(lent) = blocks.lend(address, count)? {
                let start = (offset - (first << log2)) as usize;
                show(&lent.as_ref()[start..start + length]);
                return Ok(());
            }
        }
        let length = self.read(blocks, inode, offset, buffer)?;
        show(&buffer[..length]);
        Ok(())
    }
}

impl EntryBatch {
    /// Shows the entries in order; where to go on, if there may be more.
    pub fn show(
        &self,
        each: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<(), Option<u64>> {
        for (inode, kind, cookie, name) in &self.entries {
            let name = &self.names[name.clone()];
            each(Entry { inode: *inode, kind: *kind, name, cookie: *cookie })?;
        }
        let more = self.entries.len() == ENTRIES_AT_ONCE;
        ControlFlow::Continue(self.entries.last().filter(|_| more).map(|entry| entry.2))
    }
}

/// The first of the numbers that an attribute's pieces may stand under: the same in every tree,
/// since those who name attributes gain nothing by making them meet.
pub fn first_attribute(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    let mut low = [0; 8];
    low.copy_from_slice(&hash.as_bytes()[..8]);
    group_of_attribute(u64::from_le_bytes(low) >> 1)
}

/// The first of the numbers of attributes whose names have one hash.
pub fn group_of_attribute(sub: u64) -> u64 {
    sub & !((1 << (PIECE_BITS + ATTRIBUTE_SLOT_BITS)) - 1)
}

/// That a file has content of its own.
pub fn expect_regular(operation: &str, record: &InodeRecord) -> Result<()> {
    match kind_of(record)? {
        FileKind::Regular => Ok(()),
        FileKind::Directory => Err(Error::new(ErrorKind::IsADirectory, operation)),
        _ => Err(Error::invalid(operation, "file", "a device, pipe or link", "one with content")),
    }
}

/// That there is no such name.
pub fn not_found(operation: &str, name: &[u8]) -> Error {
    let found = format!("none like \"{}\"", name.escape_ascii());
    Error::new(ErrorKind::NotFound, operation).about("name", found, "one that is there")
}
