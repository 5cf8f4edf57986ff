//! A packed run of extents: one piece of a layer file, used from the map as it lies.
//!
//! The piece begins with a head page and the checksums of its chunks; then
//! follow the sections, each at a multiple of 64 bytes, in this order:
//!
//! | section | bytes | what |
//! |---|---|---|
//! | chunk checksums | 4 each 64 KiB of what follows | seeded with layer, generation, place, kind and chunk number |
//! | superblock highs | 4 each | the upper 32 bits of addresses, each value once, ascending |
//! | superblock firsts | 4 each, and 4 | the first extent of each superblock; last the number of extents |
//! | superblock tree | 64 a node | a static tree over the highs |
//! | low trees | 64 each 128 extents | a static tree over the lows of each superblock of 512 extents or more, at node `first / 128` |
//! | lows | 4 an extent | the lower 32 bits of its start |
//! | words | 8 an extent | length, source and block |
//! | wide | 24 each | length, block, source code and 4 zero bytes, of extents that no word holds |
//! | checksum samples | 8 each 64 extents | how many block checksums belong to the extents before |
//! | block checksums | 4 a block | of each block of each data extent, in order |
//!
//! Zeros fill up the last page. The last two sections are there only in runs that
//! carry block checksums. A word holds, from its lowest bit: the source code
//! (0 hole, 1 zero, 2 + k source k; all ones: the rest of the word is an index
//! into the wide table), the length, and the block.

use super::fields::{FieldReader, FieldWriter};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use super::tree::{NODE_KEYS, TreeShape};
use crate::error::{Error, Result};
use crate::units::{BlockAddress, PAGE_BYTES};

const TOTAL_BYTES_OFFSET: usize = PRELUDE_BYTES;
const EXTENTS_OFFSET: usize = TOTAL_BYTES_OFFSET + 8;
const SUPERBLOCKS_OFFSET: usize = EXTENTS_OFFSET + 8;
const WIDE_OFFSET: usize = SUPERBLOCKS_OFFSET + 8;
const BLOCK_CHECKSUMS_OFFSET: usize = WIDE_OFFSET + 8;
const FIRST_ADDRESS_OFFSET: usize = BLOCK_CHECKSUMS_OFFSET + 8;
const END_ADDRESS_OFFSET: usize = FIRST_ADDRESS_OFFSET + 8;
const SOURCE_BITS_OFFSET: usize = END_ADDRESS_OFFSET + 8;
const LENGTH_BITS_OFFSET: usize = SOURCE_BITS_OFFSET + 1;
const FLAGS_OFFSET: usize = LENGTH_BITS_OFFSET + 1;
const CHUNKS_CRC_OFFSET: usize = FLAGS_OFFSET + 2;
const RESERVED_OFFSET: usize = CHUNKS_CRC_OFFSET + 4;
const _: () = assert!(RESERVED_OFFSET <= CRC_OFFSET);

/// The fields of a run's head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (TOTAL_BYTES_OFFSET, "total bytes"),
    (EXTENTS_OFFSET, "extents"),
    (SUPERBLOCKS_OFFSET, "superblocks"),
    (WIDE_OFFSET, "wide"),
    (BLOCK_CHECKSUMS_OFFSET, "block checksums"),
    (FIRST_ADDRESS_OFFSET, "first address"),
    (END_ADDRESS_OFFSET, "end address"),
    (SOURCE_BITS_OFFSET, "source bits"),
    (LENGTH_BITS_OFFSET, "length bits"),
    (FLAGS_OFFSET, "flags"),
    (CHUNKS_CRC_OFFSET, "chunk checksums"),
    (RESERVED_OFFSET, "reserved"),
    (CRC_OFFSET, "checksum"),
];

/// What of a run has a checksum of its own, in bytes.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// Sections begin at multiples of a cache line, in bytes.
pub const SECTION_ALIGN: u64 = 64;
/// Extents in one run at most: their numbers have 32 bits.
pub const RUN_EXTENTS_MAX: u64 = u32::MAX as u64;
/// From how many extents on a superblock has a search tree.
pub const TREE_EXTENTS_MIN: u64 = 512;
/// One node of the low trees is set apart for so many extents.
pub const EXTENTS_PER_NODE: u64 = 128;
/// Extents between two checksum samples.
pub const SAMPLE_EXTENTS: u64 = 64;
/// An entry of the wide table, in bytes.
pub const WIDE_BYTES: u64 = 24;
/// The widest source code in a word.
pub const SOURCE_BITS_MAX: u8 = 32;

/// The source code of a hole.
pub const CODE_HOLE: u32 = 0;
/// The source code of zeros.
pub const CODE_ZERO: u32 = 1;
/// The source code of source 0.
pub const CODE_DATA: u32 = 2;

const FLAG_BLOCK_CHECKSUMS: u16 = 1;
const WHAT: &str = "head of a run";

/// The widths of the fields of a word; the block has what is left of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordWidths {
    /// Bits of the source code.
    pub source_bits: u8,
    /// Bits of the length.
    pub length_bits: u8,
}

/// What a word says before the wide table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The source code.
    pub code: u32,
    /// The length in blocks.
    pub length: u64,
    /// The first block.
    pub block: u64,
}

impl WordWidths {
    /// The code that says: the rest of the word is an index into the wide table.
    #[inline]
    pub fn wide_code(self) -> u32 {
        ((1u64 << self.source_bits) - 1) as u32
    }

    /// Bits of the block.
    #[inline]
    pub fn block_bits(self) -> u8 {
        64 - self.source_bits - self.length_bits
    }

    /// The parts of a word.
    #[inline]
    pub fn unpack(self, word: u64) -> Word {
        Word {
            code: word as u32 & self.wide_code(),
            length: (word >> self.source_bits) & ((1 << self.length_bits) - 1),
            block: word >> (self.source_bits + self.length_bits),
        }
    }

    /// The word of the parts; `None` where a part is too wide.
    #[inline]
    pub fn pack(self, parts: Word) -> Option<u64> {
        let fits = parts.code < self.wide_code()
            && parts.length >> self.length_bits == 0
            && parts.block >> (self.block_bits() - 1) >> 1 == 0;
        fits.then(|| {
            u64::from(parts.code)
                | parts.length << self.source_bits
                | parts.block << (self.source_bits + self.length_bits)
        })
    }

    /// The word that points at an entry of the wide table.
    pub fn pack_wide(self, index: u64) -> u64 {
        u64::from(self.wide_code()) | index << self.source_bits
    }

    /// The index that a word with [`wide_code`](Self::wide_code) holds.
    #[inline]
    pub fn unpack_wide(self, word: u64) -> u64 {
        word >> self.source_bits
    }
}

/// The head of a run, besides its prelude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHead {
    /// How many extents.
    pub extents: u64,
    /// How many superblocks.
    pub superblocks: u64,
    /// How many entries in the wide table.
    pub wide: u64,
    /// How many block checksums; `None` in a run that carries none.
    pub block_checksums: Option<u64>,
    /// The start of the first extent, 0 where there is none.
    pub first: BlockAddress,
    /// The end of the last extent, 0 where there is none.
    pub end: BlockAddress,
    /// The widths of the words.
    pub widths: WordWidths,
    /// The CRC-32 of the chunk checksums.
    pub chunks_crc: u32,
}

impl RunHead {
    /// Writes the head page and gives its CRC-32.
    pub fn encode(&self, page: &mut [u8; PAGE_BYTES as usize], prelude: &Prelude) -> Result<u32> {
        let layout = self.layout()?;
        let flags = if self.block_checksums.is_some() { FLAG_BLOCK_CHECKSUMS } else { 0 };
        let mut fields = FieldWriter::new(page);
        fields
            .seek(TOTAL_BYTES_OFFSET)
            .u64(layout.total_bytes)
            .u64(self.extents)
            .u64(self.superblocks)
            .u64(self.wide)
            .u64(self.block_checksums.unwrap_or(0))
            .u64(self.first.0)
            .u64(self.end.0)
            .u8(self.widths.source_bits)
            .u8(self.widths.length_bits)
            .u16(flags)
            .u32(self.chunks_crc);
        assert_eq!(fields.position(), RESERVED_OFFSET, "the head is written as laid out");
        Ok(page::finish(page, prelude))
    }

    /// Verifies a head page on its own and gives it with its prelude, its CRC-32
    /// and where its sections lie. What the prelude says is for the caller to compare.
    pub fn decode(
        page: &[u8; PAGE_BYTES as usize],
        kind: PageKind,
    ) -> Result<(RunHead, RunLayout, Prelude, u32)> {
        let (prelude, crc) = page::open(WHAT, page, kind)?;
        let mut fields = FieldReader::new(WHAT, page);
        fields.seek(TOTAL_BYTES_OFFSET);
        let total_bytes = fields.u64("total bytes")?;
        let extents = fields.u64("extents")?;
        if extents > RUN_EXTENTS_MAX {
            let expected = format!("{RUN_EXTENTS_MAX} at most");
            return Err(fields.bad("extents", 8, extents, expected));
        }
        let superblocks = fields.u64("superblocks")?;
        if superblocks > extents || (superblocks == 0) != (extents == 0) {
            let expected = format!("1 to {extents}, or 0 for no extents");
            return Err(fields.bad("superblocks", 8, superblocks, expected));
        }
        let wide = fields.u64("wide")?;
        if wide > extents {
            return Err(fields.bad("wide", 8, wide, format!("{extents} at most")));
        }
        let block_checksums = fields.u64("block checksums")?;
        let first = BlockAddress(fields.u64("first address")?);
        let end = BlockAddress(fields.u64("end address")?);
        if (extents == 0 && (first.0, end.0) != (0, 0)) || (extents > 0 && first >= end) {
            return Err(fields.bad("end address", 8, end, format!("past {first}")));
        }
        let source_bits = fields.u8("source bits")?;
        if !(2..=SOURCE_BITS_MAX).contains(&source_bits) {
            return Err(fields.bad("source bits", 1, source_bits, "2 to 32"));
        }
        let length_bits = fields.u8("length bits")?;
        if length_bits == 0 || length_bits >= 64 - source_bits {
            let expected = format!("1 to {}", 63 - source_bits);
            return Err(fields.bad("length bits", 1, length_bits, expected));
        }
        let flags = fields.u16("flags")?;
        if flags & !FLAG_BLOCK_CHECKSUMS != 0 {
            return Err(fields.bad("flags", 2, format!("{flags:#06x}"), "0x0000 or 0x0001"));
        }
        let carries = flags & FLAG_BLOCK_CHECKSUMS != 0;
        if !carries && block_checksums != 0 {
            return Err(fields.bad("flags", 2, "no block checksums", "block checksums"));
        }
        let chunks_crc = fields.u32("chunk checksums")?;
        fields.zeros_until("reserved", CRC_OFFSET)?;
        let head = RunHead {
            extents,
            superblocks,
            wide,
            block_checksums: carries.then_some(block_checksums),
            first,
            end,
            widths: WordWidths { source_bits, length_bits },
            chunks_crc,
        };
        let layout = head.layout()?;
        fields.seek(TOTAL_BYTES_OFFSET + 8).expect(
            "total bytes",
            8,
            total_bytes,
            layout.total_bytes,
        )?;
        Ok((head, layout, prelude, crc))
    }

    /// Where the sections lie; an error where they would not fit into 63 bits.
    pub fn layout(&self) -> Result<RunLayout> {
        let superblocks = self.superblocks;
        let mut sections = Sections { at: 0, too_long: false };
        let superblock_highs = sections.add(superblocks, 4);
        let superblock_firsts = sections.add(if superblocks == 0 { 0 } else { superblocks + 1 }, 4);
        let tree_nodes = TreeShape::over(superblocks as u32).nodes() as u64;
        let superblock_tree = sections.add(tree_nodes, 64);
        let low_trees = sections.add(self.extents / EXTENTS_PER_NODE, 64);
        let lows = sections.add(self.extents, 4);
        let words = sections.add(self.extents, 8);
        let wide = sections.add(self.wide, WIDE_BYTES);
        let samples_count = match self.block_checksums {
            Some(_) => self.extents.div_ceil(SAMPLE_EXTENTS),
            None => 0,
        };
        let samples = sections.add(samples_count, 8);
        let block_checksums = sections.add(self.block_checksums.unwrap_or(0), 4);
        if sections.too_long {
            return Err(Error::corrupt(
                format!("read {WHAT}"),
                "block checksums",
                self.block_checksums.unwrap_or(0),
                "a piece under 2^62 bytes",
            )
            .at_offset(BLOCK_CHECKSUMS_OFFSET as u64));
        }
        let body_bytes = sections.at;
        let chunks = body_bytes.div_ceil(CHUNK_BYTES);
        let body = PAGE_BYTES + (chunks * 4).next_multiple_of(SECTION_ALIGN);
        let placed = |section: Section| Section { offset: body + section.offset, ..section };
        Ok(RunLayout {
            chunk_checksums: Section { offset: PAGE_BYTES, bytes: chunks * 4 },
            body: Section { offset: body, bytes: body_bytes },
            superblock_highs: placed(superblock_highs),
            superblock_firsts: placed(superblock_firsts),
            superblock_tree: placed(superblock_tree),
            low_trees: placed(low_trees),
            lows: placed(lows),
            words: placed(words),
            wide: placed(wide),
            samples: placed(samples),
            block_checksums: placed(block_checksums),
            total_bytes: (body + body_bytes).next_multiple_of(PAGE_BYTES),
        })
    }
}

/// A section of a run: where it begins in the piece and how long it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// The first byte, from the start of the piece.
    pub offset: u64,
    /// The length without what fills up to the next section.
    pub bytes: u64,
}

/// Where the sections of a run lie, as its head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLayout {
    /// One CRC-32 for each chunk of the body.
    pub chunk_checksums: Section,
    /// All sections below, with what fills up between them: what the chunks cover.
    pub body: Section,
    /// The upper halves of addresses.
    pub superblock_highs: Section,
    /// The first extents of superblocks.
    pub superblock_firsts: Section,
    /// The tree over the superblocks.
    pub superblock_tree: Section,
    /// The trees over the lows of large superblocks.
    pub low_trees: Section,
    /// The lower halves of starts.
    pub lows: Section,
    /// The payload.
    pub words: Section,
    /// The payload that fits no word.
    pub wide: Section,
    /// Where block checksums of groups of extents begin.
    pub samples: Section,
    /// The checksums of blocks.
    pub block_checksums: Section,
    /// The length of the piece, a multiple of 4 KiB.
    pub total_bytes: u64,
}

impl RunLayout {
    /// How many chunks the body has.
    pub fn chunks(&self) -> u64 {
        self.chunk_checksums.bytes / 4
    }

    /// The part of the body that chunk `number` covers.
    pub fn chunk(&self, number: u64) -> Section {
        let start = number * CHUNK_BYTES;
        Section {
            offset: self.body.offset + start,
            bytes: CHUNK_BYTES.min(self.body.bytes - start),
        }
    }
}

/// The CRC-32 of a chunk of the body: what it holds, and where it belongs.
pub fn chunk_checksum(prelude: &Prelude, number: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&prelude.layer.0);
    hasher.update(&prelude.generation.to_le_bytes());
    hasher.update(&prelude.place.0.to_le_bytes());
    hasher.update(&(prelude.kind as u16).to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Adds up sections, each at a multiple of [`SECTION_ALIGN`].
struct Sections {
    at: u64,
    too_long: bool,
}

impl Sections {
    fn add(&mut self, count: u64, width: u64) -> Section {
        let bytes = count.saturating_mul(width);
        let section = Section { offset: self.at, bytes };
        let end = self.at.saturating_add(bytes);
        if end >= 1 << 62 {
            self.too_long = true;
        } else {
            self.at = end.next_multiple_of(SECTION_ALIGN);
        }
        section
    }
}

const _: () = assert!(size_of::<super::tree::Node>() as u64 == SECTION_ALIGN && NODE_KEYS == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{ADDRESS_END, FileBlock, LayerId};

    fn head() -> RunHead {
        RunHead {
            extents: 1000,
            superblocks: 20,
            wide: 3,
            block_checksums: Some(5000),
            first: BlockAddress(7),
            end: BlockAddress(ADDRESS_END),
            widths: WordWidths { source_bits: 4, length_bits: 30 },
            chunks_crc: 99,
        }
    }

    #[test]
    fn a_head_reads_back_what_was_written() {
        for block_checksums in [None, Some(0), Some(5000)] {
            let head = RunHead { block_checksums, ..head() };
            let mut page = [0; PAGE_BYTES as usize];
            let prelude = Prelude {
                kind: PageKind::Run,
                layer: LayerId([1; 16]),
                generation: 2,
                place: FileBlock(3),
            };
            let crc = head.encode(&mut page, &prelude).unwrap();
            let read = RunHead::decode(&page, PageKind::Run).unwrap();
            assert_eq!(read, (head, head.layout().unwrap(), prelude, crc));
            assert!(RunHead::decode(&page, PageKind::Index).is_err());
        }
    }

    #[test]
    fn hostile_counts_are_errors_and_reserve_nothing() {
        let bad = [
            RunHead { extents: u64::MAX, ..head() },
            RunHead { superblocks: 0, ..head() },
            RunHead { superblocks: 1001, ..head() },
            RunHead { wide: 1001, ..head() },
            RunHead { first: BlockAddress(ADDRESS_END), ..head() },
            RunHead { widths: WordWidths { source_bits: 1, length_bits: 30 }, ..head() },
            RunHead { widths: WordWidths { source_bits: 33, length_bits: 30 }, ..head() },
            RunHead { widths: WordWidths { source_bits: 4, length_bits: 60 }, ..head() },
        ];
        let prelude = Prelude {
            kind: PageKind::Run,
            layer: LayerId([1; 16]),
            generation: 2,
            place: FileBlock(3),
        };
        for head in bad {
            let mut page = [0; PAGE_BYTES as usize];
            if head.encode(&mut page, &prelude).is_ok() {
                let error = RunHead::decode(&page, PageKind::Run).unwrap_err();
                assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{head:?}");
            }
        }
        let long = RunHead { block_checksums: Some(u64::MAX), ..head() };
        assert!(long.layout().is_err());
    }

    #[test]
    fn the_trees_of_neighbouring_superblocks_never_meet() {
        for extents in (TREE_EXTENTS_MIN..100_000).chain([1 << 24, (1 << 28) + 1, u32::MAX.into()])
        {
            let nodes = TreeShape::over(extents as u32).nodes() as u64;
            assert!(nodes <= extents / EXTENTS_PER_NODE, "{extents} extents, {nodes} nodes");
        }
    }

    #[test]
    fn words_hold_what_fits_and_refuse_the_rest() {
        let widths = WordWidths { source_bits: 4, length_bits: 20 };
        let fits = Word { code: 14, length: (1 << 20) - 1, block: (1 << 40) - 1 };
        assert_eq!(widths.unpack(widths.pack(fits).unwrap()), fits);
        for wide in [
            Word { code: 15, ..fits },
            Word { length: 1 << 20, ..fits },
            Word { block: 1 << 40, ..fits },
        ] {
            assert_eq!(widths.pack(wide), None);
        }
        let word = widths.pack_wide(77);
        assert_eq!((widths.unpack(word).code, widths.unpack_wide(word)), (15, 77));
    }
}
