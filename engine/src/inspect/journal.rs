//! The journal of an open layer, replayed as recovery would see it.

use std::collections::HashSet;

use super::blocks;
use super::file::InspectedFile;
use super::map::{Level, Overlay};
use super::run::{InspectedRun, Mapped};
use crate::error::{Error, Result};
use crate::extent::Target;
use crate::format::header::Header;
use crate::format::page::{MAGIC, PageKind};
use crate::format::record::{self, EXTENT_BYTES, Record, extents_offset};
use crate::format::{LayerRef, PieceRef, blob, sources};
use crate::units::{FileBlock, LayerId};

/// What the journal comes to.
#[derive(Debug, Default)]
pub struct Replay {
    /// The levels above the runs of the header, the newest first.
    pub levels: Vec<Level>,
    /// The records replayed, the oldest first: where the head of each lies.
    pub records: Vec<FileBlock>,
    /// Every piece that a replayed record names and that still stands.
    pub pieces: Vec<PieceRef>,
    /// The table of sources.
    pub sources: Vec<LayerRef>,
    /// The last commit.
    pub sequence: u64,
    /// Where the next two records go.
    pub next: [FileBlock; 2],
    /// The size of a disk in bytes.
    pub volume_bytes: u64,
    /// The last record was begun and is not whole: why.
    pub torn: Option<Error>,
    /// What cannot be explained by a power cut.
    pub damage: Vec<Error>,
}

/// A record that verifies, with the checksum of its page.
type Whole = (Record, u32);

/// Replays the journal of `header` over its own table of `sources`.
///
/// Errors are those of the host, and that a record is of a newer version; what the bytes say wrong is in
/// [`Replay::damage`].
pub fn replay(file: &InspectedFile, header: &Header, sources: Vec<LayerRef>) -> Result<Replay> {
    let journal = &header.journal;
    let mut replay = Replay {
        sources,
        sequence: journal.sequence,
        next: [journal.next, journal.after_next],
        volume_bytes: header.volume_bytes,
        ..Replay::default()
    };
    let reader = Reader { file, header };
    let mut chain = journal.chain;
    let mut seen = HashSet::new();
    loop {
        let [place, second] = replay.next;
        let sequence = replay.sequence + 1;
        let expected = Expected { sequence, chain, next: Some(second) };
        let (record, crc) = match reader.whole(place, expected)? {
            Ok(whole) => whole,
            Err(error) => {
                if sequence <= journal.durable_sequence {
                    replay.damage.push(error.about(
                        "journal record",
                        format!("no whole record of commit {sequence}"),
                        format!("whole records up to commit {}", journal.durable_sequence),
                    ));
                } else if reader.is_sequence(second, sequence + 1)? {
                    replay.damage.push(reader.hidden(place, sequence));
                } else if let Some(error) = reader.displaced(place, sequence)? {
                    replay.damage.push(error);
                } else if let Some(error) = reader.displaced(second, sequence)? {
                    replay.damage.push(error);
                } else if reader.is_torn(place, sequence)? {
                    replay.torn = Some(error);
                }
                return Ok(replay);
            }
        };
        if !seen.insert(place) {
            replay.damage.push(reader.bad(place, "place", "used twice", "a block of its own"));
            return Ok(replay);
        }
        let after = Expected { sequence: sequence + 1, chain: crc, next: None };
        let last = reader.whole(second, after)?.is_err();
        if last && let Some(error) = reader.displaced(second, sequence + 1)? {
            replay.damage.push(error);
            return Ok(replay);
        }
        // Where a later record is there the next round finds the gap before it.
        if last
            && !reader.is_sequence(record.after_next, sequence + 2)?
            && let Some(error) = reader.missing_data(place, &record)?
        {
            let place = error.offset().map(|at| FileBlock(at / header.block_size.bytes()));
            let displaced = match place {
                Some(place) => reader.displaced(place, sequence + 1)?,
                None => None,
            };
            if sequence <= journal.durable_sequence {
                replay.damage.push(error);
            } else if let Some(displaced) = displaced {
                replay.damage.push(displaced);
            } else {
                replay.torn = Some(error);
            }
            return Ok(replay);
        }
        reader.apply(&mut replay, place, &record)?;
        chain = crc;
    }
}

/// What a record must say to be the one that follows.
#[derive(Clone, Copy)]
struct Expected {
    sequence: u64,
    /// The checksum of the record before.
    chain: u32,
    /// The place of the record after it, where that was promised before.
    next: Option<FileBlock>,
}

/// Whether an error leaves open what is there: nobody here can tell that it is no record.
fn is_no_verdict(error: &Error) -> bool {
    error.io_source().is_some() || error.is_newer()
}

struct Reader<'a> {
    file: &'a InspectedFile,
    header: &'a Header,
}

impl Reader<'_> {
    fn layer(&self) -> LayerId {
        self.header.layer
    }

    fn offset(&self, place: FileBlock) -> Result<u64> {
        place.byte_offset_checked(self.header.block_size).ok_or_else(|| {
            Error::corrupt("read journal record", "place", place, "a block of the file")
                .in_file(self.file.path())
        })
    }

    /// The record at `place`, verified by itself.
    fn record(&self, place: FileBlock) -> Result<Whole> {
        let offset = self.offset(place)?;
        let page = self.file.page(offset)?;
        let whole =
            Record::decode(&page, self.layer(), place).map_err(self.file.located(offset))?;
        // A record that names places which no file has was never written by a volume.
        for next in [whole.0.next, whole.0.after_next] {
            self.offset(next)?;
        }
        Ok(whole)
    }

    /// The record at `place` if it is the one that follows; the outer error is the host's.
    fn whole(&self, place: FileBlock, expected: Expected) -> Result<Result<Whole>> {
        let (record, crc) = match self.record(place) {
            Ok(whole) => whole,
            Err(error) if is_no_verdict(&error) => return Err(error),
            Err(error) => return Ok(Err(error)),
        };
        let bad = |field, found: String, expected: String| {
            Ok(Err(self.bad(place, field, &found, &expected)))
        };
        if record.sequence != expected.sequence {
            let (found, expected) = (record.sequence.to_string(), expected.sequence.to_string());
            return bad("sequence number", found, expected);
        }
        if record.previous != expected.chain {
            let found = format!("{:#010x}", record.previous);
            let field = "checksum of the record before";
            return bad(field, found, format!("{:#010x}", expected.chain));
        }
        match expected.next {
            Some(next) if record.next != next => {
                bad("next place", record.next.to_string(), next.to_string())
            }
            _ => Ok(Ok((record, crc))),
        }
    }

    /// Whether a record of that sequence number verifies at `place`.
    fn is_sequence(&self, place: FileBlock, sequence: u64) -> Result<bool> {
        match self.record(place) {
            Ok((record, _)) => Ok(record.sequence == sequence),
            Err(error) if is_no_verdict(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// A record from `sequence` on that lies at `place` and belongs elsewhere: no crash leaves one.
    fn displaced(&self, place: FileBlock, sequence: u64) -> Result<Option<Error>> {
        let Ok(offset) = self.offset(place) else { return Ok(None) };
        if offset.checked_add(4096).is_none_or(|end| end > self.file.length()) {
            return Ok(None);
        }
        let page = self.file.page(offset)?;
        let found = record::displaced(&page, self.layer(), place);
        Ok(found.filter(|(number, _)| *number >= sequence).map(|(number, own)| {
            let found = format!("record {number} of block {own}");
            self.bad(place, "place", &found, &format!("record {sequence} or none"))
        }))
    }

    /// Whether somebody began to write the record of `sequence` at `place`: a page with the prelude
    /// of that record. What else lies there is what the block held before.
    fn is_torn(&self, place: FileBlock, sequence: u64) -> Result<bool> {
        let Ok(offset) = self.offset(place) else { return Ok(false) };
        if offset.checked_add(4096).is_none_or(|end| end > self.file.length()) {
            return Ok(false);
        }
        let page = self.file.page(offset)?;
        let kind = (PageKind::Record as u16).to_le_bytes();
        Ok(page[..4] == MAGIC.to_le_bytes()
            && page[4..6] == kind
            && page[8..24] == self.layer().0
            && page[24..32] == sequence.to_le_bytes())
    }

    /// Why the data or the pieces of the last record do not verify; `None` where they do.
    fn missing_data(&self, place: FileBlock, record: &Record) -> Result<Option<Error>> {
        let judged = match record.data_durable {
            true => self.judge_places(record),
            false => self.judge_content(place, record),
        };
        match judged {
            Ok(()) => Ok(None),
            Err(error) if error.io_source().is_some() => Err(error),
            Err(error) => Ok(Some(error)),
        }
    }

    /// That the pieces lie inside the file: it was as long when the head was written.
    fn judge_places(&self, record: &Record) -> Result<()> {
        for piece in record.runs.iter().chain(&record.sources) {
            let end = self.offset(piece.place)?.checked_add(piece.bytes);
            if end.is_none_or(|end| end > self.file.length()) {
                let expected = format!("inside the file of {} bytes", self.file.length());
                let found = format!("{} bytes", piece.bytes);
                return Err(self.bad(piece.place, "piece bytes", &found, &expected));
            }
        }
        Ok(())
    }

    /// Only what the record maps in the end is judged: a block of one run that a newer one maps
    /// elsewhere may have been used again since.
    fn judge_content(&self, place: FileBlock, record: &Record) -> Result<()> {
        if let Some(piece) = &record.sources {
            self.sources(piece)?;
        }
        let mut overlay = Overlay::default();
        for piece in &record.runs {
            let run = self.run(piece)?;
            let mut broken = Ok(());
            run.verify_chunks(&mut |error| {
                if broken.is_ok() {
                    broken = Err(error);
                }
            })?;
            broken?;
            let mut cursor = run.cursor();
            while let Some(mapped) = cursor.next()? {
                overlay.lay(mapped);
            }
        }
        self.mapped(place, record).for_each(|mapped| overlay.lay(mapped));
        overlay.extents().try_for_each(|mapped| self.judge_blocks(&mapped))
    }

    fn judge_blocks(&self, mapped: &Mapped) -> Result<()> {
        if !blocks::is_own_data(mapped) {
            return Ok(());
        }
        let (file, layer, size) = (self.file, self.layer(), self.header.block_size);
        let mut broken = Ok(());
        blocks::Blocks { file, layer, size }.verify(mapped, &mut |bad| {
            if broken.is_ok() {
                broken = Err(bad.error);
            }
        })?;
        broken
    }

    fn run(&self, piece: &PieceRef) -> Result<InspectedRun> {
        let base = self.offset(piece.place)?;
        InspectedRun::open(self.file, base, PageKind::Run, self.layer(), piece)
    }

    /// The extents of a record, with where their checksums stand in the file.
    fn mapped<'r>(
        &self,
        place: FileBlock,
        record: &'r Record,
    ) -> impl Iterator<Item = Mapped> + use<'r> {
        let items = extents_offset(record.added_sources.len(), record.runs.len());
        let checksums = items + record.extents.len() * EXTENT_BYTES;
        let mut at = place.0 * self.header.block_size.bytes() + checksums as u64;
        record.extents.iter().map(move |&extent| {
            let data = matches!(extent.target, Target::Data { .. });
            let mapped = Mapped { extent, checksums_at: if data { at } else { 0 } };
            at += if data { 4 * extent.length } else { 0 };
            mapped
        })
    }

    fn apply(&self, replay: &mut Replay, place: FileBlock, record: &Record) -> Result<()> {
        if let Some(piece) = &record.sources {
            match self.sources(piece) {
                Ok(sources) => replay.sources = sources,
                Err(error) if error.io_source().is_some() => return Err(error),
                Err(error) => replay.damage.push(error),
            }
            replay.pieces.push(*piece);
        }
        replay.sources.extend(&record.added_sources);
        for piece in &record.runs {
            replay.pieces.push(*piece);
            match self.run(piece) {
                Ok(run) => replay.levels.insert(0, Level::Run(Box::new(run))),
                Err(error) if error.io_source().is_some() => return Err(error),
                Err(error) => replay.damage.push(error),
            }
        }
        if !record.extents.is_empty() {
            if !matches!(replay.levels.first(), Some(Level::Records(_))) {
                replay.levels.insert(0, Level::Records(Overlay::default()));
            }
            if let Some(Level::Records(overlay)) = replay.levels.first_mut() {
                self.mapped(place, record).for_each(|mapped| overlay.lay(mapped));
            }
        }
        replay.records.push(place);
        replay.sequence = record.sequence;
        replay.volume_bytes = record.volume_bytes;
        replay.next = [record.next, record.after_next];
        Ok(())
    }

    fn sources(&self, piece: &PieceRef) -> Result<Vec<LayerRef>> {
        let base = self.offset(piece.place)?;
        let bytes = self.file.bytes(base, piece.bytes)?;
        blob::decode("table of sources", PageKind::Sources, self.layer(), piece, &bytes)
            .and_then(sources::decode)
            .map_err(self.file.located(base))
    }

    fn hidden(&self, place: FileBlock, sequence: u64) -> Error {
        let found = format!("no whole record of commit {sequence}");
        let expected = format!("one, as commit {} is there", sequence + 1);
        self.bad(place, "journal record", &found, &expected)
    }

    fn bad(&self, place: FileBlock, field: &'static str, found: &str, expected: &str) -> Error {
        Error::corrupt("replay the journal", field, found, expected)
            .in_file(self.file.path())
            .at_offset(place.0.saturating_mul(self.header.block_size.bytes()))
    }
}
