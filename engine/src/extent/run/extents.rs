//! Going through a run in address order.

use super::Run;
use crate::error::Result;
use crate::extent::Extent;
use crate::units::BlockAddress;

/// Extents that are verified ahead at a time.
const VERIFY_AHEAD: usize = 8192;

/// The extents of a run in address order, the first one clipped to where the walk begins.
///
/// The first error ends the walk.
#[derive(Debug)]
pub struct RunExtents<'a> {
    run: &'a Run,
    next: usize,
    superblock: usize,
    /// Extents below this number lie in the present superblock and are verified.
    ready_until: usize,
    /// The end of the extent before: no later one may begin below it.
    end: BlockAddress,
    from: BlockAddress,
    failed: bool,
}

impl<'a> RunExtents<'a> {
    pub(super) fn new(run: &'a Run, next: usize, from: BlockAddress) -> RunExtents<'a> {
        RunExtents {
            run,
            next,
            superblock: run.superblock_of(next),
            ready_until: next,
            end: BlockAddress(0),
            from,
            failed: false,
        }
    }

    /// The number in the run of the extent that comes next.
    pub fn position(&self) -> usize {
        self.next
    }

    /// Verifies what comes next; `false` at the end of the run.
    #[cold]
    fn prepare(&mut self) -> Result<bool> {
        if self.failed || self.next >= self.run.lows.len() {
            return Ok(false);
        }
        // Superblocks are never empty: `open` has seen to that.
        if self.next >= self.run.firsts[self.superblock + 1] as usize {
            self.superblock += 1;
        }
        let past = self.run.firsts[self.superblock + 1] as usize;
        let ready_until = past.min(self.next + VERIFY_AHEAD);
        self.run.verify_extents(self.next..ready_until)?;
        self.run.intact()?;
        self.ready_until = ready_until;
        Ok(true)
    }

    #[inline]
    fn take(&mut self) -> Result<Extent> {
        let extent = self.run.extent(self.superblock, self.next)?;
        if extent.start < self.end {
            return Err(self.run.out_of_order(self.next));
        }
        self.end = extent.end();
        self.next += 1;
        if extent.start < self.from {
            // `from` lies inside: the walk began at the extent that reaches past it.
            return Ok(extent.clipped(self.from, self.end).unwrap_or(extent));
        }
        Ok(extent)
    }

    #[cold]
    fn fail(&mut self) {
        self.failed = true;
        self.ready_until = self.next;
    }
}

impl Iterator for RunExtents<'_> {
    type Item = Result<Extent>;

    #[inline]
    fn next(&mut self) -> Option<Result<Extent>> {
        if self.next >= self.ready_until {
            match self.prepare() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.fail();
                    return Some(Err(error));
                }
            }
        }
        let extent = self.take();
        if extent.is_err() {
            self.fail();
        }
        Some(extent)
    }
}
