//! The free space of an open layer's file.
//!
//! One bit a block. What is freed waits until every read that began before has ended; what
//! a commit drops waits until that commit is durable; what a header named waits until the
//! sync after both slots were changed (INV-01). After an unclean close the blocks below the
//! end of the file are unknown: new ones come from past it until the map was counted.

mod short;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::epoch::Epochs;
use crate::error::Result;
use crate::format::FreeSpace;
use crate::units::FileBlock;
pub use short::SHORT_BYTES_MAX;
use short::Trail;

/// Consecutive blocks of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    /// The first.
    pub first: FileBlock,
    /// How many, at least one.
    pub count: u64,
}

/// Blocks kept back for records and runs.
pub const RESERVE_BLOCKS: u64 = 8;
/// The smallest growth of the file in bytes: forks stay small.
const GROWTH_BYTES_MIN: u64 = 64 << 10;
/// What part of its length a file grows by.
const GROWTH_DIVISOR: u64 = 16;
/// The largest growth of the file in bytes.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// The shortest stretch that a large write takes while the file may still grow.
const STRETCH_BLOCKS_MIN: u64 = 16;
/// How many words of the bitmap are looked at before the file grows instead.
const SCAN_WORDS_MAX: usize = 1 << 14;
/// The shortest stretch that is given back to the host, in bytes: a punch costs as much as twenty writes.
const PUNCH_BYTES_MIN: u64 = 256 << 10;
/// What part of a file is much to have let go of.
const MUCH_DIVISOR: u64 = 8;
/// Free space that is kept for the next writes rather than given back, in bytes.
const KEEP_BYTES: u64 = 16 << 20;

/// The file whose blocks are handed out.
pub trait Space {
    /// Makes it hold `blocks` blocks more from `first` on.
    fn grow(&self, first: FileBlock, blocks: u64) -> Result<()>;

    /// Writes zeros over `blocks` free blocks from `first` on.
    fn fill(&self, first: FileBlock, blocks: u64) -> Result<()>;

    /// The first stretch of blocks from `from` on, first and past the end, that the host holds
    /// written bytes for.
    fn next_written(&self, from: FileBlock) -> Result<Option<(FileBlock, FileBlock)>>;
}

/// What a count of all extents and pieces found: one bit a block, and the extents beyond the first.
#[derive(Debug)]
pub struct UseCount {
    used: Vec<u64>,
    extra: BTreeMap<u64, u32>,
}

impl UseCount {
    /// Nothing counted yet, in a file of `blocks` blocks.
    pub fn new(blocks: u64) -> UseCount {
        UseCount { used: vec![0; blocks.div_ceil(64) as usize], extra: BTreeMap::new() }
    }

    /// Counts one extent or piece more; blocks past the end are left out.
    pub fn add(&mut self, first: FileBlock, count: u64) {
        let end = first.0.saturating_add(count).min(self.used.len() as u64 * 64);
        for block in first.0..end {
            let (word, bit) = (&mut self.used[block as usize / 64], 1 << (block % 64));
            if *word & bit != 0 {
                *self.extra.entry(block).or_insert(0) += 1;
            }
            *word |= bit;
        }
    }
}

/// Which blocks of the file are free.
#[derive(Debug)]
pub struct Allocator {
    block_log2: u32,
    /// Set: in use, or waiting.
    used: Vec<u64>,
    /// Set: it was written before, so the host holds space for it.
    written: Vec<u64>,
    /// Of free blocks among these, which the file held when it was opened, only the host knows
    /// whether they were written.
    unasked: Range<u64>,
    /// The blocks that the file holds.
    blocks: u64,
    free: u64,
    cursor: u64,
    trail: Trail,
    /// How many blocks were filled with zeros since that was last asked.
    filled: u64,
    /// Freed, by the epoch in which that was.
    waiting: VecDeque<(u64, BlockRange)>,
    /// Named by a header until the sync that follows the change of both slots.
    until_sync: Vec<BlockRange>,
    /// How many blocks extents and pieces let go of since stretches were last given back to the host.
    let_go: u64,
    /// How many extents a block has beyond the first.
    shared: BTreeMap<u64, u32>,
    /// Blocks below this one are not known: all count as used, and frees there are not noted.
    unknown_below: u64,
}

impl Allocator {
    /// The allocator of a file of `blocks` blocks, of which the first `reserved` are in use.
    pub fn fresh(block_log2: u32, reserved: u64, blocks: u64) -> Allocator {
        let mut allocator = Allocator::empty(block_log2);
        allocator.extend(blocks);
        allocator.take(BlockRange { first: FileBlock(0), count: reserved });
        allocator
    }

    /// The allocator of a file of `blocks` blocks about which nothing is known.
    pub fn unknown(block_log2: u32, blocks: u64) -> Allocator {
        let mut allocator = Allocator::fresh(block_log2, blocks, blocks);
        allocator.unknown_below = blocks;
        allocator
    }

    /// The allocator that a clean close left, in a file of `blocks` blocks.
    pub fn saved(block_log2: u32, saved: &FreeSpace, blocks: u64) -> Allocator {
        let mut allocator = Allocator::empty(block_log2);
        allocator.extend(blocks.max(saved.blocks));
        allocator.unasked = 0..allocator.blocks;
        for block in 0..saved.blocks {
            if saved.used[block as usize / 64] >> (block % 64) & 1 == 1 {
                allocator.take(BlockRange { first: FileBlock(block), count: 1 });
            }
        }
        allocator.shared = saved.shared.iter().map(|&(block, extra)| (block.0, extra)).collect();
        allocator
    }

    fn empty(block_log2: u32) -> Allocator {
        Allocator {
            block_log2,
            used: Vec::new(),
            written: Vec::new(),
            unasked: 0..0,
            blocks: 0,
            free: 0,
            cursor: 0,
            trail: Trail::default(),
            filled: 0,
            waiting: VecDeque::new(),
            until_sync: Vec::new(),
            let_go: 0,
            shared: BTreeMap::new(),
            unknown_below: 0,
        }
    }

    /// What a clean close saves; what waits counts as free, and so does what the closing header
    /// no longer names.
    pub fn save(&self, sequence: u64, unnamed: &[BlockRange]) -> FreeSpace {
        let mut used = self.used.clone();
        let waiting = self.waiting.iter().map(|(_, range)| range);
        for range in waiting.chain(&self.until_sync).chain(unnamed) {
            for block in range.first.0..range.first.0 + range.count {
                used[block as usize / 64] &= !(1 << (block % 64));
            }
        }
        let shared = self.shared.iter().map(|(&block, &extra)| (FileBlock(block), extra)).collect();
        FreeSpace { sequence, blocks: self.blocks, used, shared }
    }

    /// Whether every block of the file is accounted for.
    pub fn is_known(&self) -> bool {
        self.unknown_below == 0
    }

    /// The blocks that the file holds.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// How many blocks are in use: what only waits to be free does not count.
    pub fn occupied(&self) -> u64 {
        let waiting = self.waiting.iter().map(|(_, range)| range).chain(&self.until_sync);
        self.blocks - self.free - waiting.map(|range| range.count).sum::<u64>()
    }

    /// `count` blocks for data in as few stretches as there are, leaving the reserve alone.
    /// Nothing is taken where it fails.
    pub fn allocate(
        &mut self,
        count: u64,
        epochs: &Epochs,
        space: &dyn Space,
    ) -> Result<Vec<BlockRange>> {
        self.reclaim(epochs);
        if count <= self.short_blocks_max()
            && let Some(taken) = self.allocate_short(count, space)?
        {
            return Ok(taken);
        }
        let reserve = RESERVE_BLOCKS;
        let mut taken = Vec::new();
        let mut left = count;
        if self.free >= reserve {
            let roomy = self.free > self.blocks / 2 || count < 4 * STRETCH_BLOCKS_MIN;
            let shortest = if roomy { 1 } else { STRETCH_BLOCKS_MIN };
            left -=
                self.collect(left.min(self.free - reserve), shortest, SCAN_WORDS_MAX, &mut taken);
        }
        if left > 0 {
            let first = self.blocks;
            match self.grow_by(left + reserve, space) {
                Ok(()) => {
                    self.cursor = first;
                    left -= self.collect(left, 1, usize::MAX, &mut taken);
                }
                Err(error) => {
                    // The host is full: short stretches do, and for metadata the reserve.
                    let may = left.min(self.free.saturating_sub(reserve));
                    left -= self.collect(may, 1, usize::MAX, &mut taken);
                    if left > 0 {
                        for range in taken {
                            self.give(range);
                        }
                        return Err(error);
                    }
                }
            }
        }
        debug_assert_eq!(left, 0);
        Ok(taken)
    }

    /// Makes the file longer by a step that fits its length, and by `need` blocks at least.
    fn grow_by(&mut self, need: u64, space: &dyn Space) -> Result<()> {
        let step = ((self.blocks << self.block_log2) / GROWTH_DIVISOR)
            .clamp(GROWTH_BYTES_MIN, GROWTH_BYTES_MAX)
            .next_power_of_two()
            >> self.block_log2;
        self.grow_stepwise(need, step, space)
    }

    fn grow_stepwise(&mut self, need: u64, step: u64, space: &dyn Space) -> Result<()> {
        let first = FileBlock(self.blocks);
        let mut blocks = need.next_multiple_of(step.max(1));
        if space.grow(first, blocks).is_err() {
            // A full host may still have room for just what is needed.
            blocks = need;
            space.grow(first, blocks)?;
        }
        self.extend(first.0 + blocks);
        Ok(())
    }

    /// `count` consecutive blocks: for a piece of metadata.
    pub fn allocate_contiguous(
        &mut self,
        count: u64,
        epochs: &Epochs,
        space: &dyn Space,
    ) -> Result<BlockRange> {
        self.reclaim(epochs);
        // The sync that it waits for is a slow one anyway: what was written before is left to commits.
        let unwritten = |word: usize| !(self.used[word] | self.written[word]);
        let few = count <= self.short_blocks_max();
        let found = few.then(|| self.find_stretch_of(count, unwritten)).flatten();
        if self.free >= count
            && let Some(range) = found.or_else(|| self.find_stretch(count))
        {
            self.take(range);
            return Ok(range);
        }
        // A free tail counts towards the piece.
        let tail = self.free_tail();
        let need = count - (self.blocks - tail).min(count);
        self.grow_stepwise(need, GROWTH_BYTES_MIN >> self.block_log2, space)?;
        let range = BlockRange { first: FileBlock(tail), count };
        self.take(range);
        Ok(range)
    }

    /// Notes that an extent more refers to the blocks.
    pub fn share(&mut self, range: BlockRange) {
        for block in range.first.0..range.first.0 + range.count {
            if block >= self.unknown_below {
                *self.shared.entry(block).or_insert(0) += 1;
            }
        }
    }

    /// An extent less refers to the blocks; those with none left become free once every read
    /// that has begun by now has ended.
    pub fn release(&mut self, range: BlockRange, epochs: &Epochs) {
        self.let_go += range.count;
        let epoch = epochs.current();
        let (start, end) = (range.first.0.max(self.unknown_below), range.first.0 + range.count);
        if start >= end {
            return;
        }
        if self.shared.range(start..end).next().is_none() {
            let range = BlockRange { first: FileBlock(start), count: end - start };
            self.waiting.push_back((epoch, range));
            return;
        }
        for block in start..end {
            match self.shared.get_mut(&block) {
                Some(1) => {
                    self.shared.remove(&block);
                }
                Some(extra) => *extra -= 1,
                None => {
                    self.waiting
                        .push_back((epoch, BlockRange { first: FileBlock(block), count: 1 }));
                }
            }
        }
    }

    /// As `release`, for pieces that a header names until the next sync but one.
    pub fn release_after_sync(&mut self, range: BlockRange) {
        self.until_sync.push(range);
    }

    /// What waits for a sync and will have had one when the sync that is about to begin returns.
    pub fn begin_sync(&mut self) -> Vec<BlockRange> {
        std::mem::take(&mut self.until_sync)
    }

    /// The sync that began with `ranges` returned: they only wait for reads now.
    pub fn end_sync(&mut self, ranges: Vec<BlockRange>, epochs: &Epochs) {
        for range in ranges {
            self.release(range, epochs);
        }
    }

    /// What waits for a sync.
    pub fn until_sync(&self) -> &[BlockRange] {
        &self.until_sync
    }

    /// Replaces what is unknown by what was counted. What is in no use becomes free once the
    /// reads under way have ended.
    pub fn learn(&mut self, count: &UseCount, epochs: &Epochs) {
        let bound = std::mem::take(&mut self.unknown_below);
        let epoch = epochs.current();
        let mut start = None;
        for block in 0..=bound {
            let free = block < bound && count.used[block as usize / 64] >> (block % 64) & 1 == 0;
            match (free, start) {
                (true, None) => start = Some(block),
                (false, Some(first)) => {
                    let range = BlockRange { first: FileBlock(first), count: block - first };
                    self.forget_written(range);
                    self.waiting.push_back((epoch, range));
                    start = None;
                }
                _ => {}
            }
        }
        self.shared.extend(count.extra.range(..bound));
        self.unasked = 0..bound;
    }

    /// The bound below which nothing is known; 0 where all is.
    pub fn unknown_below(&self) -> u64 {
        self.unknown_below
    }

    /// The first block of the free stretch at the end of the file; its length where there is none.
    pub fn free_tail(&self) -> u64 {
        let mut tail = self.blocks;
        while tail > 0 && !self.is_used(tail - 1) {
            tail -= 1;
        }
        tail
    }

    /// Whether so much was let go of that the host should have some back before the journal is full:
    /// an eighth of the file, and as much of it as is never kept.
    pub fn has_much_to_give_back(&self) -> bool {
        let much = (self.blocks / MUCH_DIVISOR).max(KEEP_BYTES >> self.block_log2);
        // What was let go of is used again by what is written: so only what is left of it counts.
        self.let_go >= much
            && (!self.is_known() || self.blocks - self.occupied() >= self.keep() + much)
    }

    /// How many free blocks are kept for the next writes.
    fn keep(&self) -> u64 {
        (self.occupied() / 4).max(KEEP_BYTES >> self.block_log2)
    }

    /// Takes free stretches that are worth giving back out of the allocator, at most `most`.
    pub fn take_punchable(&mut self, most: usize, epochs: &Epochs) -> Vec<BlockRange> {
        self.reclaim(epochs);
        let shortest = (PUNCH_BYTES_MIN >> self.block_log2).max(1);
        let mut spare = self.free.saturating_sub(self.keep());
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.blocks && found.len() < most && spare >= shortest {
            if self.used[at as usize / 64] == u64::MAX && at.is_multiple_of(64) {
                at += 64;
                continue;
            }
            let start = at;
            while at < self.blocks && !self.is_used(at) && self.is_written(at) && at - start < spare
            {
                at += 1;
            }
            if at - start >= shortest {
                let range = BlockRange { first: FileBlock(start), count: at - start };
                self.take(range);
                spare -= range.count;
                found.push(range);
            }
            at += 1;
        }
        // As many as were asked for: there may be more, which the next time takes.
        if found.len() < most {
            self.let_go = 0;
        }
        found
    }

    /// Puts punched stretches back.
    pub fn put_punched(&mut self, ranges: &[BlockRange], punched: bool) {
        for &range in ranges {
            self.give(range);
            if punched {
                self.forget_written(range);
            }
        }
    }

    fn forget_written(&mut self, range: BlockRange) {
        for block in range.first.0..range.first.0 + range.count {
            self.written[block as usize / 64] &= !(1 << (block % 64));
        }
    }

    fn reclaim(&mut self, epochs: &Epochs) {
        if self.waiting.is_empty() {
            return;
        }
        epochs.advance();
        let current = epochs.advance();
        while let Some(&(epoch, range)) = self.waiting.front()
            && epoch + 2 <= current
        {
            self.waiting.pop_front();
            self.give(range);
        }
    }

    /// Takes up to `count` free blocks in stretches of at least `shortest`; gives how many.
    fn collect(
        &mut self,
        count: u64,
        shortest: u64,
        words_max: usize,
        taken: &mut Vec<BlockRange>,
    ) -> u64 {
        let mut got = 0;
        let mut words = 0;
        let mut left = self.blocks;
        let mut at = if self.cursor < self.blocks { self.cursor } else { 0 };
        while got < count && left > 0 && words <= words_max {
            if at >= self.blocks {
                at = 0;
            }
            if at.is_multiple_of(64) && self.used[at as usize / 64] == u64::MAX {
                let skip = 64.min(self.blocks - at);
                at += skip;
                left = left.saturating_sub(skip);
                words += 1;
                continue;
            }
            if self.is_used(at) {
                at += 1;
                left -= 1;
                words += usize::from(at.is_multiple_of(64));
                continue;
            }
            let start = at;
            while at < self.blocks && at - start < count - got && !self.is_used(at) {
                at += 1;
            }
            left = left.saturating_sub(at - start);
            if at - start >= shortest.min(count - got) {
                let range = BlockRange { first: FileBlock(start), count: at - start };
                self.take(range);
                got += range.count;
                taken.push(range);
            }
        }
        self.cursor = at;
        got
    }

    /// The first `count` free blocks in a row, from the cursor on and around the end.
    fn find_stretch(&self, count: u64) -> Option<BlockRange> {
        self.find_stretch_of(count, |word| !self.used[word])
    }

    /// As `find_stretch`, of blocks whose bits are set in the words.
    fn find_stretch_of(&self, count: u64, word: impl Fn(usize) -> u64) -> Option<BlockRange> {
        let cursor = if self.cursor < self.blocks { self.cursor } else { 0 };
        let mut scanned = 0;
        for (start, end) in [(cursor, self.blocks), (0, cursor)] {
            let mut at = start;
            while at < end && scanned <= SCAN_WORDS_MAX * 64 {
                let free = next_set(at, end, &word);
                let past = next_set(free, end.min(free.saturating_add(count)), |at| !word(at));
                if past - free == count {
                    return Some(BlockRange { first: FileBlock(free), count });
                }
                scanned += (past - at) as usize;
                at = past;
            }
        }
        None
    }

    /// The first block in use from `at` on; `end` where there is none before it.
    fn next_used(&self, at: u64, end: u64) -> u64 {
        next_set(at, end, |word| self.used[word])
    }

    fn extend(&mut self, blocks: u64) {
        let words = blocks.div_ceil(64) as usize;
        self.used.resize(words, 0);
        self.written.resize(words, 0);
        self.free += blocks - self.blocks;
        self.blocks = blocks;
    }

    fn take(&mut self, range: BlockRange) {
        for block in range.first.0..range.first.0 + range.count {
            let bit = 1 << (block % 64);
            assert_eq!(
                self.used[block as usize / 64] & bit,
                0,
                "INV-01: block {block} taken twice"
            );
            self.used[block as usize / 64] |= bit;
            self.written[block as usize / 64] |= bit;
        }
        self.free -= range.count;
    }

    fn give(&mut self, range: BlockRange) {
        for block in range.first.0..range.first.0 + range.count {
            let bit = 1 << (block % 64);
            assert_ne!(
                self.used[block as usize / 64] & bit,
                0,
                "INV-01: block {block} freed twice"
            );
            self.used[block as usize / 64] &= !bit;
        }
        self.free += range.count;
    }

    fn is_used(&self, block: u64) -> bool {
        self.used[block as usize / 64] >> (block % 64) & 1 == 1
    }

    fn is_written(&self, block: u64) -> bool {
        self.written[block as usize / 64] >> (block % 64) & 1 == 1
    }
}

/// The first bit from `at` on that is set in the words; `end` where there is none before it.
fn next_set(mut at: u64, end: u64, word: impl Fn(usize) -> u64) -> u64 {
    while at < end {
        let rest = word(at as usize / 64) >> (at % 64);
        if rest != 0 {
            return end.min(at + u64::from(rest.trailing_zeros()));
        }
        at = (at / 64 + 1) * 64;
    }
    end
}
