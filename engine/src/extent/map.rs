//! The mutable map of extents that a volume keeps in memory.
//!
//! An ordered map with one entry an extent: what the volume bounds and folds into
//! a run when it is full. At its bound of about 100,000 entries an insert costs
//! a quarter of a microsecond; structures that are faster there (sorted chunks,
//! radix leaves) are either slower at other sizes or unbounded on sparse volumes.

use std::collections::BTreeMap;

use super::{Extent, Lookup, Span, Target};
use crate::error::Result;
use crate::units::{ADDRESS_END, BlockAddress};

/// A sorted set of extents that do not overlap; neighbours that go on in each other are one.
#[derive(Clone, Debug, Default)]
pub struct ExtentMap {
    /// First address to length and target.
    entries: BTreeMap<u64, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    length: u64,
    target: Target,
}

impl ExtentMap {
    /// A map that is silent about every address.
    pub fn new() -> ExtentMap {
        ExtentMap::default()
    }

    /// How many extents.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map is silent about every address.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all extents.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Maps `extent`, in place of what was mapped there. Every piece of the old
    /// mapping that is replaced goes to `dropped`, clipped to the new extent, in
    /// address order.
    pub fn insert(&mut self, extent: Extent, dropped: &mut dyn FnMut(Extent)) {
        self.remove(extent.start, extent.end(), dropped);
        let mut merged = extent;
        if let Some((&start, entry)) = self.entries.range(..extent.start.0).next_back() {
            let before = entry.at(start);
            if before.continues_with(&extent) {
                merged.start = before.start;
                merged.length += before.length;
                merged.target = before.target;
            }
        }
        if let Some(entry) = self.entries.get(&extent.end().0)
            && extent.continues_with(&entry.at(extent.end().0))
        {
            merged.length += entry.length;
            self.entries.remove(&extent.end().0);
        }
        self.entries.insert(merged.start.0, Entry { length: merged.length, target: merged.target });
    }

    /// Makes the map silent about `[start, end)`. Every piece of mapping that was
    /// there goes to `dropped`, clipped, in address order.
    pub fn remove(
        &mut self,
        start: BlockAddress,
        end: BlockAddress,
        dropped: &mut dyn FnMut(Extent),
    ) {
        if start >= end {
            return;
        }
        if let Some((&first, entry)) = self.entries.range_mut(..start.0).next_back() {
            let old = entry.at(first);
            if let Some(gone) = old.clipped(start, end) {
                entry.length = start.0 - first;
                self.keep_tail(&old, end);
                dropped(gone);
            }
        }
        while let Some((&first, entry)) = self.entries.range(start.0..end.0).next() {
            let old = entry.at(first);
            self.entries.remove(&first);
            self.keep_tail(&old, end);
            dropped(Extent { length: old.length.min(end.0 - first), ..old });
        }
    }

    /// What the map says about `address`: the target is that of the address itself;
    /// where it is silent, `end` is the start of the next extent or [`ADDRESS_END`].
    pub fn find(&self, address: BlockAddress) -> Span {
        if let Some((&start, entry)) = self.entries.range(..=address.0).next_back() {
            let into = address.0 - start;
            if into < entry.length {
                return Span {
                    target: Some(entry.target.advanced(into)),
                    end: BlockAddress(start + entry.length),
                };
            }
        }
        let next = self.entries.range(address.0..).next();
        Span { target: None, end: BlockAddress(next.map_or(ADDRESS_END, |(&start, _)| start)) }
    }

    /// All extents in address order.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.entries.iter().map(|(&start, entry)| entry.at(start))
    }

    /// The extents that reach into `[start, end)`, clipped to it, in address order.
    pub fn range(
        &self,
        start: BlockAddress,
        end: BlockAddress,
    ) -> impl Iterator<Item = Extent> + '_ {
        let first = self.entries.range(..start.0).next_back();
        // An inverted range holds nothing; `BTreeMap::range` would panic.
        let rest = self.entries.range(start.0..end.0.max(start.0));
        first
            .into_iter()
            .chain(rest)
            .filter_map(move |(&first, entry)| entry.at(first).clipped(start, end))
    }

    /// Puts back what of `old` lies at or past `end`.
    fn keep_tail(&mut self, old: &Extent, end: BlockAddress) {
        if let Some(tail) = old.clipped(end, BlockAddress(ADDRESS_END)) {
            self.entries.insert(tail.start.0, Entry { length: tail.length, target: tail.target });
        }
    }
}

impl Entry {
    fn at(&self, start: u64) -> Extent {
        Extent { start: BlockAddress(start), length: self.length, target: self.target }
    }
}

impl Lookup for ExtentMap {
    fn find(&self, address: BlockAddress) -> Result<Span> {
        Ok(ExtentMap::find(self, address))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{FileBlock, SourceIndex};

    const ADDRESSES: u64 = 96;

    fn target() -> impl Strategy<Value = Target> {
        // Few sources and blocks, so that neighbours often go on in each other.
        prop_oneof![
            Just(Target::Hole),
            Just(Target::Zero),
            (0..2u32, 0..ADDRESSES).prop_map(|(source, block)| Target::Data {
                source: SourceIndex(source),
                block: FileBlock(block)
            }),
        ]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert { start: u64, length: u64, target: Target, aligned: bool },
        Remove { start: u64, end: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..ADDRESSES - 1, 1..24u64, target(), any::<bool>()).prop_map(
                |(start, length, target, aligned)| Step::Insert {
                    start,
                    length: length.min(ADDRESSES - start),
                    target,
                    aligned,
                }
            ),
            1 => (0..ADDRESSES, 0..ADDRESSES).prop_map(|(start, end)| Step::Remove { start, end }),
        ]
    }

    /// The extents of a plain array of targets, as long as possible.
    fn longest(model: &[Option<Target>]) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for (address, target) in model.iter().enumerate() {
            let Some(target) = *target else { continue };
            let one = Extent { start: BlockAddress(address as u64), length: 1, target };
            match extents.last_mut() {
                Some(last) if last.continues_with(&one) => last.length += 1,
                _ => extents.push(one),
            }
        }
        extents
    }

    proptest! {
        #[test]
        fn a_map_says_what_a_plain_array_says(steps in prop::collection::vec(step(), 1..60)) {
            let mut map = ExtentMap::new();
            let mut model: Vec<Option<Target>> = vec![None; ADDRESSES as usize];
            for step in steps {
                let mut dropped = Vec::new();
                let (start, end, new) = match step {
                    Step::Insert { start, length, target, aligned } => {
                        let target = match target {
                            // Block = address: inserts that touch then merge.
                            Target::Data { source, .. } if aligned => {
                                Target::Data { source, block: FileBlock(start) }
                            }
                            other => other,
                        };
                        let extent = Extent { start: BlockAddress(start), length, target };
                        map.insert(extent, &mut |piece| dropped.push(piece));
                        (start, start + length, Some(target))
                    }
                    Step::Remove { start, end } => {
                        let sink = &mut |piece| dropped.push(piece);
                        map.remove(BlockAddress(start), BlockAddress(end), sink);
                        (start, end.max(start), None)
                    }
                };
                let mut old = vec![None; ADDRESSES as usize];
                for address in start..end {
                    old[address as usize] = model[address as usize];
                    model[address as usize] = new.map(|target| target.advanced(address - start));
                }
                let mut told = vec![None; ADDRESSES as usize];
                for piece in dropped {
                    for into in 0..piece.length {
                        let slot = &mut told[(piece.start.0 + into) as usize];
                        prop_assert!(slot.is_none(), "dropped twice");
                        *slot = Some(piece.target.advanced(into));
                    }
                }
                prop_assert_eq!(told, old);
                let expected = longest(&model);
                prop_assert_eq!(map.iter().collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!(map.len(), expected.len());
                for address in 0..ADDRESSES {
                    let span = map.find(BlockAddress(address));
                    prop_assert_eq!(span.target, model[address as usize]);
                    let holder = expected.iter().find(|e| e.end().0 > address);
                    let end = match holder {
                        Some(extent) if extent.start.0 > address => extent.start.0,
                        Some(extent) => extent.end().0,
                        None => ADDRESS_END,
                    };
                    prop_assert_eq!(span.end, BlockAddress(end));
                }
                let (low, high) = (BlockAddress(start), BlockAddress(end + 3));
                let clipped: Vec<_> =
                    expected.iter().filter_map(|extent| extent.clipped(low, high)).collect();
                prop_assert_eq!(map.range(low, high).collect::<Vec<_>>(), clipped);
            }
        }
    }

    #[test]
    fn an_extent_may_be_as_long_as_the_address_space() {
        let mut map = ExtentMap::new();
        let all = Extent { start: BlockAddress(0), length: ADDRESS_END, target: Target::Zero };
        map.insert(all, &mut |_| panic!("nothing was mapped"));
        assert_eq!(map.find(BlockAddress(ADDRESS_END - 1)).end, BlockAddress(ADDRESS_END));
        let mut dropped = Vec::new();
        map.remove(BlockAddress(7), BlockAddress(9), &mut |piece| dropped.push(piece));
        assert_eq!(dropped, [Extent { start: BlockAddress(7), length: 2, ..all }]);
        assert_eq!(map.len(), 2);
        let gap = Span { target: None, end: BlockAddress(9) };
        assert_eq!(map.find(BlockAddress(7)), gap);
        assert_eq!(map.range(BlockAddress(9), BlockAddress(3)).count(), 0);
        map.clear();
        assert!(map.is_empty());
    }
}
