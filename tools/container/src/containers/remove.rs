//! Containers that go, and what others left behind.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sapwood::store::{Name, RemoveReport};
use sapwood::{Error, Result, Store};
use sapwood_fuse::Durability;

use super::folder::{self, Lock};
use super::record::Record;
use crate::place::{Place, entries};

/// Removes a container: its volume, and what is beside that.
///
/// Errors: [`sapwood::ErrorKind::Locked`] where it runs; [`sapwood::ErrorKind::NotFound`].
pub fn remove(store: &Store, name: &str) -> Result<RemoveReport> {
    remove_record(store, name)?;
    store.remove(name)
}

/// Removes what is beside the volume of a container, before that is removed: its record, and what is
/// left of it where the process that served it was killed. Nothing where there is no container of this
/// name.
///
/// Errors: [`sapwood::ErrorKind::Locked`] where it runs.
pub fn remove_record(store: &Store, name: &str) -> Result<()> {
    let Ok(name) = Name::new(name) else { return Ok(()) };
    let folder = folder::of(store, &name);
    if !folder.exists() {
        return Ok(());
    }
    let _lock = Lock::take(&folder, &name)?;
    clear(store, &name)?;
    remove_folder(&folder)
}

/// Removes a container that this process has, before anybody else could take it.
pub fn remove_held(store: &Store, name: &Name, _lock: Lock) -> Result<()> {
    clear(store, name)?;
    // What is left beside a volume that is gone goes with whoever finds it.
    store.remove(name.as_str())?;
    remove_folder(&folder::of(store, name))
}

/// Removes what is beside volumes that are gone: records, and what is left of containers. How many
/// there were. With `dry_run` they are counted only.
pub fn remove_stale(store: &Store, dry_run: bool) -> Result<u64> {
    let all = folder::all(store);
    let folders = entries(&all)?;
    let of_volumes = || -> Result<HashSet<PathBuf>> {
        let names = store.names()?.into_iter().map(|entry| Name::new(entry.name));
        names.map(|name| Ok(folder::of(store, &name?))).collect()
    };
    let mut removed = 0;
    let with_volume = of_volumes()?;
    for folder in folders.into_iter().filter(|folder| !with_volume.contains(folder)) {
        // Whoever makes a container has its folder before there is a volume.
        let Some(_lock) = Lock::take_if_free(&folder)? else { continue };
        if of_volumes()?.contains(&folder) {
            continue;
        }
        removed += 1;
        if !dry_run {
            Place::in_folder(&folder).clear_abandoned()?;
            remove_folder(&folder)?;
        }
    }
    Ok(removed)
}

/// Ends and takes away what is left of containers whose server was killed; they themselves stay. How many
/// there were. With `dry_run` they are counted only.
pub fn clear_killed(store: &Store, dry_run: bool) -> Result<u64> {
    let mut cleared = 0;
    for entry in store.names()? {
        let name = Name::new(entry.name)?;
        let folder = folder::of(store, &name);
        if !Place::in_folder(&folder).has_leftovers() {
            continue;
        }
        // One that runs has the same there, and somebody who has it.
        let Some(_lock) = Lock::take_if_free(&folder)? else { continue };
        if !dry_run {
            clear(store, &name)?;
        }
        cleared += 1;
    }
    Ok(cleared)
}

/// Ends and takes away what is left of a container whose server was killed. Nobody has the folder
/// but who calls this.
pub fn clear(store: &Store, name: &Name) -> sapwood::Result<()> {
    folder::place(store, name, Durability::OnSync).clear_abandoned()
}

/// Takes away what a runtime made in the folder of a container that had ended before it was called.
/// Nothing of one that runs.
pub fn clear_if_ended(store: &Store, name: &Name) -> Result<()> {
    let folder = folder::of(store, name);
    if !folder.exists() {
        return Ok(());
    }
    let Some(_lock) = Lock::take_if_free(&folder)? else { return Ok(()) };
    clear(store, name)?;
    match Record::read(&folder)? {
        Some(_) => Ok(()),
        // It went with its end.
        None => remove_folder(&folder),
    }
}

fn remove_folder(folder: &Path) -> Result<()> {
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A runtime that was to signal the container has made something.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => continue,
            removed => {
                let failed = |error| Error::io("remove a container", error).in_file(folder);
                return removed.map_err(failed);
            }
        }
    }
}
