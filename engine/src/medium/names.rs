//! A tree of names in memory: what a directory of a host is to its files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The path, where it is relative and in normal form; [`io::ErrorKind::InvalidInput`]
/// where it could lead out of the root. The empty path is the root.
pub(crate) fn inside_root(path: &Path) -> io::Result<&Path> {
    match path.components().all(|part| matches!(part, Component::Normal(_))) {
        true => Ok(path),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} does not stay inside the directory", path.display()),
        )),
    }
}

/// Folders, and files of type `T` under their names.
#[derive(Clone, Debug)]
pub(crate) struct NameTree<T> {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, T>,
}

impl<T> Default for NameTree<T> {
    fn default() -> NameTree<T> {
        NameTree { folders: BTreeSet::from([PathBuf::new()]), files: BTreeMap::new() }
    }
}

impl<T> NameTree<T> {
    /// The file of a name.
    pub(crate) fn file(&self, path: &Path) -> io::Result<&T> {
        let missing = || match self.folders.contains(path) {
            true => io::ErrorKind::IsADirectory.into(),
            false => io::ErrorKind::NotFound.into(),
        };
        self.files.get(inside_root(path)?).ok_or_else(missing)
    }

    /// Gives a file a name that nobody has, in a folder that is there.
    pub(crate) fn create(&mut self, path: &Path, file: T) -> io::Result<()> {
        self.expect_free(path)?;
        self.files.insert(path.to_owned(), file);
        Ok(())
    }

    /// Makes a folder in a folder that is there.
    pub(crate) fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        self.expect_free(path)?;
        self.folders.insert(path.to_owned());
        Ok(())
    }

    /// Moves a file to another name; gives the file that had it before.
    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<T>> {
        inside_root(to)?;
        self.file(from)?;
        self.expect_folder_of(to)?;
        if self.folders.contains(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from == to {
            return Ok(None);
        }
        let file = self.remove(from)?;
        Ok(self.files.insert(to.to_owned(), file))
    }

    /// Moves a file to a name that nobody has.
    pub(crate) fn rename_new(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        inside_root(to)?;
        self.file(from)?;
        self.expect_free(to)?;
        self.rename(from, to)?;
        Ok(())
    }

    /// Gives a file one more name, which nobody has; gives the file.
    pub(crate) fn link(&mut self, file: &Path, name: &Path) -> io::Result<T>
    where
        T: Clone,
    {
        inside_root(name)?;
        let linked = self.file(file)?.clone();
        self.create(name, linked.clone())?;
        Ok(linked)
    }

    /// Removes the name of a file; gives the file.
    pub(crate) fn remove(&mut self, path: &Path) -> io::Result<T> {
        self.file(path)?;
        self.files.remove(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The names in a folder.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.expect_folder(path)?;
        let folders = self.folders.iter().filter(|folder| !folder.as_os_str().is_empty());
        let inside = folders.chain(self.files.keys()).filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| name.file_name().map(OsString::from)).collect())
    }

    /// That a folder is there.
    pub(crate) fn expect_folder(&self, path: &Path) -> io::Result<()> {
        match (self.folders.contains(inside_root(path)?), self.files.contains_key(path)) {
            (true, _) => Ok(()),
            (false, true) => Err(io::ErrorKind::NotADirectory.into()),
            (false, false) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// All files under their names, in order.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn files(&self) -> impl Iterator<Item = (&Path, &T)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// All folders, in order, the root first.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(PathBuf::as_path)
    }

    /// Gives a file a name, taking it from whoever has it, without asking for the folder.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn put(&mut self, path: &Path, file: T) {
        self.files.insert(path.to_owned(), file);
    }

    /// Makes a folder without asking for the one above it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn put_folder(&mut self, path: &Path) {
        self.folders.insert(path.to_owned());
    }

    /// Takes a name away, where it is there.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn take(&mut self, path: &Path) {
        self.files.remove(path);
    }

    /// Drops what lies in folders that are not there.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn drop_orphans(&mut self) {
        // In order of paths a folder comes before what lies in it.
        let mut kept: BTreeSet<PathBuf> = BTreeSet::new();
        for folder in std::mem::take(&mut self.folders) {
            if folder.parent().is_none_or(|above| kept.contains(above)) {
                kept.insert(folder);
            }
        }
        self.folders = kept;
        let folders = &self.folders;
        self.files.retain(|path, _| path.parent().is_some_and(|folder| folders.contains(folder)));
    }

    fn expect_folder_of(&self, path: &Path) -> io::Result<()> {
        match inside_root(path)?.parent() {
            Some(folder) => self.expect_folder(folder),
            None => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn expect_free(&self, path: &Path) -> io::Result<()> {
        self.expect_folder_of(path)?;
        match self.files.contains_key(path) || self.folders.contains(path) {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => Ok(()),
        }
    }
}
