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
    // What is in a moved directory is told by nobody: it is gone from there, and new here.
    for change in changes {
        let is_directory = change.after.is_some_and(|after| after.kind == FileKind::Directory);
        let ChangeKind::Renamed { from, .. } = &change.kind else { continue };
        if is_directory {
            note_all(before, from, Letter::Deleted, after, &mut letters)?;
            note_all(after, &change.path, Letter::Added, before, &mut letters)?;
        }
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

/// Notes all paths from a directory of a tree on: by `letter`, or as changed where the other tree has them, too.
fn note_all(
    view: &FilesView,
    top: &[u8],
    letter: Letter,
    other: &FilesView,
    letters: &mut BTreeMap<Vec<u8>, Letter>,
) -> Result<()> {
    let top = [b"/", top].concat();
    Paths::new(view).walk(OsStr::from_bytes(&top), |below, _| {
        let path = match below {
            b"" => top.clone(),
            below => [&top, &b"/"[..], below].concat(),
        };
        let in_both = exists(other, &path)?;
        letters.insert(path, if in_both { Letter::Changed } else { letter });
        Ok(ControlFlow::Continue(()))
    })
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
        assert_eq!(shown(&before, &after), expected);
    }

    fn shown(before: &FilesView, after: &FilesView) -> Vec<String> {
        let found = letters(&changes(before, after).unwrap(), before, after).unwrap();
        let shown = found.iter().map(|(letter, path)| {
            let letter = &format!("{letter:?}")[..1];
            format!("{letter} {}", path.escape_ascii())
        });
        shown.collect()
    }

    /// `mv /app /app.old; mkdir /app`: what had moved was told nowhere.
    #[test]
    fn what_was_in_a_directory_whose_path_is_taken_again_is_gone_from_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        let files = Files::open(store.create_tree("tree").unwrap(), FilesOptions::default());
        let files = files.unwrap();
        let paths = Paths::new(&files);
        paths.create_dir_all("/app/sub/deep").unwrap();
        paths.write("/app/one", b"one").unwrap();
        paths.write("/app/sub/two", b"two").unwrap();
        let view = || FilesView::open(files.snapshot(&Default::default()).unwrap()).unwrap();
        let before = view();
        paths.rename("/app", "/app.old").unwrap();
        paths.create_dir("/app").unwrap();
        paths.write("/app/one", b"new").unwrap();
        let expected = [
            "C /app",
            "A /app.old",
            "A /app.old/one",
            "A /app.old/sub",
            "A /app.old/sub/deep",
            "A /app.old/sub/two",
            "C /app/one",
            "D /app/sub",
        ];
        assert_eq!(shown(&before, &view()), expected);
    }
}
