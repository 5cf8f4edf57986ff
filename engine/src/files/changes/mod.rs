//! What differs between two trees of one origin, in proportion to what differs.
//!
//! The blocks that differ are known from metadata alone. Those of inode 0 are pages: the items of
//! each leaf before are held against those of the same page after, over all such pages together,
//! so that items that a split or a join has moved cancel out. What is left are the items that
//! came, went or changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

mod names;
mod paths;
mod report;

use self::names::{Counterparts, Named};
use self::report::Report;
use super::blocks::FILE_BLOCK_BITS;
use super::change::{ChangeKind, Difference, FileChange};
use super::names::names_of;
use super::types::{FileKind, Inode};
use super::view::FilesView;
use crate::error::{Error, Result};
use crate::format::files::{InodeRecord, ItemKind, Key};

/// The names that differ between two trees, in the order of their paths. Directories that were
/// moved are one change: what is below them moved along, and of it only what is different is told.
///
/// The path of a name that is gone, and the one that another was moved from, are those before; all
/// others are those after. One path is told twice where both are: `D` of what was there, and what came.
/// So the list is applied to a copy of the first tree in two passes:
///
/// 1. From the last path before to the first one, so that what is below a directory comes before it:
///    [`Deleted`](ChangeKind::Deleted) is removed, and [`Renamed`](ChangeKind::Renamed) is taken away
///    from its old path and kept aside, with all that is left below it.
/// 2. From the first path after to the last one: `Renamed` is put where it is now, and is given what its
///    difference says; [`Added`](ChangeKind::Added) is made; and what is
///    [`Modified`](ChangeKind::Modified) is given what is different. Where
///    [another file](FileChange::is_of_another_file) stands in the place of the one before, it is that: a
///    directory in the place of a directory keeps what stands in it.
///
/// ```
/// # use sapwood::files::{ChangeKind, Files, FilesOptions, FilesView, Paths, changes};
/// # use sapwood::{Store, StoreOptions};
/// # let folder = tempfile::tempdir()?;
/// # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
/// # let files = Files::open(store.create_tree("tree")?, FilesOptions::default())?;
/// # let view = || FilesView::open(files.snapshot(&Default::default())?);
/// let paths = Paths::new(&files);
/// paths.create_dir_all("app/data")?;
/// paths.write("app/log", b"old")?;
/// let before = view()?;
/// paths.rename("app", "app.old")?;
/// paths.create_dir("app")?;
/// paths.write("app/log", b"new")?;
/// paths.remove_file("app.old/log")?;
/// let after = view()?;
/// let told: Vec<_> = changes(&before, &after)?
///     .iter()
///     .filter(|change| !change.is_only_of_names())
///     .map(|change| format!("{} {}", change.letter(), change.path.escape_ascii()))
///     .collect();
/// assert_eq!(told, ["A app", "R app.old", "D app/log", "A app/log"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// The number and the generation of a file.
type Identity = (u32, u32);

/// A name in its directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    directory: Identity,
    name: Vec<u8>,
}

/// Which file a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct File {
    identity: Identity,
    kind: FileKind,
}

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
        let replaced = replaced(&gone, &come, &mut Counterparts::between(before, after))?;
        let staying: BTreeSet<&Place> = replaced.values().copied().collect();
        // Names that led to a file and do not any more, by the file: where a rename came from.
        let mut left: HashMap<File, Vec<&Place>> = HashMap::new();
        for (place, file) in gone.iter().filter(|(place, _)| !staying.contains(place)) {
            left.entry(*file).or_default().push(place);
        }
        let mut report = Report::new(before, after);
        let mut told: BTreeSet<(u32, &[u8])> = BTreeSet::new();
        for (place, file) in &come {
            let inode = Inode(file.identity.0);
            told.insert((place.directory.0, &place.name));
            if let Some(&old) = replaced.get(place) {
                match gone.get(old) == Some(file) {
                    true => {
                        // Moved away and back.
                        if let Some(found) = self.difference(before, after, inode)? {
                            report.both(old, place, ChangeKind::Modified(found))?;
                        }
                    }
                    false => report.another(old, place)?,
                }
            } else if let Some(from) = left.get_mut(file).and_then(Vec::pop) {
                let difference = self.difference(before, after, inode)?.unwrap_or_default();
                report.renamed(from, place, difference)?;
            } else {
                report.one(place, ChangeKind::Added)?;
            }
        }
        for place in left.into_values().flatten() {
            report.one(place, ChangeKind::Deleted)?;
        }
        self.report_modified(before, after, &told, &mut report)?;
        Ok(report.in_order())
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
                    report.modified(inode, place.directory, &name, difference)?;
                }
            }
        }
        Ok(())
    }
}

/// Of the names that came those that stand for one that is gone, under which the same file was before or
/// another one. A directory that is in both trees is told as moved: it takes nobody's place, and its own
/// is free.
fn replaced<'a>(
    gone: &'a Named,
    come: &'a Named,
    counterparts: &mut Counterparts<'_>,
) -> Result<BTreeMap<&'a Place, &'a Place>> {
    let mut replaced = BTreeMap::new();
    for (place, file) in come {
        let old = counterparts.of(place)?;
        let Some((old, old_file)) = old.and_then(|old| gone.get_key_value(&old)) else { continue };
        let is_moved = |file| counterparts.is_directory_of_both(file);
        if file == old_file || !is_moved(file)? && !is_moved(old_file)? {
            replaced.insert(place, old);
        }
    }
    Ok(replaced)
}
