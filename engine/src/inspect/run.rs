//! A run of extents, read from end to end: chunk by chunk, then extent by extent.

use super::column::Column;
use super::file::InspectedFile;
use crate::error::{Error, Result};
use crate::extent::{Extent, Target};
use crate::format::PieceRef;
use crate::format::fields::first_nonzero;
use crate::format::page::{PageKind, Prelude};
use crate::format::run::{
    CODE_DATA, CODE_HOLE, CODE_ZERO, EXTENTS_PER_NODE, RunHead, RunLayout, SAMPLE_EXTENTS, Section,
    TREE_EXTENTS_MIN, WIDE_BYTES, chunk_checksum,
};
use crate::format::tree::{NODE_KEYS, TreeShape};
use crate::units::{ADDRESS_END, BlockAddress, FileBlock, LayerId, PAGE_BYTES, SourceIndex};

/// A run whose head verified.
#[derive(Clone, Debug)]
pub struct InspectedRun {
    file: InspectedFile,
    /// The byte of the file where the piece begins.
    pub base: u64,
    /// What the head says.
    pub head: RunHead,
    /// Where its sections lie.
    pub layout: RunLayout,
    prelude: Prelude,
}

/// An extent, and where it and the checksums of its blocks stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The extent.
    pub extent: Extent,
    /// The byte of the file where the CRC-32 of its first data block stands, those of the other
    /// blocks after it; 0 where the run carries none, and for holes and zeros.
    pub checksums_at: u64,
}

impl Mapped {
    /// The part inside `[start, end)`, if any.
    pub fn clipped(&self, start: BlockAddress, end: BlockAddress) -> Option<Mapped> {
        let extent = self.extent.clipped(start, end)?;
        let cut = extent.start.0 - self.extent.start.0;
        let moved = if self.checksums_at == 0 { 0 } else { self.checksums_at + 4 * cut };
        Some(Mapped { extent, checksums_at: moved })
    }
}

impl InspectedRun {
    /// Reads the head at byte `base` and compares it with the reference that leads there.
    pub fn open(
        file: &InspectedFile,
        base: u64,
        kind: PageKind,
        layer: LayerId,
        piece: &PieceRef,
    ) -> Result<InspectedRun> {
        let page = file.page(base)?;
        let (head, layout, prelude, crc) =
            RunHead::decode(&page, kind).map_err(file.located(base))?;
        prelude
            .expect("head of a run", layer, piece.generation, piece.place)
            .map_err(file.located(base))?;
        let bad = |field, found: String, expected: String| {
            Err(Error::corrupt("read head of a run", field, found, expected)
                .in_file(file.path())
                .at_offset(base))
        };
        if crc != piece.head_crc {
            let expected = format!("{:#010x}", piece.head_crc);
            return bad("checksum", format!("{crc:#010x}"), expected);
        }
        if layout.total_bytes != piece.bytes {
            return bad("total bytes", layout.total_bytes.to_string(), piece.bytes.to_string());
        }
        if base.checked_add(piece.bytes).is_none_or(|end| end > file.length()) {
            let expected = format!("inside the file of {} bytes", file.length());
            return bad("piece bytes", piece.bytes.to_string(), expected);
        }
        Ok(InspectedRun { file: file.clone(), base, head, layout, prelude })
    }

    /// Verifies every byte of the piece that the head does not hold: the checksum of each
    /// chunk, and what fills up between sections. Each failure goes to `broken`.
    pub fn verify_chunks(&self, broken: &mut dyn FnMut(Error)) -> Result<()> {
        let checksums = self.section_bytes(self.layout.chunk_checksums)?;
        let crc = crc32fast::hash(&checksums);
        if crc != self.head.chunks_crc {
            let expected = format!("{:#010x}", self.head.chunks_crc);
            broken(self.bad(
                self.layout.chunk_checksums.offset,
                "checksum of the chunk checksums",
                format!("{crc:#010x}"),
                expected,
            ));
            return Ok(());
        }
        let listed = self.layout.chunk_checksums;
        self.expect_zeros(listed.offset + listed.bytes, self.layout.body.offset, broken)?;
        for (number, stored) in checksums.chunks_exact(4).enumerate() {
            let stored = u32::from_le_bytes(stored.try_into().expect("4 bytes"));
            let chunk = self.layout.chunk(number as u64);
            match self.section_bytes(chunk) {
                Ok(bytes) => {
                    let crc = chunk_checksum(&self.prelude, number as u64, &bytes);
                    if crc != stored {
                        let (found, expected) = (format!("{crc:#010x}"), format!("{stored:#010x}"));
                        broken(self.bad(chunk.offset, "checksum of a chunk", found, expected));
                    }
                }
                Err(error) => broken(error),
            }
        }
        let body = self.layout.body;
        self.expect_zeros(body.offset + body.bytes, self.layout.total_bytes, broken)
    }

    /// Reads every extent and everything that leads to them: order, counts, wide table, checksum
    /// samples and search trees. Gives the number of extents.
    pub fn verify_structure(&self) -> Result<u64> {
        let mut cursor = self.cursor();
        let mut trees = TreeCheck::new(self);
        let mut samples = self.column(self.layout.samples);
        while let Some(mapped) = cursor.next()? {
            let number = cursor.next_extent - 1;
            trees.extent(&cursor, mapped.extent.start.0 as u32)?;
            if self.head.block_checksums.is_some() && number.is_multiple_of(SAMPLE_EXTENTS) {
                let index = number / SAMPLE_EXTENTS;
                let (found, expected) = (samples.u64_at(index)?, cursor.blocks_before_last);
                if found != expected {
                    let section = self.layout.samples;
                    return Err(self.bad_at(
                        section,
                        index * 8,
                        "checksum sample",
                        found,
                        expected,
                    ));
                }
            }
        }
        trees.finish()?;
        Ok(self.head.extents)
    }

    /// The extents in order of address.
    pub fn cursor(&self) -> RunCursor<'_> {
        RunCursor {
            run: self,
            highs: self.column(self.layout.superblock_highs),
            firsts: self.column(self.layout.superblock_firsts),
            lows: self.column(self.layout.lows),
            words: self.column(self.layout.words),
            wide: self.column(self.layout.wide),
            next_extent: 0,
            superblock: 0,
            superblock_end: 0,
            high: 0,
            last_end: 0,
            next_wide: 0,
            blocks: 0,
            blocks_before_last: 0,
        }
    }

    fn column(&self, section: Section) -> Column<'_> {
        Column::new(&self.file, self.base + section.offset, section.bytes)
    }

    fn section_bytes(&self, section: Section) -> Result<Vec<u8>> {
        self.file.bytes(self.base + section.offset, section.bytes)
    }

    fn expect_zeros(&self, start: u64, end: u64, broken: &mut dyn FnMut(Error)) -> Result<()> {
        assert!(end - start <= PAGE_BYTES, "what fills up is less than a page");
        let bytes = self.section_bytes(Section { offset: start, bytes: end - start })?;
        if let Some(at) = first_nonzero(&bytes) {
            let found = format!("{:#04x}", bytes[at]);
            broken(self.bad(start + at as u64, "padding", found, "0x00".to_owned()));
        }
        Ok(())
    }

    fn bad(&self, offset: u64, field: &'static str, found: String, expected: String) -> Error {
        Error::corrupt("read a run", field, found, expected)
            .in_file(self.file.path())
            .at_offset(self.base + offset)
    }

    fn bad_at(
        &self,
        section: Section,
        at: u64,
        field: &'static str,
        found: impl ToString,
        expected: impl ToString,
    ) -> Error {
        self.bad(section.offset + at, field, found.to_string(), expected.to_string())
    }
}

/// Walks the extents of a run in order, with every check that one extent allows.
#[derive(Debug)]
pub struct RunCursor<'a> {
    run: &'a InspectedRun,
    highs: Column<'a>,
    firsts: Column<'a>,
    lows: Column<'a>,
    words: Column<'a>,
    wide: Column<'a>,
    next_extent: u64,
    /// The superblock of the last extent.
    superblock: u64,
    /// The first extent that is not of that superblock.
    superblock_end: u64,
    high: u32,
    last_end: u64,
    next_wide: u64,
    blocks: u64,
    blocks_before_last: u64,
}

impl RunCursor<'_> {
    /// The next extent; `None` at the end, where the totals of the head are compared.
    pub fn next(&mut self) -> Result<Option<Mapped>> {
        let head = &self.run.head;
        if self.next_extent == head.extents {
            return self.finish().map(|()| None);
        }
        let number = self.next_extent;
        if number == self.superblock_end {
            self.enter_superblock()?;
        }
        let start = u64::from(self.high) << 32 | u64::from(self.lows.u32_at(number)?);
        let layout = &self.run.layout;
        if start < self.last_end || number == 0 && start != head.first.0 {
            let (field, expected) = match number {
                0 => ("first address", format!("{} as in the head", head.first)),
                _ => ("extent start", format!("at least {}", self.last_end)),
            };
            return Err(self.run.bad_at(layout.lows, number * 4, field, start, expected));
        }
        let word = self.words.u64_at(number)?;
        let (code, length, block) = self.payload(number, word)?;
        let bad = |field, found: u64, expected: String| {
            Err(self.run.bad_at(layout.words, number * 8, field, found, expected))
        };
        if length == 0 || length > ADDRESS_END - start {
            return bad("extent length", length, "1 to the end of the addresses".to_owned());
        }
        let mut checksums_at = 0;
        let target = match code {
            CODE_HOLE | CODE_ZERO if block != 0 => {
                return bad("extent block", block, "0, for a hole or zeros".to_owned());
            }
            CODE_HOLE => Target::Hole,
            CODE_ZERO => Target::Zero,
            data => {
                if block.checked_add(length).is_none() {
                    return bad("extent block", block, "an end in 64 bits".to_owned());
                }
                self.blocks_before_last = self.blocks;
                if let Some(count) = head.block_checksums {
                    if length > count - self.blocks {
                        let expected = format!("{} checksums left", count - self.blocks);
                        return bad("extent length", length, expected);
                    }
                    checksums_at = self.run.base + layout.block_checksums.offset + 4 * self.blocks;
                    self.blocks += length;
                }
                let source = SourceIndex(data - CODE_DATA);
                Target::Data { source, block: FileBlock(block) }
            }
        };
        if !matches!(target, Target::Data { .. }) {
            self.blocks_before_last = self.blocks;
        }
        self.last_end = start + length;
        self.next_extent += 1;
        let extent = Extent { start: BlockAddress(start), length, target };
        Ok(Some(Mapped { extent, checksums_at }))
    }

    /// The byte of the file where the word of the last extent stands.
    pub fn last_position(&self) -> u64 {
        self.words.position(self.next_extent - 1, 8)
    }

    fn enter_superblock(&mut self) -> Result<()> {
        let layout = &self.run.layout;
        let index = if self.next_extent == 0 { 0 } else { self.superblock + 1 };
        if index == self.run.head.superblocks {
            let expected = self.run.head.extents;
            let found = self.next_extent;
            let section = layout.superblock_firsts;
            return Err(self.run.bad_at(section, index * 4, "end of superblocks", found, expected));
        }
        let first = u64::from(self.firsts.u32_at(index)?);
        let end = u64::from(self.firsts.u32_at(index + 1)?);
        if first != self.next_extent || end <= first || end > self.run.head.extents {
            let expected = format!("{} and more after it", self.next_extent);
            let found = format!("{first} to {end}");
            let section = layout.superblock_firsts;
            return Err(self.run.bad_at(section, index * 4, "first extent", found, expected));
        }
        let high = self.highs.u32_at(index)?;
        if index > 0 && high <= self.high {
            let expected = format!("above {}", self.high);
            let section = layout.superblock_highs;
            return Err(self.run.bad_at(section, index * 4, "superblock", high, expected));
        }
        (self.superblock, self.superblock_end, self.high) = (index, end, high);
        Ok(())
    }

    fn payload(&mut self, number: u64, word: u64) -> Result<(u32, u64, u64)> {
        let widths = self.run.head.widths;
        let parts = widths.unpack(word);
        if parts.code != widths.wide_code() {
            return Ok((parts.code, parts.length, parts.block));
        }
        let index = widths.unpack_wide(word);
        if index != self.next_wide || index >= self.run.head.wide {
            let expected = format!("{} of {}", self.next_wide, self.run.head.wide);
            let section = self.run.layout.words;
            return Err(self.run.bad_at(section, number * 8, "wide index", index, expected));
        }
        self.next_wide += 1;
        let length = self.wide.u64_at(index * 3)?;
        let block = self.wide.u64_at(index * 3 + 1)?;
        let last = self.wide.u64_at(index * 3 + 2)?;
        if last >> 32 != 0 {
            let section = self.run.layout.wide;
            let at = index * WIDE_BYTES + 20;
            return Err(self.run.bad_at(section, at, "reserved", last >> 32, 0));
        }
        Ok((last as u32, length, block))
    }

    fn finish(&self) -> Result<()> {
        let (head, layout) = (&self.run.head, &self.run.layout);
        let bad = |section, field, found: u64, expected: u64| {
            Err(self.run.bad_at(section, 0, field, found, expected))
        };
        if self.last_end != head.end.0 {
            return bad(layout.words, "end address", self.last_end, head.end.0);
        }
        if self.next_wide != head.wide {
            return bad(layout.wide, "wide entries in use", self.next_wide, head.wide);
        }
        if head.extents > 0 && self.superblock + 1 != head.superblocks {
            let found = self.superblock + 1;
            return bad(layout.superblock_firsts, "superblocks in use", found, head.superblocks);
        }
        match head.block_checksums {
            Some(count) if count != self.blocks => {
                bad(layout.block_checksums, "block checksums in use", self.blocks, count)
            }
            _ => Ok(()),
        }
    }
}

/// Compares the search trees with the columns they lead into, key by key as these go by.
#[derive(Debug)]
struct TreeCheck<'a> {
    run: &'a InspectedRun,
    highs: TreeWalk<'a>,
    lows: Option<TreeWalk<'a>>,
    superblock: Option<u64>,
}

impl<'a> TreeCheck<'a> {
    fn new(run: &'a InspectedRun) -> TreeCheck<'a> {
        let section = run.layout.superblock_tree;
        let highs = TreeWalk::new(run, section, 0, run.head.superblocks);
        TreeCheck { run, highs, lows: None, superblock: None }
    }

    /// The extent that `cursor` just gave, whose start has the lower half `low`.
    fn extent(&mut self, cursor: &RunCursor<'_>, low: u32) -> Result<()> {
        if self.superblock != Some(cursor.superblock) {
            self.superblock = Some(cursor.superblock);
            if let Some(lows) = self.lows.take() {
                lows.finish()?;
            }
            self.highs.key(cursor.high)?;
            let first = cursor.next_extent - 1;
            let extents = cursor.superblock_end - first;
            if extents >= TREE_EXTENTS_MIN {
                let node = first / EXTENTS_PER_NODE;
                let section = self.run.layout.low_trees;
                self.lows = Some(TreeWalk::new(self.run, section, node, extents));
            }
        }
        match &mut self.lows {
            Some(lows) => lows.key(low),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<()> {
        if let Some(lows) = self.lows {
            lows.finish()?;
        }
        self.highs.finish()
    }
}

/// One search tree: each level holds the first keys of what stands below it but the very first.
#[derive(Debug)]
struct TreeWalk<'a> {
    run: &'a InspectedRun,
    section: Section,
    /// The first node of each level above the column, the lowest first.
    first_nodes: Vec<u64>,
    levels: Vec<Column<'a>>,
    keys: u64,
}

impl<'a> TreeWalk<'a> {
    fn new(run: &'a InspectedRun, section: Section, first_node: u64, keys: u64) -> TreeWalk<'a> {
        let shape = TreeShape::over(keys as u32);
        let nodes = shape.first_nodes().iter().rev();
        let first_nodes: Vec<u64> = nodes.map(|&node| first_node + u64::from(node)).collect();
        let levels = first_nodes.iter().map(|_| run.column(section)).collect();
        TreeWalk { run, section, first_nodes, levels, keys: 0 }
    }

    /// The next key of the column.
    fn key(&mut self, key: u32) -> Result<()> {
        const KEYS: u64 = NODE_KEYS as u64;
        let mut child = self.keys;
        self.keys += 1;
        for level in 0..self.levels.len() {
            if !child.is_multiple_of(KEYS) {
                break;
            }
            child /= KEYS;
            if let Some(index) = child.checked_sub(1) {
                self.compare(level, index, key)?;
            }
        }
        Ok(())
    }

    /// What stands for no child at the end of each level is the largest key.
    fn finish(mut self) -> Result<()> {
        let mut children = self.keys;
        for level in 0..self.levels.len() {
            children = children.div_ceil(NODE_KEYS as u64);
            for child in children..=children.next_multiple_of(NODE_KEYS as u64) {
                self.compare(level, child - 1, u32::MAX)?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, level: usize, index: u64, expected: u32) -> Result<()> {
        let at = self.first_nodes[level] * NODE_KEYS as u64 + index;
        let found = self.levels[level].u32_at(at)?;
        if found != expected {
            return Err(self.run.bad_at(self.section, at * 4, "key of a tree", found, expected));
        }
        Ok(())
    }
}
