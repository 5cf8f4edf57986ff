//! What differs between any two trees, found by walking both.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::change::{ChangeKind, Difference, FileChange};
use super::types::{Attributes, FileKind, Inode, Seek};
use super::view::ReadFiles;
use crate::error::Result;

/// How many bytes of two files are held against each other at once.
const COMPARE_BYTES: usize = 1 << 18;

/// The names that differ between two trees, in the order of their paths, by walking both and
/// reading the content of all files: the time of a file's last change counts, and that of access
/// or of a change of attributes does not. Below a name that came or went, each name is told.
///
/// For snapshots of one origin [`changes`](super::changes()) tells more in much less time.
pub fn compare(before: &dyn ReadFiles, after: &dyn ReadFiles) -> Result<Vec<FileChange>> {
    let mut found = Vec::new();
    let root = Some((Inode::ROOT, FileKind::Directory));
    let mut left = vec![(Vec::new(), root, root)];
    while let Some((path, old_named, new_named)) = left.pop() {
        let of = |files: &dyn ReadFiles, named: Option<Named>| {
            named.map(|(inode, _)| files.attributes(inode)).transpose()
        };
        let (old, new) = (of(before, old_named)?, of(after, new_named)?);
        // A file that became another kind of file is another file.
        let replaced = matches!((old, new), (Some(old), Some(new)) if old.kind != new.kind);
        let names = Names::of(before, old_named)?.beside(Names::of(after, new_named)?);
        let kind = match (old, new) {
            (Some(old), Some(new)) => {
                let mut difference = difference(before, &old, after, &new)?;
                difference.attributes |= replaced;
                difference.names = names.differ();
                (difference != Difference::default()).then_some(ChangeKind::Modified(difference))
            }
            (None, _) => Some(ChangeKind::Added),
            (_, None) => Some(ChangeKind::Deleted),
        };
        for (name, (old, new)) in names.0.into_iter().rev() {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            left.push(([&path[..], slash, &name].concat(), old, new));
        }
        if let Some(kind) = kind {
            found.push(FileChange { path, kind, before: old, after: new });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// What a name leads to: the file, and what the name calls it. Only what it calls a directory is
/// gone into: those are known to be a tree.
type Named = (Inode, FileKind);

/// The names of a directory before and after, with what they lead to.
#[derive(Default)]
struct Names(BTreeMap<Vec<u8>, (Option<Named>, Option<Named>)>);

impl Names {
    fn of(files: &dyn ReadFiles, named: Option<Named>) -> Result<Names> {
        let mut names = Names::default();
        if let Some((directory, FileKind::Directory)) = named {
            files.entries(directory, 0, &mut |entry| {
                let named = (entry.inode, entry.kind);
                names.0.insert(entry.name.to_vec(), (Some(named), None));
                ControlFlow::Continue(())
            })?;
        }
        Ok(names)
    }

    fn beside(mut self, after: Names) -> Names {
        for (name, (named, _)) in after.0 {
            self.0.entry(name).or_default().1 = named;
        }
        self
    }

    fn differ(&self) -> bool {
        self.0.values().any(|(before, after)| before.is_none() || after.is_none())
    }
}

/// What is different about two files. The content of both is read where they are equally long.
pub fn difference(
    before: &dyn ReadFiles,
    old: &Attributes,
    after: &dyn ReadFiles,
    new: &Attributes,
) -> Result<Difference> {
    let attributes = attributes_differ(before, old, after, new)?;
    let content = match (old.kind, new.kind) {
        (FileKind::Regular, FileKind::Regular) => {
            old.size != new.size || !equal_content(before, old, after, new)?
        }
        (FileKind::Symlink, FileKind::Symlink) => {
            before.read_link(old.inode)? != after.read_link(new.inode)?
        }
        (old, new) => old != new,
    };
    Ok(Difference { content, attributes, modified: old.modified != new.modified, names: false })
}

/// Whether kind, permissions, owner, group, device or extended attributes of two files are different.
pub(super) fn attributes_differ(
    before: &dyn ReadFiles,
    old: &Attributes,
    after: &dyn ReadFiles,
    new: &Attributes,
) -> Result<bool> {
    let what = |attributes: &Attributes| {
        let Attributes { kind, permissions, owner, group, device, .. } = *attributes;
        (kind, permissions, owner, group, device)
    };
    let names = before.extended_attribute_names(old.inode)?;
    if what(old) != what(new) || names != after.extended_attribute_names(new.inode)? {
        return Ok(true);
    }
    for name in names {
        let value = before.extended_attribute(old.inode, &name)?;
        if value != after.extended_attribute(new.inode, &name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_content(
    before: &dyn ReadFiles,
    old: &Attributes,
    after: &dyn ReadFiles,
    new: &Attributes,
) -> Result<bool> {
    // Most files are small.
    let length = old.size.min(COMPARE_BYTES as u64) as usize;
    let (mut one, mut other) = (vec![0; length], vec![0; length]);
    let are_sparse = [old, new].iter().all(|file| file.allocated_bytes < file.size);
    let mut offset = 0;
    while offset < old.size {
        if are_sparse {
            // What is a hole in both is not read: a file may be far larger than what it holds.
            let data = |files: &dyn ReadFiles, file: &Attributes| {
                let found = files.seek(file.inode, offset, Seek::Data)?;
                Ok(found.unwrap_or(file.size))
            };
            offset = data(before, old)?.min(data(after, new)?);
        }
        let read = before.read(old.inode, offset, &mut one)?;
        if after.read(new.inode, offset, &mut other)? != read || one[..read] != other[..read] {
            return Ok(false);
        }
        if read == 0 {
            // Both were cut since their attributes were asked for, and end at one place.
            break;
        }
        offset += read as u64;
    }
    Ok(true)
}
