//! The files of a store that are not layers: a name, and the store's own.

use std::fmt;

use super::fields::{FieldReader, FieldWriter};
use super::identity::{LAYER_REF_BYTES, LayerRef};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use crate::error::Result;
use crate::units::{BlockSize, FileBlock, LayerId, PAGE_BYTES};

/// The longest name in bytes: a directory entry of the host must hold it after escaping.
pub const NAME_BYTES_MAX: usize = 200;

const KIND_OFFSET: usize = PRELUDE_BYTES;
const NAME_LENGTH_OFFSET: usize = KIND_OFFSET + 1;
const NAME_OFFSET: usize = NAME_LENGTH_OFFSET + 1;
const PARENT_OFFSET: usize = NAME_OFFSET + NAME_BYTES_MAX;
const RESERVED_OFFSET: usize = PARENT_OFFSET + LAYER_REF_BYTES;

/// The fields of a name file: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (KIND_OFFSET, "kind"),
    (NAME_LENGTH_OFFSET, "name length"),
    (NAME_OFFSET, "name"),
    (PARENT_OFFSET, "parent"),
    (RESERVED_OFFSET, "reserved"),
    (CRC_OFFSET, "checksum"),
];

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// A snapshot.
    Tag,
    /// A writable layer on a snapshot.
    Volume,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameKind::Tag => "tag",
            NameKind::Volume => "volume",
        })
    }
}

/// What a name file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEntry {
    /// The name.
    pub name: String,
    /// Tag or volume.
    pub kind: NameKind,
    /// The layer: of a tag the frozen one, of a volume the open top.
    pub top: LayerId,
    /// Of a tag the layer itself as it was recorded; of a volume the parent of its top:
    /// where the top is lost or was frozen, a fresh one goes on here.
    pub parent: Option<LayerRef>,
}

impl NameEntry {
    /// The page of the file.
    pub fn encode(&self) -> [u8; PAGE_BYTES as usize] {
        assert!(self.name.len() <= NAME_BYTES_MAX, "checked where names are taken");
        let mut page = [0; PAGE_BYTES as usize];
        let mut fields = FieldWriter::new(&mut page);
        fields
            .seek(KIND_OFFSET)
            .u8(match self.kind {
                NameKind::Tag => 1,
                NameKind::Volume => 2,
            })
            .u8(self.name.len() as u8)
            .raw(self.name.as_bytes())
            .seek(PARENT_OFFSET);
        LayerRef::write_optional(self.parent.as_ref(), &mut fields);
        let prelude =
            Prelude { kind: PageKind::Name, layer: self.top, generation: 0, place: FileBlock(0) };
        page::finish(&mut page, &prelude);
        page
    }

    /// What the page says.
    pub fn decode(page: &[u8; PAGE_BYTES as usize]) -> Result<NameEntry> {
        let (prelude, _) = page::open("name file", page, PageKind::Name)?;
        prelude.expect("name file", prelude.layer, 0, FileBlock(0))?;
        let mut fields = FieldReader::new("name file", page);
        fields.seek(KIND_OFFSET);
        let kind = match fields.u8("kind")? {
            1 => NameKind::Tag,
            2 => NameKind::Volume,
            other => return Err(fields.bad("kind", 1, other, "1 (tag) or 2 (volume)")),
        };
        let length = usize::from(fields.u8("name length")?);
        if !(1..=NAME_BYTES_MAX).contains(&length) {
            return Err(fields.bad("name length", 1, length, format!("1 to {NAME_BYTES_MAX}")));
        }
        let bytes = fields.raw("name", length)?;
        let Ok(name) = std::str::from_utf8(bytes) else {
            return Err(fields.bad("name", length, "other bytes", "UTF-8"));
        };
        if name.contains('\0') {
            return Err(fields.bad("name", length, format!("{name:?}"), "no NUL"));
        }
        let name = name.to_owned();
        fields.zeros_until("name padding", PARENT_OFFSET)?;
        let parent = LayerRef::read_optional(&mut fields)?;
        fields.zeros_until("reserved", CRC_OFFSET)?;
        Ok(NameEntry { name, kind, top: prelude.layer, parent })
    }
}

/// The fields of the store's own file: offset and name.
pub const STORE_FIELDS: &[(usize, &str)] =
    &[(PRELUDE_BYTES, "block size"), (PRELUDE_BYTES + 1, "reserved"), (CRC_OFFSET, "checksum")];

/// What the store's own file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreEntry {
    /// The store's identity.
    pub id: LayerId,
    /// The block size of its layers.
    pub block_size: BlockSize,
}

impl StoreEntry {
    /// The page of the file.
    pub fn encode(&self) -> [u8; PAGE_BYTES as usize] {
        let mut page = [0; PAGE_BYTES as usize];
        FieldWriter::new(&mut page).seek(PRELUDE_BYTES).u8(self.block_size.log2() as u8);
        let prelude =
            Prelude { kind: PageKind::Store, layer: self.id, generation: 0, place: FileBlock(0) };
        page::finish(&mut page, &prelude);
        page
    }

    /// What the page says.
    pub fn decode(page: &[u8; PAGE_BYTES as usize]) -> Result<StoreEntry> {
        let (prelude, _) = page::open("store file", page, PageKind::Store)?;
        prelude.expect("store file", prelude.layer, 0, FileBlock(0))?;
        let mut fields = FieldReader::new("store file", page);
        fields.seek(PRELUDE_BYTES);
        let log2 = fields.u8("block size")?;
        if !(12..=16).contains(&log2) {
            return Err(fields.bad("block size", 1, log2, "12 to 16"));
        }
        fields.zeros_until("reserved", CRC_OFFSET)?;
        Ok(StoreEntry { id: prelude.layer, block_size: BlockSize::from_bytes(1 << log2)? })
    }
}
