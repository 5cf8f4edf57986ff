//! Extents in bytes, as the verbs print and copy them.

use std::fmt::Display;
use std::io::{self, Write};

use sapwood::chain::{Snapshot, ViewTarget};
use sapwood::format::LayerKind;
use sapwood::units::{BlockAddress, BlockSize};
use serde::Serialize;

use crate::error::{CliError, Result};
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

/// Refuses what is no disk: the bytes of a tree are its files.
pub fn expect_disk(kind: LayerKind, reference: &str, instead: &str) -> Result<()> {
    match kind {
        LayerKind::Disk => Ok(()),
        LayerKind::Tree => Err(not_a_disk(reference, instead)),
    }
}

/// That a disk was asked for, and this is a tree.
pub fn not_a_disk(reference: &str, instead: &str) -> CliError {
    CliError::usage(format!("{reference} is a tree of files, not a disk: {instead}"))
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
    joined(data, |held, next| {
        let touches = held.1 == next.0;
        if touches {
            held.1 = next.1;
        }
        touches
    })
}

/// Joins what belongs together: `absorb` takes the second into the first where it goes on there.
pub fn joined<T>(
    items: impl Iterator<Item = Result<T>>,
    absorb: impl Fn(&mut T, &T) -> bool,
) -> impl Iterator<Item = Result<T>> {
    let mut items = items;
    let mut held: Option<T> = None;
    std::iter::from_fn(move || {
        for next in items.by_ref() {
            let next = match next {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            let is_absorbed = held.as_mut().is_some_and(|held| absorb(held, &next));
            if !is_absorbed && let Some(whole) = held.replace(next) {
                return Some(Ok(whole));
            }
        }
        held.take().map(Ok)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_joined() {
        let ranges = [(0, 4), (4, 8), (12, 16), (20, 24), (24, 25)];
        let joined = joined(ranges.into_iter().map(Ok), |held, next| {
            let touches = held.1 == next.0;
            if touches {
                held.1 = next.1;
            }
            touches
        });
        let joined: Vec<_> = joined.map(Result::unwrap).collect();
        assert_eq!(joined, [(0, 8), (12, 16), (20, 25)]);
        let failing = [Ok(1), Err(CliError::usage("x")), Ok(2)];
        assert_eq!(
            super::joined(failing.into_iter(), |_, _| false).filter(Result::is_err).count(),
            1
        );
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
