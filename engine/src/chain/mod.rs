//! Chains: what an address holds, through a layer and all its ancestors.
//!
//! What a read gives is defined by asking the layers from the tip down. A [`View`]
//! gives the same answer from a few *levels*, each the merged map of a stretch of
//! the chain, so that depth is paid when a view is opened and not by its reads.
//! The larger stretches lie in index files, which are derived: missing, stale or
//! damaged ones are ignored and made anew (INV-07).

mod changes;
mod compaction;
mod counters;
mod extents;
mod index;
mod level;
mod merge;
mod read;
mod slots;
mod snapshot;
mod stretch;
mod view;
mod walk;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use changes::{ChangedExtent, Changes, changes};
pub use counters::IndexCounters;
pub use extents::{ViewExtent, ViewExtents};
pub use read::{Borrowed, ReadRequest, SharedBytes};
pub use snapshot::{ReadAt, Snapshot};
pub use view::{DataSource, View, ViewSpan, ViewTarget};

use crate::error::Result;
use crate::format::LayerRef;
use crate::layer::{Layer, ReadPolicy};
use crate::medium::{Host, Medium};
use crate::units::LayerId;

/// Where views find layers and keep their indexes: a store, or a test.
pub trait Layers: Send + Sync + fmt::Debug {
    /// The frozen layer that was recorded as `wanted`, compared with it (INV-04).
    fn layer(&self, wanted: &LayerRef) -> Result<Arc<Layer>>;

    /// Opens the file of a layer that is about to be frozen, for [`frozen_layer`](Layers::frozen_layer):
    /// what a process that can open no file more cannot do, it learns before anything has changed.
    fn open_to_freeze(&self, id: LayerId) -> Result<Arc<dyn Medium>>;

    /// As [`layer`](Layers::layer), of one that was frozen just now, in a file that is open already.
    fn frozen_layer(&self, wanted: &LayerRef, file: Arc<dyn Medium>) -> Result<Arc<Layer>>;

    /// The host that holds the files.
    fn host(&self) -> &Arc<dyn Host>;

    /// The path of the index file of the stretch that begins with layer `tip`.
    fn index_path(&self, tip: LayerId) -> PathBuf;

    /// How stored bytes are reached.
    fn read_policy(&self) -> ReadPolicy;
}
