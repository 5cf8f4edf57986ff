//! Changing the tree: transactions, and items put in and taken out.

use std::collections::BTreeSet;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::pages::Leaf;
use super::space::Space;
use super::{Page, PageCache, PageMap, Pages};
use crate::error::Result;
use crate::files::blocks::Blocks;
use crate::format::files::{Held, Key, Superblock};

/// A page that holds less than this part of what it could is joined with a neighbour.
const SPARSE_PART: usize = 4;

/// A full page is evened out with a neighbour where this part of each is free then.
const SHIFT_PART: usize = 10;

/// A tree that is being changed: what was changed since it was last written stands in memory.
#[derive(Debug)]
pub struct Tree {
    pub(super) superblock: Superblock,
    pub(super) superblock_changed: bool,
    pub(super) changed: PageMap,
    /// Pages that are in the volume and in no tree any more: to be discarded.
    pub(super) freed: BTreeSet<u32>,
    pub(super) space: Space,
    pub(super) page_bytes: usize,
    undo: Option<Undo>,
}

/// What takes a transaction back.
#[derive(Debug)]
struct Undo {
    superblock: Superblock,
    superblock_changed: bool,
    /// What `changed` held for each page that the transaction touched.
    pages: std::collections::HashMap<u32, Option<Arc<Page>>>,
    /// What became of numbers of pages, in order.
    steps: Vec<Step>,
}

/// What a transaction did with a number of a page.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// It was freed.
    Freed(u32),
    /// It was used again, before it was discarded.
    TakenFromFreed(u32),
    /// It was used again, after it was discarded.
    TakenFromSpare(u32),
}

/// The tree with what it is stored in: what all changes go through.
pub struct Change<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) cache: &'a PageCache,
    pub(super) blocks: &'a dyn Blocks,
}

impl Tree {
    /// The tree that `superblock` describes, as it is in the volume.
    pub fn new(superblock: Superblock, page_bytes: usize) -> Tree {
        let space = Space::up_to(superblock.pages_end);
        Tree {
            superblock,
            superblock_changed: false,
            changed: PageMap::default(),
            freed: BTreeSet::new(),
            space,
            page_bytes,
            undo: None,
        }
    }

    /// A tree with nothing in it: one empty leaf.
    pub fn create(superblock: Superblock, page_bytes: usize) -> Tree {
        let root = superblock.root;
        let mut tree = Tree::new(superblock, page_bytes);
        // Its pages are not in the volume yet: what reads as a hole there is not free.
        tree.space = Space::none_below(tree.superblock.pages_end);
        tree.superblock_changed = true;
        tree.changed.insert(root, Arc::new(Page::empty(page_bytes, root, 0)));
        tree
    }

    /// What the first page says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The first page, to change it.
    pub fn superblock_mut(&mut self) -> &mut Superblock {
        self.superblock_changed = true;
        &mut self.superblock
    }

    /// Whether there is anything to write.
    pub fn is_changed(&self) -> bool {
        self.superblock_changed || !self.changed.is_empty() || !self.freed.is_empty()
    }

    /// How many bytes of pages wait to be written.
    pub fn changed_bytes(&self) -> usize {
        self.changed.len() * self.page_bytes
    }

    /// Shows a tree that can never be written as it is: there is nothing to write.
    pub fn forget_changes(&mut self) {
        self.superblock_changed = false;
    }

    /// The pages, to read.
    pub fn pages<'a>(&'a self, cache: &'a PageCache, blocks: &'a dyn Blocks) -> Pages<'a> {
        Pages { superblock: &self.superblock, changed: Some(&self.changed), cache, blocks }
    }

    /// Does `change` whole: after an error the tree is as it was before.
    pub fn transaction<T>(
        &mut self,
        cache: &PageCache,
        blocks: &dyn Blocks,
        change: impl FnOnce(&mut Change<'_>) -> Result<T>,
    ) -> Result<T> {
        self.undo = Some(Undo {
            superblock: self.superblock.clone(),
            superblock_changed: self.superblock_changed,
            pages: Default::default(),
            steps: Vec::new(),
        });
        let done = change(&mut Change { tree: self, cache, blocks });
        let undo = self.undo.take().expect("set above");
        if done.is_err() {
            self.superblock = undo.superblock;
            self.superblock_changed = undo.superblock_changed;
            for step in undo.steps.into_iter().rev() {
                match step {
                    Step::Freed(number) => {
                        self.freed.remove(&number);
                    }
                    Step::TakenFromFreed(number) => {
                        self.freed.insert(number);
                    }
                    Step::TakenFromSpare(number) => self.space.spare.push(number),
                }
            }
            for (number, page) in undo.pages {
                match page {
                    Some(page) => self.changed.insert(number, page),
                    None => self.changed.remove(&number),
                };
            }
        }
        done
    }

    pub(super) fn note_step(&mut self, step: Step) {
        if let Some(undo) = &mut self.undo {
            undo.steps.push(step);
        }
    }

    fn note_for_undo(&mut self, number: u32) {
        if let Some(undo) = &mut self.undo {
            undo.pages.entry(number).or_insert_with(|| self.changed.get(&number).cloned());
        }
    }
}

impl Change<'_> {
    /// The pages as the transaction has left them so far.
    pub fn pages(&self) -> Pages<'_> {
        self.tree.pages(self.cache, self.blocks)
    }

    /// What the first page says.
    pub fn superblock(&self) -> &Superblock {
        self.tree.superblock()
    }

    /// The first page, to change it.
    pub fn superblock_mut(&mut self) -> &mut Superblock {
        self.tree.superblock_mut()
    }

    /// Puts an item in, in place of the one of the same key.
    pub fn put(&mut self, key: Key, value: &[u8]) -> Result<()> {
        let Leaf { page, .. } = match self.pages().leaf(key)? {
            leaf if leaf.page.search(key).is_err() => {
                return self.insert(leaf, key, Held::Value(value));
            }
            leaf => leaf,
        };
        let slot = page.search(key).unwrap_or_else(|slot| slot);
        if page.value(slot) == value {
            return Ok(());
        }
        let page = self.edit(page);
        if page.overwrite(slot, value) {
            return Ok(());
        }
        page.remove(slot);
        if page.has_room(&[key], value.len()) {
            page.insert(slot, key, Held::Value(value));
            return Ok(());
        }
        let leaf = self.pages().leaf(key)?;
        self.insert(leaf, key, Held::Value(value))
    }

    /// Takes an item out; whether there was one.
    pub fn remove(&mut self, key: Key) -> Result<bool> {
        let leaf = self.pages().leaf(key)?;
        let Ok(slot) = leaf.page.search(key) else { return Ok(false) };
        let Leaf { page, path, .. } = leaf;
        let number = page.number();
        self.edit(page).remove(slot);
        self.tidy(path, number)?;
        Ok(true)
    }

    /// Takes out all items from `first` to `last`; how many there were.
    pub fn remove_range(&mut self, first: Key, last: Key) -> Result<u64> {
        let mut count = 0;
        loop {
            let mut next = None;
            self.pages().scan(first, last, |key, _| {
                next = Some(key);
                Ok(std::ops::ControlFlow::Break(()))
            })?;
            let Some(key) = next else { return Ok(count) };
            self.remove(key)?;
            count += 1;
        }
    }

    /// A page, to change it.
    fn edit(&mut self, page: Arc<Page>) -> &mut Page {
        let number = page.number();
        self.tree.note_for_undo(number);
        self.cache.remove(number);
        let page = match self.tree.changed.entry(number) {
            Entry::Occupied(entry) => {
                // It is held once less, and need not be copied for that.
                drop(page);
                entry.into_mut()
            }
            Entry::Vacant(entry) => entry.insert(page),
        };
        // Copied where the undo or the cache holds it too.
        Arc::make_mut(page)
    }

    fn edit_number(&mut self, number: u32) -> Result<&mut Page> {
        let page = self.pages().page(number)?;
        Ok(self.edit(page))
    }

    /// Puts a page in place of what its number was.
    fn put_page(&mut self, page: Page) {
        self.tree.note_for_undo(page.number());
        self.cache.remove(page.number());
        self.tree.changed.insert(page.number(), Arc::new(page));
    }

    /// Puts something into the page that a walk to its key has ended in, which does not have it;
    /// the page is split where it is full.
    fn insert(&mut self, mut at: Leaf, key: Key, held: Held<'_>) -> Result<()> {
        loop {
            let slot = at.page.search(key).unwrap_or_else(|slot| slot);
            // What is below the first key of an inner page belongs to the page there. Before
            // another comes in between, the key says so.
            let lower = at.page.level() > 0 && slot == 0;
            let keys = if lower { &[key, at.start][..] } else { &[key] };
            if at.page.has_room(keys, held.bytes()) {
                let page = self.edit(at.page);
                if lower {
                    let first = page.child(0);
                    page.remove(0);
                    page.insert(0, at.start, Held::Page(first));
                }
                page.insert(slot + usize::from(lower), key, held);
                return Ok(());
            }
            let level = at.page.level();
            let place = split_place(&at.page, slot, key);
            let in_between = place != slot && level == 0;
            if !(in_between && self.shift(&at, key, held.bytes())?)
                && self.split(at, slot, place, key, held)?
            {
                return Ok(());
            }
            at = self.pages().walk_to(key, level)?;
        }
    }

    /// Evens a full leaf out with one beside it that has room, so that what comes in no order fills
    /// pages too. Whether there was one, and something of `bytes` bytes has room under `key` now.
    fn shift(&mut self, at: &Leaf, key: Key, bytes: usize) -> Result<bool> {
        let Some(&(above, slot)) = at.path.last() else { return Ok(false) };
        let parent = self.pages().page(above)?;
        let lefts = [Some(slot).filter(|_| slot + 1 < parent.len()), slot.checked_sub(1)];
        for left_slot in lefts.into_iter().flatten() {
            let left = self.pages().page(parent.child(left_slot))?;
            let right = self.pages().page(parent.child(left_slot + 1))?;
            let room = left.capacity_bytes() / SHIFT_PART;
            let both = left.bytes_with(&right) + bytes;
            if both + 2 * room > left.capacity_bytes() * 2 {
                continue;
            }
            let Some((left, right)) = left.evened(&right) else { continue };
            let separator = right.key(0);
            let goes_into = if key < separator { &left } else { &right };
            if !goes_into.has_room(&[key], bytes) || !parent.has_room(&[separator], 0) {
                continue;
            }
            let number = right.number();
            self.put_page(left);
            self.put_page(right);
            let parent = self.edit(parent);
            parent.remove(left_slot + 1);
            parent.insert(left_slot + 1, separator, Held::Page(number));
            return Ok(true);
        }
        Ok(false)
    }

    /// Splits a page at `place`: it has no room for something before its slot `slot`. Whether that
    /// was put in: where it belongs at an end, it gets a page of its own.
    fn split(
        &mut self,
        at: Leaf,
        slot: usize,
        place: usize,
        key: Key,
        held: Held<'_>,
    ) -> Result<bool> {
        let number = self.allocate_page()?;
        let left_number = at.page.number();
        let page = self.edit(at.page);
        let mut right = page.split_off(place, number);
        let empty = [&mut *page, &mut right].into_iter().find(|half| half.is_empty());
        let is_put = empty.is_some();
        if let Some(half) = empty {
            debug_assert_eq!(slot, place, "at an end");
            half.insert(0, key, held);
        }
        let (separator, level) = (right.key(0), right.level());
        self.put_page(right);
        if at.path.is_empty() {
            self.grow(left_number, separator, number)?;
        } else {
            let above = self.pages().walk_to(separator, level + 1)?;
            self.insert(above, separator, Held::Page(number))?;
        }
        Ok(is_put)
    }

    /// Puts a root above the root.
    fn grow(&mut self, left: u32, separator: Key, right: u32) -> Result<()> {
        let number = self.allocate_page()?;
        let levels = self.superblock().levels;
        let mut root = Page::empty(self.tree.page_bytes, number, levels);
        root.insert(0, Key::MIN, Held::Page(left));
        root.insert(1, separator, Held::Page(right));
        self.put_page(root);
        let superblock = self.superblock_mut();
        superblock.root = number;
        superblock.levels += 1;
        Ok(())
    }

    /// Frees a page that has become empty, or joins it with a neighbour where both hold little.
    fn tidy(&mut self, mut path: Vec<(u32, usize)>, mut number: u32) -> Result<()> {
        while let Some((above, slot)) = path.pop() {
            let page = self.pages().page(number)?;
            if page.used_bytes() >= page.capacity_bytes() / SPARSE_PART {
                return Ok(());
            }
            if page.is_empty() {
                self.free_page(number);
                self.edit_number(above)?.remove(slot);
            } else if !self.join(above, slot)? {
                return Ok(());
            }
            number = above;
        }
        // Only the root is left: one page below it takes its place.
        loop {
            let root = self.superblock().root;
            let page = self.pages().page(root)?;
            if page.level() > 0 && page.is_empty() {
                self.free_page(root);
                let fresh = self.allocate_page()?;
                self.put_page(Page::empty(self.tree.page_bytes, fresh, 0));
                let superblock = self.superblock_mut();
                (superblock.root, superblock.levels) = (fresh, 1);
            }
            if page.level() == 0 || page.len() != 1 {
                return Ok(());
            }
            let below = page.child(0);
            self.free_page(root);
            let superblock = self.superblock_mut();
            superblock.root = below;
            superblock.levels -= 1;
        }
    }

    /// Joins the page in a slot with one of its neighbours, where both fit well into one.
    fn join(&mut self, above: u32, slot: usize) -> Result<bool> {
        let parent = self.pages().page(above)?;
        let lefts = [Some(slot).filter(|_| slot + 1 < parent.len()), slot.checked_sub(1)];
        for left_slot in lefts.into_iter().flatten() {
            let (left, right) = (parent.child(left_slot), parent.child(left_slot + 1));
            let right_page = self.pages().page(right)?;
            let left_page = self.pages().page(left)?;
            if left_page.bytes_with(&right_page) > left_page.capacity_bytes() / 4 * 3 {
                continue;
            }
            self.edit(left_page).append_all(&right_page);
            self.free_page(right);
            self.edit_number(above)?.remove(left_slot + 1);
            return Ok(true);
        }
        Ok(false)
    }

    fn free_page(&mut self, number: u32) {
        self.tree.note_for_undo(number);
        self.cache.remove(number);
        self.tree.changed.remove(&number);
        self.tree.freed.insert(number);
        self.tree.note_step(Step::Freed(number));
        self.superblock_mut().pages -= 1;
    }
}

/// Where a full page is split for something that belongs before slot `place`.
///
/// What is written in order fills its pages: a page is cut where the item goes in if that is
/// its end, or the border to items of another kind or file. Else in the middle of its bytes.
fn split_place(page: &Page, place: usize, key: Key) -> usize {
    let kin = |slot: usize| {
        let other = page.key(slot);
        let of = |key: Key| key.kind().map_or(u8::MAX, |kind| kind as u8);
        let same_file = of(key) == 1 || other.inode() == key.inode();
        of(other) == of(key) && same_file
    };
    if place == page.len() || page.len() == 1 {
        return place;
    }
    if place > 0 && kin(place - 1) && !kin(place) {
        return place;
    }
    let half = page.used_bytes() / 2;
    let mut sum = 0;
    for slot in 0..page.len() {
        sum += page.slot_bytes() + page.held(slot).bytes();
        if sum >= half {
            return (slot + 1).min(page.len() - 1);
        }
    }
    page.len() / 2
}
