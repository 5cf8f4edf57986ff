//! Counting the free space of a file that was not closed cleanly.

use super::Volume;
use super::allocator::UseCount;
use super::level::{Level, Part, own_blocks};
use crate::error::{ErrorKind, Result};
use crate::extent::{Extent, Holes, merge};
use crate::units::{BlockAddress, PAGE_BYTES};

impl Volume {
    /// Makes an attempt, and one more where the host was full and the free space of the file had
    /// not been counted: there may be room in the file itself. The caller holds no lock. A thread
    /// that holds a batch gets its error at once: a commit that has the journal waits for it.
    pub(super) fn with_free_space_counted(&self, attempt: impl Fn() -> Result<()>) -> Result<()> {
        match attempt() {
            Err(error)
                if error.kind() == ErrorKind::NoSpace
                    && !self.state.read().allocator.is_known()
                    && self.gate.refuse_own_batch("count the free space").is_ok() =>
            {
                self.count_free_space()?;
                attempt()
            }
            done => done,
        }
    }

    /// Finds room in the file of a volume that was not closed cleanly, where that was not looked
    /// for yet: whether an attempt that found none is worth another one. The caller holds no batch.
    pub fn find_room(&self) -> Result<bool> {
        self.gate.refuse_own_batch("count the free space")?;
        if self.state.read().allocator.is_known() {
            return Ok(false);
        }
        self.count_free_space()?;
        Ok(true)
    }

    /// Counts which blocks are in use, where that is not known. The first checkpoint after an
    /// unclean close does it: opening never scans the map.
    pub(super) fn count_free_space(&self) -> Result<()> {
        if self.state.read().allocator.is_known() {
            return Ok(());
        }
        let journal = self.journal.lock();
        let mut guard = self.state.write();
        let state = &mut *guard;
        state.check_poison("count the free space")?;
        let mut count = UseCount::new(state.allocator.unknown_below());
        let header_blocks = self.block_size.blocks_for(2 * PAGE_BYTES);
        count.add(crate::units::FileBlock(0), header_blocks);
        count.add(journal.next, 1);
        count.add(journal.after_next, 1);
        let header = &journal.header;
        let named = [header.sources, header.annotations, header.free_space];
        for piece in named.iter().flatten().chain(&header.runs) {
            let range = self.range_of(piece);
            count.add(range.first, range.count);
        }
        for range in journal.pieces.iter().chain(state.allocator.until_sync()) {
            count.add(range.first, range.count);
        }
        for level in [&state.pending, &state.committed] {
            for part in &level.parts {
                if let Part::Run(run) = part
                    && !header.runs.contains(&run.piece_ref())
                {
                    let range = self.range_of(&run.piece_ref());
                    count.add(range.first, range.count);
                }
            }
            each_extent(level, |extent| {
                if let Some((first, blocks)) = own_blocks(&extent) {
                    count.add(first, blocks);
                }
            })?;
        }
        state.allocator.learn(&count, &self.epochs);
        Ok(())
    }
}

/// What a level says, each address once, in order.
pub(super) fn each_extent(level: &Level, mut each: impl FnMut(Extent)) -> Result<()> {
    let mut merged: Box<dyn Iterator<Item = Result<Extent>> + '_> = Box::new(std::iter::empty());
    for part in level.parts.iter().rev() {
        merged = Box::new(merge(part.extents(), merged, Holes::Keep));
    }
    let start = BlockAddress(0);
    let end = BlockAddress(crate::units::ADDRESS_END);
    let map = level.map.range(start, end).map(Ok);
    for extent in merge(map, merged, Holes::Keep) {
        each(extent?);
    }
    Ok(())
}
