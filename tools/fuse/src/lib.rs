//! Serves a sapwood tree as a mount, through the kernel's FUSE.
//!
//! A [`Mount`] shows live [`Files`](sapwood::files::Files), or the files of a snapshot, on a
//! directory; a [`RunningMount`] asks one in another process for a commit or a snapshot. The
//! kernel's caches are used to the full, since a mounted volume has no other writer, and the
//! kernel checks permissions.
//!
//! ```no_run
//! use sapwood::files::{Files, FilesOptions};
//! use sapwood::{Store, StoreOptions};
//! use sapwood_fuse::{Mount, MountOptions};
//!
//! let store = Store::open("/var/lib/sapwood", &StoreOptions::default())?;
//! let files = Files::open(store.open_volume("web")?, FilesOptions::default())?;
//! let mount = Mount::writable(files, "/mnt/web".as_ref(), MountOptions::default())?;
//! mount.wait()?; // until somebody unmounts it; then everything is committed
//! # Ok::<(), sapwood::Error>(())
//! ```

mod acl;
mod attributes;
mod awake;
mod barrier;
mod control;
mod device;
mod ending;
mod errno;
mod held_back;
mod ids;
mod kernel;
mod live;
mod mount;
mod options;
mod points;
mod raw;
mod server;
mod tree;

pub use control::{
    Elsewhere, RunningMount, control_folder, remove_stale_socket, remove_stale_sockets, unescaped,
};
pub use device::{Unmount, detach};
pub use ids::{IdMap, IdRange, UNMAPPED_ID};
pub use mount::{Ended, LastCommit, Mount, Unmounter};
pub use options::{
    AccessTimes, Audience, Durability, MountOptions, MountPoint, Reporter, THREADS_DEFAULT,
};
