//! A page of the metadata tree: keys in order from the front, values from the back.
//!
//! Leaves hold items, inner pages the pages below them. A page is one block and is changed in
//! place by whoever holds it alone; the engine below turns that into copy-on-write.

mod edit;
mod frame;
#[cfg(test)]
mod tests;

pub use frame::KeyFrame;

use super::key::{KEY_BYTES, Key};
use crate::error::{Error, ErrorKind, Result};
use crate::format::fields::{FieldReader, FieldWriter};

/// The first four bytes of every page of a file tree: `sapf`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"sapf");
/// The deepest tree there can be: more pages than there are numbers for need less.
pub const LEVELS_MAX: u8 = 16;
/// Page numbers are those of blocks of inode 0.
pub const PAGES_END: u32 = u32::MAX;
/// The size of the head of a page in bytes.
pub const HEAD_BYTES: usize = 40;
/// The size of a slot besides its part of the key: where its value lies, or the page below.
const PLACE_BYTES: usize = 4;
const COMMON_OFFSET: usize = 16;
const VALUES_OFFSET: usize = 32;

/// What tells these pages from the first one.
const PAGE_KIND: u16 = 1;

/// The fields of the head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "magic"),
    (4, "kind"),
    (6, "level"),
    (8, "page"),
    (12, "slots"),
    (14, "key bytes from"),
    (15, "key bytes to"),
    (COMMON_OFFSET, "common key"),
    (29, "reserved"),
    (VALUES_OFFSET, "values start"),
    (36, "unused value bytes"),
];

/// The longest value of an item in a page of `page_bytes`: four of them fit.
pub const fn item_bytes_max(page_bytes: usize) -> usize {
    (page_bytes - HEAD_BYTES) / 4 - KEY_BYTES - PLACE_BYTES
}

/// What holds the bytes of a page.
pub trait PageBytes: AsRef<[u8]> + From<Box<[u8]>> {
    /// The bytes, to change them: its own from here on, if they were not.
    fn own(&mut self) -> &mut [u8];
}

impl PageBytes for Box<[u8]> {
    fn own(&mut self) -> &mut [u8] {
        self
    }
}

/// A page that was verified when it was read, so that its parts can be used as they lie.
#[derive(Clone, PartialEq, Eq)]
pub struct Page<B = Box<[u8]>> {
    bytes: B,
    number: u32,
    level: u8,
    frame: KeyFrame,
    slots: usize,
    /// Where the values start.
    values: usize,
    /// Bytes behind `values` that belong to no item any more.
    unused: usize,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// Of a leaf: the value of an item.
    Value(&'a [u8]),
    /// Of an inner page: the page below.
    Page(u32),
}

impl Held<'_> {
    /// How many bytes it takes besides its slot.
    pub fn bytes(&self) -> usize {
        match self {
            Held::Value(value) => value.len(),
            Held::Page(_) => 0,
        }
    }
}

impl<B: PageBytes> Page<B> {
    /// An empty page of `page_bytes`: a leaf at level 0, an inner page above.
    pub fn empty(page_bytes: usize, number: u32, level: u8) -> Page<B> {
        let bytes = B::from(vec![0; page_bytes].into_boxed_slice());
        let frame = KeyFrame::EMPTY;
        Page { bytes, number, level, frame, slots: 0, values: page_bytes, unused: 0 }
    }

    /// Verifies the page `number` whole: head, order of keys, bounds of values.
    pub fn decode(holder: B, number: u32) -> Result<Page<B>> {
        let bytes = holder.as_ref();
        let mut fields = FieldReader::new("a page of a file tree", bytes);
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
        let slots = usize::from(fields.u16("slots")?);
        let (start, end) = (fields.u8("key bytes from")?, fields.u8("key bytes to")?);
        let mut common = [0; KEY_BYTES];
        common.copy_from_slice(fields.raw("common key", KEY_BYTES)?);
        let common = Key::from_bytes(&common);
        let Some(frame) = KeyFrame::read(common, start.into(), end.into()) else {
            let found = format!("{start} to {end} beside the common key");
            return Err(fields.bad("key bytes", KEY_BYTES + 2, found, "bytes that it has not"));
        };
        fields.zeros_until("reserved", VALUES_OFFSET)?;
        let values = fields.u32("values start")? as usize;
        let slots_end = HEAD_BYTES + slots * (frame.width() + PLACE_BYTES);
        if values > bytes.len() || values < slots_end {
            let expected = format!("behind the slots, which end at {slots_end}, in the page");
            return Err(fields.bad("values start", 4, values, expected));
        }
        let unused = fields.u32("unused value bytes")? as usize;
        let level = level as u8;
        let page = Page { bytes: holder, number, level, frame, slots, values, unused };
        page.verify_slots()?;
        Ok(page)
    }

    fn verify_slots(&self) -> Result<()> {
        let bad = |slot: usize, field, found: String, expected: &str| {
            Error::corrupt("read a page of a file tree", field, found, expected)
                .at_offset(self.slot_offset(slot) as u64)
        };
        let mut sum = 0;
        for slot in 0..self.slots {
            if slot > 0 && self.part(slot - 1) >= self.part(slot) {
                return Err(bad(slot, "key", "one not above the last".into(), "keys in order"));
            }
            if self.level > 0 {
                if self.child(slot) == 0 || self.child(slot) == PAGES_END {
                    return Err(bad(slot, "page below", "none".into(), "a page"));
                }
                continue;
            }
            let (start, length) = self.value_place(slot);
            if start < self.values || start + length > self.bytes().len() {
                let found = format!("{length} bytes at {start}");
                return Err(bad(slot, "value", found, "a place behind the start of values"));
            }
            sum += length;
        }
        let there = self.bytes().len() - self.values;
        if sum + self.unused != there {
            let found = format!("{sum} and {} unused", self.unused);
            return Err(bad(self.slots, "value bytes", found, "what lies behind their start"));
        }
        Ok(())
    }

    /// The bytes to write.
    pub fn encode(&mut self) -> &[u8] {
        let (start, end) = self.frame.bounds();
        FieldWriter::new(self.bytes.own())
            .u32(MAGIC)
            .u16(PAGE_KIND)
            .u16(u16::from(self.level))
            .u32(self.number)
            .u16(self.slots as u16)
            .u8(start as u8)
            .u8(end as u8)
            .raw(&self.frame.common().to_bytes())
            .raw(&[0; VALUES_OFFSET - COMMON_OFFSET - KEY_BYTES])
            .u32(self.values as u32)
            .u32(self.unused as u32);
        self.bytes()
    }

    /// What holds its bytes.
    pub fn holder(&self) -> &B {
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
        self.slots * self.slot_bytes() + self.value_bytes()
    }

    /// How many bytes slots and values can take.
    pub fn capacity_bytes(&self) -> usize {
        self.bytes().len() - HEAD_BYTES
    }

    /// How many bytes a slot takes, besides what it holds.
    pub fn slot_bytes(&self) -> usize {
        self.frame.width() + PLACE_BYTES
    }

    /// Where a slot lies in the page.
    pub fn slot_offset(&self, slot: usize) -> usize {
        HEAD_BYTES + slot * self.slot_bytes()
    }

    /// The key in a slot.
    pub fn key(&self, slot: usize) -> Key {
        self.frame.key(self.part(slot))
    }

    /// What a slot holds.
    pub fn held(&self, slot: usize) -> Held<'_> {
        match self.level {
            0 => Held::Value(self.value(slot)),
            _ => Held::Page(self.child(slot)),
        }
    }

    /// The value in a slot of a leaf.
    pub fn value(&self, slot: usize) -> &[u8] {
        let (start, length) = self.value_place(slot);
        &self.bytes()[start..start + length]
    }

    /// The page below in a slot of an inner page.
    pub fn child(&self, slot: usize) -> u32 {
        let at = self.slot_offset(slot) + self.frame.width();
        let bytes = &self.bytes()[at..at + PLACE_BYTES];
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// Where `key` stands, or where it would.
    pub fn search(&self, key: Key) -> std::result::Result<usize, usize> {
        let (bytes, width) = (self.bytes(), self.frame.width());
        self.frame.search(key, self.slots, |slot| {
            let at = HEAD_BYTES + slot * (width + PLACE_BYTES);
            &bytes[at..at + width]
        })
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

    /// The bytes of a slot's key that others of the page may not have.
    fn part(&self, slot: usize) -> &[u8] {
        let at = self.slot_offset(slot);
        &self.bytes()[at..at + self.frame.width()]
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn value_bytes(&self) -> usize {
        self.bytes().len() - self.values - self.unused
    }

    /// Where the value of a slot lies; of one without bytes the end of the page.
    fn value_place(&self, slot: usize) -> (usize, usize) {
        let at = self.slot_offset(slot) + self.frame.width();
        let bytes = self.bytes();
        let half = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        match (half(at), half(at + 2)) {
            (_, 0) => (bytes.len(), 0),
            place => place,
        }
    }
}

impl<B> std::fmt::Debug for Page<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("number", &self.number)
            .field("level", &self.level)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// That a page is where a walk expects it: at this level.
pub fn expect_level(page: &Page<impl PageBytes>, level: u8) -> Result<()> {
    if page.level() == level {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, "walk a file tree").about(
        "level of a page",
        format!("{} in page {}", page.level(), page.number()),
        level,
    ))
}
