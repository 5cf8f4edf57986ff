//! Files by path, in the manner of `std::fs`.
//!
//! A path is resolved inside the tree: an absolute one, and an absolute symlink, begin at the
//! tree's root, and `..` stops there. Nothing of the host is ever looked at. A slash at the end means
//! a directory, as on Linux: what is there must be one, and to make, remove or rename, no symlink to one.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::live::Files;
use super::types::{Attributes, FileKind, Inode, NewFile, RenameMode, SetAttributes};
use super::view::ReadFiles;
use crate::error::{Error, ErrorKind, Result};

/// How many symlinks one path may go through, as the host has it.
const SYMLINKS_MAX: usize = 40;
/// How many bytes of a file are copied at once.
const COPY_BYTES: u64 = 1 << 30;

/// A tree, by path.
///
/// ```
/// use sapwood::files::{Files, FilesOptions, Paths};
/// use sapwood::{Store, StoreOptions};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
///
/// let files = Files::open(store.create_tree("box")?, FilesOptions::default())?;
/// let paths = Paths::new(&files);
/// paths.create_dir_all("etc/ssl")?;
/// paths.write("etc/hostname", b"sap\n")?;
/// paths.symlink("/etc/hostname", "etc/ssl/name")?;
/// assert_eq!(paths.read("etc/ssl/../ssl/name")?, b"sap\n");
/// files.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Paths<'a, F: ReadFiles + ?Sized> {
    files: &'a F,
}

/// A name in a directory, on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name.
    pub name: Vec<u8>,
    /// The file.
    pub inode: Inode,
    /// What it is.
    pub kind: FileKind,
}

/// What becomes of a symlink at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It is followed.
    Follow,
    /// It is the file, unless a slash stands behind it.
    Keep,
    /// The path is a name to be made, removed or moved, and never followed.
    Name,
}

/// Where a path leads.
struct Place {
    directory: Inode,
    /// The last name; none where the path ends in the directory itself.
    name: Option<Vec<u8>>,
    /// What is there.
    inode: Option<Inode>,
    /// A slash stands behind the last name: only a directory may be there.
    of_directory: bool,
}

impl<'a, F: ReadFiles + ?Sized> Paths<'a, F> {
    /// The paths of `files`.
    pub fn new(files: &'a F) -> Paths<'a, F> {
        Paths { files }
    }

    /// The file at a path; symlinks are followed.
    ///
    /// Errors: [`ErrorKind::NotFound`], [`ErrorKind::NotADirectory`], [`ErrorKind::SymlinkLoop`].
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<Inode> {
        let path = path.as_ref();
        self.place(path, Last::Follow)?.inode.ok_or_else(|| missing(path))
    }

    /// As [`resolve`](Self::resolve), but a symlink at the end of the path is the file itself, unless a
    /// slash stands behind it.
    pub fn resolve_link(&self, path: impl AsRef<Path>) -> Result<Inode> {
        let path = path.as_ref();
        self.place(path, Last::Keep)?.inode.ok_or_else(|| missing(path))
    }

    /// The whole content of a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        read_whole(self.files, self.resolve(path)?)
    }

    /// The attributes of the file at a path; symlinks are followed.
    pub fn metadata(&self, path: impl AsRef<Path>) -> Result<Attributes> {
        self.files.attributes(self.resolve(path)?)
    }

    /// As [`metadata`](Self::metadata), of a symlink itself.
    pub fn symlink_metadata(&self, path: impl AsRef<Path>) -> Result<Attributes> {
        self.files.attributes(self.resolve_link(path)?)
    }

    /// The target of a symlink.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        self.files.read_link(self.resolve_link(path)?)
    }

    /// Whether there is a file at a path; a symlink that leads nowhere is none.
    pub fn exists(&self, path: impl AsRef<Path>) -> Result<bool> {
        match self.resolve(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names in a directory, sorted by their bytes.
    pub fn read_dir(&self, path: impl AsRef<Path>) -> Result<Vec<DirectoryEntry>> {
        self.list(self.resolve(path)?)
    }

    /// Shows the file at a path and all below it, each directory before what is in it, names in
    /// the order of their bytes, until `each` has enough. Paths are relative to `path`; symlinks
    /// are not followed. What goes from a live tree meanwhile is left out.
    pub fn walk(
        &self,
        path: impl AsRef<Path>,
        mut each: impl FnMut(&[u8], &Attributes) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let top = self.resolve_link(path)?;
        let kind = self.files.attributes(top)?.kind;
        let mut left = vec![(Vec::new(), top, top, kind)];
        while let Some((path, above, inode, kind)) = left.pop() {
            let Some(attributes) = self.attributes_of_name(above, &path, inode)? else { continue };
            if each(&path, &attributes)?.is_break() {
                return Ok(());
            }
            // Only what its name calls one too: the names of directories are known to be a tree.
            if kind == FileKind::Directory && attributes.kind == kind {
                let entries = unless_gone(self.list(inode))?.unwrap_or_default();
                for entry in entries.into_iter().rev() {
                    let mut below = path.clone();
                    if !below.is_empty() {
                        below.push(b'/');
                    }
                    below.extend(entry.name);
                    left.push((below, inode, entry.inode, entry.kind));
                }
            }
        }
        Ok(())
    }

    /// The attributes of the file that the last name of a path led to; nothing where the name is gone.
    fn attributes_of_name(
        &self,
        directory: Inode,
        path: &[u8],
        inode: Inode,
    ) -> Result<Option<Attributes>> {
        if let Some(attributes) = unless_gone(self.files.attributes(inode))? {
            return Ok(Some(attributes));
        }
        let Some(name) = split(path).into_iter().next() else { return Ok(None) };
        match unless_gone(self.files.lookup(directory, &name))? {
            // It still leads there: what is missing did not go meanwhile.
            Some(found) if found == inode => self.files.attributes(inode).map(Some),
            _ => Ok(None),
        }
    }

    fn list(&self, directory: Inode) -> Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        self.files.entries(directory, 0, &mut |entry| {
            let (name, inode, kind) = (entry.name.to_vec(), entry.inode, entry.kind);
            entries.push(DirectoryEntry { name, inode, kind });
            ControlFlow::Continue(())
        })?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn place(&self, path: &Path, last: Last) -> Result<Place> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(missing(path));
        }
        // The names still to be gone through, the next one at the end.
        let mut names = split(bytes);
        let of_directory = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
        let of_itself =
            |directory| Place { directory, name: None, inode: Some(directory), of_directory };
        let mut symlinks = 0;
        let mut place = of_itself(Inode::ROOT);
        while let Some(name) = names.pop() {
            let directory = place.inode.ok_or_else(|| missing(path))?;
            let found = match self.files.lookup_kind(directory, &name) {
                Ok(found) => Some(found),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let own = name == b"." || name == b"..";
            let inode = found.map(|(inode, _)| inode);
            place = Place { directory, name: (!own).then_some(name), inode, of_directory };
            let Some((inode, kind)) = found else { continue };
            let follow = !names.is_empty()
                || match last {
                    Last::Follow => true,
                    Last::Keep => of_directory,
                    Last::Name => false,
                };
            if own || !follow || kind != FileKind::Symlink {
                continue;
            }
            symlinks += 1;
            if symlinks > SYMLINKS_MAX {
                let error = Error::new(ErrorKind::SymlinkLoop, "resolve a path");
                return Err(error.in_file(path));
            }
            let target = self.files.read_link(inode)?;
            let start = if target.starts_with(b"/") { Inode::ROOT } else { directory };
            place = of_itself(start);
            names.extend(split(&target));
        }
        if last != Last::Name {
            self.expect_directory(path, &place)?;
        }
        Ok(place)
    }

    /// That what is there is a directory, where a slash says so.
    fn expect_directory(&self, path: &Path, place: &Place) -> Result<()> {
        if place.of_directory
            && let Some(inode) = place.inode
            && self.files.attributes(inode)?.kind != FileKind::Directory
        {
            return Err(Error::new(ErrorKind::NotADirectory, "resolve a path").in_file(path));
        }
        Ok(())
    }
}

impl Paths<'_, Files> {
    /// Makes a file hold `content`, and nothing else: made where it is not there. A commit or a snapshot
    /// has all of it, or what was there before. On a full host content that can stand in the metadata, somewhat
    /// less than half a block, is written whole or not at all; of longer content a part may be left, or nothing.
    pub fn write(&self, path: impl AsRef<Path>, content: &[u8]) -> Result<()> {
        let path = path.as_ref();
        let place = self.place(path, Last::Follow)?;
        match place.inode {
            Some(inode) => self.files.overwrite(inode, content),
            None if place.of_directory => {
                Err(Error::new(ErrorKind::IsADirectory, "write a file").in_file(path))
            }
            None => {
                let name = new_name(path, &place)?;
                self.files.put(place.directory, name, &NewFile::regular(0o644), content)
            }
        }
    }

    /// Makes a directory.
    pub fn create_dir(&self, path: impl AsRef<Path>) -> Result<Attributes> {
        let kind = FileKind::Directory;
        let (directory, name) = self.new_place("make a directory", path.as_ref(), kind)?;
        self.files.create(directory, &name, &NewFile::directory(0o755))
    }

    /// Makes a directory and all above it that are not there.
    pub fn create_dir_all(&self, path: impl AsRef<Path>) -> Result<Inode> {
        let path = path.as_ref();
        let mut so_far = std::path::PathBuf::from("/");
        let mut inode = Inode::ROOT;
        for part in path.components() {
            so_far.push(part);
            inode = match self.resolve(&so_far) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.create_dir(&so_far)?.inode
                }
                found => found?,
            };
        }
        match self.files.attributes(inode)?.kind {
            FileKind::Directory => Ok(inode),
            _ => Err(Error::new(ErrorKind::AlreadyExists, "make a directory").in_file(path)),
        }
    }

    /// Removes a name that is not a directory's.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let (directory, name) = self.old_place(path.as_ref())?;
        self.files.unlink(directory, &name)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, path: impl AsRef<Path>) -> Result<()> {
        let (directory, name) = self.old_place(path.as_ref())?;
        self.files.remove_directory(directory, &name)
    }

    /// Removes a file, or a directory with all below it. Symlinks are removed, not followed. What
    /// others remove meanwhile is gone, too; what they make may be in the way, which is
    /// [`ErrorKind::NotEmpty`].
    pub fn remove_dir_all(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let (directory, name) = self.old_place(path)?;
        let (inode, kind) = self.files.lookup_kind(directory, &name)?;
        if kind != FileKind::Directory {
            return self.files.unlink(directory, &name);
        }
        // Each directory, with what is still to be removed in it.
        let mut open = vec![(directory, name, inode, None)];
        while let Some((above, name, inode, entries)) = open.last_mut() {
            let inode = *inode;
            let entries = match entries {
                Some(entries) => entries,
                None => entries.insert(unless_gone(self.list(inode))?.unwrap_or_default()),
            };
            match entries.pop() {
                Some(entry) if entry.kind == FileKind::Directory => {
                    open.push((inode, entry.name, entry.inode, None));
                }
                Some(entry) => drop(unless_gone(self.files.unlink(inode, &entry.name))?),
                None => {
                    unless_gone(self.files.remove_directory(*above, name))?;
                    open.pop();
                }
            }
        }
        Ok(())
    }

    /// Moves a name; what is there already is replaced.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let (from, from_name) = self.old_place(from.as_ref())?;
        let to_path = to.as_ref();
        let to = self.place(to_path, Last::Name)?;
        let to_name = new_name(to_path, &to)?;
        self.expect_directory(to_path, &to)?;
        if to.of_directory && self.files.lookup_kind(from, &from_name)?.1 != FileKind::Directory {
            return Err(Error::new(ErrorKind::NotADirectory, "rename").in_file(to_path));
        }
        self.files.rename(from, &from_name, to.directory, to_name, RenameMode::Replace)
    }

    /// Gives a file another name; symlinks are not followed.
    pub fn hard_link(&self, original: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
        let inode = self.resolve_link(original)?;
        let kind = FileKind::Regular;
        let (directory, name) = self.new_place("link a file", link.as_ref(), kind)?;
        self.files.link(inode, directory, &name)?;
        Ok(())
    }

    /// Makes a symlink; what its target means is decided when it is followed.
    pub fn symlink(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<Attributes> {
        let kind = FileKind::Symlink;
        let (directory, name) = self.new_place("make a symlink", link.as_ref(), kind)?;
        self.files.symlink(directory, &name, target.as_ref().as_os_str().as_bytes(), 0, 0)
    }

    /// Makes a file hold what another does, by sharing its blocks, with its permissions; how many
    /// bytes. A commit or a snapshot meanwhile may have a part of it.
    pub fn copy(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
        let source = self.resolve(from)?;
        let attributes = self.files.attributes(source)?;
        match attributes.kind {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Error::new(ErrorKind::IsADirectory, "copy a file")),
            _ => {
                let expected = "a file with content";
                return Err(Error::invalid("copy a file", "source", "another kind", expected));
            }
        }
        let to = to.as_ref();
        if self.place(to, Last::Follow)?.inode == Some(source) {
            return Err(Error::invalid("copy a file", "target", "the file itself", "another one"));
        }
        self.write(to, b"")?;
        let target = self.resolve(to)?;
        let mut done = 0;
        while done < attributes.size {
            let copied = self.files.copy_range(source, done, target, done, COPY_BYTES)?;
            if copied == 0 {
                break;
            }
            done += copied;
        }
        let permissions = Some(attributes.permissions);
        let set = SetAttributes { permissions, ..SetAttributes::default() };
        self.files.set_attributes(target, &set)?;
        Ok(done)
    }

    /// Changes attributes; symlinks are followed.
    pub fn set_attributes(
        &self,
        path: impl AsRef<Path>,
        set: &SetAttributes,
    ) -> Result<Attributes> {
        self.files.set_attributes(self.resolve(path)?, set)
    }

    /// Where a name that is there stands.
    fn old_place(&self, path: &Path) -> Result<(Inode, Vec<u8>)> {
        let place = self.place(path, Last::Name)?;
        self.expect_directory(path, &place)?;
        match (place.inode, place.name) {
            (None, _) => Err(missing(path)),
            (_, None) => Err(of_directory_itself(path)),
            (_, Some(name)) => Ok((place.directory, name)),
        }
    }

    /// Where a name that is not there yet is to stand, of a file of this kind.
    fn new_place(
        &self,
        operation: &'static str,
        path: &Path,
        kind: FileKind,
    ) -> Result<(Inode, Vec<u8>)> {
        let place = self.place(path, Last::Name)?;
        if place.inode.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, operation).in_file(path));
        }
        if place.of_directory && kind != FileKind::Directory {
            return Err(missing(path));
        }
        let name = new_name(path, &place)?.to_vec();
        Ok((place.directory, name))
    }
}

/// The whole content of a file.
pub(super) fn read_whole<F: ReadFiles + ?Sized>(files: &F, inode: Inode) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        // Grown as bytes arrive: what a size says is no reason to take memory (INV-05).
        let start = content.len();
        content.resize(start + (start / 2).clamp(1 << 16, 1 << 26), 0);
        let read = files.read(inode, start as u64, &mut content[start..])?;
        let full = start + read == content.len();
        content.truncate(start + read);
        if !full {
            return Ok(content);
        }
    }
}

/// Nothing of what went from a live tree since its name was seen.
fn unless_gone<T>(done: Result<T>) -> Result<Option<T>> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

/// The names of a path, the first one last.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    names.rev().map(<[u8]>::to_vec).collect()
}

fn new_name<'a>(path: &Path, place: &'a Place) -> Result<&'a [u8]> {
    place.name.as_deref().ok_or_else(|| of_directory_itself(path))
}

fn of_directory_itself(path: &Path) -> Error {
    let expected = "a name in a directory";
    Error::invalid("resolve a path", "path", "a directory's own name", expected).in_file(path)
}

fn missing(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, "resolve a path").in_file(path)
}
