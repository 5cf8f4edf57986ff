//! Where files are copied from: a directory of the host, or a tree of the store.
//!
//! All is found by names from the top on; symlinks are followed inside, and nothing leads out
//! (`INV-11`).

mod host;
mod select;
mod tree;

use sapwood::Result;
use sapwood_archive::tar::{Member, MemberKind};

pub use self::host::HostOrigin;
pub use self::select::{Group, Item, Selection, select};
pub use self::tree::TreeOrigin;

/// How many symlinks one path may go through, as the host has it.
const SYMLINKS_MAX: u32 = 40;
/// The longest path in bytes: paths of all files that are copied stand in memory.
const PATH_BYTES_MAX: usize = 1 << 16;

/// Where files are copied from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A directory of the host.
    Host(HostOrigin),
    /// A tree of the store.
    Tree(TreeOrigin),
}

/// A file of an origin, without its content.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path from the top, without a slash in front; empty for the top itself.
    pub path: Vec<u8>,
    /// What it is. Of a regular file of the host without its extended attributes, which come with
    /// its content.
    pub member: Member,
    /// The same for all names of a file that has several.
    pub identity: Option<(u64, u64)>,
    /// Its number, in a tree.
    inode: sapwood::files::Inode,
}

impl Found {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.member.kind == MemberKind::Directory
    }

    /// Its number, in a tree.
    pub fn inode(&self) -> sapwood::files::Inode {
        self.inode
    }
}

impl Origin {
    /// The directory at the top.
    pub fn top(&self) -> Result<Found> {
        match self {
            Origin::Host(host) => host.top(),
            Origin::Tree(tree) => tree.top(),
        }
    }

    /// A name in a directory; none where there is none.
    pub fn child(&self, directory: &Found, name: &[u8]) -> Result<Option<Found>> {
        match self {
            Origin::Host(host) => host.child(directory, name),
            Origin::Tree(tree) => tree.child(directory, name),
        }
    }

    /// All names in a directory, sorted. Sockets are none: nothing of them is in a file.
    pub fn children(&self, directory: &Found) -> Result<Vec<Found>> {
        match self {
            Origin::Host(host) => host.children(directory),
            Origin::Tree(tree) => tree.children(directory),
        }
    }

    /// Shows the content of a regular file: its extended attributes, then its bytes in order.
    pub fn read(
        &self,
        file: &Found,
        attributes: &mut dyn FnMut(&[sapwood_archive::tar::Attribute]) -> Result<()>,
        bytes: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        match self {
            Origin::Host(host) => host.read(file, attributes, bytes),
            Origin::Tree(tree) => tree.read(file, attributes, bytes),
        }
    }

    /// Whether a file is left out, and what is taken in again may be below it.
    fn ignores(&self, path: &[u8]) -> Ignored {
        match self {
            Origin::Host(host) => host.ignores(path),
            Origin::Tree(_) => Ignored::No,
        }
    }

    /// Whose the files are where nobody says it: in a context nobody's.
    pub fn keeps_owners(&self) -> bool {
        matches!(self, Origin::Tree(_))
    }

    /// The file at a path, symlinks followed inside; none where it leads nowhere.
    pub fn resolve(&self, path: &[u8]) -> Result<Option<Found>> {
        let mut above = vec![self.top()?];
        let mut ahead: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
        let mut symlinks = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            // The top stays.
            let Some(here) = above.last().filter(|here| here.is_directory()) else {
                return Ok(None);
            };
            let Some(found) = self.child(here, &name)? else { return Ok(None) };
            match &found.member.kind {
                MemberKind::Symlink(target) => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(crate::error::too_many_symlinks(path));
                    }
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    ahead.extend(names(target).rev().map(<[u8]>::to_vec));
                }
                _ => above.push(found),
            }
        }
        Ok(above.pop())
    }
}

/// Whether a file is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignored {
    No,
    /// But something below it may not be.
    Itself,
    /// With all below it.
    Whole,
}

/// The names of a path.
pub fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."))
}

/// The path of a name in a directory.
fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}
