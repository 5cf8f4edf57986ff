//! One file under inspection: positioned reads that name what they could not read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::medium::{Host, Medium, OpenMode};
use crate::memory::buffer_of;
use crate::units::PAGE_BYTES;

/// A metadata page.
pub type Page = [u8; PAGE_BYTES as usize];

/// A file opened for reading, and how long it was then.
#[derive(Clone, Debug)]
pub struct InspectedFile {
    medium: Arc<dyn Medium>,
    path: PathBuf,
    length: u64,
}

impl InspectedFile {
    /// Opens `path` of `host` for reading.
    pub fn open(host: &dyn Host, path: &Path) -> Result<InspectedFile> {
        let shown = host.display_path(path);
        let medium = host.open(path, OpenMode::Read).map_err(|error| {
            crate::medium::failed_to_open("open a file to inspect", host, path, error)
        })?;
        let facts = medium
            .facts()
            .map_err(|error| Error::io("look at a file to inspect", error).in_file(&shown))?;
        Ok(InspectedFile { medium, path: shown, length: facts.length })
    }

    /// The path as people should read it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length in bytes when the file was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset`; [`Error`] of kind corrupt where the file ends before.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.ends_before(offset, buffer.len() as u64));
        }
        match self.medium.read_at(offset, buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.ends_before(offset, buffer.len() as u64))
            }
            Err(error) => {
                Err(Error::of_reading("read", error).in_file(&self.path).at_offset(offset))
            }
        }
    }

    /// The page at byte `offset`.
    pub fn page(&self, offset: u64) -> Result<Box<Page>> {
        let mut page = Box::new([0; PAGE_BYTES as usize]);
        self.read(offset, &mut page[..])?;
        Ok(page)
    }

    /// `length` bytes from `offset`; allocated only once the file is known to hold them.
    pub fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.length) {
            return Err(self.ends_before(offset, length));
        }
        let mut bytes =
            buffer_of(length).map_err(|error| Error::io("read", error).in_file(&self.path))?;
        self.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Gives an error of a decoder its place: the structure began at byte `base`.
    pub fn located(&self, base: u64) -> impl Fn(Error) -> Error + '_ {
        move |error| error.shifted_by(base).in_file(&self.path)
    }

    fn ends_before(&self, offset: u64, length: u64) -> Error {
        let expected = format!("{length} bytes from byte {offset} on");
        Error::corrupt("read", "file length", self.length, expected)
            .in_file(&self.path)
            .at_offset(offset)
    }
}
