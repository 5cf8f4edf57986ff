//! Files that are as they should be: nothing is found, and the dump shows all of them.

use std::path::Path;

use super::build::{FILE, Unused, check_bytes, frozen_layer, host_with, open_layer, sealed_layer};
use crate::inspect::{DumpItem, DumpOptions, Verdict, dump};

fn items(bytes: &[u8]) -> Vec<DumpItem> {
    let mut items = Vec::new();
    let host = host_with(bytes);
    dump(&host, Path::new(FILE), &DumpOptions::default(), &mut |item| {
        items.push(item.clone());
        Ok(())
    })
    .unwrap();
    items
}

#[test]
fn whole_layers_have_no_findings() {
    for (name, (bytes, _)) in
        [("open", open_layer(1)), ("frozen", frozen_layer(1)), ("sealed", sealed_layer(1))]
    {
        let report = check_bytes(&bytes);
        assert_eq!(report.findings, [], "{name}");
        assert!(report.counts.runs > 0 && report.counts.data_blocks > 0, "{name}");
    }
    let counts = check_bytes(&open_layer(1).0).counts;
    // Of the older run's three blocks at 0 one is hidden by the newer run.
    assert_eq!((counts.runs, counts.records, counts.data_blocks), (3, 3, 9));
}

#[test]
fn a_dump_shows_every_page_of_metadata() {
    for (bytes, _) in [open_layer(1), frozen_layer(1), sealed_layer(1)] {
        let items = items(&bytes);
        assert!(items.iter().all(|item| !matches!(item.verdict, Verdict::Broken(_))));
        for (number, page) in bytes.chunks(4096).enumerate() {
            if page[..4] == *b"sapw" {
                let at = number as u64 * 4096;
                let shown = items.iter().any(|item| item.offset == at && !item.fields.is_empty());
                assert!(shown, "the page at {at}");
            }
        }
    }
}

#[test]
fn fields_of_a_dump_lie_where_it_says() {
    let (bytes, _) = open_layer(1);
    for item in items(&bytes) {
        for field in &item.fields {
            if let crate::inspect::DumpValue::Bits { value, digits } = field.value {
                let at = field.offset as usize;
                let mut stored = [0; 8];
                stored[..digits / 2].copy_from_slice(&bytes[at..at + digits / 2]);
                assert_eq!(u64::from_le_bytes(stored), value, "{} of {}", field.name, item.what);
            }
        }
    }
}

#[test]
fn a_dump_is_readable_text() {
    let (bytes, _): (Vec<u8>, Unused) = sealed_layer(1);
    let text: Vec<String> = items(&bytes).iter().map(ToString::to_string).collect();
    assert!(text[1].starts_with("           0    header slot 0, 4096 bytes: ok\n"), "{}", text[1]);
    assert!(text[1].contains("state                            2 (frozen)"), "{}", text[1]);
    assert!(text.iter().any(|item| item.contains("block checksums, 16 bytes: ok")));
}

#[test]
fn a_file_without_a_header_is_dumped_page_by_page() {
    let (mut bytes, _) = open_layer(1);
    bytes[100] ^= 1;
    bytes[4196] ^= 1;
    let items = items(&bytes);
    let broken = items.iter().filter(|item| matches!(item.verdict, Verdict::Broken(_))).count();
    assert_eq!(broken, 2, "the slots");
    let found = items.iter().filter(|item| item.what.ends_with("found by its page")).count();
    let pages = bytes.chunks(4096).skip(2).filter(|page| page[..4] == *b"sapw").count();
    assert_eq!(found, pages);
}
