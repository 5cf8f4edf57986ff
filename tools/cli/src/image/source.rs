//! Raw images to read: a file with its holes, or a stream.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, FileType as RustixFileType, SeekFrom as SeekTo, fadvise, fstat, seek};
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
            let read = |offset, buffer: &mut [u8]| match self.file.read_exact_at(buffer, offset) {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.expect_whole()?;
                    Err(CliError::file("read", &self.path)(error))
                }
            };
            if filler.range(start, end, read)? == Flow::Stopped {
                return Ok(());
            }
            at = end;
        }
        self.expect_whole()
    }

    /// That the file was not cut while it was read: what is gone would be taken for a hole.
    fn expect_whole(&self) -> Result<()> {
        let length = (&self.file).seek(SeekFrom::End(0));
        match length.map_err(CliError::file("find the end of", &self.path))? {
            length if length < self.size => {
                let cut = format!("it was cut from {} to {length} bytes meanwhile", self.size);
                Err(CliError::file("read", &self.path)(io::Error::other(cut)))
            }
            _ => Ok(()),
        }
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

/// What is read up to its end, without a size: standard input, or a pipe with a name.
pub struct StreamSource {
    input: Box<dyn Read + Send>,
    name: PathBuf,
}

impl StreamSource {
    /// Standard input.
    pub fn stdin() -> StreamSource {
        StreamSource { input: Box::new(io::stdin()), name: "standard input".into() }
    }

    /// Standard input, where a file or a pipe is directed there. A terminal and `/dev/zero` are no
    /// image, and neither is `/dev/null`, which stands there as well where it was closed.
    pub fn stdin_of_image() -> Result<StreamSource> {
        let facts = fstat(io::stdin()).map_err(io::Error::from);
        let facts = facts.map_err(CliError::file("look at", "standard input"))?;
        match RustixFileType::from_raw_mode(facts.st_mode) {
            RustixFileType::CharacterDevice => Err(CliError::usage(
                "standard input is closed, or a character device: an image comes from a file or a pipe",
            )),
            _ => Ok(StreamSource::stdin()),
        }
    }

    /// A pipe with a name, as shells have `/dev/fd/63`; none where the path leads to anything else.
    ///
    /// Errors: of a character device, which has no end.
    pub fn open_pipe(path: &Path) -> Result<Option<StreamSource>> {
        let facts = path.metadata().map_err(CliError::file("open", path))?;
        let kind = facts.file_type();
        if kind.is_char_device() {
            let path = path.display();
            return Err(CliError::usage(format!("{path} is a character device, not an image")));
        }
        if !kind.is_fifo() {
            return Ok(None);
        }
        let file = File::open(path).map_err(CliError::file("open", path))?;
        Ok(Some(StreamSource { input: Box::new(file), name: path.to_owned() }))
    }

    /// Hands on all bytes up to the end, as what begins at `offset`.
    pub fn fill(&mut self, filler: &Filler, offset: u64) -> Result<()> {
        let mut at = offset;
        loop {
            let (length, flow) = filler.chunk(at, |buffer| {
                // Chunks end at multiples of their size, so that blocks are written whole.
                let room = CHUNK_BYTES - (at % CHUNK_BYTES as u64) as usize;
                let filled = fill_from(&mut self.input, &mut buffer[..room]);
                filled.map_err(CliError::file("read", &self.name))
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

    /// What was cut in data and what was cut in a hole, before it was read.
    #[test]
    fn a_file_that_is_cut_meanwhile_is_an_error_and_no_hole() {
        for data in [0, 8 << 20] {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().write_all_at(&vec![1; data], 0).unwrap();
            file.as_file().set_len(8 << 20).unwrap();
            let source = RawSource::open(file.path()).unwrap();
            file.as_file().set_len(5 << 20).unwrap();
            let cut = pump(|filler| source.fill(filler), |_, _| Ok(())).unwrap_err();
            assert!(cut.to_string().contains("cut from 8388608 to 5242880 bytes"), "{cut}");
        }
    }

    #[test]
    fn a_directory_is_no_image() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(RawSource::open(folder.path()), Err(CliError::Usage(_))));
        let missing = RawSource::open(&folder.path().join("x"));
        assert_eq!(missing.err().unwrap().exit() as u8, 8);
    }
}
