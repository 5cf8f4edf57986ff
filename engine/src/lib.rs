//! sapwood: copy-on-write block-level snapshots, forks and diffs of disk images, in a directory.
//!
//! A [`Store`] is a directory of layers. A [`Volume`] is a writable disk (one open layer on top
//! of a snapshot); a [`Snapshot`] is a read-only view of a layer and all its ancestors. Forking
//! costs one small file, reading costs the same at depth 1,000 as at depth 1, and
//! [`flush`](Volume::flush) is atomic and durable at the price of one `fdatasync`. There is no
//! daemon, no kernel module, no runtime and no thread to look after: calls do their work and
//! return, from as many threads as you like.
//!
//! # Make a store, write, and have it durable
//!
//! ```
//! use sapwood::{Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store");
//!
//! let store = Store::create(&path, &StoreOptions::default())?;
//! let volume = store.create_volume("disk", 64 << 20)?;
//! volume.write_at(4096, b"sap rises")?;
//! volume.flush()?;
//! drop(volume);
//!
//! let volume = Store::open(&path, &StoreOptions::default())?.open_volume("disk")?;
//! let mut bytes = [0; 9];
//! volume.read_at(4096, &mut bytes)?;
//! assert_eq!(&bytes, b"sap rises");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Freeze a base and fork it a hundred times
//!
//! ```
//! use sapwood::{Annotations, Replace, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let volume = store.create_volume("build", 1 << 30)?;
//! volume.write_at(0, &[7; 8192])?;
//! let base = volume.snapshot(&Annotations::default())?;
//! store.tag("build@1", "base:1", Replace::Refuse)?;
//!
//! for number in 0..100 {
//!     let fork = store.fork("base:1", &format!("worker-{number}"))?;
//!     fork.write_at(0, &[number; 4096])?; // its own; nobody else sees it
//! }
//! let mut byte = [0];
//! base.read_at(0, &mut byte)?;
//! assert_eq!(byte, [7]);
//! assert_eq!(store.names()?.len(), 102);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Read whole blocks without a copy
//!
//! ```
//! use sapwood::{Annotations, BlockAddress, Borrowed, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//! # let volume = store.create_volume("disk", 1 << 20)?;
//! # volume.write_at(0, &[42; 4096])?;
//! # let snapshot = volume.snapshot(&Annotations::default())?;
//!
//! let sum: u64 = match snapshot.borrow_block(BlockAddress(0))? {
//!     Borrowed::Block(bytes) => bytes.iter().map(|&byte| u64::from(byte)).sum(),
//!     Borrowed::Zeros => 0,
//!     Borrowed::Unmapped => unreachable!("the default policy maps layer files"),
//! };
//! assert_eq!(sum, 42 * 4096);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Ask what changed between two snapshots
//!
//! From metadata alone, in proportion to what changed:
//!
//! ```
//! use sapwood::{Annotations, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let volume = store.create_volume("disk", 1 << 40)?;
//! let before = volume.snapshot(&Annotations::default())?;
//! volume.write_at(10 << 30, &[1; 3 * 4096])?;
//! let after = volume.snapshot(&Annotations::default())?;
//!
//! let changed = after.changes_since(&before)?.collect::<sapwood::Result<Vec<_>>>()?;
//! assert_eq!(changed.len(), 1);
//! assert_eq!((changed[0].start.0, changed[0].length), ((10 << 30) / 4096, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/nightly_backup.rs` keeps a copy of a disk up to date this way, and collects what it needs no more.
//!
//! # Write what belongs together
//!
//! A commit, and a snapshot, has a batch whole or not at all:
//!
//! ```
//! use sapwood::{Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//! # let volume = store.create_volume("disk", 1 << 20)?;
//!
//! let batch = volume.batch();
//! batch.write_at(0, b"the row")?;
//! batch.write_at(65536, b"and its index entry")?;
//! drop(batch); // from here on a flush takes both
//! volume.flush()?;
//! assert_eq!(volume.counters().commits, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Share blocks instead of copying them
//!
//! ```
//! use sapwood::{Annotations, CloneSource, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//! # let golden = store.create_volume("golden", 1 << 20)?;
//! # golden.write_at(0, &[9; 65536])?;
//! # let snapshot = golden.snapshot(&Annotations::default())?;
//!
//! let volume = store.create_volume("disk", 1 << 20)?;
//! volume.clone_range(CloneSource::Snapshot(&snapshot), 0, 131072, 65536)?;
//! volume.flush()?;
//! let mut byte = [0];
//! volume.read_at(131072, &mut byte)?;
//! assert_eq!((byte, volume.counters().bytes_allocated), ([9], 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Remove a snapshot in mid-chain and get its space back
//!
//! ```
//! use sapwood::{Annotations, GcOptions, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let volume = store.create_volume("disk", 8 << 20)?;
//! for byte in [1, 2, 3] {
//!     volume.write_at(0, &vec![byte; 4 << 20])?;
//!     volume.snapshot(&Annotations::default())?;
//! }
//! store.remove("disk@2")?; // the middle one: its children need nothing of it
//! let freed = store.collect(&GcOptions::default())?;
//! assert!(freed.freed_bytes() >= 4 << 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keep files instead of blocks
//!
//! [`files`] is a tree of directories and files in the blocks of a volume, with all that a root
//! filesystem needs: snapshots and forks of a running tree, and what changed between two.
//!
//! ```
//! use sapwood::files::{Files, FilesOptions, FilesView, Paths, changes};
//! use sapwood::{Annotations, Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let files = Files::open(store.create_tree("box")?, FilesOptions::default())?;
//! Paths::new(&files).create_dir_all("etc")?;
//! Paths::new(&files).write("etc/hostname", b"sap")?;
//! let before = FilesView::open(files.snapshot(&Annotations::default())?)?;
//! Paths::new(&files).write("etc/hostname", b"wood")?;
//! let after = FilesView::open(files.snapshot(&Annotations::default())?)?;
//!
//! let changed = changes(&before, &after)?;
//! assert_eq!((changed.len(), &changed[0].path[..]), (1, &b"etc/hostname"[..]));
//! assert_eq!(Paths::new(&before).read("etc/hostname")?, b"sap");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Look into a store without touching it
//!
//! [`inspect`] is a second, read-only reading of the format: for damaged files too, and beside
//! a live writer.
//!
//! ```
//! use std::{path::Path, sync::Arc};
//! use sapwood::inspect::{CheckOptions, check};
//! use sapwood::medium::{FileHost, Host, Network};
//! # use sapwood::{Store, StoreOptions};
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store");
//! # let store = Store::create(&path, &StoreOptions::default())?;
//! # let volume = store.create_volume("disk", 1 << 20)?;
//! # volume.write_at(0, &[1; 4096])?;
//! # volume.flush()?;
//!
//! let host: Arc<dyn Host> = Arc::new(FileHost::open_root(&path, Network::Refuse)?);
//! let report = check(&host, Path::new(""), &CheckOptions { data: true }, &mut |_| {})?;
//! assert!(report.is_sound(), "{:?}", report.findings);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! Every call returns one [`Error`]: a small, stable [`ErrorKind`] to decide on, and a text that
//! says the file, the offset, what was found and what was expected. After a failed sync a volume
//! is *poisoned*: reads show the last durable commit, writes say why, and opening it anew
//! recovers.
//!
//! # The modules
//!
//! What an embedder needs stands at the root of the crate. [`medium`] is the seam for those who
//! bring their own files; [`mod@format`] and [`inspect`] are for tools that read the format. The
//! modules between ([`extent`], [`layer`], [`chain`], [`volume`], [`store`]) are the engine,
//! each standing on those before it; `docs/ARCHITECTURE.md` is their map.

pub mod chain;
pub mod error;
pub mod extent;
pub mod files;
pub mod format;
pub mod inspect;
pub mod layer;
pub mod medium;
mod memory;
pub mod raw;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod threads;
pub mod units;
pub mod volume;

pub use chain::{Borrowed, ChangedExtent, Changes, ReadAt, ReadRequest, Snapshot};
pub use chain::{ViewExtent, ViewExtents, ViewTarget};
pub use error::{Error, ErrorKind, Result};
pub use format::{Annotations, LayerKind, LayerState, NameEntry, NameKind};
pub use layer::{MapPolicy, ReadPolicy, VerifyPolicy};
pub use store::{
    DamagedName, GcOptions, GcReport, GivenUp, HeldLayer, Holding, Holdings, KeptSnapshot,
    LayerInfo, NamesLeft, Obstacles, Progress, Removal, RemoveReport, Replace, Resolved,
    ResolvedKind, Store, StoreOptions, StoreUsage, Usage,
};
pub use units::{BlockAddress, BlockSize, Digest, FileBlock, LayerId};
pub use volume::{
    Batch, CloneSource, Counters, RecoveryReport, Volume, VolumeExtents, VolumeOptions,
};

/// The examples of the README, compiled and run as the examples of this page are.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
