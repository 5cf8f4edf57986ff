//! One layer file, from its slots to the checksums of its data.

use std::collections::HashMap;
use std::path::Path;

use super::space::Space;
use super::{CheckOptions, Progress};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::format::header::{HEADER_BYTES, Header, LayerState};
use crate::format::page::PageKind;
use crate::format::{Annotations, FreeSpace, LayerRef, PieceRef, blob, sources};
use crate::inspect::blocks::{BadBlock, Blocks, is_own_data, portions};
use crate::inspect::file::InspectedFile;
use crate::inspect::journal::{self, Replay};
use crate::inspect::map::{Level, Merged};
use crate::inspect::report::{CheckReport, Finding, Severity, text_of};
use crate::inspect::run::{InspectedRun, Mapped};
use crate::inspect::slots::{Agreement, Slots};
use crate::medium::Host;
use crate::units::{BlockAddress, FileBlock, LayerId};

/// How often a layer is looked at again while its writer moves on.
const LOOKS_MAX: usize = 5;
/// How many portions of data are handed to the cores at a time.
const PORTIONS_AT_A_TIME: usize = 64;

/// What a look at a layer gave.
#[derive(Debug, Default)]
pub struct Looked {
    /// The findings.
    pub report: CheckReport,
    /// What the file was when it was looked at; `None` where no slot verifies.
    pub picture: Option<Picture>,
    /// Of a thinned layer: visible extents of its map whose blocks do not verify.
    pub lost: Vec<Lost>,
    /// How far into the file of each of its sources the map leads, in blocks.
    pub reach: Vec<u64>,
}

/// What must be the same for two looks to have seen the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Taken before the header is read: a writer may have grown the file in between.
    length: u64,
    generation: u64,
    sequence: u64,
    slots: Agreement,
}

/// Consecutive blocks that a thinned layer maps and that do not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first address.
    pub start: BlockAddress,
    /// How many.
    pub length: u64,
    /// The first block.
    pub block: FileBlock,
}

/// Looks at a layer until it has not moved on meanwhile; what then still looks broken is.
/// `None` where the file went away.
pub fn check_file(
    host: &dyn Host,
    path: &Path,
    id: Option<LayerId>,
    options: &CheckOptions,
    progress: &mut Progress<'_>,
) -> Result<Option<Looked>> {
    let mut before: Vec<Finding> = Vec::new();
    let mut looks = 0;
    loop {
        let file = match InspectedFile::open(host, path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut looked = Look::new(&file, options, progress).run(id)?;
        looks += 1;
        let suspect = |finding: &Finding| finding.severity > Severity::Note;
        if !looked.report.findings.iter().any(suspect) && looked.lost.is_empty() {
            return Ok(Some(looked));
        }
        match InspectedFile::open(host, path) {
            Ok(file) if picture(&file) == looked.picture => return Ok(Some(looked)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            _ if looks < LOOKS_MAX => before = looked.report.findings,
            _ => {
                // The writer never rests: only what two looks in a row found can be damage.
                looked.report.findings.retain(|finding| before.contains(finding));
                return Ok(Some(looked));
            }
        }
    }
}

/// What the file is now; `None` where no slot verifies.
fn picture(file: &InspectedFile) -> Option<Picture> {
    let slots = Slots::read(file);
    let agreement = slots.agreement();
    let header = slots.header()?;
    let sequence = match header.state {
        // A journal that the host cannot read stands where the header says that it begins.
        LayerState::Open => journal::replay(file, header, Vec::new())
            .map_or(header.journal.sequence, |replay| replay.sequence),
        LayerState::Frozen => header.journal.sequence,
    };
    Some(Picture {
        length: file.length(),
        generation: header.generation,
        sequence,
        slots: agreement,
    })
}

struct Look<'a, 'p> {
    file: &'a InspectedFile,
    options: &'a CheckOptions,
    progress: &'a mut Progress<'p>,
    looked: Looked,
    layer: Option<LayerId>,
    /// Something of the map does not verify: what lies under it must not be taken for the truth.
    map_broken: bool,
}

impl<'a, 'p> Look<'a, 'p> {
    fn new(
        file: &'a InspectedFile,
        options: &'a CheckOptions,
        progress: &'a mut Progress<'p>,
    ) -> Look<'a, 'p> {
        let (looked, layer) = (Looked::default(), None);
        Look { file, options, progress, looked, layer, map_broken: false }
    }

    fn run(mut self, id: Option<LayerId>) -> Result<Looked> {
        let slots = Slots::read(self.file);
        let agreement = slots.agreement();
        self.layer = slots.header().map(|header| header.layer);
        self.looked.report.counts.layers = 1;
        self.slots(&slots);
        let Some(header) = slots.header() else { return Ok(self.looked) };
        if let Err(newer) = header.expect_writable("write to a layer") {
            self.error(Severity::Newer, &newer);
        }
        if let Some(id) = id.filter(|&id| id != header.layer) {
            let what = format!("the slots are of layer {}, the name of layer {id}", header.layer);
            self.push(Severity::Damage, Some(8), what);
        }
        self.length(header);
        let sources = self.blob(header, header.sources, PageKind::Sources, "table of sources");
        let sources = self.decoded(header.sources, sources, sources::decode).unwrap_or_default();
        let annotations =
            self.blob(header, header.annotations, PageKind::Annotations, "annotations");
        self.decoded(header.annotations, annotations, Annotations::decode);
        let free = self.blob(header, header.free_space, PageKind::FreeSpace, "free space");
        let free = self.decoded(header.free_space, free, FreeSpace::decode);
        let mut replay = match header.state {
            LayerState::Open => self.journal(header, sources)?,
            LayerState::Frozen => Replay {
                sources,
                sequence: header.journal.sequence,
                volume_bytes: header.volume_bytes,
                ..Replay::default()
            },
        };
        self.looked.picture = Some(Picture {
            length: self.file.length(),
            generation: header.generation,
            sequence: replay.sequence,
            slots: agreement,
        });
        for run in replay.levels.iter().filter_map(|level| match level {
            Level::Run(run) => Some(run),
            Level::Records(_) => None,
        }) {
            self.verify_run(run)?;
        }
        for piece in &header.runs {
            if let Some(run) = self.open_run(header, piece)? {
                self.verify_run(&run)?;
                replay.levels.push(Level::Run(Box::new(run)));
            }
        }
        self.generations(header);
        if self.map_broken {
            let what = "the map is not whole: space and data were not checked".to_owned();
            self.push(Severity::Note, None, what);
            return Ok(self.looked);
        }
        self.map(header, &replay, free.filter(|free| free.sequence == replay.sequence))?;
        Ok(self.looked)
    }

    fn slots(&mut self, slots: &Slots) {
        if let Some(error) = slots.newer() {
            return self.error(Severity::Newer, error);
        }
        let severity = match slots.agreement() {
            Agreement::Same => return,
            Agreement::OneBroken(_) => Severity::Degraded,
            Agreement::OneOlder(older) => {
                let generation =
                    |slot: usize| slots.slots[slot].as_ref().map_or(0, |header| header.generation);
                let what = format!(
                    "header slot {older} holds generation {}, the other one {}",
                    generation(older),
                    generation(1 - older)
                );
                return self.push(Severity::Degraded, Some(older as u64 * 4096), what);
            }
            Agreement::Contradiction => {
                let what = "the header slots contradict each other".to_owned();
                return self.push(Severity::Damage, Some(4096), what);
            }
            Agreement::BothBroken => Severity::Damage,
        };
        for error in slots.slots.iter().filter_map(|slot| slot.as_ref().err()) {
            self.error(severity, error);
        }
    }

    fn length(&mut self, header: &Header) {
        let (found, said) = (self.file.length(), header.file_bytes);
        let (wrong, expected) = match header.state {
            LayerState::Frozen => (found != said, format!("{said} bytes")),
            LayerState::Open => (found < said, format!("at least {said} bytes")),
        };
        if wrong {
            let what = format!("file length: found {found} bytes, expected {expected}");
            self.push(Severity::Damage, Some(found.min(said)), what);
        }
    }

    fn blob(
        &mut self,
        header: &Header,
        piece: Option<PieceRef>,
        kind: PageKind,
        what: &'static str,
    ) -> Option<Vec<u8>> {
        let piece = piece?;
        let base = piece.place.byte_offset_checked(header.block_size)?;
        let body = self.file.bytes(base, piece.bytes).and_then(|bytes| {
            blob::decode(what, kind, header.layer, &piece, &bytes)
                .map(<[u8]>::to_vec)
                .map_err(self.file.located(base))
        });
        match body {
            Ok(body) => Some(body),
            Err(error) => {
                self.map_broken |= kind == PageKind::Sources;
                self.error(Severity::Damage, &error);
                None
            }
        }
    }

    fn decoded<T>(
        &mut self,
        piece: Option<PieceRef>,
        body: Option<Vec<u8>>,
        decode: fn(&[u8]) -> Result<T>,
    ) -> Option<T> {
        match decode(&body?) {
            Ok(value) => Some(value),
            Err(error) => {
                let what = text_of(&error);
                let block = piece.map(|piece| piece.place);
                self.push_block(Severity::Damage, None, block, what);
                None
            }
        }
    }

    fn journal(&mut self, header: &Header, sources: Vec<LayerRef>) -> Result<Replay> {
        let replay = match journal::replay(self.file, header, sources) {
            Ok(replay) => replay,
            Err(error) => {
                self.error(Severity::Damage, &error);
                self.map_broken = true;
                return Ok(Replay { sequence: header.journal.sequence, ..Replay::default() });
            }
        };
        self.map_broken |= !replay.damage.is_empty();
        for error in &replay.damage {
            // Errors of a journal lie at the start of a block: a record's, or one of its data.
            let block = error.offset().map(|at| FileBlock(at / header.block_size.bytes()));
            let severity = Severity::Damage.of(error);
            self.push_block(severity, error.offset(), block, text_of(error));
        }
        if let Some(torn) = &replay.torn {
            self.looked.report.counts.torn_tails += 1;
            let what = format!(
                "commit {} was begun and never acknowledged: {}",
                replay.sequence + 1,
                text_of(torn)
            );
            self.push(Severity::Note, torn.offset(), what);
        }
        self.looked.report.counts.records += replay.records.len() as u64;
        Ok(replay)
    }

    fn open_run(&mut self, header: &Header, piece: &PieceRef) -> Result<Option<InspectedRun>> {
        let base = piece.place.byte_offset(header.block_size);
        match InspectedRun::open(self.file, base, PageKind::Run, header.layer, piece) {
            Ok(run) => Ok(Some(run)),
            Err(error) => {
                self.map_broken = true;
                self.error(Severity::Damage, &error);
                Ok(None)
            }
        }
    }

    fn verify_run(&mut self, run: &InspectedRun) -> Result<()> {
        self.looked.report.counts.runs += 1;
        let mut broken = Vec::new();
        if let Err(error) = run.verify_chunks(&mut |error| broken.push(error)) {
            broken.push(error);
        }
        if broken.is_empty()
            && let Err(error) = run.verify_structure()
        {
            broken.push(error);
        }
        if run.head.block_checksums.is_none() {
            let what = "a run of a layer carries no checksums of its blocks".to_owned();
            self.push(Severity::Damage, Some(run.base), what);
            self.map_broken = true;
        }
        self.map_broken |= !broken.is_empty();
        broken.iter().for_each(|error| self.error(Severity::Damage, error));
        Ok(())
    }

    /// No two pieces share a generation, and the next one is above all of them.
    fn generations(&mut self, header: &Header) {
        let blobs = [header.sources, header.annotations, header.free_space];
        let mut seen = HashMap::new();
        for piece in blobs.iter().flatten().chain(&header.runs) {
            if piece.generation >= header.piece_generation {
                let what = format!(
                    "a piece of generation {} is not below the next one, {}",
                    piece.generation, header.piece_generation
                );
                self.push_block(Severity::Damage, None, Some(piece.place), what);
            }
            if let Some(other) = seen.insert(piece.generation, piece.place) {
                let what = format!(
                    "a piece of the generation of another one at block {other}: {}",
                    piece.generation
                );
                self.push_block(Severity::Damage, None, Some(piece.place), what);
            }
        }
    }

    fn map(&mut self, header: &Header, replay: &Replay, free: Option<FreeSpace>) -> Result<()> {
        let mut space = Space::new(header.block_size);
        for (piece, what) in [
            (&header.sources, "table of sources"),
            (&header.annotations, "annotations"),
            (&header.free_space, "saved free space"),
        ] {
            piece.iter().for_each(|piece| space.piece(piece, what));
        }
        header.runs.iter().for_each(|piece| space.piece(piece, "run"));
        if header.state == LayerState::Open {
            replay.pieces.iter().for_each(|piece| space.piece(piece, "piece of a record"));
            replay.records.iter().for_each(|&place| space.record(place, "journal record"));
            replay.next.iter().for_each(|&place| space.record(place, "place of the next record"));
        }
        if let Err(error) = self.walk(header, replay, &mut space) {
            self.error(Severity::Damage, &error);
            return Ok(());
        }
        let leaked = space.compare(free.as_ref(), &mut |(block, what)| {
            let offset = block.byte_offset_checked(header.block_size);
            self.push_block(Severity::Damage, offset, Some(block), what);
        });
        if leaked > 0 {
            let what = format!("{leaked} blocks are held to be in use, and nothing uses them");
            self.push(Severity::Note, None, what);
        }
        Ok(())
    }

    fn walk(&mut self, header: &Header, replay: &Replay, space: &mut Space) -> Result<()> {
        let blocks = Blocks { file: self.file, layer: header.layer, size: header.block_size };
        let first = header.block_size.blocks_for(HEADER_BYTES);
        let file_blocks = self.file.length() / header.block_size.bytes();
        let mut batch = Vec::new();
        self.looked.reach = vec![0; replay.sources.len()];
        let mut merged = Merged::over(&replay.levels)?;
        while let Some(mapped) = merged.next()? {
            let Target::Data { source, block } = mapped.extent.target else { continue };
            self.looked.report.counts.extents += 1;
            if !is_own_data(&mapped) {
                if source.0 as usize > replay.sources.len() {
                    let what = format!(
                        "address {} names source {} of {}",
                        mapped.extent.start,
                        source.0,
                        replay.sources.len()
                    );
                    self.push(Severity::Damage, None, what);
                } else {
                    let reach = &mut self.looked.reach[source.0 as usize - 1];
                    *reach = (*reach).max(block.0 + mapped.extent.length);
                }
                continue;
            }
            if block.0 < first || block.0 + mapped.extent.length > file_blocks {
                let what = format!(
                    "address {} maps {} blocks from block {block} on, the file has blocks {first} to {}",
                    mapped.extent.start,
                    mapped.extent.length,
                    file_blocks.saturating_sub(1)
                );
                let offset = block.byte_offset_checked(header.block_size);
                self.push_block(Severity::Damage, offset, Some(block), what);
                continue;
            }
            space.data(block, mapped.extent.length);
            if self.options.data {
                for portion in portions(mapped, header.block_size) {
                    batch.push(portion);
                    if batch.len() == PORTIONS_AT_A_TIME {
                        self.data(header, &blocks, &mut batch)?;
                    }
                }
            }
        }
        self.data(header, &blocks, &mut batch)
    }

    fn data(
        &mut self,
        header: &Header,
        blocks: &Blocks<'_>,
        batch: &mut Vec<Mapped>,
    ) -> Result<()> {
        let bad = blocks.verify_all(self.file, batch)?;
        let count: u64 = batch.iter().map(|portion| portion.extent.length).sum();
        self.looked.report.counts.data_blocks += count;
        self.progress.data(count * header.block_size.bytes());
        batch.clear();
        for bad in bad {
            if header.thinned {
                self.lose(&bad);
            } else {
                let what = format!(
                    "block {} of layer {} (address {}): {}",
                    bad.block,
                    header.layer,
                    bad.address,
                    text_of(&bad.error)
                );
                let offset = bad.block.byte_offset_checked(header.block_size);
                self.push_block(Severity::Damage, offset, Some(bad.block), what);
            }
        }
        Ok(())
    }

    fn lose(&mut self, bad: &BadBlock) {
        if let Some(last) = self.looked.lost.last_mut()
            && last.start.0 + last.length == bad.address.0
            && last.block.0 + last.length == bad.block.0
        {
            last.length += 1;
            return;
        }
        self.looked.lost.push(Lost { start: bad.address, length: 1, block: bad.block });
    }

    fn error(&mut self, severity: Severity, error: &Error) {
        self.push(severity.of(error), error.offset(), text_of(error));
    }

    fn push(&mut self, severity: Severity, offset: Option<u64>, what: String) {
        self.push_block(severity, offset, None, what);
    }

    fn push_block(
        &mut self,
        severity: Severity,
        offset: Option<u64>,
        block: Option<FileBlock>,
        what: String,
    ) {
        let path = self.file.path().to_owned();
        self.looked.report.push(Finding { severity, path, offset, layer: self.layer, block, what });
    }
}
