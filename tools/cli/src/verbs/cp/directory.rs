//! Directories with all below them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use sapwood::files::{FileKind, Files, FilesView, Inode, Paths};
use sapwood::store::Store;
use sapwood_archive::{export_directory, export_tar, import_directory, import_tar};

use crate::args::TreeOptions;
use crate::error::{CliError, Result};
use crate::tree::{TreePath, Word, open_view};

/// How much is under way from one tree to the other.
const STREAM_BUFFER_BYTES: usize = 1 << 20;

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
            Directory::Tree(directory) => directory.put_into_tree(files, into, options),
        }
    }
}

impl TreeDirectory {
    /// The directory at a place; none where there is another kind of file.
    pub fn find(store: &Store, place: &TreePath) -> Result<Option<TreeDirectory>> {
        let view = open_view(store, &place.reference)?;
        let attributes = place.named(Paths::new(&view).metadata(&place.path))?;
        let is_directory = attributes.kind == FileKind::Directory;
        Ok(is_directory.then_some(TreeDirectory { view, inode: attributes.inode }))
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

    /// Copies it into another tree, or another place of its own as it was at its last commit: as
    /// a stream, which takes all along that a tree can hold but sockets.
    fn put_into_tree(&self, files: &Files, into: Inode, options: TreeOptions) -> Result<u64> {
        let (reader, writer) = io::pipe().map_err(CliError::file("open", "a pipe"))?;
        std::thread::scope(|scope| {
            let exporting = scope.spawn(move || -> Result<()> {
                let output = BufWriter::with_capacity(STREAM_BUFFER_BYTES, writer);
                let options = options.export_options();
                let (_, mut output) =
                    export_tar(&self.view, self.inode, output, &options, &mut |_| {})?;
                output.flush().map_err(CliError::file("write", "a pipe"))
            });
            let mut input = BufReader::with_capacity(STREAM_BUFFER_BYTES, reader);
            let options = options.import_options();
            let imported = import_tar(files, into, &mut input, &options, &mut |_| {});
            if imported.is_ok() {
                // Behind the end of an archive may stand zeros that nobody reads.
                io::copy(&mut input, &mut io::sink()).map_err(CliError::file("read", "a pipe"))?;
            }
            // A writer whose reader has gone finds out and stops.
            drop(input);
            let exported =
                exporting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (imported, exported) {
                (Ok(imported), Ok(())) => Ok(imported.bytes),
                // The other side stopped because this one did.
                (Err(error), Ok(())) => Err(error.into()),
                (Err(error), Err(exported)) if is_broken_pipe(&exported) => Err(error.into()),
                (_, Err(exported)) => Err(exported),
            }
        })
    }
}

fn is_broken_pipe(error: &CliError) -> bool {
    let source = match error {
        CliError::Engine(error) => error.io_source(),
        CliError::File { source, .. } => Some(source),
        _ => None,
    };
    source.is_some_and(|source| source.kind() == io::ErrorKind::BrokenPipe)
}
