//! The walk of a journal: records in sequence while whole, the last one judged by its blocks.
//!
//! A break with a whole record at the second place named is damage, and so is one up to the
//! number known durable. Only the very last record may be torn. All who need what a journal holds go
//! by this one walk: who replays it, and who only asks which layers it names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::commit::UNSYNCED_BYTES_MAX;
use super::level::own_blocks;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, ExtentMap, Target};
use crate::format::page::PageKind;
use crate::format::{Header, PieceRef, Record, checksum, record};
use crate::medium::Medium;
use crate::memory::buffer_of;
use crate::units::{BlockSize, FileBlock, PAGE_BYTES};

/// How a file's bytes are read while it is judged.
pub(crate) struct Device<'a> {
    pub medium: &'a dyn Medium,
    pub path: &'a Path,
    pub block_size: BlockSize,
    /// From the device, not from the host's cache.
    pub uncached: bool,
    pub length: u64,
}

/// Where a journal ends.
#[derive(Debug)]
pub(crate) struct End {
    /// The number of the last commit.
    pub sequence: u64,
    /// The checksum of its record.
    pub chain: u32,
    /// Where the next record goes.
    pub next: FileBlock,
    /// Where the one after that goes.
    pub after_next: FileBlock,
    /// A commit that was begun there and is not whole.
    pub torn: Option<Torn>,
}

/// A last commit that is not whole.
#[derive(Debug)]
pub(crate) struct Torn {
    /// Where its head lies.
    pub place: FileBlock,
    /// The head, where that is whole.
    pub record: Option<Record>,
}

/// Gives each commit of the journal of an open layer, the oldest first, with where its head lies, and
/// tells where the journal ends.
///
/// Errors: [`ErrorKind::Corrupt`] where no power cut explains what is there (INV-06); that a record is of a
/// [newer version](Error::is_newer); what `commit` says.
pub(crate) fn walk(
    device: &Device<'_>,
    header: &Header,
    commit: &mut dyn FnMut(FileBlock, &Record) -> Result<()>,
) -> Result<End> {
    device.expect_length(header)?;
    let durable = header.journal.durable_sequence;
    let mut end = End {
        sequence: header.journal.sequence,
        chain: header.journal.chain,
        next: header.journal.next,
        after_next: header.journal.after_next,
        torn: None,
    };
    // The record that was read already to see whether the one before it is the last.
    let mut ahead = None;
    loop {
        let sequence = end.sequence + 1;
        let damaged = |error: Error| error.in_file(device.path);
        let read = match ahead.take() {
            Some(ahead) => Ok(ahead),
            None => device.record(header, end.next),
        };
        let (record, crc) = match read {
            Ok((record, crc))
                if record.sequence == sequence
                    && record.previous == end.chain
                    && record.next == end.after_next =>
            {
                (record, crc)
            }
            // Neither a bad sector nor what a newer version wrote says that there is no record.
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            broken => {
                let why = broken.err();
                device.no_successor(header, end.after_next, sequence + 1, why.as_ref())?;
                device.none_displaced(header, end.next, sequence)?;
                device.none_displaced(header, end.after_next, sequence)?;
                if sequence <= durable {
                    return Err(damaged(lost(device, end.next, sequence, why)));
                }
                if device.was_begun(header, end.next, sequence)? {
                    end.torn = Some(Torn { place: end.next, record: None });
                }
                return Ok(end);
            }
        };
        match device.record(header, end.after_next) {
            Ok((next, next_crc)) if next.sequence == sequence + 1 && next.previous == crc => {
                ahead = Some((next, next_crc));
            }
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => {}
        }
        if ahead.is_none() {
            device.no_successor(header, record.after_next, sequence + 2, None)?;
            device.none_displaced(header, end.after_next, sequence + 1)?;
            if let Err(why) = device.judge(header, &record) {
                if why.kind() != ErrorKind::Corrupt {
                    return Err(why);
                }
                if sequence <= durable {
                    return Err(damaged(lost(device, end.next, sequence, Some(why))));
                }
                if let Some(at) = why.offset() {
                    let place = FileBlock(at / header.block_size.bytes());
                    device.none_displaced(header, place, sequence + 1)?;
                }
                end.torn = Some(Torn { place: end.next, record: Some(record) });
                return Ok(end);
            }
        }
        commit(end.next, &record)?;
        let next = std::mem::replace(&mut end.after_next, record.after_next);
        (end.sequence, end.chain, end.next) = (sequence, crc, next);
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

impl<'a> Device<'a> {
    /// The file of an open layer that somebody else may write to.
    pub fn outside(medium: &'a dyn Medium, path: &'a Path, header: &Header) -> Result<Device<'a>> {
        let facts = medium.facts();
        let facts = facts.map_err(|error| Error::io("look at a layer", error).in_file(path))?;
        let (block_size, length) = (header.block_size, facts.length);
        Ok(Device { medium, path, block_size, uncached: false, length })
    }

    /// That the file is as long as its header says: an open one at least that.
    pub fn expect_length(&self, header: &Header) -> Result<()> {
        if self.length >= header.file_bytes {
            return Ok(());
        }
        let expected = format!("at least {} bytes", header.file_bytes);
        Err(Error::corrupt("replay the journal", "file length", self.length, expected)
            .in_file(self.path)
            .at_offset(self.length))
    }

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
            Error::of_reading("read the journal", error).in_file(self.path).at_offset(offset)
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
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// That at `place` lies no record from `sequence` on that belongs elsewhere: no crash moves
    /// one, so it is damage, and not a journal that ends here (INV-06).
    fn none_displaced(&self, header: &Header, place: FileBlock, sequence: u64) -> Result<()> {
        let page = match self.page(place) {
            Ok(page) => page,
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
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
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(false),
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
