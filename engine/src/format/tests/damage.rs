//! Exhaustive damage to each structure: every flipped bit, every length, every byte value.

use rayon::prelude::*;

use super::samples::{self, LAYER, Sample};
use crate::ErrorKind;
use crate::format::header::Header;
use crate::format::page::CRC_OFFSET;
use crate::format::{FreeSpace, Record, sources};
use crate::units::FileBlock;

/// Structures that carry a checksum of their own; the others are bodies of such a structure.
fn verified() -> impl Iterator<Item = Sample> {
    samples::all().into_iter().filter(|sample| sample.bytes.len() >= 4096)
}

#[test]
fn what_is_encoded_reads_back_the_same() {
    for sample in samples::all() {
        assert_eq!((sample.again)(&sample.bytes).unwrap(), sample.bytes, "{}", sample.name);
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    for mut sample in verified() {
        for bit in 0..sample.bytes.len() * 8 {
            sample.bytes[bit / 8] ^= 1 << (bit % 8);
            let error = (sample.again)(&sample.bytes).expect_err(sample.name);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{} bit {bit}: {error}", sample.name);
            assert!(error.offset().is_some() && error.field().is_some(), "{error}");
            sample.bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_other_value_of_a_byte_is_seen() {
    for sample in verified() {
        (0..sample.bytes.len()).into_par_iter().for_each_init(
            || sample.bytes.clone(),
            |bytes, at| {
                let before = bytes[at];
                for value in (0..=255).filter(|value| *value != before) {
                    bytes[at] = value;
                    assert!((sample.again)(bytes).is_err(), "{}: {value} at {at}", sample.name);
                }
                bytes[at] = before;
            },
        );
    }
}

#[test]
fn every_cut_is_seen() {
    for sample in samples::all() {
        for length in 0..sample.bytes.len() {
            let cut = &sample.bytes[..length];
            // A table of sources may end after any entry: the piece around it says how long it is.
            if sample.name == "sources" && length % 72 == 0 {
                continue;
            }
            assert!((sample.again)(cut).is_err(), "{} cut to {length}", sample.name);
        }
        let mut longer = sample.bytes.clone();
        longer.push(0);
        assert!((sample.again)(&longer).is_err(), "{} with a byte more", sample.name);
    }
}

/// With its checksum made right again a changed page is either refused or means something
/// else: no two stored forms mean the same, so nothing is stored that is not checked.
#[test]
fn stored_forms_are_canonical() {
    for mut sample in samples::all() {
        for bit in 0..sample.bytes.len() * 8 {
            let before = sample.bytes.clone();
            sample.bytes[bit / 8] ^= 1 << (bit % 8);
            (sample.repair)(&mut sample.bytes);
            if let Ok(again) = (sample.again)(&sample.bytes) {
                assert!(again == sample.bytes, "{} bit {bit} is not canonical", sample.name);
            }
            sample.bytes = before;
        }
    }
}

/// A count or length that the bytes do not justify is an error before anything is allocated for it.
#[test]
fn hostile_counts_are_refused() {
    for mut sample in samples::all() {
        for at in 0..sample.bytes.len().min(CRC_OFFSET) {
            let before = sample.bytes.clone();
            for width in [2, 4, 8] {
                let end = (at + width).min(sample.bytes.len());
                for value in [0xff, 0x7f, 0x00] {
                    sample.bytes[at..end].fill(value);
                    (sample.repair)(&mut sample.bytes);
                    if let Ok(again) = (sample.again)(&sample.bytes) {
                        assert!(again == sample.bytes, "{} at {at}", sample.name);
                    }
                    sample.bytes.copy_from_slice(&before);
                }
            }
        }
    }
}

/// Whoever counted on from such a number once overflowed.
#[test]
fn numbers_that_only_grow_leave_room_to_count_on() {
    let numbers: [fn(&mut Header, u64); 4] = [
        |header, number| header.generation = number,
        |header, number| header.journal.sequence = number,
        |header, number| header.journal.durable_sequence = number,
        |header, number| header.piece_generation = number,
    ];
    for set in numbers {
        let decoded = |number| {
            let mut header = samples::open_header();
            set(&mut header, number);
            Header::decode(&header.encode(1), 1)
        };
        assert!(decoded((1 << 63) - 1).is_ok());
        let error = decoded(1 << 63).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.offset().is_some() && error.field().is_some(), "{error}");
    }
}

#[test]
fn a_bitmap_larger_than_its_bytes_is_refused() {
    let mut body = samples::free_space().encode();
    for blocks in [u64::MAX, 1 << 63, 1 << 40, 129] {
        body[8..16].copy_from_slice(&blocks.to_le_bytes());
        assert_eq!(FreeSpace::decode(&body).unwrap_err().field(), Some("counts"));
    }
}

#[test]
fn a_record_says_where_it_lies_and_whose_it_is() {
    let (page, _) = samples::record().encode(LAYER, FileBlock(9));
    let place = Record::decode(&page, LAYER, FileBlock(10)).unwrap_err();
    assert_eq!((place.field(), place.offset()), (Some("place"), Some(32)));
    let other = crate::units::LayerId([1; 16]);
    let layer = Record::decode(&page, other, FileBlock(9)).unwrap_err();
    assert_eq!((layer.field(), layer.offset()), (Some("layer id"), Some(8)));
}

#[test]
fn a_table_of_sources_is_whole_entries() {
    assert!(sources::decode(&[]).unwrap().is_empty());
    assert_eq!(sources::decode(&[0; 71]).unwrap_err().field(), Some("length"));
}
