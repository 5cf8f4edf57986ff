//! Looking addresses up in a run, whatever its shape.

use super::Run;
use crate::error::{Error, Result};
use crate::extent::{Lookup, Span, Target};
use crate::format::run::{EXTENTS_PER_NODE, SAMPLE_EXTENTS, TREE_EXTENTS_MIN};
use crate::format::tree::{NODE_KEYS, TreeShape};
use crate::raw::{self, CompareNode, Search, Tree};
use crate::units::{ADDRESS_END, BlockAddress};

/// Where an address stands among the extents of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// How many extents begin at or below the address.
    pub(super) rank: usize,
    /// The superblock of the last of them.
    superblock: usize,
}

impl Run {
    /// The checksum of the data block mapped at `address`.
    pub fn checksum(&self, address: BlockAddress) -> Result<u32> {
        Ok(self.checksums(address, 1)?[0])
    }

    /// The checksums of the `blocks` data blocks mapped from `address` on, which must
    /// lie in one extent.
    pub fn checksums(&self, address: BlockAddress, blocks: u64) -> Result<&[u32]> {
        let bad = |found: &str| {
            let expected = format!("{blocks} data blocks of one extent from {address}");
            let error = Error::invalid("look up block checksums", "address", found, expected);
            error.in_file(&self.origin.path)
        };
        if self.head.block_checksums.is_none() {
            return Err(bad("a run without block checksums"));
        }
        let rank = match self.outside(address) {
            Some(_) => 0,
            None => self.place(address)?.rank,
        };
        let Some(index) = rank.checked_sub(1) else { return Err(bad("no extent")) };
        let extent = self.extent_verified(index)?;
        let Some(into) = address.0.checked_sub(extent.start.0) else {
            return Err(self.out_of_order(index));
        };
        let room = extent.length.saturating_sub(into);
        if !matches!(extent.target, Target::Data { .. }) || room < blocks {
            return Err(bad("other extents"));
        }
        self.checksum_column(self.checksums_before(index)?.saturating_add(into), blocks)
    }

    /// The block checksums `first..first + count` of the run.
    pub(in crate::extent) fn checksum_column(&self, first: u64, count: u64) -> Result<&[u32]> {
        let end = first.saturating_add(count);
        if end > self.block_checksums.len() as u64 {
            let expected = format!("{} at most", self.block_checksums.len());
            let offset = self.layout.samples.offset;
            return Err(self.damaged("checksum samples", offset, end, expected));
        }
        let range = first as usize..end as usize;
        self.chunks
            .verify_items(&self.bytes, self.layout.block_checksums, 4, range.clone())
            .map_err(|error| self.locate_error(error))?;
        self.intact()?;
        Ok(&self.block_checksums[range])
    }

    /// How many block checksums belong to the extents before `index`.
    pub(super) fn checksums_before(&self, index: usize) -> Result<u64> {
        let sample = index / SAMPLE_EXTENTS as usize;
        self.chunks
            .verify_items(&self.bytes, self.layout.samples, 8, sample..sample + 1)
            .map_err(|error| self.locate_error(error))?;
        let mut before = self.samples[sample];
        let mut at = sample * SAMPLE_EXTENTS as usize;
        self.verify_extents(at..index)?;
        let mut superblock = self.superblock_of(at);
        while at < index {
            if at >= self.firsts[superblock + 1] as usize {
                superblock += 1;
            }
            let extent = self.extent(superblock, at)?;
            if let Target::Data { .. } = extent.target {
                before = before.saturating_add(extent.length);
            }
            at += 1;
        }
        Ok(before)
    }

    /// As [`find`](Self::find), for any run and any address: each step checks what it relies on.
    #[inline(never)]
    pub(super) fn find_any(&self, address: BlockAddress) -> Result<Span> {
        if let Some(outside) = self.outside(address) {
            return Ok(outside);
        }
        let place = self.place(address)?;
        let span = self.span(address, place)?;
        self.intact()?;
        Ok(span)
    }

    /// The answer for addresses before the first extent or past the last.
    #[inline]
    fn outside(&self, address: BlockAddress) -> Option<Span> {
        if address >= self.head.end {
            return Some(Span { target: None, end: BlockAddress(ADDRESS_END) });
        }
        (address < self.head.first).then_some(Span { target: None, end: self.head.first })
    }

    /// Where `address` stands; what the search looked at of the extents is verified.
    #[inline]
    pub(super) fn place(&self, address: BlockAddress) -> Result<Place> {
        let (high, low) = ((address.0 >> 32) as u32, address.0 as u32);
        let superblocks = Tree {
            shape: &self.high_shape,
            nodes: &self.high_tree,
            column: &self.highs,
            payload: &[],
        };
        // The tree was verified at open, but is not trusted to be in order.
        let rank = self.rank(superblocks, high);
        let Some(superblock) = rank.checked_sub(1) else {
            return Ok(Place { rank: 0, superblock: 0 });
        };
        let (first, past) = (self.firsts[superblock] as usize, self.firsts[rank] as usize);
        if self.highs[superblock] != high {
            return Ok(Place { rank: past, superblock });
        }
        let count = past - first;
        let rank = if count as u64 >= TREE_EXTENTS_MIN {
            let shape = TreeShape::over(count as u32);
            let rank = self.rank(self.tree(&shape, first, past), low);
            self.verify_around(first, past, rank)?;
            rank
        } else {
            self.verify_extents(first..past)?;
            self.lows[first..past].partition_point(|&other| other <= low)
        };
        // Below all of its superblock: the one before may reach into it.
        let superblock = superblock - usize::from(rank == 0 && superblock > 0);
        Ok(Place { rank: first + rank, superblock })
    }

    fn rank(&self, tree: Tree<'_>, key: u32) -> usize {
        raw::search(self.vectors, Rank { tree, key })
    }

    #[inline(always)]
    fn tree<'a>(&'a self, shape: &'a TreeShape, first: usize, past: usize) -> Tree<'a> {
        Tree {
            shape,
            nodes: &self.low_trees[first / EXTENTS_PER_NODE as usize..],
            column: &self.lows[first..past],
            payload: &self.words[first..past],
        }
    }

    /// Verifies the groups of extents around `rank` among `first..past`: those that
    /// the end of the search looked at.
    #[inline]
    fn verify_around(&self, first: usize, past: usize, rank: usize) -> Result<()> {
        if self.chunks.mapping_verified() {
            return Ok(());
        }
        let start = rank.saturating_sub(1) / NODE_KEYS * NODE_KEYS;
        let end = (rank / NODE_KEYS + 1) * NODE_KEYS;
        self.verify_extents(first + start..past.min(first + end))
    }

    /// What the run says about an address inside of it.
    #[inline]
    fn span(&self, address: BlockAddress, place: Place) -> Result<Span> {
        if let Some(index) = place.rank.checked_sub(1) {
            self.verify_extents(index..index + 1)?;
            let extent = self.extent(place.superblock, index)?;
            let Some(into) = address.0.checked_sub(extent.start.0) else {
                return Err(self.out_of_order(index));
            };
            if into < extent.length {
                return Ok(Span { target: Some(extent.target.advanced(into)), end: extent.end() });
            }
        }
        self.gap(address, place)
    }

    fn gap(&self, address: BlockAddress, place: Place) -> Result<Span> {
        let next = place.rank;
        if next >= self.lows.len() {
            return Err(self.out_of_order(next.saturating_sub(1)));
        }
        self.verify_extents(next..next + 1)?;
        let mut superblock = place.superblock;
        if next >= self.firsts[superblock + 1] as usize {
            superblock += 1;
        }
        let end = u64::from(self.highs[superblock]) << 32 | u64::from(self.lows[next]);
        // An answer that ends where it begins would keep callers in a loop.
        match end > address.0 {
            true => Ok(Span { target: None, end: BlockAddress(end) }),
            false => Err(self.out_of_order(next)),
        }
    }
}

struct Rank<'a> {
    tree: Tree<'a>,
    key: u32,
}

impl Search for Rank<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<N: CompareNode>(self) -> usize {
        raw::rank::<N>(self.tree, self.key)
    }
}

impl Lookup for Run {
    fn find(&self, address: BlockAddress) -> Result<Span> {
        Run::find(self, address)
    }
}
