//! Names that came and went, and which directories stand for each other.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use super::paths::expect_way_to_root;
use super::{Changed, File, Identity, Place};
use crate::error::{Error, Result};
use crate::files::names::{entry_kind, find, names_of};
use crate::files::types::{FileKind, Inode, kind_of};
use crate::files::view::FilesView;
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key};

/// Names, with the files that they lead to.
pub type Named = BTreeMap<Place, File>;

impl Changed {
    /// Names that are not there any more, and names that were not there before, or led elsewhere.
    pub fn names(&self, before: &FilesView, after: &FilesView) -> Result<(Named, Named)> {
        let (mut gone, mut come) = (Names::in_view(before), Names::in_view(after));
        for (key, (old, new)) in &self.items {
            match key.kind()? {
                ItemKind::Entry => {
                    for (value, names) in [(old, &mut gone), (new, &mut come)] {
                        if let Some(value) = value {
                            names.add(*key, value)?;
                        }
                    }
                }
                // A number that was given again: its names, and those in it, are others.
                ItemKind::Inode if is_given_again(old.as_deref(), new.as_deref())? => {
                    gone.add_all_of(Inode(key.inode()))?;
                    come.add_all_of(Inode(key.inode()))?;
                }
                _ => {}
            }
        }
        let (mut gone, mut come) = (gone.found, come.found);
        // A name that stands under another number, and leads to the same file.
        gone.retain(|place, file| match come.get(place) == Some(file) {
            true => come.remove(place).is_none(),
            false => true,
        });
        Ok((gone, come))
    }
}

fn is_given_again(old: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(false) };
    Ok(InodeRecord::decode(old)?.generation != InodeRecord::decode(new)?.generation)
}

/// Names of a tree that are collected.
struct Names<'a> {
    view: &'a FilesView,
    found: Named,
    /// The generations of directories and files that were asked for.
    generations: HashMap<u32, u32>,
}

impl<'a> Names<'a> {
    fn in_view(view: &'a FilesView) -> Names<'a> {
        Names { view, found: Named::new(), generations: HashMap::new() }
    }

    fn identity(&mut self, inode: u32) -> Result<Identity> {
        if let Some(&generation) = self.generations.get(&inode) {
            return Ok((inode, generation));
        }
        let generation = self.view.record(Inode(inode))?.generation;
        self.generations.insert(inode, generation);
        Ok((inode, generation))
    }

    fn add(&mut self, key: Key, value: &[u8]) -> Result<()> {
        if !self.view.holds_attachments(key.inode()) {
            let entry = EntryValue::decode(value)?;
            let place = Place { directory: self.identity(key.inode())?, name: entry.name.to_vec() };
            let file = File { identity: self.identity(entry.inode)?, kind: entry_kind(&entry) };
            self.found.insert(place, file);
        }
        Ok(())
    }

    /// Adds all names that lead to a file, and all that stand in it.
    fn add_all_of(&mut self, inode: Inode) -> Result<()> {
        let view = self.view;
        let reader = view.reader();
        let pages = &reader.pages;
        if inode != Inode::ROOT {
            for place in names_of(pages, inode, &view.record(inode)?)? {
                let key = Key::new(ItemKind::Entry, place.directory, place.cookie);
                let item = pages.get(key)?.ok_or_else(|| {
                    let expected = "the name that a file says it has";
                    Error::corrupt("look up the name of a file", "name", "none", expected)
                })?;
                self.add(key, &item)?;
            }
        }
        let (first, last) = Key::range(ItemKind::Entry, inode.0);
        pages.scan(first, last, |key, value| {
            self.add(key, value)?;
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// Which directory before a directory after stands for: itself, where it was there; else the one that
/// it was made anew in the place of, if that one is gone.
pub struct Counterparts<'a> {
    before: &'a FilesView,
    after: &'a FilesView,
    known: HashMap<Identity, Option<Identity>>,
}

impl<'a> Counterparts<'a> {
    pub fn between(before: &'a FilesView, after: &'a FilesView) -> Counterparts<'a> {
        Counterparts { before, after, known: HashMap::new() }
    }

    /// The place before that a place after stands for.
    pub fn of(&mut self, place: &Place) -> Result<Option<Place>> {
        let name = place.name.clone();
        Ok(self.directory(place.directory)?.map(|directory| Place { directory, name }))
    }

    /// Whether a file is a directory that is in both trees.
    pub fn is_directory_of_both(&self, file: &File) -> Result<bool> {
        Ok(file.kind == FileKind::Directory
            && is_directory(self.before, file.identity)?
            && is_directory(self.after, file.identity)?)
    }

    fn directory(&mut self, wanted: Identity) -> Result<Option<Identity>> {
        // New directories, each in the next one, up to one that is known.
        let mut below = Vec::new();
        let mut at = wanted;
        let mut found = loop {
            if let Some(&known) = self.known.get(&at) {
                break known;
            }
            if is_directory(self.before, at)? {
                self.known.insert(at, Some(at));
                break Some(at);
            }
            expect_way_to_root(below.len())?;
            let place = self.after.record(Inode(at.0))?.name;
            below.push((at, self.after.name_at(place)?));
            at = (place.directory, self.after.record(Inode(place.directory))?.generation);
        };
        while let Some((directory, name)) = below.pop() {
            found = match found {
                Some(above) => self.replaced(above, &name)?,
                None => None,
            };
            self.known.insert(directory, found);
        }
        Ok(found)
    }

    /// The directory of this name before, if it is gone.
    fn replaced(&self, above: Identity, name: &[u8]) -> Result<Option<Identity>> {
        let reader = self.before.reader();
        let Some(found) = find(&reader.pages, Inode(above.0), name)? else {
            return Ok(None);
        };
        let found = (found.inode.0, reader.record(found.inode)?.generation);
        Ok((is_directory(self.before, found)? && !is_directory(self.after, found)?)
            .then_some(found))
    }
}

/// Whether a directory of this number and generation has a name in a tree.
fn is_directory(view: &FilesView, (inode, generation): Identity) -> Result<bool> {
    let Some(record) = view.record_if_there(Inode(inode))? else { return Ok(false) };
    let is_it = record.generation == generation && record.links > 0;
    Ok(is_it && kind_of(&record)? == FileKind::Directory)
}
