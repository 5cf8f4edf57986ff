//! Raw images to write: a file with holes that appears whole or not at all, or a stream.

use std::fs::{self, File, FileType, Metadata, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{CliError, Result};
use crate::unfinished::Unfinished;

/// How much is written in one call, as much as the engine writes in one, for the same reason: more at once
/// can be far slower.
const WRITE_BYTES: usize = 256 << 10;

/// Where an image goes: what is not written reads as zeros.
pub trait Target {
    /// Writes `bytes` at `offset`; offsets only grow.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Ends the image at `size` bytes; it is durable, where it can be, once this returned.
    fn finish(self: Box<Self>, size: u64) -> Result<()>;
}

/// A file, written under another name and renamed once it is whole and durable. Dropped before
/// that, it is gone.
pub struct FileTarget {
    aside: NamedTempFile,
    unfinished: Unfinished,
    path: PathBuf,
    folder: PathBuf,
    replace: bool,
}

impl FileTarget {
    /// Begins the image of `path`, replacing a regular file there only where asked to.
    /// The umask takes away from `permissions`, as from those of any file that a user makes.
    pub fn create(path: &Path, replace: bool, permissions: u32) -> Result<FileTarget> {
        let replaced = replaceable(path, replace)?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let make = || {
            tempfile::Builder::new()
                .prefix(".sapwood-")
                .permissions(Permissions::from_mode(permissions))
                .tempfile_in(&folder)
                .map_err(aside_failed(&folder))
        };
        let (aside, unfinished) = Unfinished::make(make, NamedTempFile::path)?;
        if let Some(facts) = replaced {
            let kept = take_over(aside.as_file(), &facts);
            kept.map_err(CliError::file("keep the owner and permissions of", path))?;
        }
        Ok(FileTarget { aside, unfinished, path: path.to_owned(), folder, replace })
    }
}

/// The regular file that is to be replaced where there is one; anything else there is an error.
pub fn replaceable(path: &Path, replace: bool) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(facts) if !facts.is_file() => Err(not_regular(path, facts.file_type())),
        Ok(_) if !replace => Err(CliError::FileExists(path.to_owned())),
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::file("look for", path)(error)),
    }
}

/// Gives a new file the owner and the permissions of the one that it replaces, as if that had been
/// written to. The owner first: a change of that takes permissions away.
fn take_over(file: &File, replaced: &Metadata) -> io::Result<()> {
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (replaced.uid(), replaced.gid()) {
        fchown(file, Some(replaced.uid()), Some(replaced.gid()))?;
    }
    file.set_permissions(replaced.permissions())
}

/// That something of another kind is where a file was to be made.
fn not_regular(path: &Path, kind: FileType) -> CliError {
    let path = path.display();
    CliError::usage(match kind {
        kind if kind.is_dir() => format!("{path} is a directory"),
        kind if kind.is_symlink() => format!("{path} is a symlink: name what it leads to"),
        _ => format!("{path} is not a regular file: write to `-` and direct that there"),
    })
}

/// What kept a file or folder from being made aside: its name is nobody's concern.
pub fn aside_failed(folder: &Path) -> impl Fn(io::Error) -> CliError {
    let folder = folder.to_owned();
    move |error| {
        let source = fs::metadata(&folder).err().unwrap_or_else(|| error.kind().into());
        CliError::file("write into", &folder)(source)
    }
}

impl Target for FileTarget {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        write_pieces(self.aside.as_file(), offset, bytes)
            .map_err(CliError::file("write", &self.path))
    }

    fn finish(self: Box<Self>, size: u64) -> Result<()> {
        let FileTarget { aside, unfinished, path, folder, replace } = *self;
        let file = aside.as_file();
        file.set_len(size)
            .and_then(|()| file.sync_all())
            .map_err(CliError::file("make durable", &path))?;
        let renamed = if replace { aside.persist(&path) } else { aside.persist_noclobber(&path) };
        renamed.map_err(|failed| match failed.error.kind() {
            io::ErrorKind::AlreadyExists => CliError::FileExists(path.clone()),
            _ => CliError::file("rename", &path)(failed.error),
        })?;
        drop(unfinished);
        let synced = File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(CliError::file("make the name durable in", &folder))
    }
}

/// Writes `bytes` at `offset`, a call for each piece.
pub(super) fn write_pieces(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut pieces = bytes.chunks(WRITE_BYTES).enumerate();
    pieces.try_for_each(|(index, piece)| {
        file.write_all_at(piece, offset + (index * WRITE_BYTES) as u64)
    })
}

/// Standard output: holes are written as zeros.
pub struct StreamTarget {
    /// Standard output without the buffer that cuts at line ends.
    output: File,
    written: u64,
}

impl StreamTarget {
    /// A stream whose first byte stands at `start`.
    pub fn starting_at(start: u64) -> Result<StreamTarget> {
        let output = io::stdout().as_fd().try_clone_to_owned();
        let output = output.map_err(CliError::file("open", "standard output"))?;
        Ok(StreamTarget { output: output.into(), written: start })
    }

    fn zeros_until(&mut self, offset: u64) -> Result<()> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while self.written < offset {
            let length = (offset - self.written).min(ZEROS.len() as u64) as usize;
            self.put(&ZEROS[..length])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(CliError::file("write", "standard output"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Target for StreamTarget {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.zeros_until(offset)?;
        self.put(bytes)
    }

    fn finish(mut self: Box<Self>, size: u64) -> Result<()> {
        self.zeros_until(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let names = || std::fs::read_dir(folder.path()).unwrap().count();

        let mut dropped = FileTarget::create(&path, false, 0o666).unwrap();
        dropped.write(0, b"half").unwrap();
        assert_eq!(names(), 1);
        drop(dropped);
        assert_eq!(names(), 0);

        let mut target = FileTarget::create(&path, false, 0o666).unwrap();
        target.write(4096, b"data").unwrap();
        assert!(!path.exists());
        Box::new(target).finish(1 << 30).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 1 << 30);
        assert_eq!(names(), 1);
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 <= 64 << 10);

        let refused = FileTarget::create(&path, false, 0o666).err().unwrap();
        assert_eq!(refused.exit() as u8, 9);
        Box::new(FileTarget::create(&path, true, 0o666).unwrap()).finish(3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [0; 3]);
    }

    /// An image that only its owner could read was open to all once it was exported again.
    #[test]
    fn what_is_replaced_gives_its_permissions_and_owner_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        for mode in [0o600, 0o666, 0o4750] {
            std::fs::write(&path, "old").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let root = rustix::process::geteuid().is_root();
            if root {
                std::os::unix::fs::chown(&path, Some(1234), Some(2345)).unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            }
            let before = std::fs::metadata(&path).unwrap();
            Box::new(FileTarget::create(&path, true, 0o666).unwrap()).finish(3).unwrap();
            let after = std::fs::metadata(&path).unwrap();
            assert_eq!(after.permissions().mode() & 0o7777, mode);
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
            assert_ne!(after.ino(), before.ino());
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for (path, told) in [(link.as_path(), "symlink"), (folder.path(), "directory")] {
            for replace in [true, false] {
                let refused = FileTarget::create(path, replace, 0o666).err().unwrap();
                assert_eq!(refused.exit() as u8, 2);
                assert!(refused.to_string().contains(told), "{refused}");
            }
        }
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let target = FileTarget::create(&path, false, 0o666).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let refused = Box::new(target).finish(0).unwrap_err();
        assert_eq!(refused.exit() as u8, 9);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert!(FileTarget::create(folder.path(), true, 0o666).is_err());
    }
}
