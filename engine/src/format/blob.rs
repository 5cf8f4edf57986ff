//! A piece of metadata with a body of any length: a head page, then the body, padded to whole pages.

use super::fields::{FieldReader, FieldWriter, first_nonzero};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use super::piece::PieceRef;
use crate::error::{Error, Result};
use crate::units::{FileBlock, LayerId, PAGE_BYTES};

const BODY_BYTES_OFFSET: usize = PRELUDE_BYTES;
const BODY_CRC_OFFSET: usize = BODY_BYTES_OFFSET + 8;
const RESERVED_OFFSET: usize = BODY_CRC_OFFSET + 4;

/// The fields of a blob's head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (BODY_BYTES_OFFSET, "body bytes"),
    (BODY_CRC_OFFSET, "body checksum"),
    (RESERVED_OFFSET, "reserved"),
    (CRC_OFFSET, "checksum"),
];

/// How long the piece with a body of `body_bytes` is.
pub fn piece_bytes(body_bytes: usize) -> u64 {
    PAGE_BYTES + (body_bytes as u64).next_multiple_of(PAGE_BYTES)
}

/// The bytes of the piece, and how it is named.
pub fn encode(
    kind: PageKind,
    layer: LayerId,
    generation: u64,
    place: FileBlock,
    body: &[u8],
) -> (Vec<u8>, PieceRef) {
    let mut bytes = vec![0; piece_bytes(body.len()) as usize];
    let (head, rest) = bytes.split_first_chunk_mut::<{ PAGE_BYTES as usize }>().expect("a page");
    rest[..body.len()].copy_from_slice(body);
    FieldWriter::new(head)
        .seek(BODY_BYTES_OFFSET)
        .u64(body.len() as u64)
        .u32(crc32fast::hash(rest));
    let head_crc = page::finish(head, &Prelude { kind, layer, generation, place });
    let piece = PieceRef { place, bytes: bytes.len() as u64, generation, head_crc };
    (bytes, piece)
}

/// The body of the piece that `piece` names, verified.
pub fn decode<'a>(
    what: &'static str,
    kind: PageKind,
    layer: LayerId,
    piece: &PieceRef,
    bytes: &'a [u8],
) -> Result<&'a [u8]> {
    let short =
        || Error::corrupt(format!("read {what}"), "length", bytes.len(), piece.bytes).at_offset(0);
    let (head, rest) = bytes.split_first_chunk::<{ PAGE_BYTES as usize }>().ok_or_else(short)?;
    if bytes.len() as u64 != piece.bytes {
        return Err(short());
    }
    piece.verify_head(what, kind, layer, head)?;
    let mut fields = FieldReader::new(what, head);
    fields.seek(BODY_BYTES_OFFSET);
    let body_bytes = fields.u64("body bytes")?;
    let body = usize::try_from(body_bytes)
        .ok()
        .filter(|&length| length <= rest.len() && piece_bytes(length) == piece.bytes);
    let Some(body) = body else {
        let expected = format!("what makes {} bytes in whole pages", piece.bytes);
        return Err(fields.bad("body bytes", 8, body_bytes, expected));
    };
    let stored = fields.u32("body checksum")?;
    let computed = crc32fast::hash(rest);
    if stored != computed {
        let (found, expected) = (format!("{computed:#010x}"), format!("{stored:#010x}"));
        return Err(fields.bad("body checksum", 4, found, expected));
    }
    fields.zeros_until("reserved", CRC_OFFSET)?;
    match first_nonzero(&rest[body..]) {
        None => Ok(&rest[..body]),
        Some(at) => Err(Error::corrupt(
            format!("read {what}"),
            "padding",
            format!("{:#04x}", rest[body + at]),
            "0x00",
        )
        .at_offset(PAGE_BYTES + (body + at) as u64)),
    }
}
