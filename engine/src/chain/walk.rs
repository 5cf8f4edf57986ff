//! From a tip down to the base, by index files where there are any.

use std::collections::HashSet;
use std::sync::Arc;

use super::Layers;
use super::counters::IndexCounts;
use super::index::open_index;
use super::level::Level;
use super::merge::merge_levels;
use super::slots::open_verified;
use super::stretch::HEAVY_LAYER_EXTENTS;
use crate::error::{Error, ErrorKind, Result};
use crate::format::LayerRef;
use crate::layer::Layer;

/// How many layers are open at once while a chain without indexes is walked.
const LAYERS_AT_ONCE: usize = 256;

/// Whether index files are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexUse {
    /// Where they are there and verify.
    Trust,
    /// Not at all: one of them proved wrong.
    Ignore,
}

/// The levels of the chain under and with `tip`, newest first.
pub(super) fn walk(
    layers: &dyn Layers,
    tip: &Arc<Layer>,
    index_use: IndexUse,
    counts: &IndexCounts,
) -> Result<Vec<Arc<Level>>> {
    let mut walk = Walk { layers, tip, index_use, counts, levels: vec![], light: vec![] };
    let mut seen = HashSet::new();
    let mut next = Some(tip.reference());
    while let Some(wanted) = next {
        // A chain that comes back to a layer would never end; any way round passes one of
        // the layers or index tips that were met before.
        if !seen.insert(wanted.id) {
            return Err(Error::corrupt("walk a chain", "parent", wanted.id, "a layer not met yet")
                .in_file(tip.file().path()));
        }
        let level = walk.level(&wanted)?;
        if level.tip().id != wanted.id && !seen.insert(level.tip().id) {
            let found = level.tip().id;
            return Err(Error::corrupt("walk a chain", "parent", found, "a layer not met yet")
                .in_file(tip.file().path()));
        }
        next = level.below().copied();
        walk.add(level)?;
    }
    walk.fold_light()?;
    Ok(walk.levels)
}

struct Walk<'a> {
    layers: &'a dyn Layers,
    tip: &'a Arc<Layer>,
    index_use: IndexUse,
    counts: &'a IndexCounts,
    levels: Vec<Arc<Level>>,
    /// Light layers met one after another, not merged yet.
    light: Vec<Arc<Level>>,
}

impl Walk<'_> {
    /// The level that begins with the layer recorded as `wanted`.
    fn level(&self, wanted: &LayerRef) -> Result<Level> {
        if let Some(index) = self.usable_index(wanted) {
            return Ok(index);
        }
        if wanted.id == self.tip.header().layer {
            return Ok(Level::of_layer(Arc::clone(self.tip)));
        }
        let layer = open_verified(self.layers, wanted).map_err(Error::into_lost)?;
        self.check_geometry(&layer)?;
        // A layer that was sealed when it was recorded may have come back under another id.
        let found = layer.reference();
        let index = (found.id != wanted.id).then(|| self.usable_index(&found)).flatten();
        Ok(index.unwrap_or_else(|| Level::of_layer(layer)))
    }

    fn add(&mut self, level: Level) -> Result<()> {
        let level = Arc::new(level);
        let light = level.layers() == 1 && level.extents() < HEAVY_LAYER_EXTENTS;
        if light && level.is_frozen() {
            self.light.push(level);
            if self.light.len() < LAYERS_AT_ONCE {
                return Ok(());
            }
            return self.fold_light();
        }
        self.fold_light()?;
        self.levels.push(level);
        Ok(())
    }

    fn fold_light(&mut self) -> Result<()> {
        match self.light.len() {
            0 | 1 => self.levels.append(&mut self.light),
            _ => {
                let block_size = self.tip.header().block_size;
                self.levels.push(Arc::new(merge_levels(&self.light, block_size)?));
                self.light.clear();
            }
        }
        Ok(())
    }

    /// The index of the stretch under `wanted`, if there is one to trust (INV-07).
    fn usable_index(&self, wanted: &LayerRef) -> Option<Level> {
        if self.index_use == IndexUse::Ignore {
            return None;
        }
        let index = open_index(self.layers, wanted).unwrap_or_else(|_| {
            self.counts.count_unusable();
            None
        });
        index.filter(|index| index.block_size() == self.tip.header().block_size)
    }

    fn check_geometry(&self, layer: &Layer) -> Result<()> {
        let (expected, found) = (self.tip.header(), layer.header());
        let wrong = |field, found: String, expected: String| {
            Err(Error::new(ErrorKind::WrongParent, "walk a chain")
                .about(field, found, expected)
                .in_file(layer.file().path()))
        };
        if found.block_size != expected.block_size {
            let (found, expected) = (found.block_size.bytes(), expected.block_size.bytes());
            return wrong("block size", found.to_string(), expected.to_string());
        }
        if found.kind != expected.kind {
            return wrong("kind", format!("{:?}", found.kind), format!("{:?}", expected.kind));
        }
        Ok(())
    }
}
