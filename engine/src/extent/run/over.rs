//! Laying newer extents over a packed run: what is not covered is copied column by column.
//!
//! A merge of few extents over many is mostly copying. So the newer ones are walked, and
//! the stretches of the older run between them are found by searching and copied whole.

use std::ops::Range;

use super::{Run, RunBuilder};
use crate::error::Result;
use crate::extent::{Extent, Holes, Stretch, Target};
use crate::format::run::{CODE_HOLE, WordWidths};
use crate::raw::{self, CompareNode, Search, Vectors};
use crate::units::{ADDRESS_END, BlockAddress, SourceIndex};

/// Packs what `newer` says over `older`, without block checksums; neighbours that go on
/// in each other are joined.
///
/// The sources of `older` count from `first_source` on. Each source, newer or older, goes
/// through `renumber` before it is packed, which keeps different ones different.
pub fn merge_over_run(
    newer: impl Iterator<Item = Result<Extent>>,
    older: &Run,
    first_source: u32,
    holes: Holes,
    mut renumber: impl FnMut(SourceIndex) -> Result<SourceIndex>,
) -> Result<RunBuilder> {
    let builder = RunBuilder::without_checksums();
    let mut packing = Packing::new(builder, older, first_source, holes);
    for extent in newer {
        let extent = extent?;
        packing.copy_older_until(extent.start, &mut renumber)?;
        packing.push(renumbered(extent, 0, &mut renumber)?)?;
        packing.older_from = extent.end();
    }
    packing.finish(&mut renumber)
}

/// An extent, and where its block checksums lie.
#[derive(Clone, Copy, Debug)]
pub(in crate::extent) struct Piece<'a> {
    pub(in crate::extent) extent: Extent,
    pub(in crate::extent) run: &'a Run,
    /// The number of the first one in the column of that run.
    pub(in crate::extent) checksums_from: u64,
}

impl Stretch for Piece<'_> {
    fn extent(&self) -> &Extent {
        &self.extent
    }

    fn starting_at(self, start: BlockAddress) -> Self {
        let into = start.0 - self.extent.start.0;
        Piece {
            extent: self.extent.starting_at(start),
            checksums_from: self.checksums_from.saturating_add(into),
            ..self
        }
    }

    fn ending_at(self, end: BlockAddress) -> Self {
        Piece { extent: self.extent.ending_at(end), ..self }
    }
}

/// Packs what `newer` says over `older`, with the block checksums of both.
pub(in crate::extent) fn fold_over_run<'a>(
    newer: impl Iterator<Item = Result<Piece<'a>>>,
    older: &Run,
    holes: Holes,
) -> Result<RunBuilder> {
    let mut packing = Packing::new(RunBuilder::with_checksums(), older, 0, holes);
    for piece in newer {
        let Piece { extent, run, checksums_from } = piece?;
        packing.copy_older_until(extent.start, &mut Ok)?;
        if let Target::Data { .. } = extent.target {
            packing.builder.push_checksums(run.checksum_column(checksums_from, extent.length)?);
        }
        packing.push(extent)?;
        packing.older_from = extent.end();
    }
    packing.finish(&mut Ok)
}

struct Packing<'a> {
    builder: RunBuilder,
    /// What was told last and may still go on.
    last: Option<Extent>,
    older: &'a Run,
    first_source: u32,
    /// What the older run says below this is copied or covered.
    older_from: BlockAddress,
    holes: Holes,
}

impl<'a> Packing<'a> {
    fn new(mut builder: RunBuilder, older: &'a Run, first_source: u32, holes: Holes) -> Self {
        builder.reserve(older.extent_count());
        builder.begin_with_widths(older.head.widths);
        let older_from = BlockAddress(0);
        Packing { builder, last: None, older, first_source, older_from, holes }
    }

    fn finish<R>(mut self, renumber: &mut R) -> Result<RunBuilder>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        self.copy_older_until(BlockAddress(ADDRESS_END), renumber)?;
        self.flush()?;
        Ok(self.builder)
    }

    /// The next extent; its block checksums are pushed already.
    fn push(&mut self, extent: Extent) -> Result<()> {
        if self.holes == Holes::Drop && extent.target == Target::Hole {
            return Ok(());
        }
        match &mut self.last {
            Some(last) if last.continues_with(&extent) => last.length += extent.length,
            last => {
                if let Some(done) = last.replace(extent) {
                    self.builder.push(done)?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.last.take().map_or(Ok(()), |done| self.builder.push(done))
    }

    /// Copies what the older run says in `[older_from, end)`.
    fn copy_older_until<R>(&mut self, end: BlockAddress, renumber: &mut R) -> Result<()>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        let start = self.older_from;
        if start >= end || start >= self.older.head.end {
            return Ok(());
        }
        // Extents `first..past` begin inside; the one before may reach into it.
        let first = self.older.place(start)?.rank;
        let past = self.older.place(BlockAddress(end.0 - 1))?.rank;
        let mut edge = start;
        if let Some(before) = first.checked_sub(1) {
            edge = self.copy_one(before, start, end, renumber)?;
        }
        if first >= past {
            return Ok(());
        }
        // The first may go on what was told last, the last may be cut, and go on itself.
        edge = self.copy_one(first, edge, end, renumber)?;
        if past - first > 2 {
            self.flush()?;
            let inner = first + 1..past - 1;
            edge = self.copy_many(inner, edge, renumber)?;
            if edge > end {
                return Err(self.older.out_of_order(past - 1));
            }
        }
        if past - first > 1 {
            self.copy_one(past - 1, edge, end, renumber)?;
        }
        Ok(())
    }

    /// Copies the part of extent `index` in `[start, end)` and gives where it ends.
    fn copy_one<R>(
        &mut self,
        index: usize,
        start: BlockAddress,
        end: BlockAddress,
        renumber: &mut R,
    ) -> Result<BlockAddress>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        let extent = self.older.extent_verified(index)?;
        let Some(part) = extent.clipped(start, end) else { return Ok(start) };
        if let (Target::Data { .. }, true) = (part.target, self.builder.carries_checksums()) {
            let into = part.start.0 - extent.start.0;
            let from = self.older.checksums_before(index)?.saturating_add(into);
            self.builder.push_checksums(self.older.checksum_column(from, part.length)?);
        }
        self.push(renumbered(part, self.first_source, renumber)?)?;
        Ok(part.end())
    }

    /// Copies extents `range`, none of which begins below `start`, and gives where they end.
    fn copy_many<R>(
        &mut self,
        range: Range<usize>,
        start: BlockAddress,
        renumber: &mut R,
    ) -> Result<BlockAddress>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        let older = self.older;
        if self.builder.carries_checksums() {
            let from = older.checksums_before(range.start)?;
            let count = older.checksums_before(range.end)?.saturating_sub(from);
            self.builder.push_checksums(older.checksum_column(from, count)?);
        }
        older.verify_extents(range.clone())?;
        older.intact()?;
        let mut end = start;
        let mut superblock = older.superblock_of(range.start);
        let mut next = range.start;
        while next < range.end {
            if next >= older.firsts[superblock + 1] as usize {
                superblock += 1;
            }
            let past = range.end.min(older.firsts[superblock + 1] as usize);
            let stretch = Columns::of(older, superblock, next..past);
            end = match stretch.plain_end(end, self.holes) {
                Some(plain_end) => {
                    self.builder.push_columns(&stretch, plain_end, self.first_source, renumber)?;
                    plain_end
                }
                None => self.copy_each(superblock, next..past, end, renumber)?,
            };
            next = past;
        }
        Ok(end)
    }

    /// As [`copy_many`](Self::copy_many) inside of one superblock, extent by extent.
    fn copy_each<R>(
        &mut self,
        superblock: usize,
        range: Range<usize>,
        start: BlockAddress,
        renumber: &mut R,
    ) -> Result<BlockAddress>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        let mut end = start;
        for index in range {
            let extent = self.older.extent(superblock, index)?;
            if extent.start < end {
                return Err(self.older.out_of_order(index));
            }
            end = extent.end();
            if self.holes == Holes::Keep || extent.target != Target::Hole {
                self.builder.push(renumbered(extent, self.first_source, renumber)?)?;
            }
        }
        Ok(end)
    }
}

/// A stretch of a run inside of one superblock.
pub(super) struct Columns<'a> {
    pub(super) high: u32,
    pub(super) lows: &'a [u32],
    pub(super) words: &'a [u64],
    pub(super) widths: WordWidths,
    end: BlockAddress,
    vectors: Vectors,
}

/// Whether each extent ends past its start and not past the start of the next one, and has a
/// code from the lowest one on that is none of the wide table. Written for vectors: without
/// branches, and in halves of 64 bits.
struct ArePlain<'a> {
    lows: &'a [u32],
    words: &'a [u64],
    widths: WordWidths,
    lowest_code: u32,
    /// How many addresses there are from the start of the last one on.
    room_at_last: u64,
}

impl Search for ArePlain<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<N: CompareNode>(self) -> bool {
        let ArePlain { lows, words, widths, lowest_code, room_at_last } = self;
        let (codes, shift) = (u64::from(widths.wide_code()), u32::from(widths.source_bits));
        let lengths = (1u64 << widths.length_bits) - 1;
        let lowest_code = u64::from(lowest_code);
        let is_odd = |word: u64, room: u64| {
            let code = word & codes;
            let length = word.wrapping_shr(shift) & lengths;
            // Neither difference reaches 2^63, so that the highest bit tells which is larger.
            code.wrapping_sub(lowest_code)
                | codes.wrapping_sub(1).wrapping_sub(code)
                | length.wrapping_sub(1)
                | room.wrapping_sub(length)
        };
        let (Some(&last), Some((_, nexts))) = (words.last(), lows.split_first()) else {
            return true;
        };
        let mut odd = is_odd(last, room_at_last.min(i64::MAX as u64));
        for ((&low, &next), &word) in lows.iter().zip(nexts).zip(words) {
            // Out of order, it is negative, and smaller than any length.
            odd |= is_odd(word, u64::from(next).wrapping_sub(u64::from(low)));
        }
        odd >> 63 == 0
    }
}

impl<'a> Columns<'a> {
    fn of(run: &'a Run, superblock: usize, range: Range<usize>) -> Columns<'a> {
        Columns {
            high: run.highs[superblock],
            lows: &run.lows[range.clone()],
            words: &run.words[range],
            widths: run.head.widths,
            end: run.head.end,
            vectors: run.vectors,
        }
    }

    /// Where the stretch ends, if it can be copied as it lies: in order from `start`
    /// on, with neither entries of the wide table nor holes to drop.
    fn plain_end(&self, start: BlockAddress, holes: Holes) -> Option<BlockAddress> {
        let base = u64::from(self.high) << 32;
        let (first, last) = (base | u64::from(*self.lows.first()?), *self.lows.last()?);
        let last = base | u64::from(last);
        let last_end = last.checked_add(self.widths.unpack(*self.words.last()?).length)?;
        let lowest_code = if holes == Holes::Drop { CODE_HOLE + 1 } else { CODE_HOLE };
        let room_at_last = self.end.0.checked_sub(last)?;
        let Columns { lows, words, widths, .. } = *self;
        let task = ArePlain { lows, words, widths, lowest_code, room_at_last };
        let plain = first >= start.0 && raw::search(self.vectors, task);
        plain.then_some(BlockAddress(last_end))
    }
}

#[inline(always)]
fn renumbered<R>(extent: Extent, first_source: u32, renumber: &mut R) -> Result<Extent>
where
    R: FnMut(SourceIndex) -> Result<SourceIndex>,
{
    let Target::Data { source, block } = extent.target else { return Ok(extent) };
    let source = renumber(SourceIndex(source.0.saturating_add(first_source)))?;
    Ok(Extent { target: Target::Data { source, block }, ..extent })
}
