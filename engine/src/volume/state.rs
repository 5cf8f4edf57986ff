//! What a volume knows, under one lock: buffer, maps, sources, free space.

use std::sync::Arc;

use super::allocator::{Allocator, BlockRange};
use super::buffer::WriteBuffer;
use super::epoch::Epochs;
use super::level::{Level, Part, own_blocks};
use super::spill::Spill;
use super::top::{Source, Top};
use crate::chain::{Snapshot, View};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{BlockChecksums, Extent, Lookup, Span, Target};
use crate::format::LayerRef;
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// The mutable state of a volume. Reads ask buffer, pending, under way, committed, the parent.
#[derive(Debug)]
pub struct State {
    pub top: Arc<Top>,
    /// What lies below the top.
    pub view: Arc<View>,
    pub buffer: WriteBuffer,
    /// Blocks that have a place but are not in the file yet.
    pub spills: Vec<Arc<Spill>>,
    pub spill_number: u64,
    /// How many bytes of data went into the file since the volume was opened.
    pub spilled_bytes: u64,
    /// How many of them are surely durable. Two syncs may be under way at once, a commit's and
    /// a checkpoint's: each takes it as far as it had come when it began.
    pub synced_bytes: u64,
    /// Bytes of a buffer that was written, to be used again.
    pub spare: Vec<u8>,
    pub pending: Level,
    pub under_way: Option<Arc<Level>>,
    pub committed: Level,
    /// Checksums of blocks that no run holds yet.
    pub checksums: BlockChecksums,
    /// The table of sources: entry `k - 1` is source `k`.
    pub sources: Vec<Source>,
    pub sources_committed: usize,
    /// How many of them the table holds that the header names.
    pub sources_in_header: usize,
    pub allocator: Allocator,
    /// Snapshots whose blocks were cloned: held until the commit that records that is durable.
    pub held: Vec<Snapshot>,
    pub held_under_way: Vec<Snapshot>,
    pub volume_bytes: u64,
    pub volume_bytes_committed: u64,
    /// Grows with each change: what a flush waits for.
    pub changes: u64,
    /// A snapshot is being frozen: nothing is given a place until it is done.
    pub freezing: bool,
    /// Why writes are refused.
    pub poison: Option<Arc<str>>,
}

impl State {
    /// How many bytes of data are in the file and may not be durable.
    pub fn unsynced_bytes(&self) -> u64 {
        self.spilled_bytes - self.synced_bytes
    }

    /// What the top says about `address`; silent where the parent is to be asked.
    pub fn find(&self, address: BlockAddress) -> Result<Span> {
        let mut end = BlockAddress(crate::units::ADDRESS_END);
        for level in self.levels() {
            let span = level.find(address)?;
            end = end.min(span.end);
            match span.target {
                None => {}
                Some(Target::Hole) => return Ok(Span { target: None, end }),
                Some(target) => return Ok(Span { target: Some(target), end }),
            }
        }
        Ok(Span { target: None, end })
    }

    /// Whether any level of the top has an entry, a hole included, that meets `[start, end)`.
    pub fn mentions(&self, start: BlockAddress, end: BlockAddress) -> Result<bool> {
        for level in self.levels() {
            let span = level.find(start)?;
            if span.target.is_some() || span.end < end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The checksum of the data block that the top maps at `address`.
    pub fn checksum(
        &self,
        address: BlockAddress,
        source: SourceIndex,
        block: FileBlock,
    ) -> Result<u32> {
        if let Some(checksum) = self.checksums.get(source, block) {
            return Ok(checksum);
        }
        for level in self.levels() {
            if level.find(address)?.target.is_some() {
                if let Some(checksum) = level.checksum(address)? {
                    return Ok(checksum);
                }
                break;
            }
        }
        Err(Error::corrupt("look up a block checksum", "address", address, "one with a checksum")
            .in_file(&self.top.path))
    }

    /// Copies a part of a block that is not in the file yet.
    pub fn read_spilled(&self, block: FileBlock, offset: usize, buffer: &mut [u8]) -> bool {
        self.spills.iter().any(|spill| spill.read(block, offset, buffer))
    }

    /// Puts an extent into the pending map; blocks that only the pending map saw are given back.
    pub fn insert_pending(&mut self, extent: Extent, epochs: &Epochs) {
        let State { pending, allocator, .. } = self;
        pending.map.insert(extent, &mut |dropped| {
            if let Some((first, count)) = own_blocks(&dropped) {
                allocator.release(BlockRange { first, count }, epochs);
            }
        });
    }

    /// The source of an extent; an error where the table of a file lacks it.
    pub fn source(&self, source: SourceIndex) -> Result<&Source> {
        let entry = (source.0 as usize).checked_sub(1).and_then(|at| self.sources.get(at));
        entry.ok_or_else(|| {
            let expected = format!("1 to {}", self.sources.len());
            Error::corrupt("look up a source", "source", source.0, expected).in_file(&self.top.path)
        })
    }

    /// The index of a source, added to the table where it is new.
    pub fn source_index(&mut self, reference: &LayerRef) -> SourceIndex {
        let known = self.sources.iter().position(|source| source.reference.id == reference.id);
        let at = known.unwrap_or_else(|| {
            self.sources.push(Source::new(*reference));
            self.sources.len() - 1
        });
        SourceIndex(at as u32 + 1)
    }

    /// Fails where an earlier write or sync failed.
    pub fn check_poison(&self, operation: &str) -> Result<()> {
        match &self.poison {
            None => Ok(()),
            Some(cause) => Err(Error::new(
                ErrorKind::Poisoned,
                format!("{operation}: refused since an earlier error ({cause}); reopen to recover"),
            )
            .in_file(&self.top.path)),
        }
    }

    /// From here on reads show the last durable commit and nothing later, and writes say why.
    pub fn poison_with(&mut self, cause: &Error) {
        if self.poison.is_some() {
            return;
        }
        self.poison = Some(cause.to_string().into());
        self.buffer.take(Vec::new());
        self.spills.clear();
        self.pending = Level::default();
        self.under_way = None;
        self.volume_bytes = self.volume_bytes_committed;
    }

    /// Keeps the checksums that an extent in memory still needs; the others are in runs now.
    pub fn prune_checksums(&mut self) {
        let mut kept = BlockChecksums::new();
        let old = &self.checksums;
        let mut keep = |extent: Extent| {
            if let Target::Data { source, block } = extent.target {
                for index in 0..extent.length {
                    let block = FileBlock(block.0 + index);
                    if let Some(checksum) = old.get(source, block) {
                        kept.set(source, block, checksum);
                    }
                }
            }
        };
        for level in self.levels() {
            level.map.iter().for_each(&mut keep);
            for part in &level.parts {
                if let Part::Map(map) = part {
                    map.iter().for_each(&mut keep);
                }
            }
        }
        self.checksums = kept;
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        [Some(&self.pending), self.under_way.as_deref(), Some(&self.committed)]
            .into_iter()
            .flatten()
    }
}
