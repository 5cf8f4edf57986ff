//! Opening what an image comes in: a folder, a file, a stream, compressed or not.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sapwood::{Error, Result, Store};

use super::archive::Folder;
use super::stream::Allowance;
use crate::blob::{Compression, compression_of_bytes, decompress};

const OPERATION: &str = "open an image";
/// How much is copied at once.
const COPY_BYTES: usize = 256 << 10;

/// What an image comes in.
pub enum Input {
    /// A folder or a file.
    Path(PathBuf),
    /// A stream, as standard input.
    Stream(Box<dyn Read + Send>),
}

/// What was opened.
pub enum Opened {
    Folder(Folder),
    /// A tar, not compressed, of which any part can be read.
    Tar(File, PathBuf),
}

/// Opens an input. A stream, and what is compressed, goes into a file without a name in the folder of
/// the store first, since archives say last what stands first in them.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) where that would be more than is
/// allowed; what the host says.
pub fn open(store: &Store, input: Input, bytes_max: Option<u64>) -> Result<Opened> {
    let (stream, path): (Box<dyn Read + Send>, PathBuf) = match input {
        Input::Stream(stream) => (stream, PathBuf::from("-")),
        Input::Path(path) if path.is_dir() => return Ok(Opened::Folder(Folder::open(&path)?)),
        Input::Path(path) => {
            let failed = |error| Error::io(OPERATION, error).in_file(&path);
            let file = File::open(&path).map_err(failed)?;
            let is_seekable = file.metadata().map_err(failed)?.is_file();
            let mut start = Vec::new();
            (&file).take(6).read_to_end(&mut start).map_err(failed)?;
            let about = |error: Error| error.in_file(&path);
            if is_seekable && compression_of_bytes(&start).map_err(about)? == Compression::None {
                return Ok(Opened::Tar(file, path));
            }
            (Box::new(io::Cursor::new(start).chain(file)), path)
        }
    };
    let file = spool(store, stream, &path, &Allowance::new(bytes_max))?;
    Ok(Opened::Tar(file, path))
}

fn spool(
    store: &Store,
    mut stream: Box<dyn Read + Send>,
    path: &Path,
    allowance: &Allowance,
) -> Result<File> {
    let failed = |error| Error::io("read an image archive", error).in_file(path);
    let mut start = Vec::new();
    (&mut stream).take(6).read_to_end(&mut start).map_err(failed)?;
    let compression = compression_of_bytes(&start).map_err(|error| error.in_file(path))?;
    let mut tar = decompress(compression, io::Cursor::new(start).chain(stream))?;
    let folder = store.path();
    let mut file = tempfile::tempfile_in(folder)
        .map_err(|error| Error::io("make a temporary file", error).in_file(folder))?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = match tar.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        allowance.take(read).map_err(|error| error.in_file(path))?;
        io::Write::write_all(&mut file, &buffer[..read])
            .map_err(|error| Error::io("write a temporary file", error).in_file(folder))?;
    }
}
