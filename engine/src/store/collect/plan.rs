//! What goes: files that nothing reaches, and stretches of files that nobody can see.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::census::{Census, Resident};
use super::reach::{Forest, Node, Reach, reach};
use super::see::{Maps, Sight, see};
use crate::error::{Error, Result};
use crate::extent::Extent;
use crate::format::{Header, LayerRef, LayerState, NameEntry, NameKind};
use crate::layer::{Descriptors, Layer, ReadPolicy, metadata_blocks};
use crate::medium::{Host, Medium, OpenMode};
use crate::store::names::failed;
use crate::store::paths;
use crate::store::ranges::RangeSet;
use crate::units::{BlockAddress, LayerId};

/// How many layers are open at once while their maps are walked, one after another.
const DESCRIPTORS: usize = 4;

/// What a collection takes away.
#[derive(Debug, Default)]
pub struct Plan {
    /// Layers whose files go, and the bytes that the host gives back for them.
    pub unlink: Vec<(LayerId, u64)>,
    /// Layers of which blocks go.
    pub thin: Vec<Thinning>,
    /// Layers with data that nobody can see and others that stand on them, still to be
    /// sealed: once such data is gone, nobody can.
    pub seal_first: Vec<LayerId>,
    /// Files that stand for nothing any more.
    pub litter: Vec<PathBuf>,
    /// Derived files that stand for layers of the plan, where they are there.
    pub derived: Vec<PathBuf>,
    /// How many layers stay.
    pub kept_layers: u64,
    /// Frozen layers of which all stays that anybody named, and of which no open layer may refer to
    /// blocks.
    pub whole: Vec<LayerId>,
}

impl Plan {
    /// All bytes that come back.
    pub fn freed_bytes(&self) -> u64 {
        let thinned = self.thin.iter().map(|thinning| thinning.bytes);
        self.unlink.iter().map(|(_, bytes)| *bytes).chain(thinned).sum()
    }
}

/// What goes of one layer.
#[derive(Debug)]
pub struct Thinning {
    /// The layer.
    pub id: LayerId,
    /// Its thinned mark is to be set: what it maps goes, and did not before.
    pub is_new: bool,
    /// The stretches of its file, in bytes.
    pub stretches: Vec<Range<u64>>,
    /// How many bytes they are.
    pub bytes: u64,
}

/// In what the store is taken to be other than it is.
#[derive(Debug, Default)]
pub struct Assume {
    /// Layers that count as removed.
    pub removed: BTreeSet<LayerId>,
    /// Names that count as not there.
    pub without_names: BTreeSet<String>,
    /// Layers of which nothing may go.
    pub untouchable: BTreeSet<LayerId>,
}

impl Assume {
    /// Nobody has a removed snapshot open any more.
    pub fn closed(census: &Census) -> Assume {
        let removed = |resident: &Resident| {
            resident.is_frozen() && resident.header.as_ref().is_some_and(|header| header.removed)
        };
        let ids = census.layers.iter().filter(|(_, resident)| removed(resident)).map(|(id, _)| *id);
        Assume { removed: ids.collect(), ..Assume::default() }
    }
}

/// Plans a collection.
pub fn plan(
    host: &Arc<dyn Host>,
    policy: ReadPolicy,
    census: &Census,
    assume: &Assume,
) -> Result<Plan> {
    let forest = forest(census, assume);
    let reach = reach(&forest)?;
    let sights = see(&forest, &reach, &FileMaps::new(host, policy))?;
    let mut plan = Plan { litter: census.litter.clone(), ..Plan::default() };
    let needed: BTreeSet<LayerId> = reach.seen.iter().chain(&reach.holders).copied().collect();
    for (id, resident) in &census.layers {
        if !needed.contains(id) {
            plan.unlink.push((*id, resident.allocated_bytes));
            plan.derived.push(paths::index(*id));
            plan.derived.extend(digest_note(resident));
        }
    }
    plan.kept_layers = needed.len() as u64;
    let is_whole = |id: &LayerId| forest[id].whole && !forest[id].pinned;
    let is_frozen = |id: &LayerId| census.layers[id].is_frozen();
    plan.whole = needed.iter().copied().filter(|id| is_whole(id) && is_frozen(id)).collect();
    plan.seal_first = unsealed(census, &reach, &sights);
    for (id, sight) in &sights {
        let Some(header) = &census.layers[id].header else { continue };
        if !header.features.are_writable() {
            continue;
        }
        let stretches = allocated(host, *id, &unseen(header, sight))?;
        let bytes = stretches.iter().map(|range| range.end - range.start).sum();
        if bytes > 0 {
            // Where all that it maps stays, it goes on as it is: only what nothing maps goes.
            let is_thinned = sight.has_unseen || reach.holders.contains(id);
            if is_thinned {
                // It satisfies no look-up by digest any more.
                plan.derived.extend(digest_note(&census.layers[id]));
            }
            let is_new = is_thinned && !header.thinned;
            plan.thin.push(Thinning { id: *id, is_new, stretches, bytes });
        }
    }
    Ok(plan)
}

/// The frozen layers whose maps do not verify, or are of a newer version.
pub fn unreadable(
    host: &Arc<dyn Host>,
    policy: ReadPolicy,
    census: &Census,
) -> Result<Vec<(LayerId, Error)>> {
    let maps = FileMaps::new(host, policy);
    let mut unreadable = Vec::new();
    for (id, _) in census.layers.iter().filter(|(_, resident)| resident.is_frozen()) {
        match maps.extents(*id, &mut |_| Ok(())) {
            Err(error) if error.is_of_one_file() => unreadable.push((*id, error)),
            read => read?,
        }
    }
    Ok(unreadable)
}

fn digest_note(resident: &Resident) -> Option<PathBuf> {
    let header = resident.header.as_ref()?;
    Some(paths::digest(header.digest?, header.layer))
}

fn forest(census: &Census, assume: &Assume) -> Forest {
    let names = census
        .names
        .iter()
        .map(|found| &found.entry)
        .filter(|entry| !assume.without_names.contains(&entry.name));
    let mut tops = BTreeSet::new();
    let mut whole = BTreeSet::new();
    for entry in names {
        if entry.kind == NameKind::Volume {
            tops.insert(entry.top);
        }
        // A volume whose top is lost gets a fresh one on the parent that its name gives, and one
        // whose top was frozen a fresh one on that.
        match census.layers.get(&entry.top) {
            Some(top) if top.is_frozen() => whole.extend([entry.top]),
            _ => whole.extend(entry.parent.iter().flat_map(|parent| census.locate(parent))),
        }
    }
    let mut pinned: BTreeSet<LayerId> = BTreeSet::new();
    let mut forest = Forest::new();
    for (id, resident) in &census.layers {
        let parent = resident.header.as_ref().and_then(|header| header.parent);
        let parents = parent.map_or(Vec::new(), |parent| census.locate(&parent));
        let frozen = resident.is_frozen();
        let gone = assume.removed.contains(id);
        let open = !frozen && !gone && (resident.in_use || tops.contains(id));
        if open {
            whole.extend(&parents);
            pinned.extend(&resident.sources);
        }
        if frozen && is_kept(census, assume, *id, resident) || assume.untouchable.contains(id) {
            whole.insert(*id);
        }
        let sources = resident.sources.clone();
        forest.insert(*id, Node { parents, sources, open, ..Node::default() });
    }
    for (id, node) in &mut forest {
        node.whole = !node.open && whole.contains(id);
        node.pinned = pinned.contains(id);
    }
    forest
}

fn is_kept(census: &Census, assume: &Assume, id: LayerId, resident: &Resident) -> bool {
    let removed = resident.header.as_ref().is_some_and(|header| header.removed);
    let unfinished = census.unfinished.contains(&id);
    !assume.removed.contains(&id) && (resident.in_use || !removed && !unfinished)
}

impl Census {
    /// The layers that `wanted` may mean: the one with its id, else all with its digest.
    pub fn locate(&self, wanted: &LayerRef) -> Vec<LayerId> {
        if self.layers.contains_key(&wanted.id) {
            return vec![wanted.id];
        }
        if self.damaged.contains_key(&wanted.id) {
            return Vec::new();
        }
        let digest = wanted.digest.and_then(|digest| self.by_digest.get(&digest));
        digest.cloned().unwrap_or_default()
    }

    /// The layer that `id` stands on, where it is there.
    pub fn parent_of(&self, id: LayerId) -> Option<LayerId> {
        let parent = self.layers.get(&id)?.header.as_ref()?.parent?;
        self.locate(&parent).first().copied()
    }

    /// The newest layer of a name's history that is there.
    pub fn tip_of(&self, entry: &NameEntry) -> Option<LayerId> {
        let is_there = self.layers.get(&entry.top).is_some_and(|top| top.header.is_some());
        match is_there {
            true => Some(entry.top),
            false => self.locate(entry.parent.as_ref()?).first().copied(),
        }
    }

    /// The layers from what a name leads to down, those that are there.
    pub fn history_of(&self, entry: &NameEntry) -> impl Iterator<Item = LayerId> {
        let mut seen = HashSet::new();
        let mut is_new = move |id: &LayerId| seen.insert(*id);
        let tip = self.tip_of(entry).filter(&mut is_new);
        std::iter::successors(tip, move |id| self.parent_of(*id).filter(&mut is_new))
    }

    /// Whether a layer is a snapshot that is kept for its own sake, whoever else needs it.
    pub fn keeps(&self, id: LayerId) -> bool {
        let header = self.layers.get(&id).and_then(|resident| resident.header.as_ref());
        let is_kept = |header: &Header| header.state == LayerState::Frozen && !header.removed;
        header.is_some_and(is_kept) && !self.unfinished.contains(&id)
    }
}

/// What is mapped to nobody's sight in a layer that others stand on, and has no digest yet.
fn unsealed(census: &Census, reach: &Reach, sights: &BTreeMap<LayerId, Sight>) -> Vec<LayerId> {
    let can_be_sealed = |id: &LayerId| {
        let header = census.layers[id].header.as_ref();
        header.is_some_and(|header| header.digest.is_none() && header.features.are_writable())
    };
    let has_unseen = |id: &LayerId| sights.get(id).is_some_and(|sight| sight.has_unseen);
    reach.seen.iter().filter(|id| has_unseen(id) && can_be_sealed(id)).copied().collect()
}

/// The bytes of a layer file that hold neither its metadata nor a block that somebody can see.
fn unseen(header: &Header, sight: &Sight) -> RangeSet {
    let size = header.block_size;
    let bytes = |block: u64| block.saturating_mul(size.bytes());
    let of_metadata = metadata_blocks(header);
    let mut kept: Vec<_> =
        of_metadata.map(|blocks| bytes(blocks.start)..bytes(blocks.end)).collect();
    for blocks in sight.blocks.iter() {
        kept.push(bytes(blocks.start)..bytes(blocks.end));
    }
    let kept = RangeSet::of_unsorted(kept);
    RangeSet::of(0..header.file_bytes).without(kept.iter())
}

/// The parts of `unseen` that the host has allocated.
pub fn allocated(host: &Arc<dyn Host>, id: LayerId, unseen: &RangeSet) -> Result<Vec<Range<u64>>> {
    let path = paths::layer(id);
    let host_says = |error| failed(&**host, "look for the data of a layer", &path)(error);
    let mut stretches = Vec::new();
    if unseen.is_empty() {
        return Ok(stretches);
    }
    let medium: Arc<dyn Medium> = host.open(&path, OpenMode::Read).map_err(host_says)?;
    let mut at = 0;
    while let Some((start, end)) = medium.next_data(at).map_err(host_says)? {
        stretches.extend(unseen.within(start..end));
        at = end;
    }
    Ok(stretches)
}

/// The maps of layers in their files, opened one at a time.
#[derive(Debug)]
struct FileMaps {
    descriptors: Arc<Descriptors>,
    policy: ReadPolicy,
}

impl FileMaps {
    fn new(host: &Arc<dyn Host>, policy: ReadPolicy) -> FileMaps {
        let descriptors = Arc::new(Descriptors::new(Arc::clone(host), DESCRIPTORS));
        FileMaps { descriptors, policy }
    }
}

impl Maps for FileMaps {
    fn extents(&self, id: LayerId, visit: &mut dyn FnMut(Extent) -> Result<()>) -> Result<()> {
        let layer = Layer::open(&self.descriptors, &paths::layer(id), self.policy)?;
        layer.extents_from(BlockAddress(0))?.try_for_each(|extent| visit(extent?))
    }
}
