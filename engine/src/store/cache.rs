//! The layers of a store, opened when a view first needs them and shared by all views.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{digests, headers, paths};
use crate::chain::Layers;
use crate::error::{Error, ErrorKind, Result};
use crate::format::LayerRef;
use crate::layer::{Descriptors, Layer, ReadPolicy, SourceLayers};
use crate::medium::{Host, Medium};
use crate::units::{LayerId, SourceIndex};

/// How many layers stay open though nobody holds them: walks over a chain come back to the
/// same ones. Each costs a map of its file; descriptors are bounded apart.
const KEPT_MAX: usize = 256;

/// Opens layers, and gives the same one to all who ask while somebody holds it.
#[derive(Debug)]
pub struct LayerCache {
    descriptors: Arc<Descriptors>,
    policy: ReadPolicy,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<LayerId, Weak<Layer>>,
    /// The ones opened last, oldest first.
    kept: VecDeque<Arc<Layer>>,
    /// The size of `by_id` at which those that nobody holds any more are swept out.
    sweep_at: usize,
}

impl LayerCache {
    /// A cache that keeps at most `open_files_max` layer files open.
    pub fn new(host: Arc<dyn Host>, open_files_max: usize, policy: ReadPolicy) -> LayerCache {
        let descriptors = Arc::new(Descriptors::new(host, open_files_max));
        LayerCache { descriptors, policy, open: Mutex::default() }
    }

    /// Another one, of whose layers nothing was verified yet; the files that are open are the same ones.
    pub fn anew(&self) -> LayerCache {
        let LayerCache { descriptors, policy, .. } = self;
        let descriptors = Arc::clone(descriptors);
        LayerCache { descriptors, policy: *policy, open: Mutex::default() }
    }

    /// Forgets a layer whose header has changed: who asks from now on gets it anew.
    pub fn forget(&self, id: LayerId) {
        let mut open = self.open.lock();
        open.by_id.remove(&id);
        open.kept.retain(|layer| layer.header().layer != id);
        drop(open);
        self.descriptors.forget(&paths::layer(id));
    }

    fn find(&self, id: LayerId) -> Option<Arc<Layer>> {
        self.open.lock().by_id.get(&id).and_then(Weak::upgrade)
    }

    fn open_layer(&self, id: LayerId) -> Result<Arc<Layer>> {
        let layer = match Layer::open(&self.descriptors, &paths::layer(id), self.policy) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(headers::missing(&**self.host(), id));
            }
            other => other?,
        };
        self.keep(id, layer)
    }

    /// Gives a layer that was just opened as `id` to all who ask from now on.
    fn keep(&self, id: LayerId, layer: Arc<Layer>) -> Result<Arc<Layer>> {
        let host = &**self.host();
        let found = layer.header().layer;
        if found != id {
            return Err(Error::corrupt("open a layer", "layer id", found, id)
                .in_file(host.display_path(&paths::layer(id))));
        }
        let mut open = self.open.lock();
        if open.by_id.len() >= open.sweep_at {
            open.by_id.retain(|_, layer| layer.strong_count() > 0);
            open.sweep_at = (2 * open.by_id.len()).max(KEPT_MAX);
        }
        open.by_id.insert(id, Arc::downgrade(&layer));
        open.kept.push_back(Arc::clone(&layer));
        if open.kept.len() > KEPT_MAX {
            open.kept.pop_front();
        }
        Ok(layer)
    }

    /// The layer in the file of `id`, if it is what was recorded as `wanted`.
    fn verified(&self, id: LayerId, wanted: &LayerRef) -> Result<Arc<Layer>> {
        if let Some(layer) = self.find(id) {
            if wanted.verify(&layer.reference()).is_ok() {
                return Ok(layer);
            }
            // It may have been sealed since it was opened.
            self.forget(id);
        }
        let layer = self.open_layer(id)?;
        wanted.verify(&layer.reference()).map_err(|error| error.in_file(layer.file().path()))?;
        Ok(layer)
    }
}

impl Layers for LayerCache {
    fn layer(&self, wanted: &LayerRef) -> Result<Arc<Layer>> {
        match (self.verified(wanted.id, wanted), wanted.digest) {
            // A layer may come back under another id, with the same content.
            (Err(error), Some(digest)) if error.kind() == ErrorKind::NotFound => {
                match digests::find(&**self.host(), digest)?.first() {
                    Some(&id) => self.verified(id, wanted),
                    None => Err(error),
                }
            }
            (found, _) => found,
        }
    }

    fn open_to_freeze(&self, id: LayerId) -> Result<Arc<dyn Medium>> {
        self.descriptors.open(&paths::layer(id))
    }

    fn frozen_layer(&self, wanted: &LayerRef, file: Arc<dyn Medium>) -> Result<Arc<Layer>> {
        let path = paths::layer(wanted.id);
        self.descriptors.put(&path, &file);
        let layer = Layer::open_file(&self.descriptors, &path, &file, self.policy)?;
        wanted.verify(&layer.reference()).map_err(|error| error.in_file(layer.file().path()))?;
        self.keep(wanted.id, layer)
    }

    fn host(&self) -> &Arc<dyn Host> {
        self.descriptors.host()
    }

    fn index_path(&self, tip: LayerId) -> PathBuf {
        paths::index(tip)
    }

    fn read_policy(&self) -> ReadPolicy {
        self.policy
    }
}

impl SourceLayers for LayerCache {
    fn source_layer(&self, layer: &Layer, source: SourceIndex) -> Result<Arc<Layer>> {
        self.layer(layer.source(source)?)
    }
}
