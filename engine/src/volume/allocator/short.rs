//! Places for what a commit that somebody waits for writes: few blocks, next to each other, in
//! blocks that were written before.
//!
//! The first write into an allocated block changes metadata of the host, which a sync has to wait
//! for; a write into one that was written before does not. So zeros are written ahead, a stretch
//! at a time. Record heads are placed two commits early: each gets its place behind as many free
//! blocks as the commit before it is likely to need, and so a commit's blocks lie right behind its
//! record. All of this is for speed alone; any other place would be as right.

use super::{Allocator, BlockRange, Epochs, RESERVE_BLOCKS, Space};
use crate::error::{ErrorKind, Result};
use crate::units::FileBlock;

/// What counts as few blocks, in bytes.
pub const SHORT_BYTES_MAX: u64 = 64 << 10;
/// How much is written ahead at once, in bytes: what hosts write in one request.
const AHEAD_BYTES: u64 = 256 << 10;
/// What part of the file may be free before what is scattered in it is used up, in whatever
/// pieces, and it does not grow.
const SPARE_DIVISOR: u64 = 4;
/// How many words of the bitmaps are looked at for one request, and how many free blocks.
const SCAN_WORDS_MAX: usize = 1 << 12;
const SCAN_BLOCKS_MAX: usize = 1 << 12;

/// Where the blocks of commits go.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// Where the next few blocks are looked for.
    data: u64,
    /// Past the last head that was placed.
    head: u64,
    /// How many blocks the commit took whose record was placed last.
    since_head: u64,
}

impl Allocator {
    /// Few blocks for data; `None` where those written ahead do not do and more cannot be written.
    pub(super) fn allocate_short(
        &mut self,
        count: u64,
        space: &dyn Space,
    ) -> Result<Option<Vec<BlockRange>>> {
        self.trail.since_head += count;
        let is_room = self.free >= count + RESERVE_BLOCKS;
        if is_room && let Some(taken) = self.take_stretch(count) {
            return Ok(Some(taken));
        }
        if is_room
            && self.free > self.blocks / SPARE_DIVISOR
            && let Some(singles) = self.written_singles(count)
        {
            singles.iter().for_each(|&range| self.take(range));
            return Ok(Some(singles));
        }
        match self.write_ahead(count + RESERVE_BLOCKS, space)? {
            true => Ok(self.take_stretch(count)),
            false => Ok(None),
        }
    }

    /// The most blocks that count as few.
    pub(super) fn short_blocks_max(&self) -> u64 {
        SHORT_BYTES_MAX >> self.block_log2
    }

    /// How many blocks were filled with zeros since this was last asked.
    pub fn take_filled(&mut self) -> u64 {
        std::mem::take(&mut self.filled)
    }

    fn take_stretch(&mut self, count: u64) -> Option<Vec<BlockRange>> {
        let range = self.written_stretch(self.trail.data, count)?;
        self.take(range);
        self.trail.data = range.first.0 + count;
        Some(vec![range])
    }

    /// A block for the head of the record after the next one.
    pub fn allocate_head(&mut self, epochs: &Epochs, space: &dyn Space) -> Result<BlockRange> {
        self.reclaim(epochs);
        let gap = std::mem::take(&mut self.trail.since_head).min(self.short_blocks_max());
        let mut stretch = self.written_stretch(self.trail.head, gap + 1);
        let has_spare = self.free > self.blocks / SPARE_DIVISOR;
        if stretch.is_none() && !has_spare && self.write_ahead(gap + 1, space)? {
            stretch = self.written_stretch(self.trail.head, gap + 1);
        }
        let Some(stretch) = stretch.or_else(|| self.written_stretch(self.trail.head, 1)) else {
            return self.allocate_contiguous(1, epochs, space);
        };
        let head = BlockRange { first: FileBlock(stretch.first.0 + stretch.count - 1), count: 1 };
        self.take(head);
        self.trail.data = stretch.first.0;
        self.trail.head = head.first.0 + 1;
        Ok(head)
    }

    /// Writes zeros over a free stretch of at least `count` blocks; whether there was one.
    fn write_ahead(&mut self, count: u64, space: &dyn Space) -> Result<bool> {
        let wanted = (AHEAD_BYTES >> self.block_log2).max(count);
        let first = match self.find_stretch(count) {
            Some(found) => found.first.0,
            None => {
                // Not looked for once more: a large file is not looked at as far as its end.
                let tail = self.free_tail();
                let need = count.saturating_sub(self.blocks - tail);
                // A host that is full is dealt with by those who need the blocks.
                if need > 0 && self.grow_by(need, space).is_err() {
                    return Ok(false);
                }
                tail
            }
        };
        let most = (first + wanted).min(self.blocks);
        let end = (first..most).find(|&block| self.is_used(block)).unwrap_or(most);
        match space.fill(FileBlock(first), end - first) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(false),
            Err(error) => return Err(error),
        }
        for block in first..end {
            self.written[block as usize / 64] |= 1 << (block % 64);
        }
        self.filled += end - first;
        self.trail.data = first;
        self.trail.head = first;
        Ok(true)
    }

    /// The first `count` consecutive blocks from `from` on, around the end, that are free and
    /// were written before.
    fn written_stretch(&self, from: u64, count: u64) -> Option<BlockRange> {
        let mut length = 0;
        let mut last = None;
        self.each_written(from, |block| {
            length = if last.is_some_and(|last| last + 1 == block) { length + 1 } else { 1 };
            last = Some(block);
            length == count
        });
        let last = last.filter(|_| length == count)?;
        Some(BlockRange { first: FileBlock(last + 1 - count), count })
    }

    /// `count` blocks that are free and were written before, wherever they lie.
    fn written_singles(&self, count: u64) -> Option<Vec<BlockRange>> {
        let mut found = Vec::new();
        self.each_written(self.trail.data, |block| {
            found.push(BlockRange { first: FileBlock(block), count: 1 });
            found.len() as u64 == count
        });
        (found.len() as u64 == count).then_some(found)
    }

    /// Calls `each` with blocks that are free and were written before, from `from` on and around
    /// the end, until it says that it has enough.
    fn each_written(&self, from: u64, mut each: impl FnMut(u64) -> bool) {
        let words = self.used.len();
        let start = (from / 64) as usize % words.max(1);
        let mut seen = 0;
        for step in 0..words.min(SCAN_WORDS_MAX) {
            let word = (start + step) % words;
            let mut free = self.written[word] & !self.used[word];
            if step == 0 {
                free &= u64::MAX << (from % 64);
            }
            while free != 0 {
                seen += 1;
                let enough = each(word as u64 * 64 + u64::from(free.trailing_zeros()));
                if enough || seen == SCAN_BLOCKS_MAX {
                    return;
                }
                free &= free - 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::GROWTH_BYTES_MAX;
    use super::*;

    /// A file that counts the blocks that were filled ahead, and has room for so many.
    struct File {
        filled: Cell<u64>,
        room: u64,
    }

    impl Space for File {
        fn grow(&self, first: FileBlock, blocks: u64) -> Result<()> {
            match first.0 + blocks <= self.room {
                true => Ok(()),
                false => Err(crate::Error::new(ErrorKind::NoSpace, "grow")),
            }
        }

        fn fill(&self, _: FileBlock, blocks: u64) -> Result<()> {
            self.filled.set(self.filled.get() + blocks);
            Ok(())
        }
    }

    fn file(room: u64) -> File {
        File { filled: Cell::new(0), room }
    }

    #[test]
    fn the_blocks_of_a_commit_lie_behind_its_head() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 4);
        let (mut next, mut after_next) = (FileBlock(2), FileBlock(3));
        let mut in_one_piece = 0;
        for _ in 0..100 {
            let data = allocator.allocate(3, &epochs, &file).unwrap();
            let head = allocator.allocate_head(&epochs, &file).unwrap();
            let behind = BlockRange { first: FileBlock(next.0 + 1), count: 3 };
            in_one_piece += u64::from(data == [behind]);
            (next, after_next) = (after_next, head.first);
        }
        // Not so the first two, and those on either side of a new stretch.
        assert!(in_one_piece >= 80, "{in_one_piece} of 100");
    }

    #[test]
    fn few_blocks_come_from_those_that_were_written_before() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 4);
        let many = allocator.allocate(1000, &epochs, &file).unwrap();
        assert_eq!(file.filled.get(), 0, "many are written at once anyway");
        many.iter().for_each(|&range| allocator.release(range, &epochs));
        for _ in 0..100 {
            let few = allocator.allocate(3, &epochs, &file).unwrap();
            assert!(many[0].first <= few[0].first && few[0].first.0 + 3 <= many[0].first.0 + 1000);
            allocator.allocate_head(&epochs, &file).unwrap();
        }
        assert_eq!(file.filled.get(), 0, "these were written");
    }

    #[test]
    fn zeros_are_written_a_stretch_at_a_time() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 4);
        let mut fills = 0;
        for _ in 0..1000 {
            let before = file.filled.get();
            allocator.allocate(1, &epochs, &file).unwrap();
            allocator.allocate_head(&epochs, &file).unwrap();
            fills += u64::from(file.filled.get() != before);
        }
        assert!(fills < 100, "{fills} for 2000 blocks");
        assert!(allocator.blocks() < 4000, "{} for 2000 blocks", allocator.blocks());
    }

    /// Each commit that found no stretch once made the file longer by a whole step, of which it used
    /// nothing: the end of a large file was too far away to be found.
    #[test]
    fn a_large_file_whose_free_blocks_are_scattered_does_not_grow_with_each_commit() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let blocks = 1 << 21;
        let mut allocator = Allocator::fresh(12, blocks, blocks);
        // As a volume that was closed and opened again: nothing is known to have been written.
        for block in (0..blocks).step_by(8) {
            allocator.give(BlockRange { first: FileBlock(block), count: 1 });
        }
        allocator.written.fill(0);
        for commit in 0..200 {
            allocator.allocate(1 + commit % 3, &epochs, &file).unwrap();
            allocator.allocate_head(&epochs, &file).unwrap();
        }
        let grown = (allocator.blocks() - blocks) << 12;
        assert!(grown <= 2 * GROWTH_BYTES_MAX, "{grown} bytes for 600 blocks");
    }

    #[test]
    fn what_is_scattered_is_used_up_before_the_file_grows() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let blocks = 1 << 12;
        let mut allocator = Allocator::fresh(12, blocks, blocks);
        for block in (0..blocks).step_by(2) {
            allocator.give(BlockRange { first: FileBlock(block), count: 1 });
        }
        while allocator.free > blocks / SPARE_DIVISOR {
            assert_eq!((file.filled.get(), allocator.blocks()), (0, blocks));
            allocator.allocate(3, &epochs, &file).unwrap();
            allocator.allocate_head(&epochs, &file).unwrap();
        }
    }

    #[test]
    fn a_full_host_gives_what_there_is() {
        let (epochs, file) = (Epochs::default(), file(0));
        let mut allocator = Allocator::fresh(12, 4, 4 + RESERVE_BLOCKS + 5);
        assert_eq!(allocator.allocate(5, &epochs, &file).unwrap().len(), 1);
        assert!(allocator.allocate(1, &epochs, &file).is_err(), "the reserve is for metadata");
        for _ in 0..RESERVE_BLOCKS {
            allocator.allocate_head(&epochs, &file).unwrap();
        }
        assert!(allocator.allocate_head(&epochs, &file).is_err());
    }
}
