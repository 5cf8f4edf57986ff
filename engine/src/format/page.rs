//! What every metadata page begins and ends with.
//!
//! The prelude says what the page is and where it belongs; a flipped bit, a
//! swapped block or a stale copy of the same place does not verify.

use std::cmp::Ordering;

use super::fields::{FieldReader, FieldWriter};
use crate::error::{Error, Result};
use crate::units::{FileBlock, LayerId, PAGE_BYTES};

/// The first four bytes of every metadata page: `sapw`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"sapw");
/// The version of the format. Where kind, version, layer id and checksum of a page lie is the same in all.
pub const VERSION: u16 = 1;
/// Where the version lies, in a page of a layer or a store and in the first page of a tree.
const VERSION_OFFSET: u64 = 6;
/// The size of the prelude in bytes.
pub const PRELUDE_BYTES: usize = 40;
/// Where the CRC-32 of a page lies: its last four bytes.
pub const CRC_OFFSET: usize = PAGE_BYTES as usize - 4;

/// The fields that every page has: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "magic"),
    (4, "kind"),
    (6, "version"),
    (8, "layer id"),
    (24, "generation"),
    (32, "place"),
    (CRC_OFFSET, "checksum"),
];

/// What a metadata page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum PageKind {
    /// A header slot.
    Header = 1,
    /// The head of a journal record.
    Record = 2,
    /// The head of a run of extents.
    Run = 3,
    /// The head of the table of sources.
    Sources = 4,
    /// The head of the annotations.
    Annotations = 5,
    /// The head of the saved free space.
    FreeSpace = 6,
    /// The head of a merged index (a file of its own).
    Index = 7,
    /// A name file of a store.
    Name = 8,
    /// The store's own file.
    Store = 9,
}

/// The prelude of a page: which layer, which generation, which place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prelude {
    /// What the page is: guards against a page of another kind.
    pub kind: PageKind,
    /// The layer it belongs to: guards against a page of another file.
    pub layer: LayerId,
    /// The generation: guards against a stale page of the same place.
    pub generation: u64,
    /// The block it lies in: guards against a misdirected write.
    pub place: FileBlock,
}

/// Writes the prelude and, over all else, the CRC-32: the last step before a page is written.
pub fn finish(page: &mut [u8; PAGE_BYTES as usize], prelude: &Prelude) -> u32 {
    FieldWriter::new(page)
        .u32(MAGIC)
        .u16(prelude.kind as u16)
        .u16(VERSION)
        .layer_id(prelude.layer)
        .u64(prelude.generation)
        .u64(prelude.place.0);
    let crc = crc32fast::hash(&page[..CRC_OFFSET]);
    page[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// Verifies the CRC-32, the magic, the version and the kind; gives the prelude and the CRC.
///
/// What the prelude says of layer, generation and place is for the caller to compare:
/// see [`Prelude::expect`].
///
/// Errors: [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt); that a page which verifies is of a
/// [newer version](Error::is_newer).
pub fn open(
    what: &'static str,
    page: &[u8; PAGE_BYTES as usize],
    kind: PageKind,
) -> Result<(Prelude, u32)> {
    let (prelude, crc, version) = open_of_any_version(what, page, kind)?;
    expect_version(what, version, VERSION)?;
    Ok((prelude, crc))
}

/// As [`open`], of a page that may be anything: only one that says that it belongs to `layer` and at
/// `place` can be of a newer version, all others are none of ours.
pub fn open_at(
    what: &'static str,
    page: &[u8; PAGE_BYTES as usize],
    kind: PageKind,
    layer: LayerId,
    place: FileBlock,
) -> Result<(Prelude, u32)> {
    let (prelude, crc, version) = open_of_any_version(what, page, kind)?;
    prelude.expect(what, layer, prelude.generation, place)?;
    expect_version(what, version, VERSION)?;
    Ok((prelude, crc))
}

/// That what verifies is of the one version that is known here.
pub fn expect_version(what: &'static str, found: u16, known: u16) -> Result<()> {
    let operation = || format!("read {what}");
    match found.cmp(&known) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(Error::newer(operation(), "version", found, known)),
        Ordering::Less => Err(Error::corrupt(operation(), "version", found, known)),
    }
    .map_err(|error| error.at_offset(VERSION_OFFSET))
}

fn open_of_any_version(
    what: &'static str,
    page: &[u8; PAGE_BYTES as usize],
    kind: PageKind,
) -> Result<(Prelude, u32, u16)> {
    let mut fields = FieldReader::new(what, page);
    let magic = fields.u32("magic")?;
    if magic != MAGIC {
        return Err(fields.bad("magic", 4, format!("{magic:#010x}"), format!("{MAGIC:#010x}")));
    }
    let crc = crc32fast::hash(&page[..CRC_OFFSET]);
    fields.seek(CRC_OFFSET);
    let stored = fields.u32("checksum")?;
    if stored != crc {
        return Err(fields.bad("checksum", 4, format!("{stored:#010x}"), format!("{crc:#010x}")));
    }
    fields.seek(4);
    let found = fields.u16("kind")?;
    fields.expect("kind", 2, found, kind as u16)?;
    let version = fields.u16("version")?;
    let layer = fields.layer_id("layer id")?;
    let generation = fields.u64("generation")?;
    let place = FileBlock(fields.u64("place")?);
    Ok((Prelude { kind, layer, generation, place }, crc, version))
}

impl Prelude {
    /// That the page belongs where it was read: this layer, this generation, this place.
    pub fn expect(
        &self,
        what: &'static str,
        layer: LayerId,
        generation: u64,
        place: FileBlock,
    ) -> Result<()> {
        let bad = |offset: usize, field, found: String, expected: String| {
            crate::Error::corrupt(format!("read {what}"), field, found, expected)
                .at_offset(offset as u64)
        };
        if self.layer != layer {
            return Err(bad(8, "layer id", self.layer.to_string(), layer.to_string()));
        }
        if self.generation != generation {
            let (found, expected) = (self.generation.to_string(), generation.to_string());
            return Err(bad(24, "generation", found, expected));
        }
        if self.place != place {
            return Err(bad(32, "place", self.place.to_string(), place.to_string()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_page_is_seen() {
        let prelude = Prelude {
            kind: PageKind::Record,
            layer: LayerId([7; 16]),
            generation: 3,
            place: FileBlock(9),
        };
        let mut page = [0; PAGE_BYTES as usize];
        page[100] = 42;
        finish(&mut page, &prelude);
        assert_eq!(open("page", &page, PageKind::Record).unwrap().0, prelude);
        for bit in 0..page.len() * 8 {
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(open("page", &page, PageKind::Record).is_err(), "bit {bit}");
            page[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
