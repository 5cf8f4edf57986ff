//! Which numbers of pages are free.
//!
//! A freed page is discarded, so the volume itself knows: what reads as a hole or as zeros below
//! the end of the pages is free. It is looked for little by little, when numbers are needed.

use crate::chain::ViewTarget;
use crate::error::Result;
use crate::files::blocks::Blocks;
use crate::units::BlockAddress;

/// How many free numbers are remembered at most; more are found again after reopening.
const SPARE_MAX: usize = 1 << 16;
/// How many extents are looked at for one more page at most, so that no call takes long.
const EXTENTS_AT_ONCE: usize = 256;

/// Free numbers, and how far they were looked for.
#[derive(Clone, Debug)]
pub struct Space {
    /// Free, discarded, and below `next` or made free since the tree was opened.
    pub spare: Vec<u32>,
    /// Numbers from here to `end` have not been looked at.
    next: u32,
    end: u32,
}

impl Space {
    /// The space of a tree whose numbers end at `end`: nothing was looked at yet.
    pub fn up_to(end: u32) -> Space {
        Space { spare: Default::default(), next: 1, end }
    }

    /// The space of a tree that was just made: all numbers below `end` are in use.
    pub fn none_below(end: u32) -> Space {
        Space { next: end, ..Space::up_to(end) }
    }

    /// Remembers a number that was freed and discarded.
    pub fn give(&mut self, number: u32) {
        // What is still to be looked at is found there.
        let found_later = (self.next..self.end).contains(&number);
        if !found_later && self.spare.len() < SPARE_MAX {
            self.spare.push(number);
        }
    }

    /// A number that is free, if one is found.
    pub fn take(&mut self, blocks: &dyn Blocks) -> Result<Option<u32>> {
        if self.spare.is_empty() && self.next < self.end {
            self.look(blocks)?;
        }
        Ok(self.spare.pop())
    }

    /// Looks on for numbers whose blocks hold nothing.
    fn look(&mut self, blocks: &dyn Blocks) -> Result<()> {
        let (start, end) = (BlockAddress(self.next.into()), BlockAddress(self.end.into()));
        for extent in blocks.extents(start, end).take(EXTENTS_AT_ONCE) {
            let extent = extent?;
            let past = (extent.start.0 + extent.length) as u32;
            if !matches!(extent.target, ViewTarget::Data { .. }) {
                let free = extent.start.0 as u32..past;
                let room = SPARE_MAX.saturating_sub(self.spare.len());
                self.spare.extend(free.take(room));
            }
            self.next = past;
        }
        Ok(())
    }
}
