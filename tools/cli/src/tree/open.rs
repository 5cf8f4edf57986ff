//! Trees, opened to look at or to change.

use std::ops::ControlFlow;
use std::path::Path;

use sapwood::files::{Attributes, Files, FilesOptions, FilesView, Paths, ReadFiles};
use sapwood::store::Store;
use sapwood_oci::by_id;

use crate::error::Result;

/// The tree of a snapshot, or of the last commit of a volume.
pub fn open_view(store: &Store, reference: &str) -> Result<FilesView> {
    Ok(FilesView::open(store.snapshot_of(&by_id(store, reference)?)?)?)
}

/// Whether a reference means a volume: [`open_view`] shows its last commit then, and no snapshot.
pub fn is_live(store: &Store, reference: &str) -> Result<bool> {
    Ok(store.resolve(reference)?.is_live())
}

/// Opens the tree of a volume, has `change` change it, and makes that durable: one commit, and
/// nothing of it where `change` fails.
pub fn change<T>(store: &Store, name: &str, change: impl FnOnce(&Files) -> Result<T>) -> Result<T> {
    let files = Files::open(store.open_volume(name)?, FilesOptions::default())?;
    let done = change(&files)?;
    files.flush()?;
    files.close()?;
    Ok(done)
}

/// Shows a file and all below it to a function whose errors are the command's own: each path
/// from `path` on.
pub fn walk(
    files: &impl ReadFiles,
    path: &Path,
    mut each: impl FnMut(&[u8], &Attributes) -> Result<()>,
) -> Result<()> {
    let mut stopped = Ok(());
    Paths::new(files).walk(path, |path, attributes| match each(path, attributes) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) => {
            stopped = Err(error);
            Ok(ControlFlow::Break(()))
        }
    })?;
    stopped
}
