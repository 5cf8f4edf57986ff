//! Packing extents into a run.

use super::over::Columns;
use crate::error::{Error, Result};
use crate::extent::{Extent, Target};
use crate::format::PieceRef;
use crate::format::page::Prelude;
use crate::format::run::{
    self, CODE_DATA, CODE_HOLE, CODE_ZERO, EXTENTS_PER_NODE, RUN_EXTENTS_MAX, RunHead, RunLayout,
    SAMPLE_EXTENTS, SOURCE_BITS_MAX, TREE_EXTENTS_MIN, Word, WordWidths,
};
use crate::format::tree::{NODE_KEYS, TreeShape, build_tree};
use crate::raw::{AlignedBytes, as_bytes};
use crate::units::{BlockAddress, FileBlock, PAGE_BYTES, SourceIndex};

/// The fewest bits that a word keeps for its length, where blocks and sources are many.
const LENGTH_BITS_MIN: u8 = 8;

/// Takes extents in address order and packs them into the columns of a run.
///
/// The widths of the words begin narrow and grow with what comes in, so that
/// nobody has to know the largest block or source beforehand.
#[derive(Debug)]
pub struct RunBuilder {
    highs: Vec<u32>,
    firsts: Vec<u32>,
    lows: Vec<u32>,
    words: Vec<u64>,
    wide: Vec<[u64; 3]>,
    widths: WordWidths,
    /// `None` in a run that carries no block checksums.
    checksums: Option<Checksums>,
    first: BlockAddress,
    end: BlockAddress,
}

#[derive(Debug, Default)]
struct Checksums {
    samples: Vec<u64>,
    blocks: Vec<u32>,
    /// How many the extents so far call for.
    due: u64,
}

impl Checksums {
    /// Counts what extent `number` calls for.
    #[inline]
    fn count(&mut self, number: u64, is_data: bool, length: u64) {
        if number.is_multiple_of(SAMPLE_EXTENTS) {
            self.samples.push(self.due);
        }
        if is_data {
            self.due += length;
        }
    }
}

/// A run as it goes into its file, and how others name it.
#[derive(Debug)]
pub struct EncodedRun {
    /// All of the piece, a multiple of 4 KiB.
    pub bytes: AlignedBytes,
    /// Its place, length, generation and head checksum.
    pub piece: PieceRef,
}

impl RunBuilder {
    /// A builder of a run that carries the checksum of each data block.
    pub fn with_checksums() -> RunBuilder {
        RunBuilder { checksums: Some(Checksums::default()), ..RunBuilder::without_checksums() }
    }

    /// A builder of a run without block checksums: that of a merged index.
    pub fn without_checksums() -> RunBuilder {
        RunBuilder {
            highs: Vec::new(),
            firsts: Vec::new(),
            lows: Vec::new(),
            words: Vec::new(),
            wide: Vec::new(),
            widths: WordWidths { source_bits: 3, length_bits: 64 - 3 - 24 },
            checksums: None,
            first: BlockAddress(0),
            end: BlockAddress(0),
        }
    }

    /// Makes room for `extents` more.
    pub fn reserve(&mut self, extents: usize) {
        self.lows.reserve(extents);
        self.words.reserve(extents);
    }

    /// Whether each data block comes with its checksum.
    pub fn carries_checksums(&self) -> bool {
        self.checksums.is_some()
    }

    /// How many extents so far.
    pub fn len(&self) -> usize {
        self.lows.len()
    }

    /// Whether there is no extent so far.
    pub fn is_empty(&self) -> bool {
        self.lows.is_empty()
    }

    /// The next extent, at or past the end of the one before. In a run with checksums,
    /// those of its blocks follow by [`push_checksums`](Self::push_checksums).
    #[inline]
    pub fn push(&mut self, extent: Extent) -> Result<()> {
        let end = extent.end();
        assert!(extent.start >= self.end && extent.length > 0, "extents come in order");
        let index = self.lows.len();
        if index == 0 {
            self.first = extent.start;
        }
        self.end = end;
        let high = (extent.start.0 >> 32) as u32;
        if self.highs.last() != Some(&high) {
            self.open_superblock(high)?;
        }
        if let Some(checksums) = &mut self.checksums {
            let is_data = matches!(extent.target, Target::Data { .. });
            checksums.count(index as u64, is_data, extent.length);
        }
        if index as u64 == RUN_EXTENTS_MAX {
            return Err(too_many());
        }
        self.lows.push(extent.start.0 as u32);
        let parts = parts_of(&extent);
        let word = self.pack(parts);
        self.words.push(word);
        Ok(())
    }

    /// Begins with these widths, so that words of another run fit as they are.
    pub(super) fn begin_with_widths(&mut self, widths: WordWidths) {
        assert!(self.is_empty(), "words are packed already");
        self.widths = widths;
    }

    /// A stretch of another run that was found plain and ends at `end`; the checksums of
    /// its blocks are pushed already. Its sources count from `first_source` on.
    pub(super) fn push_columns<R>(
        &mut self,
        columns: &Columns<'_>,
        end: BlockAddress,
        first_source: u32,
        renumber: &mut R,
    ) -> Result<()>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        let Some(&low) = columns.lows.first() else { return Ok(()) };
        if (self.lows.len() + columns.lows.len()) as u64 > RUN_EXTENTS_MAX {
            return Err(too_many());
        }
        let start = BlockAddress(u64::from(columns.high) << 32 | u64::from(low));
        assert!(start >= self.end, "extents come in order");
        if self.is_empty() {
            self.first = start;
        }
        self.end = end;
        if self.highs.last() != Some(&columns.high) {
            self.open_superblock(columns.high)?;
        }
        if let Some(checksums) = &mut self.checksums {
            for (number, &word) in (self.lows.len() as u64..).zip(columns.words) {
                let parts = columns.widths.unpack(word);
                checksums.count(number, parts.code >= CODE_DATA, parts.length);
            }
        }
        self.lows.extend_from_slice(columns.lows);
        let copied = self.copy_words(columns, first_source, renumber)?;
        for &word in &columns.words[copied..] {
            let mut parts = columns.widths.unpack(word);
            if parts.code >= CODE_DATA {
                let source = SourceIndex((parts.code - CODE_DATA).saturating_add(first_source));
                parts.code = code_of(renumber(source)?);
            }
            let word = self.pack(parts);
            self.words.push(word);
        }
        Ok(())
    }

    /// Copies words as they lie but for their source, as long as these have the same
    /// widths and the source fits; gives how many it did.
    fn copy_words<R>(
        &mut self,
        columns: &Columns<'_>,
        first_source: u32,
        renumber: &mut R,
    ) -> Result<usize>
    where
        R: FnMut(SourceIndex) -> Result<SourceIndex>,
    {
        if columns.widths != self.widths {
            return Ok(0);
        }
        let first = self.words.len();
        self.words.extend_from_slice(columns.words);
        let codes = u64::from(self.widths.wide_code());
        for copied in 0..columns.words.len() {
            let word = &mut self.words[first + copied];
            let code = (*word & codes) as u32;
            if code >= CODE_DATA {
                let source = SourceIndex((code - CODE_DATA).saturating_add(first_source));
                let code = code_of(renumber(source)?);
                if u64::from(code) >= codes {
                    self.words.truncate(first + copied);
                    return Ok(copied);
                }
                *word = *word & !codes | u64::from(code);
            }
        }
        Ok(columns.words.len())
    }

    /// The checksums of the next data blocks, in the order of the extents.
    pub fn push_checksums(&mut self, checksums: &[u32]) {
        let column = self.checksums.as_mut().expect("the run carries block checksums");
        column.blocks.extend_from_slice(checksums);
    }

    /// The next extent, with the checksum of each of its data blocks.
    pub fn push_with(
        &mut self,
        extent: Extent,
        mut checksum: impl FnMut(SourceIndex, FileBlock) -> Result<u32>,
    ) -> Result<()> {
        self.push(extent)?;
        if let (Target::Data { source, block }, Some(column)) =
            (extent.target, self.checksums.as_mut())
        {
            for into in 0..extent.length {
                column.blocks.push(checksum(source, FileBlock(block.0 + into))?);
            }
        }
        Ok(())
    }

    /// How long the piece is so far, in bytes: what its place must hold.
    pub fn total_bytes(&self) -> Result<u64> {
        Ok(self.head().layout()?.total_bytes)
    }

    /// The whole piece; `prelude` says what it is and where it will lie.
    pub fn finish(mut self, prelude: &Prelude) -> Result<EncodedRun> {
        if let Some(checksums) = &self.checksums {
            let (found, due) = (checksums.blocks.len() as u64, checksums.due);
            assert_eq!(found, due, "each data block has its checksum");
        }
        if !self.lows.is_empty() {
            self.firsts.push(self.lows.len() as u32);
        }
        self.sort_wide();
        let mut head = self.head();
        let layout = head.layout()?;
        let bytes = AlignedBytes::zeroed(layout.total_bytes as usize);
        let mut bytes = bytes.map_err(|error| Error::io("write a run", error))?;
        self.write_sections(&layout, &mut bytes);
        for number in 0..layout.chunks() {
            let chunk = slice(&bytes, layout.chunk(number));
            let crc = run::chunk_checksum(prelude, number, chunk);
            let at = layout.chunk_checksums.offset + 4 * number;
            bytes[at as usize..][..4].copy_from_slice(&crc.to_le_bytes());
        }
        head.chunks_crc = crc32fast::hash(slice(&bytes, layout.chunk_checksums));
        let page = bytes.first_chunk_mut::<{ PAGE_BYTES as usize }>().expect("a head page");
        let head_crc = head.encode(page, prelude)?;
        let piece = PieceRef {
            place: prelude.place,
            bytes: layout.total_bytes,
            generation: prelude.generation,
            head_crc,
        };
        Ok(EncodedRun { bytes, piece })
    }

    fn head(&self) -> RunHead {
        RunHead {
            extents: self.lows.len() as u64,
            superblocks: self.highs.len() as u64,
            wide: self.wide.len() as u64,
            block_checksums: self.checksums.as_ref().map(|checksums| checksums.due),
            first: self.first,
            end: self.end,
            widths: self.widths,
            chunks_crc: 0,
        }
    }

    fn open_superblock(&mut self, high: u32) -> Result<()> {
        let first = u32::try_from(self.lows.len()).map_err(|_| too_many())?;
        self.highs.push(high);
        self.firsts.push(first);
        Ok(())
    }

    #[inline(always)]
    fn pack(&mut self, parts: Word) -> u64 {
        match self.widths.pack(parts) {
            Some(word) => word,
            None => self.pack_growing(parts),
        }
    }

    /// Packs what the present widths do not hold: into wider words, or the wide table.
    #[cold]
    fn pack_growing(&mut self, parts: Word) -> u64 {
        let old = self.widths;
        let mut source_bits = old.source_bits;
        let mut block_bits = old.block_bits();
        if parts.code >= old.wide_code() {
            // One more than needed: the next sources find room.
            source_bits = (33 - parts.code.leading_zeros() as u8).min(SOURCE_BITS_MAX);
        }
        let needed = 64 - parts.block.leading_zeros() as u8;
        if needed > block_bits {
            block_bits = needed + 1;
        }
        let length_bits = 64i32 - i32::from(source_bits) - i32::from(block_bits);
        if length_bits >= i32::from(LENGTH_BITS_MIN) {
            let new = WordWidths { source_bits, length_bits: length_bits as u8 };
            if new != old {
                self.widths = new;
                self.repack(old);
            }
        }
        match self.widths.pack(parts) {
            Some(word) => word,
            None => wide_word(&mut self.wide, self.widths, parts),
        }
    }

    fn repack(&mut self, old: WordWidths) {
        for word in &mut self.words {
            let parts = old.unpack(*word);
            *word = if parts.code == old.wide_code() {
                self.widths.pack_wide(old.unpack_wide(*word))
            } else {
                match self.widths.pack(parts) {
                    Some(word) => word,
                    None => wide_word(&mut self.wide, self.widths, parts),
                }
            };
        }
    }

    /// Brings the wide table into the order of the extents, which growing widths disturb.
    fn sort_wide(&mut self) {
        if self.wide.is_empty() {
            return;
        }
        let mut sorted = Vec::with_capacity(self.wide.len());
        for word in &mut self.words {
            if self.widths.unpack(*word).code == self.widths.wide_code() {
                let entry = self.wide[self.widths.unpack_wide(*word) as usize];
                *word = self.widths.pack_wide(sorted.len() as u64);
                sorted.push(entry);
            }
        }
        self.wide = sorted;
    }

    fn write_sections(&self, layout: &RunLayout, bytes: &mut [u8]) {
        let mut put = |section: run::Section, column: &[u8]| {
            bytes[section.offset as usize..][..section.bytes as usize].copy_from_slice(column);
        };
        put(layout.superblock_highs, as_bytes(&self.highs));
        put(layout.superblock_firsts, as_bytes(&self.firsts));
        let mut tree = vec![[0; NODE_KEYS]; TreeShape::over(self.highs.len() as u32).nodes()];
        build_tree(&self.highs, &mut tree);
        put(layout.superblock_tree, as_bytes(&tree));
        put(layout.low_trees, as_bytes(&self.low_trees()));
        put(layout.lows, as_bytes(&self.lows));
        put(layout.words, as_bytes(&self.words));
        put(layout.wide, as_bytes(self.wide.as_flattened()));
        if let Some(checksums) = &self.checksums {
            put(layout.samples, as_bytes(&checksums.samples));
            put(layout.block_checksums, as_bytes(&checksums.blocks));
        }
    }

    fn low_trees(&self) -> Vec<[u32; NODE_KEYS]> {
        let per_node = EXTENTS_PER_NODE as usize;
        let mut nodes = vec![[0; NODE_KEYS]; self.lows.len() / per_node];
        for bounds in self.firsts.windows(2) {
            let (first, past) = (bounds[0] as usize, bounds[1] as usize);
            let lows = &self.lows[first..past];
            if lows.len() as u64 >= TREE_EXTENTS_MIN {
                let tree = &mut nodes[first / per_node..];
                build_tree(lows, &mut tree[..TreeShape::over(lows.len() as u32).nodes()]);
            }
        }
        nodes
    }
}

/// Packs all of `extents`, which come in address order, with the checksums that `checksum` gives.
pub fn encode_run(
    prelude: &Prelude,
    extents: impl IntoIterator<Item = Result<Extent>>,
    mut checksum: impl FnMut(SourceIndex, FileBlock) -> Result<u32>,
) -> Result<EncodedRun> {
    let mut builder = RunBuilder::with_checksums();
    for extent in extents {
        builder.push_with(extent?, &mut checksum)?;
    }
    builder.finish(prelude)
}

fn slice(bytes: &[u8], section: run::Section) -> &[u8] {
    &bytes[section.offset as usize..][..section.bytes as usize]
}

fn parts_of(extent: &Extent) -> Word {
    let (code, block) = match extent.target {
        Target::Hole => (CODE_HOLE, 0),
        Target::Zero => (CODE_ZERO, 0),
        Target::Data { source, block } => (code_of(source), block.0),
    };
    Word { code, length: extent.length, block }
}

/// The code of a source; the last few of 32 bits stand for none (`SLOTS_MAX`).
fn code_of(source: SourceIndex) -> u32 {
    CODE_DATA + source.0
}

fn wide_word(wide: &mut Vec<[u64; 3]>, widths: WordWidths, parts: Word) -> u64 {
    wide.push([parts.length, parts.block, u64::from(parts.code)]);
    widths.pack_wide(wide.len() as u64 - 1)
}

fn too_many() -> Error {
    Error::invalid("build a run", "extents", "one more", format!("{RUN_EXTENTS_MAX} at most"))
}
