//! Where it is copied to: into a tree, or to the host.

use std::path::{Path, PathBuf};

use sapwood::ErrorKind;
use sapwood::files::{FileKind, Files, Paths, SetAttributes};

use super::name_of;
use super::source::{Source, is_directory};
use crate::error::{CliError, Result};
use crate::image::{FileTarget, Target, pump};
use crate::tree::{TreePath, Word};

/// Where a source goes: under its own name where `target` is a directory.
pub fn place_in_tree(
    files: &Files,
    target: &TreePath,
    source: &Word,
    sources: usize,
) -> Result<TreePath> {
    let kind = match Paths::new(files).metadata(&target.path) {
        Ok(attributes) => Some(attributes.kind),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return target.named(Err(error)),
    };
    if kind == Some(FileKind::Directory) {
        return Ok(target.join(&name_of(source)?));
    }
    if sources > 1 || target.path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return target.named(Err(sapwood::Error::new(ErrorKind::NotADirectory, "copy files")));
    }
    Ok(target.clone())
}

/// As [`place_in_tree`], on the host.
pub fn path_on_host(target: &Path, source: &Word, sources: usize) -> Result<PathBuf> {
    if target.is_dir() {
        return Ok(target.join(name_of(source)?));
    }
    if sources > 1 || target.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(CliError::usage(format!("{} is no directory", target.display())));
    }
    Ok(target.to_owned())
}

/// Makes a file of the tree hold what the source does, by sharing blocks where they are those of a
/// snapshot; its size. What is there is written over, and keeps its attributes.
pub fn write(files: &Files, source: &Source, place: &TreePath) -> Result<u64> {
    let paths = Paths::new(files);
    let is_there = place.named(paths.exists(&place.path))?;
    place.named(paths.write(&place.path, b""))?;
    let inode = place.named(paths.resolve(&place.path))?;
    let mut size = 0;
    let is_shared = match source {
        Source::Tree(file) => file.share_with(files, inode)?,
        Source::Host(_) | Source::Stream => false,
    };
    if !is_shared {
        pump(
            |filler| source.fill(filler),
            |offset, bytes| {
                size = offset + bytes.len() as u64;
                place.named(files.write(inode, offset, bytes))
            },
        )?;
    }
    let size = source.size().unwrap_or(size);
    // A hole at the end is not handed on.
    let mut set = SetAttributes { size: Some(size), ..SetAttributes::default() };
    if !is_there {
        set.permissions = Some(source.permissions());
    }
    place.named(files.set_attributes(inode, &set))?;
    Ok(size)
}

/// As [`write`], of a file of the same tree: the two share their blocks.
pub fn share(files: &Files, source: &TreePath, place: &TreePath) -> Result<u64> {
    let paths = Paths::new(files);
    if source.named(paths.metadata(&source.path))?.kind == FileKind::Directory {
        return Err(is_directory(source));
    }
    place.named(paths.copy(&source.path, &place.path))
}

/// Makes a file of the host hold what the source does; its size. It appears whole or not at all;
/// a file that is there is replaced.
pub fn write_to_host(source: &Source, path: &Path) -> Result<u64> {
    let mut target = FileTarget::create(path, true, source.permissions().into())?;
    pump(|filler| source.fill(filler), |offset, bytes| target.write(offset, bytes))?;
    let size = source.size().unwrap_or_default();
    Box::new(target).finish(size)?;
    Ok(size)
}
