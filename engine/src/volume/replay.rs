//! Reading the journal: records in sequence while whole, the last one judged by its blocks.
//!
//! A break with a whole record at the second place named is damage, and so is one up to the
//! number known durable. Only the very last record may be torn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::commit::UNSYNCED_BYTES_MAX;
use super::level::{Level, own_blocks};
use super::top::Source;
use crate::error::{Error, Result};
use crate::extent::{BlockChecksums, Extent, ExtentMap, Target};
use crate::format::page::PageKind;
use crate::format::{Header, PieceRef, Record, checksum, record, sources};
use crate::layer::{LayerFile, read_blob, read_run};
use crate::medium::Medium;
use crate::memory::buffer_of;
use crate::units::{BlockSize, FileBlock, PAGE_BYTES, SourceIndex};

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

/// How a file's bytes are read while it is judged.
pub(super) struct Device<'a> {
    pub medium: &'a dyn Medium,
    pub path: &'a Path,
    pub block_size: BlockSize,
    /// From the device, not from the host's cache.
    pub uncached: bool,
    pub length: u64,
}

/// Replays the journal of an open layer.
pub(super) fn replay(file: &LayerFile, device: &Device<'_>, header: &Header) -> Result<Replayed> {
    if device.length < header.file_bytes {
        let expected = format!("at least {} bytes", header.file_bytes);
        return Err(Error::corrupt("replay the journal", "file length", device.length, expected)
            .in_file(device.path));
    }
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
    let durable = header.journal.durable_sequence;
    // The record that was read already to see whether the one before it is the last.
    let mut ahead = None;
    loop {
        let sequence = replayed.sequence + 1;
        let damaged = |error: Error| error.in_file(device.path);
        let read = match ahead.take() {
            Some(ahead) => Ok(ahead),
            None => device.record(header, replayed.next),
        };
        let (record, crc) = match read {
            Ok((record, crc))
                if record.sequence == sequence
                    && record.previous == replayed.chain
                    && record.next == replayed.after_next =>
            {
                (record, crc)
            }
            broken => {
                let why = broken.err();
                device.no_successor(header, replayed.after_next, sequence + 1, why.as_ref())?;
                device.none_displaced(header, replayed.next, sequence)?;
                device.none_displaced(header, replayed.after_next, sequence)?;
                if sequence <= durable {
                    return Err(damaged(lost(device, replayed.next, sequence, why)));
                }
                if device.was_begun(header, replayed.next, sequence)? {
                    replayed.torn = Some(replayed.next);
                }
                return Ok(replayed);
            }
        };
        match device.record(header, replayed.after_next) {
            Ok((next, next_crc)) if next.sequence == sequence + 1 && next.previous == crc => {
                ahead = Some((next, next_crc));
            }
            Err(error) if error.kind() != crate::ErrorKind::Corrupt => return Err(error),
            _ => {}
        }
        if ahead.is_none() {
            device.no_successor(header, record.after_next, sequence + 2, None)?;
            device.none_displaced(header, replayed.after_next, sequence + 1)?;
            if let Err(why) = device.judge(header, &record) {
                if sequence <= durable {
                    return Err(damaged(lost(device, replayed.next, sequence, Some(why))));
                }
                if why.kind() != crate::ErrorKind::Corrupt {
                    return Err(why);
                }
                if let Some(at) = why.offset() {
                    let place = FileBlock(at / header.block_size.bytes());
                    device.none_displaced(header, place, sequence + 1)?;
                }
                replayed.torn = Some(replayed.next);
                return Ok(replayed);
            }
        }
        apply(file, device, &mut replayed, &record)?;
        replayed.chain = crc;
    }
}

/// Applies a whole record to what is committed before it.
fn apply(
    file: &LayerFile,
    device: &Device<'_>,
    replayed: &mut Replayed,
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
            let (own, rest) = checksums.split_at(extent.length as usize);
            set_checksums(&mut replayed.checksums, source, block, own);
            checksums = rest;
        }
        replayed.level.map.insert(extent, &mut |_| {});
    }
    replayed.pieces.push((replayed.next, PAGE_BYTES));
    replayed.sequence = record.sequence;
    replayed.next = replayed.after_next;
    replayed.after_next = record.after_next;
    replayed.volume_bytes = record.volume_bytes;
    replayed.piece_generation = replayed.piece_generation.max(record.piece_generation);
    replayed.records += 1;
    Ok(())
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

fn lost(device: &Device<'_>, place: FileBlock, sequence: u64, why: Option<Error>) -> Error {
    let found = why.map_or_else(|| "another record".to_owned(), |why| why.to_string());
    Error::corrupt(
        "replay the journal",
        "record",
        found,
        format!("the whole record {sequence}, which is known to be durable"),
    )
    .at_offset(place.0.saturating_mul(device.block_size.bytes()))
}

impl Device<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(Error::corrupt("read the journal", "place", offset, "inside the file")
                .in_file(self.path)
                .at_offset(offset));
        }
        let read = match self.uncached {
            true => self.medium.read_uncached_at(offset, buffer),
            false => self.medium.read_at(offset, buffer),
        };
        read.map_err(|error| {
            Error::io("read the journal", error).in_file(self.path).at_offset(offset)
        })
    }

    fn page(&self, place: FileBlock) -> Result<Box<[u8; PAGE_BYTES as usize]>> {
        let mut page = Box::new([0; PAGE_BYTES as usize]);
        let offset = place.byte_offset_checked(self.block_size).unwrap_or(u64::MAX);
        self.read(offset, &mut page[..])?;
        Ok(page)
    }

    fn record(&self, header: &Header, place: FileBlock) -> Result<(Record, u32)> {
        let page = self.page(place)?;
        let base = place.0.saturating_mul(self.block_size.bytes());
        let (record, crc) = Record::decode(&page, header.layer, place)
            .map_err(|error| error.shifted_by(base).in_file(self.path))?;
        // Kept from wandering off: the places are inside what a file can be.
        for next in [record.next, record.after_next] {
            if next.byte_offset_checked(self.block_size).is_none() {
                return Err(Error::corrupt(
                    "read a journal record",
                    "next place",
                    next,
                    "a block of a file",
                )
                .in_file(self.path)
                .at_offset(base));
            }
        }
        Ok((record, crc))
    }

    /// That no whole record `sequence` lies at `place`: one there after a break is rot in the
    /// middle of the journal, not a torn tail (INV-06).
    fn no_successor(
        &self,
        header: &Header,
        place: FileBlock,
        sequence: u64,
        why: Option<&Error>,
    ) -> Result<()> {
        match self.record(header, place) {
            Ok((record, _)) if record.sequence == sequence => {
                let found = why.map_or_else(|| "none".to_owned(), |why| why.to_string());
                Err(Error::corrupt(
                    "replay the journal",
                    "record",
                    found,
                    format!("a whole record {} before record {sequence}", sequence - 1),
                )
                .in_file(self.path)
                .at_offset(place.0.saturating_mul(self.block_size.bytes())))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// That at `place` lies no record from `sequence` on that belongs elsewhere: no crash moves
    /// one, so it is damage, and not a journal that ends here (INV-06).
    fn none_displaced(&self, header: &Header, place: FileBlock, sequence: u64) -> Result<()> {
        let page = match self.page(place) {
            Ok(page) => page,
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => return Ok(()),
            Err(error) => return Err(error),
        };
        match record::displaced(&page, header.layer, place) {
            Some((found, own)) if found >= sequence => {
                let found = format!("record {found} of block {own}");
                let expected = format!("record {sequence} or none");
                Err(Error::corrupt("replay the journal", "place", found, expected)
                    .in_file(self.path)
                    .at_offset(place.0.saturating_mul(self.block_size.bytes())))
            }
            _ => Ok(()),
        }
    }

    /// Whether record `sequence` was begun at `place`: what is there claims to be it.
    fn was_begun(&self, header: &Header, place: FileBlock, sequence: u64) -> Result<bool> {
        let page = match self.page(place) {
            Ok(page) => page,
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => return Ok(false),
            Err(error) => return Err(error),
        };
        let claim = |at: usize, bytes: &[u8]| page[at..at + bytes.len()] == *bytes;
        Ok(claim(0, &crate::format::page::MAGIC.to_le_bytes())
            && claim(4, &(PageKind::Record as u16).to_le_bytes())
            && claim(8, &header.layer.0)
            && claim(24, &sequence.to_le_bytes()))
    }

    /// Whether the last record's runs and blocks are whole: all of them synced before it was
    /// written, or no more than 1 MiB, compared with their checksums.
    fn judge(&self, header: &Header, record: &Record) -> Result<()> {
        for piece in record.runs.iter().chain(&record.sources) {
            self.inside(piece)?;
        }
        if record.data_durable {
            return Ok(());
        }
        // Only what the record maps in the end is judged: a block of one run that a newer run,
        // or the head, maps elsewhere may have been used again since the commit.
        let mut map = ExtentMap::new();
        // By address, and not by block: a record that gives one block two checksums is no commit.
        let mut known = BTreeMap::new();
        let mut note = |extent: &Extent, checksums: &[u32]| {
            known.extend((extent.start.0..).zip(checksums.iter().copied()));
        };
        let mut left = UNSYNCED_BYTES_MAX;
        for piece in &record.runs {
            left = left.checked_sub(piece.bytes).ok_or_else(|| self.too_much())?;
            let run = self.run(header, piece)?;
            for extent in run.extents() {
                let extent = extent?;
                if own_blocks(&extent).is_some() {
                    note(&extent, run.checksums(extent.start, extent.length)?);
                }
                map.insert(extent, &mut |_| {});
            }
        }
        if let Some(piece) = &record.sources {
            let bytes = self.piece(piece)?;
            let what = "table of sources";
            crate::format::blob::decode(what, PageKind::Sources, header.layer, piece, &bytes)?;
        }
        let mut checksums = &record.checksums[..];
        for &extent in &record.extents {
            if let Target::Data { .. } = extent.target {
                let (own, rest) = checksums.split_at(extent.length as usize);
                checksums = rest;
                note(&extent, own);
            }
            map.insert(extent, &mut |_| {});
        }
        map.iter().try_for_each(|extent| self.judge_blocks(header, &known, &extent))
    }

    fn judge_blocks(
        &self,
        header: &Header,
        known: &BTreeMap<u64, u32>,
        extent: &Extent,
    ) -> Result<()> {
        let Some((first, count)) = own_blocks(extent) else { return Ok(()) };
        let size = self.block_size.bytes();
        let mut block = vec![0; size as usize];
        for into in 0..count {
            let at = FileBlock(first.0 + into);
            let expected = *known.get(&(extent.start.0 + into)).ok_or_else(|| {
                Error::corrupt("judge the last commit", "checksums", "none", "one for each block")
                    .in_file(self.path)
            })?;
            let offset = at.byte_offset_checked(self.block_size).unwrap_or(u64::MAX);
            self.read(offset, &mut block)?;
            let found = checksum::of_block(header.layer, at, &block);
            if found != expected {
                return Err(Error::corrupt(
                    "judge the last commit",
                    "block checksum",
                    format!("{found:#010x}"),
                    format!("{expected:#010x}"),
                )
                .in_file(self.path)
                .at_offset(offset));
            }
        }
        Ok(())
    }

    fn piece(&self, piece: &PieceRef) -> Result<Vec<u8>> {
        let offset = piece.place.byte_offset(self.block_size);
        let mut bytes = buffer_of(piece.bytes).map_err(|error| {
            Error::io("read the journal", error).in_file(self.path).at_offset(offset)
        })?;
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn run(&self, header: &Header, piece: &PieceRef) -> Result<Arc<crate::extent::Run>> {
        let bytes = self.piece(piece)?;
        let offset = piece.place.byte_offset(self.block_size);
        let origin = crate::extent::RunOrigin { path: self.path.into(), offset };
        let bytes = crate::raw::AlignedBytes::copy_of(&bytes).map_err(|error| {
            Error::io("read the journal", error).in_file(self.path).at_offset(offset)
        })?;
        crate::extent::Run::open(bytes.into(), PageKind::Run, header.layer, *piece, origin)
            .map(Arc::new)
    }

    fn inside(&self, piece: &PieceRef) -> Result<()> {
        let start = piece.place.byte_offset_checked(self.block_size);
        let end = start.and_then(|start| start.checked_add(piece.bytes));
        if end.is_some_and(|end| end <= self.length) {
            return Ok(());
        }
        Err(Error::corrupt(
            "judge the last commit",
            "piece place",
            format!("block {}, {} bytes", piece.place, piece.bytes),
            format!("inside the file of {} bytes", self.length),
        )
        .in_file(self.path))
    }

    fn too_much(&self) -> Error {
        Error::corrupt(
            "judge the last commit",
            "unsynced bytes",
            "more",
            format!("at most {UNSYNCED_BYTES_MAX}, or marked as durable"),
        )
        .in_file(self.path)
    }
}
