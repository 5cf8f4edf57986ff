//! A page of the metadata tree: keys in order from the front, values from the back.
//!
//! Leaves hold items, inner pages the pages below them. A page is one block and is changed in
//! place by whoever holds it alone; the engine below turns that into copy-on-write.

use super::key::{KEY_BYTES, Key};
use super::superblock::LEVELS_MAX;
use crate::error::{Error, ErrorKind, Result};
use crate::format::fields::{FieldReader, FieldWriter};

/// The first four bytes of every page of a file tree: `sapf`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"sapf");
/// Page numbers are those of blocks of inode 0.
pub const PAGES_END: u32 = u32::MAX;
/// The size of the head of a page in bytes.
pub const HEAD_BYTES: usize = 32;
/// The size of a slot: a key, and where its value lies or which page is below.
pub const SLOT_BYTES: usize = KEY_BYTES + 4;

/// What tells these pages from the first one.
const PAGE_KIND: u16 = 1;

/// The fields of the head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "magic"),
    (4, "kind"),
    (6, "level"),
    (8, "page"),
    (12, "slots"),
    (16, "values start"),
    (20, "unused value bytes"),
    (24, "reserved"),
];

/// The longest value of an item in a page of `page_bytes`: four of them fit.
pub const fn item_bytes_max(page_bytes: usize) -> usize {
    (page_bytes - HEAD_BYTES) / 4 - SLOT_BYTES
}

/// A page that was verified when it was read, so that its parts can be used as they lie.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    bytes: Box<[u8]>,
    number: u32,
    level: u8,
    slots: usize,
    /// Where the values start.
    values: usize,
    /// Bytes behind `values` that belong to no item any more.
    unused: usize,
}

impl Page {
    /// An empty page of `page_bytes`: a leaf at level 0, an inner page above.
    pub fn empty(page_bytes: usize, number: u32, level: u8) -> Page {
        let bytes = vec![0; page_bytes].into_boxed_slice();
        Page { bytes, number, level, slots: 0, values: page_bytes, unused: 0 }
    }

    /// Verifies the page `number` whole: head, order of keys, bounds of values.
    pub fn decode(bytes: Box<[u8]>, number: u32) -> Result<Page> {
        let mut fields = FieldReader::new("a page of a file tree", &bytes);
        let magic = fields.u32("magic")?;
        fields.expect("magic", 4, magic, MAGIC)?;
        let kind = fields.u16("kind")?;
        fields.expect("kind", 2, kind, PAGE_KIND)?;
        let level = fields.u16("level")?;
        if level >= u16::from(LEVELS_MAX) {
            return Err(fields.bad("level", 2, level, format!("below {LEVELS_MAX}")));
        }
        let found = fields.u32("page")?;
        fields.expect("page", 4, found, number)?;
        let slots = fields.u32("slots")? as usize;
        if slots > (bytes.len() - HEAD_BYTES) / SLOT_BYTES {
            return Err(fields.bad("slots", 4, slots, "as many as a page holds"));
        }
        let values = fields.u32("values start")? as usize;
        if values > bytes.len() || values < HEAD_BYTES + slots * SLOT_BYTES {
            return Err(fields.bad("values start", 4, values, "behind the slots, in the page"));
        }
        let unused = fields.u32("unused value bytes")? as usize;
        fields.zeros_until("reserved", HEAD_BYTES)?;
        let page = Page { bytes, number, level: level as u8, slots, values, unused };
        page.verify_slots()?;
        Ok(page)
    }

    fn verify_slots(&self) -> Result<()> {
        let bad = |slot: usize, field, found: String, expected: &str| {
            Error::corrupt("read a page of a file tree", field, found, expected)
                .at_offset((HEAD_BYTES + slot * SLOT_BYTES) as u64)
        };
        let mut sum = 0;
        for slot in 0..self.slots {
            if slot > 0 && self.key(slot - 1) >= self.key(slot) {
                return Err(bad(slot, "key", "one not above the last".into(), "keys in order"));
            }
            if self.level > 0 {
                if self.child(slot) == 0 || self.child(slot) == PAGES_END {
                    return Err(bad(slot, "page below", "none".into(), "a page"));
                }
                continue;
            }
            let (start, length) = self.value_place(slot);
            if start < self.values || start + length > self.bytes.len() {
                let found = format!("{length} bytes at {start}");
                return Err(bad(slot, "value", found, "a place behind the start of values"));
            }
            sum += length;
        }
        let there = self.bytes.len() - self.values;
        if sum + self.unused != there {
            let found = format!("{sum} and {} unused", self.unused);
            return Err(bad(self.slots, "value bytes", found, "what lies behind their start"));
        }
        Ok(())
    }

    /// The bytes to write.
    pub fn encode(&mut self) -> &[u8] {
        FieldWriter::new(&mut self.bytes)
            .u32(MAGIC)
            .u16(PAGE_KIND)
            .u16(u16::from(self.level))
            .u32(self.number)
            .u32(self.slots as u32)
            .u32(self.values as u32)
            .u32(self.unused as u32)
            .u64(0);
        &self.bytes
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        self.level
    }

    /// How many items or pages below it holds.
    pub fn len(&self) -> usize {
        self.slots
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// How many bytes its slots and values take.
    pub fn used_bytes(&self) -> usize {
        self.slots * SLOT_BYTES + self.bytes.len() - self.values - self.unused
    }

    /// How many bytes slots and values can take.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes.len() - HEAD_BYTES
    }

    /// The key in a slot.
    pub fn key(&self, slot: usize) -> Key {
        let at = HEAD_BYTES + slot * SLOT_BYTES;
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(&self.bytes[at..at + KEY_BYTES]);
        Key::from_bytes(&bytes)
    }

    /// The value in a slot of a leaf.
    pub fn value(&self, slot: usize) -> &[u8] {
        let (start, length) = self.value_place(slot);
        &self.bytes[start..start + length]
    }

    /// The page below in a slot of an inner page.
    pub fn child(&self, slot: usize) -> u32 {
        let at = HEAD_BYTES + slot * SLOT_BYTES + KEY_BYTES;
        let bytes = &self.bytes[at..at + 4];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Where `key` stands, or where it would.
    pub fn search(&self, key: Key) -> std::result::Result<usize, usize> {
        let (mut low, mut high) = (0, self.slots);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.key(middle).cmp(&key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Of an inner page: the slot whose page holds `key`. Keys below the first belong to it.
    pub fn slot_for(&self, key: Key) -> Result<usize> {
        if self.slots == 0 {
            return Err(Error::corrupt("walk a file tree", "slots", 0, "pages below"));
        }
        Ok(match self.search(key) {
            Ok(slot) => slot,
            Err(after) => after.saturating_sub(1),
        })
    }

    /// Whether a value of `length` bytes, or a page below, has room.
    pub fn has_room(&self, length: usize) -> bool {
        self.used_bytes() + SLOT_BYTES + length <= self.capacity_bytes()
    }

    /// Puts a value before slot `at`. The caller has seen that there is room, and keeps the order.
    pub fn insert(&mut self, at: usize, key: Key, value: &[u8]) {
        assert!(self.has_room(value.len()), "a page is split before it overflows");
        let slots_end = HEAD_BYTES + (self.slots + 1) * SLOT_BYTES;
        if self.values < slots_end + value.len() {
            self.compact();
        }
        self.values -= value.len();
        let start = self.values;
        self.bytes[start..start + value.len()].copy_from_slice(value);
        // A value without bytes lies nowhere: its place must still be inside the page.
        let place = if value.is_empty() { 0 } else { start as u16 };
        self.open_slot(at, key);
        self.write_place(at, place, value.len() as u16);
    }

    /// Puts a page before slot `at`.
    pub fn insert_child(&mut self, at: usize, key: Key, child: u32) {
        assert!(self.has_room(0), "a page is split before it overflows");
        self.open_slot(at, key);
        self.set_child(at, child);
    }

    /// Points a slot at another page.
    pub fn set_child(&mut self, slot: usize, child: u32) {
        let at = HEAD_BYTES + slot * SLOT_BYTES + KEY_BYTES;
        self.bytes[at..at + 4].copy_from_slice(&child.to_le_bytes());
    }

    /// Writes a value of the same length over that of a slot; false where the lengths differ.
    pub fn overwrite(&mut self, slot: usize, value: &[u8]) -> bool {
        let (start, length) = self.value_place(slot);
        if length != value.len() {
            return false;
        }
        self.bytes[start..start + length].copy_from_slice(value);
        true
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: usize) {
        if self.level == 0 {
            let (start, length) = self.value_place(slot);
            if start == self.values {
                self.values += length;
            } else {
                self.unused += length;
            }
        }
        let at = HEAD_BYTES + slot * SLOT_BYTES;
        let end = HEAD_BYTES + self.slots * SLOT_BYTES;
        self.bytes.copy_within(at + SLOT_BYTES..end, at);
        self.slots -= 1;
    }

    /// Takes the slots from `at` on into a new page `number` of the same level.
    #[must_use]
    pub fn split_off(&mut self, at: usize, number: u32) -> Page {
        let mut right = Page::empty(self.bytes.len(), number, self.level);
        right.append_slots(self, at..self.slots);
        let mut left = Page::empty(self.bytes.len(), self.number, self.level);
        left.append_slots(self, 0..at);
        *self = left;
        right
    }

    /// Takes over all slots of `next`, whose keys are above: the caller has seen that they fit.
    pub fn append_all(&mut self, next: &Page) {
        self.append_slots(next, 0..next.slots);
    }

    fn append_slots(&mut self, from: &Page, slots: std::ops::Range<usize>) {
        for slot in slots {
            let at = self.slots;
            match self.level {
                0 => self.insert(at, from.key(slot), from.value(slot)),
                _ => self.insert_child(at, from.key(slot), from.child(slot)),
            }
        }
    }

    /// Writes the values anew without the unused bytes between them.
    fn compact(&mut self) {
        let mut tidy = Page::empty(self.bytes.len(), self.number, self.level);
        let slots_end = HEAD_BYTES + self.slots * SLOT_BYTES;
        tidy.bytes[HEAD_BYTES..slots_end].copy_from_slice(&self.bytes[HEAD_BYTES..slots_end]);
        tidy.slots = self.slots;
        for slot in 0..self.slots {
            let value = self.value(slot);
            tidy.values -= value.len();
            let start = tidy.values;
            tidy.bytes[start..start + value.len()].copy_from_slice(value);
            let place = if value.is_empty() { 0 } else { start as u16 };
            tidy.write_place(slot, place, value.len() as u16);
        }
        *self = tidy;
    }

    fn open_slot(&mut self, at: usize, key: Key) {
        let start = HEAD_BYTES + at * SLOT_BYTES;
        let end = HEAD_BYTES + self.slots * SLOT_BYTES;
        self.bytes.copy_within(start..end, start + SLOT_BYTES);
        self.bytes[start..start + KEY_BYTES].copy_from_slice(&key.to_bytes());
        self.slots += 1;
    }

    fn write_place(&mut self, slot: usize, start: u16, length: u16) {
        let at = HEAD_BYTES + slot * SLOT_BYTES + KEY_BYTES;
        self.bytes[at..at + 2].copy_from_slice(&start.to_le_bytes());
        self.bytes[at + 2..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Where the value of a slot lies; of one without bytes the end of the page.
    fn value_place(&self, slot: usize) -> (usize, usize) {
        let at = HEAD_BYTES + slot * SLOT_BYTES + KEY_BYTES;
        let half =
            |at: usize| usize::from(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]));
        match (half(at), half(at + 2)) {
            (_, 0) => (self.bytes.len(), 0),
            place => place,
        }
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("number", &self.number)
            .field("level", &self.level)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// That a page is where a walk expects it: at this level.
pub fn expect_level(page: &Page, level: u8) -> Result<()> {
    if page.level() == level {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "walk a file tree").about(
        "level of a page",
        format!("{} in page {}", page.level(), page.number()),
        level,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::key::ItemKind;
    use super::*;

    fn key(number: u64) -> Key {
        Key::new(ItemKind::Content, 1, number)
    }

    #[test]
    fn a_page_holds_what_is_put_in_whatever_the_order() {
        for page_bytes in [4096, 65536] {
            let mut page = Page::empty(page_bytes, 7, 0);
            let mut expected = std::collections::BTreeMap::new();
            let mut number = 1_u64;
            // Inserted, removed and grown until values were compacted many times.
            for round in 0..4000_u64 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
                let (chosen, length) = (key(number >> 58), (number >> 33) as usize % 60);
                let value = vec![number as u8; length];
                if let Ok(slot) = page.search(chosen) {
                    if !page.overwrite(slot, &value) {
                        page.remove(slot);
                        expected.remove(&chosen);
                    } else {
                        expected.insert(chosen, value.clone());
                    }
                }
                if let Err(slot) = page.search(chosen)
                    && page.has_room(value.len())
                {
                    page.insert(slot, chosen, &value);
                    expected.insert(chosen, value);
                }
            }
            let read = Page::decode(page.encode().into(), 7).unwrap();
            assert_eq!(read.len(), expected.len());
            for (slot, (key, value)) in expected.iter().enumerate() {
                assert_eq!((read.key(slot), read.value(slot)), (*key, &value[..]));
            }
        }
    }

    #[test]
    fn a_split_page_and_its_other_half_join_again() {
        let mut page = Page::empty(4096, 1, 0);
        for number in 0..40 {
            page.insert(page.len(), key(number), &[number as u8; 30]);
        }
        let whole = page.clone();
        let right = page.split_off(13, 2);
        assert_eq!((page.len(), right.len(), right.number()), (13, 27, 2));
        assert_eq!(right.key(0), key(13));
        page.append_all(&right);
        assert_eq!(page.encode(), whole.clone().encode());
    }

    #[test]
    fn made_up_pages_are_refused() {
        let mut page = Page::empty(4096, 1, 0);
        page.insert(0, key(1), b"one");
        page.insert(1, key(2), b"two");
        let bytes: Box<[u8]> = page.encode().into();
        assert!(Page::decode(bytes.clone(), 1).is_ok());
        assert!(Page::decode(bytes.clone(), 2).is_err(), "of another place");
        let mut refused = 0;
        for bit in 0..8 * (HEAD_BYTES + 2 * SLOT_BYTES) {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refused += usize::from(Page::decode(bad, 1).is_err());
        }
        // What is left are bits of keys that keep their order; a block's checksum guards those.
        assert!(refused > 8 * HEAD_BYTES - 16, "{refused}");
    }

    #[test]
    fn four_of_the_longest_values_fit() {
        for page_bytes in [4096, 65536] {
            let mut page = Page::empty(page_bytes, 1, 0);
            let value = vec![1; item_bytes_max(page_bytes)];
            for number in 0..4 {
                assert!(page.has_room(value.len()));
                page.insert(page.len(), key(number), &value);
            }
            assert!(!page.has_room(0));
        }
    }
}
