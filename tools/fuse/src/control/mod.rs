//! Asking a running mount: commits and snapshots from another process.
//!
//! `sync` and `syncfs` do not reach a FUSE server, so a mount listens on a Unix socket beside the
//! store's files. A request is one line, and so is its reply: a word, then `key=value` fields,
//! percent-encoded. What the kernel's cache holds is not the server's to ask for, as it would
//! wait for itself: the asker calls `syncfs` on the mount first, and waits until all has arrived.

mod ask;
mod elsewhere;
mod folder;
mod listen;
mod message;
mod stale;

use std::path::{Path, PathBuf};

pub use ask::RunningMount;
pub use elsewhere::{Elsewhere, unescaped};
pub use listen::Control;
pub use stale::{remove_stale_socket, remove_stale_sockets};

/// The folder of a store for the sockets of its mounts.
const MOUNTS: &str = "mounts";
/// The socket in the folder of one volume.
const SOCKET: &str = "control";

/// Where the mount of the volume `name` listens, in the store at `store`.
///
/// `name` is one that the store took: it holds no path separator once escaped.
pub fn control_folder(store: &Path, name: &sapwood::store::Name) -> PathBuf {
    store.join(MOUNTS).join(name.escaped())
}
