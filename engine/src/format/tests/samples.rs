//! One of each structure, with everything in it that it can hold.

use std::collections::BTreeMap;

use crate::Result;
use crate::extent::{Extent, Target};
use crate::format::header::{Features, Header, Journal, LayerKind, LayerState};
use crate::format::name::{NameEntry, NameKind, StoreEntry};
use crate::format::page::{CRC_OFFSET, PageKind};
use crate::format::{Annotations, FreeSpace, LayerRef, PieceRef, Record, blob, sources};
use crate::units::{BlockAddress, BlockSize, Digest, FileBlock, LayerId, PAGE_BYTES, SourceIndex};

pub const LAYER: LayerId = LayerId([0x5a; 16]);
const PLACE: FileBlock = FileBlock(9);

/// A structure in its stored form.
pub struct Sample {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// Reads the bytes and writes what was understood: equal to the bytes where they are canonical.
    pub again: fn(&[u8]) -> Result<Vec<u8>>,
    /// Makes the checksums right again after a change, so that decoders get past them.
    pub repair: fn(&mut [u8]),
}

fn page(bytes: &[u8]) -> Result<&[u8; PAGE_BYTES as usize]> {
    bytes.try_into().map_err(|_| crate::Error::corrupt("read page", "length", bytes.len(), 4096))
}

fn repair_page(bytes: &mut [u8]) {
    if bytes.len() == PAGE_BYTES as usize {
        let crc = crc32fast::hash(&bytes[..CRC_OFFSET]);
        bytes[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    }
}

fn repair_nothing(_: &mut [u8]) {}

pub fn layer_ref(tag: u8) -> LayerRef {
    LayerRef {
        id: LayerId([tag; 16]),
        volume_bytes: 1 << 30,
        freeze_generation: 7,
        map_checksum: 0x0123_4567_89ab_cdef,
        digest: tag.is_multiple_of(2).then_some(Digest([tag; 32])),
    }
}

fn piece(place: u64) -> PieceRef {
    PieceRef { place: FileBlock(place), bytes: 8192, generation: place + 40, head_crc: 0xdead_beef }
}

pub fn open_header() -> Header {
    Header {
        layer: LAYER,
        generation: 12,
        features: Features { read_only_compatible: 2, compatible: 1 << 63, incompatible: 0 },
        kind: LayerKind::Disk,
        state: LayerState::Open,
        block_size: BlockSize::DEFAULT,
        removed: false,
        thinned: false,
        volume_bytes: 1 << 30,
        file_bytes: 1 << 20,
        freeze_generation: 0,
        parent: Some(layer_ref(3)),
        digest: None,
        journal: Journal {
            sequence: 5,
            next: FileBlock(50),
            after_next: FileBlock(51),
            durable_sequence: 4,
            chain: 0x1234_5678,
        },
        piece_generation: 99,
        sources: Some(piece(10)),
        annotations: Some(piece(12)),
        free_space: Some(piece(14)),
        runs: (0..4).map(|run| piece(16 + 2 * run)).collect(),
    }
}

fn sealed_header() -> Header {
    Header {
        state: LayerState::Frozen,
        freeze_generation: 11,
        removed: true,
        thinned: true,
        digest: Some(Digest([0x77; 32])),
        parent: None,
        ..open_header()
    }
}

pub fn record() -> Record {
    let data = |start, length, source, block| Extent {
        start: BlockAddress(start),
        length,
        target: Target::Data { source: SourceIndex(source), block: FileBlock(block) },
    };
    let plain = |start, length, target| Extent { start: BlockAddress(start), length, target };
    Record {
        sequence: 6,
        previous: 0x1234_5678,
        data_durable: true,
        volume_bytes: 1 << 30,
        next: FileBlock(51),
        after_next: FileBlock(52),
        piece_generation: 101,
        sources: Some(piece(60)),
        added_sources: vec![layer_ref(4), layer_ref(5)],
        runs: vec![piece(62), piece(64)],
        extents: vec![
            data(0, 3, 0, 70),
            plain(3, 1 << 40, Target::Zero),
            plain(1 << 50, 1, Target::Hole),
            data(u64::MAX - 3, 2, 2, 80),
        ],
        checksums: vec![1, 2, 3, 4, 5],
    }
}

pub fn annotations() -> Annotations {
    Annotations {
        created: Some(-1),
        created_by: Some("RUN make".to_owned()),
        comment: Some("größer".to_owned()),
        labels: BTreeMap::from([("a".into(), "1".into()), ("b".into(), String::new())]),
    }
}

pub fn free_space() -> FreeSpace {
    FreeSpace {
        sequence: 6,
        blocks: 100,
        used: vec![u64::MAX, 0xf_0f0f],
        shared: vec![(FileBlock(3), 1), (FileBlock(70), 9)],
    }
}

fn again_header(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok(Header::decode(page(bytes)?, 1)?.encode(1).to_vec())
}

fn again_sources_piece(bytes: &[u8]) -> Result<Vec<u8>> {
    let (whole, reference) = sources_piece();
    let body = blob::decode("table of sources", PageKind::Sources, LAYER, &reference, bytes)?;
    assert_eq!(sources::encode(&sources::decode(body)?), body);
    assert_eq!(bytes.len(), whole.len());
    Ok(blob::encode(PageKind::Sources, LAYER, reference.generation, PLACE, body).0)
}

fn sources_piece() -> (Vec<u8>, PieceRef) {
    let body = sources::encode(&[layer_ref(1), layer_ref(2)]);
    blob::encode(PageKind::Sources, LAYER, 77, PLACE, &body)
}

/// All samples.
pub fn all() -> Vec<Sample> {
    let sample = |name, bytes, again, repair| Sample { name, bytes, again, repair };
    let tag = NameEntry {
        name: "debian:12".into(),
        kind: NameKind::Tag,
        top: LAYER,
        parent: Some(layer_ref(6)),
    };
    let volume = NameEntry { kind: NameKind::Volume, parent: None, ..tag.clone() };
    let again_name = |bytes: &[u8]| Ok(NameEntry::decode(page(bytes)?)?.encode().to_vec());
    vec![
        sample("open header", open_header().encode(1).to_vec(), again_header, repair_page),
        sample("sealed header", sealed_header().encode(1).to_vec(), again_header, repair_page),
        sample(
            "journal record",
            record().encode(LAYER, PLACE).0.to_vec(),
            |bytes| {
                let (record, _) = Record::decode(page(bytes)?, LAYER, PLACE)?;
                Ok(record.encode(LAYER, PLACE).0.to_vec())
            },
            repair_page,
        ),
        sample("tag", tag.encode().to_vec(), again_name, repair_page),
        sample("volume", volume.encode().to_vec(), again_name, repair_page),
        sample(
            "store file",
            StoreEntry { id: LAYER, block_size: BlockSize::MAX }.encode().to_vec(),
            |bytes| Ok(StoreEntry::decode(page(bytes)?)?.encode().to_vec()),
            repair_page,
        ),
        sample("piece of sources", sources_piece().0, again_sources_piece, repair_nothing),
        sample(
            "sources",
            sources::encode(&[layer_ref(1), layer_ref(2)]),
            |bytes| Ok(sources::encode(&sources::decode(bytes)?)),
            repair_nothing,
        ),
        sample(
            "annotations",
            annotations().encode().unwrap(),
            |bytes| Annotations::decode(bytes)?.encode(),
            repair_nothing,
        ),
        sample(
            "free space",
            free_space().encode(),
            |bytes| Ok(FreeSpace::decode(bytes)?.encode()),
            repair_nothing,
        ),
    ]
}
