//! Directories with all below them.

use std::fs::File;
use std::path::{Path, PathBuf};

use sapwood::files::{FileKind, Files, FilesView, Inode, Paths};
use sapwood::store::Store;
use sapwood_archive::{TreeSource, copy_tree, export_directory, import_directory};

use crate::args::TreeOptions;
use crate::error::{CliError, Result};
use crate::tree::{TreePath, Word, is_live, open_view};

/// A directory to copy.
pub enum Directory {
    /// Of the host.
    Host(PathBuf),
    /// Of a tree.
    Tree(Box<TreeDirectory>),
}

/// A directory of a tree.
pub struct TreeDirectory {
    view: FilesView,
    inode: Inode,
    /// The volume whose last commit it is in, where it is in no snapshot.
    volume: Option<String>,
}

impl Directory {
    /// The directory that a word names; none where it names another kind of file.
    pub fn find(store: &Store, word: &Word) -> Result<Option<Directory>> {
        Ok(match word {
            Word::Other(path) if Path::new(path).is_dir() => Some(Directory::Host(path.into())),
            Word::Other(_) => None,
            Word::Tree(place) => {
                TreeDirectory::find(store, place)?.map(|found| Directory::Tree(Box::new(found)))
            }
        })
    }

    /// Copies it into a tree as the directory `place`, which may be there; how many bytes.
    pub fn put_into_tree(
        &self,
        files: &Files,
        place: &TreePath,
        options: TreeOptions,
    ) -> Result<u64> {
        let into = place.named(Paths::new(files).create_dir_all(&place.path))?;
        match self {
            Directory::Host(path) => {
                let options = options.import_options();
                Ok(import_directory(files, into, path, &options, &mut |_| {})?.bytes)
            }
            Directory::Tree(directory) => {
                let source = match &directory.volume {
                    None => TreeSource::Snapshot,
                    Some(name) if *name == place.reference => TreeSource::Target,
                    Some(_) => TreeSource::Volume,
                };
                let options = options.import_options();
                let (view, from) = (&directory.view, directory.inode);
                Ok(copy_tree(view, source, from, files, into, &options, &mut |_| {})?.bytes)
            }
        }
    }
}

impl TreeDirectory {
    /// The directory at a place; none where there is another kind of file.
    pub fn find(store: &Store, place: &TreePath) -> Result<Option<TreeDirectory>> {
        let view = open_view(store, &place.reference)?;
        let attributes = place.named(Paths::new(&view).metadata(&place.path))?;
        if attributes.kind != FileKind::Directory {
            return Ok(None);
        }
        let volume = is_live(store, &place.reference)?.then(|| place.reference.clone());
        Ok(Some(TreeDirectory { view, inode: attributes.inode, volume }))
    }

    /// Copies it to the host as the directory `path`, which must not be there or be empty; how
    /// many bytes.
    pub fn out_to(&self, path: &Path, options: TreeOptions) -> Result<u64> {
        let options = options.export_options();
        let done = export_directory(&self.view, self.inode, path, &options, &mut |_| {})?;
        let synced = File::open(path).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.map_err(CliError::file("make durable", path))?;
        Ok(done.bytes)
    }
}
