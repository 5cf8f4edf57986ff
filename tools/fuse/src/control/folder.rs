//! The folder of a mount's socket, for those who may use the store.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use sapwood::medium::create_private_folders;

/// The folder of a store for its layers: whoever was let in there by hand shares the store.
const LAYERS: &str = "layers";
/// Of a folder: its owner's alone.
const PRIVATE: u32 = 0o700;
const GROUP_WRITES: u32 = 0o020;
/// Permissions of a folder that are handed on: all, with those of who gets what is made in it.
const HANDED_ON: u32 = 0o2777;
/// Of a socket: whoever may write to it may ask.
const SOCKET_OF_OWNER: u32 = 0o600;
const SOCKET_OF_GROUP: u32 = 0o660;

/// Who may ask a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Askers {
    /// Who serves it.
    Owner,
    /// A group, too: its number.
    Group(u32),
}

/// Makes `folder`, which is `mounts/NAME` in a store, with what is missing above it. Where a group was let into
/// the store's layers, it is let in here, or the first to mount would be the only one who ever could.
pub fn create(folder: &Path) -> io::Result<Askers> {
    let layers = folder.ancestors().nth(2).map(|store| fs::metadata(store.join(LAYERS)));
    let shared = layers.and_then(Result::ok).filter(|layers| layers.mode() & GROUP_WRITES != 0);
    let (Some(layers), Some(mounts)) = (shared, folder.parent()) else {
        return create_private_folders(folder).map(|()| Askers::Owner);
    };
    for folder in [mounts, folder] {
        match DirBuilder::new().mode(PRIVATE).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        // In this order: never open to the group that it had before.
        chown(folder, None, Some(layers.gid()))?;
        fs::set_permissions(folder, Permissions::from_mode(layers.mode() & HANDED_ON | PRIVATE))?;
    }
    Ok(Askers::Group(layers.gid()))
}

/// Lets those who may ask come to a socket.
pub fn open(socket: &Path, askers: Askers) -> io::Result<()> {
    let permissions = match askers {
        Askers::Owner => SOCKET_OF_OWNER,
        Askers::Group(group) => {
            chown(socket, None, Some(group))?;
            SOCKET_OF_GROUP
        }
    };
    fs::set_permissions(socket, Permissions::from_mode(permissions))
}
