//! What a store's folder takes beside its layers.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sapwood::store::Holdings;
use sapwood::{Error, Result, Store};

/// The unit in which the host tells what it has allocated.
const SECTOR_BYTES: u64 = 512;

/// The folder of a store for the directories that `RUN --mount=type=cache` mounts: each in a folder for
/// its id, under a number, beside its lock.
pub const KEPT_DIRECTORIES: &str = "build-caches";
/// How far below that they are.
const KEPT_DEPTH: usize = 2;

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    pub indexes: u64,
    pub index_bytes: u64,
    pub directories: u64,
    pub directory_bytes: u64,
    pub other_bytes: u64,
}

/// Measures all files and folders of a store but those of its layers, each once whatever names it
/// has. What is mounted there is not gone into.
pub fn measure(store: &Store, holdings: &Holdings) -> Result<Beside> {
    let root = store.path();
    let mut found = Beside::default();
    let Some(facts) = look(root)? else { return Ok(found) };
    let mut seen = HashSet::new();
    // A fresh volume's name is another link to the file of its layer.
    for id in holdings.layers.keys().chain(holdings.lost.keys()) {
        let layer = root.join("layers").join(format!("{id}.layer"));
        seen.extend(look(&layer)?.map(|facts| facts.ino()));
    }
    let (index, kept) = (root.join("index"), root.join(KEPT_DIRECTORIES));
    walk(root, &mut |path, file| {
        if file.dev() != facts.dev() || !seen.insert(file.ino()) {
            return false;
        }
        let bytes = file.blocks() * SECTOR_BYTES;
        // The folder itself stays when they all are gone.
        if path != kept && path.starts_with(&kept) {
            let depth = path.components().count() - kept.components().count();
            found.directories += u64::from(depth == KEPT_DEPTH && file.is_dir());
            found.directory_bytes += bytes;
        } else if path.parent() == Some(&index) {
            found.indexes += 1;
            found.index_bytes += bytes;
        } else {
            found.other_bytes += bytes;
        }
        true
    })?;
    Ok(found)
}

/// What the host has allocated for a directory and all below it.
pub fn allocated_bytes(folder: &Path) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    walk(folder, &mut |_, file| {
        let is_new = seen.insert((file.dev(), file.ino()));
        bytes += if is_new { file.blocks() * SECTOR_BYTES } else { 0 };
        is_new
    })?;
    Ok(bytes)
}

/// Shows a file and all below it, if it is a directory and the answer is yes.
fn walk(top: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata) -> bool) -> Result<()> {
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let Some(file) = look(&path)? else { continue };
        if !each(&path, &file) || !file.is_dir() {
            continue;
        }
        let told = |error| Error::io("measure a store", error).in_file(&path);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(told)?,
        };
        for entry in entries {
            left.push(entry.map_err(told)?.path());
        }
    }
    Ok(())
}

/// `None` where it went meanwhile.
fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("measure a store", error).in_file(path)),
    }
}
