//! Extents, the mutable map, and the packed, immutable run of extents.

mod checksums;
mod fold;
mod map;
mod merge;
mod run;

pub use checksums::BlockChecksums;
pub use fold::fold_runs;
pub use map::ExtentMap;
pub use merge::{Holes, Joined, Overlay, Stretch, joined, merge, overlay};
pub use run::{EncodedRun, Run, RunBuilder, RunExtents, RunOrigin, encode_run, merge_over_run};

use crate::error::Result;
use crate::units::{ADDRESS_END, BlockAddress, FileBlock, SourceIndex};

/// Where the blocks of an extent come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Ask the parent. Kept as an entry of its own so that a newer map can
    /// take back what an older one of the same layer holds.
    Hole,
    /// Reads as zeros; the parent is hidden.
    Zero,
    /// Consecutive blocks of one source, from `block` on.
    Data {
        /// Which file: an index into the table of sources of the layer or index.
        source: SourceIndex,
        /// The block of the first address.
        block: FileBlock,
    },
}

impl Target {
    /// The target of the address `blocks` further into an extent that begins with `self`.
    #[must_use]
    pub fn advanced(self, blocks: u64) -> Target {
        match self {
            Target::Data { source, block } => {
                Target::Data { source, block: FileBlock(block.0 + blocks) }
            }
            other => other,
        }
    }
}

/// A run of consecutive block addresses with one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The first address.
    pub start: BlockAddress,
    /// How many blocks, at least 1; `start + length` is at most [`ADDRESS_END`].
    pub length: u64,
    /// Where they come from.
    pub target: Target,
}

impl Extent {
    /// The first address past the extent.
    pub fn end(&self) -> BlockAddress {
        debug_assert!(self.length >= 1 && self.length <= ADDRESS_END - self.start.0);
        BlockAddress(self.start.0 + self.length)
    }

    /// The part inside `[start, end)`, if any.
    pub fn clipped(&self, start: BlockAddress, end: BlockAddress) -> Option<Extent> {
        let first = self.start.max(start);
        let past = self.end().min(end);
        (first < past).then(|| Extent {
            start: first,
            length: past.0 - first.0,
            target: self.target.advanced(first.0 - self.start.0),
        })
    }

    /// Whether `next` goes on exactly where `self` ends, so that both are one extent.
    pub fn continues_with(&self, next: &Extent) -> bool {
        self.end() == next.start && self.target.advanced(self.length) == next.target
    }
}

/// What a map says about one address, and how far that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The target of the address that was asked for; `None` where the map is silent.
    pub target: Option<Target>,
    /// The first address past the stretch that the answer (advanced block by block) holds for.
    pub end: BlockAddress,
}

/// Anything that maps addresses: the mutable map, a packed run, a view of a chain.
pub trait Lookup {
    /// What the map says about `address`.
    fn find(&self, address: BlockAddress) -> Result<Span>;
}
