//! Containers that go, and what others left behind.

use std::collections::HashSet;
use std::ffi::OsString;

use sapwood::store::{Name, RemoveReport};
use sapwood::{Result, Store};

use super::folder::{self, Lock};
use super::record::Record;
use crate::run_folder::RunFolder;

/// Removes a container: its volume, and what is beside that.
///
/// Errors: [`sapwood::ErrorKind::Locked`] where it runs; [`sapwood::ErrorKind::NotFound`].
pub fn remove(store: &Store, name: &str) -> Result<RemoveReport> {
    remove_record(store, name)?;
    store.remove(name)
}

/// Removes what is beside the volume of a container, before that is removed: its record, and what is
/// left of it where the process that served it was killed. Nothing where there is no container of this
/// name, or it is another user's.
///
/// Errors: [`sapwood::ErrorKind::Locked`] where it runs.
pub fn remove_record(store: &Store, name: &str) -> Result<()> {
    let Ok(name) = Name::new(name) else { return Ok(()) };
    if folder::of_own(store, &name)?.is_none() {
        return Ok(());
    }
    let _lock = Lock::take(store, &name)?;
    clear(store, &name)?;
    remove_folder(store, &name)
}

/// Removes a container that this process has, before anybody else could take it.
pub fn remove_held(store: &Store, name: &Name, _lock: Lock) -> Result<()> {
    clear(store, name)?;
    // What is left beside a volume that is gone goes with whoever finds it.
    store.remove(name.as_str())?;
    remove_folder(store, name)
}

/// Removes what is beside volumes that are gone: records, and what is left of containers. How many
/// there were. With `dry_run` they are counted only.
pub fn remove_stale(store: &Store, dry_run: bool) -> Result<u64> {
    let Some(all) = folder::all(store)? else { return Ok(0) };
    let folders = all.folders()?;
    let run = RunFolder::find(store)?;
    let mut removed = 0;
    let with_volume = folders_of_volumes(store)?;
    for folder in folders.into_iter().filter(|folder| !with_volume.contains(folder)) {
        // Whoever makes a container has its folder before there is a volume.
        let Some(_lock) = Lock::take_if_free(&all, &folder)? else { continue };
        if folders_of_volumes(store)?.contains(&folder) {
            continue;
        }
        removed += 1;
        if !dry_run {
            run.iter().try_for_each(|run| run.container(&folder).clear_abandoned())?;
            all.remove_tree(&folder)?;
        }
    }
    Ok(removed)
}

/// Ends and takes away what is left of containers whose server was killed; they themselves stay. How many
/// there were. With `dry_run` they are counted only.
pub fn clear_killed(store: &Store, dry_run: bool) -> Result<u64> {
    let Some(run) = RunFolder::find(store)? else { return Ok(0) };
    let left = run.containers()?;
    if left.is_empty() {
        return Ok(0);
    }
    let all = folder::make_all(store)?;
    let mut cleared = 0;
    for folder in left {
        // One that runs has the same there, and somebody who has it.
        let Some(lock) = Lock::take_if_free(&all, &folder)? else { continue };
        if !dry_run {
            run.container(&folder).clear_abandoned()?;
        }
        cleared += 1;
        // Made just now: somebody removed it where this was not seen, or another store had its number.
        if lock.folder().names()?.is_empty() {
            all.remove_empty(&folder)?;
        }
    }
    Ok(cleared)
}

/// Ends and takes away what is left of a container whose server was killed. Nobody has the folder
/// but who calls this.
pub fn clear(store: &Store, name: &Name) -> sapwood::Result<()> {
    let run = RunFolder::find(store)?;
    run.map_or(Ok(()), |run| run.container(name.escaped()).clear_abandoned())
}

/// Takes away what a runtime made for a container that had ended before it was called.
/// Nothing of one that runs.
pub fn clear_if_ended(store: &Store, name: &Name) -> Result<()> {
    let Some(run) = RunFolder::find(store)? else { return Ok(()) };
    let place = run.container(name.escaped());
    if !place.folder.exists() {
        return Ok(());
    }
    let all = folder::make_all(store)?;
    let Some(lock) = Lock::take_if_free(&all, name.escaped())? else { return Ok(()) };
    place.clear_abandoned()?;
    match Record::read(lock.folder())? {
        Some(_) => Ok(()),
        // It went with its end.
        None => all.remove_tree(name.escaped()),
    }
}

fn remove_folder(store: &Store, name: &Name) -> Result<()> {
    folder::all(store)?.map_or(Ok(()), |all| all.remove_tree(name.escaped()))
}

/// How the folders are called of containers that have a volume.
fn folders_of_volumes(store: &Store) -> Result<HashSet<OsString>> {
    let names = store.names()?.into_iter().map(|entry| Name::new(entry.name));
    names.map(|name| Ok(name?.escaped().into())).collect()
}
