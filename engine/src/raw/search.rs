//! Searching a column by its static tree, with the vectors that the CPU has.
//!
//! The code is written once, as loops over the 16 keys of a node. It is compiled
//! twice: for the baseline of the target, and for AVX2, chosen at run time. (For
//! AVX-512 the compiler's choice of instructions made it slower.)

use crate::format::tree::{NODE_KEYS, Node, TreeShape};

/// Lookups that are taken through a tree together.
pub const BATCH: usize = 16;

/// A sorted column and the tree over it.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// The shape: [`TreeShape::over`] the length of `column`.
    pub shape: &'a TreeShape,
    /// The nodes above the column, at least as many as the shape says.
    pub nodes: &'a [Node],
    /// The keys.
    pub column: &'a [u32],
    /// What is looked at after the key of the same number: fetched ahead of the search's end.
    pub payload: &'a [u64],
}

/// How many keys of the column are at most `key`, for a column and tree in order;
/// for others some number up to the length of the column.
#[inline]
pub fn rank(tree: Tree<'_>, key: u32) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { rank_avx2(tree, key) };
    }
    rank_portable(tree, key)
}

/// [`rank`] of each key, their cache misses side by side.
#[inline]
pub fn rank_batch(tree: Tree<'_>, keys: &[u32; BATCH], ranks: &mut [usize; BATCH]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { rank_batch_avx2(tree, keys, ranks) };
    }
    rank_batch_portable(tree, keys, ranks);
}

/// [`rank`] without the CPU's wider vectors.
pub fn rank_portable(tree: Tree<'_>, key: u32) -> usize {
    rank_inline(tree, key)
}

fn rank_batch_portable(tree: Tree<'_>, keys: &[u32; BATCH], ranks: &mut [usize; BATCH]) {
    rank_batch_inline(tree, keys, ranks);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rank_avx2(tree: Tree<'_>, key: u32) -> usize {
    rank_inline(tree, key)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn rank_batch_avx2(tree: Tree<'_>, keys: &[u32; BATCH], ranks: &mut [usize; BATCH]) {
    rank_batch_inline(tree, keys, ranks);
}

#[inline(always)]
fn rank_inline(tree: Tree<'_>, key: u32) -> usize {
    let mut group = 0;
    for level in (0..tree.shape.levels()).rev() {
        group = descend(&tree, level, group, key);
    }
    fetch(&tree, group);
    rank_in_group(tree.column, group, key)
}

#[inline(always)]
fn rank_batch_inline(tree: Tree<'_>, keys: &[u32; BATCH], ranks: &mut [usize; BATCH]) {
    let mut groups = [0; BATCH];
    for level in (0..tree.shape.levels()).rev() {
        for (group, &key) in groups.iter_mut().zip(keys) {
            *group = descend(&tree, level, *group, key);
        }
    }
    for &group in &groups {
        fetch(&tree, group);
    }
    for ((rank, &group), &key) in ranks.iter_mut().zip(&groups).zip(keys) {
        *rank = rank_in_group(tree.column, group, key);
    }
}

/// From a node of `level` to the group below that may hold `key`.
#[inline(always)]
fn descend(tree: &Tree<'_>, level: usize, group: usize, key: u32) -> usize {
    let node = &tree.nodes[tree.shape.first_node(level) + group];
    let below = group * NODE_KEYS + count_at_most(node, key).saturating_sub(1);
    // Padding of the last node counts for the largest key.
    below.min(tree.shape.keys(level) - 1)
}

#[inline(always)]
fn rank_in_group(column: &[u32], group: usize, key: u32) -> usize {
    let start = group * NODE_KEYS;
    match column[start..].first_chunk::<NODE_KEYS>() {
        Some(node) => start + count_at_most(node, key),
        None => start + column[start..].iter().filter(|&&other| other <= key).count(),
    }
}

#[inline(always)]
fn count_at_most(node: &Node, key: u32) -> usize {
    node.iter().map(|&other| u32::from(other <= key)).sum::<u32>() as usize
}

/// Asks for a group of the column and its payload, so that their misses go side by side.
#[inline(always)]
fn fetch(tree: &Tree<'_>, group: usize) {
    let start = group * NODE_KEYS;
    prefetch(tree.column, start);
    prefetch(tree.payload, start);
    prefetch(tree.payload, start + NODE_KEYS / 2);
}

#[inline(always)]
fn prefetch<T>(items: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(item) = items.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; the address is that of an item.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::build_tree;

    #[test]
    fn every_way_to_search_counts_the_same_keys() {
        for keys in [0u32, 1, 15, 16, 17, 255, 256, 257, 4096, 4113, 70_001] {
            let column: Vec<u32> = (0..keys).map(|key| key * 7 + 3).collect();
            let shape = TreeShape::over(keys);
            let mut nodes = vec![[0; NODE_KEYS]; shape.nodes()];
            build_tree(&column, &mut nodes);
            let tree = Tree { shape: &shape, nodes: &nodes, column: &column, payload: &[] };
            let mut asked: Vec<u32> = (0..2000u32)
                .map(|step| step.wrapping_mul(2_654_435_761) % (keys * 7 + 9))
                .collect();
            asked.extend([0, 2, 3, keys * 7, u32::MAX - 1, u32::MAX]);
            for &key in &asked {
                let expected = column.partition_point(|&other| other <= key);
                assert_eq!(rank(tree, key), expected, "{keys} keys, {key}");
                assert_eq!(rank_portable(tree, key), expected, "{keys} keys, {key}");
            }
            for keys in asked.as_chunks::<BATCH>().0 {
                let mut ranks = [0; BATCH];
                rank_batch(tree, keys, &mut ranks);
                assert_eq!(ranks, keys.map(|key| rank(tree, key)));
                rank_batch_portable(tree, keys, &mut ranks);
                assert_eq!(ranks, keys.map(|key| rank(tree, key)));
            }
        }
    }

    #[test]
    fn a_tree_out_of_order_gives_a_rank_within_the_column() {
        let column: Vec<u32> = (0..5000u32).map(|key| key.wrapping_mul(2_654_435_761)).collect();
        let shape = TreeShape::over(5000);
        for fill in [0, 1, u32::MAX] {
            let nodes = vec![[fill; NODE_KEYS]; shape.nodes()];
            let tree = Tree { shape: &shape, nodes: &nodes, column: &column, payload: &[] };
            for key in [0, 1, 1 << 31, u32::MAX] {
                assert!(rank(tree, key) <= column.len());
            }
        }
    }
}
