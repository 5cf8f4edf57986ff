//! Searching a column by its static tree, with the vectors that the CPU has.
//!
//! A node is a cache line of 16 keys, and one comparison of vectors tells which of
//! them are too large. The walk over the nodes is written once and compiled for
//! each set of instructions; which one runs is chosen when a run is opened.

use crate::format::tree::{NODE_KEYS, Node, TreeShape};

/// A sorted column and the tree over it.
#[derive(Clone, Copy, Debug)]
pub struct Tree<'a> {
    /// The shape: [`TreeShape::over`] the length of `column`.
    pub shape: &'a TreeShape,
    /// The nodes above the column, at least as many as the shape says.
    pub nodes: &'a [Node],
    /// The keys.
    pub column: &'a [u32],
    /// What is looked at after the key of the same number: fetched while the search ends.
    pub payload: &'a [u64],
}

/// A table over equal ranges of keys, the buckets, that spares a search the upper levels of
/// its tree where a bucket lies in few groups of the column.
#[derive(Clone, Copy, Debug)]
pub struct Buckets<'a> {
    /// The first key of the first bucket.
    pub first_key: u32,
    /// A bucket has `2^shift` keys.
    pub shift: u32,
    /// The group in which the first key of each bucket stands, and last that of the last key.
    pub groups: &'a [u32],
    /// The first keys of all groups but the first: the lowest level of the tree.
    pub group_keys: &'a [u32],
}

/// Which vector instructions a search uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Baseline,
    /// Only made by [`Vectors::detect`], where the CPU has it.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// As above.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Vectors {
    /// Those that every CPU of the target has.
    pub const BASELINE: Vectors = Vectors(Kind::Baseline);

    /// The best ones that this CPU has.
    pub fn detect() -> Vectors {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
        {
            // CPUs that have VBMI2 are those that do not slow down for 512 bits.
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vbmi2");
            return Vectors(if wide { Kind::Avx512 } else { Kind::Avx2 });
        }
        Vectors::BASELINE
    }
}

/// A search, compiled once for each set of instructions.
pub trait Search {
    /// What it finds.
    type Output;

    /// The search, with `N` to compare nodes. To be `#[inline(always)]`, or it does not
    /// become part of what is compiled for the instructions.
    fn run<N: CompareNode>(self) -> Self::Output;
}

/// Runs a search with the instructions of `vectors`.
#[inline]
pub fn search<T: Search>(vectors: Vectors, task: T) -> T::Output {
    match vectors.0 {
        Kind::Baseline => task.run::<Baseline>(),
        // SAFETY: this kind is only made where the CPU has what the function is compiled for.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx2 => unsafe { search_avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kind::Avx512 => unsafe { search_avx512(task) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
fn search_avx2<T: Search>(task: T) -> T::Output {
    task.run::<Avx2>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,popcnt")]
fn search_avx512<T: Search>(task: T) -> T::Output {
    task.run::<Avx512>()
}

/// A way to compare the keys of a node; the ways there are stay inside this module.
pub trait CompareNode: sealed::Sealed {
    /// How many keys of a sorted node are at most `key`; for others some number up to 16.
    fn count_at_most(node: &Node, key: u32) -> usize;
}

mod sealed {
    pub trait Sealed {}
}

#[derive(Debug)]
struct Baseline;

impl sealed::Sealed for Baseline {}

impl CompareNode for Baseline {
    /// Unsigned order by signed comparisons: the highest bits are flipped first.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn count_at_most(node: &Node, key: u32) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: every x86-64 CPU has SSE2. The loads need no alignment, and read 4 of
        // the 16 keys each.
        let mask = unsafe {
            let flip = _mm_set1_epi32(i32::MIN);
            let key = _mm_xor_si128(_mm_set1_epi32(key as i32), flip);
            let larger = |quarter: usize| {
                let keys = _mm_loadu_si128(node.as_ptr().add(4 * quarter).cast());
                _mm_cmpgt_epi32(_mm_xor_si128(keys, flip), key)
            };
            let low = _mm_packs_epi32(larger(0), larger(1));
            let high = _mm_packs_epi32(larger(2), larger(3));
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
        };
        (mask | 1 << NODE_KEYS).trailing_zeros() as usize
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    fn count_at_most(node: &Node, key: u32) -> usize {
        // Wrapping: a check on each addition would keep the loop from becoming vectors.
        node.iter().fold(0u32, |count, &other| count.wrapping_add(u32::from(other <= key))) as usize
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug)]
struct Avx2;

#[cfg(target_arch = "x86_64")]
impl sealed::Sealed for Avx2 {}

#[cfg(target_arch = "x86_64")]
impl CompareNode for Avx2 {
    #[inline(always)]
    fn count_at_most(node: &Node, key: u32) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: only `search_avx2` names this type, and it is compiled for AVX2. The
        // loads need no alignment, and read 8 of the 16 keys each.
        let mask = unsafe {
            let key = _mm256_set1_epi32(key as i32);
            let low = _mm256_loadu_si256(node.as_ptr().cast());
            let high = _mm256_loadu_si256(node.as_ptr().add(8).cast());
            let low = _mm256_cmpeq_epi32(_mm256_max_epu32(low, key), key);
            let high = _mm256_cmpeq_epi32(_mm256_max_epu32(high, key), key);
            // Two bits a key, in no order that matters.
            _mm256_movemask_epi8(_mm256_packs_epi32(low, high)) as u32
        };
        (mask.count_ones() / 2) as usize
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Debug)]
struct Avx512;

#[cfg(target_arch = "x86_64")]
impl sealed::Sealed for Avx512 {}

#[cfg(target_arch = "x86_64")]
impl CompareNode for Avx512 {
    #[inline(always)]
    fn count_at_most(node: &Node, key: u32) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: only `search_avx512` names this type, and it is compiled for AVX-512. The
        // load needs no alignment, and reads the 16 keys.
        let mask = unsafe {
            let keys = _mm512_loadu_si512(node.as_ptr().cast());
            _mm512_cmple_epu32_mask(keys, _mm512_set1_epi32(key as i32))
        };
        mask.count_ones() as usize
    }
}

/// How many keys of the column are at most `key`, for a column and tree in order;
/// for others some number up to the length of the column.
#[inline(always)]
pub fn rank<N: CompareNode>(tree: Tree<'_>, key: u32) -> usize {
    let group = group_from_root::<N>(tree, key);
    let start = group.wrapping_mul(NODE_KEYS);
    prefetch(tree.payload, start);
    prefetch(tree.payload, start.wrapping_add(NODE_KEYS / 2));
    rank_in_group::<N>(tree.column, group, key)
}

/// The number of the group of the column that may hold `key`; for a column or tree out of
/// order, and the largest key, any number.
#[inline(always)]
pub fn group_from_root<N: CompareNode>(tree: Tree<'_>, key: u32) -> usize {
    let mut group = 0;
    for &first_node in tree.shape.first_nodes() {
        group = descend::<N>(&tree, first_node, group, key);
    }
    group
}

/// As [`group_from_root`], by a table; `None` where that leads to too many groups.
#[inline(always)]
pub fn group_in_bucket<N: CompareNode>(buckets: Buckets<'_>, key: u32) -> Option<usize> {
    let bucket = key.wrapping_sub(buckets.first_key).wrapping_shr(buckets.shift) as usize;
    let &[first, last] = buckets.groups.get(bucket..)?.first_chunk()?;
    if last.wrapping_sub(first) > NODE_KEYS as u32 {
        return None;
    }
    // The keys of all groups up to `first` are smaller, so that an earlier start does no harm.
    let start = (first as usize).min(buckets.group_keys.len().wrapping_sub(NODE_KEYS));
    let keys = buckets.group_keys.get(start..)?.first_chunk()?;
    Some(start.wrapping_add(N::count_at_most(keys, key)))
}

/// From a node of a level to the child below that may hold `key`.
#[inline(always)]
fn descend<N: CompareNode>(tree: &Tree<'_>, first_node: u32, group: usize, key: u32) -> usize {
    // No closure here: it would not be compiled for the instructions of `N`.
    let in_node = match tree.nodes.get((first_node as usize).wrapping_add(group)) {
        Some(node) => N::count_at_most(node, key),
        // A tree out of order, or the largest key, may lead past the last node.
        None => 0,
    };
    group.wrapping_mul(NODE_KEYS).wrapping_add(in_node)
}

#[inline(always)]
fn rank_in_group<N: CompareNode>(column: &[u32], group: usize, key: u32) -> usize {
    let (nodes, rest) = column.as_chunks::<NODE_KEYS>();
    match nodes.get(group) {
        Some(node) if key < u32::MAX => {
            group.wrapping_mul(NODE_KEYS).wrapping_add(N::count_at_most(node, key))
        }
        _ if key == u32::MAX => column.len(),
        _ => nodes.len() * NODE_KEYS + rest.partition_point(|&other| other <= key),
    }
}

/// Asks the CPU to bring in the cache line of an item, if there is one.
#[inline(always)]
pub fn prefetch<T>(items: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that reads nothing, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(items.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (items, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tree::build_tree;

    struct One<'a>(Tree<'a>, u32);

    impl Search for One<'_> {
        type Output = usize;

        #[inline(always)]
        fn run<N: CompareNode>(self) -> usize {
            rank::<N>(self.0, self.1)
        }
    }

    struct InBucket<'a>(Buckets<'a>, u32);

    impl Search for InBucket<'_> {
        type Output = Option<usize>;

        #[inline(always)]
        fn run<N: CompareNode>(self) -> Option<usize> {
            group_in_bucket::<N>(self.0, self.1)
        }
    }

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
                for vectors in [Vectors::BASELINE, Vectors::detect()] {
                    assert_eq!(search(vectors, One(tree, key)), expected, "{keys} keys, {key}");
                }
            }
        }
    }

    #[test]
    fn a_bucket_leads_to_the_group_that_the_tree_leads_to() {
        let column: Vec<u32> = (0..5000u32).map(|key| key * 7 + 30 + key % 5).collect();
        let shape = TreeShape::over(5000);
        let mut nodes = vec![[0; NODE_KEYS]; shape.nodes()];
        build_tree(&column, &mut nodes);
        let group_keys = nodes[shape.lowest_level()].as_flattened();
        for (shift, is_narrow) in [(5, true), (9, true), (10, true), (12, false)] {
            let starts = (0..=column[4999] >> shift).map(|bucket| 30 + (bucket << shift));
            let groups: Vec<u32> = starts
                .map(|start| group_keys.partition_point(|&key| key <= start) as u32)
                .chain([312])
                .collect();
            let buckets = Buckets { first_key: 30, shift, groups: &groups, group_keys };
            for key in (30..column[4999]).step_by(3) {
                let expected = column.partition_point(|&other| other <= key).div_ceil(NODE_KEYS);
                for vectors in [Vectors::BASELINE, Vectors::detect()] {
                    let found = search(vectors, InBucket(buckets, key));
                    assert_eq!(found, is_narrow.then_some(expected - 1), "{key}, {shift}");
                }
            }
            // Before the first bucket, and past the last.
            assert_eq!(search(Vectors::detect(), InBucket(buckets, 29)), None);
            assert_eq!(search(Vectors::detect(), InBucket(buckets, 1 << 30)), None);
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
                assert!(search(Vectors::detect(), One(tree, key)) <= column.len());
            }
        }
    }
}
