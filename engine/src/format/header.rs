//! The header slots of a layer file: two pages at bytes 0 and 4,096.
//!
//! A change writes one slot, syncs, and writes the other one the same. At rest
//! both say the same, so a slot that rots cannot bring back an older state. A
//! header never names a length or a piece that was not synced before.

use super::fields::{FieldReader, FieldWriter};
use super::identity::{LAYER_REF_BYTES, LayerRef};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use super::piece::{PIECE_REF_BYTES, PieceRef};
use crate::error::{Error, Result};
use crate::units::{
    ADDRESS_END, BlockAddress, BlockSize, FileBlock, LayerId, PAGE_BYTES, VOLUME_BYTES_MAX,
};

/// The bytes at the start of a layer file that hold the two slots.
pub const HEADER_BYTES: u64 = 2 * PAGE_BYTES;
/// How many runs a header can name. Runs grow geometrically, so 32 stand for more
/// extents than an address space holds; what comes past it is folded first.
pub const RUNS_MAX: usize = 32;

/// What numbers that grow by one at a time stay below: no writer gets there, and who counts on from
/// one does not overflow.
const COUNTS_END: u64 = 1 << 63;

const GENERATION_OFFSET: usize = 24;
const FEATURES_OFFSET: usize = PRELUDE_BYTES;
const KIND_OFFSET: usize = FEATURES_OFFSET + 3 * 8;
const STATE_OFFSET: usize = KIND_OFFSET + 1;
const BLOCK_SIZE_OFFSET: usize = STATE_OFFSET + 1;
const RUN_COUNT_OFFSET: usize = BLOCK_SIZE_OFFSET + 1;
const MARKS_OFFSET: usize = RUN_COUNT_OFFSET + 1;
const VOLUME_BYTES_OFFSET: usize = MARKS_OFFSET + 4;
const FILE_BYTES_OFFSET: usize = VOLUME_BYTES_OFFSET + 8;
const FREEZE_GENERATION_OFFSET: usize = FILE_BYTES_OFFSET + 8;
const PARENT_OFFSET: usize = FREEZE_GENERATION_OFFSET + 8;
const DIGEST_OFFSET: usize = PARENT_OFFSET + LAYER_REF_BYTES;
const JOURNAL_OFFSET: usize = DIGEST_OFFSET + 32;
const PIECE_GENERATION_OFFSET: usize = JOURNAL_OFFSET + 4 * 8 + 4;
const SOURCES_OFFSET: usize = PIECE_GENERATION_OFFSET + 8;
const ANNOTATIONS_OFFSET: usize = SOURCES_OFFSET + PIECE_REF_BYTES;
const FREE_SPACE_OFFSET: usize = ANNOTATIONS_OFFSET + PIECE_REF_BYTES;
const RUNS_OFFSET: usize = FREE_SPACE_OFFSET + PIECE_REF_BYTES;
const RESERVED_OFFSET: usize = RUNS_OFFSET + RUNS_MAX * PIECE_REF_BYTES;
const _: () = assert!(RESERVED_OFFSET <= CRC_OFFSET);

/// The fields of a slot: offset and name, for the normative tables and for dumps.
pub const FIELDS: &[(usize, &str)] = &[
    (FEATURES_OFFSET, "features"),
    (KIND_OFFSET, "kind"),
    (STATE_OFFSET, "state"),
    (BLOCK_SIZE_OFFSET, "block size"),
    (RUN_COUNT_OFFSET, "run count"),
    (MARKS_OFFSET, "marks"),
    (VOLUME_BYTES_OFFSET, "volume bytes"),
    (FILE_BYTES_OFFSET, "file bytes"),
    (FREEZE_GENERATION_OFFSET, "freeze generation"),
    (PARENT_OFFSET, "parent"),
    (DIGEST_OFFSET, "digest"),
    (JOURNAL_OFFSET, "journal"),
    (PIECE_GENERATION_OFFSET, "next piece generation"),
    (SOURCES_OFFSET, "sources"),
    (ANNOTATIONS_OFFSET, "annotations"),
    (FREE_SPACE_OFFSET, "free space"),
    (RUNS_OFFSET, "runs"),
    (RESERVED_OFFSET, "reserved"),
    (CRC_OFFSET, "checksum"),
];

const MARK_REMOVED: u32 = 1 << 0;
const MARK_THINNED: u32 = 1 << 1;
const MARKS_KNOWN: u32 = MARK_REMOVED | MARK_THINNED;

/// What a reader must know to use the file: three masks of feature bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Unknown bits here: the file is refused.
    pub incompatible: u64,
    /// Unknown bits here: the file is opened for reading only.
    pub read_only_compatible: u64,
    /// Unknown bits here mean nothing to a reader or writer that does not know them.
    pub compatible: u64,
}

impl Features {
    /// The incompatible features known here: none yet.
    pub const INCOMPATIBLE_KNOWN: u64 = 0;
    /// The read-only compatible features known here: none yet.
    pub const READ_ONLY_COMPATIBLE_KNOWN: u64 = 0;

    /// Whether this version may write to the file.
    pub fn are_writable(&self) -> bool {
        self.unknown_to_writers() == 0
    }

    fn unknown_to_writers(&self) -> u64 {
        self.read_only_compatible & !Features::READ_ONLY_COMPATIBLE_KNOWN
    }
}

/// What a layer's addresses hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// A disk of a size in bytes.
    Disk,
    /// The blocks of a file view; no size.
    Tree,
}

impl LayerKind {
    /// Past the last address of a disk of `volume_bytes`; past the last that there is in a tree.
    pub fn address_end(self, volume_bytes: u64, block_size: BlockSize) -> BlockAddress {
        BlockAddress(match self {
            LayerKind::Disk => block_size.blocks_for(volume_bytes),
            LayerKind::Tree => ADDRESS_END,
        })
    }
}

/// Whether a layer can still change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerState {
    /// One writer.
    Open,
    /// Immutable; sealed where the header has a digest.
    Frozen,
}

/// Where the journal of an open layer begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The sequence number that the runs of the header include.
    pub sequence: u64,
    /// The place of the record after that one.
    pub next: FileBlock,
    /// The place of the record after the next.
    pub after_next: FileBlock,
    /// The sequence number known durable: a break up to it is damage.
    pub durable_sequence: u64,
    /// What the next record names as the checksum of the record before it.
    pub chain: u32,
}

/// What a header slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The layer's id.
    pub layer: LayerId,
    /// Grows by one with each change of the header.
    pub generation: u64,
    /// The three masks.
    pub features: Features,
    /// Disk or tree.
    pub kind: LayerKind,
    /// Open or frozen.
    pub state: LayerState,
    /// The size of a block.
    pub block_size: BlockSize,
    /// The snapshot was removed by its users; others may stand on it.
    pub removed: bool,
    /// Blocks that no kept view can see were given back.
    pub thinned: bool,
    /// The size of a disk in bytes; 0 for a tree.
    pub volume_bytes: u64,
    /// The length of the file: exact once frozen, at least that while open.
    pub file_bytes: u64,
    /// The generation of the header that froze the layer; 0 while open.
    pub freeze_generation: u64,
    /// The parent as it was when the layer was made.
    pub parent: Option<LayerRef>,
    /// The digest of the content, once sealed.
    pub digest: Option<crate::units::Digest>,
    /// Where the journal begins.
    pub journal: Journal,
    /// The generation of the next piece: above all that the header and its journal name.
    pub piece_generation: u64,
    /// The table of sources.
    pub sources: Option<PieceRef>,
    /// The annotations.
    pub annotations: Option<PieceRef>,
    /// The free space as a clean close left it.
    pub free_space: Option<PieceRef>,
    /// The runs, newest first; at most [`RUNS_MAX`].
    pub runs: Vec<PieceRef>,
}

impl Header {
    /// How the layer is recorded by a child that stands on it.
    pub fn layer_ref(&self) -> LayerRef {
        LayerRef {
            id: self.layer,
            volume_bytes: self.volume_bytes,
            freeze_generation: self.freeze_generation,
            map_checksum: self.map_checksum(),
            digest: self.digest,
        }
    }

    /// That this version may write to the file, for `operation`.
    ///
    /// Errors: that it is of a [newer version](Error::is_newer), which can be read here, and not written.
    pub fn expect_writable(&self, operation: &str) -> Result<()> {
        let unknown = self.features.unknown_to_writers();
        match unknown {
            0 => Ok(()),
            _ => {
                let (found, field) = (format!("{unknown:#x}"), "read-only compatible features");
                Err(Error::newer(operation, field, found, "none of these")
                    .at_offset(FEATURES_OFFSET as u64 + 8))
            }
        }
    }

    /// The checksum over the whole map: every run and the table of sources, each by
    /// the checksum of its head, which in turn covers all of it.
    pub fn map_checksum(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"sapwood map 1");
        hasher.update(&self.volume_bytes.to_le_bytes());
        for piece in self.sources.iter().chain(&self.runs) {
            hasher.update(&piece.bytes.to_le_bytes());
            hasher.update(&piece.generation.to_le_bytes());
            hasher.update(&piece.head_crc.to_le_bytes());
        }
        let digest = hasher.finalize();
        u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("8 of 32 bytes"))
    }

    /// The bytes of slot `slot` (0 or 1).
    pub fn encode(&self, slot: u64) -> [u8; PAGE_BYTES as usize] {
        assert!(self.runs.len() <= RUNS_MAX, "runs are folded before a header names them");
        let mut page = [0; PAGE_BYTES as usize];
        let mut fields = FieldWriter::new(&mut page);
        fields
            .seek(FEATURES_OFFSET)
            .u64(self.features.incompatible)
            .u64(self.features.read_only_compatible)
            .u64(self.features.compatible)
            .u8(match self.kind {
                LayerKind::Disk => 1,
                LayerKind::Tree => 2,
            })
            .u8(match self.state {
                LayerState::Open => 1,
                LayerState::Frozen => 2,
            })
            .u8(self.block_size.log2() as u8)
            .u8(self.runs.len() as u8)
            .u32(
                if self.removed { MARK_REMOVED } else { 0 }
                    | if self.thinned { MARK_THINNED } else { 0 },
            )
            .u64(self.volume_bytes)
            .u64(self.file_bytes)
            .u64(self.freeze_generation);
        LayerRef::write_optional(self.parent.as_ref(), &mut fields);
        fields
            .digest(self.digest)
            .u64(self.journal.sequence)
            .u64(self.journal.next.0)
            .u64(self.journal.after_next.0)
            .u64(self.journal.durable_sequence)
            .u32(self.journal.chain)
            .u64(self.piece_generation);
        for piece in [&self.sources, &self.annotations, &self.free_space] {
            PieceRef::write_optional(piece.as_ref(), &mut fields);
        }
        for run in &self.runs {
            run.write(&mut fields);
        }
        let prelude = Prelude {
            kind: PageKind::Header,
            layer: self.layer,
            generation: self.generation,
            place: FileBlock(slot),
        };
        page::finish(&mut page, &prelude);
        page
    }

    /// What slot `slot` (0 or 1) says, verified.
    pub fn decode(page: &[u8; PAGE_BYTES as usize], slot: u64) -> Result<Header> {
        let (prelude, _) = page::open("header slot", page, PageKind::Header)?;
        prelude.expect("header slot", prelude.layer, prelude.generation, FileBlock(slot))?;
        if prelude.generation >= COUNTS_END {
            let (found, expected) = (prelude.generation, "less than 2^63");
            let error = Error::corrupt("read header slot", "generation", found, expected);
            return Err(error.at_offset(GENERATION_OFFSET as u64));
        }
        let mut fields = FieldReader::new("header slot", page);
        fields.seek(FEATURES_OFFSET);
        let features = Features {
            incompatible: fields.u64("incompatible features")?,
            read_only_compatible: fields.u64("read-only compatible features")?,
            compatible: fields.u64("compatible features")?,
        };
        let unknown = features.incompatible & !Features::INCOMPATIBLE_KNOWN;
        if unknown != 0 {
            let (found, field) = (format!("{unknown:#x}"), "incompatible features");
            return Err(Error::newer("read header slot", field, found, "none of these")
                .at_offset(FEATURES_OFFSET as u64));
        }
        let kind = match fields.u8("kind")? {
            1 => LayerKind::Disk,
            2 => LayerKind::Tree,
            other => return Err(fields.bad("kind", 1, other, "1 (disk) or 2 (tree)")),
        };
        let state = match fields.u8("state")? {
            1 => LayerState::Open,
            2 => LayerState::Frozen,
            other => return Err(fields.bad("state", 1, other, "1 (open) or 2 (frozen)")),
        };
        let log2 = fields.u8("block size")?;
        if !(12..=16).contains(&log2) {
            return Err(fields.bad("block size", 1, log2, "12 to 16"));
        }
        let block_size = BlockSize::from_bytes(1 << log2)?;
        let run_count = usize::from(fields.u8("run count")?);
        if run_count > RUNS_MAX {
            return Err(fields.bad("run count", 1, run_count, format!("at most {RUNS_MAX}")));
        }
        let marks = fields.u32("marks")?;
        if marks & !MARKS_KNOWN != 0 {
            return Err(fields.bad("marks", 4, format!("{marks:#x}"), "known marks only"));
        }
        let volume_bytes = fields.u64("volume bytes")?;
        if volume_bytes > VOLUME_BYTES_MAX || kind == LayerKind::Tree && volume_bytes != 0 {
            return Err(fields.bad("volume bytes", 8, volume_bytes, "at most 2^63, 0 for a tree"));
        }
        let file_bytes = fields.u64("file bytes")?;
        if !(HEADER_BYTES..=i64::MAX as u64).contains(&file_bytes) {
            return Err(fields.bad("file bytes", 8, file_bytes, "8192 to 2^63 - 1"));
        }
        let freeze_generation = fields.u64("freeze generation")?;
        if (freeze_generation != 0) != (state == LayerState::Frozen)
            || freeze_generation > prelude.generation
        {
            return Err(fields.bad(
                "freeze generation",
                8,
                freeze_generation,
                "0 while open, at most the slot's own once frozen",
            ));
        }
        let parent = LayerRef::read_optional(&mut fields)?;
        let digest = fields.digest("digest")?;
        if let Some(digest) = digest.filter(|_| state == LayerState::Open) {
            return Err(fields.bad("digest", 32, digest, "none while the layer is open"));
        }
        let journal = Journal {
            sequence: count(&mut fields, "journal sequence")?,
            next: FileBlock(fields.u64("journal next place")?),
            after_next: FileBlock(fields.u64("journal place after next")?),
            durable_sequence: count(&mut fields, "journal durable sequence")?,
            chain: fields.u32("journal chain")?,
        };
        let piece_generation = count(&mut fields, "next piece generation")?;
        let sources = PieceRef::read_optional(&mut fields)?;
        let annotations = PieceRef::read_optional(&mut fields)?;
        let free_space = PieceRef::read_optional(&mut fields)?;
        let runs =
            (0..run_count).map(|_| PieceRef::read(&mut fields)).collect::<Result<Vec<_>>>()?;
        fields.zeros_until("reserved", CRC_OFFSET)?;
        for piece in [sources, annotations, free_space].iter().flatten().chain(&runs) {
            let end = piece.place.0.checked_mul(block_size.bytes());
            let end = end.and_then(|start| start.checked_add(piece.bytes));
            if piece.place.byte_offset_checked(block_size).is_none_or(|at| at < HEADER_BYTES)
                || end.is_none_or(|end| end > file_bytes)
            {
                return Err(Error::corrupt(
                    "read header slot",
                    "piece place",
                    format!("block {}, {} bytes", piece.place, piece.bytes),
                    format!("past the header and inside {file_bytes} bytes"),
                )
                .at_offset(SOURCES_OFFSET as u64));
            }
        }
        Ok(Header {
            layer: prelude.layer,
            generation: prelude.generation,
            features,
            kind,
            state,
            block_size,
            removed: marks & MARK_REMOVED != 0,
            thinned: marks & MARK_THINNED != 0,
            volume_bytes,
            file_bytes,
            freeze_generation,
            parent,
            digest,
            journal,
            piece_generation,
            sources,
            annotations,
            free_space,
            runs,
        })
    }
}

fn count(fields: &mut FieldReader<'_>, name: &'static str) -> Result<u64> {
    match fields.u64(name)? {
        number if number < COUNTS_END => Ok(number),
        number => Err(fields.bad(name, 8, number, "less than 2^63")),
    }
}
