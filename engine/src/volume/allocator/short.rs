//! Places for what a commit that somebody waits for writes: few blocks, next to each other, in
//! blocks that were written before.
//!
//! The first write into an allocated block changes metadata of the host, which a sync has to wait
//! for; a write into one that was written before does not. So zeros are written ahead, a stretch
//! at a time, behind the blocks of the commit that does it, and a checkpoint that gives back enough
//! heads is made before that. Record heads are placed two commits early, two side by side, each with
//! as many free blocks beside it as its commit is likely to need: a record and its blocks are one
//! piece, and two heads that a checkpoint gives back are room for one more. All of this is for speed
//! alone; any other place would be as right.

use std::ops::Range;

use super::{Allocator, BlockRange, Epochs, RESERVE_BLOCKS, Space, next_set};
use crate::error::{ErrorKind, Result};
use crate::units::FileBlock;

/// What counts as few blocks, in bytes.
pub const SHORT_BYTES_MAX: u64 = 64 << 10;
/// How much is written ahead at first, in bytes: a file that is written to once stays small.
const AHEAD_BYTES_MIN: u64 = 64 << 10;
/// How much is written ahead at once at most, in bytes: what hosts write in one request.
const AHEAD_BYTES_MAX: u64 = 256 << 10;
/// How few written blocks are left when a checkpoint should give back some: the commit that follows
/// it takes two, and what the checkpoint frees is there after that one's sync.
const LEFT_BLOCKS_MIN: u64 = 4;
/// What part of the file may be free before what is scattered in it is used up, in whatever
/// pieces, and it does not grow.
const SPARE_DIVISOR: u64 = 4;
/// How many words of the bitmaps are looked at for one request, and how many free blocks.
const SCAN_WORDS_MAX: usize = 1 << 12;
const SCAN_BLOCKS_MAX: usize = 1 << 12;

/// How many blocks of a file that was opened the host is asked about at once, and how many times.
const ASK_BLOCKS_MAX: u64 = 1 << 18;
const ASKS_MAX: usize = 64;

/// Where the blocks of commits go.
#[derive(Debug)]
pub(super) struct Trail {
    /// Where the next few blocks belong: beside the head of their record.
    data: u64,
    /// Where those of the commit after are.
    next_data: u64,
    /// Past the last heads that were placed, and the room for their commits.
    head: u64,
    /// The place beside that one, for the next.
    twin: Option<u64>,
    /// How many blocks were taken since that one was placed.
    since_head: u64,
    /// How many blocks the commit took whose record was placed last.
    gap: u64,
    /// How much is written ahead the next time, in bytes.
    ahead_bytes: u64,
}

impl Default for Trail {
    fn default() -> Trail {
        Trail {
            data: 0,
            next_data: 0,
            head: 0,
            twin: None,
            since_head: 0,
            gap: 0,
            ahead_bytes: AHEAD_BYTES_MIN,
        }
    }
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
        // The host is asked once and not until it knows of some: a file in many pieces would keep all
        // others waiting.
        if is_room {
            let mut taken = self.take_stretch(count);
            if taken.is_none() && self.ask_what_was_written(space)? {
                taken = self.take_stretch(count);
            }
            if taken.is_some() {
                return Ok(taken);
            }
        }
        if is_room
            && self.free > self.blocks / SPARE_DIVISOR
            && let Some(singles) = self.written_singles(count)
        {
            singles.iter().for_each(|&range| self.take(range));
            return Ok(Some(singles));
        }
        let first = self.write_ahead(count, count + RESERVE_BLOCKS, space)?;
        Ok(first.map(|first| {
            let range = BlockRange { first: FileBlock(first), count };
            self.take(range);
            vec![range]
        }))
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
        // Not the next ones from there on: these are beside the head of another record.
        let beside = self.trail.data;
        let is_free = |block| self.is_written(block) && !self.is_used(block);
        let range = match beside + count <= self.blocks && (beside..beside + count).all(is_free) {
            true => BlockRange { first: FileBlock(beside), count },
            false => self.written_stretch(self.trail.head, count)?,
        };
        self.take(range);
        Some(vec![range])
    }

    /// A block for the head of the record after the next one.
    pub fn allocate_head(&mut self, epochs: &Epochs, space: &dyn Space) -> Result<BlockRange> {
        self.reclaim(epochs);
        let gap = std::mem::take(&mut self.trail.since_head).min(self.short_blocks_max());
        self.trail.gap = gap;
        let Some((head, data)) = self.find_head(gap, space)? else {
            return self.allocate_contiguous(1, epochs, space);
        };
        let range = BlockRange { first: FileBlock(head), count: 1 };
        self.take(range);
        self.trail.data = std::mem::replace(&mut self.trail.next_data, data);
        Ok(range)
    }

    /// A place for a head, and where the `gap` blocks of its commit are best looked for; `None`
    /// where nothing was written before and more cannot be.
    fn find_head(&mut self, gap: u64, space: &dyn Space) -> Result<Option<(u64, u64)>> {
        if let Some(twin) = self.trail.twin.take()
            && self.is_written(twin)
            && !self.is_used(twin)
        {
            return Ok(Some((twin, twin + 1)));
        }
        let both = 2 * gap + 2;
        let mut found = self.longest_written_stretch(self.trail.head, both);
        let singles_do = gap <= 1 || self.free > self.blocks / SPARE_DIVISOR;
        let is_enough = |found: &BlockRange| found.count > gap || singles_do;
        if !found.as_ref().is_some_and(is_enough) && self.write_ahead(0, both, space)?.is_some() {
            found = self.longest_written_stretch(self.trail.head, both);
        }
        let Some(BlockRange { first: FileBlock(first), count }) = found else { return Ok(None) };
        self.trail.head = first + count;
        if count < both {
            return Ok(Some((first, first + 1)));
        }
        self.trail.twin = Some(first + gap + 1);
        Ok(Some((first + gap, first)))
    }

    /// Whether single blocks, as checkpoints give them back, would spare the next commits zeros
    /// written ahead: nearly none are left, and commits take no more than one beside their heads.
    pub fn wants_heads_back(&self) -> bool {
        if self.trail.gap > 1 {
            return false;
        }
        let mut left = 0;
        self.each_written(self.trail.head, |_| {
            left += 1;
            left == LEFT_BLOCKS_MIN
        });
        left < LEFT_BLOCKS_MIN || self.free < RESERVE_BLOCKS + LEFT_BLOCKS_MIN
    }

    /// Writes zeros over what of a free stretch of at least `count` blocks was never written, behind
    /// its first `own` blocks, which the caller is about to write; where it is, if there is one.
    fn write_ahead(&mut self, own: u64, count: u64, space: &dyn Space) -> Result<Option<u64>> {
        let wanted = (self.trail.ahead_bytes >> self.block_log2).max(count);
        // Not looked for once more: a large file is not looked at as far as its end.
        let found = self.find_stretch(count).map(|found| found.first.0);
        let first = found.unwrap_or_else(|| self.free_tail());
        let past = first + wanted;
        // What is left of an earlier stretch counts as nothing: it is the reserve.
        let mut end = self.next_used(first, self.blocks.min(past + RESERVE_BLOCKS));
        if end == self.blocks && end < past {
            match self.grow_by(past - end, space) {
                Ok(()) => end = past,
                // A host that is full is dealt with by those who need the blocks.
                Err(error) if error.kind() == ErrorKind::NoSpace && found.is_some() => {}
                Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let (mut at, mut left) = (first + own, wanted - own);
        loop {
            at = next_set(at, end, |word| !self.written[word]);
            let past = next_set(at, end.min(at + left), |word| self.written[word]);
            if at == past {
                break;
            }
            match space.fill(FileBlock(at), past - at) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NoSpace => return Ok(None),
                Err(error) => return Err(error),
            }
            self.note_written(at, past);
            self.filled += past - at;
            left -= past - at;
            at = past;
        }
        self.trail.ahead_bytes = (2 * self.trail.ahead_bytes).min(AHEAD_BYTES_MAX);
        self.trail.data = first + own;
        self.trail.head = first + own;
        Ok(Some(first))
    }

    /// Asks the host which blocks of an earlier session it holds written bytes for, a part of the
    /// file at a time; whether anything was asked.
    fn ask_what_was_written(&mut self, space: &dyn Space) -> Result<bool> {
        let Range { start, end } = self.unasked.clone();
        if start >= end {
            return Ok(false);
        }
        let part_end = end.min(start.saturating_add(ASK_BLOCKS_MAX));
        let mut at = start;
        for _ in 0..ASKS_MAX {
            match space.next_written(FileBlock(at))? {
                Some((first, past)) if first.0 < part_end => {
                    self.note_written(first.0.max(at), past.0.min(part_end));
                    at = past.0.max(at + 1);
                }
                _ => at = part_end,
            }
            if at >= part_end {
                break;
            }
        }
        self.unasked.start = at.min(part_end);
        Ok(true)
    }

    fn note_written(&mut self, start: u64, end: u64) {
        for block in start..end {
            self.written[block as usize / 64] |= 1 << (block % 64);
        }
    }

    /// The first `count` consecutive blocks from `from` on, around the end, that are free and
    /// were written before.
    fn written_stretch(&self, from: u64, count: u64) -> Option<BlockRange> {
        self.longest_written_stretch(from, count).filter(|found| found.count == count)
    }

    /// As `written_stretch`, and where there are not so many in a row, the most that there are.
    fn longest_written_stretch(&self, from: u64, count_max: u64) -> Option<BlockRange> {
        let mut longest: Option<BlockRange> = None;
        let mut current: Option<BlockRange> = None;
        self.each_written(from, |block| {
            let behind = current.filter(|range| range.first.0 + range.count == block);
            let grown = behind.map(|range| BlockRange { count: range.count + 1, ..range });
            let range = grown.unwrap_or(BlockRange { first: FileBlock(block), count: 1 });
            current = Some(range);
            if longest.is_none_or(|longest| longest.count < range.count) {
                longest = current;
            }
            range.count == count_max
        });
        longest
    }

    /// `count` blocks that are free and were written before, wherever they lie.
    fn written_singles(&self, count: u64) -> Option<Vec<BlockRange>> {
        let mut found = Vec::new();
        self.each_written(self.trail.head, |block| {
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

    use super::super::{FreeSpace, GROWTH_BYTES_MAX};
    use super::*;

    /// A file that counts the blocks that were filled ahead, and has room for so many.
    struct File {
        filled: Cell<u64>,
        /// The first of those that were filled last.
        filled_first: Cell<FileBlock>,
        room: u64,
        /// Which blocks the host says were written: all of these, or the even ones.
        held: (u64, u64),
        every_other: bool,
        /// How often it was asked.
        asked: Cell<usize>,
    }

    impl Space for File {
        fn grow(&self, first: FileBlock, blocks: u64) -> Result<()> {
            match first.0 + blocks <= self.room {
                true => Ok(()),
                false => Err(crate::Error::new(ErrorKind::NoSpace, "grow")),
            }
        }

        fn fill(&self, first: FileBlock, blocks: u64) -> Result<()> {
            self.filled.set(self.filled.get() + blocks);
            self.filled_first.set(first);
            Ok(())
        }

        fn next_written(&self, from: FileBlock) -> Result<Option<(FileBlock, FileBlock)>> {
            self.asked.set(self.asked.get() + 1);
            let (start, end) = self.held;
            let from = from.0.max(start);
            let (first, past) = match self.every_other {
                true => (from.next_multiple_of(2), from.next_multiple_of(2) + 1),
                false => (from, end),
            };
            Ok((first < end).then_some((FileBlock(first), FileBlock(past.min(end)))))
        }
    }

    fn file(room: u64) -> File {
        File {
            filled: Cell::new(0),
            filled_first: Cell::new(FileBlock(0)),
            room,
            held: (0, 0),
            every_other: false,
            asked: Cell::new(0),
        }
    }

    #[test]
    fn a_record_and_the_blocks_of_its_commit_are_one_piece() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 4);
        let (mut next, mut after_next) = (FileBlock(3), FileBlock(4));
        let mut in_one_piece = 0;
        for _ in 0..100 {
            let data = allocator.allocate(3, &epochs, &file).unwrap();
            let head = allocator.allocate_head(&epochs, &file).unwrap();
            let beside = [next.0 + 1, next.0 - 3].map(FileBlock);
            let beside = beside.map(|first| [BlockRange { first, count: 3 }]);
            in_one_piece += u64::from(beside.iter().any(|range| data == range));
            (next, after_next) = (after_next, head.first);
        }
        // Not so the first ones, and those on either side of a new stretch.
        assert!(in_one_piece >= 80, "{in_one_piece} of 100");
    }

    /// They were once filled with zeros first, by the very commit that wrote them.
    #[test]
    fn zeros_are_written_behind_what_is_taken_at_once() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 4);
        let taken = allocator.allocate(3, &epochs, &file).unwrap();
        assert_eq!(taken, [BlockRange { first: FileBlock(4), count: 3 }]);
        assert_eq!((file.filled_first.get(), file.filled.get()), (FileBlock(7), 13));
        assert_eq!(allocator.blocks(), 20, "a file that is written to once stays small");
    }

    #[test]
    fn pieces_leave_what_was_written_to_commits() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 4, 64);
        allocator.allocate(1, &epochs, &file).unwrap();
        let written = file.filled_first.get().0 + file.filled.get();
        let piece = allocator.allocate_contiguous(2, &epochs, &file).unwrap();
        assert_eq!(piece.first, FileBlock(written));
        // And come back as written.
        allocator.release(piece, &epochs);
        let mut taken = 0;
        while file.filled.get() == 15 {
            taken += allocator.allocate(1, &epochs, &file).unwrap()[0].count;
        }
        assert_eq!(taken, 15 + 2 + 1, "all of those, and one before the next zeros");
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
    fn what_the_host_holds_of_an_earlier_session_is_not_written_again() {
        let (epochs, file) = (Epochs::default(), File { held: (100, 120), ..file(u64::MAX) });
        let used = vec![u64::MAX, (1 << 36) - 1, 0, 0];
        let saved = FreeSpace { sequence: 1, blocks: 256, used, shared: Vec::new() };
        let mut allocator = Allocator::saved(12, &saved, 256);
        let mut taken = 0;
        while file.filled.get() == 0 {
            taken += allocator.allocate(1, &epochs, &file).unwrap()[0].count;
        }
        assert_eq!(taken, 21, "those that the host holds, and one of the zeros");
        assert_eq!((file.filled.get(), allocator.blocks()), (15, 256));
    }

    /// Each question is a call of the host, and others wait for the state meanwhile.
    #[test]
    fn a_commit_asks_the_host_a_bounded_number_of_times() {
        const BLOCKS: u64 = 1 << 16;
        let file = File { held: (0, BLOCKS), every_other: true, ..file(u64::MAX) };
        let epochs = Epochs::default();
        let used = vec![0; BLOCKS as usize / 64];
        let saved = FreeSpace { sequence: 1, blocks: BLOCKS, used, shared: Vec::new() };
        let mut allocator = Allocator::saved(12, &saved, BLOCKS);
        allocator.allocate(2, &epochs, &file).unwrap();
        assert_eq!(file.asked.get(), ASKS_MAX, "no two of those blocks lie side by side");
    }

    #[test]
    fn single_blocks_are_used_up_before_zeros_are_written() {
        let (epochs, file) = (Epochs::default(), file(u64::MAX));
        let mut allocator = Allocator::fresh(12, 1024, 1024);
        for block in (0..100).step_by(2) {
            allocator.give(BlockRange { first: FileBlock(block), count: 1 });
        }
        // Eight of the fifty are the reserve.
        for _ in 0..20 {
            assert!(!allocator.wants_heads_back());
            allocator.allocate(1, &epochs, &file).unwrap();
            allocator.allocate_head(&epochs, &file).unwrap();
        }
        // Before anything is missed: what a checkpoint gives back is there a commit later.
        assert!(allocator.wants_heads_back());
        assert_eq!(file.filled.get(), 0);
        allocator.allocate(3, &epochs, &file).unwrap();
        allocator.allocate_head(&epochs, &file).unwrap();
        assert!(!allocator.wants_heads_back(), "single blocks do not help those that take more");
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
