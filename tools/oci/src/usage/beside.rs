//! What a store's folder takes beside its layers.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use sapwood::store::{Holdings, LOST_AND_FOUND};
use sapwood::{Error, Result, Store};

/// The unit in which the host tells what it has allocated.
const SECTOR_BYTES: u64 = 512;

/// The folder of a store for the directories that `RUN --mount=type=cache` mounts: each in a folder for
/// its id, under a number, beside its lock.
pub const KEPT_DIRECTORIES: &str = "build-caches";
/// From the working directory any path may lead into other filesystems.
const ANYWHERE: ResolveFlags = ResolveFlags::empty();
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
    let mut seen = HashSet::new();
    // A fresh volume's name is another link to the file of its layer.
    for id in holdings.layers.keys().chain(holdings.lost.keys()) {
        let layer = root.join("layers").join(format!("{id}.layer"));
        seen.extend(
            look(CWD, &layer, &layer, ANYWHERE)?.map(|(_, facts)| (facts.dev(), facts.ino())),
        );
    }
    let (index, kept) = (root.join("index"), root.join(KEPT_DIRECTORIES));
    let lost_and_found = root.join(LOST_AND_FOUND);
    walk(root, &mut |path, file| {
        if !seen.insert((file.dev(), file.ino())) {
            return false;
        }
        let bytes = file.blocks() * SECTOR_BYTES;
        if path == lost_and_found {
            // What is in it is nobody's but root's to see.
            found.other_bytes += bytes;
            return false;
        }
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

/// Shows a file and all below it, if it is a directory and the answer is yes. What is mounted there is not
/// even looked at: its server may be gone, or answer nobody.
fn walk(top: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata) -> bool) -> Result<()> {
    let Some((root, _)) = look(CWD, top, top, ANYWHERE)? else { return Ok(()) };
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        let path = top.join(&relative);
        let place = if relative.as_os_str().is_empty() { Path::new(".") } else { &relative };
        let Some((opened, file)) = look(&root, place, &path, ResolveFlags::NO_XDEV)? else {
            continue;
        };
        if !each(&path, &file) || !file.is_dir() {
            continue;
        }
        // By this way nothing that was mounted on it meanwhile is read.
        let folder = openat(&opened, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        for entry in folder.and_then(Dir::new).map_err(|error| failed(&path, error))? {
            let entry = entry.map_err(|error| failed(&path, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                left.push(relative.join(OsStr::from_bytes(name)));
            }
        }
    }
    Ok(())
}

/// A file below an open folder, and what the host knows of it; in errors it is called `path`. `None` where it
/// went meanwhile, or `resolve` leaves out what is mounted on it.
fn look(
    below: impl AsFd,
    place: &Path,
    path: &Path,
    resolve: ResolveFlags,
) -> Result<Option<(File, fs::Metadata)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(below, place, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV) => Ok(None),
        opened => {
            let opened = File::from(opened.map_err(|error| failed(path, error))?);
            let facts = opened.metadata();
            let facts = facts.map_err(|error| Error::io("measure a store", error).in_file(path))?;
            Ok(Some((opened, facts)))
        }
    }
}

fn failed(path: &Path, error: Errno) -> Error {
    Error::io("measure a store", error.into()).in_file(path)
}
