//! What mounts leave in a store whose server was killed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sapwood::medium::WorkFolder;
use sapwood::store::Name;
use sapwood::{ErrorKind, Result, Store};

use super::folder::SocketFolder;
use super::{MOUNTS, RunningMount, control_folder};

/// Removes the sockets of mounts whose server was killed. How many there were. With `dry_run` they are
/// counted only, and no volume is opened, which would recover it.
///
/// Errors: what the host says, as when a mount is another user's.
pub fn remove_stale_sockets(store: &Store, dry_run: bool) -> Result<u64> {
    let opened = WorkFolder::open(store.path())?;
    let Some(all) = opened.map_or(Ok(None), |store| store.shared(MOUNTS))? else { return Ok(0) };
    let names = all.names()?.into_iter();
    let folders: Vec<PathBuf> = names.map(|name| all.path().join(name)).collect();
    let mut removed = 0;
    let mut volumes = HashMap::new();
    if !folders.is_empty() {
        for name in store.names()? {
            let folder = control_folder(store.path(), &Name::new(name.name.as_str())?);
            volumes.insert(folder, name.name);
        }
    }
    for folder in folders {
        if RunningMount::find(&folder)?.is_some() {
            continue;
        }
        let volume = volumes.get(&folder).map(String::as_str);
        if !dry_run && !remove_if_free(store, volume, &folder)? {
            continue;
        }
        removed += 1;
    }
    Ok(removed)
}

/// Removes what the mount of a volume left whose server was killed: before the volume itself is removed,
/// as nothing would lead there afterwards. Nothing where it is served.
///
/// Errors: what the host says.
pub fn remove_stale_socket(store: &Store, name: &Name) -> Result<()> {
    let folder = control_folder(store.path(), name);
    if SocketFolder::find(&folder)?.is_none() || RunningMount::find(&folder)?.is_some() {
        return Ok(());
    }
    remove_if_free(store, Some(name.as_str()), &folder).map(drop)
}

/// Whoever has the volume may be about to listen: whether it was free.
fn remove_if_free(store: &Store, volume: Option<&str>, folder: &Path) -> Result<bool> {
    let held = match volume.map(|volume| store.open_volume(volume)) {
        Some(Err(error)) if error.kind() == ErrorKind::Locked => return Ok(false),
        // One that is damaged nobody can serve.
        held => held.and_then(Result::ok),
    };
    SocketFolder::find(folder)?.map_or(Ok(()), SocketFolder::remove)?;
    held.map_or(Ok(()), sapwood::Volume::close)?;
    Ok(true)
}
