//! The head of a journal record: one page, the whole commit in it or named by it.
//!
//! A small commit lies in the head entire: changed extents and the checksum of each
//! new block. A larger one is a run, written ahead of the record, that the head names.

use super::fields::{FieldReader, FieldWriter};
use super::identity::{LAYER_REF_BYTES, LayerRef};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use super::piece::{PIECE_REF_BYTES, PieceRef};
use crate::error::Result;
use crate::extent::{Extent, Target};
use crate::units::{
    ADDRESS_END, BlockAddress, FileBlock, LayerId, PAGE_BYTES, SourceIndex, VOLUME_BYTES_MAX,
};

const PREVIOUS_OFFSET: usize = PRELUDE_BYTES;
const FLAGS_OFFSET: usize = PREVIOUS_OFFSET + 4;
const VOLUME_BYTES_OFFSET: usize = FLAGS_OFFSET + 4;
const NEXT_OFFSET: usize = VOLUME_BYTES_OFFSET + 8;
const AFTER_NEXT_OFFSET: usize = NEXT_OFFSET + 8;
const PIECE_GENERATION_OFFSET: usize = AFTER_NEXT_OFFSET + 8;
const SOURCES_OFFSET: usize = PIECE_GENERATION_OFFSET + 8;
const COUNTS_OFFSET: usize = SOURCES_OFFSET + PIECE_REF_BYTES;
const ITEMS_OFFSET: usize = COUNTS_OFFSET + 4 * 2;

/// Where the extents of a head begin, after so many sources and runs.
pub fn extents_offset(added_sources: usize, runs: usize) -> usize {
    ITEMS_OFFSET + added_sources * LAYER_REF_BYTES + runs * PIECE_REF_BYTES
}

/// The size of an extent in a head in bytes.
pub const EXTENT_BYTES: usize = 28;
const CHECKSUM_BYTES: usize = 4;
const FLAG_DATA_DURABLE: u32 = 1;

/// The fields of a record head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (PREVIOUS_OFFSET, "checksum of the record before"),
    (FLAGS_OFFSET, "flags"),
    (VOLUME_BYTES_OFFSET, "volume bytes"),
    (NEXT_OFFSET, "next place"),
    (AFTER_NEXT_OFFSET, "place after next"),
    (PIECE_GENERATION_OFFSET, "next piece generation"),
    (SOURCES_OFFSET, "sources"),
    (COUNTS_OFFSET, "counts"),
    (ITEMS_OFFSET, "items"),
    (CRC_OFFSET, "checksum"),
];

/// The fields of an extent in a head: offset and name.
pub const EXTENT_FIELDS: &[(usize, &str)] =
    &[(0, "extent start"), (8, "extent length"), (16, "extent source"), (20, "extent block")];

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Grows by one with each commit of the layer.
    pub sequence: u64,
    /// The checksum of the record before, or what the header says of it.
    pub previous: u32,
    /// Set where the data and runs were synced before the head was written.
    pub data_durable: bool,
    /// The size of a disk in bytes after the commit.
    pub volume_bytes: u64,
    /// The place of the next record's head.
    pub next: FileBlock,
    /// The place of the head after that.
    pub after_next: FileBlock,
    /// The generation of the next piece after the commit.
    pub piece_generation: u64,
    /// The whole table of sources anew, where the added ones do not fit.
    pub sources: Option<PieceRef>,
    /// Sources that the commit adds to the table, in order.
    pub added_sources: Vec<LayerRef>,
    /// Runs written ahead, oldest first; each covers those before it.
    pub runs: Vec<PieceRef>,
    /// Changed extents, ascending and disjoint; they cover the runs.
    pub extents: Vec<Extent>,
    /// The checksum of each block of each data extent, in order.
    pub checksums: Vec<u32>,
}

impl Record {
    /// Whether a head has room for that many items.
    pub fn fits(added_sources: usize, runs: usize, extents: usize, checksums: usize) -> bool {
        let need = added_sources
            .saturating_mul(LAYER_REF_BYTES)
            .saturating_add(runs.saturating_mul(PIECE_REF_BYTES))
            .saturating_add(extents.saturating_mul(EXTENT_BYTES))
            .saturating_add(checksums.saturating_mul(CHECKSUM_BYTES));
        need <= CRC_OFFSET - ITEMS_OFFSET
    }

    /// The page to write at `place`, and its checksum: what the next record names.
    pub fn encode(&self, layer: LayerId, place: FileBlock) -> ([u8; PAGE_BYTES as usize], u32) {
        let counts =
            [self.added_sources.len(), self.runs.len(), self.extents.len(), self.checksums.len()];
        assert!(Record::fits(counts[0], counts[1], counts[2], counts[3]), "checked by the caller");
        let mut page = [0; PAGE_BYTES as usize];
        let mut fields = FieldWriter::new(&mut page);
        fields
            .seek(PREVIOUS_OFFSET)
            .u32(self.previous)
            .u32(if self.data_durable { FLAG_DATA_DURABLE } else { 0 })
            .u64(self.volume_bytes)
            .u64(self.next.0)
            .u64(self.after_next.0)
            .u64(self.piece_generation);
        PieceRef::write_optional(self.sources.as_ref(), &mut fields);
        for count in counts {
            fields.u16(count as u16);
        }
        for source in &self.added_sources {
            source.write(&mut fields);
        }
        for run in &self.runs {
            run.write(&mut fields);
        }
        for extent in &self.extents {
            let (code, block) = match extent.target {
                Target::Hole => (0, 0),
                Target::Zero => (1, 0),
                Target::Data { source, block } => (source.0 + 2, block.0),
            };
            fields.u64(extent.start.0).u64(extent.length).u32(code).u64(block);
        }
        for &checksum in &self.checksums {
            fields.u32(checksum);
        }
        let prelude = Prelude { kind: PageKind::Record, layer, generation: self.sequence, place };
        let crc = page::finish(&mut page, &prelude);
        (page, crc)
    }

    /// What the head at `place` says, verified, and its checksum.
    pub fn decode(
        page: &[u8; PAGE_BYTES as usize],
        layer: LayerId,
        place: FileBlock,
    ) -> Result<(Record, u32)> {
        let (prelude, crc) = page::open_at("journal record", page, PageKind::Record, layer, place)?;
        let mut fields = FieldReader::new("journal record", page);
        fields.seek(PREVIOUS_OFFSET);
        let previous = fields.u32("checksum of the record before")?;
        let flags = fields.u32("flags")?;
        if flags & !FLAG_DATA_DURABLE != 0 {
            return Err(fields.bad("flags", 4, format!("{flags:#x}"), "known flags only"));
        }
        let volume_bytes = fields.u64("volume bytes")?;
        if volume_bytes > VOLUME_BYTES_MAX {
            return Err(fields.bad("volume bytes", 8, volume_bytes, "at most 2^63"));
        }
        let next = FileBlock(fields.u64("next place")?);
        let after_next = FileBlock(fields.u64("place after next")?);
        let piece_generation = fields.u64("next piece generation")?;
        let sources = PieceRef::read_optional(&mut fields)?;
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = usize::from(fields.u16("count")?);
        }
        if !Record::fits(counts[0], counts[1], counts[2], counts[3]) {
            return Err(fields.bad("counts", 8, format!("{counts:?}"), "what fits in a page"));
        }
        let added_sources =
            (0..counts[0]).map(|_| LayerRef::read(&mut fields)).collect::<Result<_>>()?;
        let runs = (0..counts[1]).map(|_| PieceRef::read(&mut fields)).collect::<Result<_>>()?;
        let mut extents = Vec::with_capacity(counts[2]);
        let mut blocks = 0_u64;
        for _ in 0..counts[2] {
            let extent = read_extent(&mut fields)?;
            if extents.last().is_some_and(|last: &Extent| last.end() > extent.start) {
                let expected = "ascending addresses, each once";
                return Err(fields.bad("extent start", EXTENT_BYTES, extent.start, expected));
            }
            if matches!(extent.target, Target::Data { .. }) {
                blocks = blocks.saturating_add(extent.length);
            }
            extents.push(extent);
        }
        if blocks != counts[3] as u64 {
            return Err(fields.bad("checksum count", 0, counts[3], blocks));
        }
        let checksums =
            (0..counts[3]).map(|_| fields.u32("block checksum")).collect::<Result<_>>()?;
        fields.zeros_until("reserved", CRC_OFFSET)?;
        let record = Record {
            sequence: prelude.generation,
            previous,
            data_durable: flags & FLAG_DATA_DURABLE != 0,
            volume_bytes,
            next,
            after_next,
            piece_generation,
            sources,
            added_sources,
            runs,
            extents,
            checksums,
        };
        Ok((record, crc))
    }
}

/// The record of `layer` that a page holds whole though it lies at `place`, where it does not
/// belong: its sequence number and its own place. What a block held before it was handed out to
/// be a record's place may look so, but only with the number of a record that was replayed before.
pub fn displaced(
    page: &[u8; PAGE_BYTES as usize],
    layer: LayerId,
    place: FileBlock,
) -> Option<(u64, FileBlock)> {
    let (prelude, _) = page::open("journal record", page, PageKind::Record).ok()?;
    let is_elsewhere = prelude.layer == layer && prelude.place != place;
    is_elsewhere.then_some((prelude.generation, prelude.place))
}

fn read_extent(fields: &mut FieldReader<'_>) -> Result<Extent> {
    let start = fields.u64("extent start")?;
    let length = fields.u64("extent length")?;
    if length == 0 || length > ADDRESS_END - start {
        return Err(fields.bad("extent length", 8, length, "1 to the end of the addresses"));
    }
    let code = fields.u32("extent source")?;
    let block = fields.u64("extent block")?;
    if code < 2 && block != 0 {
        return Err(fields.bad("extent block", 8, block, "0, for a hole or zeros"));
    }
    if code >= 2 && block.checked_add(length).is_none() {
        return Err(fields.bad("extent block", 8, block, "a block whose run fits in 64 bits"));
    }
    let target = match code {
        0 => Target::Hole,
        1 => Target::Zero,
        data => Target::Data { source: SourceIndex(data - 2), block: FileBlock(block) },
    };
    Ok(Extent { start: BlockAddress(start), length, target })
}
