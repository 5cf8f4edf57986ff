//! Sets of numbers as sorted ranges: block addresses that views can see, blocks that extents target.

use std::ops::Range;

/// A set of 64-bit numbers: sorted ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// The set of nothing.
    pub fn new() -> RangeSet {
        RangeSet::default()
    }

    /// The set of one range; of nothing where it is empty.
    pub fn of(range: Range<u64>) -> RangeSet {
        RangeSet { ranges: if range.is_empty() { Vec::new() } else { vec![range] } }
    }

    /// The set of ranges in any order, which may overlap.
    pub fn of_unsorted(mut ranges: Vec<Range<u64>>) -> RangeSet {
        ranges.sort_unstable_by_key(|range| range.start);
        let mut set = RangeSet::new();
        ranges.into_iter().for_each(|range| set.push(range));
        set
    }

    /// Adds a range that begins at or after the start of the last one.
    pub fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.last_mut() {
            Some(last) if range.start <= last.end => {
                debug_assert!(last.start <= range.start, "ranges come in order");
                last.end = last.end.max(range.end);
            }
            _ => self.ranges.push(range),
        }
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: &RangeSet) -> RangeSet {
        if self.is_empty() {
            return other.clone();
        }
        if other.is_empty() {
            return self;
        }
        let mut both =
            RangeSet { ranges: Vec::with_capacity(self.ranges.len() + other.ranges.len()) };
        let (mut left, mut right) = (self.ranges.into_iter().peekable(), other.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.start <= b.start => left.next(),
                (_, Some(_)) => right.next(),
                (_, None) => left.next(),
            };
            match next {
                Some(range) => both.push(range),
                None => return both,
            }
        }
    }

    /// What is in `self` and not in `other`, whose ranges come in order.
    pub fn without(&self, other: impl IntoIterator<Item = Range<u64>>) -> RangeSet {
        let mut rest = RangeSet::new();
        let mut other = other.into_iter().peekable();
        for range in &self.ranges {
            let mut from = range.start;
            while let Some(taken) = other.peek() {
                if taken.start >= range.end {
                    break;
                }
                rest.push(from..taken.start.min(range.end).max(from));
                from = from.max(taken.end);
                if taken.end > range.end {
                    // It may reach into the next range too.
                    break;
                }
                other.next();
            }
            rest.push(from..range.end.max(from));
        }
        rest
    }

    /// The parts of `range` that the set holds, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.ranges.partition_point(|held| held.end <= range.start);
        self.ranges[first..]
            .iter()
            .take_while({
                let end = range.end;
                move |held| held.start < end
            })
            .map(move |held| held.start.max(range.start)..held.end.min(range.end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0..60u64, 0..12u64).prop_map(|(at, length)| at..at + length), 0..12)
    }

    fn numbers(ranges: impl IntoIterator<Item = Range<u64>>) -> BTreeSet<u64> {
        ranges.into_iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn sets_of_ranges_are_sets_of_numbers(a in ranges(), b in ranges(), window in (0..60u64, 0..30u64)) {
            let (left, right) = (numbers(a.clone()), numbers(b.clone()));
            let (a, b) = (RangeSet::of_unsorted(a), RangeSet::of_unsorted(b));
            prop_assert_eq!(numbers(a.iter()), left.clone());
            prop_assert!(a.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let union = a.clone().union(&b);
            prop_assert_eq!(numbers(union.iter()), &left | &right);
            prop_assert!(union.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let rest = a.without(b.iter());
            prop_assert_eq!(numbers(rest.iter()), &left - &right);
            let window = window.0..window.0 + window.1;
            let inside = a.within(window.clone());
            prop_assert_eq!(numbers(inside), &left & &window.collect());
        }
    }
}
