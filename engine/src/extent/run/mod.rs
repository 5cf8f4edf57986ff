//! The packed, immutable run: searched in its file as it lies.

mod builder;
mod check;
mod chunks;
mod extents;
mod find;
mod open;
mod over;
mod single;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Target};
use crate::format::PieceRef;
use crate::format::run::{CODE_DATA, CODE_HOLE, CODE_ZERO, RunHead, RunLayout, Word};
use crate::format::tree::{Node, TreeShape};
use crate::raw::{Column, PieceBytes, Vectors};
use crate::units::{BlockAddress, FileBlock, SourceIndex};

pub use builder::{EncodedRun, RunBuilder, encode_run};
use chunks::Chunks;
pub use extents::RunExtents;
pub use over::merge_over_run;
pub(super) use over::{Piece, fold_over_run};
use single::Single;

/// Where a run was read from, for its errors.
#[derive(Clone, Debug)]
pub struct RunOrigin {
    /// The file.
    pub path: Arc<Path>,
    /// The first byte of the piece in it.
    pub offset: u64,
}

/// A sorted, immutable array of extents, used as it lies in its file.
///
/// Head, chunk checksums and the upper parts of the search tree are verified when
/// the run is opened, the rest chunk by chunk when it is first touched. No bytes,
/// however hostile, make a call panic or loop: a look-up whose parts do not agree
/// is [`Corrupt`](crate::ErrorKind::Corrupt).
#[derive(Debug)]
pub struct Run {
    head: RunHead,
    layout: RunLayout,
    piece: PieceRef,
    origin: RunOrigin,
    bytes: PieceBytes,
    chunks: Chunks,
    vectors: Vectors,
    /// Of each superblock: where look-ups begin, so these stay what they were when they were looked
    /// through, even where a host loses the page of the map that holds them.
    highs: Box<[u32]>,
    firsts: Box<[u32]>,
    high_shape: TreeShape,
    high_tree: Column<Node>,
    /// Where all extents begin in one superblock that has a tree: what look-ups
    /// there are done with as few steps as possible.
    single: Option<Single>,
    low_trees: Column<Node>,
    lows: Column<u32>,
    words: Column<u64>,
    wide: Column<u64>,
    samples: Column<u64>,
    block_checksums: Column<u32>,
}

impl Run {
    /// How many extents.
    pub fn extent_count(&self) -> usize {
        self.lows.len()
    }

    /// How many blocks of data the extents map, those of other layers included.
    pub fn data_blocks(&self) -> u64 {
        self.block_checksums.len() as u64
    }

    /// The addresses from the first extent's start to the last one's end.
    pub fn covers(&self) -> Range<BlockAddress> {
        self.head.first..self.head.end
    }

    /// The length of the piece in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.layout.total_bytes
    }

    /// The heap that the run takes besides its map, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let single = self.single.as_ref().map_or(0, Single::heap_bytes);
        let superblocks = size_of_val(&self.highs[..]) + size_of_val(&self.firsts[..]);
        size_of::<Run>() + self.bytes.heap_bytes() + superblocks + single
    }

    /// How the head of its layer, or a record, names it.
    pub fn piece_ref(&self) -> PieceRef {
        self.piece
    }

    /// The generation in its head.
    pub fn generation(&self) -> u64 {
        self.piece.generation
    }

    /// All of its bytes, as they lie in the file.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    /// Searches with these vector instructions from now on, in place of the best ones
    /// that the CPU has: for comparing them.
    pub fn set_vectors(&mut self, vectors: Vectors) {
        self.vectors = vectors;
    }

    /// The extents that reach past `address`, the first one clipped to begin there.
    pub fn extents_from(&self, address: BlockAddress) -> Result<RunExtents<'_>> {
        let place = self.place(address)?;
        let first = match place.rank.checked_sub(1) {
            Some(index) if self.extent_verified(index)?.end() > address => index,
            _ => place.rank,
        };
        Ok(RunExtents::new(self, first, address))
    }

    /// All extents in address order.
    pub fn extents(&self) -> RunExtents<'_> {
        RunExtents::new(self, 0, BlockAddress(0))
    }

    /// The superblock that extent `index` lies in; the last one for those past the end.
    fn superblock_of(&self, index: usize) -> usize {
        let after = self.firsts.partition_point(|&first| first as usize <= index);
        after.saturating_sub(1).min(self.highs.len().saturating_sub(1))
    }

    /// Extent `index`, whose chunks are verified first.
    fn extent_verified(&self, index: usize) -> Result<Extent> {
        self.verify_extents(index..index + 1)?;
        self.extent(self.superblock_of(index), index)
    }

    /// Extent `index`, which lies in `superblock`: its length and blocks are checked.
    #[inline]
    fn extent(&self, superblock: usize, index: usize) -> Result<Extent> {
        let start = u64::from(self.highs[superblock]) << 32 | u64::from(self.lows[index]);
        let widths = self.head.widths;
        let mut parts = widths.unpack(self.words[index]);
        if parts.code == widths.wide_code() {
            parts = self.wide_parts(index)?;
        }
        let target = match parts.code {
            CODE_HOLE => Target::Hole,
            CODE_ZERO => Target::Zero,
            code => Target::Data {
                source: SourceIndex(code - CODE_DATA),
                block: FileBlock(parts.block),
            },
        };
        // Past the end of the run, the address space, or the blocks a file can number.
        let room = self.head.end.0.saturating_sub(start).min(u64::MAX - parts.block);
        if parts.length == 0 || parts.length > room {
            return Err(self.bad_length(index, parts.length, room));
        }
        Ok(Extent { start: BlockAddress(start), length: parts.length, target })
    }

    /// Verifies the lows and words of extents.
    #[inline]
    fn verify_extents(&self, range: Range<usize>) -> Result<()> {
        if self.chunks.mapping_verified() {
            return Ok(());
        }
        let lows = self.chunks.verify_items(&self.bytes, self.layout.lows, 4, range.clone());
        lows.and_then(|()| self.chunks.verify_items(&self.bytes, self.layout.words, 8, range))
            .map_err(|error| self.locate_error(error))
    }

    /// That the signal guard had to stand in for no page of the run.
    #[inline]
    fn intact(&self) -> Result<()> {
        match self.bytes.faulted() {
            false => Ok(()),
            true => Err(self.faulted()),
        }
    }

    #[cold]
    fn wide_parts(&self, index: usize) -> Result<Word> {
        let at = self.head.widths.unpack_wide(self.words[index]);
        if at >= self.head.wide {
            return Err(self.damaged(
                "wide index",
                self.layout.words.offset + 8 * index as u64,
                at,
                format!("below {}", self.head.wide),
            ));
        }
        let first = 3 * at as usize;
        self.chunks
            .verify_items(&self.bytes, self.layout.wide, 8, first..first + 3)
            .map_err(|error| self.locate_error(error))?;
        let code = u32::try_from(self.wide[first + 2]).map_err(|_| {
            let offset = self.layout.wide.offset + 8 * (first as u64 + 2);
            self.damaged("source code", offset, self.wide[first + 2], "32 bits")
        })?;
        Ok(Word { code, length: self.wide[first], block: self.wide[first + 1] })
    }

    #[cold]
    fn damaged(
        &self,
        field: &'static str,
        offset: u64,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Error {
        let error = Error::corrupt("search a run", field, found, expected).at_offset(offset);
        self.locate_error(error)
    }

    #[cold]
    fn bad_length(&self, index: usize, length: u64, room: u64) -> Error {
        let offset = self.layout.words.offset + 8 * index as u64;
        self.damaged("length", offset, length, format!("1 to {room}"))
    }

    #[cold]
    fn out_of_order(&self, index: usize) -> Error {
        let offset = self.layout.lows.offset + 4 * index as u64;
        let found = format!("extent {index} out of order");
        self.damaged("start", offset, found, "extents in address order")
    }

    #[cold]
    fn faulted(&self) -> Error {
        let source = std::io::Error::from_raw_os_error(libc::EIO);
        self.locate_error(Error::of_reading("read a mapped run", source))
    }

    #[cold]
    fn locate_error(&self, error: Error) -> Error {
        // Zeros in place of a page that the host has lost agree with nothing, but are no damage.
        if error.kind() == ErrorKind::Corrupt && self.bytes.faulted() {
            return self.faulted();
        }
        error.shifted_by(self.origin.offset).in_file(&self.origin.path)
    }
}
