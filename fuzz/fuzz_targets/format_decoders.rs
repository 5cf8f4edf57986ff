//! Bytes into every decoder of the format: no panic, and no two stored forms that mean the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood::Result;
use sapwood::format::header::Header;
use sapwood::format::index::IndexHead;
use sapwood::format::name::{NameEntry, StoreEntry};
use sapwood::format::page::{CRC_OFFSET, MAGIC, PageKind, VERSION};
use sapwood::format::run::RunHead;
use sapwood::format::{Annotations, FreeSpace, Record, sources};
use sapwood::units::{FileBlock, LayerId, PAGE_BYTES};

type Page = [u8; PAGE_BYTES as usize];

/// A page of that kind with the fields of the input and a checksum that is right.
fn page_of(kind: PageKind, fields: &[u8]) -> Page {
    let mut page = [0; PAGE_BYTES as usize];
    let length = fields.len().min(CRC_OFFSET);
    page[..length].copy_from_slice(&fields[..length]);
    page[..4].copy_from_slice(&MAGIC.to_le_bytes());
    page[4..6].copy_from_slice(&(kind as u16).to_le_bytes());
    page[6..8].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&page[..CRC_OFFSET]);
    page[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
    page
}

fn canonical(page: &Page, again: Result<Page>) {
    if let Ok(again) = again {
        assert!(again == *page, "a second stored form");
    }
}

fn run_head(page: &Page, kind: PageKind) -> Result<Page> {
    let (head, _, prelude, _) = RunHead::decode(page, kind)?;
    let mut again = [0; PAGE_BYTES as usize];
    head.encode(&mut again, &prelude)?;
    Ok(again)
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, fields)) = data.split_first() else { return };
    match which % 9 {
        0 => {
            let page = page_of(PageKind::Header, fields);
            let slot = u64::from(which / 9 % 2);
            canonical(&page, Header::decode(&page, slot).map(|header| header.encode(slot)));
        }
        1 => {
            let page = page_of(PageKind::Record, fields);
            let layer = LayerId(page[8..24].try_into().expect("16 bytes"));
            let place = FileBlock(u64::from_le_bytes(page[32..40].try_into().expect("8 bytes")));
            let record = Record::decode(&page, layer, place);
            canonical(&page, record.map(|(record, _)| record.encode(layer, place).0));
        }
        2 => {
            let page = page_of(PageKind::Run, fields);
            canonical(&page, run_head(&page, PageKind::Run));
        }
        3 => {
            let page = page_of(PageKind::Index, fields);
            let bytes = u64::from(which) * PAGE_BYTES;
            canonical(&page, IndexHead::decode(&page, bytes).map(|head| head.encode()));
        }
        4 => {
            let page = page_of(PageKind::Name, fields);
            canonical(&page, NameEntry::decode(&page).map(|entry| entry.encode()));
        }
        5 => {
            let page = page_of(PageKind::Store, fields);
            canonical(&page, StoreEntry::decode(&page).map(|entry| entry.encode()));
        }
        6 => {
            if let Ok(annotations) = Annotations::decode(fields) {
                assert_eq!(annotations.encode().expect("as small as it was"), fields);
            }
        }
        7 => {
            if let Ok(free_space) = FreeSpace::decode(fields) {
                assert_eq!(free_space.encode(), fields);
            }
        }
        _ => {
            if let Ok(table) = sources::decode(fields) {
                assert_eq!(sources::encode(&table), fields);
            }
        }
    }
});
