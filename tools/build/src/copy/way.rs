//! The way to a directory of a tree, made where it is missing.

use sapwood::files::{FileKind, Files, Inode, NewFile, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

use super::owner::Owner;
use crate::origin::names;

/// How many symlinks one path may go through, as the host has it.
const SYMLINKS_MAX: u32 = 40;

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory that the last name is in; at the root that itself.
    pub directory: Inode,
    /// The last name; empty at the root.
    pub name: Vec<u8>,
    /// What is there, unless nothing is.
    pub inode: Option<Inode>,
}

/// The directory at a path, made with all above it where it is missing, with permissions 0755.
///
/// Symlinks are followed inside the tree (`INV-11`), to what is missing too: an absolute one from
/// the root, and `..` stops there.
///
/// Errors: [`NotADirectory`](ErrorKind::NotADirectory); [`SymlinkLoop`](ErrorKind::SymlinkLoop).
pub fn make_directories(files: &Files, path: &[u8], owner: Owner) -> Result<Inode> {
    let Place { directory, name, inode } = follow(files, path, owner)?;
    match inode {
        Some(inode) if files.attributes(inode)?.kind == FileKind::Directory => Ok(inode),
        Some(_) => Err(no_directory(&name)),
        None => make(files, directory, &name, owner),
    }
}

/// Where a path leads, symlinks followed, one at its end too. What is missing before its last
/// name is made.
pub fn follow(files: &Files, path: &[u8], owner: Owner) -> Result<Place> {
    let mut above = vec![Inode::ROOT];
    let mut ahead: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
    let mut symlinks = 0;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            above.truncate(above.len().saturating_sub(1).max(1));
            continue;
        }
        let directory = above.last().copied().unwrap_or(Inode::ROOT);
        let found = match files.lookup(directory, &name) {
            Ok(inode) => Some(inode),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let kind = found.map(|inode| files.attributes(inode)).transpose()?;
        match (found, kind.map(|attributes| attributes.kind)) {
            (Some(inode), Some(FileKind::Symlink)) => {
                symlinks += 1;
                if symlinks > SYMLINKS_MAX {
                    return Err(crate::error::too_many_symlinks(path));
                }
                let target = files.read_link(inode)?;
                if target.starts_with(b"/") {
                    above.truncate(1);
                }
                ahead.extend(names(&target).rev().map(<[u8]>::to_vec));
            }
            (Some(inode), Some(FileKind::Directory)) if !ahead.is_empty() => above.push(inode),
            (inode, _) if ahead.is_empty() => return Ok(Place { directory, name, inode }),
            (Some(_), _) => return Err(no_directory(&name)),
            (None, _) => above.push(make(files, directory, &name, owner)?),
        }
    }
    let inode = above.last().copied().unwrap_or(Inode::ROOT);
    Ok(Place { directory: inode, name: Vec::new(), inode: Some(inode) })
}

fn make(files: &Files, directory: Inode, name: &[u8], owner: Owner) -> Result<Inode> {
    let new = NewFile { owner: owner.user, group: owner.group, ..NewFile::directory(0o755) };
    Ok(files.create(directory, name, &new)?.inode)
}

fn no_directory(name: &[u8]) -> Error {
    let found = format!("\"{}\"", name.escape_ascii());
    Error::new(ErrorKind::NotADirectory, "go down a tree").about("name", found, "a directory")
}
