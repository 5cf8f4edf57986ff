//! The blocks of one layer file: mapped in segments or read, and verified.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::descriptors::FileSource;
use super::policy::{MapPolicy, ReadPolicy, VerifyPolicy};
use super::streams::{STRIDE_BYTES, Streams};
use super::verified::VerifiedBits;
use crate::error::{Error, ErrorKind, Result};
use crate::format::checksum;
use crate::medium::{Map, Medium};
use crate::raw::prefetch_start;
use crate::units::{BlockSize, FileBlock, LayerId};

/// The bytes of one map of a file: large enough that a search for the right one is a shift,
/// small enough that an open layer's maps can reach past its end without using up addresses.
const SEGMENT_BYTES: u64 = 1 << 30;
/// How many segments of a file are mapped (16 TiB); what lies past them is read.
const SEGMENTS_MAX: u64 = 1 << 14;
/// How much of a long read is copied before what follows it is asked for.
const PART_BYTES: usize = 1 << 20;
/// From how many bytes on consecutive blocks that were never read are read and not touched in the map:
/// the host brings them in as few large pieces then, and as many small ones where it is asked ahead.
const LONG_BYTES: usize = 128 << 10;

/// One layer file, opened for reading.
///
/// What a read of a block looks at comes first, in two cache lines: a view reads thousands
/// of layers in turn.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LayerFile {
    block_size: BlockSize,
    policy: ReadPolicy,
    /// The length that never changes any more; `None` while the file grows.
    fixed_bytes: Option<u64>,
    first: Segment,
    rest: OnceLock<Box<[Segment]>>,
    id: LayerId,
    path: PathBuf,
    source: FileSource,
    streams: Streams,
    writer: Option<Arc<dyn Elsewhere>>,
}

/// Who may write to a file that is looked at from outside.
pub(crate) trait Elsewhere: Debug + Send + Sync {
    /// Whether the file has another commit by now than the one that was looked at: no block of that is
    /// written anew before.
    fn has_moved_on(&self) -> bool;
}

#[derive(Debug)]
#[repr(C)]
struct Segment {
    map: OnceLock<Option<Map>>,
    verified: VerifiedBits,
}

impl LayerFile {
    /// The file of layer `id`; `fixed_bytes` is its length if that is final.
    pub fn new(
        source: FileSource,
        path: &Path,
        id: LayerId,
        block_size: BlockSize,
        policy: ReadPolicy,
        fixed_bytes: Option<u64>,
    ) -> LayerFile {
        let first_bytes = fixed_bytes.unwrap_or(SEGMENT_BYTES).min(SEGMENT_BYTES);
        LayerFile {
            source,
            path: path.to_owned(),
            id,
            block_size,
            policy,
            fixed_bytes,
            first: Segment::new(first_bytes, block_size),
            rest: OnceLock::new(),
            streams: Streams::default(),
            writer: None,
        }
    }

    /// The same file, which `writer` may change meanwhile: what does not verify is stale then.
    pub(crate) fn outside(mut self, writer: Arc<dyn Elsewhere>) -> LayerFile {
        self.writer = Some(writer);
        self
    }

    /// The layer's id: the seed of its checksums.
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// The path for people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of a block.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// The open file.
    pub fn medium(&self) -> Result<Arc<dyn Medium>> {
        self.source.medium()
    }

    /// Copies a part of one block, from byte `offset` of it. `checksum` is asked only where
    /// the block is still to be verified.
    pub fn read(
        &self,
        block: FileBlock,
        offset: usize,
        buffer: &mut [u8],
        checksum: impl FnOnce() -> Result<u32>,
    ) -> Result<()> {
        let size = self.block_size.bytes_usize();
        assert!(offset + buffer.len() <= size, "a part of one block");
        let Some((segment, index, at)) = self.segment(block) else {
            return self.read_copied(None, block, offset, buffer, checksum);
        };
        let Some(map) = self.map_of(segment, block)? else {
            return self.read_copied(Some((segment, index)), block, offset, buffer, checksum);
        };
        self.verify_mapped((segment, index), map, at, block, checksum)?;
        map.try_copy(at + offset, buffer).map_err(|error| self.io("read a block", block, error))
    }

    /// Asks for the memory of bytes from `offset` of a block on that are about to be read, so that the
    /// misses of several reads go side by side; for the page where it was never read.
    #[inline]
    pub fn prefetch(&self, block: FileBlock, offset: usize, length: usize) {
        if let Some((segment, index, at)) = self.segment(block)
            && let Some(Some(map)) = segment.map.get()
        {
            match segment.verified.get(index) {
                true => {
                    let length = length.min(self.block_size.bytes_usize() - offset);
                    prefetch_start(map.bytes(at + offset, length));
                }
                false => self.prefetch_unread(map, at, block, offset + length),
            }
        }
    }

    #[cold]
    fn prefetch_unread(&self, map: &Map, at: usize, block: FileBlock, length: usize) {
        let length = length.next_multiple_of(self.block_size.bytes_usize()).min(PART_BYTES);
        let start = block.byte_offset(self.block_size);
        match self.streams.note(start..start + length as u64) {
            Some(range) => map
                .will_need(at + (range.start - start) as usize, (range.end - range.start) as usize),
            None => map.will_need(at, length),
        }
    }

    /// Copies whole consecutive blocks; `checksum` gives that of the n-th.
    pub fn read_run(
        &self,
        block: FileBlock,
        buffer: &mut [u8],
        mut checksum: impl FnMut(u64) -> Result<u32>,
    ) -> Result<()> {
        let size = self.block_size.bytes_usize();
        assert!(buffer.len().is_multiple_of(size), "whole blocks");
        let count = (buffer.len() / size) as u64;
        let unverified = |index: u64| self.needs_checksum(FileBlock(block.0 + index));
        let part_blocks = PART_BYTES / size;
        for (number, part) in buffer.chunks_mut(PART_BYTES).enumerate() {
            self.read_unverified(FileBlock(block.0 + (number * part_blocks) as u64), part)?;
        }
        for index in (0..count).filter(|&index| unverified(index)) {
            let at = FileBlock(block.0 + index);
            let data = &buffer[index as usize * size..][..size];
            self.check(at, data, checksum(index)?)?;
            self.mark_verified(at);
        }
        Ok(())
    }

    /// The bytes of a whole block in the map, verified; `None` where there is no map.
    pub fn borrow(
        &self,
        block: FileBlock,
        checksum: impl FnOnce() -> Result<u32>,
    ) -> Result<Option<&[u8]>> {
        let Some((segment, index, at)) = self.segment(block) else { return Ok(None) };
        let Some(map) = self.map_of(segment, block)? else { return Ok(None) };
        let bytes = map.bytes(at, self.block_size.bytes_usize());
        self.verify_mapped((segment, index), map, at, block, checksum)?;
        match self.fault(map, block) {
            Some(error) => Err(error),
            None => Ok(Some(bytes)),
        }
    }

    /// As [`borrow`](Self::borrow), to keep: the map, and where in it the block begins. `None`
    /// where every use has to look again: at the checksum, or at what the guard says.
    pub fn share(
        &self,
        block: FileBlock,
        checksum: impl FnOnce() -> Result<u32>,
    ) -> Result<Option<(Map, usize)>> {
        let once = ReadPolicy { map: MapPolicy::Map, verify: VerifyPolicy::FirstTouch };
        if self.policy != once || self.fixed_bytes.is_none() {
            return Ok(None);
        }
        match self.borrow(block, checksum)? {
            Some(bytes) => self.map_range(block, bytes.len() as u64),
            None => Ok(None),
        }
    }

    /// The bytes of `count` consecutive blocks in the map, verified, to be used at once: the map,
    /// and where in it they begin. `None` where they do not lie in one map of a file that grows
    /// no more, and where the host does not have them in memory afterwards: a read tells why, and who
    /// hands them to the kernel could not. `checksums` is asked where a block is still to be verified.
    pub fn lend(
        &self,
        block: FileBlock,
        count: u64,
        checksums: impl FnOnce() -> Result<Vec<u32>>,
    ) -> Result<Option<(Map, usize)>> {
        let size = self.block_size.bytes_usize();
        let bytes = count.checked_mul(size as u64).filter(|&bytes| bytes > 0);
        let Some(bytes) = bytes.filter(|_| self.fixed_bytes.is_some()) else { return Ok(None) };
        let Some((map, start)) = self.map_range(block, bytes)? else { return Ok(None) };
        let blocks = (block.0..block.0 + count).map(FileBlock);
        let verified = !blocks.clone().any(|block| self.needs_checksum(block));
        let length = bytes as usize;
        self.read_ahead(&map, start, block, length, verified);
        // All at once, before it is looked at: touched page by page, it is a fault for every few.
        if !map.bring_in(start, length) {
            return Ok(None);
        }
        if !verified {
            let data = map.bytes(start, length).chunks(size);
            for ((block, data), expected) in blocks.zip(data).zip(checksums()?) {
                self.check(block, data, expected)
                    .map_err(|error| self.fault(&map, block).unwrap_or(error))?;
                self.mark_verified(block);
            }
        }
        match self.fault(&map, block) {
            Some(error) => Err(error),
            None => Ok(Some((map, start))),
        }
    }

    /// The map that holds all of `bytes` bytes from `block` on, and where in it they begin.
    pub fn map_range(&self, block: FileBlock, bytes: u64) -> Result<Option<(Map, usize)>> {
        let Some((segment, _, at)) = self.segment(block) else { return Ok(None) };
        let Some(map) = self.map_of(segment, block)? else { return Ok(None) };
        let inside = bytes <= map.len().saturating_sub(at) as u64;
        Ok(inside.then(|| (map.clone(), at)))
    }

    /// Whether a read of `block` would ask for its checksum.
    pub fn needs_checksum(&self, block: FileBlock) -> bool {
        self.policy.verify == VerifyPolicy::EveryRead
            || !self.segment(block).is_some_and(|(segment, bit, _)| segment.verified.get(bit))
    }

    /// Notes that a block just written by this process is what its checksum says.
    pub fn mark_verified(&self, block: FileBlock) {
        if let Some((segment, index, _)) = self.segment(block) {
            segment.verified.set(index);
        }
    }

    /// Notes that a block will hold something else.
    pub fn forget_verified(&self, block: FileBlock) {
        if let Some((segment, index, _)) = self.segment(block) {
            segment.verified.clear(index);
        }
    }

    fn segment(&self, block: FileBlock) -> Option<(&Segment, usize, usize)> {
        let offset = block.byte_offset_checked(self.block_size)?;
        if let Some(fixed) = self.fixed_bytes {
            // A crafted map may name blocks past the end; those are read, and the read fails.
            if offset.checked_add(self.block_size.bytes())? > fixed {
                return None;
            }
        }
        let number = offset / SEGMENT_BYTES;
        let at = offset % SEGMENT_BYTES;
        let index = (at >> self.block_size.log2()) as usize;
        if number == 0 {
            return Some((&self.first, index, at as usize));
        }
        let rest = self.rest.get_or_init(|| {
            let count = self
                .fixed_bytes
                .map_or(SEGMENTS_MAX, |fixed| fixed.div_ceil(SEGMENT_BYTES).min(SEGMENTS_MAX));
            (1..count)
                .map(|number| {
                    let left = self.fixed_bytes.map_or(SEGMENT_BYTES, |fixed| {
                        (fixed - number * SEGMENT_BYTES).min(SEGMENT_BYTES)
                    });
                    Segment::new(left, self.block_size)
                })
                .collect()
        });
        rest.get(number as usize - 1).map(|segment| (segment, index, at as usize))
    }

    fn map_of<'a>(&self, segment: &'a Segment, block: FileBlock) -> Result<Option<&'a Map>> {
        if let Some(map) = segment.map.get() {
            return Ok(map.as_ref());
        }
        let failed = |error| self.io("map a layer", block, error);
        if !self.policy.map.prepare_to_map().map_err(failed)? {
            return Ok(None);
        }
        let offset = block.byte_offset(self.block_size);
        let start = offset - offset % SEGMENT_BYTES;
        let length =
            self.fixed_bytes.map_or(SEGMENT_BYTES, |fixed| (fixed - start).min(SEGMENT_BYTES));
        let map = self.source.medium()?.map(start, length).map_err(failed)?;
        if let Some(map) = &map {
            map.expect_no_order();
        }
        Ok(segment.map.get_or_init(|| map).as_ref())
    }

    /// Verifies a block in the map where that is to be done, and has the host read ahead of it.
    #[inline]
    fn verify_mapped(
        &self,
        (segment, index): (&Segment, usize),
        map: &Map,
        at: usize,
        block: FileBlock,
        checksum: impl FnOnce() -> Result<u32>,
    ) -> Result<()> {
        let size = self.block_size.bytes_usize();
        let verified = segment.verified.get(index);
        self.read_ahead(map, at, block, size, verified);
        if !verified || self.policy.verify == VerifyPolicy::EveryRead {
            let expected = checksum()?;
            self.check(block, map.bytes(at, size), expected)
                .map_err(|error| self.fault(map, block).unwrap_or(error))?;
            segment.verified.set(index);
        }
        Ok(())
    }

    /// Notes that `length` bytes from `block` on, which lies at `at` of the map, are about to be read.
    /// What was `verified` has been read before: it and what follows it are most likely in memory, and
    /// most such reads are not looked at.
    #[inline]
    fn read_ahead(&self, map: &Map, at: usize, block: FileBlock, length: usize, verified: bool) {
        let is_seen =
            (at + length - 1) / STRIDE_BYTES as usize != at.wrapping_sub(1) / STRIDE_BYTES as usize;
        if !verified || is_seen {
            self.read_ahead_of_noted(map, at, block, length, verified);
        }
    }

    #[cold]
    fn read_ahead_of_noted(
        &self,
        map: &Map,
        at: usize,
        block: FileBlock,
        length: usize,
        verified: bool,
    ) {
        let start = block.byte_offset(self.block_size);
        let Some(range) = self.streams.note(start..start + length as u64) else { return };
        let from = at + (range.start - start) as usize;
        if !verified || !map.is_resident(from) {
            map.will_need(from, (range.end - range.start) as usize);
        }
    }

    fn read_unverified(&self, block: FileBlock, buffer: &mut [u8]) -> Result<()> {
        let offset =
            block.byte_offset_checked(self.block_size).ok_or_else(|| self.beyond(block))?;
        if let Some((segment, index, at)) = self.segment(block)
            && let Some(map) = self.map_of(segment, block)?
            && at + buffer.len() <= map.len()
        {
            let verified = |block: usize| segment.verified.get(block);
            let last = index + buffer.len() / self.block_size.bytes_usize() - 1;
            let verified = verified(index) && verified(last);
            if verified || buffer.len() < LONG_BYTES {
                self.read_ahead(map, at, block, buffer.len(), verified);
                return map
                    .try_copy(at, buffer)
                    .map_err(|error| self.io("read blocks", block, error));
            }
        }
        let medium = self.source.medium()?;
        medium.read_at(offset, buffer).map_err(|error| self.io("read blocks", block, error))
    }

    fn read_copied(
        &self,
        bit: Option<(&Segment, usize)>,
        block: FileBlock,
        offset: usize,
        buffer: &mut [u8],
        checksum: impl FnOnce() -> Result<u32>,
    ) -> Result<()> {
        let at = block.byte_offset_checked(self.block_size).ok_or_else(|| self.beyond(block))?;
        let medium = self.source.medium()?;
        let verified = self.policy.verify == VerifyPolicy::FirstTouch
            && bit.is_some_and(|(segment, index)| segment.verified.get(index));
        if verified {
            return medium
                .read_at(at + offset as u64, buffer)
                .map_err(|error| self.io("read a block", block, error));
        }
        let mut whole = vec![0; self.block_size.bytes_usize()];
        medium.read_at(at, &mut whole).map_err(|error| self.io("read a block", block, error))?;
        self.check(block, &whole, checksum()?)?;
        if let Some((segment, index)) = bit {
            segment.verified.set(index);
        }
        buffer.copy_from_slice(&whole[offset..offset + buffer.len()]);
        Ok(())
    }

    fn check(&self, block: FileBlock, data: &[u8], expected: u32) -> Result<()> {
        let found = checksum::of_block(self.id, block, data);
        if found == expected {
            return Ok(());
        }
        if self.writer.as_ref().is_some_and(|writer| writer.has_moved_on()) {
            let stale = format!("read block {block} of layer {}: the writer has moved on", self.id);
            return Err(Error::new(ErrorKind::Stale, stale).in_file(&self.path));
        }
        Err(Error::corrupt(
            format!("read block {block} of layer {}", self.id),
            "block checksum",
            format!("{found:#010x}"),
            format!("{expected:#010x}"),
        )
        .in_file(&self.path)
        .at_offset(block.byte_offset(self.block_size)))
    }

    /// The error of a map that the device or a third party has taken away, if it is one.
    fn fault(&self, map: &Map, block: FileBlock) -> Option<Error> {
        map.faulted().then(|| {
            let error = std::io::Error::from_raw_os_error(libc::EIO);
            self.io("read a mapped block", block, error)
        })
    }

    fn io(&self, operation: &str, block: FileBlock, error: std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            return self.beyond(block);
        }
        Error::of_reading(format!("{operation} of layer {}", self.id), error)
            .in_file(&self.path)
            .at_offset(block.0.saturating_mul(self.block_size.bytes()))
    }

    fn beyond(&self, block: FileBlock) -> Error {
        Error::corrupt(
            format!("read a block of layer {}", self.id),
            "block",
            block,
            "a block inside the file",
        )
        .in_file(&self.path)
        .at_offset(block.0.saturating_mul(self.block_size.bytes()))
    }
}

impl Segment {
    fn new(bytes: u64, block_size: BlockSize) -> Segment {
        let blocks = bytes.div_ceil(block_size.bytes()) as usize;
        Segment { map: OnceLock::new(), verified: VerifiedBits::new(blocks) }
    }
}
