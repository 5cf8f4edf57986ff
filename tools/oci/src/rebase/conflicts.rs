//! Paths that the layers of an image and its new base both changed.

use std::collections::{BTreeMap, BTreeSet};

use sapwood::Result;
use sapwood::files::{Attributes, ChangeKind, FileKind, FilesView, Inode, ReadFiles, changes};
use sapwood_archive::attributes_at;

/// How many bytes of two files are held against each other at once.
const COMPARE_BYTES: usize = 1 << 18;

/// What became of a path of the old base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// It was not there, and is.
    Added,
    /// It is there with another content.
    Changed,
    /// It is there with other permissions, another owner, or other extended attributes.
    Attributes,
    /// It is another kind of file.
    Replaced,
    /// It is not there any more.
    Removed,
}

impl Became {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Became::Added => "added",
            Became::Changed => "changed",
            Became::Attributes => "attributes",
            Became::Replaced => "replaced",
            Became::Removed => "removed",
        }
    }
}

/// A path that both sides changed, and not to the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// From the root on, without a slash in front.
    pub path: Vec<u8>,
    /// What the new base made of it.
    pub base: Became,
    /// What the layers made of it.
    pub layers: Became,
}

/// The conflicts between what made `top` out of `old`, and what made `new` out of it, by path.
pub fn find(old: &FilesView, top: &FilesView, new: Option<&FilesView>) -> Result<Vec<Conflict>> {
    let mut finder = Finder { old, top, new, found: BTreeMap::new(), passed: BTreeSet::new() };
    for path in touched(old, top, new)? {
        finder.look(&path)?;
    }
    Ok(finder.found.into_values().collect())
}

/// All paths at which the layers do something, and those that the new base has below directories
/// that they remove.
fn touched(old: &FilesView, top: &FilesView, new: Option<&FilesView>) -> Result<BTreeSet<Vec<u8>>> {
    let mut touched = BTreeSet::new();
    for change in changes(old, top)? {
        let is_other = change.is_of_another_file();
        if change.is_only_of_names() && !is_other {
            continue;
        }
        let is_directory =
            |file: &Option<Attributes>| file.is_some_and(|file| file.kind == FileKind::Directory);
        let from = match &change.kind {
            ChangeKind::Renamed { from, .. } => from,
            _ => &change.path,
        };
        let is_whole = change.before.is_none() || change.after.is_none();
        let moved = is_other || is_whole || *from != change.path;
        if moved && is_directory(&change.before) {
            add_below(old, from, &mut touched)?;
            if let Some(new) = new {
                add_below(new, from, &mut touched)?;
            }
        }
        if moved && is_directory(&change.after) {
            add_below(top, &change.path, &mut touched)?;
        }
        // A file that is said is said under all of its names.
        if let Some(file) = change.after.filter(|file| file.links > 1)
            && file.kind != FileKind::Directory
        {
            touched.extend(top.paths_of(file.inode)?);
        }
        touched.insert(from.clone());
        touched.insert(change.path);
    }
    Ok(touched)
}

fn add_below(view: &FilesView, path: &[u8], touched: &mut BTreeSet<Vec<u8>>) -> Result<()> {
    let Some(directory) =
        attributes_at(view, path)?.filter(|file| file.kind == FileKind::Directory)
    else {
        return Ok(());
    };
    let mut left = vec![(path.to_vec(), directory.inode)];
    while let Some((above, directory)) = left.pop() {
        view.entries(directory, 0, &mut |entry| {
            let below =
                [&above[..], if above.is_empty() { b"" } else { b"/" }, entry.name].concat();
            if entry.kind == FileKind::Directory {
                left.push((below.clone(), entry.inode));
            }
            touched.insert(below);
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(())
}

struct Finder<'a> {
    old: &'a FilesView,
    top: &'a FilesView,
    new: Option<&'a FilesView>,
    found: BTreeMap<Vec<u8>, Conflict>,
    /// Directories that paths led through before.
    passed: BTreeSet<Vec<u8>>,
}

impl Finder<'_> {
    fn look(&mut self, path: &[u8]) -> Result<()> {
        let (old, top) = (attributes_at(self.old, path)?, attributes_at(self.top, path)?);
        if top.is_some() {
            self.pass(path)?;
        }
        let new = self.in_new(path)?;
        let base = became(Some(self.old), old.as_ref(), self.new, new.as_ref())?;
        if let Some(base) = base
            && became(self.new, new.as_ref(), Some(self.top), top.as_ref())?.is_some()
        {
            let layers = became(Some(self.old), old.as_ref(), Some(self.top), top.as_ref())?;
            // What the layers only gave other times is whole in them; and what is new in a directory
            // that they remove goes with it.
            let same = if top.is_some() { Became::Changed } else { Became::Removed };
            self.tell(path, base, layers.unwrap_or(same));
        }
        Ok(())
    }

    /// Asks of each directory on the way to a path whether the new base still has it.
    fn pass(&mut self, path: &[u8]) -> Result<()> {
        let slashes = (0..path.len()).filter(|&at| path[at] == b'/');
        for directory in slashes.map(|slash| &path[..slash]) {
            if !self.passed.insert(directory.to_vec()) {
                continue;
            }
            let is_directory = |file: Option<Attributes>| {
                file.is_some_and(|file| file.kind == FileKind::Directory)
            };
            if !is_directory(attributes_at(self.old, directory)?)
                || !is_directory(attributes_at(self.top, directory)?)
            {
                continue;
            }
            match self.in_new(directory)? {
                None => self.tell(directory, Became::Removed, Became::Changed),
                Some(file) if file.kind != FileKind::Directory => {
                    self.tell(directory, Became::Replaced, Became::Changed);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn in_new(&self, path: &[u8]) -> Result<Option<Attributes>> {
        self.new.map_or(Ok(None), |new| attributes_at(new, path))
    }

    fn tell(&mut self, path: &[u8], base: Became, layers: Became) {
        let conflict = Conflict { path: path.to_vec(), base, layers };
        self.found.entry(path.to_vec()).or_insert(conflict);
    }
}

/// What became of a file; times do not count.
fn became(
    before: Option<&FilesView>,
    old: Option<&Attributes>,
    after: Option<&FilesView>,
    new: Option<&Attributes>,
) -> Result<Option<Became>> {
    let (Some(before), Some(old)) = (before, old) else {
        return Ok(new.map(|_| Became::Added));
    };
    let (Some(after), Some(new)) = (after, new) else { return Ok(Some(Became::Removed)) };
    if old.kind != new.kind {
        return Ok(Some(Became::Replaced));
    }
    let is_same = match old.kind {
        FileKind::Regular => old.size == new.size && same_content(before, old, after, new)?,
        FileKind::Symlink => before.read_link(old.inode)? == after.read_link(new.inode)?,
        FileKind::CharDevice | FileKind::BlockDevice => old.device == new.device,
        FileKind::Directory | FileKind::Fifo | FileKind::Socket => true,
    };
    if !is_same {
        return Ok(Some(Became::Changed));
    }
    let plain = |file: &Attributes| (file.permissions, file.owner, file.group);
    let has_same = plain(old) == plain(new)
        && extended_attributes(before, old.inode)? == extended_attributes(after, new.inode)?;
    Ok((!has_same).then_some(Became::Attributes))
}

fn extended_attributes(view: &FilesView, inode: Inode) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let names = view.extended_attribute_names(inode)?.into_iter();
    names.map(|name| Ok((name.to_vec(), view.extended_attribute(inode, &name)?))).collect()
}

fn same_content(
    before: &FilesView,
    old: &Attributes,
    after: &FilesView,
    new: &Attributes,
) -> Result<bool> {
    let (mut one, mut other) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let mut offset = 0;
    while offset < old.size {
        let read = before.read(old.inode, offset, &mut one)?;
        let also = after.read(new.inode, offset, &mut other)?;
        if read == 0 || also != read || one[..read] != other[..read] {
            return Ok(false);
        }
        offset += read as u64;
    }
    Ok(true)
}
