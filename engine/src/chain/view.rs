//! The view of a chain: immutable, shared by any number of readers.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Layers;
use super::compaction::Compaction;
use super::counters::{IndexCounters, IndexCounts};
use super::index::{discard_index, open_index, write_index};
use super::level::{Fault, Level};
use super::merge::merge_levels;
use super::slots::open_verified;
use super::stretch::{Effort, INLINE_WEIGHT_MAX, groups, weight, worth_a_file};
use super::walk::{IndexUse, walk};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::format::{LayerRef, LayerState};
use crate::layer::Layer;
use crate::units::{ADDRESS_END, BlockAddress, BlockSize, FileBlock, LayerId};

/// How often an index may prove wrong during one call before its error is given back.
const REBUILDS_MAX: usize = 3;

/// What a layer and all its ancestors hold, each address as its newest layer says.
///
/// A view never changes. Inside it can be replaced by one that says the same from
/// fewer levels, or from the layers where an index proved wrong; reads share no lock
/// and write to no shared count.
#[derive(Debug)]
pub struct View {
    layers: Arc<dyn Layers>,
    block_size: BlockSize,
    tip: Option<Arc<Layer>>,
    /// Newest first.
    levels: Vec<Arc<Level>>,
    /// Set once, to a view that gives the same answers.
    replacement: OnceLock<Arc<View>>,
    /// Held while the view is made anew; whether that failed.
    rebuild_failed: Mutex<bool>,
    compaction: Arc<Compaction>,
}

/// What a view says about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewTarget {
    /// No layer holds anything there; reads as zeros.
    Hole,
    /// A layer says zeros; reads as zeros.
    Zero,
    /// Stored blocks.
    Data {
        /// The layer whose file holds them.
        owner: LayerId,
        /// The block of the address in that file.
        block: FileBlock,
        /// How many layers lie above the one whose map names them; 0 for the tip.
        depth: u64,
    },
}

/// What a view says about an address, and how far that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewSpan {
    /// What it says about the address that was asked for.
    pub target: ViewTarget,
    /// The first address that the answer, advanced block by block, need not hold for.
    pub end: BlockAddress,
}

/// Where a data block of a view comes from: what a clone of it records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// The layer whose file holds it.
    pub layer: LayerRef,
    /// The block in that file.
    pub block: FileBlock,
    /// Its checksum.
    pub checksum: u32,
    /// The first address for which this, advanced block by block, need not hold; the
    /// checksum is that of the first block alone.
    pub end: BlockAddress,
}

/// What a view found, in its own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Hole,
    Zero,
    Data { level: u32, slot: u32, block: FileBlock },
}

impl View {
    /// Opens the view of `tip` and its ancestors.
    ///
    /// Index files are used where they are there and verify; what they do not cover is
    /// read from the layers, merged in memory, and written to a new index file where it
    /// is worth one. Every layer that is opened is compared with what its child recorded.
    pub fn open(layers: Arc<dyn Layers>, tip: &LayerRef) -> Result<Arc<View>> {
        let tip = open_verified(&*layers, tip)?;
        let compaction = Arc::default();
        View::assemble(layers, tip, IndexUse::Trust, compaction).map(Arc::new)
    }

    /// The view of no layer at all: what a volume without a parent stands on.
    pub fn empty(layers: Arc<dyn Layers>, block_size: BlockSize) -> Arc<View> {
        Arc::new(View::of_levels(layers, block_size, None, Vec::new(), Arc::default()))
    }

    /// The view of `layer`, whose parent is the tip of this view: what a snapshot makes.
    ///
    /// Costs little and reads nothing: what there is to merge beyond a few extents, and to
    /// write to an index file, is done on another thread. The layer may be an open one that
    /// was looked into from outside; what that says enters no index.
    pub fn on_top(&self, layer: Arc<Layer>) -> Result<Arc<View>> {
        let base = self.current();
        base.check_child(&layer)?;
        let mut levels = vec![Arc::new(Level::of_layer(Arc::clone(&layer)))];
        levels.extend(base.levels.iter().cloned());
        let work_left;
        (levels, work_left) = match layer.header().state {
            LayerState::Open => (levels, false),
            LayerState::Frozen => merge_light_groups(levels, base.block_size)?,
        };
        let compaction = Arc::clone(&base.compaction);
        let layers = Arc::clone(&base.layers);
        let view =
            Arc::new(View::of_levels(layers, base.block_size, Some(layer), levels, compaction));
        if work_left {
            base.compaction.start(&view);
        }
        Ok(view)
    }

    /// The newest layer; `None` in the view of no layer.
    pub fn tip(&self) -> Option<&Arc<Layer>> {
        self.tip.as_ref()
    }

    /// The size of a block.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// How many layers the chain has.
    pub fn depth(&self) -> u64 {
        self.current().levels.iter().map(|level| level.layers()).sum()
    }

    /// How many extents its levels hold together: what the view costs in memory, mapped or not.
    pub fn mapped_extents(&self) -> u64 {
        self.current().levels.iter().map(|level| level.extents()).sum()
    }

    /// Where its layers come from.
    pub fn layers(&self) -> &Arc<dyn Layers> {
        &self.layers
    }

    /// What became of index files since the view, or the one it was put on, was opened.
    pub fn index_counters(&self) -> IndexCounters {
        self.compaction.counts.get()
    }

    /// What the view says about `address`.
    pub fn find(&self, address: BlockAddress) -> Result<ViewSpan> {
        self.ask(|view| {
            let (found, end) = view.resolve(address)?;
            Ok(ViewSpan { target: view.target(found)?, end })
        })
    }

    /// Where the data block at `address` comes from; `None` where it reads as zeros.
    pub fn source_of(&self, address: BlockAddress) -> Result<Option<DataSource>> {
        self.ask(|view| {
            let (Found::Data { level, slot, block }, end) = view.resolve(address)? else {
                return Ok(None);
            };
            let of_level = &view.levels[level as usize];
            let missing = |error| view.data_fault(level, (slot, block), (address, 1), error);
            let owner = of_level.slots().owner(slot, &*view.layers).map_err(missing)?;
            let layer = owner.reference();
            let checksum = view.checksum_of(level, slot, address).map_err(missing)?;
            Ok(Some(DataSource { layer, block, checksum, end }))
        })
    }

    /// The checksum of the data block at `address`; `None` where it reads as zeros.
    pub fn checksum(&self, address: BlockAddress) -> Result<Option<u32>> {
        self.ask(|view| match view.resolve(address)? {
            (Found::Data { level, slot, block }, _) => {
                let checksum = view.checksum_of(level, slot, address);
                checksum
                    .map(Some)
                    .map_err(|error| view.data_fault(level, (slot, block), (address, 1), error))
            }
            _ => Ok(None),
        })
    }

    /// Merges all levels into one and writes it to an index file, whatever that is worth.
    /// The view of an open layer has none.
    pub fn persist_index(&self) -> Result<()> {
        self.compaction.wait();
        let view = self.current();
        let frozen = |tip: &&Arc<Layer>| tip.header().state == LayerState::Frozen;
        let Some(tip) = view.tip.as_ref().filter(frozen) else { return Ok(()) };
        if let [level] = &view.levels[..]
            && level.index_files() == [level.tip().id]
            && level.unwritten_index().is_none()
        {
            return Ok(());
        }
        let merged = merge_levels(&view.levels, view.block_size)?;
        write_index(&*view.layers, &merged)?;
        view.compaction.counts.count_written();
        let level = open_index(&*view.layers, &tip.reference())?.unwrap_or(merged);
        view.replace(vec![Arc::new(level)]);
        Ok(())
    }

    /// Waits until no merge that a snapshot began is under way any more.
    pub fn wait_for_merges(&self) {
        self.compaction.wait();
    }

    /// Asks the newest view that says the same, and the layers where an index proves wrong.
    #[inline]
    pub(super) fn ask<'a, T>(
        &'a self,
        mut question: impl FnMut(&'a View) -> Result<T, Fault>,
    ) -> Result<T> {
        let mut view = self.current();
        let mut rebuilds = 0;
        loop {
            match question(view) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Other(error)) => return Err(error),
                Err(Fault::Index { error, .. }) if rebuilds == REBUILDS_MAX => return Err(error),
                Err(Fault::Index { level, error }) => {
                    view = view.rebuild(level, error)?;
                    rebuilds += 1;
                }
            }
        }
    }

    /// What the levels say, from the newest down.
    #[inline]
    pub(super) fn resolve(&self, address: BlockAddress) -> Result<(Found, BlockAddress), Fault> {
        let mut end = BlockAddress(ADDRESS_END);
        for (number, level) in self.levels.iter().enumerate() {
            let span = level.find(address).map_err(|error| level.search_fault(number, error))?;
            end = end.min(span.end);
            match span.target {
                None | Some(Target::Hole) => {}
                Some(Target::Zero) => return Ok((Found::Zero, end)),
                Some(Target::Data { source, block }) => {
                    return Ok((Found::Data { level: number as u32, slot: source.0, block }, end));
                }
            }
        }
        Ok((Found::Hole, end))
    }

    /// The checksum of the data block that level `level` maps at `address` through `slot`.
    #[cold]
    pub(super) fn checksum_of(&self, level: u32, slot: u32, address: BlockAddress) -> Result<u32> {
        self.levels[level as usize].slots().mapper(slot, &*self.layers)?.checksum(address)
    }

    /// See [`Level::data_fault`].
    #[cold]
    pub(super) fn data_fault(
        &self,
        level: u32,
        (slot, block): (u32, FileBlock),
        (address, blocks): (BlockAddress, u64),
        error: Error,
    ) -> Fault {
        let of_level = &self.levels[level as usize];
        of_level.data_fault(level, (slot, block), (address, blocks), &*self.layers, error)
    }

    /// Those of the `blocks` data blocks that it maps from there on.
    #[cold]
    pub(super) fn checksums_of(
        &self,
        level: u32,
        slot: u32,
        address: BlockAddress,
        blocks: u64,
    ) -> Result<Vec<u32>> {
        let mut checksums = Vec::with_capacity(blocks as usize);
        let mapper = self.levels[level as usize].slots().mapper(slot, &*self.layers)?;
        mapper.append_checksums(address, blocks, &mut checksums)?;
        Ok(checksums)
    }

    pub(super) fn levels(&self) -> &[Arc<Level>] {
        &self.levels
    }

    /// The newest view that says what this one says.
    #[inline]
    pub(super) fn current(&self) -> &View {
        let mut view = self;
        while let Some(next) = view.replacement.get() {
            view = next;
        }
        view
    }

    /// Merges what of `levels`, which say what this view says, has grown too close in weight,
    /// writes what is worth a file, and has the view replaced. Gives the new levels.
    pub(super) fn compact(&self, levels: Vec<Arc<Level>>) -> Result<Vec<Arc<Level>>> {
        let merged = merge_groups(&levels, Effort::Growing, self.block_size)?;
        let levels = write_worthy(&*self.layers, merged, &self.compaction.counts);
        self.replace(levels.clone());
        Ok(levels)
    }

    fn assemble(
        layers: Arc<dyn Layers>,
        tip: Arc<Layer>,
        index_use: IndexUse,
        compaction: Arc<Compaction>,
    ) -> Result<View> {
        let block_size = tip.header().block_size;
        let walked = walk(&*layers, &tip, index_use, &compaction.counts)?;
        let levels = match merge_groups(&walked, Effort::Opening, block_size) {
            Ok(merged) => write_worthy(&*layers, merged, &compaction.counts),
            Err(_) if walked.iter().any(|level| !level.index_files().is_empty()) => {
                // An index was damaged where opening it does not look.
                let damaged = walked.iter().flat_map(|level| level.index_files());
                damaged.for_each(|&tip| discard_index(&*layers, tip));
                compaction.counts.count_unusable();
                return View::assemble(layers, tip, IndexUse::Ignore, compaction);
            }
            Err(error) => return Err(error),
        };
        Ok(View::of_levels(layers, block_size, Some(tip), levels, compaction))
    }

    fn of_levels(
        layers: Arc<dyn Layers>,
        block_size: BlockSize,
        tip: Option<Arc<Layer>>,
        levels: Vec<Arc<Level>>,
        compaction: Arc<Compaction>,
    ) -> View {
        View {
            layers,
            block_size,
            tip,
            levels,
            replacement: OnceLock::new(),
            rebuild_failed: Mutex::new(false),
            compaction,
        }
    }

    fn replace(&self, levels: Vec<Arc<Level>>) {
        let compaction = Arc::clone(&self.compaction);
        let layers = Arc::clone(&self.layers);
        let view = View::of_levels(layers, self.block_size, self.tip.clone(), levels, compaction);
        // Where another one came first, that one says the same.
        let _ = self.replacement.set(Arc::new(view));
    }

    /// The same view from the layers alone: level `level` came from index files and proved wrong.
    #[cold]
    fn rebuild(&self, level: usize, error: Error) -> Result<&View> {
        let mut failed = self.rebuild_failed.lock();
        if let Some(view) = self.replacement.get() {
            return Ok(view.current());
        }
        let Some(tip) = self.tip.as_ref().filter(|_| !*failed) else { return Err(error) };
        for &index in self.levels[level].index_files() {
            discard_index(&*self.layers, index);
        }
        self.compaction.counts.count_rebuilt();
        let (layers, compaction) = (Arc::clone(&self.layers), Arc::clone(&self.compaction));
        match View::assemble(layers, Arc::clone(tip), IndexUse::Ignore, compaction) {
            Ok(view) => Ok(self.replacement.get_or_init(|| Arc::new(view)).current()),
            Err(error) => {
                *failed = true;
                Err(error)
            }
        }
    }

    fn check_child(&self, layer: &Layer) -> Result<()> {
        let wrong = |field, found: String, expected: String| {
            Err(Error::new(ErrorKind::WrongParent, "put a layer on a view")
                .about(field, found, expected)
                .in_file(layer.file().path()))
        };
        let (found, expected) = (layer.header().block_size, self.block_size);
        if found != expected {
            return wrong("block size", found.bytes().to_string(), expected.bytes().to_string());
        }
        match (&layer.header().parent, &self.tip) {
            (None, None) => Ok(()),
            (Some(recorded), Some(tip)) => {
                let found = tip.reference();
                // The tip may have been sealed after this view opened it.
                let digest = recorded.digest.filter(|_| found.digest.is_some());
                LayerRef { digest, ..*recorded }
                    .verify(&found)
                    .map_err(|error| error.in_file(layer.file().path()))
            }
            (recorded, tip) => wrong(
                "parent",
                recorded.map_or("none".to_owned(), |parent| parent.id.to_string()),
                tip.as_ref().map_or("none".to_owned(), |tip| tip.reference().id.to_string()),
            ),
        }
    }

    fn target(&self, found: Found) -> Result<ViewTarget, Fault> {
        Ok(match found {
            Found::Hole => ViewTarget::Hole,
            Found::Zero => ViewTarget::Zero,
            Found::Data { level, slot, block } => {
                let (above, rest) = self.levels.split_at(level as usize);
                let slot = rest[0].slots().get(slot)?;
                let layers_above: u64 = above.iter().map(|level| level.layers()).sum();
                ViewTarget::Data {
                    owner: slot.owner.id,
                    block,
                    depth: layers_above + slot.distance,
                }
            }
        })
    }
}

/// Merges those groups of `levels` that are light enough for the path of a snapshot; and
/// whether there is more to merge, or something to write.
fn merge_light_groups(
    levels: Vec<Arc<Level>>,
    block_size: BlockSize,
) -> Result<(Vec<Arc<Level>>, bool)> {
    let weights: Vec<_> = levels.iter().map(|level| weight(level)).collect();
    let mut work_left = false;
    let mut merged = Vec::with_capacity(levels.len());
    for range in groups(&weights, Effort::Growing) {
        let heavy = weights[range.clone()].iter().sum::<u64>() > INLINE_WEIGHT_MAX;
        if range.len() > 1 && !heavy {
            merged.push(Arc::new(merge_levels(&levels[range], block_size)?));
        } else {
            work_left |= range.len() > 1;
            merged.extend_from_slice(&levels[range]);
        }
    }
    work_left |= merged.iter().any(|level| worth_a_file(level));
    Ok((merged, work_left))
}

fn merge_groups(
    levels: &[Arc<Level>],
    effort: Effort,
    block_size: BlockSize,
) -> Result<Vec<Arc<Level>>> {
    // What an open layer says may change: it stays apart.
    let open = levels.iter().take_while(|level| !level.is_frozen()).count();
    let (open, frozen) = levels.split_at(open);
    let weights: Vec<_> = frozen.iter().map(|level| weight(level)).collect();
    let merged = groups(&weights, effort).into_iter().map(|range| match &frozen[range] {
        [level] => Ok(Arc::clone(level)),
        group => merge_levels(group, block_size).map(Arc::new),
    });
    open.iter().cloned().map(Ok).chain(merged).collect()
}

/// The levels, those that are worth a file mapped from it. Where a file cannot be written, the
/// level stays on the heap: an index is derived, and no view fails for the want of one.
fn write_worthy(
    layers: &dyn Layers,
    levels: Vec<Arc<Level>>,
    counts: &IndexCounts,
) -> Vec<Arc<Level>> {
    levels
        .into_iter()
        .map(|level| {
            if !worth_a_file(&level) {
                return level;
            }
            match write_index(layers, &level).and_then(|()| open_index(layers, level.tip())) {
                Ok(written) => {
                    counts.count_written();
                    written.map_or(level, Arc::new)
                }
                Err(_) => {
                    counts.count_write_failure();
                    level
                }
            }
        })
        .collect()
}

impl ViewTarget {
    /// The target of the address `blocks` further on in the same stretch. A block that is not
    /// known yet (`u64::MAX`) stays unknown.
    #[must_use]
    pub fn advanced(self, blocks: u64) -> ViewTarget {
        match self {
            ViewTarget::Data { owner, block, depth } => {
                let block = FileBlock(block.0.saturating_add(blocks));
                ViewTarget::Data { owner, block, depth }
            }
            other => other,
        }
    }
}
