//! The names of a directory of a tree, kept beyond the look at them, and what stands at a path.

use std::ops::ControlFlow;

use sapwood::files::{Attributes, FileKind, Inode, ReadFiles};
use sapwood::{ErrorKind, Result};

/// How many names are looked at before they are removed.
const NAMES_MAX: usize = 1024;

/// A name of a directory, kept beyond the look at it.
#[derive(Clone, Debug)]
pub struct Name {
    /// The name.
    pub name: Vec<u8>,
    /// The file.
    pub inode: Inode,
    /// What it is.
    pub kind: FileKind,
    /// Where to go on behind it.
    pub cookie: u64,
}

/// The next names of a directory behind `after`, [`NAMES_MAX`] at most.
pub fn names_behind(files: &dyn ReadFiles, directory: Inode, after: u64) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    files.entries(directory, after, &mut |entry| {
        names.push(Name {
            name: entry.name.to_vec(),
            inode: entry.inode,
            kind: entry.kind,
            cookie: entry.cookie,
        });
        match names.len() {
            NAMES_MAX => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })?;
    Ok(names)
}

/// All names of a directory in the order of the paths that they make: a directory stands where
/// its name and a slash would.
pub fn sorted_names(files: &dyn ReadFiles, directory: Inode) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    loop {
        let after = names.last().map_or(0, |last: &Name| last.cookie);
        let mut more = names_behind(files, directory, after)?;
        if more.is_empty() {
            break;
        }
        names.append(&mut more);
    }
    let slash = |name: &Name| (name.kind == FileKind::Directory).then_some(b'/');
    names.sort_unstable_by(|a, b| {
        let (a, b) =
            (a.name.iter().copied().chain(slash(a)), b.name.iter().copied().chain(slash(b)));
        a.cmp(b)
    });
    Ok(names)
}

/// The file at a path, none where there is none. Symlinks on the way are not followed: a change of
/// [`changes`](sapwood::files::changes) names the real way.
pub fn attributes_at(files: &dyn ReadFiles, path: &[u8]) -> Result<Option<Attributes>> {
    let mut inode = Inode::ROOT;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        inode = match files.lookup(inode, name) {
            Ok(inode) => inode,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
    }
    files.attributes(inode).map(Some)
}
