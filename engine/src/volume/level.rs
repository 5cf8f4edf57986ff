//! One level of a volume's map: a mutable map, and immutable parts below it.

use std::sync::Arc;

use crate::error::Result;
use crate::extent::{Extent, ExtentMap, Lookup, Run, Span, Target};
use crate::units::{BlockAddress, FileBlock, SourceIndex};

/// What is pending, under way or committed: newest first, the map and then the parts.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// The newest changes.
    pub map: ExtentMap,
    /// Older ones, newest first.
    pub parts: Vec<Part>,
}

/// An immutable part of a level.
#[derive(Clone, Debug)]
pub enum Part {
    /// A map that was set aside to be written out as a run.
    Map(Arc<ExtentMap>),
    /// A run in the file.
    Run(Arc<Run>),
}

impl Part {
    /// How many extents it holds.
    pub fn len(&self) -> u64 {
        match self {
            Part::Map(map) => map.len() as u64,
            Part::Run(run) => run.extent_count() as u64,
        }
    }

    /// Its extents in address order.
    pub fn extents(&self) -> Box<dyn Iterator<Item = Result<Extent>> + '_> {
        match self {
            Part::Map(map) => Box::new(map.iter().map(Ok)),
            Part::Run(run) => Box::new(run.extents()),
        }
    }
}

impl Lookup for Part {
    fn find(&self, address: BlockAddress) -> Result<Span> {
        match self {
            Part::Map(map) => Ok(map.find(address)),
            Part::Run(run) => run.find(address),
        }
    }
}

impl Level {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty() && self.parts.is_empty()
    }

    /// Puts a run above all that the level holds; the map goes below it as a part.
    pub fn stack(&mut self, run: Arc<Run>) {
        self.set_map_aside();
        self.parts.insert(0, Part::Run(run));
    }

    /// Makes the map the newest of the parts, which are given.
    pub fn set_map_aside(&mut self) -> &[Part] {
        if !self.map.is_empty() {
            let map = std::mem::take(&mut self.map);
            self.parts.insert(0, Part::Map(Arc::new(map)));
        }
        &self.parts
    }

    /// The checksum that the run which maps `address` holds for it, if it is a run that does.
    pub fn checksum(&self, address: BlockAddress) -> Result<Option<u32>> {
        for part in &self.parts {
            if part.find(address)?.target.is_some() {
                return match part {
                    Part::Run(run) => run.checksum(address).map(Some),
                    Part::Map(_) => Ok(None),
                };
            }
        }
        Ok(None)
    }
}

impl Lookup for Level {
    fn find(&self, address: BlockAddress) -> Result<Span> {
        let mut span = self.map.find(address);
        for part in &self.parts {
            if span.target.is_some() {
                break;
            }
            let below = part.find(address)?;
            span = Span { target: below.target, end: span.end.min(below.end) };
        }
        Ok(span)
    }
}

/// What `map` says over `[start, end)`, piece by piece; gaps are left out.
pub fn pieces(
    map: &dyn Lookup,
    start: BlockAddress,
    end: BlockAddress,
    mut each: impl FnMut(Extent) -> Result<()>,
) -> Result<()> {
    let mut at = start;
    while at < end {
        let span = map.find(at)?;
        let past = span.end.min(end);
        assert!(past > at, "a span is never empty");
        if let Some(target) = span.target {
            each(Extent { start: at, length: past.0 - at.0, target })?;
        }
        at = past;
    }
    Ok(())
}

/// The blocks of the layer's own file in an extent.
pub fn own_blocks(extent: &Extent) -> Option<(FileBlock, u64)> {
    match extent.target {
        Target::Data { source: SourceIndex::OWN, block } => Some((block, extent.length)),
        _ => None,
    }
}
