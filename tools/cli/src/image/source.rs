//! Raw images to read: a file with its holes, or a stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, SeekFrom as SeekTo, fadvise, seek};
use rustix::io::Errno;

use super::pump::{CHUNK_BYTES, Filler, Flow};
use crate::error::{CliError, Result};

/// Ranges of data are widened to this, the largest block, so that no block is written in parts.
const GRAIN_BYTES: u64 = 64 << 10;

/// A file or a block device.
pub struct RawSource {
    file: File,
    path: PathBuf,
    size: u64,
    permissions: u16,
}

impl RawSource {
    /// Opens an image; it is raw, whatever its bytes look like.
    pub fn open(path: &Path) -> Result<RawSource> {
        let mut file = File::open(path).map_err(CliError::file("open", path))?;
        let facts = file.metadata().map_err(CliError::file("look at", path))?;
        if facts.is_dir() {
            return Err(CliError::usage(format!(
                "{} is a directory, not an image",
                path.display()
            )));
        }
        // The end is where a block device says how large it is, too.
        let size = file
            .seek(SeekFrom::End(0))
            .map_err(CliError::file("find the end (`-` reads a stream)", path))?;
        // Advice only: what it asks for is never owed.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let permissions = (facts.mode() & 0o7777) as u16;
        Ok(RawSource { file, path: path.to_owned(), size, permissions })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Permission, set-id and sticky bits.
    pub fn permissions(&self) -> u16 {
        self.permissions
    }

    /// Hands on all data; what is left out are holes.
    pub fn fill(&self, filler: &Filler) -> Result<()> {
        let mut at = 0;
        while let Some((start, end)) = self.next_data(at)? {
            let read = |offset, buffer: &mut [u8]| {
                let read = self.file.read_exact_at(buffer, offset);
                read.map_err(CliError::file("read", &self.path))
            };
            if filler.range(start, end, read)? == Flow::Stopped {
                return Ok(());
            }
            at = end;
        }
        Ok(())
    }

    /// The next range that may hold data, widened to [`GRAIN_BYTES`]; none where only a hole follows.
    fn next_data(&self, at: u64) -> Result<Option<(u64, u64)>> {
        if at >= self.size {
            return Ok(None);
        }
        let failed = |error: Errno| CliError::file("look for holes in", &self.path)(error.into());
        let start = match seek(&self.file, SeekTo::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            // A device, or a filesystem that knows no holes: all may be data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, self.size))),
            Err(error) => return Err(failed(error)),
        };
        let end = seek(&self.file, SeekTo::Hole(start)).map_err(failed)?;
        let start = (start / GRAIN_BYTES * GRAIN_BYTES).max(at);
        // Past the size lies what was added while we read: not part of what was asked for.
        let end = end.next_multiple_of(GRAIN_BYTES).min(self.size);
        Ok((start < end).then_some((start, end)))
    }
}

/// Standard input.
pub struct StreamSource;

impl StreamSource {
    /// Hands on all bytes up to the end, as what begins at `offset`.
    pub fn fill(filler: &Filler, offset: u64) -> Result<()> {
        let mut input = io::stdin().lock();
        let mut at = offset;
        loop {
            let (length, flow) = filler.chunk(at, |buffer| {
                // Chunks end at multiples of their size, so that blocks are written whole.
                let room = CHUNK_BYTES - (at % CHUNK_BYTES as u64) as usize;
                fill_from(&mut input, &mut buffer[..room])
                    .map_err(CliError::file("read", "standard input"))
            })?;
            if length == 0 || flow == Flow::Stopped {
                return Ok(());
            }
            at = at.saturating_add(length as u64);
        }
    }
}

/// Reads until the buffer is full or the input ends.
fn fill_from(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::pump::pump;
    use super::*;

    #[test]
    fn holes_are_left_out_and_data_arrives() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let size = (64_u64 << 20) + 123;
        file.as_file().set_len(size).unwrap();
        file.as_file().write_all_at(b"begin", 5).unwrap();
        file.as_file().write_all_at(b"middle", 33 << 20).unwrap();
        file.as_file().write_all_at(b"end", size - 3).unwrap();
        let source = RawSource::open(file.path()).unwrap();
        assert_eq!(source.size(), size);
        let mut image = vec![0; size as usize];
        let mut read = 0;
        pump(
            |filler| source.fill(filler),
            |offset, bytes| {
                image[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                read += bytes.len();
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(image, std::fs::read(file.path()).unwrap());
        assert!(read <= 1 << 20, "holes were read: {read} bytes");
    }

    #[test]
    fn a_directory_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(RawSource::open(folder.path()), Err(CliError::Usage(_))));
        let missing = RawSource::open(&folder.path().join("x"));
        assert_eq!(missing.err().unwrap().exit() as u8, 8);
    }
}
