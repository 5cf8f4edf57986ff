//! What a container changed of its image, in the form that `docker diff` has.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sapwood::files::{ChangeKind, FileChange, FileKind, FilesView, Paths, changes};
use sapwood::store::Name;
use sapwood::{Result, Store};
use sapwood_fuse::{RunningMount, control_folder};

use super::list::container;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// It is new.
    Added,
    /// It, or something below it, is different.
    Changed,
    /// It is gone.
    Deleted,
}

/// The paths that are different in a container from its image, in order, each with a slash in front;
/// of one that runs, as its files are now. Directories above what changed are changed too; of those
/// that are gone only the uppermost is told.
///
/// Errors: [`sapwood::ErrorKind::NotFound`].
pub fn differences(store: &Store, name: &str) -> Result<Vec<(Letter, Vec<u8>)>> {
    let found = container(store, name)?;
    if let Some(mut mount) = RunningMount::find(&control_folder(store.path(), &Name::new(name)?))? {
        mount.flush()?;
    }
    let before = FilesView::open(store.snapshot_of(&found.record.image_layer)?)?;
    let after = FilesView::open(store.snapshot_of(name)?)?;
    letters(&changes(&before, &after)?, &after)
}

fn letters(changes: &[FileChange], after: &FilesView) -> Result<Vec<(Letter, Vec<u8>)>> {
    let mut letters: BTreeMap<Vec<u8>, Letter> = BTreeMap::new();
    let mut note = |path: &[u8], letter: Letter| {
        let path = [b"/", path].concat();
        let both = letters.get(&path).is_some_and(|known| *known != letter);
        letters.insert(path, if both { Letter::Changed } else { letter });
    };
    for change in changes.iter().filter(|change| !change.is_only_of_names()) {
        match &change.kind {
            ChangeKind::Added => note(&change.path, Letter::Added),
            ChangeKind::Deleted => note(&change.path, Letter::Deleted),
            ChangeKind::Modified(_) if change.path.is_empty() => {}
            ChangeKind::Modified(_) => note(&change.path, Letter::Changed),
            ChangeKind::Renamed { from, .. } => {
                note(from, Letter::Deleted);
                note(&change.path, Letter::Added);
            }
        }
    }
    for change in changes.iter().filter(|change| is_moved_directory(change)) {
        let path = [b"/", &*change.path].concat();
        use std::os::unix::ffi::OsStrExt;
        Paths::new(after).walk(std::ffi::OsStr::from_bytes(&path), |path, _| {
            let path = path.strip_prefix(b"/").unwrap_or(path);
            letters.insert([b"/", path].concat(), Letter::Added);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let all: Vec<Vec<u8>> = letters.keys().cloned().collect();
    for path in &all {
        for directory in directories_above(path) {
            match letters.get(directory) {
                Some(Letter::Deleted) => {
                    letters.remove(path);
                    break;
                }
                Some(_) => {}
                None => drop(letters.insert(directory.to_vec(), Letter::Changed)),
            }
        }
    }
    Ok(letters.into_iter().map(|(path, letter)| (letter, path)).collect())
}

fn is_moved_directory(change: &FileChange) -> bool {
    let is_directory = change.after.is_some_and(|after| after.kind == FileKind::Directory);
    is_directory && matches!(change.kind, ChangeKind::Renamed { .. })
}

/// The directories that a path is in, without the root, the lowest last.
fn directories_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}
