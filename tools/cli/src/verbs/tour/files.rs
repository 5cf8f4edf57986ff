//! The files that the tour makes an image of.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// What a file costs in an image besides its content: an inode and a directory entry.
const FILE_OVERHEAD_BYTES: u64 = 512;
const BLOCK_BYTES: u64 = 4096;

/// Files and folders below one folder, parents first.
pub struct FileList {
    /// The folder.
    pub root: PathBuf,
    /// The paths below it.
    pub paths: Vec<PathBuf>,
    /// What they need in an image.
    pub bytes: u64,
}

/// How much is taken at most.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// What it may need in an image.
    pub bytes: u64,
    /// How many files and folders.
    pub files: usize,
}

impl FileList {
    /// All below `root`, or as much of it, in the order of names, as fits into `bound`.
    /// Only folders, regular files and symlinks; with a bound, only what can be read.
    pub fn of(root: &Path, bound: Option<Bound>) -> io::Result<FileList> {
        let mut list = FileList { root: root.to_owned(), paths: Vec::new(), bytes: 0 };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(root.join(&folder)) {
                Ok(entries) => entries,
                Err(_) if bound.is_some() => continue,
                Err(error) => return Err(error),
            };
            let mut names = entries
                .map(|entry| entry.map(|entry| entry.file_name()))
                .collect::<io::Result<Vec<_>>>()?;
            names.sort();
            for name in names {
                let path = folder.join(name);
                let facts = fs::symlink_metadata(root.join(&path))?;
                let cost = cost_of(&facts);
                let fits = bound.is_none_or(|bound| {
                    list.bytes + cost <= bound.bytes && list.paths.len() < bound.files
                });
                let is_plain = facts.is_dir() || facts.is_symlink() || facts.is_file();
                if !fits || !is_plain || bound.is_some() && !is_readable(&root.join(&path), &facts)
                {
                    continue;
                }
                list.bytes += cost;
                if facts.is_dir() {
                    folders.push(path.clone());
                }
                list.paths.push(path);
            }
        }
        Ok(list)
    }

    /// Copies the files into `target`, which is there.
    pub fn copy_to(&self, target: &Path) -> io::Result<()> {
        for path in &self.paths {
            let (from, to) = (self.root.join(path), target.join(path));
            let facts = fs::symlink_metadata(&from)?;
            if facts.is_dir() {
                fs::create_dir(&to)?;
            } else if facts.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
            } else {
                fs::copy(&from, &to)?;
            }
        }
        Ok(())
    }

    /// Writes the files as a tar stream.
    pub fn write_tar(&self, writer: &mut dyn io::Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(writer);
        tar.follow_symlinks(false);
        for path in &self.paths {
            tar.append_path_with_name(self.root.join(path), path)?;
        }
        tar.into_inner()?.flush()
    }
}

fn cost_of(facts: &Metadata) -> u64 {
    let content = if facts.is_file() { facts.len() } else { BLOCK_BYTES };
    content.next_multiple_of(BLOCK_BYTES) + FILE_OVERHEAD_BYTES
}

fn is_readable(path: &Path, facts: &Metadata) -> bool {
    !facts.is_file() || fs::File::open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/c")).unwrap();
        fs::write(root.join("a"), vec![1; 10_000]).unwrap();
        fs::write(root.join("b/c/d"), "small").unwrap();
        std::os::unix::fs::symlink("a", root.join("z")).unwrap();
        folder
    }

    #[test]
    fn a_list_holds_parents_first_and_stays_in_its_bound() {
        let folder = sample();
        let all = FileList::of(folder.path(), None).unwrap();
        let names: Vec<_> = all.paths.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "z", "b/c", "b/c/d"]);
        let bound =
            |bytes, files| FileList::of(folder.path(), Some(Bound { bytes, files })).unwrap();
        assert!(bound(10_000, 9).bytes <= 10_000);
        assert_eq!(bound(10_000, 9).paths.len(), 2);
        assert_eq!(bound(u64::MAX, 4).paths.len(), 4);
        assert!(FileList::of(&folder.path().join("missing"), None).is_err());
    }

    #[test]
    fn copies_and_tar_streams_hold_what_the_list_holds() {
        let folder = sample();
        let list = FileList::of(folder.path(), None).unwrap();
        let copy = tempfile::tempdir().unwrap();
        list.copy_to(copy.path()).unwrap();
        let again = FileList::of(copy.path(), None).unwrap();
        assert_eq!((&again.paths, again.bytes), (&list.paths, list.bytes));
        assert_eq!(fs::read(copy.path().join("z")).unwrap(), vec![1; 10_000]);

        let mut stream = Vec::new();
        list.write_tar(&mut stream).unwrap();
        let mut archive = tar::Archive::new(&stream[..]);
        let entries = archive.entries().unwrap();
        let paths: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(paths, list.paths);
    }
}
