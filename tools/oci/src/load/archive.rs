//! Places with files in them: a folder of the host, a tar.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::tar::{MemberKind, TarReader};

/// More members than an archive of images has.
const MEMBERS_MAX: usize = 100_000;

/// A file that is open, and its size in bytes.
pub type OpenedFile<'a> = (Box<dyn Read + Send + 'a>, u64);

/// A place with files in it.
pub trait Archive: Sync {
    /// The file with this name; none where there is none.
    fn open(&self, name: &str) -> Result<Option<OpenedFile<'_>>>;

    /// Where it is, for people.
    fn path(&self) -> &Path;
}

/// Reads a file whole, which is expected to be small.
///
/// Errors: [`NotFound`](ErrorKind::NotFound) where there is none;
/// [`InvalidInput`](ErrorKind::InvalidInput) for a larger one.
pub fn read_file(archive: &dyn Archive, name: &str, bytes_max: u64) -> Result<Vec<u8>> {
    let operation = "read an image archive";
    let about = |error: Error| error.in_file(archive.path().join(name));
    let Some((mut file, bytes)) = archive.open(name)? else {
        return Err(missing(archive, name));
    };
    if bytes > bytes_max {
        let expected = format!("at most {bytes_max} bytes");
        return Err(about(Error::invalid(operation, "size", format!("{bytes} bytes"), expected)));
    }
    let mut content = Vec::with_capacity(bytes as usize);
    (&mut file)
        .take(bytes_max)
        .read_to_end(&mut content)
        .map_err(|error| about(Error::io(operation, error)))?;
    Ok(content)
}

/// That a file is not there.
pub fn missing(archive: &dyn Archive, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "read an image archive").in_file(archive.path().join(name))
}

/// A folder of the host. Files outside of it are not reached, nor what a symlink leads to.
pub struct Folder {
    fd: rustix::fd::OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder.
    pub fn open(path: &Path) -> Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::io("open an image", errno.into()).in_file(path))?;
        Ok(Folder { fd, path: path.to_owned() })
    }
}

impl Archive for Folder {
    fn open(&self, name: &str) -> Result<Option<OpenedFile<'_>>> {
        let operation = "open a file of an image";
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = match rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::XDEV) => {
                let expected = "a file of the folder";
                return Err(Error::invalid(operation, "file", "a symlink", expected).in_file(path));
            }
            Err(errno) => return Err(Error::io(operation, errno.into()).in_file(path)),
        };
        let stat = rustix::fs::fstat(&fd)
            .map_err(|errno| Error::io(operation, errno.into()).in_file(&path))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            let found = "not a regular file";
            return Err(Error::invalid(operation, "file", found, "a regular one").in_file(path));
        }
        let bytes = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(Some((Box::new(File::from(fd)), bytes)))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// A tar, of which every file can be read by itself.
pub struct TarFile {
    file: File,
    path: PathBuf,
    members: HashMap<Vec<u8>, Place>,
}

/// Where a member's content is.
enum Place {
    /// These bytes of the tar.
    Bytes { offset: u64, bytes: u64 },
    /// Where another member's is.
    Link(Vec<u8>),
}

impl TarFile {
    /// Reads what is in a tar, and where.
    ///
    /// Errors: those of [`TarReader::next_member`]; [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// file twice.
    pub fn open(file: File, path: &Path) -> Result<TarFile> {
        let operation = "read an image archive";
        let bytes = file.metadata().map_err(|error| Error::io(operation, error).in_file(path))?;
        let input = Range { file: &file, at: 0, end: bytes.len() };
        let mut reader = TarReader::new(input);
        let mut members = HashMap::new();
        while let Some(member) = reader.next_member().map_err(|error| error.in_file(path))? {
            let name = without_dots(&member.name);
            let place = match member.kind {
                MemberKind::File if reader.is_content_apart() => {
                    Place::Bytes { offset: reader.position(), bytes: member.size }
                }
                MemberKind::HardLink(target) => Place::Link(without_dots(&target)),
                // As `docker save` wrote layers that two images share.
                MemberKind::Symlink(target) => Place::Link(beside(&name, &target)),
                _ => continue,
            };
            if members.len() == MEMBERS_MAX {
                let expected = format!("at most {MEMBERS_MAX}, as an archive of images has");
                return Err(Error::invalid(operation, "members", "more", expected).in_file(path));
            }
            let shown = sapwood_archive::tar::as_path(&name).display().to_string();
            if members.insert(name, place).is_some() {
                let error = Error::invalid(operation, "member", format!("{shown:?} twice"), "once");
                return Err(error.in_file(path));
            }
        }
        Ok(TarFile { file, path: path.to_owned(), members })
    }
}

impl Archive for TarFile {
    fn open(&self, name: &str) -> Result<Option<OpenedFile<'_>>> {
        let place = match self.members.get(&without_dots(name.as_bytes())) {
            // One step: what leads on is nothing that any tool writes.
            Some(Place::Link(target)) => self.members.get(target),
            place => place,
        };
        match place {
            Some(Place::Bytes { offset, bytes }) => {
                let range = Range { file: &self.file, at: *offset, end: offset + bytes };
                Ok(Some((Box::new(range), *bytes)))
            }
            _ => Ok(None),
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes of a file, read from the front to the back.
pub struct Range<'a> {
    pub file: &'a File,
    pub at: u64,
    pub end: u64,
}

impl Read for Range<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.end - self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A name as it is asked for: without dots and slashes that say nothing.
fn without_dots(name: &[u8]) -> Vec<u8> {
    let parts = name.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    parts.collect::<Vec<_>>().join(&b'/')
}

/// Where a symlink leads, within the archive; above its root stays there.
fn beside(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut way: Vec<&[u8]> = link.split(|&byte| byte == b'/').collect();
    way.pop();
    if target.starts_with(b"/") {
        way.clear();
    }
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(way.pop()),
            part => way.push(part),
        }
    }
    way.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_asked_for() {
        assert_eq!(without_dots(b"./a//b/./c/"), b"a/b/c");
        assert_eq!(beside(b"one/layer.tar", b"../two/layer.tar"), b"two/layer.tar");
        assert_eq!(beside(b"a", b"../../b"), b"b");
        assert_eq!(beside(b"a/b/c", b"/d"), b"d");
    }
}
