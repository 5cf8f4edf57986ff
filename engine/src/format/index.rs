//! A merged index: a stretch of a chain in one file, found by the layer it begins with.
//!
//! The file is a head page, a table of slots, and one piece laid out as a run
//! without block checksums, whose source code `2 + k` means slot `k`:
//!
//! | part | bytes | what |
//! |---|---|---|
//! | head | 4,096 | the fields below |
//! | slots | 88 each, filled up to whole pages | whose file holds the blocks, whose map named them |
//! | run | the rest | the extents that the stretch resolves to, holes left out |
//!
//! It is derived: where anything in it does not verify, it is ignored and made anew (INV-07).

use super::fields::{FieldReader, FieldWriter};
use super::identity::{LAYER_REF_BYTES, LayerRef};
use super::page::{self, CRC_OFFSET, PRELUDE_BYTES, PageKind, Prelude};
use super::piece::{PIECE_REF_BYTES, PieceRef};
use crate::error::Result;
use crate::units::{BlockSize, FileBlock, PAGE_BYTES};

const TIP_BYTES_OFFSET: usize = PRELUDE_BYTES;
const TIP_CHECKSUM_OFFSET: usize = TIP_BYTES_OFFSET + 8;
const BELOW_OFFSET: usize = TIP_CHECKSUM_OFFSET + 8;
const LAYERS_OFFSET: usize = BELOW_OFFSET + LAYER_REF_BYTES;
const SLOTS_OFFSET: usize = LAYERS_OFFSET + 8;
const SLOTS_CRC_OFFSET: usize = SLOTS_OFFSET + 4;
const BLOCK_SIZE_OFFSET: usize = SLOTS_CRC_OFFSET + 4;
const RUN_OFFSET: usize = BLOCK_SIZE_OFFSET + 1;
const RESERVED_OFFSET: usize = RUN_OFFSET + PIECE_REF_BYTES;
const _: () = assert!(RESERVED_OFFSET <= CRC_OFFSET);

/// The fields of an index's head: offset and name.
pub const FIELDS: &[(usize, &str)] = &[
    (TIP_BYTES_OFFSET, "size of the tip"),
    (TIP_CHECKSUM_OFFSET, "map checksum of the tip"),
    (BELOW_OFFSET, "layer below"),
    (LAYERS_OFFSET, "layers"),
    (SLOTS_OFFSET, "slots"),
    (SLOTS_CRC_OFFSET, "checksum of the slots"),
    (BLOCK_SIZE_OFFSET, "block size"),
    (RUN_OFFSET, "run"),
    (RESERVED_OFFSET, "reserved"),
    (CRC_OFFSET, "checksum"),
];

const IDENTITY_BYTES: usize = 16 + 3 * 8;
/// The size of a slot in bytes.
pub const SLOT_BYTES: usize = 2 * IDENTITY_BYTES + 8;
/// How many slots an index can have: a run's source codes have 32 bits, less those of
/// hole, zero and the wide table.
pub const SLOTS_MAX: u32 = u32::MAX - 3;

/// Where blocks of a stretch lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexSlot {
    /// The layer whose file holds the blocks. Slots name layers without their digest.
    pub owner: LayerRef,
    /// The layer of the chain whose map names them, and carries their checksums:
    /// the owner itself, or one that has the owner among its sources.
    pub mapper: LayerRef,
    /// How many layers lie between the tip of the stretch and the mapper; 0 for the tip.
    pub distance: u64,
}

impl IndexSlot {
    fn write(&self, fields: &mut FieldWriter<'_>) {
        write_identity(&self.owner, fields);
        write_identity(&self.mapper, fields);
        fields.u64(self.distance);
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<IndexSlot> {
        Ok(IndexSlot {
            owner: read_identity(fields)?,
            mapper: read_identity(fields)?,
            distance: fields.u64("slot distance")?,
        })
    }
}

/// What the head of an index says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexHead {
    /// The newest layer of the stretch, without its digest.
    pub tip: LayerRef,
    /// The parent of the oldest layer of the stretch, as that one recorded it.
    pub below: Option<LayerRef>,
    /// How many layers the stretch covers.
    pub layers: u64,
    /// The block size of all of them.
    pub block_size: BlockSize,
    /// How many slots.
    pub slots: u32,
    /// The CRC-32 of the table of slots, with what fills up its last page.
    pub slots_crc: u32,
    /// The run; its place is in pages of the index file.
    pub run: PieceRef,
}

impl IndexHead {
    /// The page to write at the start of the file.
    pub fn encode(&self) -> [u8; PAGE_BYTES as usize] {
        let mut page = [0; PAGE_BYTES as usize];
        let mut fields = FieldWriter::new(&mut page);
        fields.seek(TIP_BYTES_OFFSET).u64(self.tip.volume_bytes).u64(self.tip.map_checksum);
        LayerRef::write_optional(self.below.as_ref(), &mut fields);
        fields
            .u64(self.layers)
            .u32(self.slots)
            .u32(self.slots_crc)
            .u8(self.block_size.log2() as u8);
        self.run.write(&mut fields);
        let prelude = Prelude {
            kind: PageKind::Index,
            layer: self.tip.id,
            generation: self.tip.freeze_generation,
            place: FileBlock(0),
        };
        page::finish(&mut page, &prelude);
        page
    }

    /// What the page says, verified, of a file of `file_bytes`.
    pub fn decode(page: &[u8; PAGE_BYTES as usize], file_bytes: u64) -> Result<IndexHead> {
        let (prelude, _) = page::open("index head", page, PageKind::Index)?;
        prelude.expect("index head", prelude.layer, prelude.generation, FileBlock(0))?;
        let mut fields = FieldReader::new("index head", page);
        fields.seek(TIP_BYTES_OFFSET);
        let tip = LayerRef {
            id: prelude.layer,
            volume_bytes: fields.u64("size of the tip")?,
            freeze_generation: prelude.generation,
            map_checksum: fields.u64("map checksum of the tip")?,
            digest: None,
        };
        let below = LayerRef::read_optional(&mut fields)?;
        let layers = fields.u64("layers")?;
        if layers == 0 {
            return Err(fields.bad("layers", 8, layers, "at least 1"));
        }
        let slots = fields.u32("slots")?;
        if slots > SLOTS_MAX {
            return Err(fields.bad("slots", 4, slots, format!("at most {SLOTS_MAX}")));
        }
        let slots_crc = fields.u32("checksum of the slots")?;
        let log2 = fields.u8("block size")?;
        if !(12..=16).contains(&log2) {
            return Err(fields.bad("block size", 1, log2, "12 to 16"));
        }
        let block_size = BlockSize::from_bytes(1 << log2)?;
        let run = PieceRef::read(&mut fields)?;
        let place = run_page(slots);
        if run.place != place {
            return Err(fields.bad("run place", PIECE_REF_BYTES, run.place, place));
        }
        let end = (place.0 * PAGE_BYTES).checked_add(run.bytes);
        if end != Some(file_bytes) {
            let expected = format!("{file_bytes} bytes of the file less what comes before");
            return Err(fields.bad("run bytes", PIECE_REF_BYTES - 8, run.bytes, expected));
        }
        fields.zeros_until("reserved", CRC_OFFSET)?;
        Ok(IndexHead { tip, below, layers, block_size, slots, slots_crc, run })
    }
}

/// The page of the file where the run of an index with `slots` slots begins.
pub fn run_page(slots: u32) -> FileBlock {
    FileBlock(1 + (u64::from(slots) * SLOT_BYTES as u64).div_ceil(PAGE_BYTES))
}

/// The bytes of the table of slots, filled up to whole pages, and their CRC-32.
pub fn encode_slots(slots: &[IndexSlot]) -> (Vec<u8>, u32) {
    let pages = run_page(slots.len() as u32).0 - 1;
    let mut bytes = vec![0; (pages * PAGE_BYTES) as usize];
    let mut fields = FieldWriter::new(&mut bytes);
    for slot in slots {
        slot.write(&mut fields);
    }
    let crc = crc32fast::hash(&bytes);
    (bytes, crc)
}

/// Verifies the table of slots that `head` announces; `bytes` end where the run begins.
pub fn verify_slots(head: &IndexHead, bytes: &[u8]) -> Result<()> {
    let mut fields = FieldReader::new("index slots", bytes);
    let crc = crc32fast::hash(bytes);
    if crc != head.slots_crc {
        let (found, expected) = (format!("{crc:#010x}"), format!("{:#010x}", head.slots_crc));
        return Err(fields.bad("checksum of the slots", 0, found, expected));
    }
    let expected = (head.run.place.0 - 1) * PAGE_BYTES;
    fields.expect("length", 0, bytes.len() as u64, expected)?;
    for slot in 0..head.slots as usize {
        fields.seek(slot * SLOT_BYTES + 2 * IDENTITY_BYTES);
        let distance = fields.u64("slot distance")?;
        if distance >= head.layers {
            let expected = format!("less than {}", head.layers);
            return Err(fields.bad("slot distance", 8, distance, expected));
        }
    }
    fields.zeros_until("padding", bytes.len())
}

/// Slot `number` of a table: read when it is asked for, since a chain may have millions.
pub fn slot(bytes: &[u8], number: u32) -> Result<IndexSlot> {
    IndexSlot::read(FieldReader::new("index slots", bytes).seek(number as usize * SLOT_BYTES))
}

fn write_identity(layer: &LayerRef, fields: &mut FieldWriter<'_>) {
    fields
        .layer_id(layer.id)
        .u64(layer.volume_bytes)
        .u64(layer.freeze_generation)
        .u64(layer.map_checksum);
}

fn read_identity(fields: &mut FieldReader<'_>) -> Result<LayerRef> {
    Ok(LayerRef {
        id: fields.layer_id("layer id")?,
        volume_bytes: fields.u64("layer size")?,
        freeze_generation: fields.u64("layer freeze generation")?,
        map_checksum: fields.u64("layer map checksum")?,
        digest: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::units::LayerId;

    fn layer(number: u8) -> LayerRef {
        LayerRef {
            id: LayerId([number; 16]),
            volume_bytes: 1 << 30,
            freeze_generation: u64::from(number),
            map_checksum: 77,
            digest: None,
        }
    }

    fn index(count: u64) -> (IndexHead, Vec<u8>, Vec<IndexSlot>) {
        let slots: Vec<_> = (0..count)
            .map(|at| IndexSlot { owner: layer(at as u8), mapper: layer(1), distance: at })
            .collect();
        let (bytes, slots_crc) = encode_slots(&slots);
        let place = run_page(count as u32);
        let head = IndexHead {
            tip: layer(200),
            below: Some(layer(201)),
            layers: 300,
            block_size: BlockSize::DEFAULT,
            slots: count as u32,
            slots_crc,
            run: PieceRef { place, bytes: 8192, generation: 200, head_crc: 5 },
        };
        (head, bytes, slots)
    }

    #[test]
    fn an_index_reads_back_what_was_written() {
        for count in [0, 1, 46, 47, 100] {
            let (head, bytes, slots) = index(count);
            let file_bytes = head.run.place.0 * PAGE_BYTES + head.run.bytes;
            assert_eq!(bytes.len() as u64, (head.run.place.0 - 1) * PAGE_BYTES);
            assert_eq!(IndexHead::decode(&head.encode(), file_bytes).unwrap(), head);
            verify_slots(&head, &bytes).unwrap();
            for (number, expected) in slots.iter().enumerate() {
                assert_eq!(slot(&bytes, number as u32).unwrap(), *expected);
            }
            assert!(slot(&bytes, bytes.len() as u32).is_err());
        }
    }

    #[test]
    fn an_index_of_another_length_or_with_other_slots_is_refused() {
        let (head, mut bytes, _) = index(50);
        let file_bytes = head.run.place.0 * PAGE_BYTES + head.run.bytes;
        let page = head.encode();
        for wrong in [file_bytes - 4096, file_bytes + 1, 0, u64::MAX] {
            let error = IndexHead::decode(&page, wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
        }
        let place = FileBlock(head.run.place.0 + 1);
        let moved = IndexHead { run: PieceRef { place, ..head.run }, ..head };
        assert!(IndexHead::decode(&moved.encode(), file_bytes + 4096).is_err());
        assert!(verify_slots(&head, &bytes[..4096]).is_err());
        assert!(verify_slots(&IndexHead { layers: 50, ..head }, &bytes).is_ok());
        assert!(verify_slots(&IndexHead { layers: 49, ..head }, &bytes).is_err());
        bytes[3] ^= 1;
        assert!(verify_slots(&head, &bytes).is_err());
    }
}
