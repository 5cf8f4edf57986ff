//! Directories of trees that go out to the host.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use sapwood::files::{FilesView, Inode};
use sapwood_archive::{ExportOptions, Progress, Report, export_directory};

use crate::error::{CliError, Result};
use crate::unfinished::Unfinished;

/// Copies the directory `from` and all below it to the host as the directory `path`, which must not be
/// there or be empty. Done means durable, the directory's own name too. Where it fails, or a signal
/// ends it, a directory that was not there goes again; in one that was, what was written stays.
pub fn copy_out(
    view: &FilesView,
    from: Inode,
    path: &Path,
    options: &ExportOptions,
    tell: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let unfinished = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Nobody else gets in while it is being filled.
            let make = || {
                let made = DirBuilder::new().mode(0o700).create(path);
                made.map_err(CliError::file("make", path))?;
                Ok(path)
            };
            Some(Unfinished::make(make, |path| path)?.1)
        }
        _ => None,
    };
    let done = export_directory(view, from, path, options, tell).map_err(CliError::from);
    let done = done.and_then(|report| {
        let folder = path.canonicalize().map_err(CliError::file("find", path))?;
        [Some(folder.as_path()), folder.parent()]
            .into_iter()
            .flatten()
            .try_for_each(make_durable)?;
        Ok(report)
    });
    match (done, unfinished) {
        (Err(error), Some(unfinished)) => {
            unfinished.discard();
            Err(error)
        }
        (done, _) => done,
    }
}

/// Makes all durable that the filesystem of a folder holds.
pub fn make_durable(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    synced.map_err(CliError::file("make durable", folder))
}
