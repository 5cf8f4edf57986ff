//! Which stretches of a chain have an index: kept geometric, so that any number of
//! tiny snapshots costs little.

use std::ops::Range;

use super::level::Level;

/// A level is merged with the next older one unless that one is so many times heavier:
/// a view has few levels, and an extent is merged anew a few times for each growth of
/// the chain by this factor.
const GROWTH: u64 = 4;
/// Stretches lighter than this count as that heavy when a view is opened: merging so
/// few extents costs a fraction of a millisecond, once.
const LIGHT: u64 = 4096;
/// What is merged on the path of a snapshot at most; more is merged beside it.
pub(super) const INLINE_WEIGHT_MAX: u64 = 1024;
/// From how many layers on a merged stretch is worth a file: opening a view reads
/// this many headers at most besides those that other bounds allow.
const FILE_LAYERS_MIN: u64 = 32;
/// From how many extents on a merged stretch is worth a file: 200 KiB of heap.
const FILE_EXTENTS_MIN: u64 = 16_384;
/// From how many extents on a layer is used through its own runs as long as what is
/// above it is lighter.
pub(super) const HEAVY_LAYER_EXTENTS: u64 = 8192;

/// What a level weighs: the extents to merge, and the layers to open.
pub(super) fn weight(level: &Level) -> u64 {
    level.extents().saturating_add(level.layers())
}

/// Whether a merged stretch is worth a file of its own.
pub(super) fn worth_a_file(level: &Level) -> bool {
    level.unwritten_index().is_some()
        && (level.layers() >= FILE_LAYERS_MIN || level.extents() >= FILE_EXTENTS_MIN)
}

/// How eagerly light levels are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// As when a view is opened: all light ones.
    Opening,
    /// As when a snapshot is put on top: only what growth asks for.
    Growing,
}

/// Which neighbours of levels with `weights` (newest first) to merge: the ranges that
/// will be one level each, newest first, together all of them.
pub(super) fn groups(weights: &[u64], effort: Effort) -> Vec<Range<usize>> {
    let least = match effort {
        Effort::Opening => LIGHT,
        Effort::Growing => 1,
    };
    let mut stack: Vec<(Range<usize>, u64)> = Vec::new();
    for (at, weight) in weights.iter().enumerate().rev() {
        let mut group = (at..at + 1, *weight);
        while let Some((range, below)) = stack.last() {
            if group.1.max(least).saturating_mul(GROWTH) < *below {
                break;
            }
            group = (group.0.start..range.end, group.1.saturating_add(*below));
            stack.pop();
        }
        stack.push(group);
    }
    stack.into_iter().rev().map(|(range, _)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tiny_snapshots_stay_few_levels_and_are_merged_few_times() {
        // Newest first; each level is the weight it was merged to.
        let mut levels: Vec<u64> = Vec::new();
        let (mut merged, mut deepest) = (0, 0);
        let snapshots = 100_000;
        for _ in 0..snapshots {
            levels.insert(0, 1);
            levels = groups(&levels, Effort::Growing)
                .into_iter()
                .map(|range| {
                    let weight: u64 = levels[range.clone()].iter().sum();
                    merged += if range.len() > 1 { weight } else { 0 };
                    weight
                })
                .collect();
            deepest = deepest.max(levels.len());
        }
        assert_eq!(levels.iter().sum::<u64>(), snapshots);
        assert!(deepest <= 12, "{deepest} levels");
        assert!(merged < 60 * snapshots, "{merged} extents merged");
    }

    #[test]
    fn a_heavy_base_is_left_alone_until_what_is_above_grows() {
        assert_eq!(groups(&[10, 10, 1_000_000], Effort::Opening), [0..2, 2..3]);
        assert_eq!(groups(&[300_000, 1_000_000], Effort::Opening).len(), 1);
        // Opening merges what is light, up to where the base is many times heavier than that.
        let apart = [0..1, 1..2];
        assert_eq!(groups(&[2, LIGHT * GROWTH], Effort::Opening).len(), 1);
        assert_eq!(groups(&[2, LIGHT * GROWTH + 1], Effort::Opening), apart);
        assert_eq!(groups(&[2, 8], Effort::Growing).len(), 1);
        assert_eq!(groups(&[2, 9], Effort::Growing), apart);
        assert_eq!(groups(&[], Effort::Opening), []);
        // A heavy level on a light one is never left on its own.
        assert_eq!(groups(&[1_000_000, 10], Effort::Growing).len(), 1);
    }

    #[test]
    fn levels_that_stay_apart_grow_downwards_by_the_factor() {
        let weights = [1, 2, 30, 7, 900, 4, 100_000, 3, 5];
        for effort in [Effort::Opening, Effort::Growing] {
            let groups = groups(&weights, effort);
            assert_eq!(groups.first().unwrap().start, 0);
            assert_eq!(groups.last().unwrap().end, weights.len());
            let sums: Vec<u64> =
                groups.iter().map(|range| weights[range.clone()].iter().sum()).collect();
            assert!(sums.windows(2).all(|pair| pair[0] * GROWTH < pair[1]), "{sums:?}");
            assert!(groups.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }
}
