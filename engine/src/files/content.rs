//! The content of files: written, cut off, made longer, punched, shared.
//!
//! What blocks hold past the end of a file means nothing: whoever makes a file longer first
//! makes the stretch between read as zeros. So nothing has to be undone where a write fails
//! half-way, and cutting off costs no write.

use std::ops::Range;

use super::blocks::first_block;
use super::core::Core;
use super::live::Files;
use super::names;
use super::occupied::Recount;
use super::operation::{Editor, Operation};
use super::read::expect_regular;
use super::types::{Inode, NewFile, SizeChange, is_inline};
use crate::error::{Error, ErrorKind, Result};
use crate::format::files::inode::file_bytes_max;
use crate::format::files::{InodeFlags, InodeRecord};
use crate::units::BlockAddress;
use crate::volume::CloneSource;

/// How many pieces of content stand in the metadata at most; more goes into blocks.
const INLINE_PIECES_MAX: usize = 2;
/// How many bytes are copied at once where blocks cannot be shared.
const COPY_BYTES: usize = 1 << 20;

impl Files {
    /// Writes `data` at byte `offset`; a file that ends before grows, by zeros in between.
    ///
    /// Errors: [`ErrorKind::IsADirectory`]; [`ErrorKind::FileTooLarge`] past 2^32 - 1 blocks;
    /// [`ErrorKind::NoSpace`] (some of the data may be there; the size says how much).
    pub fn write(&self, inode: Inode, offset: u64, data: &[u8]) -> Result<()> {
        self.core.operate("write a file", |operation| {
            let _content = self.core.content(inode).write();
            operation.write(inode, offset, data)
        })
    }

    /// Makes a file hold `content`, and nothing else, in one operation: made as `new` where the name is free.
    pub(super) fn put(
        &self,
        directory: Inode,
        name: &[u8],
        new: &NewFile,
        content: &[u8],
    ) -> Result<()> {
        self.core.operate("write a file", |operation| {
            let inode = operation.change(|editor| {
                match names::find(&editor.reader().pages, directory, name)? {
                    // Another thread may have been faster, or an attempt that found no room.
                    Some(found) => Ok(found.inode),
                    None => Ok(editor.make(new, Some((directory, name)), None)?.inode),
                }
            })?;
            operation.overwrite(inode, content)
        })
    }

    /// Makes a file hold `content`, and nothing else, in one operation.
    pub(super) fn overwrite(&self, inode: Inode, content: &[u8]) -> Result<()> {
        self.core.operate("write a file", |operation| operation.overwrite(inode, content))
    }

    /// Makes sure that a file reaches as far as `offset + length`, with zeros where nothing was
    /// written. Blocks are not set aside: with copy on write that would promise nothing.
    pub fn allocate(&self, inode: Inode, offset: u64, length: u64, size: SizeChange) -> Result<()> {
        self.core.operate("allocate a file", |operation| {
            let _content = self.core.content(inode).write();
            let record = self.core.look(|reader| reader.record(inode))?;
            expect_regular(operation.name, &record)?;
            let end = end_of(&self.core, operation.name, offset, length)?;
            match size == SizeChange::Extend && end > record.size {
                true => operation.resize(inode, end),
                false => Ok(()),
            }
        })
    }

    /// Makes a range read as zeros; its blocks are given up.
    pub fn zero(&self, inode: Inode, offset: u64, length: u64, size: SizeChange) -> Result<()> {
        self.core.operate("make a range of a file zero", |operation| {
            let _content = self.core.content(inode).write();
            let record = self.core.look(|reader| reader.record(inode))?;
            expect_regular(operation.name, &record)?;
            let end = end_of(&self.core, operation.name, offset, length)?;
            operation.zero(inode, &record, offset, end.min(record.size))?;
            match size == SizeChange::Extend && end > record.size {
                true => operation.resize(inode, end),
                false => Ok(()),
            }
        })
    }

    /// Makes a range of `to` hold what a range of `from` does, sharing blocks where both begin at
    /// the same place in a block. How many bytes: fewer where `from` ends before.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for ranges of one file that overlap.
    pub fn copy_range(
        &self,
        from: Inode,
        from_offset: u64,
        to: Inode,
        to_offset: u64,
        length: u64,
    ) -> Result<u64> {
        self.core.operate("copy a range of a file", |operation| {
            let (first, second) = match Core::content_place(from) <= Core::content_place(to) {
                true => (from, to),
                false => (to, from),
            };
            let _first = self.core.content(first).write();
            let apart = Core::content_place(first) != Core::content_place(second);
            let _second = apart.then(|| self.core.content(second).write());
            operation.copy_range(from, from_offset, to, to_offset, length)
        })
    }
}

impl Operation<'_> {
    fn overwrite(&self, inode: Inode, content: &[u8]) -> Result<()> {
        let _content = self.core.content(inode).write();
        let length = content.len() as u64;
        if length <= self.inline_bytes_max() {
            return self.replace(inode, content);
        }
        // What is refused whatever the host has room for leaves the file as it was.
        end_of(self.core, self.name, 0, length)?;
        self.resize(inode, 0)?;
        self.write(inode, 0, content)
    }

    pub fn record(&self, inode: Inode) -> Result<InodeRecord> {
        let record = self.core.look(|reader| reader.record(inode))?;
        expect_regular(self.name, &record)?;
        Ok(record)
    }

    fn block_bytes(&self) -> u64 {
        self.core.volume.block_size().bytes()
    }

    fn blocks_for(&self, bytes: u64) -> u64 {
        self.core.volume.block_size().blocks_for(bytes)
    }

    /// Begins a change of the bytes `range` of a file of `size` bytes. The caller holds the
    /// content's lock.
    pub fn recount(&self, inode: Inode, size: u64, range: Range<u64>) -> Recount<'_> {
        let core = self.core;
        let range = range.start / self.block_bytes()..self.blocks_for(range.end);
        core.occupied.change(&core.volume, inode, self.blocks_for(size), range)
    }

    fn inline_bytes_max(&self) -> u64 {
        let page_bytes = self.core.volume.block_size().bytes_usize();
        (INLINE_PIECES_MAX * crate::format::files::item_bytes_max(page_bytes)) as u64
    }

    /// The caller holds the content's lock.
    pub fn write(&self, inode: Inode, offset: u64, data: &[u8]) -> Result<()> {
        let record = self.record(inode)?;
        let end = end_of(self.core, self.name, offset, data.len() as u64)?;
        if data.is_empty() {
            return Ok(());
        }
        if is_inline(&record) && end <= self.inline_bytes_max() {
            let mut content = self.core.look(|reader| reader.content(inode, record.size))?;
            content.resize(content.len().max(end as usize), 0);
            content[offset as usize..end as usize].copy_from_slice(data);
            return self.change(|editor| editor.write_inline(inode, &content));
        }
        let mut record = self.in_blocks(inode, record)?;
        let recount = self.recount(inode, record.size, offset.min(record.size)..end);
        self.clear_gap(inode, record.size, offset)?;
        self.batch.write_blocks(first_block(inode.0), offset, data)?;
        let sparse = offset > record.size.next_multiple_of(self.block_bytes());
        record.size = record.size.max(end);
        self.change(|editor| editor.note_written(inode, record.size, sparse))?;
        recount.done(self.blocks_for(record.size));
        Ok(())
    }

    /// Cuts a file off, or makes it longer by zeros. The caller holds the content's lock.
    pub fn resize(&self, inode: Inode, size: u64) -> Result<()> {
        let record = self.record(inode)?;
        end_of(self.core, self.name, 0, size)?;
        if is_inline(&record) && size <= self.inline_bytes_max() {
            let mut content = self.core.look(|reader| reader.content(inode, record.size))?;
            content.resize(size as usize, 0);
            return self.change(|editor| editor.write_inline(inode, &content));
        }
        let record = self.in_blocks(inode, record)?;
        let range = size.min(record.size)..size.max(record.size);
        let recount = self.recount(inode, record.size, range);
        if size > record.size {
            self.clear_gap(inode, record.size, size)?;
            self.change(|editor| editor.note_written(inode, size, true))?;
        } else {
            // First the size: blocks past it mean nothing, whatever becomes of them.
            self.change(|editor| editor.note_written(inode, size, false))?;
            self.give_up_past(inode, size, record.size)?;
        }
        recount.done(self.blocks_for(size));
        Ok(())
    }

    /// Makes a file hold what goes into the metadata, and nothing else; after an error all is as it
    /// was. Whether it stands there or in blocks stays. The caller holds the content's lock.
    pub fn replace(&self, inode: Inode, content: &[u8]) -> Result<()> {
        let record = self.record(inode)?;
        if is_inline(&record) {
            return self.change(|editor| editor.write_inline(inode, content));
        }
        let size = content.len() as u64;
        self.make_room()?;
        let recount = self.recount(inode, record.size, 0..record.size.max(size));
        if !content.is_empty() {
            let mut block = content.to_vec();
            block.resize(self.block_bytes() as usize, 0);
            self.batch.write_blocks(first_block(inode.0), 0, &block)?;
        }
        self.change_further(|editor| editor.note_written(inode, size, false))?;
        self.give_up_past(inode, size, record.size)?;
        recount.done(self.blocks_for(size));
        Ok(())
    }

    /// Gives up the blocks of a file past its end, where it was longer.
    pub fn give_up_past(&self, inode: Inode, size: u64, old_size: u64) -> Result<()> {
        let (start, end) = (self.blocks_for(size), self.blocks_for(old_size));
        let address = BlockAddress(first_block(inode.0).0 + start);
        let bytes = end.saturating_sub(start) * self.block_bytes();
        self.batch.discard_blocks(address, 0, bytes)
    }

    /// Gives a file whose content stands in the metadata blocks instead; its new record.
    pub fn in_blocks(&self, inode: Inode, record: InodeRecord) -> Result<InodeRecord> {
        if !is_inline(&record) {
            return Ok(record);
        }
        let content = self.core.look(|reader| reader.content(inode, record.size))?;
        if !content.is_empty() {
            // The whole block: what an earlier attempt may have left behind it goes.
            let mut block = content;
            block.resize(block.len().next_multiple_of(self.block_bytes() as usize), 0);
            self.batch.write_blocks(first_block(inode.0), 0, &block)?;
        }
        self.change(|editor| {
            // Read again: only its content is locked, and others may have changed all else.
            let mut record = editor.record(inode)?;
            editor.put_content(inode, record.size, &[])?;
            record.flags = record.flags.with(InodeFlags::INLINE, false);
            editor.put_record(inode, &record)?;
            Ok(record)
        })
    }

    /// Makes what lies between the end of a file and `offset` read as zeros.
    fn clear_gap(&self, inode: Inode, size: u64, offset: u64) -> Result<()> {
        if offset <= size {
            return Ok(());
        }
        self.batch.discard_blocks(first_block(inode.0), size, offset - size)
    }

    fn zero(&self, inode: Inode, record: &InodeRecord, start: u64, end: u64) -> Result<()> {
        if start >= end {
            return Ok(());
        }
        if is_inline(record) {
            let mut content = self.core.look(|reader| reader.content(inode, record.size))?;
            content[start as usize..end as usize].fill(0);
            return self.change(|editor| editor.write_inline(inode, &content));
        }
        // The last block goes whole: what it holds past the end means nothing.
        let past = if end == record.size { end.next_multiple_of(self.block_bytes()) } else { end };
        let recount = self.recount(inode, record.size, start..past);
        self.batch.discard_blocks(first_block(inode.0), start, past - start)?;
        self.change(|editor| editor.note_written(inode, record.size, true))?;
        recount.done(self.blocks_for(record.size));
        Ok(())
    }

    fn copy_range(
        &self,
        from: Inode,
        from_offset: u64,
        to: Inode,
        to_offset: u64,
        length: u64,
    ) -> Result<u64> {
        let source = self.record(from)?;
        let target = self.record(to)?;
        let length = length.min(source.size.saturating_sub(from_offset));
        if length == 0 {
            return Ok(0);
        }
        let end = end_of(self.core, self.name, to_offset, length)?;
        let overlap = from_offset < end && to_offset < from_offset + length;
        if from == to && overlap {
            let expected = "ranges apart from each other";
            return Err(Error::invalid(self.name, "ranges", "an overlap", expected));
        }
        let size = self.block_bytes();
        // What can be shared: whole blocks, and the source's last one where the target's ends too.
        let head = from_offset.next_multiple_of(size) - from_offset;
        let to_the_end = from_offset + length == source.size && end >= target.size;
        let whole = match to_the_end {
            true => (from_offset + length).next_multiple_of(size),
            false => (from_offset + length) / size * size,
        };
        let shares = from_offset % size == to_offset % size
            && !is_inline(&source)
            && whole > from_offset + head
            && end > self.inline_bytes_max();
        if !shares {
            self.copy_bytes(from, from_offset, to, to_offset, length)?;
            return Ok(length);
        }
        self.copy_bytes(from, from_offset, to, to_offset, head)?;
        let blocks = (whole - from_offset - head) / size;
        let target = self.in_blocks(to, self.record(to)?)?;
        let start = to_offset + head;
        let recount = self.recount(to, target.size, start.min(target.size)..start + blocks * size);
        self.clear_gap(to, target.size, start)?;
        let block = |inode: Inode, at: u64| BlockAddress(first_block(inode.0).0 + at / size);
        let (source_block, target_block) = (block(from, from_offset + head), block(to, start));
        self.batch.clone_blocks(CloneSource::Own, source_block, target_block, blocks)?;
        let shared_end = (start + blocks * size).min(end);
        let sparse = source.flags.has(InodeFlags::SPARSE) || start > target.size;
        self.change(|editor| editor.note_written(to, target.size.max(shared_end), sparse))?;
        recount.done(self.blocks_for(target.size.max(shared_end)));
        let done = shared_end - to_offset;
        self.copy_bytes(from, from_offset + done, to, shared_end, length - done)?;
        Ok(length)
    }

    fn copy_bytes(
        &self,
        from: Inode,
        mut from_offset: u64,
        to: Inode,
        mut to_offset: u64,
        mut length: u64,
    ) -> Result<()> {
        let mut buffer = vec![0; COPY_BYTES.min(length as usize)];
        while length > 0 {
            let part = &mut buffer[..COPY_BYTES.min(length as usize)];
            let read = self.core.read_content(from, from_offset, part)?;
            self.write(to, to_offset, &part[..read])?;
            from_offset += read as u64;
            to_offset += read as u64;
            length -= read as u64;
        }
        Ok(())
    }
}

impl Editor<'_, '_> {
    /// Puts the whole content of a file that stands in the metadata.
    fn write_inline(&mut self, inode: Inode, content: &[u8]) -> Result<()> {
        let mut record = self.record(inode)?;
        self.put_content(inode, record.size, content)?;
        record.size = content.len() as u64;
        record.modified = self.now;
        record.changed = self.now;
        self.put_record(inode, &record)
    }

    /// Notes that content was written, and how long the file is now.
    pub fn note_written(&mut self, inode: Inode, size: u64, sparse: bool) -> Result<()> {
        let mut record = self.record(inode)?;
        record.size = size;
        if sparse {
            record.flags = record.flags.with(InodeFlags::SPARSE, true);
        }
        record.modified = self.now;
        record.changed = self.now;
        self.put_record(inode, &record)
    }
}

/// The end of a range of a file.
fn end_of(core: &Core, operation: &str, offset: u64, length: u64) -> Result<u64> {
    let most = file_bytes_max(core.volume.block_size());
    match offset.checked_add(length) {
        Some(end) if end <= most => Ok(end),
        end => {
            let found = end.map_or("past 2^64".to_owned(), |end| end.to_string());
            let error = Error::new(ErrorKind::FileTooLarge, operation);
            Err(error.about("end", found, format!("at most {most}")))
        }
    }
}
