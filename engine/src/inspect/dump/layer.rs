//! A layer file: slots, what they name, the journal, and where neither slot verifies every page.

use super::item::{DumpField, DumpItem, DumpValue, Verdict};
use super::schema::{self, of_kind};
use super::{DumpOptions, Visit};
use crate::error::Result;
use crate::extent::Target;
use crate::format::header::{Header, LayerKind, LayerState};
use crate::format::identity::LAYER_REF_BYTES;
use crate::format::page::{self, MAGIC, PageKind};
use crate::format::record::{EXTENT_BYTES, extents_offset};
use crate::format::{Annotations, FreeSpace, LayerRef, PieceRef, Record, blob, sources};
use crate::inspect::file::{InspectedFile, Page};
use crate::inspect::journal;
use crate::inspect::run::{InspectedRun, Mapped};
use crate::inspect::slots::Slots;
use crate::units::{BlockSize, FileBlock, PAGE_BYTES};

/// Dumps a layer file.
pub fn layer(file: &InspectedFile, options: &DumpOptions, visit: Visit<'_>) -> Result<()> {
    let slots = Slots::read(file);
    for (number, slot) in (0..).zip(&slots.slots) {
        let what = format!("header slot {number}");
        let offset = number * PAGE_BYTES;
        page_item(file, 1, offset, what, PageKind::Header, Verdict::of(slot), visit)?;
    }
    let Ok(header) = slots.into_header() else { return every_page(file, visit) };
    let layer = Layer { file, header: &header, options };
    for (piece, kind) in [
        (header.sources, PageKind::Sources),
        (header.annotations, PageKind::Annotations),
        (header.free_space, PageKind::FreeSpace),
    ] {
        if let Some(piece) = piece {
            layer.blob(1, kind, &piece, visit)?;
        }
    }
    if header.state == LayerState::Open {
        layer.journal(visit)?;
    }
    for (number, piece) in header.runs.iter().enumerate() {
        layer.run(1, format!("run {number}"), piece, visit)?;
    }
    match header.kind {
        LayerKind::Tree if options.extents => super::tree::tree(file, &header, visit),
        _ => Ok(()),
    }
}

struct Layer<'a> {
    file: &'a InspectedFile,
    header: &'a Header,
    options: &'a DumpOptions,
}

impl Layer<'_> {
    fn offset(&self, place: FileBlock) -> u64 {
        place.0.saturating_mul(self.header.block_size.bytes())
    }

    fn blob(&self, depth: u32, kind: PageKind, piece: &PieceRef, visit: Visit<'_>) -> Result<()> {
        let base = self.offset(piece.place);
        let what = schema::name_of_kind(kind);
        let bytes = self.file.bytes(base, piece.bytes);
        let verified = match &bytes {
            Ok(bytes) => {
                blob::decode(what, kind, self.header.layer, piece, bytes).map(<[u8]>::to_vec)
            }
            Err(_) => Ok(Vec::new()),
        };
        let verdict = if bytes.is_err() { Verdict::of(&bytes) } else { Verdict::of(&verified) };
        page_item(self.file, depth, base, what.to_owned(), kind, verdict, visit)?;
        let Ok(bytes) = bytes else { return Ok(()) };
        // Where the checksum is wrong the body is shown as the head says that it lies.
        let body = verified.unwrap_or_else(|_| unverified_body(&bytes));
        let mut item =
            DumpItem::new(depth + 1, base + PAGE_BYTES, body.len() as u64, "body", Verdict::Part);
        let at = base + PAGE_BYTES;
        item.fields = match kind {
            PageKind::Sources => source_fields(&body, at),
            PageKind::Annotations => match Annotations::decode(&body) {
                Ok(annotations) => annotation_fields(&annotations, at),
                Err(error) => {
                    item.verdict = Verdict::of::<()>(&Err(error));
                    Vec::new()
                }
            },
            _ => {
                let decoded = FreeSpace::decode(&body);
                item.verdict = Verdict::of(&decoded);
                let shown = schema::FREE_SPACE.fields(&body, at);
                shown
                    .into_iter()
                    .chain(decoded.iter().flat_map(|free| free_fields(free, at)))
                    .collect()
            }
        };
        visit(&item)
    }

    fn journal(&self, visit: Visit<'_>) -> Result<()> {
        let sources = match self.header.sources {
            Some(piece) => self.sources(&piece).unwrap_or_default(),
            None => Vec::new(),
        };
        let replay = match journal::replay(self.file, self.header, sources) {
            Ok(replay) => replay,
            Err(error) => {
                let offset = self.offset(self.header.journal.next);
                let verdict = Verdict::of::<()>(&Err(error));
                return visit(&DumpItem::new(1, offset, PAGE_BYTES, "journal", verdict));
            }
        };
        for &place in &replay.records {
            self.record(place, "journal record", None, visit)?;
        }
        let reasons = replay.damage.iter().chain(&replay.torn).map(|error| error.to_string());
        let mut ends = reasons.collect::<Vec<_>>().into_iter();
        for (place, what) in replay.next.into_iter().zip(["next record", "record after next"]) {
            let damaged = !replay.damage.is_empty();
            let verdict = match ends.next() {
                Some(reason) if damaged => Verdict::Broken(reason),
                Some(reason) => Verdict::Absent(reason),
                None => Verdict::Absent("not written yet".to_owned()),
            };
            self.record(place, what, Some(verdict), visit)?;
        }
        Ok(())
    }

    fn sources(&self, piece: &PieceRef) -> Result<Vec<LayerRef>> {
        let bytes = self.file.bytes(self.offset(piece.place), piece.bytes)?;
        let what = "table of sources";
        sources::decode(blob::decode(what, PageKind::Sources, self.header.layer, piece, &bytes)?)
    }

    /// A record's head, its items, and the pieces that it names.
    fn record(
        &self,
        place: FileBlock,
        what: &str,
        verdict: Option<Verdict>,
        visit: Visit<'_>,
    ) -> Result<()> {
        let base = self.offset(place);
        let Ok(bytes) = self.file.page(base) else {
            let verdict = verdict.unwrap_or_else(|| Verdict::Absent("past the end".to_owned()));
            return visit(&DumpItem::new(1, base, PAGE_BYTES, what, verdict));
        };
        let record = Record::decode(&bytes, self.header.layer, place);
        if record.is_err() && bytes[..4] != MAGIC.to_le_bytes() {
            let verdict = verdict.unwrap_or_else(|| Verdict::of(&record));
            return visit(&DumpItem::new(1, base, PAGE_BYTES, what, verdict));
        }
        let verdict = verdict.unwrap_or_else(|| Verdict::of(&record));
        page_item(self.file, 1, base, what.to_owned(), PageKind::Record, verdict, visit)?;
        let Ok((record, _)) = record else { return Ok(()) };
        let first = extents_offset(record.added_sources.len(), 0)
            - record.added_sources.len() * LAYER_REF_BYTES;
        let added = &bytes[first..first + record.added_sources.len() * LAYER_REF_BYTES];
        if !added.is_empty() {
            let (at, length) = (base + first as u64, added.len() as u64);
            let mut item = DumpItem::new(2, at, length, "added sources", Verdict::Part);
            item.fields = source_fields(added, at);
            visit(&item)?;
        }
        if self.options.extents {
            self.record_extents(base, &bytes, &record, visit)?;
        }
        if let Some(piece) = &record.sources {
            self.blob(2, PageKind::Sources, piece, visit)?;
        }
        for (number, piece) in record.runs.iter().enumerate() {
            self.run(2, format!("run {number} of the record"), piece, visit)?;
        }
        Ok(())
    }

    fn record_extents(
        &self,
        base: u64,
        page: &Page,
        record: &Record,
        visit: Visit<'_>,
    ) -> Result<()> {
        let first = extents_offset(record.added_sources.len(), record.runs.len());
        let mut checksums = first + record.extents.len() * EXTENT_BYTES;
        for (number, extent) in record.extents.iter().enumerate() {
            let start = first + number * EXTENT_BYTES;
            let at = base + start as u64;
            let mut item = DumpItem::new(2, at, EXTENT_BYTES as u64, "extent", Verdict::Part);
            item.fields = schema::EXTENT.fields(&page[start..start + EXTENT_BYTES], at);
            if let Target::Data { .. } = extent.target {
                let length = 4 * extent.length as usize;
                let values = page[checksums..checksums + length].chunks_exact(4);
                for (block, value) in values.enumerate() {
                    let value = u32::from_le_bytes(value.try_into().expect("4 bytes"));
                    let at = checksums + 4 * block;
                    item.fields.push(checksum_field(base + at as u64, block as u64, value));
                }
                checksums += length;
            }
            visit(&item)?;
        }
        Ok(())
    }

    fn run(&self, depth: u32, what: String, piece: &PieceRef, visit: Visit<'_>) -> Result<()> {
        let base = self.offset(piece.place);
        let run = InspectedRun::open(self.file, base, PageKind::Run, self.header.layer, piece);
        run_items(self.file, self.options, depth, what, base, run, visit)
    }
}

/// A page by its table, whether or not it verifies.
pub fn page_item(
    file: &InspectedFile,
    depth: u32,
    offset: u64,
    what: String,
    kind: PageKind,
    verdict: Verdict,
    visit: Visit<'_>,
) -> Result<()> {
    let mut item = DumpItem::new(depth, offset, PAGE_BYTES, what, verdict);
    match file.page(offset) {
        Ok(page) => {
            item.fields = schema::PRELUDE.fields(&page[..], offset);
            item.fields.extend(of_kind(kind).fields(&page[..], offset));
        }
        Err(error) => item.verdict = Verdict::of::<()>(&Err(error)),
    }
    visit(&item)
}

/// A run: its head, the checksums of its chunks, its sections, its extents.
pub fn run_items(
    file: &InspectedFile,
    options: &DumpOptions,
    depth: u32,
    what: String,
    base: u64,
    run: Result<InspectedRun>,
    visit: Visit<'_>,
) -> Result<()> {
    page_item(file, depth, base, what, PageKind::Run, Verdict::of(&run), visit)?;
    let Ok(run) = run else { return Ok(()) };
    let mut broken = Vec::new();
    if let Err(error) = run.verify_chunks(&mut |error| broken.push(error)) {
        broken.push(error);
    }
    let layout = run.layout;
    for (name, section) in [
        ("chunk checksums", layout.chunk_checksums),
        ("superblock highs", layout.superblock_highs),
        ("superblock firsts", layout.superblock_firsts),
        ("superblock tree", layout.superblock_tree),
        ("low trees", layout.low_trees),
        ("lows", layout.lows),
        ("words", layout.words),
        ("wide", layout.wide),
        ("checksum samples", layout.samples),
        ("block checksums", layout.block_checksums),
    ] {
        if section.bytes == 0 {
            continue;
        }
        let at = base + section.offset;
        // A chunk has one checksum for all that lies in it: a section is broken where it may be.
        let touched = broken.iter().find(|error| {
            error.offset().is_some_and(|bad| {
                bad < at + section.bytes && at < bad.saturating_add(crate::format::run::CHUNK_BYTES)
            })
        });
        let verdict = match touched {
            Some(error) => Verdict::Broken(crate::inspect::report::text_of(error)),
            None => Verdict::Verified,
        };
        visit(&DumpItem::new(depth + 1, at, section.bytes, name, verdict))?;
    }
    match options.extents {
        true => extents(depth, &run, visit),
        false => Ok(()),
    }
}

fn extents(depth: u32, run: &InspectedRun, visit: Visit<'_>) -> Result<()> {
    let mut cursor = run.cursor();
    loop {
        match cursor.next() {
            Ok(Some(mapped)) => {
                let mut item =
                    DumpItem::new(depth + 1, cursor.last_position(), 8, "extent", Verdict::Part);
                item.fields = extent_fields(&mapped, cursor.last_position());
                visit(&item)?;
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                let at = error.offset().unwrap_or(run.base);
                let verdict = Verdict::of::<()>(&Err(error));
                return visit(&DumpItem::new(depth + 1, at, 8, "extents from here on", verdict));
            }
        }
    }
}

fn extent_fields(mapped: &Mapped, at: u64) -> Vec<DumpField> {
    let field =
        |name: &str, value| DumpField { offset: at, bytes: 8, name: name.to_owned(), value };
    let extent = &mapped.extent;
    let named = |value, name: &str| DumpValue::Named { value, name: name.to_owned() };
    let mut fields = vec![
        field("extent start", DumpValue::Number(extent.start.0)),
        field("extent length", DumpValue::Number(extent.length)),
    ];
    match extent.target {
        Target::Hole => fields.push(field("extent source", named(0, "hole"))),
        Target::Zero => fields.push(field("extent source", named(1, "zeros"))),
        Target::Data { source, block } => {
            let code = u64::from(source.0) + 2;
            fields.push(field("extent source", named(code, &format!("source {}", source.0))));
            fields.push(field("extent block", DumpValue::Number(block.0)));
            if mapped.checksums_at != 0 {
                fields.push(DumpField {
                    offset: mapped.checksums_at,
                    bytes: 4 * extent.length,
                    name: "block checksums at".to_owned(),
                    value: DumpValue::Number(mapped.checksums_at),
                });
            }
        }
    }
    fields
}

fn checksum_field(offset: u64, block: u64, value: u32) -> DumpField {
    DumpField {
        offset,
        bytes: 4,
        name: format!("checksum of block {block}"),
        value: DumpValue::Bits { value: u64::from(value), digits: 8 },
    }
}

fn unverified_body(bytes: &[u8]) -> Vec<u8> {
    let rest = bytes.get(PAGE_BYTES as usize..).unwrap_or_default();
    let said = bytes
        .get(page::PRELUDE_BYTES..page::PRELUDE_BYTES + 8)
        .map_or(0, |said| u64::from_le_bytes(said.try_into().expect("8 bytes")));
    rest[..rest.len().min(usize::try_from(said).unwrap_or(usize::MAX))].to_vec()
}

fn source_fields(body: &[u8], at: u64) -> Vec<DumpField> {
    let entries = body.chunks_exact(LAYER_REF_BYTES).enumerate();
    entries
        .flat_map(|(number, entry)| {
            let fields = schema::LAYER.fields(entry, at + (number * LAYER_REF_BYTES) as u64);
            fields
                .into_iter()
                .map(move |field| DumpField { name: format!("{number}: {}", field.name), ..field })
        })
        .collect()
}

/// The parts that are there, each where it stands: before each a presence byte or a length.
fn annotation_fields(annotations: &Annotations, base: u64) -> Vec<DumpField> {
    let mut fields = Vec::new();
    let mut push = |offset: u64, bytes: usize, name: String, value| {
        fields.push(DumpField { offset, bytes: bytes as u64, name, value });
    };
    if let Some(created) = annotations.created {
        push(base + 1, 8, "created".to_owned(), DumpValue::Signed(created));
    }
    let mut at = base + 9;
    for (name, text) in [("created by", &annotations.created_by), ("comment", &annotations.comment)]
    {
        let length = text.as_ref().map_or(0, String::len);
        if let Some(text) = text {
            push(at + 5, length, name.to_owned(), DumpValue::Text(text.clone()));
        }
        at += 5 + length as u64;
    }
    at += 4;
    for (key, value) in &annotations.labels {
        at += 4 + key.len() as u64 + 4;
        push(at, value.len(), format!("label {key:?}"), DumpValue::Text(value.clone()));
        at += value.len() as u64;
    }
    fields
}

fn free_fields(free: &FreeSpace, at: u64) -> Vec<DumpField> {
    let used: u64 = free.used.iter().map(|word| u64::from(word.count_ones())).sum();
    let bitmap = at + 24;
    let list = bitmap + 8 * free.used.len() as u64;
    let field = |offset, bytes, name: String, value| DumpField {
        offset,
        bytes,
        name,
        value: DumpValue::Number(value),
    };
    let mut fields = vec![field(bitmap, list - bitmap, "blocks in use".to_owned(), used)];
    for (number, (block, extra)) in (0..).zip(&free.shared) {
        let name = format!("extents of block {block} beyond the first");
        fields.push(field(list + 12 * number, 12, name, u64::from(*extra)));
    }
    fields
}

/// Where neither slot verifies: every page that says it is one of ours.
fn every_page(file: &InspectedFile, visit: Visit<'_>) -> Result<()> {
    for number in 2..file.length() / PAGE_BYTES {
        let offset = number * PAGE_BYTES;
        let Ok(page) = file.page(offset) else { continue };
        if page[..4] != MAGIC.to_le_bytes() {
            continue;
        }
        let Some(kind) = schema::kind_named(u16::from_le_bytes([page[4], page[5]])) else {
            continue;
        };
        let what = schema::name_of_kind(kind);
        let opened = page::open(what, &page, kind);
        let verdict = match &opened {
            Ok((prelude, _)) if !lies_at(prelude.place, offset) => {
                Verdict::Broken(format!("it belongs at block {}", prelude.place))
            }
            opened => Verdict::of(opened),
        };
        page_item(file, 1, offset, format!("{what}, found by its page"), kind, verdict, visit)?;
    }
    Ok(())
}

/// Whether a page of that place can lie at byte `offset`, with any block size.
fn lies_at(place: FileBlock, offset: u64) -> bool {
    (12..=16).any(|log2| {
        BlockSize::from_bytes(1 << log2)
            .is_ok_and(|size| place.byte_offset_checked(size) == Some(offset))
    })
}
