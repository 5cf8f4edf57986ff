//! Writing: content, its room, and when it is durable.

use fuser::{Errno, INodeNo, Request, WriteFlags};
use sapwood::files::{Inode, SetAttributes, SizeChange};

use super::{Answer, Server};

/// The modes of `fallocate` that the kernel lets through.
const KEEP_SIZE: i32 = 0x01;
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

/// The most that one `copy_file_range` copies: the reply counts in 32 bits, and callers go on
/// from where it stopped; a power of two, so that they go on at a whole block.
const COPY_BYTES_MAX: u64 = 1 << 31;

impl Server {
    /// Writes.
    pub(super) fn write(
        &self,
        number: INodeNo,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
    ) -> Answer<u32> {
        let files = self.tree.writer()?;
        let number = self.inode_to_change(number)?;
        if flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
            self.engine(files.set_attributes(number, &without_privileges()))?;
        }
        self.with_room(data.len() as u64, || files.write(number, offset, data))?;
        self.recent.forget(number);
        Ok(data.len() as u32)
    }

    /// How many bytes a file takes; none where it cannot be told.
    pub(super) fn room_of(&self, number: INodeNo) -> Option<u64> {
        let file = self.inode(number).ok()?;
        self.tree.reader().attributes(file).ok().map(|attributes| attributes.allocated_bytes)
    }

    /// Allocates, punches or zeroes a range.
    pub(super) fn allocate(
        &self,
        request: &Request,
        number: INodeNo,
        offset: u64,
        length: u64,
        mode: i32,
    ) -> Answer<()> {
        let files = self.tree.writer()?;
        let number = self.inode_to_change(number)?;
        self.clear_privileges(request, number)?;
        self.recent.forget(number);
        let size = if mode & KEEP_SIZE == 0 { SizeChange::Extend } else { SizeChange::Keep };
        match mode & !KEEP_SIZE {
            0 => self.with_room(0, || files.allocate(number, offset, length, size)),
            PUNCH_HOLE if size == SizeChange::Extend => Err(Errno::EOPNOTSUPP),
            PUNCH_HOLE | ZERO_RANGE => {
                self.engine(files.zero(number, offset, length, size))?;
                self.room.may_have_grown();
                Ok(())
            }
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Copies a range by sharing its blocks as far as they line up; how many bytes.
    pub(super) fn copy_range(
        &self,
        request: &Request,
        from: (INodeNo, u64),
        to: (INodeNo, u64),
        length: u64,
    ) -> Answer<u32> {
        let files = self.tree.writer()?;
        let (source, target) = (self.inode(from.0)?, self.inode_to_change(to.0)?);
        self.clear_privileges(request, target)?;
        let length = length.min(COPY_BYTES_MAX);
        self.recent.forget(target);
        let copy = || files.copy_range(source, from.1, target, to.1, length);
        let taken = self.bytes_to_copy(source, from.1, to.1, length)?;
        let copied = self.with_room(taken, copy)?;
        Ok(u32::try_from(copied).expect("at most what was asked for"))
    }

    /// How many bytes of such a range are copied at most: its ends where blocks line up, else all that
    /// there is to copy.
    fn bytes_to_copy(&self, source: Inode, from: u64, to: u64, length: u64) -> Answer<u64> {
        let block_bytes = u64::from(self.block_bytes);
        if from % block_bytes == to % block_bytes {
            return Ok(length.min(2 * block_bytes));
        }
        let size = self.engine(self.tree.reader().attributes(source))?.size;
        Ok(length.min(size.saturating_sub(from)))
    }

    /// Takes set-id bits from a file that somebody other than root changes, where the kernel does
    /// not say so itself.
    fn clear_privileges(&self, request: &Request, number: Inode) -> Answer<()> {
        if request.uid() == 0 {
            return Ok(());
        }
        let cleared = self.tree.writer()?.set_attributes(number, &without_privileges());
        self.engine(cleared).map(drop)
    }

    /// Makes what was written durable; everything, as one commit covers data and metadata.
    pub(super) fn sync(&self) -> Answer<()> {
        match &self.tree {
            crate::tree::Tree::View(_) => Ok(()),
            crate::tree::Tree::Live(files) => self.engine(files.flush()),
        }
    }
}

/// Set-id bits and capabilities go.
fn without_privileges() -> SetAttributes {
    SetAttributes { clear_privileges: true, ..SetAttributes::default() }
}
