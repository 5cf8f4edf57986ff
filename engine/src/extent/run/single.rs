//! Looking addresses up where all extents begin in one superblock: with as few steps as possible.
//!
//! A look-up is a chain of cache misses, and what a CPU can begin of the next ones while it
//! waits is bounded by the instructions in between. So it takes three steps: a table leads to
//! a few groups of 16 extents, their first keys to one of them, and its keys, whose words are
//! on their way by then, to the extent. Where that is not plain, the tree is asked.

use std::hint::select_unpredictable;
use std::io;

use super::Run;
use crate::error::Result;
use crate::extent::{Span, Target};
use crate::format::run::{CODE_DATA, CODE_HOLE, CODE_ZERO, RunHead, WordWidths};
use crate::format::tree::{NODE_KEYS, Node, TreeShape};
use crate::memory::filled;
use crate::raw::{self, Buckets, Column, CompareNode, Search, Tree};
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// Look-ups that are made side by side.
const BATCH: usize = 16;
/// The part of an address that is the same in all of a superblock.
const HIGH_MASK: u64 = !(u32::MAX as u64);
/// Extents for each bucket: a few groups, so that most buckets are narrow enough where extents
/// lie twice or thrice as dense as on average.
const EXTENTS_PER_BUCKET: usize = 64;
/// Buckets of a run at most: 256 KiB of heap.
const BUCKETS_MAX: usize = 1 << 16;

/// The words of a group of extents.
pub(super) type GroupWords = [u64; NODE_KEYS];

/// The one superblock of a run, if that has a tree.
#[derive(Debug)]
pub(super) struct Single {
    columns: SingleColumns,
    /// The first address that an extent maps, and how many addresses follow in the superblock.
    first: u64,
    addresses: u64,
    code_mask: u32,
    length_shift: u32,
    length_mask: u64,
    block_shift: u32,
    bucket_shift: u32,
    bucket_groups: Box<[u32]>,
    shape: TreeShape,
}

/// What of a run is read as whole groups.
#[derive(Debug)]
pub(super) struct SingleColumns {
    /// The lowest level of the tree.
    pub(super) group_keys: Column<u32>,
    /// The lows, besides those that fill no group.
    pub(super) keys: Column<Node>,
    /// The words of these.
    pub(super) words: Column<GroupWords>,
}

impl Single {
    /// For the run with this head, whose tree has this shape.
    ///
    /// Errors: where there is no memory for its table.
    pub(super) fn of(
        head: &RunHead,
        shape: TreeShape,
        columns: SingleColumns,
    ) -> io::Result<Single> {
        let superblock_end = (head.first.0 | u64::from(u32::MAX)).saturating_add(1);
        let WordWidths { source_bits, length_bits } = head.widths;
        let extents = head.extents as usize;
        // What fills up the last node is no key.
        let group_keys = &columns.group_keys[..extents.div_ceil(NODE_KEYS) - 1];
        let (bucket_shift, bucket_groups) = buckets(head.first.0 as u32, group_keys, extents)?;
        Ok(Single {
            columns,
            first: head.first.0,
            addresses: head.end.0.min(superblock_end) - head.first.0,
            code_mask: head.widths.wide_code(),
            length_shift: source_bits.into(),
            length_mask: (1 << length_bits) - 1,
            block_shift: (source_bits + length_bits).into(),
            bucket_shift,
            bucket_groups,
            shape,
        })
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&self.bucket_groups[..])
    }

    #[inline(always)]
    fn buckets(&self) -> Buckets<'_> {
        Buckets {
            first_key: self.first as u32,
            shift: self.bucket_shift,
            groups: &self.bucket_groups,
            group_keys: &self.columns.group_keys,
        }
    }
}

impl Run {
    /// What the run says about `address`; as [`ExtentMap::find`](crate::extent::ExtentMap::find).
    #[inline]
    pub fn find(&self, address: BlockAddress) -> Result<Span> {
        raw::search(self.vectors, FindByTable { run: self, address })
    }

    /// [`find`](Self::find) for each address, up to 16 look-ups side by side.
    ///
    /// # Panics
    ///
    /// Where `spans` are not as many as `addresses`.
    pub fn find_many(&self, addresses: &[BlockAddress], spans: &mut [Span]) -> Result<()> {
        assert_eq!(addresses.len(), spans.len(), "one span for each address");
        match &self.single {
            Some(single) => {
                raw::search(self.vectors, FindMany { run: self, single, addresses, spans })
            }
            None => addresses
                .iter()
                .zip(spans)
                .try_for_each(|(&address, span)| self.find_any(address).map(|found| *span = found)),
        }
    }

    /// As [`find`](Self::find), where the table does not lead to an answer.
    #[inline(never)]
    fn find_by_tree(&self, address: BlockAddress) -> Result<Span> {
        raw::search(self.vectors, FindByTree { run: self, address })
    }

    /// Whether `address` lies in the one superblock, and everything was verified.
    #[inline(always)]
    fn single_serves(&self, single: &Single, address: BlockAddress) -> bool {
        address.0.wrapping_sub(single.first) < single.addresses && self.chunks.mapping_verified()
    }

    #[inline(always)]
    fn single_tree<'a>(&'a self, single: &'a Single) -> Tree<'a> {
        Tree {
            shape: &single.shape,
            nodes: &self.low_trees,
            column: &self.lows,
            payload: &self.words,
        }
    }

    /// The plain answer for an address of the one superblock that stands behind the first
    /// `below` keys of a group; `None` where it takes more than a word and two keys to tell, or
    /// where these do not agree.
    ///
    /// Extents that are out of order lead to some answer, but to none that ends
    /// at or before the address.
    #[inline(always)]
    fn span_in_group(
        &self,
        single: &Single,
        address: u64,
        group: usize,
        below: usize,
    ) -> Option<Span> {
        let slot = below.wrapping_sub(1);
        let &start = single.columns.keys.get(group)?.get(slot)?;
        let &word = single.columns.words.get(group)?.get(slot)?;
        let base = address & HIGH_MASK;
        let start = base | u64::from(start);
        let into = address.wrapping_sub(start);
        let length = word.wrapping_shr(single.length_shift) & single.length_mask;
        let code = word as u32 & single.code_mask;
        // Whether an address is mapped is what nobody can foresee, the CPU's branches included.
        let is_mapped = into < length;
        let rank = group.wrapping_mul(NODE_KEYS).wrapping_add(below);
        let next = base | u64::from(self.lows.get(rank).copied().unwrap_or(0));
        let end = select_unpredictable(is_mapped, start.wrapping_add(length), next);
        if code == single.code_mask || end <= address {
            return None;
        }
        let target = match code {
            CODE_HOLE => Target::Hole,
            CODE_ZERO => Target::Zero,
            _ => Target::Data {
                source: SourceIndex(code.wrapping_sub(CODE_DATA)),
                block: FileBlock(word.wrapping_shr(single.block_shift).wrapping_add(into)),
            },
        };
        Some(Span { target: is_mapped.then_some(target), end: BlockAddress(end) })
    }

    /// [`span_in_group`](Self::span_in_group) for the group that may hold the address.
    #[inline(always)]
    fn find_in_group<N: CompareNode>(
        &self,
        single: &Single,
        address: u64,
        group: usize,
    ) -> Option<Span> {
        prefetch_words(single, group, 0);
        prefetch_words(single, group, NODE_KEYS / 2);
        let below = N::count_at_most(single.columns.keys.get(group)?, address as u32);
        self.span_in_group(single, address, group, below)
    }
}

#[inline(always)]
fn prefetch_words(single: &Single, group: usize, slot: usize) {
    let words = single.columns.words.as_flattened();
    raw::prefetch(words, group.wrapping_mul(NODE_KEYS).wrapping_add(slot));
}

struct FindByTable<'a> {
    run: &'a Run,
    address: BlockAddress,
}

impl Search for FindByTable<'_> {
    type Output = Result<Span>;

    #[inline(always)]
    fn run<N: CompareNode>(self) -> Result<Span> {
        let FindByTable { run, address } = self;
        if let Some(single) = &run.single
            && run.single_serves(single, address)
            && let Some(group) = raw::group_in_bucket::<N>(single.buckets(), address.0 as u32)
            && let Some(span) = run.find_in_group::<N>(single, address.0, group)
            && !run.bytes.faulted()
        {
            return Ok(span);
        }
        run.find_by_tree(address)
    }
}

struct FindByTree<'a> {
    run: &'a Run,
    address: BlockAddress,
}

impl Search for FindByTree<'_> {
    type Output = Result<Span>;

    #[inline(always)]
    fn run<N: CompareNode>(self) -> Result<Span> {
        let FindByTree { run, address } = self;
        if let Some(single) = &run.single
            && run.single_serves(single, address)
        {
            let group = raw::group_from_root::<N>(run.single_tree(single), address.0 as u32);
            if let Some(span) = run.find_in_group::<N>(single, address.0, group)
                && !run.bytes.faulted()
            {
                return Ok(span);
            }
        }
        run.find_any(address)
    }
}

struct FindMany<'a> {
    run: &'a Run,
    single: &'a Single,
    addresses: &'a [BlockAddress],
    spans: &'a mut [Span],
}

impl Search for FindMany<'_> {
    type Output = Result<()>;

    /// Step by step for a whole batch, so that its cache misses are side by side.
    #[inline(always)]
    fn run<N: CompareNode>(self) -> Result<()> {
        let FindMany { run, single, addresses, spans } = self;
        let keys = &single.columns.keys;
        let (batches, rest) = addresses.as_chunks::<BATCH>();
        let (span_batches, span_rest) = spans.as_chunks_mut::<BATCH>();
        for (batch, spans) in batches.iter().zip(span_batches) {
            let are_plain = batch.iter().all(|&address| run.single_serves(single, address));
            let mut groups = [0; BATCH];
            for (group, address) in groups.iter_mut().zip(batch) {
                let key = address.0 as u32;
                *group = match raw::group_in_bucket::<N>(single.buckets(), key) {
                    Some(group) => group,
                    None => raw::group_from_root::<N>(run.single_tree(single), key),
                };
                raw::prefetch(keys, *group);
            }
            let mut counts = [0; BATCH];
            for lane in 0..BATCH {
                if let Some(keys) = keys.get(groups[lane]) {
                    counts[lane] = N::count_at_most(keys, batch[lane].0 as u32);
                }
                prefetch_words(single, groups[lane], counts[lane].wrapping_sub(1));
            }
            for lane in 0..BATCH {
                let address = batch[lane].0;
                spans[lane] = match run.span_in_group(single, address, groups[lane], counts[lane]) {
                    Some(span) if are_plain => span,
                    _ => run.find_any(batch[lane])?,
                };
            }
        }
        for (&address, span) in rest.iter().zip(span_rest) {
            *span = run.find_any(address)?;
        }
        run.intact()
    }
}

/// How many keys each bucket has, as a power of two, and the group in which each begins. Keys
/// that are out of order give some table, never a group that there is not.
fn buckets(first_key: u32, group_keys: &[u32], extents: usize) -> io::Result<(u32, Box<[u32]>)> {
    let buckets_max = (extents / EXTENTS_PER_BUCKET).clamp(1, BUCKETS_MAX);
    let span = group_keys.last().map_or(0, |last| last.saturating_sub(first_key)) as usize;
    let mut shift = 0;
    while span >> shift >= buckets_max {
        shift += 1;
    }
    let last = (span >> shift) + 1;
    // First how many groups begin in the bucket before or where it ends, then in all before.
    let mut groups = filled(last + 1, 0)?.into_boxed_slice();
    for key in group_keys {
        let into = u64::from(key.saturating_sub(first_key));
        let bucket = into.div_ceil(1 << shift) as usize;
        groups[bucket.min(last)] += 1;
    }
    let mut before = 0;
    for group in &mut groups {
        before += *group;
        *group = before;
    }
    Ok((shift, groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_in_the_group_that_holds_its_first_key() {
        let columns: [Vec<u32>; 4] = [
            (0..2000).map(|key| 77 + key * 3).collect(),
            (0..2000).map(|key| key * key / 4 + key).collect(),
            (0..2000).map(|key| if key < 1999 { 5 + key } else { u32::MAX }).collect(),
            (0..2000).map(|key| u32::MAX - 2000 + key).collect(),
        ];
        for column in columns {
            let group_keys: Vec<u32> = column.iter().copied().step_by(16).skip(1).collect();
            let (shift, groups) = buckets(column[0], &group_keys, column.len()).unwrap();
            assert!((2..=2000 / EXTENTS_PER_BUCKET + 1).contains(&groups.len()));
            for (bucket, &group) in groups.iter().enumerate() {
                let first = u64::from(column[0]) + ((bucket as u64) << shift);
                let expected = group_keys.partition_point(|&key| u64::from(key) <= first);
                assert_eq!(group as usize, expected, "bucket {bucket}");
            }
            assert_eq!(groups.last(), Some(&(group_keys.len() as u32)));
        }
    }

    #[test]
    fn keys_out_of_order_give_no_group_that_there_is_not() {
        let group_keys: Vec<u32> = (0..500u32).map(|key| key.wrapping_mul(2_654_435_761)).collect();
        let (_, groups) = buckets(1 << 31, &group_keys, 500 * NODE_KEYS).unwrap();
        assert!(groups.iter().all(|&group| group <= 500));
    }
}
