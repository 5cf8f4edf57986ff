//! What a torn tail is, and what only looks like one.

use super::build::{Build, LAYER, check_bytes};
use crate::format::Record;
use crate::format::header::Journal;
use crate::inspect::{CheckReport, Severity};
use crate::units::{FileBlock, PAGE_BYTES};

const RECORDS: usize = 3;

/// An open layer with three one-block commits, known durable up to `durable` of them.
fn journal(durable: u64) -> (Vec<u8>, Vec<FileBlock>, Vec<FileBlock>) {
    let mut build = Build::new(1);
    let places: Vec<FileBlock> =
        (0..RECORDS + 2).map(|_| build.append(&[0; PAGE_BYTES as usize])).collect();
    let mut data = Vec::new();
    let mut chain = 9;
    build.header.journal = Journal {
        sequence: 0,
        next: places[0],
        after_next: places[1],
        durable_sequence: durable,
        chain,
    };
    for number in 0..RECORDS {
        let extents = vec![build.data(number as u64, 1)];
        data.push(FileBlock(build.end().0 - 1));
        let record = Record {
            sequence: number as u64 + 1,
            previous: chain,
            data_durable: false,
            volume_bytes: 1 << 30,
            next: places[number + 1],
            after_next: places[number + 2],
            piece_generation: 2,
            sources: None,
            added_sources: vec![],
            runs: vec![],
            checksums: build.checksums_of(&extents),
            extents,
        };
        let (page, crc) = record.encode(LAYER, places[number]);
        let at = places[number].0 as usize * PAGE_BYTES as usize;
        build.bytes[at..at + PAGE_BYTES as usize].copy_from_slice(&page);
        chain = crc;
    }
    (build.finish(), places, data)
}

fn broken(bytes: &[u8], block: FileBlock) -> CheckReport {
    let mut bytes = bytes.to_vec();
    bytes[block.0 as usize * PAGE_BYTES as usize + 50] ^= 1;
    check_bytes(&bytes)
}

fn worst(report: &CheckReport) -> Option<Severity> {
    report.findings.iter().map(|finding| finding.severity).max()
}

#[test]
fn only_the_last_record_may_be_torn() {
    let (bytes, places, data) = journal(0);
    assert_eq!(worst(&check_bytes(&bytes)), None);
    for number in 0..RECORDS - 1 {
        assert_eq!(worst(&broken(&bytes, places[number])), Some(Severity::Damage), "{number}");
        assert_eq!(worst(&broken(&bytes, data[number])), Some(Severity::Damage), "{number}");
    }
    for last in [places[RECORDS - 1], data[RECORDS - 1]] {
        let report = broken(&bytes, last);
        assert_eq!(worst(&report), Some(Severity::Note));
        assert_eq!((report.counts.torn_tails, report.counts.records), (1, 2));
    }
}

#[test]
fn a_record_known_durable_is_never_a_torn_tail() {
    let (bytes, places, data) = journal(3);
    for last in [places[RECORDS - 1], data[RECORDS - 1]] {
        assert_eq!(worst(&broken(&bytes, last)), Some(Severity::Damage));
    }
}

#[test]
fn data_past_the_end_is_a_torn_tail() {
    let (mut bytes, _, _) = journal(0);
    let cut = bytes.len() - PAGE_BYTES as usize;
    // The header promises no more than what was synced before it was written.
    let mut header = crate::format::Header::decode(bytes[..4096].try_into().unwrap(), 0).unwrap();
    header.file_bytes = cut as u64;
    for slot in 0..2 {
        let at = (slot * PAGE_BYTES) as usize;
        bytes[at..at + PAGE_BYTES as usize].copy_from_slice(&header.encode(slot));
    }
    let report = check_bytes(&bytes[..cut]);
    assert_eq!((worst(&report), report.counts.records), (Some(Severity::Note), 2));
}
