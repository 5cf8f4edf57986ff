//! Walking over what a volume holds.

use std::collections::VecDeque;

use super::Volume;
use super::state::State;
use crate::chain::{ViewExtent, ViewTarget};
use crate::error::Result;
use crate::extent::Target;
use crate::units::{BlockAddress, FileBlock};

/// How many extents are looked up under the lock at once.
const EXTENTS_AT_ONCE: usize = 512;

/// The extents of a volume: see [`Volume::extents`]. After an error it ends.
#[derive(Debug)]
pub struct VolumeExtents<'a> {
    volume: &'a Volume,
    next: BlockAddress,
    end: BlockAddress,
    ready: VecDeque<ViewExtent>,
}

impl Volume {
    /// All that the volume says about `[start, end)`, in address order, holes too; the top has
    /// depth 0, its parent 1. Blocks in the buffer are data of the top whose block is not known
    /// yet (`u64::MAX`). What changes while one walks is seen or not.
    pub fn extents(&self, start: BlockAddress, end: BlockAddress) -> VolumeExtents<'_> {
        VolumeExtents { volume: self, next: start, end, ready: VecDeque::new() }
    }

    /// As [`extents`](Volume::extents), from the first address to the last: of a disk up to the size
    /// that it has now.
    pub fn all_extents(&self) -> VolumeExtents<'_> {
        let end = self.kind().address_end(self.size_bytes(), self.block_size());
        self.extents(BlockAddress(0), end)
    }
}

impl VolumeExtents<'_> {
    fn fill(&mut self) -> Result<()> {
        self.volume.check_process("list extents")?;
        let state = self.volume.state.read();
        let buffered = state.buffer.addresses(self.next, self.end);
        let mut buffered = buffered.into_iter().peekable();
        while self.next < self.end && self.ready.len() < EXTENTS_AT_ONCE {
            let at = self.next;
            if buffered.peek() == Some(&at) {
                buffered.next();
                let owner = state.top.id;
                let block = FileBlock(u64::MAX);
                let target = ViewTarget::Data { owner, block, depth: 0 };
                self.push(ViewExtent { start: at, length: 1, target });
                continue;
            }
            let span = state.find(at)?;
            let past = span.end.min(self.end).min(buffered.peek().copied().unwrap_or(self.end));
            match span.target {
                Some(target) => {
                    let target = top_target(&state, target)?;
                    self.push(ViewExtent { start: at, length: past.0 - at.0, target });
                }
                None => {
                    for extent in state.view.extents(at, past).take(EXTENTS_AT_ONCE) {
                        let mut extent = extent?;
                        if let ViewTarget::Data { depth, .. } = &mut extent.target {
                            *depth += 1;
                        }
                        self.push(extent);
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, extent: ViewExtent) {
        self.next = BlockAddress(extent.start.0 + extent.length);
        if let Some(last) = self.ready.back_mut()
            && last.start.0 + last.length == extent.start.0
            && last.target.advanced(last.length) == extent.target
        {
            last.length += extent.length;
            return;
        }
        self.ready.push_back(extent);
    }
}

fn top_target(state: &State, target: Target) -> Result<ViewTarget> {
    Ok(match target {
        Target::Hole => ViewTarget::Hole,
        Target::Zero => ViewTarget::Zero,
        Target::Data { source, block } => {
            let owner = match source.0 {
                0 => state.top.id,
                _ => state.source(source)?.reference.id,
            };
            ViewTarget::Data { owner, block, depth: 0 }
        }
    })
}

impl Iterator for VolumeExtents<'_> {
    type Item = Result<ViewExtent>;

    fn next(&mut self) -> Option<Result<ViewExtent>> {
        // One more is kept back while it may still grow.
        while self.ready.len() < 2 && self.next < self.end {
            if let Err(error) = self.fill() {
                self.next = self.end;
                self.ready.clear();
                return Some(Err(error));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}
