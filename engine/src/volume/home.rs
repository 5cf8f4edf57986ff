//! What a volume needs of the store that it lives in.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::chain::{Layers, Snapshot, View};
use crate::error::Result;
use crate::format::{LayerKind, LayerRef};
use crate::medium::Medium;
use crate::units::{BlockSize, LayerId};

/// The place where a volume's layers and its name are kept.
pub trait Home: Send + Sync + fmt::Debug {
    /// How layers are found and opened.
    fn layers(&self) -> &Arc<dyn Layers>;

    /// Makes the file of a new layer, with its exclusive lock held and nothing synced.
    fn create_layer(&self, id: LayerId) -> Result<LayerHandle>;

    /// Opens the file of a layer for writing, with its exclusive lock held; `None` where there is
    /// none, or where nothing of it was ever promised to be there and it is not whole.
    fn open_layer(&self, id: LayerId) -> Result<Option<LayerHandle>>;

    /// The file of a layer that was frozen here, to give parts of it back to the host; `None` where it
    /// is gone.
    fn frozen_file(&self, id: LayerId) -> Result<Option<LayerHandle>>;

    /// Removes the file of a layer that nothing came to refer to.
    fn discard_layer(&self, id: LayerId) -> Result<()>;

    /// A snapshot of `view`, with a lease on its tip.
    fn snapshot(&self, view: Arc<View>) -> Result<Snapshot>;

    /// The snapshot that was recorded as `wanted`, in this store, with a lease.
    fn open_snapshot(&self, wanted: &LayerRef) -> Result<Snapshot>;

    /// Kind, block size and size of a volume that goes on from `parent`, or begins with nothing.
    fn shape_of(&self, parent: Option<&LayerRef>) -> Result<Shape>;

    /// Keeps collections away until it is dropped: [`publish_top`](Home::publish_top) is called under
    /// it. Taken before there is no way back, as it may have to open a file.
    fn adding(&self) -> Result<Box<dyn Any>>;

    /// Notes that the volume goes on in `top` on `parent`, which is frozen and durable. The name
    /// leads there with the next [`sync_names`](Home::sync_names), once `top` is durable too: until
    /// then what opens the name goes on from the frozen layer.
    fn publish_top(&self, top: LayerId, parent: Option<&LayerRef>) -> Result<()>;

    /// Removes the empty `top` where the name leads, durably, to the frozen layer below, from which
    /// the next to open it goes on; `false` where it does not.
    fn abandon_top(&self, top: LayerId) -> Result<bool>;

    /// Makes durable what leads to the volume: the folder entry of its layer, and its name, whose
    /// file is written aside, synced, renamed, and its folder synced. Called once the top's own
    /// file is durable, and before the first flush of it is acknowledged.
    fn sync_names(&self) -> Result<()>;
}

/// What a fresh top is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Disk or tree.
    pub kind: LayerKind,
    /// The size of a block.
    pub block_size: BlockSize,
    /// The size of a disk in bytes; 0 for a tree.
    pub volume_bytes: u64,
}

/// A layer's file, open for writing.
#[derive(Clone, Debug)]
pub struct LayerHandle {
    /// The file.
    pub medium: Arc<dyn Medium>,
    /// Its path for people.
    pub path: PathBuf,
}
