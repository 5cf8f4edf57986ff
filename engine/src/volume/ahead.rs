//! Runs written ahead of their commit: a transaction of any size in bounded memory.

use std::sync::Arc;

use super::Volume;
use super::allocator::BlockRange;
use super::level::{Level, Part, own_blocks, pieces};
use super::top::Top;
use crate::error::Result;
use crate::extent::{Holes, Run, RunBuilder, fold_runs};
use crate::format::page::{PageKind, Prelude};
use crate::units::FileBlock;

/// How many parts the pending level may have when a commit takes it: what a record can name.
const PARTS_MAX: usize = 32;

impl Volume {
    /// Writes the pending map out as a run, folded with those that are not much larger.
    pub(super) fn write_pending_ahead(&self) -> Result<()> {
        let _fold = self.fold_lock.lock();
        let (top, spills) = {
            let mut state = self.state.write();
            state.check_poison("write a run ahead")?;
            if state.freezing || state.pending.map.len() < self.options.map_extents_max {
                return Ok(());
            }
            let map = std::mem::take(&mut state.pending.map);
            state.pending.parts.insert(0, Part::Map(Arc::new(map)));
            (Arc::clone(&state.top), state.spills.clone())
        };
        // The checksum of a block is known once it is written.
        spills.iter().try_for_each(|spill| self.await_spill(spill))?;
        self.fold_front(&top, FoldMost::Geometric)
    }

    /// Folds the pending parts where they have become more than a record can name.
    pub(super) fn fold_pending_parts(&self) -> Result<()> {
        let _fold = self.fold_lock.lock();
        let (top, spills) = {
            let state = self.state.read();
            if state.pending.parts.len() <= PARTS_MAX {
                return Ok(());
            }
            (Arc::clone(&state.top), state.spills.clone())
        };
        spills.iter().try_for_each(|spill| self.await_spill(spill))?;
        self.fold_front(&top, FoldMost::All)
    }

    /// Folds the newest pending parts into one run. The caller holds the fold lock.
    fn fold_front(&self, top: &Top, most: FoldMost) -> Result<()> {
        let parts = self.state.read().pending.parts.clone();
        let count = match most {
            FoldMost::All => parts.len(),
            FoldMost::Geometric => fold_count(&parts),
        };
        let front = &parts[..count];
        // Blocks that only older parts of the front saw: nothing durable refers to them.
        let mut shadowed = Vec::new();
        for newer in 1..front.len() {
            let newer = front.len() - 1 - newer;
            let below = Level { map: Default::default(), parts: front[newer + 1..].to_vec() };
            for extent in front[newer].extents() {
                let extent = extent?;
                pieces(&below, extent.start, extent.end(), |piece| {
                    if let Some((first, count)) = own_blocks(&piece) {
                        shadowed.push(BlockRange { first, count });
                    }
                    Ok(())
                })?;
            }
        }
        let builder = self.fold_parts(top, front, Holes::Keep)?;
        let mut fresh = Vec::new();
        let run = match self.write_run(top, builder, &mut fresh) {
            Ok(run) => run,
            Err(error) => {
                self.release_all(fresh);
                return self.fail(error);
            }
        };
        let mut state = self.state.write();
        state.check_poison("write a run ahead")?;
        state.pending.parts.splice(..count, [Part::Run(run)]);
        state.prune_checksums();
        for part in front {
            if let Part::Run(old) = part {
                let range = self.range_of(&old.piece_ref());
                state.allocator.release(range, &self.epochs);
            }
        }
        for range in shadowed {
            state.allocator.release(range, &self.epochs);
        }
        Ok(())
    }

    /// Packs what `parts`, newest first, say together.
    pub(super) fn fold_parts(&self, top: &Top, parts: &[Part], holes: Holes) -> Result<RunBuilder> {
        if let ([Part::Map(map)], Holes::Keep) = (parts, holes) {
            return self.build_run(map);
        }
        let runs = parts
            .iter()
            .map(|part| match part {
                Part::Run(run) => Ok(Arc::clone(run)),
                Part::Map(map) => self.run_in_memory(top, map),
            })
            .collect::<Result<Vec<_>>>()?;
        fold_runs(&runs, holes)
    }

    fn run_in_memory(&self, top: &Top, map: &crate::extent::ExtentMap) -> Result<Arc<Run>> {
        let prelude =
            Prelude { kind: PageKind::Run, layer: top.id, generation: 0, place: FileBlock(0) };
        let encoded = self.build_run(map)?.finish(&prelude)?;
        crate::layer::run_in_heap(&top.file, encoded)
    }
}

/// How far a fold goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoldMost {
    /// To the first part that is much larger than those before it.
    Geometric,
    /// Everything.
    All,
}

/// How many of the newest parts are folded into one: every map, and each run that is not more
/// than twice as large as what comes before it.
pub(super) fn fold_count(parts: &[Part]) -> usize {
    let maps = parts.iter().rposition(|part| matches!(part, Part::Map(_)));
    let mut count = maps.map_or(0, |last| last + 1);
    let mut total: u64 = parts[..count].iter().map(Part::len).sum();
    if count == 0 && !parts.is_empty() {
        (count, total) = (1, parts[0].len());
    }
    while count < parts.len() && parts[count].len() <= 2 * total {
        total += parts[count].len();
        count += 1;
    }
    count
}
