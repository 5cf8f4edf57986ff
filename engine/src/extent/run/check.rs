//! Checking all of a run: what look-ups trust piece by piece, at once.

use super::Run;
use crate::error::{Error, Result};
use crate::extent::Target;
use crate::format::run::{CODE_DATA, EXTENTS_PER_NODE, SAMPLE_EXTENTS, Section, TREE_EXTENTS_MIN};
use crate::format::tree::{NODE_KEYS, Node, TreeShape, build_tree};
use crate::memory::filled;
use crate::raw::as_bytes;
use crate::units::BlockAddress;

impl Run {
    /// Verifies every chunk and that all sections agree: order, lengths, trees,
    /// samples and counts. The first thing that is wrong is the error.
    pub fn check(&self) -> Result<()> {
        let end = self.layout.body.offset + self.layout.body.bytes;
        self.chunks.verify_until(&self.bytes, end).map_err(|error| self.locate_error(error))?;
        self.check_extents()?;
        self.check_words()?;
        self.check_trees()?;
        self.intact()
    }

    fn check_extents(&self) -> Result<()> {
        let mut checksums = 0u64;
        let mut bounds = (None, BlockAddress(0));
        let mut extents = self.extents();
        loop {
            let index = extents.position();
            let Some(extent) = extents.next() else { break };
            let extent = extent?;
            bounds = (bounds.0.or(Some(extent.start)), extent.end());
            if !self.samples.is_empty() && (index as u64).is_multiple_of(SAMPLE_EXTENTS) {
                let sample = index / SAMPLE_EXTENTS as usize;
                let offset = self.layout.samples.offset + 8 * sample as u64;
                self.agree("checksum sample", offset, self.samples[sample], checksums)?;
            }
            if let Target::Data { .. } = extent.target {
                checksums = checksums.saturating_add(extent.length);
            }
        }
        let first = bounds.0.unwrap_or_default();
        self.agree("first address", 0, self.head.first, first)?;
        self.agree("end address", 0, self.head.end, bounds.1)?;
        match self.head.block_checksums {
            Some(found) => self.agree("block checksums", 0, found, checksums),
            None => Ok(()),
        }
    }

    /// That each thing a word can say is said in one way only.
    fn check_words(&self) -> Result<()> {
        let widths = self.head.widths;
        let mut wide = 0;
        for (index, &word) in self.words.iter().enumerate() {
            let offset = self.layout.words.offset + 8 * index as u64;
            let mut parts = widths.unpack(word);
            if parts.code == widths.wide_code() {
                self.agree("wide index", offset, widths.unpack_wide(word), wide)?;
                wide += 1;
                parts = self.wide_parts(index)?;
            }
            if parts.code < CODE_DATA {
                self.agree("block of no data", offset, parts.block, 0)?;
            }
        }
        self.agree("wide", 0, self.head.wide, wide)
    }

    fn check_trees(&self) -> Result<()> {
        self.check_tree(&self.highs, &self.high_tree, self.layout.superblock_tree)?;
        let mut used = 0;
        for bounds in self.firsts.windows(2) {
            let (first, past) = (bounds[0] as usize, bounds[1] as usize);
            if (past - first) as u64 >= TREE_EXTENTS_MIN {
                let node = first / EXTENTS_PER_NODE as usize;
                let nodes = TreeShape::over((past - first) as u32).nodes();
                self.check_unused(used..node)?;
                let tree = &self.low_trees[node..node + nodes];
                self.check_tree(&self.lows[first..past], tree, self.layout.low_trees)?;
                used = node + nodes;
            }
        }
        self.check_unused(used..self.low_trees.len())
    }

    fn check_tree(&self, column: &[u32], found: &[Node], section: Section) -> Result<()> {
        let shape = TreeShape::over(column.len() as u32);
        let mut expected = filled(shape.nodes(), [0; NODE_KEYS]).map_err(|error| {
            Error::of_reading("check a run", error)
                .in_file(&self.origin.path)
                .at_offset(self.origin.offset)
        })?;
        build_tree(column, &mut expected);
        match as_bytes(found) == as_bytes(&expected) {
            true => Ok(()),
            false => Err(self.damaged("tree", section.offset, "other keys", "those of its column")),
        }
    }

    fn check_unused(&self, nodes: std::ops::Range<usize>) -> Result<()> {
        let offset = self.layout.low_trees.offset + 64 * nodes.start as u64;
        match self.low_trees[nodes].as_flattened().iter().all(|&key| key == 0) {
            true => Ok(()),
            false => Err(self.damaged("unused nodes", offset, "keys", "zeros")),
        }
    }

    fn agree<T: PartialEq + std::fmt::Display>(
        &self,
        field: &'static str,
        offset: u64,
        found: T,
        expected: T,
    ) -> Result<()> {
        match found == expected {
            true => Ok(()),
            false => Err(self.damaged(field, offset, found, expected)),
        }
    }
}
