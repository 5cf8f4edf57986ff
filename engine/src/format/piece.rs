//! How one piece of metadata names another.

use super::fields::{FieldReader, FieldWriter};
use super::page::{self, CRC_OFFSET, PageKind};
use crate::error::Result;
use crate::units::{FileBlock, LayerId, PAGE_BYTES};

/// The size of a reference in bytes.
pub const PIECE_REF_BYTES: usize = 28;

/// The fields of a reference: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (0, "piece place"),
    (8, "piece bytes"),
    (16, "piece generation"),
    (24, "piece head checksum"),
];

/// Where a piece of metadata lies in its file, how long it is, and what its head must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PieceRef {
    /// The first block of the piece.
    pub place: FileBlock,
    /// Its length in bytes, a multiple of 4 KiB.
    pub bytes: u64,
    /// The generation in its head: no two pieces of a layer share one.
    pub generation: u64,
    /// The CRC-32 of its head page: guards against a stale piece of the same place.
    pub head_crc: u32,
}

impl PieceRef {
    /// That `head` is the first page of the piece of `layer` that this names.
    pub fn verify_head(
        &self,
        what: &'static str,
        kind: PageKind,
        layer: LayerId,
        head: &[u8; PAGE_BYTES as usize],
    ) -> Result<()> {
        let (prelude, crc) = page::open(what, head, kind)?;
        prelude.expect(what, layer, self.generation, self.place)?;
        if crc == self.head_crc {
            return Ok(());
        }
        let mut fields = FieldReader::new(what, head);
        fields.seek(CRC_OFFSET + 4);
        Err(fields.bad("checksum", 4, format!("{crc:#010x}"), format!("{:#010x}", self.head_crc)))
    }

    /// Appends the reference.
    pub fn write(&self, fields: &mut FieldWriter<'_>) {
        fields.u64(self.place.0).u64(self.bytes).u64(self.generation).u32(self.head_crc);
    }

    /// Reads a reference; its length must be whole pages.
    pub fn read(fields: &mut FieldReader<'_>) -> Result<PieceRef> {
        let place = FileBlock(fields.u64("piece place")?);
        let bytes = fields.u64("piece bytes")?;
        if bytes == 0 || bytes % PAGE_BYTES != 0 {
            return Err(fields.bad("piece bytes", 8, bytes, "a multiple of 4096 above 0"));
        }
        let generation = fields.u64("piece generation")?;
        let head_crc = fields.u32("piece head checksum")?;
        Ok(PieceRef { place, bytes, generation, head_crc })
    }

    /// Appends a reference, or zeros where there is none.
    pub fn write_optional(piece: Option<&PieceRef>, fields: &mut FieldWriter<'_>) {
        match piece {
            Some(piece) => piece.write(fields),
            None => {
                fields.raw(&[0; PIECE_REF_BYTES]);
            }
        }
    }

    /// Reads what [`PieceRef::write_optional`] wrote.
    pub fn read_optional(fields: &mut FieldReader<'_>) -> Result<Option<PieceRef>> {
        let start = fields.position();
        if fields.raw("piece", PIECE_REF_BYTES)?.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        PieceRef::read(fields.seek(start)).map(Some)
    }
}
