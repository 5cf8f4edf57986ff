//! A look at every file of a store: the layers, who holds them, and what stands beside them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::journal::sources_of_open;
use crate::error::{Error, ErrorKind, Result};
use crate::format::header::HEADER_BYTES;
use crate::format::page::MAGIC;
use crate::format::{Header, LayerState, NameKind, PageKind, sources};
use crate::layer::read_blob;
use crate::medium::{Host, LockMode, LockWait, Medium};
use crate::store::names::{self, DamagedName, FoundName, failed, list_derived, list_folder};
use crate::store::paths::{self, LayersEntry, NameFile, NamesEntry};
use crate::store::{headers, name::Name};
use crate::units::{Digest, LayerId, PAGE_BYTES};

/// All that is in a store, at one moment: the caller holds the store's lock.
#[derive(Debug, Default)]
pub struct Census {
    /// Every layer file.
    pub layers: BTreeMap<LayerId, Resident>,
    /// The whole layers of each digest.
    pub by_digest: HashMap<Digest, Vec<LayerId>>,
    /// Every name.
    pub names: Vec<FoundName>,
    /// Names that do not verify, or are of a newer version: what they stand for is not known. Only [`what_is_left`] leaves some.
    pub damaged_names: Vec<DamagedName>,
    /// Layers that do not verify, or are of a newer version: what they need is not known. Only [`what_is_left`] leaves some.
    pub damaged: BTreeMap<LayerId, Damaged>,
    /// Layers whose maker stopped: marked as being made, without a name, and without anything on
    /// them that is finished or that somebody has open.
    pub unfinished: BTreeSet<LayerId>,
    /// Files that stand for nothing any more.
    pub litter: Vec<PathBuf>,
}

/// One layer file.
#[derive(Debug)]
pub struct Resident {
    /// What its header says; `None` where nothing of the file was ever made durable.
    pub header: Option<Header>,
    /// The layers of its table of sources, in order; of an open one all that it may refer to.
    pub sources: Vec<LayerId>,
    /// Somebody writes to it, or holds a lease on it.
    pub in_use: bool,
    /// The bytes that the host has allocated for the file.
    pub allocated_bytes: u64,
}

/// A layer file that does not verify, or is of a newer version.
#[derive(Debug)]
pub struct Damaged {
    /// What is wrong with it.
    pub error: Error,
    /// The bytes that the host has allocated for the file.
    pub allocated_bytes: u64,
}

impl Resident {
    /// Whether the layer is frozen.
    pub fn is_frozen(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.state == LayerState::Frozen)
    }

    /// The layer that it stands on, as it recorded it.
    fn parent(&self) -> Option<LayerId> {
        Some(self.header.as_ref()?.parent?.id)
    }
}

/// Looks at every file.
///
/// Errors: [`ErrorKind::Corrupt`] and [`ErrorKind::Unreadable`] of a layer or a name, for what it
/// needs is then unknown; that it is of a [newer version](Error::is_newer), for the same reason; where a
/// layer's file has a name that is not its id.
pub fn census(host: &dyn Host) -> Result<Census> {
    let mut census = with_names(host, (names::list(host)?, Vec::new()))?;
    match census.damaged.pop_first() {
        Some((_, damaged)) => Err(damaged.error),
        None => Ok(census),
    }
}

/// As [`census`], with the names and layers of which that is so set aside: for those who only look.
pub fn what_is_left(host: &dyn Host) -> Result<Census> {
    with_names(host, names::list_what_is_left(host)?)
}

fn with_names(
    host: &dyn Host,
    (names, damaged_names): (Vec<FoundName>, Vec<DamagedName>),
) -> Result<Census> {
    let mut census = Census { names, damaged_names, ..Census::default() };
    let mut files = Vec::new();
    let mut marked = BTreeSet::new();
    for file in list_folder(host, paths::LAYERS.as_ref())? {
        match paths::parse_layers_entry(&file) {
            Some(LayersEntry::Layer(id)) => files.push(id),
            Some(LayersEntry::Making(id)) => {
                marked.insert(id);
            }
            Some(LayersEntry::Misnamed) => {
                let path = Path::new(paths::LAYERS).join(&file);
                return Err(Error::corrupt("look at all layers", "file name", file, "a layer id")
                    .in_file(host.display_path(&path)));
            }
            Some(LayersEntry::Released(_)) | None => {}
        }
    }
    // All locks are tried before any journal is read: a clone gives its lease back only once the
    // record that takes its place is durable. A frozen layer has no journal, and is read at once.
    let mut left = Vec::new();
    for id in files {
        match try_lock(host, id)? {
            Some((_, Some(resident))) => drop(census.layers.insert(id, resident)),
            Some((in_use, None)) => left.push((id, in_use)),
            None => {}
        }
    }
    // Whether a name that leads there is durable.
    let mut named: HashMap<LayerId, bool> = HashMap::new();
    for found in &census.names {
        *named.entry(found.entry.top).or_default() |= found.is_durable();
    }
    for (id, in_use) in left {
        match look_at(host, id, in_use, named.get(&id).copied()) {
            Err(error) if error.is_of_one_file() => census.set_aside(host, id, error)?,
            resident => census.layers.extend(resident?.map(|resident| (id, resident))),
        }
    }
    for id in census.stood_on_without_header() {
        let error = Error::corrupt("look at all layers", "header slots", "none", "a whole one");
        let path = host.display_path(&paths::layer(id));
        census.set_aside(host, id, error.in_file(path))?;
    }
    for (id, resident) in &census.layers {
        let whole = resident.header.as_ref().filter(|header| !header.thinned);
        if let Some(digest) = whole.and_then(|header| header.digest) {
            census.by_digest.entry(digest).or_default().push(*id);
        }
    }
    let finished = finished(&census, &marked);
    census.litter = litter(host, &census)?;
    census.litter.extend(finished.iter().map(|id| paths::making(*id)));
    let in_use = census.layers.iter().filter(|(_, resident)| resident.in_use);
    let being_made = marked_below(&census, &marked, in_use.map(|(id, _)| *id).collect());
    marked.retain(|id| !finished.contains(id) && !being_made.contains(id));
    census.unfinished = marked;
    Ok(census)
}

impl Census {
    /// Sets a layer aside that cannot be read.
    pub fn set_aside(&mut self, host: &dyn Host, id: LayerId, error: Error) -> Result<()> {
        let path = paths::layer(id);
        let allocated_bytes = match host.facts(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            facts => facts.map_err(failed(host, "look at a layer", &path))?.allocated_bytes,
        };
        self.layers.remove(&id);
        for ids in self.by_digest.values_mut() {
            ids.retain(|whole| *whole != id);
        }
        self.damaged.insert(id, Damaged { error, allocated_bytes });
        Ok(())
    }

    /// Layers without a readable header that others stand on: those were durable once. An open top
    /// that nobody owns does not count: it may have been made in a snapshot that stopped before that.
    fn stood_on_without_header(&self) -> Vec<LayerId> {
        let entries = self.names.iter().map(|found| &found.entry);
        let tops = entries.filter(|entry| entry.kind == NameKind::Volume).map(|entry| entry.top);
        let tops: BTreeSet<LayerId> = tops.collect();
        let counts = |(id, resident): &(&LayerId, &Resident)| {
            resident.is_frozen() || resident.in_use || tops.contains(id)
        };
        let below = self.layers.iter().filter(counts).filter_map(|(_, resident)| resident.parent());
        let has_none = |id: &LayerId| self.layers.get(id).is_some_and(|it| it.header.is_none());
        let found: BTreeSet<LayerId> = below.filter(has_none).collect();
        found.into_iter().collect()
    }
}

/// Marks that a crash left behind: a name leads to their layers, or something finished stands on
/// them, or they were never begun. The open top that a maker's last step leaves on its layer does
/// not count.
fn finished(census: &Census, marked: &BTreeSet<LayerId>) -> BTreeSet<LayerId> {
    let entries = || census.names.iter().map(|found| &found.entry);
    let recorded = entries().filter_map(|entry| entry.parent).map(|parent| parent.id);
    let unmarked = census
        .layers
        .iter()
        .filter(|(id, resident)| resident.is_frozen() && !marked.contains(id))
        .filter_map(|(_, resident)| resident.parent());
    let from = entries().map(|entry| entry.top).chain(recorded).chain(unmarked).collect();
    let mut finished = marked_below(census, marked, from);
    finished.extend(marked.iter().filter(|id| !census.layers.contains_key(*id)));
    finished
}

/// The marked ones among layers and all that they stand on, as far down as the marks go.
fn marked_below(
    census: &Census,
    marked: &BTreeSet<LayerId>,
    mut from: Vec<LayerId>,
) -> BTreeSet<LayerId> {
    let mut below = BTreeSet::new();
    while let Some(id) = from.pop() {
        if marked.contains(&id) && below.insert(id) {
            from.extend(census.layers.get(&id).and_then(Resident::parent));
        }
    }
    below
}

/// Whether somebody holds the lock of a layer file, and of a frozen layer all else that there is to
/// know; `None` where there is none.
fn try_lock(host: &dyn Host, id: LayerId) -> Result<Option<(bool, Option<Resident>)>> {
    let medium = match headers::open(host, id) {
        Ok(Some(medium)) => medium,
        // The top of a volume that somebody has just reset or closed.
        Ok(None) => return Ok(None),
        // It is told when the file is looked at again; who has it open cannot be asked.
        Err(error) if error.is_damage() => return Ok(Some((true, None))),
        Err(error) => return Err(error),
    };
    let path = paths::layer(id);
    let host_says = |error| failed(host, "try the lock of a layer", &path)(error);
    let in_use = !medium.lock(LockMode::Exclusive, LockWait::Try).map_err(host_says)?;
    if !in_use {
        // At once: somebody may be about to take it.
        medium.unlock().map_err(host_says)?;
    }
    let frozen = headers::read_open(host, &*medium, &path, id).and_then(|header| {
        let is_frozen = header.state == LayerState::Frozen;
        is_frozen.then(|| resident(host, &medium, &path, Some(header), in_use)).transpose()
    });
    match frozen {
        // Whatever it is, it is told when the file is looked at again.
        Err(error) if error.is_of_one_file() => Ok(Some((in_use, None))),
        frozen => Ok(Some((in_use, frozen?))),
    }
}

/// All that there is to know of a layer, to which a name leads that is durable, or is not, or none.
fn look_at(
    host: &dyn Host,
    id: LayerId,
    in_use: bool,
    named: Option<bool>,
) -> Result<Option<Resident>> {
    let Some(medium) = headers::open(host, id)? else { return Ok(None) };
    let path = paths::layer(id);
    let was_never_durable = || match named {
        Some(true) => Ok(false),
        _ => was_never_durable(&*medium, &host.display_path(&path)),
    };
    let header = match headers::read_open(host, &*medium, &path, id) {
        Ok(header) => header,
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        // Its writer is about to write the header, or died before it could sync it.
        Err(_) if was_never_durable()? => {
            return resident(host, &medium, &path, None, in_use).map(Some);
        }
        Err(error) => return Err(error),
    };
    match resident(host, &medium, &path, Some(header.clone()), in_use) {
        Err(error) if error.kind() != ErrorKind::Corrupt || in_use => Err(error),
        // What nothing leads to may hold anything after a power cut, and nobody needs what it refers to.
        Err(_) if named.is_none() || was_never_durable()? => {
            let facts = medium.facts().map_err(failed(host, "look at a layer", &path))?;
            let (sources, allocated_bytes) = (Vec::new(), facts.allocated_bytes);
            Ok(Some(Resident { header: Some(header), sources, in_use, allocated_bytes }))
        }
        looked => looked.map(Some),
    }
}

fn resident(
    host: &dyn Host,
    medium: &Arc<dyn Medium>,
    path: &Path,
    header: Option<Header>,
    in_use: bool,
) -> Result<Resident> {
    let facts = medium.facts().map_err(failed(host, "look at a layer", path))?;
    let sources = match &header {
        None => Vec::new(),
        Some(header) => sources_of(host, medium, path, header)?,
    };
    Ok(Resident { header, sources, in_use, allocated_bytes: facts.allocated_bytes })
}

fn sources_of(
    host: &dyn Host,
    medium: &Arc<dyn Medium>,
    path: &Path,
    header: &Header,
) -> Result<Vec<LayerId>> {
    let shown = host.display_path(path);
    let table = match (header.state, &header.sources) {
        (LayerState::Open, _) => sources_of_open(medium, &shown)?,
        (LayerState::Frozen, None) => return Ok(Vec::new()),
        (LayerState::Frozen, Some(piece)) => {
            let what = (PageKind::Sources, "table of sources");
            let identity = (header.layer, header.block_size);
            sources::decode(&read_blob(&**medium, &shown, what, identity, piece)?)?
        }
    };
    Ok(table.iter().map(|source| source.id).collect())
}

/// Whether a layer file without a readable header was made and never synced.
///
/// A top gets a durable name only once it is durable itself, so what nobody names durably was
/// never synced where it is shorter than its slots, or where each slot is none at all (nothing
/// of it arrived, or what the device held before) or one of the first generation (it arrived in
/// part). What was frozen once has a later generation, and is damaged.
pub fn was_never_durable(medium: &dyn Medium, path: &Path) -> Result<bool> {
    let mut slots = [0; HEADER_BYTES as usize];
    match medium.read_at(0, &mut slots) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(true),
        Err(error) => return Err(Error::of_reading("read header slots", error).in_file(path)),
    }
    let is_slot = |slot: &[u8]| slot[..4] == MAGIC.to_le_bytes();
    let is_first = |slot: &[u8]| slot[24..32] == 1_u64.to_le_bytes();
    let (pages, _) = slots.as_chunks::<{ PAGE_BYTES as usize }>();
    Ok(pages.iter().all(|slot| !is_slot(slot) || is_first(slot)))
}

/// Files written aside, and derived files of layers that are gone.
fn litter(host: &dyn Host, census: &Census) -> Result<Vec<PathBuf>> {
    let mut litter = Vec::new();
    let mut add = |folder: &str, file: &str| litter.push(Path::new(folder).join(file));
    let mut counting = HashMap::new();
    for found in &census.names {
        counting.insert(Name::new(found.entry.name.as_str())?.escaped(), found.file);
    }
    for file in list_folder(host, paths::NAMES.as_ref())? {
        match paths::parse_names_entry(&file) {
            Some(NamesEntry::Aside) => add(paths::NAMES, &file),
            Some(NamesEntry::Name(kind, escaped)) => {
                let is_litter = match counting.get(escaped) {
                    Some(counts) => *counts < kind,
                    // Torn.
                    None => kind == NameFile::Fresh,
                };
                if is_litter {
                    add(paths::NAMES, &file);
                }
            }
            None => {}
        }
    }
    for file in list_derived(host, paths::INDEX.as_ref())? {
        let tip = paths::parse_index_entry(&file);
        let stale = tip.is_some_and(|tip| !census.layers.contains_key(&tip));
        if stale || paths::is_aside(&file) {
            add(paths::INDEX, &file);
        }
    }
    for file in list_derived(host, paths::DIGESTS.as_ref())? {
        let Some((digest, id)) = paths::parse_digests_entry(&file) else { continue };
        if !census.by_digest.get(&digest).is_some_and(|ids| ids.contains(&id)) {
            add(paths::DIGESTS, &file);
        }
    }
    Ok(litter)
}
