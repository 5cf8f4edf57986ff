//! Whole trees taken away, however large or deep: in steps, without recursion.

use sapwood::Result;
use sapwood::files::{FileKind, Files, Inode};

use crate::listing::{Name, names_behind};

/// Removes a name, and all below it. Tells each directory that went, and each other file before
/// its name goes.
pub fn remove(
    files: &Files,
    directory: Inode,
    name: &Name,
    gone: &mut dyn FnMut(Inode),
    goes: &mut dyn FnMut(Inode) -> Result<()>,
) -> Result<()> {
    if name.kind != FileKind::Directory {
        goes(name.inode)?;
        return files.unlink(directory, &name.name);
    }
    // Directories from the top down, each with the one that it is in.
    let mut stack = vec![(directory, name.name.clone(), name.inode)];
    while let Some((_, _, inode)) = stack.last() {
        let inside = *inode;
        let names = names_behind(files, inside, 0)?;
        if names.is_empty() {
            let (directory, name, inode) = stack.pop().expect("it was just looked at");
            files.remove_directory(directory, &name)?;
            gone(inode);
            continue;
        }
        for name in names {
            match name.kind {
                FileKind::Directory => stack.push((inside, name.name, name.inode)),
                _ => {
                    goes(name.inode)?;
                    files.unlink(inside, &name.name)?;
                }
            }
        }
    }
    Ok(())
}
