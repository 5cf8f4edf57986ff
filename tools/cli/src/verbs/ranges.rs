//! Extents in bytes, as the verbs print and copy them.

use std::fmt::Display;
use std::io::{self, Write};

use sapwood::chain::{Snapshot, ViewTarget};
use sapwood::format::LayerKind;
use sapwood::units::{BlockAddress, BlockSize};
use serde::Serialize;

use crate::error::Result;
use crate::output::Text;

/// A range of a volume in bytes. A tree's address space is larger than 64 bits of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ByteRange {
    pub offset_bytes: u128,
    pub length_bytes: u128,
}

impl ByteRange {
    /// The bytes of `length` blocks at `start`, as far as they lie before `size_bytes`.
    pub fn of_blocks(
        start: BlockAddress,
        length: u64,
        block_size: BlockSize,
        size_bytes: Option<u64>,
    ) -> ByteRange {
        let block = u128::from(block_size.bytes());
        let offset_bytes = u128::from(start.0) * block;
        let end = offset_bytes + u128::from(length) * block;
        let end = size_bytes.map_or(end, |size| end.min(size.into()));
        ByteRange { offset_bytes, length_bytes: end.saturating_sub(offset_bytes) }
    }
}

/// The size of a disk in bytes; none of a tree.
pub fn disk_size(snapshot: &Snapshot) -> Option<u64> {
    match snapshot.kind() {
        LayerKind::Disk => Some(snapshot.size_bytes()),
        LayerKind::Tree => None,
    }
}

/// The word for a state.
pub fn state_word(target: &ViewTarget) -> &'static str {
    match target {
        ViewTarget::Hole => "hole",
        ViewTarget::Zero => "zero",
        ViewTarget::Data { .. } => "data",
    }
}

/// Writes the heading over lines of [`write_range`]. The columns have a fixed width: there may be
/// more lines than memory holds.
pub fn write_heading(text: &mut Text<'_>, rest: &str) -> io::Result<()> {
    writeln!(text, "{:>20}  {:>12}  {rest}", "OFFSET", "LENGTH")
}

/// Writes a range and what belongs to it.
pub fn write_range(text: &mut Text<'_>, range: ByteRange, rest: impl Display) -> io::Result<()> {
    let length = text.units.long_size(range.length_bytes);
    writeln!(text, "{:>20}  {length:>12}  {rest}", range.offset_bytes)
}

/// The ranges of data within the first `size_bytes`, in bytes and in order; neighbours are
/// joined, whoever owns them.
pub fn data_ranges(
    snapshot: &Snapshot,
    size_bytes: u64,
) -> impl Iterator<Item = Result<(u64, u64)>> + '_ {
    let block_size = snapshot.block_size();
    let end = BlockAddress(block_size.blocks_for(size_bytes));
    let data = snapshot.extents(BlockAddress(0), end).filter_map(move |extent| {
        let extent = match extent {
            Ok(extent) if matches!(extent.target, ViewTarget::Data { .. }) => extent,
            Ok(_) => return None,
            Err(error) => return Some(Err(error.into())),
        };
        let start = extent.start.0 * block_size.bytes();
        let end = (extent.start.0 + extent.length).saturating_mul(block_size.bytes());
        Some(Ok((start, end.min(size_bytes))))
    });
    Joined { ranges: data, held: None }
}

/// Joins ranges that touch.
struct Joined<I> {
    ranges: I,
    held: Option<(u64, u64)>,
}

impl<I: Iterator<Item = Result<(u64, u64)>>> Iterator for Joined<I> {
    type Item = Result<(u64, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.held, self.ranges.next()) {
                (_, Some(Err(error))) => return Some(Err(error)),
                (None, Some(Ok(range))) => self.held = Some(range),
                (Some((start, end)), Some(Ok(next))) if end == next.0 => {
                    self.held = Some((start, next.1));
                }
                (Some(held), Some(Ok(next))) => {
                    self.held = Some(next);
                    return Some(Ok(held));
                }
                (_, None) => return self.held.take().map(Ok),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_joined() {
        let ranges = [(0, 4), (4, 8), (12, 16), (20, 24), (24, 25)];
        let joined = Joined { ranges: ranges.into_iter().map(Ok), held: None };
        let joined: Vec<_> = joined.map(Result::unwrap).collect();
        assert_eq!(joined, [(0, 8), (12, 16), (20, 25)]);
    }

    #[test]
    fn ranges_end_with_the_volume_and_reach_past_64_bits() {
        let range = |start, length, size| {
            let size_of_block = BlockSize::DEFAULT;
            let range = ByteRange::of_blocks(BlockAddress(start), length, size_of_block, size);
            (range.offset_bytes, range.length_bytes)
        };
        assert_eq!(range(1, 2, Some(10_000)), (4096, 5904));
        assert_eq!(range(0, u64::MAX, None), (0, u128::from(u64::MAX) * 4096));
    }
}
