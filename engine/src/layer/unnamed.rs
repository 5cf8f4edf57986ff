//! What the file of a frozen layer holds and nothing names: blocks that its volume had dropped or
//! replaced before it was frozen, and its journal.

use std::ops::Range;
use std::path::Path;

use super::frozen::Layer;
use super::slots::read_header_uncached;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::format::header::HEADER_BYTES;
use crate::format::{Header, LayerState};
use crate::medium::Medium;
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// How much of a file nothing names before that is given back, in bytes: each layer leaves some
/// heads of records, and two syncs cost more than these take.
pub const UNNAMED_BYTES_MIN: u64 = 64 << 10;

/// What came of giving stretches back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// The host has them.
    Done,
    /// The host cannot take a part of a file.
    HostCannot,
    /// The device does not say in both slots that the layer is frozen: nothing was done.
    NotAtRest,
}

/// The blocks that hold the slots of a header and the pieces that it names.
pub fn metadata_blocks(header: &Header) -> impl Iterator<Item = Range<u64>> + '_ {
    let size = header.block_size;
    let pieces = [&header.sources, &header.annotations, &header.free_space].into_iter().flatten();
    // A header names only pieces inside its file.
    let of_piece = move |first: FileBlock, bytes: u64| first.0..first.0 + size.blocks_for(bytes);
    std::iter::once(of_piece(FileBlock(0), HEADER_BYTES))
        .chain(pieces.chain(&header.runs).map(move |piece| of_piece(piece.place, piece.bytes)))
}

impl Layer {
    /// The stretches of blocks of the file, in order, that hold neither slots nor pieces of the header,
    /// nor what its own map or one of `lent` names.
    pub fn unnamed(&self, lent: &[Range<u64>]) -> Result<Vec<Range<u64>>> {
        let mut named: Vec<Range<u64>> = metadata_blocks(self.header()).collect();
        named.extend_from_slice(lent);
        for extent in self.extents_from(BlockAddress(0))? {
            let extent = extent?;
            let Target::Data { source: SourceIndex::OWN, block } = extent.target else { continue };
            // What a run says is only known to lie inside the numbers of blocks.
            let blocks = block.0..block.0.saturating_add(extent.length);
            match named.last_mut() {
                Some(last) if last.end == blocks.start => last.end = blocks.end,
                _ => named.push(blocks),
            }
        }
        named.sort_unstable_by_key(|range| range.start);
        let blocks = self.header().file_bytes >> self.header().block_size.log2();
        let mut unnamed = Vec::new();
        let mut at = 0;
        for range in named.into_iter().chain(std::iter::once(blocks..blocks)) {
            if at < range.start.min(blocks) {
                unnamed.push(at..range.start.min(blocks));
            }
            at = at.max(range.end);
        }
        Ok(unnamed)
    }
}

/// Gives stretches of a frozen layer's file that nothing names back to the host, in bytes.
///
/// Whoever reads the slots must find a frozen layer, which says nothing of these blocks, whatever
/// happens: so both slots are made durable first, and read from the device, which tells what arrived
/// even where an earlier sync has failed (INV-01, INV-03). What a crash takes back of the punches
/// costs space alone.
pub fn give_back(
    medium: &dyn Medium,
    path: &Path,
    stretches: impl IntoIterator<Item = Range<u64>>,
) -> Result<GivenBack> {
    let sync = medium.sync();
    sync.map_err(|error| Error::io("sync a frozen layer", error).in_file(path))?;
    match read_header_uncached(medium, path) {
        Ok(slots) if slots.slots_agree && slots.header.state == LayerState::Frozen => {}
        Ok(_) => return Ok(GivenBack::NotAtRest),
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(GivenBack::NotAtRest),
        Err(error) => return Err(error),
    }
    for stretch in stretches {
        match medium.punch(stretch.start, stretch.end - stretch.start) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(GivenBack::HostCannot);
            }
            Err(error) => {
                return Err(Error::io("punch a frozen layer", error)
                    .in_file(path)
                    .at_offset(stretch.start));
            }
        }
    }
    Ok(GivenBack::Done)
}
