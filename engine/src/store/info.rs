//! What a store says of its names and layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::collect::was_never_durable;
use super::handle::{Inner, Store};
use super::history::is_lost;
use super::names::{self, DamagedName, FoundName, failed, list_folder};
use super::paths::{self, LayersEntry};
use super::resolve::{Resolved, find_name, header_of, newest_known, not_there, resolve};
use super::{Name, headers, history};
use crate::chain::Layers;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::format::{
    Annotations, Header, LayerKind, LayerRef, LayerState, NameEntry, NameKind, PageKind,
};
use crate::layer::read_blob;
use crate::medium::{Host, Medium};
use crate::threads;
use crate::units::{BlockAddress, Digest, LayerId, SourceIndex};

/// What is known of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its id.
    pub id: LayerId,
    /// The digest of its content, once sealed.
    pub digest: Option<Digest>,
    /// Disk or tree.
    pub kind: LayerKind,
    /// Open or frozen.
    pub state: LayerState,
    /// The snapshot was removed.
    pub removed: bool,
    /// Blocks that nobody can see were given back.
    pub thinned: bool,
    /// The size of the disk in bytes, of an open layer as of its last checkpoint; 0 for a tree.
    pub volume_bytes: u64,
    /// The length of its file in bytes.
    pub file_bytes: u64,
    /// What the host has allocated for the file, in bytes.
    pub allocated_bytes: u64,
    /// How many blocks its own file holds that its map names; of an open layer, whose map is
    /// its writer's, how many the host has allocated.
    pub data_blocks: u64,
    /// The parent as the layer recorded it.
    pub parent: Option<LayerRef>,
    /// What people say of it.
    pub annotations: Annotations,
}

/// A snapshot that was not removed, and what people say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// The id of its layer.
    pub id: LayerId,
    /// Disk or tree.
    pub kind: LayerKind,
    /// The parent as the layer recorded it.
    pub parent: Option<LayerRef>,
    /// What people say of it.
    pub annotations: Annotations,
}

/// The names of a store, sound and damaged ones apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamesLeft {
    /// What can be read, in order.
    pub names: Vec<NameEntry>,
    /// What does not verify, in order.
    pub damaged: Vec<DamagedName>,
}

impl NamesLeft {
    fn new((found, damaged): (Vec<FoundName>, Vec<DamagedName>)) -> NamesLeft {
        NamesLeft { names: found.into_iter().map(|found| found.entry).collect(), damaged }
    }
}

/// A layer and its ancestors, as far as they can be read.
#[derive(Debug, Default)]
pub struct LineageLeft {
    /// What can be read, newest first.
    pub layers: Vec<LayerInfo>,
    /// What is lost or damaged, newest first, and what is wrong with it. What lies below one whose
    /// header cannot be read is not known.
    pub lost: Vec<(LayerId, Error)>,
}

impl LineageLeft {
    fn take(&mut self, id: LayerId, layer: Result<LayerInfo>) -> Result<()> {
        match layer {
            Ok(layer) => self.layers.push(layer),
            Err(error) if error.is_of_one_file() => self.lost.push((id, error)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Store {
    /// All names, in order.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where one does not verify. Who wants to know of the others goes
    /// through [`names_left`](Store::names_left).
    pub fn names(&self) -> Result<Vec<NameEntry>> {
        let found = names::list(self.inner()?.host())?;
        Ok(found.into_iter().map(|found| found.entry).collect())
    }

    /// All tags, in order: less work than [`names`](Store::names) where many volumes are forks.
    ///
    /// Errors: as [`names`](Store::names).
    pub fn tags(&self) -> Result<Vec<NameEntry>> {
        names::list_tags(self.inner()?.host())
    }

    /// All names that can be read, and those that are damaged.
    pub fn names_left(&self) -> Result<NamesLeft> {
        names::list_what_is_left(self.inner()?.host()).map(NamesLeft::new)
    }

    /// All tags that can be read, and those that are damaged.
    pub fn tags_left(&self) -> Result<NamesLeft> {
        names::list_tags_left(self.inner()?.host()).map(NamesLeft::new)
    }

    /// The names that stand for each of `layers`, in order: its tags, and of an open layer its
    /// volume. Layers without a name are left out, and so are names that are damaged. Volumes are
    /// read only where a layer is open.
    pub fn names_of(&self, layers: &BTreeSet<LayerId>) -> Result<BTreeMap<LayerId, Vec<String>>> {
        let host = self.inner()?.host();
        let is_frozen = |id: &LayerId| match headers::read(host, *id) {
            Ok(Some(header)) => header.state == LayerState::Frozen,
            // What is wrong with it is told to those who open it.
            _ => false,
        };
        let open: BTreeSet<_> = layers.iter().filter(|id| !is_frozen(id)).collect();
        let entries = match open.is_empty() {
            true => NamesLeft::new(names::list_tags_left(host)?).names,
            false => {
                let (names, _) = names::list_what_is_left(host)?;
                names.into_iter().map(|found| found.entry).collect()
            }
        };
        let mut names: BTreeMap<LayerId, Vec<String>> = BTreeMap::new();
        for entry in entries {
            // Until its fresh top is durable, the name of a volume leads to what it stands on.
            let is_its_own = entry.kind == NameKind::Tag || open.contains(&entry.top);
            if layers.contains(&entry.top) && is_its_own {
                names.entry(entry.top).or_default().push(entry.name);
            }
        }
        Ok(names)
    }

    /// The ids of all layers, in order, as their files are called.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where a file has a name that is not a layer's.
    pub fn layer_ids(&self) -> Result<Vec<LayerId>> {
        let inner = self.inner()?;
        let mut ids = Vec::new();
        for file in list_folder(inner.host(), paths::LAYERS.as_ref())? {
            match paths::parse_layers_entry(&file) {
                Some(LayersEntry::Layer(id)) => ids.push(id),
                Some(LayersEntry::Misnamed) => {
                    let path = Path::new(paths::LAYERS).join(&file);
                    let error = Error::corrupt("list layers", "file name", file, "a layer id");
                    return Err(error.in_file(inner.host.display_path(&path)));
                }
                Some(LayersEntry::Making(_) | LayersEntry::Released(_)) | None => {}
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// All layers, in order of their ids.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where a header does not verify, or a file has a name that is
    /// not the id of the layer in it. Who wants to know of the others goes through
    /// [`layer_ids`](Store::layer_ids).
    pub fn layers(&self) -> Result<Vec<LayerInfo>> {
        let inner = self.inner()?;
        let mut layers = Vec::new();
        for id in self.layer_ids()? {
            layers.extend(info(inner, id)?);
        }
        Ok(layers)
    }

    /// All snapshots that were not removed, in order of their ids, by a look at each header: much
    /// less work than [`layers`](Store::layers). One that does not verify is left out.
    pub fn kept_snapshots(&self) -> Result<Vec<KeptSnapshot>> {
        let inner = self.inner()?;
        let files = list_folder(inner.host(), paths::LAYERS.as_ref())?;
        let kept = threads::try_map_files(&files, |file| match paths::parse_layers_entry(file) {
            Some(LayersEntry::Layer(id)) => match kept_snapshot(inner, id) {
                Err(error) if error.is_of_one_file() => Ok(None),
                snapshot => snapshot,
            },
            _ => Ok(None),
        })?;
        let mut kept: Vec<KeptSnapshot> = kept.into_iter().flatten().collect();
        kept.sort_by_key(|snapshot| snapshot.id);
        Ok(kept)
    }

    /// One layer.
    pub fn layer(&self, id: LayerId) -> Result<LayerInfo> {
        let inner = self.inner()?;
        info(inner, id)?.ok_or_else(|| headers::missing(inner.host(), id))
    }

    /// The layer that a reference was found to mean.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where a name leads to a layer that is lost;
    /// [`ErrorKind::NotFound`] where it went meanwhile, or was lost in a crash before anything of it
    /// was promised.
    pub fn layer_of(&self, resolved: &Resolved) -> Result<LayerInfo> {
        let inner = self.inner()?;
        match resolved.is_live() {
            true => info(inner, resolved.layer)?.ok_or_else(|| not_there(inner, resolved)),
            false => info_of(inner, header_of(inner, resolved)?),
        }
    }

    /// The layer that `reference` means and all its ancestors, newest first.
    ///
    /// Errors: those of [`resolve`](Store::resolve); [`ErrorKind::Corrupt`],
    /// [`ErrorKind::Unreadable`] and [`ErrorKind::WrongParent`] where one of them is lost or damaged.
    /// Who wants to know of the others takes [`lineage_left`](Store::lineage_left).
    pub fn lineage(&self, reference: &str) -> Result<Vec<LayerInfo>> {
        let LineageLeft { layers, lost } = self.lineage_left(reference)?;
        match lost.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(layers),
        }
    }

    /// As [`lineage`](Store::lineage), as far as it can be told, with what is lost or damaged of it.
    pub fn lineage_left(&self, reference: &str) -> Result<LineageLeft> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        let left = walk_lineage(inner, &resolved)?;
        if !left.lost.is_empty() {
            // What was removed meanwhile is not there, and no loss.
            resolve(inner, reference)?;
        }
        Ok(left)
    }

    /// How many ancestors the layer that `reference` means has.
    pub fn depth(&self, reference: &str) -> Result<u64> {
        let inner = self.inner()?;
        let header = header_of(inner, &resolve(inner, reference)?)?;
        let ancestors = history::history(inner.host(), header.parent);
        ancestors.map(|header| header.map(|_| 1)).sum()
    }

    /// That `name` may be given to something new.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`]; [`ErrorKind::InvalidInput`] for what is no name.
    pub fn expect_free(&self, name: &str) -> Result<()> {
        expect_free(self.inner()?, &Name::to_give(name)?)
    }
}

fn walk_lineage(inner: &Inner, resolved: &Resolved) -> Result<LineageLeft> {
    let mut left = LineageLeft::default();
    let next = match &resolved.name {
        // The top itself may be lost; the name still knows its parent.
        Some(name) if resolved.is_live() => {
            let name = Name::new(name.as_str())?;
            match info(inner, resolved.layer).transpose() {
                Some(top) => left.take(resolved.layer, top)?,
                None => match not_there(inner, resolved) {
                    error if is_lost(&error) && error.kind() != ErrorKind::NotFound => {
                        left.lost.push((resolved.layer, error));
                    }
                    error if error.kind() == ErrorKind::NotFound => {}
                    error => return Err(error),
                },
            }
            let found = find_name(inner, &name)?.map(|(_, found)| found);
            let below = found.map(|found| newest_known(inner.host(), &found)).transpose()?;
            let below = below.and_then(|(below, _)| below);
            below
                .filter(|below| below.id != resolved.layer)
                .or_else(|| left.layers.first().and_then(|top: &LayerInfo| top.parent))
        }
        _ => match header_of(inner, resolved) {
            Ok(header) if header.state == LayerState::Open => {
                let below = header.parent;
                left.take(header.layer, info_of(inner, header))?;
                below
            }
            Ok(header) => Some(header.layer_ref()),
            Err(error) if error.is_of_one_file() => {
                left.lost.push((resolved.layer, error));
                None
            }
            Err(error) => return Err(error),
        },
    };
    let Some(tip) = next else { return Ok(left) };
    let mut walk = history::history(inner.host(), Some(tip));
    while let Some(header) = walk.next() {
        match header {
            Ok(header) => left.take(header.layer, info_of(inner, header))?,
            Err(error) if is_lost(&error) => {
                let met = walk.met().unwrap_or(tip.id);
                left.lost.push((met, error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

/// That nobody has taken `name`.
pub(super) fn expect_free(inner: &Inner, name: &Name) -> Result<()> {
    match names::read(inner.host(), name)? {
        None => Ok(()),
        Some(found) => Err(Error::new(ErrorKind::AlreadyExists, format!("take the name {name}"))
            .in_file(inner.host.display_path(&paths::name(found.file, name)))),
    }
}

/// `None` where there is no such layer, or nothing of its file was ever made durable.
fn info(inner: &Inner, id: LayerId) -> Result<Option<LayerInfo>> {
    let host = inner.host();
    match headers::read(host, id) {
        Ok(header) => header.map(|header| info_of(inner, header)).transpose(),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            let Some(medium) = headers::open(host, id)? else { return Ok(None) };
            match was_never_durable(&*medium, &host.display_path(&paths::layer(id)))? {
                true => Ok(None),
                false => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn info_of(inner: &Inner, header: Header) -> Result<LayerInfo> {
    let host = inner.host();
    let path = paths::layer(header.layer);
    let host_says = |error| failed(host, "look at a layer", &path)(error);
    let medium = headers::open_existing(host, header.layer)?;
    let facts = medium.facts().map_err(host_says)?;
    let annotations = annotations_of(inner, &header)?;
    let data_blocks = match header.state {
        LayerState::Frozen => own_blocks(inner, &header.layer_ref())?,
        LayerState::Open => facts.allocated_bytes / header.block_size.bytes(),
    };
    Ok(LayerInfo {
        id: header.layer,
        digest: header.digest,
        kind: header.kind,
        state: header.state,
        removed: header.removed,
        thinned: header.thinned,
        volume_bytes: header.volume_bytes,
        file_bytes: facts.length,
        allocated_bytes: facts.allocated_bytes,
        data_blocks,
        parent: header.parent,
        annotations,
    })
}

/// The snapshot that is in the file of `id`, if it holds one that nobody removed.
fn kept_snapshot(inner: &Inner, id: LayerId) -> Result<Option<KeptSnapshot>> {
    let host = inner.host();
    let Some(medium) = headers::open(host, id)? else { return Ok(None) };
    let header = headers::read_open(host, &*medium, &paths::layer(id), id)?;
    if header.state != LayerState::Frozen || header.removed {
        return Ok(None);
    }
    let annotations = annotations_in(host, &*medium, &header)?;
    Ok(Some(KeptSnapshot { id, kind: header.kind, parent: header.parent, annotations }))
}

fn annotations_of(inner: &Inner, header: &Header) -> Result<Annotations> {
    if header.annotations.is_none() {
        return Ok(Annotations::default());
    }
    let medium = headers::open_existing(inner.host(), header.layer)?;
    annotations_in(inner.host(), &*medium, header)
}

/// The annotations in the open file of a layer.
fn annotations_in(host: &dyn Host, medium: &dyn Medium, header: &Header) -> Result<Annotations> {
    let Some(piece) = &header.annotations else { return Ok(Annotations::default()) };
    let what = (PageKind::Annotations, "annotations");
    let shown = host.display_path(&paths::layer(header.layer));
    let body = read_blob(medium, &shown, what, (header.layer, header.block_size), piece)?;
    Annotations::decode(&body).map_err(|error| error.in_file(shown))
}

fn own_blocks(inner: &Inner, layer: &LayerRef) -> Result<u64> {
    let layer = inner.cache.layer(layer)?;
    let mut blocks = 0;
    for extent in layer.extents_from(BlockAddress(0))? {
        let extent = extent?;
        if matches!(extent.target, Target::Data { source: SourceIndex::OWN, .. }) {
            blocks += extent.length;
        }
    }
    Ok(blocks)
}
