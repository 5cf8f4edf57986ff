//! What an open layer says: its header's runs, and over them each commit of its journal.

use super::level::Level;
use super::top::Source;
pub(super) use super::walk::Device;
use super::walk::walk;
use crate::error::{Error, Result};
use crate::extent::{BlockChecksums, Target};
use crate::format::page::PageKind;
use crate::format::{Header, Record, sources};
use crate::layer::{LayerFile, read_blob, read_run};
use crate::units::{FileBlock, PAGE_BYTES, SourceIndex};

/// Up to how many extents the runs of a record go into the map; larger ones stay runs.
const ABSORB_EXTENTS_MAX: usize = 1 << 14;

/// What the header and its journal say.
#[derive(Debug)]
pub(super) struct Replayed {
    pub level: Level,
    pub checksums: BlockChecksums,
    pub sources: Vec<Source>,
    /// How many of them the table of the header holds.
    pub sources_in_header: usize,
    pub sequence: u64,
    pub chain: u32,
    pub next: FileBlock,
    pub after_next: FileBlock,
    pub volume_bytes: u64,
    pub piece_generation: u64,
    pub records: u64,
    /// Heads, and runs whose extents went into the map: first block and bytes.
    pub pieces: Vec<(FileBlock, u64)>,
    /// The head of a last commit that was not whole.
    pub torn: Option<FileBlock>,
}

/// Replays the journal of an open layer.
pub(super) fn replay(file: &LayerFile, device: &Device<'_>, header: &Header) -> Result<Replayed> {
    // Before anything of it is looked at in a map.
    device.expect_length(header)?;
    let identity = (header.layer, header.block_size);
    let mut table = Vec::new();
    if let Some(piece) = &header.sources {
        let what = (PageKind::Sources, "table of sources");
        table = sources::decode(&read_blob(device.medium, device.path, what, identity, piece)?)?;
    }
    let mut level = Level::default();
    for piece in header.runs.iter().rev() {
        level.stack(read_run(file, piece)?);
    }
    let mut replayed = Replayed {
        sources_in_header: table.len(),
        level,
        checksums: BlockChecksums::new(),
        sources: table.into_iter().map(Source::new).collect(),
        sequence: header.journal.sequence,
        chain: header.journal.chain,
        next: header.journal.next,
        after_next: header.journal.after_next,
        volume_bytes: header.volume_bytes,
        piece_generation: header.piece_generation,
        records: 0,
        pieces: Vec::new(),
        torn: None,
    };
    let end = walk(device, header, &mut |place, record| {
        apply(file, device, &mut replayed, place, record)
    })?;
    (replayed.sequence, replayed.chain) = (end.sequence, end.chain);
    (replayed.next, replayed.after_next) = (end.next, end.after_next);
    replayed.torn = end.torn.map(|torn| torn.place);
    Ok(replayed)
}

/// Applies a whole record to what is committed before it.
fn apply(
    file: &LayerFile,
    device: &Device<'_>,
    replayed: &mut Replayed,
    place: FileBlock,
    record: &Record,
) -> Result<()> {
    if let Some(piece) = &record.sources {
        let what = (PageKind::Sources, "table of sources");
        let identity = (file.id(), device.block_size);
        let body = read_blob(device.medium, device.path, what, identity, piece)?;
        replayed.sources = sources::decode(&body)?.into_iter().map(Source::new).collect();
        replayed.pieces.push((piece.place, piece.bytes));
    }
    replayed.sources.extend(record.added_sources.iter().copied().map(Source::new));
    for piece in &record.runs {
        let run = read_run(file, piece)?;
        if run.extent_count() > ABSORB_EXTENTS_MAX {
            replayed.level.stack(run);
            continue;
        }
        for extent in run.extents() {
            let extent = extent?;
            if let Target::Data { source, block } = extent.target {
                expect_inside(device, source, block, extent.length)?;
                let checksums = run.checksums(extent.start, extent.length)?;
                set_checksums(&mut replayed.checksums, source, block, checksums);
            }
            replayed.level.map.insert(extent, &mut |_| {});
        }
        replayed.pieces.push((piece.place, piece.bytes));
    }
    let mut checksums = &record.checksums[..];
    for &extent in &record.extents {
        if let Target::Data { source, block } = extent.target {
            expect_inside(device, source, block, extent.length)?;
            let (own, rest) = checksums.split_at(extent.length as usize);
            set_checksums(&mut replayed.checksums, source, block, own);
            checksums = rest;
        }
        replayed.level.map.insert(extent, &mut |_| {});
    }
    replayed.pieces.push((place, PAGE_BYTES));
    replayed.volume_bytes = record.volume_bytes;
    replayed.piece_generation = replayed.piece_generation.max(record.piece_generation);
    replayed.records += 1;
    Ok(())
}

/// That blocks of the layer itself lie in its file. One that was cut off by a third party would be read in a
/// map, which ends the process.
fn expect_inside(
    device: &Device<'_>,
    source: SourceIndex,
    block: FileBlock,
    count: u64,
) -> Result<()> {
    let end = block.0.saturating_add(count).saturating_mul(device.block_size.bytes());
    if source != SourceIndex::OWN || end <= device.length {
        return Ok(());
    }
    let error = Error::corrupt("replay the journal", "file length", device.length, end);
    Err(error.in_file(device.path).at_offset(device.length))
}

fn set_checksums(
    table: &mut BlockChecksums,
    source: SourceIndex,
    first: FileBlock,
    checksums: &[u32],
) {
    for (index, &checksum) in checksums.iter().enumerate() {
        table.set(source, FileBlock(first.0 + index as u64), checksum);
    }
}
