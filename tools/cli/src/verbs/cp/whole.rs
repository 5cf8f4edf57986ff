//! What is copied as what it is: directories with all below them, symlinks, devices, and files with
//! what is known of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sapwood::ErrorKind;
use sapwood::files::{FileKind, Files, FilesView, Inode, Paths};
use sapwood::store::Store;
use sapwood_archive::{
    ImportOptions, Replacement, TreeSource, copy_file, copy_tree, export_file, import_directory,
    import_file,
};

use crate::args::TreeOptions;
use crate::error::{CliError, Result};
use crate::image::{aside_failed, replaceable};
use crate::tree::{TreePath, Word, copy_out, is_live, make_durable, open_view};
use crate::unfinished::Unfinished;

/// A file of any kind to copy; symlinks are not followed.
pub enum Whole {
    /// Of the host, and whether it is a directory.
    Host(PathBuf, bool),
    /// Of a tree.
    Tree(Box<TreeWhole>),
}

/// A file of any kind in a tree.
pub struct TreeWhole {
    view: FilesView,
    inode: Inode,
    is_directory: bool,
    path: PathBuf,
    /// The volume whose last commit it is in, where it is in no snapshot.
    volume: Option<String>,
}

impl Whole {
    /// The file that a word names; none where it is standard input.
    pub fn find(store: &Store, word: &Word) -> Result<Option<Whole>> {
        Ok(match word {
            Word::Other(path) if path == "-" => None,
            Word::Other(path) => {
                let path = PathBuf::from(path);
                let found = path.symlink_metadata().map_err(CliError::file("open", &path))?;
                Some(Whole::Host(path, found.is_dir()))
            }
            Word::Tree(place) => Some(Whole::Tree(Box::new(TreeWhole::find(store, place)?))),
        })
    }

    /// Copies it into a tree as `place`: into a directory that may be there, or in place of a file, but never
    /// the one for the other; how many bytes.
    pub fn put_into_tree(
        &self,
        files: &Files,
        place: &TreePath,
        options: TreeOptions,
    ) -> Result<u64> {
        let replacement = Replacement::SameKind;
        let options = ImportOptions { replacement, ..options.import_options() };
        let is_directory = match self {
            Whole::Host(_, is_directory) => *is_directory,
            Whole::Tree(whole) => whole.is_directory,
        };
        let paths = Paths::new(files);
        let report = if is_directory {
            let into = place.named(paths.create_dir_all(&place.path))?;
            match self {
                Whole::Host(path, _) => import_directory(files, into, path, &options, &mut |_| {})?,
                Whole::Tree(whole) => {
                    let (source, TreeWhole { view, inode, .. }) = (whole.source(place), &**whole);
                    copy_tree(view, source, *inode, files, into, &options, &mut |_| {})?
                }
            }
        } else {
            let (above, name) = split(place)?;
            let into = place.named(paths.resolve(above))?;
            self.expect_another(files, place)?;
            let done = match self {
                Whole::Host(path, _) => import_file(files, into, name, path, &options),
                Whole::Tree(whole) => {
                    let (source, TreeWhole { view, inode, .. }) = (whole.source(place), &**whole);
                    copy_file(view, source, *inode, files, (into, name), &options)
                }
            };
            place.named(done)?
        };
        Ok(report.bytes)
    }

    /// That it is no symlink to what it would replace: both would be gone.
    fn expect_another(&self, files: &Files, place: &TreePath) -> Result<()> {
        let Whole::Tree(whole) = self else { return Ok(()) };
        if whole.volume.as_deref() != Some(&place.reference) {
            return Ok(());
        }
        let paths = Paths::new(files);
        match (paths.metadata(&whole.path), paths.symlink_metadata(&place.path)) {
            (Ok(source), Ok(there)) if source.inode == there.inode => {
                Err(CliError::usage(format!("{place} is what would be copied there")))
            }
            // A link to nothing, or nothing to replace.
            _ => Ok(()),
        }
    }
}

impl TreeWhole {
    /// The file at a place.
    pub fn find(store: &Store, place: &TreePath) -> Result<TreeWhole> {
        let view = open_view(store, &place.reference)?;
        let paths = Paths::new(&view);
        // As on a host: a slash at the end asks for the directory behind a symlink.
        let attributes = match place.path.as_os_str().as_bytes().ends_with(b"/") {
            true => paths.metadata(&place.path),
            false => paths.symlink_metadata(&place.path),
        };
        let attributes = place.named(attributes)?;
        let volume = is_live(store, &place.reference)?.then(|| place.reference.clone());
        let is_directory = attributes.kind == FileKind::Directory;
        Ok(TreeWhole {
            view,
            inode: attributes.inode,
            is_directory,
            path: place.path.clone(),
            volume,
        })
    }

    fn source(&self, target: &TreePath) -> TreeSource {
        match &self.volume {
            None => TreeSource::Snapshot,
            Some(name) if *name == target.reference => TreeSource::Target,
            Some(_) => TreeSource::Volume,
        }
    }

    /// Copies it to the host as `path`: a directory, which must not be there or be empty, or a file in
    /// place of one; how many bytes.
    pub fn out_to(&self, path: &Path, options: TreeOptions) -> Result<u64> {
        let options = options.export_options();
        if self.is_directory {
            return Ok(copy_out(&self.view, self.inode, path, &options, &mut |_| {})?.bytes);
        }
        let above = match path.parent() {
            Some(above) if above != Path::new("") => above,
            _ => Path::new("."),
        };
        replaceable(path, true)?;
        // Made aside, so that it appears whole or not at all.
        let make = || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".sapwood-").tempdir_in(above).map_err(aside_failed(above))
        };
        let (aside, _unfinished) = Unfinished::make(make, |aside| aside.path())?;
        let made = aside.path().join("file");
        let done = export_file(&self.view, self.inode, &made, &options)
            .map_err(|error| error.with_file(path))?;
        make_durable(aside.path())?;
        fs::rename(&made, path).map_err(CliError::file("rename", path))?;
        make_durable(above)?;
        Ok(done.bytes)
    }
}

/// The directory of a place, and the name in it.
fn split(place: &TreePath) -> Result<(&Path, &[u8])> {
    match (place.path.parent(), place.path.file_name().map(OsStr::as_bytes)) {
        (Some(above), Some(name)) => Ok((above, name)),
        _ => place.named(Err(sapwood::Error::new(ErrorKind::IsADirectory, "copy a file"))),
    }
}
