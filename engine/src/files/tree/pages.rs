//! Reading the tree: from a key to its item, and over ranges of keys.

use std::ops::{ControlFlow, Deref};
use std::sync::Arc;

use super::bytes::TreeBytes;
use super::{Page, PageCache, PageMap};
use crate::error::{Error, Result};
use crate::files::blocks::Blocks;
use crate::format::files::page::expect_level;
use crate::format::files::{Key, Superblock};
use crate::units::BlockAddress;

/// The pages of a tree at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// Where the tree begins.
    pub superblock: &'a Superblock,
    /// Pages that were changed and not written yet.
    pub changed: Option<&'a PageMap>,
    /// Pages as they are in the blocks.
    pub cache: &'a PageCache,
    /// The blocks.
    pub blocks: &'a dyn Blocks,
}

/// The value of an item, where it lies.
#[derive(Clone, Debug)]
pub struct Item {
    page: Arc<Page>,
    slot: usize,
}

impl Deref for Item {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.page.value(self.slot)
    }
}

/// The page that a walk ended in, and the keys that may stand in it.
pub(super) struct Leaf {
    pub page: Arc<Page>,
    /// No key of the page is below this one.
    pub start: Key,
    /// All keys of the page are below this one; none where it is the last.
    pub end: Option<Key>,
    /// The pages above, from the root on, with the slot that was taken in each.
    pub path: Vec<(u32, usize)>,
}

impl Pages<'_> {
    /// The item of a key.
    pub fn get(&self, key: Key) -> Result<Option<Item>> {
        let leaf = self.leaf(key)?;
        Ok(leaf.page.search(key).ok().map(|slot| Item { page: leaf.page, slot }))
    }

    /// Shows each item from `first` to `last`, both included, in order, until `each` has enough.
    pub fn scan(
        &self,
        first: Key,
        last: Key,
        mut each: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut from = first;
        loop {
            let leaf = self.leaf(from)?;
            let start = leaf.page.search(from).unwrap_or_else(|after| after);
            for slot in start..leaf.page.len() {
                let key = leaf.page.key(slot);
                if key > last || each(key, leaf.page.value(slot))?.is_break() {
                    return Ok(());
                }
            }
            match leaf.end {
                Some(end) if end <= last => from = end,
                _ => return Ok(()),
            }
        }
    }

    /// The number of the leaf where `key` stands or would.
    pub fn leaf_number(&self, key: Key) -> Result<u32> {
        Ok(self.leaf(key)?.page.number())
    }

    /// Walks to the leaf where `key` stands or would.
    pub(super) fn leaf(&self, key: Key) -> Result<Leaf> {
        self.walk_to(key, 0)
    }

    /// Walks to the page of level `last` where `key` stands or would.
    ///
    /// Each page must lie where the keys of the pages above say: so a walk over a made-up
    /// tree, in which a page stands in several places, ends too (INV-05).
    pub(super) fn walk_to(&self, key: Key, last: u8) -> Result<Leaf> {
        let (mut number, mut level) = (self.superblock.root, self.superblock.levels - 1);
        let (mut start, mut end): (Key, Option<Key>) = (Key::MIN, None);
        let mut path = Vec::with_capacity(usize::from(level));
        loop {
            let page = self.page(number)?;
            expect_level(&page, level)?;
            expect_keys(&page, start, end, path.is_empty())?;
            if level == last {
                return Ok(Leaf { page, start, end, path });
            }
            let slot = page.slot_for(key)?;
            if slot > 0 {
                start = page.key(slot);
            }
            if slot + 1 < page.len() {
                end = Some(page.key(slot + 1));
            }
            path.push((number, slot));
            number = page.child(slot);
            level -= 1;
        }
    }

    /// The page of a number.
    pub fn page(&self, number: u32) -> Result<Arc<Page>> {
        if let Some(page) = self.changed.and_then(|changed| changed.get(&number)) {
            return Ok(Arc::clone(page));
        }
        if let Some(page) = self.cache.get(number) {
            return Ok(page);
        }
        if number == 0 || number >= self.superblock.pages_end {
            let expected = format!("1 to {}", self.superblock.pages_end - 1);
            return Err(Error::corrupt("walk a file tree", "page", number, expected));
        }
        let address = BlockAddress(number.into());
        let bytes = match self.blocks.share(address)? {
            Some(block) => TreeBytes::Shared(block),
            None => {
                let mut bytes = vec![0; self.blocks.block_size().bytes_usize()];
                self.blocks.read(address, 0, &mut bytes)?;
                TreeBytes::Own(bytes.into())
            }
        };
        let page = Arc::new(Page::decode(bytes, number).map_err(|error| {
            let place = u64::from(number) << self.blocks.block_size().log2();
            error.shifted_by(place)
        })?);
        self.cache.put(Arc::clone(&page));
        Ok(page)
    }
}

fn expect_keys(page: &Page, start: Key, end: Option<Key>, is_root: bool) -> Result<()> {
    let bad = |found: String| {
        let expected = "keys between those of the page above";
        Err(Error::corrupt("walk a file tree", "keys of a page", found, expected))
    };
    if page.is_empty() {
        let allowed = is_root && page.level() == 0;
        return if allowed { Ok(()) } else { bad(format!("none in page {}", page.number())) };
    }
    // Of an inner page the first key only bounds what is left of the second.
    let first = if page.level() == 0 { page.key(0) } else { start };
    let last = page.key(page.len() - 1);
    if first < start || end.is_some_and(|end| last >= end) {
        return bad(format!("others in page {}", page.number()));
    }
    Ok(())
}
