//! Finding filesystem layers that are there already.

use std::collections::HashMap;

use sapwood::{LayerId, LayerKind, Result, Store};

use super::{CACHE_KEY_LABEL, CHAIN_ID_LABEL, IMAGE_LABEL};
use crate::Sha256;

/// The filesystem layers of a store, by what they are known by: from one look at all headers. There
/// is no other index, so nothing has to be kept in step, and what was removed is not found.
#[derive(Clone, Debug, Default)]
pub struct KnownLayers {
    by_chain: HashMap<Sha256, LayerId>,
    by_step: HashMap<(Option<LayerId>, String), LayerId>,
}

impl KnownLayers {
    /// Looks through a store.
    pub fn of(store: &Store) -> Result<KnownLayers> {
        let mut known = KnownLayers::default();
        let mut snapshots = store.kept_snapshots()?;
        // What was made anew counts, and not what it was made anew for.
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.annotations.created));
        for snapshot in snapshots {
            let labels = &snapshot.annotations.labels;
            if snapshot.kind != LayerKind::Tree || labels.contains_key(IMAGE_LABEL) {
                continue;
            }
            if let Some(chain_id) = labels.get(CHAIN_ID_LABEL).and_then(|text| text.parse().ok()) {
                known.by_chain.entry(chain_id).or_insert(snapshot.id);
            }
            if let Some(key) = labels.get(CACHE_KEY_LABEL) {
                let parent = snapshot.parent.map(|parent| parent.id);
                known.by_step.entry((parent, key.clone())).or_insert(snapshot.id);
            }
        }
        Ok(known)
    }

    /// The layer that, with all below it, has this ChainID.
    pub fn by_chain_id(&self, chain_id: Sha256) -> Option<LayerId> {
        self.by_chain.get(&chain_id).copied()
    }

    /// The layer that a build step with this key made on `parent`; on nothing where there is none.
    pub fn by_cache_key(&self, parent: Option<LayerId>, key: &str) -> Option<LayerId> {
        self.by_step.get(&(parent, key.to_owned())).copied()
    }

    /// Adds what a build step has just made.
    pub fn add_cache_key(&mut self, parent: Option<LayerId>, key: &str, layer: LayerId) {
        self.by_step.insert((parent, key.to_owned()), layer);
    }
}
