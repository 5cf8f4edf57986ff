//! What differs between two trees of one origin, in proportion to what differs.
//!
//! The blocks that differ are known from metadata alone. Those of inode 0 are pages: the items of
//! each leaf before are held against those of the same page after, over all such pages together,
//! so that items that a split or a join has moved cancel out. What is left are the items that
//! came, went or changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::blocks::FILE_BLOCK_BITS;
use super::change::{ChangeKind, Difference, FileChange};
use super::compare::attributes_differ;
use super::names::names_of;
use super::types::{Attributes, FileKind, Inode, attributes_of, kind_of};
use super::view::{FilesView, ReadFiles};
use crate::error::{Error, Result};
use crate::format::files::entry::NamePlace;
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// How deep a path may go: a walk up through more directories goes in a circle.
const DEPTH_MAX: usize = 1 << 20;

/// The names that differ between two trees, in the order of their paths. Directories that were
/// moved are one change: what is below them moved along.
///
/// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for trees that have no common origin:
/// see [`compare`](super::compare()) for those.
pub fn changes(before: &FilesView, after: &FilesView) -> Result<Vec<FileChange>> {
    if !before.has_origin_of(after) {
        let expected = "snapshots that come from one tree";
        return Err(Error::invalid("compare trees", "trees", "two that do not", expected));
    }
    Changed::find(before, after)?.report(before, after)
}

/// An item before and after.
type Item = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The items and files that differ.
#[derive(Default)]
struct Changed {
    /// Items of which the two trees hold different values.
    items: BTreeMap<Key, Item>,
    /// Files of which blocks differ, inside the size of either.
    contents: BTreeSet<u32>,
}

/// Which file a name leads to: its number and generation.
type Identity = (u32, u32);

/// A name in its directory.
type Place = (u32, Vec<u8>);

impl Changed {
    fn find(before: &FilesView, after: &FilesView) -> Result<Changed> {
        let mut changed = Changed::default();
        let mut blocks: BTreeMap<u32, u64> = BTreeMap::new();
        for extent in after.snapshot().changes_since(before.snapshot())? {
            let extent = extent?;
            let end = extent.start.0 + extent.length;
            let pages_end = 1 << FILE_BLOCK_BITS;
            for page in extent.start.0..end.min(pages_end) {
                changed.add_page(before, page as u32, |item| &mut item.0)?;
                changed.add_page(after, page as u32, |item| &mut item.1)?;
            }
            let mut at = extent.start.0.max(pages_end);
            while at < end {
                let inode = (at >> FILE_BLOCK_BITS) as u32;
                let first = at & (pages_end - 1);
                blocks.entry(inode).and_modify(|least| *least = first.min(*least)).or_insert(first);
                at = (u64::from(inode) + 1) << FILE_BLOCK_BITS;
            }
        }
        changed.items.retain(|_, (before, after)| before != after);
        let log2 = after.snapshot().block_size().log2();
        for (inode, first) in blocks {
            let reaches = |view: &FilesView| match view.record_if_there(Inode(inode))? {
                Some(record) => Ok::<bool, Error>(first << log2 < record.size),
                None => Ok(false),
            };
            if reaches(before)? || reaches(after)? {
                changed.contents.insert(inode);
            }
        }
        Ok(changed)
    }

    fn add_page(
        &mut self,
        view: &FilesView,
        number: u32,
        side: impl Fn(&mut Item) -> &mut Option<Vec<u8>>,
    ) -> Result<()> {
        let Some(page) = view.page_if_used(number)? else { return Ok(()) };
        if page.level() > 0 {
            return Ok(());
        }
        for slot in 0..page.len() {
            let item = self.items.entry(page.key(slot)).or_default();
            *side(item) = Some(page.value(slot).to_vec());
        }
        Ok(())
    }

    fn report(&self, before: &FilesView, after: &FilesView) -> Result<Vec<FileChange>> {
        let (gone, come) = self.names(before, after)?;
        let mut report = Report {
            before: Paths::in_view(before),
            after: Paths::in_view(after),
            found: Vec::new(),
        };
        let replaced = report.replaced(&gone, &come)?;
        let staying: BTreeSet<&Place> = replaced.values().copied().collect();
        // Names that led to a file and do not any more, by the file: where a rename came from.
        let mut left: HashMap<Identity, Vec<&Place>> = HashMap::new();
        for (place, identity) in &gone {
            if !staying.contains(place) {
                left.entry(*identity).or_default().push(place);
            }
        }
        let mut told: BTreeSet<(u32, &[u8])> = BTreeSet::new();
        let mut sources: BTreeSet<&Place> = BTreeSet::new();
        for (place, identity) in &come {
            told.insert((place.0, &place.1));
            if let Some(&old) = replaced.get(place) {
                match gone.get(old) == Some(identity) {
                    true => {
                        // Moved away and back.
                        if let Some(found) = self.difference(before, after, Inode(identity.0))? {
                            report.both(old, place, ChangeKind::Modified(found))?;
                        }
                    }
                    false => report.another(old, place)?,
                }
            } else if let Some(from) = left.get_mut(identity).and_then(Vec::pop) {
                let difference = self.difference(before, after, Inode(identity.0))?;
                let difference = difference.unwrap_or_default();
                sources.insert(from);
                let from_path = report.before.of(from)?;
                let kind = ChangeKind::Renamed { from: from_path, difference };
                report.both(from, place, kind)?;
            } else {
                report.one(place, ChangeKind::Added)?;
            }
        }
        for place in gone.keys().filter(|place| !staying.contains(place)) {
            if !sources.contains(place) {
                report.one(place, ChangeKind::Deleted)?;
            }
        }
        self.report_modified(before, after, &told, &mut report)?;
        let mut found = report.found;
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Names that are not there any more, and names that were not there before, or led elsewhere.
    fn names(
        &self,
        before: &FilesView,
        after: &FilesView,
    ) -> Result<(BTreeMap<Place, Identity>, BTreeMap<Place, Identity>)> {
        let (mut gone, mut come) = (BTreeMap::new(), BTreeMap::new());
        for (key, (old, new)) in &self.items {
            if key.kind()? != ItemKind::Entry {
                continue;
            }
            for (value, view, names) in [(old, before, &mut gone), (new, after, &mut come)] {
                let of_tree = !view.holds_attachments(key.inode());
                if let Some(value) = value.as_ref().filter(|_| of_tree) {
                    let entry = EntryValue::decode(value)?;
                    let generation = view.record(Inode(entry.inode))?.generation;
                    let place = (key.inode(), entry.name.to_vec());
                    names.insert(place, (entry.inode, generation));
                }
            }
        }
        // A name that stands under another number, and leads to the same file.
        let same: Vec<Place> = gone
            .iter()
            .filter(|(place, identity)| come.get(*place) == Some(*identity))
            .map(|(place, _)| place.clone())
            .collect();
        for place in same {
            gone.remove(&place);
            come.remove(&place);
        }
        // A directory's number may have been given again: then all its names are others.
        Ok((gone, come))
    }

    /// What is different about a file that both trees have; `None` where nothing is.
    fn difference(
        &self,
        before: &FilesView,
        after: &FilesView,
        inode: Inode,
    ) -> Result<Option<Difference>> {
        let (old, new) = (before.record_if_there(inode)?, after.record_if_there(inode)?);
        let (Some(old), Some(new)) = (old, new) else { return Ok(None) };
        let has_items = |kind| {
            let (first, last) = Key::range(kind, inode.0);
            self.items.range(first..=last).next().is_some()
        };
        let what = |record: &InodeRecord| {
            (record.mode, record.owner, record.group, record.device, record.generation)
        };
        let difference = Difference {
            content: old.size != new.size
                || has_items(ItemKind::Content)
                || self.contents.contains(&inode.0),
            attributes: what(&old) != what(&new) || has_items(ItemKind::Attribute),
            modified: old.modified != new.modified,
            names: has_items(ItemKind::Entry),
        };
        Ok((difference != Difference::default()).then_some(difference))
    }

    fn report_modified(
        &self,
        before: &FilesView,
        after: &FilesView,
        told: &BTreeSet<(u32, &[u8])>,
        report: &mut Report<'_>,
    ) -> Result<()> {
        let mut files: BTreeSet<u32> = self.contents.clone();
        for key in self.items.keys() {
            match key.kind()? {
                ItemKind::Inode | ItemKind::Entry | ItemKind::Attribute | ItemKind::Content => {
                    files.insert(key.inode());
                }
                ItemKind::Link | ItemKind::Orphan | ItemKind::Free => {}
            }
        }
        for inode in files.into_iter().map(Inode) {
            if after.holds_attachments(inode.0) {
                continue;
            }
            let Some(difference) = self.difference(before, after, inode)? else { continue };
            let (old, new) = (before.record(inode)?, after.record(inode)?);
            if old.generation != new.generation {
                continue;
            }
            for place in names_of(&after.reader().pages, inode, &new)? {
                if after.holds_attachments(place.directory) {
                    continue;
                }
                let name = match inode {
                    Inode::ROOT => Vec::new(),
                    _ => after.name_at(place)?,
                };
                if !told.contains(&(place.directory, &name)) {
                    let place = (place.directory, name);
                    report.modified(inode, &place, difference, (&old, &new))?;
                }
            }
        }
        Ok(())
    }
}

/// Changes as they are found.
struct Report<'a> {
    before: Paths<'a>,
    after: Paths<'a>,
    found: Vec<FileChange>,
}

impl Report<'_> {
    /// Of the names that came those under which another file was before, and where that was: in
    /// the same directory, or in another one under the same path.
    fn replaced<'p>(
        &mut self,
        gone: &'p BTreeMap<Place, Identity>,
        come: &'p BTreeMap<Place, Identity>,
    ) -> Result<BTreeMap<&'p Place, &'p Place>> {
        let mut replaced = BTreeMap::new();
        let mut lost: HashMap<Vec<u8>, &Place> = HashMap::new();
        for place in gone.keys() {
            match come.get_key_value(place) {
                Some((new, _)) => drop(replaced.insert(new, place)),
                None => drop(lost.insert(self.before.of(place)?, place)),
            }
        }
        // The paths of what came are looked for only where some were lost.
        if !lost.is_empty() {
            for place in come.keys().filter(|place| !gone.contains_key(*place)) {
                if let Some(old) = lost.get(&self.after.of(place)?) {
                    replaced.insert(place, old);
                }
            }
        }
        Ok(replaced)
    }

    /// Another file under one path.
    fn another(&mut self, old: &Place, new: &Place) -> Result<()> {
        let (before, after) = (self.before.attributes(old)?, self.after.attributes(new)?);
        let (old_view, new_view) = (self.before.view, self.after.view);
        let is_directory = after.kind == FileKind::Directory;
        let difference = Difference {
            // Of a file it was written, though it may read the same.
            content: match (before.kind, after.kind) {
                (FileKind::Symlink, FileKind::Symlink) => {
                    old_view.read_link(before.inode)? != new_view.read_link(after.inode)?
                }
                (FileKind::Regular, _) => true,
                (old, new) => old != new,
            },
            attributes: attributes_differ(old_view, &before, new_view, &after)?,
            modified: before.modified != after.modified,
            names: is_directory,
        };
        self.both(old, new, ChangeKind::Modified(difference))
    }

    fn one(&mut self, place: &Place, kind: ChangeKind) -> Result<()> {
        let paths = if kind == ChangeKind::Added { &mut self.after } else { &mut self.before };
        let path = paths.of(place)?;
        let attributes = Some(paths.attributes(place)?);
        let (before, after) = match kind {
            ChangeKind::Added => (None, attributes),
            _ => (attributes, None),
        };
        self.found.push(FileChange { path, kind, before, after });
        Ok(())
    }

    fn both(&mut self, old: &Place, new: &Place, kind: ChangeKind) -> Result<()> {
        let path = self.after.of(new)?;
        let before = Some(self.before.attributes(old)?);
        let after = Some(self.after.attributes(new)?);
        self.found.push(FileChange { path, kind, before, after });
        Ok(())
    }

    fn modified(
        &mut self,
        inode: Inode,
        place: &Place,
        difference: Difference,
        (old, new): (&InodeRecord, &InodeRecord),
    ) -> Result<()> {
        let path = match inode {
            Inode::ROOT => Vec::new(),
            _ => self.after.of(place)?,
        };
        let before = Some(attributes_of(inode, old, 0)?);
        let after = Some(attributes_of(inode, new, 0)?);
        self.found.push(FileChange { path, kind: ChangeKind::Modified(difference), before, after });
        Ok(())
    }
}

/// Paths of a tree, each directory looked up once.
struct Paths<'a> {
    view: &'a FilesView,
    known: HashMap<u32, Vec<u8>>,
}

impl<'a> Paths<'a> {
    fn in_view(view: &'a FilesView) -> Paths<'a> {
        Paths { view, known: HashMap::from([(Inode::ROOT.0, Vec::new())]) }
    }
}

impl Paths<'_> {
    fn of_place(&mut self, directory: u32, name: &[u8]) -> Result<Vec<u8>> {
        let mut path = self.directory(directory)?.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(name);
        Ok(path)
    }

    fn of(&mut self, place: &Place) -> Result<Vec<u8>> {
        self.of_place(place.0, &place.1)
    }

    fn attributes(&self, place: &Place) -> Result<Attributes> {
        let reader = self.view.reader();
        reader.attributes(reader.lookup(Inode(place.0), &place.1)?.0)
    }

    fn directory(&mut self, inode: u32) -> Result<&[u8]> {
        let mut above = Vec::new();
        let mut at = inode;
        while !self.known.contains_key(&at) {
            if above.len() >= DEPTH_MAX {
                let expected = "a way to the root";
                return Err(Error::corrupt("compare trees", "directory", "a circle", expected));
            }
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
            let path = self.of_place(place.directory, &name)?;
            self.known.insert(directory, path);
        }
        Ok(&self.known[&inode])
    }
}

impl FilesView {
    /// Whether both trees were one once.
    pub(super) fn has_origin_of(&self, other: &FilesView) -> bool {
        self.reader().pages.superblock.name_key == other.reader().pages.superblock.name_key
    }

    pub(super) fn record(&self, inode: Inode) -> Result<InodeRecord> {
        self.reader().record(inode)
    }

    pub(super) fn record_if_there(&self, inode: Inode) -> Result<Option<InodeRecord>> {
        let item = self.reader().pages.get(Key::new(ItemKind::Inode, inode.0, 0))?;
        item.map(|item| InodeRecord::decode(&item)).transpose()
    }

    /// Whether this is the directory of the attachments.
    pub(super) fn holds_attachments(&self, inode: u32) -> bool {
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
            found.push(paths.of_place(place.directory, &self.name_at(place)?)?);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The name that stands in a place.
    pub(super) fn name_at(&self, place: NamePlace) -> Result<Vec<u8>> {
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
    fn page_if_used(&self, number: u32) -> Result<Option<std::sync::Arc<super::tree::Page>>> {
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
