//! Laying newer extents over older ones.

use std::iter::Fuse;

use super::{Extent, Target};
use crate::error::Result;
use crate::units::BlockAddress;

/// What becomes of holes in the outcome of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// They stay: something older lies below that they take back.
    Keep,
    /// They go: nothing lies below, and a silent map asks the parent as well.
    Drop,
}

/// A stretch of addresses that can be cut: an extent, or one that carries something along.
pub trait Stretch: Copy {
    /// The extent.
    fn extent(&self) -> &Extent;

    /// The part from `start` on, which lies inside.
    #[must_use]
    fn starting_at(self, start: BlockAddress) -> Self;

    /// The part below `end`, which lies inside.
    #[must_use]
    fn ending_at(self, end: BlockAddress) -> Self;
}

impl Stretch for Extent {
    #[inline]
    fn extent(&self) -> &Extent {
        self
    }

    #[inline]
    fn starting_at(self, start: BlockAddress) -> Extent {
        let into = start.0 - self.start.0;
        Extent { start, length: self.length - into, target: self.target.advanced(into) }
    }

    #[inline]
    fn ending_at(self, end: BlockAddress) -> Extent {
        Extent { length: end.0 - self.start.0, ..self }
    }
}

/// Lays the extents of `newer` over those of `older`; neighbours that go on in
/// each other are joined. Both come in address order; the first error ends the walk.
pub fn merge<N, O>(newer: N, older: O, holes: Holes) -> impl Iterator<Item = Result<Extent>>
where
    N: Iterator<Item = Result<Extent>>,
    O: Iterator<Item = Result<Extent>>,
{
    joined(overlay(newer, older), holes)
}

/// Lays `newer` over `older` without joining what is left of them.
pub fn overlay<S, N, O>(newer: N, older: O) -> Overlay<S, N, O>
where
    S: Stretch,
    N: Iterator<Item = Result<S>>,
    O: Iterator<Item = Result<S>>,
{
    Overlay {
        newer: newer.fuse(),
        older: older.fuse(),
        newer_head: None,
        older_head: None,
        started: false,
        failed: false,
    }
}

/// Joins neighbours that go on in each other.
pub fn joined<I>(extents: I, holes: Holes) -> Joined<I>
where
    I: Iterator<Item = Result<Extent>>,
{
    Joined { extents: extents.fuse(), holes, last: None, error: None }
}

/// What [`overlay`] gives.
#[derive(Debug)]
pub struct Overlay<S, N, O> {
    newer: Fuse<N>,
    older: Fuse<O>,
    newer_head: Option<S>,
    /// What the newer side has not covered yet of the older one's next.
    older_head: Option<S>,
    started: bool,
    failed: bool,
}

impl<S, N, O> Overlay<S, N, O>
where
    S: Stretch,
    N: Iterator<Item = Result<S>>,
    O: Iterator<Item = Result<S>>,
{
    #[inline]
    fn step(&mut self) -> Result<Option<S>> {
        if !self.started {
            self.started = true;
            self.newer_head = self.newer.next().transpose()?;
            self.older_head = self.older.next().transpose()?;
        }
        match (self.newer_head, self.older_head) {
            (None, None) => Ok(None),
            (Some(newer), Some(older)) if older.extent().start >= newer.extent().start => {
                self.cover_older_until(newer.extent().end())?;
                self.newer_head = self.newer.next().transpose()?;
                Ok(Some(newer))
            }
            (Some(newer), Some(older)) if older.extent().end() > newer.extent().start => {
                let start = newer.extent().start;
                self.older_head = Some(older.starting_at(start));
                Ok(Some(older.ending_at(start)))
            }
            (_, Some(older)) => {
                self.older_head = self.older.next().transpose()?;
                Ok(Some(older))
            }
            (Some(newer), None) => {
                self.newer_head = self.newer.next().transpose()?;
                Ok(Some(newer))
            }
        }
    }

    fn cover_older_until(&mut self, end: BlockAddress) -> Result<()> {
        while let Some(older) = self.older_head {
            if older.extent().start >= end {
                break;
            }
            if older.extent().end() > end {
                self.older_head = Some(older.starting_at(end));
                break;
            }
            self.older_head = self.older.next().transpose()?;
        }
        Ok(())
    }
}

impl<S, N, O> Iterator for Overlay<S, N, O>
where
    S: Stretch,
    N: Iterator<Item = Result<S>>,
    O: Iterator<Item = Result<S>>,
{
    type Item = Result<S>;

    #[inline]
    fn next(&mut self) -> Option<Result<S>> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

/// What [`joined`] gives.
#[derive(Debug)]
pub struct Joined<I> {
    extents: Fuse<I>,
    holes: Holes,
    /// What may still go on.
    last: Option<Extent>,
    /// Told after what came before it.
    error: Option<crate::Error>,
}

impl<I> Iterator for Joined<I>
where
    I: Iterator<Item = Result<Extent>>,
{
    type Item = Result<Extent>;

    #[inline]
    fn next(&mut self) -> Option<Result<Extent>> {
        if let Some(error) = self.error.take() {
            return Some(Err(error));
        }
        loop {
            match self.extents.next() {
                Some(Ok(next)) => {
                    if self.holes == Holes::Drop && next.target == Target::Hole {
                        continue;
                    }
                    match &mut self.last {
                        Some(last) if last.continues_with(&next) => last.length += next.length,
                        last => {
                            if let Some(done) = last.replace(next) {
                                return Some(Ok(done));
                            }
                        }
                    }
                }
                Some(Err(error)) => match self.last.take() {
                    Some(done) => {
                        self.error = Some(error);
                        return Some(Ok(done));
                    }
                    None => return Some(Err(error)),
                },
                None => return self.last.take().map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Error;
    use crate::extent::ExtentMap;
    use crate::units::{FileBlock, SourceIndex};

    fn entries() -> impl Strategy<Value = Vec<Extent>> {
        let target = prop_oneof![
            Just(Target::Hole),
            Just(Target::Zero),
            (0..2u32, 0..3u64).prop_map(|(source, shift)| Target::Data {
                source: SourceIndex(source),
                block: FileBlock(shift)
            }),
        ];
        let extent = (0..200u64, 1..30u64, target).prop_map(|(start, length, target)| Extent {
            start: BlockAddress(start),
            length,
            // Blocks that follow the addresses: neighbours then often go on in each other.
            target: target.advanced(start),
        });
        prop::collection::vec(extent, 0..40)
    }

    fn map_of(extents: &[Extent]) -> ExtentMap {
        let mut map = ExtentMap::new();
        extents.iter().for_each(|&extent| map.insert(extent, &mut |_| {}));
        map
    }

    proptest! {
        #[test]
        fn a_merge_is_what_inserting_the_newer_one_gives(older in entries(), newer in entries()) {
            let (older, newer) = (map_of(&older), map_of(&newer));
            let mut both = older.clone();
            newer.iter().for_each(|extent| both.insert(extent, &mut |_| {}));
            let merged = merge(newer.iter().map(Ok), older.iter().map(Ok), Holes::Keep);
            let merged: Vec<_> = merged.map(Result::unwrap).collect();
            prop_assert_eq!(&merged, &both.iter().collect::<Vec<_>>());

            let without = merge(newer.iter().map(Ok), older.iter().map(Ok), Holes::Drop);
            let without: Vec<_> = without.map(Result::unwrap).collect();
            let expected: Vec<_> =
                merged.into_iter().filter(|extent| extent.target != Target::Hole).collect();
            prop_assert_eq!(without, expected);
        }
    }

    #[test]
    fn an_error_comes_after_what_was_before_it_and_ends_the_walk() {
        let extent =
            |start| Ok(Extent { start: BlockAddress(start), length: 1, target: Target::Zero });
        let bad = || Err(Error::corrupt("read", "field", 1, 2));
        for (newer, older, good) in [
            (vec![extent(0), bad(), extent(9)], vec![extent(20), extent(30)], 0),
            (vec![extent(40)], vec![extent(20), extent(30), bad(), extent(50)], 1),
        ] {
            let told: Vec<_> = merge(newer.into_iter(), older.into_iter(), Holes::Keep).collect();
            assert_eq!(told.iter().filter(|item| item.is_ok()).count(), good);
            assert!(told.last().unwrap().is_err(), "the error is last");
            assert_eq!(told.iter().filter(|item| item.is_err()).count(), 1);
        }
    }
}
