//! What the tour works on: a disk image, or a directory that is made into one.

use std::path::{Path, PathBuf};

use super::files::{Bound, FileList};
use super::shell::{Shell, quoted};
use crate::error::{CliError, Result};

/// Where the default input comes from, and how much of it is taken.
const DEFAULT_ROOT: &str = "/usr/share";
const DEFAULT_BOUND: Bound = Bound { bytes: 128 << 20, files: 4_000 };

/// The input, chosen but not read yet.
pub struct Input {
    kind: Kind,
    folder: PathBuf,
}

enum Kind {
    Image(PathBuf),
    Folder { files: FileList, is_whole: bool },
}

impl Input {
    /// What `path` names, or what the machine has; `folder` is where images are made.
    pub fn choose(path: Option<&Path>, folder: &Path) -> Result<Input> {
        let folder = folder.to_owned();
        let kind = match path {
            Some(path) => {
                let read = CliError::file("read", path);
                let path = path.canonicalize().map_err(CliError::file("find", path))?;
                if path.is_dir() {
                    let files = FileList::of(&path, None).map_err(read)?;
                    Kind::Folder { files, is_whole: true }
                } else {
                    Kind::Image(path)
                }
            }
            None => Kind::Folder { files: default_files()?, is_whole: false },
        };
        Ok(Input { kind, folder })
    }

    /// Its name.
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Image(path) => path.display().to_string(),
            Kind::Folder { files, .. } => files.root.display().to_string(),
        }
    }

    /// What it is, for people.
    pub fn story(&self) -> String {
        match &self.kind {
            Kind::Image(path) => format!("The base is the disk image {}.", path.display()),
            Kind::Folder { files, .. } => format!(
                "The base is made of {} files and folders of {}.",
                files.paths.len(),
                files.root.display()
            ),
        }
    }

    /// The image as a file, where there is one.
    pub fn image(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Image(path) => Some(path),
            Kind::Folder { .. } => {
                Some(Path::new(MADE_IMAGE)).filter(|image| self.folder.join(image).is_file())
            }
        }
    }

    /// The directory that a tree is made of; `folder` is where copies are made.
    pub fn tree(&self, folder: &Path) -> Result<PathBuf> {
        let files = match &self.kind {
            Kind::Folder { files, is_whole: true } => return Ok(files.root.clone()),
            Kind::Folder { files, is_whole: false } => files,
            // An image has no files to show: those of the machine do.
            Kind::Image(_) => &default_files()?,
        };
        let copy = folder.join("files");
        std::fs::create_dir(&copy)
            .and_then(|()| files.copy_to(&copy))
            .map_err(CliError::file("copy files to", &copy))?;
        Ok(PathBuf::from("files"))
    }

    /// Imports it as `base:1` and tells its size in bytes.
    pub fn import(&self, shell: &mut Shell<'_>) -> Result<u64> {
        let files = match &self.kind {
            Kind::Image(path) => {
                shell.run(&format!("sapwood import {} base:1", quoted(path)))?;
                return size_of(path);
            }
            Kind::Folder { files, .. } => files,
        };
        if shell.has("mkfs.ext4") {
            self.make_ext4(files, shell)?;
            shell.run(&format!("sapwood import {MADE_IMAGE} base:1"))?;
            return size_of(&self.folder.join(MADE_IMAGE));
        }
        shell.say("There is no mkfs.ext4 here: what goes in is a tar stream of the files.")?;
        let typed = format!("tar -c -C {} . | sapwood import - base:1", quoted(&files.root));
        let mut length = 0;
        shell.run_fed(&typed, "sapwood import - base:1", 0, |pipe| {
            let mut counted = Counted { pipe, length: &mut length };
            files.write_tar(&mut counted)
        })?;
        Ok(length)
    }

    fn make_ext4(&self, files: &FileList, shell: &mut Shell<'_>) -> Result<()> {
        let copy = self.folder.join("files");
        let root = match &self.kind {
            Kind::Folder { is_whole: true, .. } => &files.root,
            _ => {
                std::fs::create_dir(&copy)
                    .and_then(|()| files.copy_to(&copy))
                    .map_err(CliError::file("copy files to", &copy))?;
                Path::new("files")
            }
        };
        // A quarter more than the files need, for the filesystem's own tables, and some room.
        let mebibytes = (files.bytes + files.bytes / 4).div_ceil(1 << 20) + 24;
        let inodes = files.paths.len() + 1024;
        let root = quoted(root);
        shell.run(&format!(
            "mkfs.ext4 -q -F -m 0 -N {inodes} -d {root} {MADE_IMAGE} {mebibytes}M"
        ))?;
        if copy.exists() {
            std::fs::remove_dir_all(&copy).map_err(CliError::file("remove", &copy))?;
        }
        Ok(())
    }
}

fn default_files() -> Result<FileList> {
    FileList::of(Path::new(DEFAULT_ROOT), Some(DEFAULT_BOUND))
        .map_err(CliError::file("read", DEFAULT_ROOT))
}

const MADE_IMAGE: &str = "image.ext4";

fn size_of(path: &Path) -> Result<u64> {
    Ok(path.metadata().map_err(CliError::file("look at", path))?.len())
}

/// Counts what goes through.
struct Counted<'a> {
    pipe: &'a mut dyn std::io::Write,
    length: &'a mut u64,
}

impl std::io::Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.pipe.write(bytes)?;
        *self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pipe.flush()
    }
}
