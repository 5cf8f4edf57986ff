//! What a container changed of its image, in the form that `docker diff` has.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

use sapwood::files::{ChangeKind, FileChange, FileKind, FilesView, Paths, changes};
use sapwood::store::Name;
use sapwood::{ErrorKind, Result, Store};
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
    letters(&changes(&before, &after)?, &before, &after)
}

fn letters(
    changes: &[FileChange],
    before: &FilesView,
    after: &FilesView,
) -> Result<Vec<(Letter, Vec<u8>)>> {
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
        let top = [b"/", &*change.path].concat();
        Paths::new(after).walk(OsStr::from_bytes(&top), |below, _| {
            let path = match below {
                b"" => top.clone(),
                below => [&top, &b"/"[..], below].concat(),
            };
            let was_there = exists(before, &path)?;
            letters.insert(path, if was_there { Letter::Changed } else { Letter::Added });
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

/// Whether something has this path.
fn exists(view: &FilesView, path: &[u8]) -> Result<bool> {
    match Paths::new(view).symlink_metadata(OsStr::from_bytes(path)) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        found => found.map(|_| true),
    }
}

/// Whether a directory came here from elsewhere, where something may have been before: what is in it has not
/// changed, and is told by nobody.
fn is_moved_directory(change: &FileChange) -> bool {
    let is_directory = change.after.is_some_and(|after| after.kind == FileKind::Directory);
    let is_renamed = matches!(change.kind, ChangeKind::Renamed { .. });
    is_directory && (is_renamed || change.is_of_another_file())
}

/// The directories that a path is in, without the root, the lowest last.
fn directories_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use sapwood::StoreOptions;
    use sapwood::files::{Files, FilesOptions};

    use super::*;

    /// What is in a directory that was renamed was told under paths that nothing has.
    #[test]
    fn what_is_in_a_moved_directory_is_told_where_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        let files = Files::open(store.create_tree("tree").unwrap(), FilesOptions::default());
        let files = files.unwrap();
        let paths = Paths::new(&files);
        for path in ["/old/deep", "/there", "/target"] {
            paths.create_dir_all(path).unwrap();
        }
        for path in ["/old/file", "/old/deep/file", "/there/same", "/there/new", "/target/same"] {
            paths.write(path, path.as_bytes()).unwrap();
        }
        let view = || FilesView::open(files.snapshot(&Default::default()).unwrap()).unwrap();
        let before = view();
        paths.create_dir("/new").unwrap();
        paths.rename("/old", "/new/place").unwrap();
        // Over one that was there, with a name that was there too.
        paths.remove_dir_all("/target").unwrap();
        paths.rename("/there", "/target").unwrap();
        let after = view();
        let found = letters(&changes(&before, &after).unwrap(), &before, &after).unwrap();
        let shown = found.iter().map(|(letter, path)| {
            let letter = &format!("{letter:?}")[..1];
            format!("{letter} {}", path.escape_ascii())
        });
        let expected = [
            "A /new",
            "A /new/place",
            "A /new/place/deep",
            "A /new/place/deep/file",
            "A /new/place/file",
            "D /old",
            "C /target",
            "A /target/new",
            "C /target/same",
            "D /there",
        ];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
}
