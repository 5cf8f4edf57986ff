//! What nothing needs any more, taken away.

use std::collections::{BTreeSet, HashMap, HashSet};

use sapwood::store::{Holdings, Removal};
use sapwood::{Annotations, ErrorKind, GcOptions, LayerId, LayerKind, NameEntry, Result, Store};

use crate::image::{CACHE_KEY_LABEL, CHAIN_ID_LABEL, DiffIds, IMAGE_LABEL, made};
use crate::rebase::REBASED_LABEL;
use crate::usage::{Named, is_being_made, unused_images};

/// What is taken away besides what builds and broken pulls left, and layers without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Images, too, that no container stands on which stays.
    pub unused_images: bool,
    /// These containers, too.
    pub containers: BTreeSet<String>,
    /// What builds left stays.
    pub keep_cache: bool,
    /// Of images, layers, and what builds and broken pulls left, only what came to be in the store before
    /// this, in nanoseconds since 1970 UTC, whatever time it says of itself; what says none stays.
    pub made_before: Option<i64>,
    /// Only tell what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What was garbage already: the space of what was removed before.
    pub garbage_bytes: u64,
    /// Tags that kept what builds and broken pulls left, and what their going frees.
    pub cache: (BTreeSet<String>, u64),
    /// Layers of images that no name's history holds, and what their going frees.
    pub layers: (BTreeSet<LayerId>, u64),
    /// Containers.
    pub containers: (BTreeSet<String>, u64),
    /// Tags of images.
    pub images: (BTreeSet<String>, u64),
}

impl Pruned {
    /// All bytes together.
    pub fn freed_bytes(&self) -> u64 {
        let parts = [self.cache.1, self.layers.1, self.images.1, self.containers.1];
        self.garbage_bytes + parts.iter().sum::<u64>()
    }
}

/// Takes away what builds and broken pulls left for the next one, and layers of images that no name needs: those under
/// tags that were moved, and those that an import, build or rebase left when it was killed; and what
/// else the options say. Then collects. What one part frees is told apart from the others: the space
/// that comes back with it over that of those before.
///
/// Errors: [`Locked`](ErrorKind::Locked) for a container that somebody has open, before which what
/// builds left has gone; those of [`Store::remove`] and [`Store::collect`].
pub fn prune(store: &Store, options: &PruneOptions) -> Result<Pruned> {
    let holdings = store.holdings()?;
    let named = Named::of(store, &holdings, &options.containers)?;
    let garbage_bytes = store.collect(&GcOptions { dry_run: true })?.freed_bytes();
    let mut pruned = Pruned { garbage_bytes, ..Pruned::default() };
    if !options.keep_cache {
        let left = named.cache.iter().filter(|holding| !is_being_made(holding, &holdings));
        pruned.cache.0 = old(store, options, left.map(|holding| &holding.name))?;
    }
    pruned.layers.0 = nameless_layers(store, &holdings, options)?;
    pruned.containers.0 = options.containers.clone();
    if options.unused_images {
        let unused = unused_images(&named, &options.containers);
        let names = holdings.names.iter().map(|holding| &holding.name);
        pruned.images.0 = old(store, options, names.filter(|name| unused.contains(&name.name)))?;
    }
    let mut removal = Removal::default();
    let mut so_far = pruned.garbage_bytes;
    let mut frees = |add: &dyn Fn(&mut Removal)| -> Result<u64> {
        let before = removal.clone();
        add(&mut removal);
        if removal == before {
            return Ok(0);
        }
        let total = store.would_free(&removal)?.freed_bytes();
        let more = total.saturating_sub(so_far);
        so_far = so_far.max(total);
        Ok(more)
    };
    pruned.cache.1 = frees(&|removal| removal.names.extend(pruned.cache.0.iter().cloned()))?;
    pruned.layers.1 = frees(&|removal| removal.snapshots.extend(&pruned.layers.0))?;
    pruned.containers.1 =
        frees(&|removal| removal.names.extend(pruned.containers.0.iter().cloned()))?;
    pruned.images.1 = frees(&|removal| removal.names.extend(pruned.images.0.iter().cloned()))?;
    if options.dry_run {
        return Ok(pruned);
    }
    let names = pruned.cache.0.iter().chain(&pruned.containers.0).cloned();
    remove_those_there(store, &names.collect::<Vec<_>>())?;
    // A container that stays keeps its image's name.
    let layers = pruned.layers.0.iter().map(ToString::to_string);
    remove_those_there(store, &pruned.images.0.iter().cloned().chain(layers).collect::<Vec<_>>())?;
    store.collect(&GcOptions::default())?;
    let there: HashSet<String> =
        store.kept_snapshots()?.iter().map(|snapshot| snapshot.id.to_string()).collect();
    DiffIds::retain(store, &|layer| there.contains(layer))?;
    Ok(pruned)
}

/// Somebody else may have been faster.
fn remove_those_there(store: &Store, references: &[String]) -> Result<()> {
    let mut done = Ok(());
    store.remove_each(references, |_, removed| match removed {
        Err(error) if error.kind() != ErrorKind::NotFound && done.is_ok() => done = Err(error),
        _ => {}
    })?;
    done
}

impl PruneOptions {
    /// Whether a layer is old enough to go.
    fn takes(&self, layer: &Annotations) -> bool {
        let is_before = |before| made(layer).is_some_and(|made| made < before);
        self.made_before.is_none_or(is_before)
    }
}

/// Of these names, those whose layers are old enough to go.
fn old<'a>(
    store: &Store,
    options: &PruneOptions,
    names: impl Iterator<Item = &'a NameEntry>,
) -> Result<BTreeSet<String>> {
    let mut old = BTreeSet::new();
    for name in names {
        if options.made_before.is_none() || options.takes(&store.layer(name.top)?.annotations) {
            old.insert(name.name.clone());
        }
    }
    Ok(old)
}

/// Layers of images that no name's history holds: image layers with all below them, and
/// filesystem layers that an archive, a build or a move to another base left. What is not old enough
/// stays, with all below it.
fn nameless_layers(
    store: &Store,
    holdings: &Holdings,
    options: &PruneOptions,
) -> Result<BTreeSet<LayerId>> {
    // Who makes an image has its layers open until it has a name.
    let mut held = holdings.in_use.clone();
    for holding in &holdings.names {
        // From a layer that is held on down, all are.
        let history = holdings.history(holding.tip);
        history.take_while(|id| held.insert(*id)).for_each(drop);
    }
    let snapshots = store.kept_snapshots()?;
    let parents: HashMap<LayerId, Option<LayerId>> = snapshots
        .iter()
        .map(|snapshot| (snapshot.id, snapshot.parent.map(|parent| parent.id)))
        .collect();
    for snapshot in snapshots.iter().filter(|snapshot| !options.takes(&snapshot.annotations)) {
        let history = holdings.history(Some(snapshot.id));
        history.take_while(|id| held.insert(*id)).for_each(drop);
    }
    let mut nameless = BTreeSet::new();
    for snapshot in &snapshots {
        let labels = &snapshot.annotations.labels;
        let of_image = [IMAGE_LABEL, CHAIN_ID_LABEL, CACHE_KEY_LABEL, REBASED_LABEL]
            .iter()
            .any(|label| labels.contains_key(*label));
        if snapshot.kind != LayerKind::Tree || !of_image {
            continue;
        }
        let mut next = Some(snapshot.id);
        while let Some(id) = next.filter(|id| !held.contains(id)) {
            let Some(parent) = parents.get(&id) else { break };
            if !nameless.insert(id) {
                break;
            }
            next = *parent;
        }
    }
    Ok(nameless)
}
