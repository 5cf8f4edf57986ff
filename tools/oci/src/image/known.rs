//! Finding filesystem layers that are there already.

use std::collections::HashMap;

use sapwood::format::LayerRef;
use sapwood::store::KeptSnapshot;
use sapwood::{LayerId, LayerKind, Result, Store};

use super::diff_ids::{DiffIds, Place};
use super::{CACHE_KEY_LABEL, CHAIN_ID_LABEL, IMAGE_LABEL, made};
use crate::Sha256;
use crate::publish::are_as_noted;

/// The filesystem layers of a store, by what they are known by: from one look at all headers, and at the
/// diffIDs that were computed. What was removed is not found.
#[derive(Clone, Debug, Default)]
pub struct KnownLayers {
    /// Those first that say it themselves.
    by_chain: HashMap<Sha256, Vec<LayerId>>,
    by_step: HashMap<(Option<LayerId>, String), LayerId>,
}

impl KnownLayers {
    /// Looks through a store.
    pub fn of(store: &Store) -> Result<KnownLayers> {
        let mut known = KnownLayers::default();
        let mut snapshots = store.kept_snapshots()?;
        // What was made anew counts, and not what it was made anew for.
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse(made(&snapshot.annotations)));
        let mut chains = Chains::new(&snapshots, DiffIds::of(store)?);
        for snapshot in &snapshots {
            let labels = &snapshot.annotations.labels;
            if snapshot.kind != LayerKind::Tree || labels.contains_key(IMAGE_LABEL) {
                continue;
            }
            if let Some(chain_id) = chains.of(snapshot.id) {
                let layers = known.by_chain.entry(chain_id).or_default();
                match chains.label(snapshot.id) {
                    Some(_) => layers.insert(0, snapshot.id),
                    None => layers.push(snapshot.id),
                }
            }
            if let Some(key) = labels.get(CACHE_KEY_LABEL) {
                let parent = snapshot.parent.map(|parent| parent.id);
                known.by_step.entry((parent, key.clone())).or_insert(snapshot.id);
            }
        }
        Ok(known)
    }

    /// The layer that, with all below it, has this ChainID. Where that follows from digests that were noted
    /// beside the layers, which whoever gave the store away may have written, they are computed once more.
    pub fn by_chain_id(&self, store: &Store, chain_id: Sha256) -> Result<Option<LayerId>> {
        for layer in self.by_chain.get(&chain_id).into_iter().flatten() {
            if are_as_noted(store, *layer)? {
                return Ok(Some(*layer));
            }
        }
        Ok(None)
    }

    /// The layer that a build step with this key made on `parent`; on nothing where there is none.
    pub fn by_cache_key(&self, parent: Option<LayerId>, key: &str) -> Option<LayerId> {
        self.by_step.get(&(parent, key.to_owned())).copied()
    }

    /// Adds what a build step made elsewhere, where nothing of this store is known that did the same.
    pub fn add_cache_key_of_others(&mut self, parent: Option<LayerId>, key: &str, layer: LayerId) {
        self.by_step.entry((parent, key.to_owned())).or_insert(layer);
    }

    /// Adds what a build step has just made.
    pub fn add_cache_key(&mut self, parent: Option<LayerId>, key: &str, layer: LayerId) {
        self.by_step.insert((parent, key.to_owned()), layer);
    }
}

/// The ChainIDs of layers: those that they came with, and those that follow from diffIDs.
struct Chains<'a> {
    snapshots: HashMap<LayerId, &'a KeptSnapshot>,
    /// What children record of their parents.
    references: HashMap<LayerId, LayerRef>,
    computed: DiffIds,
    known: HashMap<LayerId, Option<Sha256>>,
}

impl<'a> Chains<'a> {
    fn new(snapshots: &'a [KeptSnapshot], computed: DiffIds) -> Chains<'a> {
        let parents = snapshots.iter().filter_map(|snapshot| snapshot.parent);
        Chains {
            snapshots: snapshots.iter().map(|snapshot| (snapshot.id, snapshot)).collect(),
            references: parents.map(|parent| (parent.id, parent)).collect(),
            computed,
            known: HashMap::new(),
        }
    }

    /// That of a layer. Where one below it was removed, or nobody knows its diffID, there is none.
    fn of(&mut self, layer: LayerId) -> Option<Sha256> {
        let mut above = Vec::new();
        let mut next = Some(layer);
        let mut chain_id = loop {
            let Some(id) = next else { break None };
            if let Some(known) = self.known.get(&id) {
                break *known;
            }
            above.push(id);
            next = self.below(id).unwrap_or_default();
            if self.label(id).is_some() {
                break None;
            }
        };
        while let Some(id) = above.pop() {
            chain_id = self.label(id).or_else(|| self.chained(id, chain_id));
            self.known.insert(id, chain_id);
        }
        chain_id
    }

    fn label(&self, layer: LayerId) -> Option<Sha256> {
        self.snapshots.get(&layer)?.annotations.labels.get(CHAIN_ID_LABEL)?.parse().ok()
    }

    fn chained(&self, layer: LayerId, below_chain_id: Option<Sha256>) -> Option<Sha256> {
        let below = self.below(layer)?;
        let place = Place::new(self.references.get(&layer)?, below);
        let diff_id = self.computed.get(&place)?;
        match below {
            None => Some(Sha256::chained(None, diff_id)),
            Some(_) => Some(Sha256::chained(Some(below_chain_id?), diff_id)),
        }
    }

    /// The filesystem layer below one, which may be none; `None` where a layer between was removed.
    fn below(&self, layer: LayerId) -> Option<Option<LayerId>> {
        let mut next = self.snapshots.get(&layer)?.parent;
        while let Some(parent) = next {
            let snapshot = self.snapshots.get(&parent.id)?;
            if !snapshot.annotations.labels.contains_key(IMAGE_LABEL) {
                return Some(Some(parent.id));
            }
            next = snapshot.parent;
        }
        Some(None)
    }
}
