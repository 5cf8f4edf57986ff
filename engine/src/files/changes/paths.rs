//! Paths of a tree, from the places of names up to the root.

use std::collections::HashMap;
use std::sync::Arc;

use super::Place;
use crate::error::{Error, Result};
use crate::files::names::names_of;
use crate::files::tree::Page;
use crate::files::types::{Attributes, FileKind, Inode, kind_of};
use crate::files::view::FilesView;
use crate::format::files::entry::NamePlace;
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// How deep a path may go: a walk up through more directories goes in a circle.
const DEPTH_MAX: usize = 1 << 20;

/// That so many directories on the way up are not too many.
pub fn expect_way_to_root(depth: usize) -> Result<()> {
    match depth < DEPTH_MAX {
        true => Ok(()),
        false => {
            let expected = "a way to the root";
            Err(Error::corrupt("compare trees", "directory", "a circle", expected))
        }
    }
}

/// Paths of a tree, each directory looked up once.
pub struct Paths<'a> {
    pub view: &'a FilesView,
    known: HashMap<u32, Vec<u8>>,
}

impl<'a> Paths<'a> {
    pub fn in_view(view: &'a FilesView) -> Paths<'a> {
        Paths { view, known: HashMap::from([(Inode::ROOT.0, Vec::new())]) }
    }
}

impl Paths<'_> {
    pub fn of_name(&mut self, directory: u32, name: &[u8]) -> Result<Vec<u8>> {
        let mut path = self.directory(directory)?.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name);
        Ok(path)
    }

    pub fn of(&mut self, place: &Place) -> Result<Vec<u8>> {
        self.of_name(place.directory.0, &place.name)
    }

    pub fn attributes(&self, place: &Place) -> Result<Attributes> {
        let reader = self.view.reader();
        reader.attributes(reader.lookup(Inode(place.directory.0), &place.name)?.0)
    }

    fn directory(&mut self, inode: u32) -> Result<&[u8]> {
        let mut above = Vec::new();
        let mut at = inode;
        while !self.known.contains_key(&at) {
            expect_way_to_root(above.len())?;
            let record = self.view.record(Inode(at))?;
            if kind_of(&record)? != FileKind::Directory {
                let expected = "a directory above a name";
                return Err(Error::corrupt("compare trees", "directory", "another file", expected));
            }
            above.push((at, record.name));
            at = record.name.directory;
        }
        while let Some((directory, place)) = above.pop() {
            let name = self.view.name_at(place)?;
            let path = self.of_name(place.directory, &name)?;
            self.known.insert(directory, path);
        }
        Ok(&self.known[&inode])
    }
}

impl FilesView {
    /// Whether both trees were one once.
    pub(in crate::files) fn has_origin_of(&self, other: &FilesView) -> bool {
        self.reader().pages.superblock.name_key == other.reader().pages.superblock.name_key
    }

    pub(in crate::files) fn record(&self, inode: Inode) -> Result<InodeRecord> {
        self.reader().record(inode)
    }

    pub(in crate::files) fn record_if_there(&self, inode: Inode) -> Result<Option<InodeRecord>> {
        let item = self.reader().pages.get(Key::new(ItemKind::Inode, inode.0, 0))?;
        item.map(|item| InodeRecord::decode(&item)).transpose()
    }

    /// Whether this is the directory of the attachments.
    pub(in crate::files) fn holds_attachments(&self, inode: u32) -> bool {
        self.reader().pages.superblock.attachments() == Some(Inode(inode))
    }

    /// All paths that lead to a file, sorted: from the root on, without a slash in front. That of
    /// the root is empty; none leads to an attachment. Cost is in proportion to them.
    pub fn paths_of(&self, inode: Inode) -> Result<Vec<Vec<u8>>> {
        if inode == Inode::ROOT {
            return Ok(vec![Vec::new()]);
        }
        let mut paths = Paths::in_view(self);
        let mut found = Vec::new();
        for place in names_of(&self.reader().pages, inode, &self.record(inode)?)? {
            if self.holds_attachments(place.directory) {
                continue;
            }
            found.push(paths.of_name(place.directory, &self.name_at(place)?)?);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The name that stands in a place.
    pub(in crate::files) fn name_at(&self, place: NamePlace) -> Result<Vec<u8>> {
        let key = Key::new(ItemKind::Entry, place.directory, place.cookie);
        match self.reader().pages.get(key)? {
            Some(item) => Ok(EntryValue::decode(&item)?.name.to_vec()),
            None => {
                let expected = "the name that a file says it has";
                Err(Error::corrupt("look up the name of a file", "name", "none", expected))
            }
        }
    }

    /// A page, unless nothing is there: a freed page was discarded.
    pub(in crate::files) fn page_if_used(&self, number: u32) -> Result<Option<Arc<Page>>> {
        let pages = self.reader().pages;
        let block = crate::units::BlockAddress(number.into());
        let end = crate::units::BlockAddress(block.0 + 1);
        let in_use = number > 0
            && number < pages.superblock.pages_end
            && pages.blocks.extents(block, end).next().transpose()?.is_some_and(|extent| {
                matches!(extent.target, crate::chain::ViewTarget::Data { .. })
            });
        in_use.then(|| pages.page(number)).transpose()
    }
}
