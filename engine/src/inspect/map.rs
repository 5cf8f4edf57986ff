//! What the levels of one layer come to: newer over older, in order of address.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::run::{InspectedRun, Mapped, RunCursor};
use crate::error::Result;
use crate::units::BlockAddress;

/// One level of a layer's map.
#[derive(Debug)]
pub enum Level {
    /// The extents of journal records that no run came between.
    Records(Overlay),
    /// A run.
    Run(Box<InspectedRun>),
}

/// Extents laid over each other in memory, each over those before it.
#[derive(Debug, Default)]
pub struct Overlay {
    by_start: BTreeMap<u64, Mapped>,
}

impl Overlay {
    /// Lays `mapped` over what is there.
    pub fn lay(&mut self, mapped: Mapped) {
        let (start, end) = (mapped.extent.start, mapped.extent.end());
        let before = self.by_start.range(..start.0).next_back().map(|(&key, &old)| (key, old));
        let inside = self.by_start.range((Bound::Included(start.0), Bound::Excluded(end.0)));
        let replaced: Vec<(u64, Mapped)> =
            before.into_iter().chain(inside.map(|(&key, &old)| (key, old))).collect();
        for (key, old) in replaced {
            if old.extent.end() <= start {
                continue;
            }
            self.by_start.remove(&key);
            for kept in [
                old.clipped(old.extent.start, start),
                old.clipped(end.max(old.extent.start), old.extent.end()),
            ] {
                kept.map(|kept| self.by_start.insert(kept.extent.start.0, kept));
            }
        }
        self.by_start.insert(start.0, mapped);
    }

    /// What they come to, in order of address.
    pub fn extents(&self) -> impl Iterator<Item = Mapped> + '_ {
        self.by_start.values().copied()
    }
}

enum Source<'a> {
    Records(Box<dyn Iterator<Item = Mapped> + 'a>),
    Run(Box<RunCursor<'a>>),
}

impl Source<'_> {
    fn next(&mut self) -> Result<Option<Mapped>> {
        match self {
            Source::Records(extents) => Ok(extents.next()),
            Source::Run(cursor) => cursor.next(),
        }
    }
}

struct Front<'a> {
    source: Source<'a>,
    current: Option<Mapped>,
}

/// Walks what the levels come to. Explicit holes are given too: they end what is below them.
pub struct Merged<'a> {
    /// The newest first.
    fronts: Vec<Front<'a>>,
    at: BlockAddress,
}

impl<'a> Merged<'a> {
    /// Walks `levels`, the newest first.
    pub fn over(levels: &'a [Level]) -> Result<Merged<'a>> {
        let mut fronts = Vec::with_capacity(levels.len());
        for level in levels {
            let mut source = match level {
                Level::Records(overlay) => Source::Records(Box::new(overlay.extents())),
                Level::Run(run) => Source::Run(Box::new(run.cursor())),
            };
            fronts.push(Front { current: source.next()?, source });
        }
        Ok(Merged { fronts, at: BlockAddress(0) })
    }

    /// The next piece that is all of one level; pieces are disjoint and ascend.
    pub fn next(&mut self) -> Result<Option<Mapped>> {
        loop {
            let mut first = None;
            let mut end = BlockAddress(u64::MAX);
            let mut winner = None;
            for front in &mut self.fronts {
                while front.current.is_some_and(|mapped| mapped.extent.end() <= self.at) {
                    front.current = front.source.next()?;
                }
                let Some(mapped) = front.current else { continue };
                let start = mapped.extent.start.max(self.at);
                first = Some(first.map_or(start, |first: BlockAddress| first.min(start)));
                if winner.is_none() {
                    if start == self.at {
                        winner = Some(mapped);
                        end = end.min(mapped.extent.end());
                    } else {
                        end = end.min(start);
                    }
                }
            }
            match (winner, first) {
                (Some(mapped), _) => {
                    let piece = mapped.clipped(self.at, end);
                    self.at = end;
                    return Ok(piece);
                }
                (None, Some(first)) => self.at = first,
                (None, None) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{Extent, Target};
    use crate::units::{FileBlock, SourceIndex};

    fn data(start: u64, length: u64, block: u64) -> Mapped {
        let target = Target::Data { source: SourceIndex::OWN, block: FileBlock(block) };
        let extent = Extent { start: BlockAddress(start), length, target };
        Mapped { extent, checksums_at: 1000 + 4 * block }
    }

    fn walk(levels: &[Level]) -> Vec<Mapped> {
        let mut merged = Merged::over(levels).unwrap();
        std::iter::from_fn(|| merged.next().unwrap()).collect()
    }

    #[test]
    fn what_is_laid_over_cuts_what_is_below_at_both_ends() {
        let mut overlay = Overlay::default();
        overlay.lay(data(10, 20, 100));
        overlay.lay(data(15, 5, 200));
        overlay.lay(data(28, 10, 300));
        let found: Vec<Mapped> = overlay.extents().collect();
        assert_eq!(
            found,
            [data(10, 5, 100), data(15, 5, 200), data(20, 8, 110), data(28, 10, 300)]
        );
    }

    #[test]
    fn newer_levels_hide_older_ones_where_they_say_something() {
        let level = |extents: &[Mapped]| {
            let mut overlay = Overlay::default();
            extents.iter().for_each(|&mapped| overlay.lay(mapped));
            Level::Records(overlay)
        };
        let levels = [level(&[data(5, 2, 50)]), level(&[data(0, 10, 0), data(20, 1, 90)])];
        let expected = [data(0, 5, 0), data(5, 2, 50), data(7, 3, 7), data(20, 1, 90)];
        assert_eq!(walk(&levels), expected);
        assert_eq!(walk(&[]), []);
    }
}
