//! A volume: one open layer on top of a snapshot, written by one process.
//!
//! Whole blocks go into a bounded buffer; a full buffer gets fresh blocks and is written in
//! one piece; a commit is one record and one `fdatasync`. Reads ask the buffer, then the
//! maps (pending, under way, committed), then the parent. `docs/ARCHITECTURE.md` has the
//! order of writes and why each sync stands where it does.

mod ahead;
mod allocator;
mod batch;
mod before_cut;
mod buffer;
mod checkpoint;
mod clone;
mod close;
mod commit;
mod create;
mod epoch;
mod extents;
mod free_space;
mod gate;
mod home;
mod journal;
mod left_behind;
mod level;
mod options;
mod outside;
mod read;
mod recovery;
mod replay;
mod resize;
mod snapshot;
mod spill;
mod state;
mod top;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex, RwLock};

pub use batch::Batch;
pub use before_cut::BeforeCut;
pub use clone::CloneSource;
pub use create::NewVolume;
pub use extents::VolumeExtents;
pub use home::{Home, LayerHandle, Shape};
pub use options::{Counters, RecoveryReport, VolumeOptions};
pub use outside::look_in;
pub(crate) use outside::while_header_rests;
pub(crate) use walk::{Device, walk};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{LayerKind, LayerRef};
use crate::raw::fork_generation;
use crate::units::{ADDRESS_END, BlockAddress, BlockSize, LayerId};

use allocator::{Allocator, BlockRange};
use epoch::Epochs;
use gate::Gate;
use journal::Journal;
use left_behind::LeftBehind;
use state::State;

/// How many locks the blocks of a volume are spread over.
const STRIPES: usize = 64;

/// A writable view: one open layer on top of a snapshot.
///
/// All methods take `&self` and may be called from many threads at once. What was written is
/// seen by reads at once, and durable once [`Volume::flush`] has returned. A volume that is
/// dropped without [`Volume::close`] loses what was not flushed, and nothing else.
///
/// A child of `fork(2)` must leave the volume alone: calls that can fail are refused there, but those that
/// cannot, such as [`Volume::size_bytes`], may wait for ever for a thread that the child does not have, and
/// so may a drop: end the child with `exec` or `_exit`. Snapshots go on working there.
pub struct Volume {
    home: Arc<dyn Home>,
    options: VolumeOptions,
    kind: LayerKind,
    block_size: BlockSize,
    /// Guards against use in a forked child: a child keeps the lock alive.
    fork_generation: u32,
    recovery: RecoveryReport,
    gate: Gate,
    /// Who is asked before each cut.
    above: Mutex<Option<Weak<dyn BeforeCut>>>,
    stripes: Vec<Mutex<()>>,
    checkpoint_lock: Mutex<()>,
    journal: Mutex<Journal>,
    fold_lock: Mutex<()>,
    state: RwLock<State>,
    epochs: Arc<Epochs>,
    /// Frozen layers that hold blocks which nothing names.
    left_behind: Mutex<Vec<LeftBehind>>,
    /// Wakes those that wait for a spill to be written or a freeze to end.
    room: Mutex<()>,
    room_changed: Condvar,
    piece_generation: AtomicU64,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    bytes_written: AtomicU64,
    bytes_read: AtomicU64,
    bytes_allocated: AtomicU64,
    buffer_hits: AtomicU64,
    zero_blocks: AtomicU64,
    commits: AtomicU64,
    checkpoints: AtomicU64,
    metadata_bytes: AtomicU64,
    zeros_ahead_bytes: AtomicU64,
    syncs: AtomicU64,
}

impl Volume {
    /// The size of a block.
    pub fn block_size(&self) -> BlockSize {
        self.block_size
    }

    /// Disk or tree.
    pub fn kind(&self) -> LayerKind {
        self.kind
    }

    /// The size of the disk in bytes; 0 for a tree.
    pub fn size_bytes(&self) -> u64 {
        self.state.read().volume_bytes
    }

    /// The id of the open layer.
    pub fn layer_id(&self) -> LayerId {
        self.state.read().top.id
    }

    /// What the open layer stands on.
    pub fn parent(&self) -> Option<LayerRef> {
        self.state.read().top.parent
    }

    /// Whether a failed write or sync has ended it: reads show the last durable commit, which may be
    /// older than what they showed before, with the size that it has; all that changes something is
    /// refused, with [`ErrorKind::Poisoned`] and the reason. Opening the volume again recovers.
    pub fn is_poisoned(&self) -> bool {
        self.state.read().poison.is_some()
    }

    /// What opening found and did.
    pub fn recovery(&self) -> RecoveryReport {
        self.recovery
    }

    /// How many bytes of its own file the volume takes, what waits in the buffer included. What
    /// was dropped counts until the commit that drops it; after an unclean close all of the file
    /// counts until the first checkpoint, or [`Volume::find_room`].
    pub fn occupied_bytes(&self) -> u64 {
        let state = self.state.read();
        let blocks = state.allocator.occupied() + state.buffer.len() as u64;
        blocks << self.block_size.log2()
    }

    /// What the volume has done since it was opened.
    pub fn counters(&self) -> Counters {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            bytes_written: get(&self.counts.bytes_written),
            bytes_read: get(&self.counts.bytes_read),
            bytes_allocated: get(&self.counts.bytes_allocated),
            buffer_hits: get(&self.counts.buffer_hits),
            zero_blocks: get(&self.counts.zero_blocks),
            commits: get(&self.counts.commits),
            checkpoints: get(&self.counts.checkpoints),
            metadata_bytes: get(&self.counts.metadata_bytes),
            zeros_ahead_bytes: get(&self.counts.zeros_ahead_bytes),
            syncs: get(&self.counts.syncs),
        }
    }

    pub(crate) fn check_process(&self, operation: &str) -> Result<()> {
        if self.fork_generation == fork_generation() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, operation).about(
            "process",
            "a forked child",
            "the process that opened the volume",
        ))
    }

    /// The first block and past-the-end block of a byte range, and that it lies in the volume.
    fn check_range(
        &self,
        operation: &str,
        address: BlockAddress,
        offset: u64,
        length: u64,
    ) -> Result<()> {
        let volume_bytes = self.state.read().volume_bytes;
        self.check_inside(operation, (address, offset, length), volume_bytes)
    }

    /// As `check_range`, of a volume of `volume_bytes`.
    fn check_inside(
        &self,
        operation: &str,
        (address, offset, length): (BlockAddress, u64, u64),
        volume_bytes: u64,
    ) -> Result<()> {
        let size = self.block_size.bytes();
        let start = u128::from(address.0) * u128::from(size) + u128::from(offset);
        let end = start + u128::from(length);
        let limit = match self.kind {
            LayerKind::Disk => u128::from(volume_bytes),
            LayerKind::Tree => u128::from(ADDRESS_END) * u128::from(size),
        };
        if end <= limit {
            return Ok(());
        }
        Err(Error::invalid(
            operation,
            "range",
            format!("bytes {start} to {end}"),
            format!("inside the volume of {limit} bytes"),
        ))
    }

    /// A byte offset of a disk as block and offset in it.
    fn split(&self, offset: u64) -> (BlockAddress, u64) {
        let size = self.block_size.bytes();
        (BlockAddress(offset / size), offset % size)
    }

    /// Takes the failure of a write or sync: a full host, and one that gives no file, are to be tried
    /// again, all else poisons.
    fn fail<T>(&self, error: Error) -> Result<T> {
        let changed_nothing = matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::NotPermitted)
            || error.is_for_want_of_descriptors();
        if !changed_nothing {
            self.state.write().poison_with(&error);
            self.notify_room();
        }
        Err(error)
    }

    /// Takes the failure of a sync, a slot or a record: always poison. A lack of room is told as one
    /// only where the call can be made again.
    fn fail_hard<T>(&self, error: Error) -> Result<T> {
        self.state.write().poison_with(&error);
        self.notify_room();
        match error.kind() {
            ErrorKind::NoSpace => self.state.read().check_poison(error.operation()).and(Err(error)),
            _ => Err(error),
        }
    }

    /// Counts what `allocator` has written ahead since it was last asked.
    fn count_zeros_ahead(&self, allocator: &mut Allocator) {
        let bytes = allocator.take_filled() << self.block_size.log2();
        self.counts.zeros_ahead_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn notify_room(&self) {
        let _room = self.room.lock();
        self.room_changed.notify_all();
    }

    fn next_generation(&self) -> u64 {
        self.piece_generation.fetch_add(1, Ordering::SeqCst)
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Volume");
        shown.field("kind", &self.kind).field("block_bytes", &self.block_size.bytes());
        // Who prints it may be the one who holds its state.
        if let Some(state) = self.state.try_read() {
            let parent = state.top.parent.map(|parent| parent.id);
            shown
                .field("layer", &state.top.id)
                .field("parent", &parent)
                .field("size_bytes", &state.volume_bytes)
                .field("poisoned", &state.check_poison("print").is_err());
        }
        shown.finish_non_exhaustive()
    }
}
