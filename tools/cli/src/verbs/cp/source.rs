//! What is copied: a file of the host, of a tree, or standard input.

use std::path::Path;

use sapwood::files::{FileKind, Files, FilesView, Inode, Paths, ReadFiles, Seek};
use sapwood::store::Store;

use crate::error::{CliError, Result};
use crate::image::{Filler, RawSource, StreamSource};
use crate::tree::{TreePath, Word, is_live, open_view};

/// A file to copy.
pub enum Source {
    /// Of the host.
    Host(RawSource),
    /// Of a tree.
    Tree(Box<TreeFile>),
    /// Standard input.
    Stream,
}

/// A file of a tree.
pub struct TreeFile {
    view: FilesView,
    /// Whether its blocks stay: it is in a snapshot.
    is_frozen: bool,
    place: TreePath,
    inode: Inode,
    size: u64,
    permissions: u16,
}

impl Source {
    /// Opens a file; symlinks are followed, directories refused.
    pub fn open(store: &Store, word: &Word) -> Result<Source> {
        match word {
            Word::Other(path) if path == "-" => Ok(Source::Stream),
            Word::Other(path) => {
                let path = Path::new(path);
                if path.is_dir() {
                    return Err(is_directory(path.display()));
                }
                Ok(Source::Host(RawSource::open(path)?))
            }
            Word::Tree(place) => Ok(Source::Tree(Box::new(TreeFile::open(store, place)?))),
        }
    }

    /// The size in bytes, where it is known before the end.
    pub fn size(&self) -> Option<u64> {
        match self {
            Source::Host(file) => Some(file.size()),
            Source::Tree(file) => Some(file.size),
            Source::Stream => None,
        }
    }

    /// Who may do what with a new copy; nothing special is copied along.
    pub fn permissions(&self) -> u16 {
        match self {
            Source::Host(file) => file.permissions() & 0o777,
            Source::Tree(file) => file.permissions & 0o777,
            Source::Stream => 0o644,
        }
    }

    /// Hands on all data; what is left out are holes.
    pub fn fill(&self, filler: &Filler) -> Result<()> {
        match self {
            Source::Host(file) => file.fill(filler),
            Source::Tree(file) => file.fill(filler),
            Source::Stream => StreamSource::stdin().fill(filler, 0),
        }
    }
}

impl TreeFile {
    fn open(store: &Store, place: &TreePath) -> Result<TreeFile> {
        let view = open_view(store, &place.reference)?;
        let attributes = place.named(Paths::new(&view).metadata(&place.path))?;
        if attributes.kind == FileKind::Directory {
            return Err(is_directory(place));
        }
        let (inode, size, permissions) =
            (attributes.inode, attributes.size, attributes.permissions);
        let is_frozen = !is_live(store, &place.reference)?;
        Ok(TreeFile { view, is_frozen, place: place.clone(), inode, size, permissions })
    }

    /// Makes a file of another tree of the store hold what this does, by sharing its blocks; not
    /// done where they may go.
    pub fn share_with(&self, files: &Files, inode: Inode) -> Result<bool> {
        if self.is_frozen {
            self.place.named(files.share_content(&self.view, self.inode, inode))?;
        }
        Ok(self.is_frozen)
    }

    fn fill(&self, filler: &Filler) -> Result<()> {
        let seek = |at, what| self.place.named(self.view.seek(self.inode, at, what));
        let mut at = 0;
        while let Some(start) = seek(at, Seek::Data)? {
            let end = seek(start, Seek::Hole)?.unwrap_or(self.size);
            let read = |offset, buffer: &mut [u8]| {
                self.place.named(self.view.read(self.inode, offset, buffer)).map(|_| ())
            };
            if filler.range(start, end, read)?.is_stopped() {
                break;
            }
            at = end;
        }
        Ok(())
    }
}

/// That directories are not copied as files are.
pub fn is_directory(what: impl std::fmt::Display) -> CliError {
    CliError::usage(format!("{what} is a directory: -r copies it, with all below it"))
}
