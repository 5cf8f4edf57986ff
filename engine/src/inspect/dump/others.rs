//! The files of a store that are not layers.

use super::item::{DumpItem, Verdict};
use super::layer::{page_item, run_items};
use super::{DumpOptions, Visit, schema};
use crate::error::{Error, Result};
use crate::format::index::{IndexHead, SLOT_BYTES, verify_slots};
use crate::format::name::{NameEntry, StoreEntry};
use crate::format::page::PageKind;
use crate::inspect::file::InspectedFile;
use crate::inspect::run::InspectedRun;
use crate::units::PAGE_BYTES;

/// Dumps a name file.
pub fn name(file: &InspectedFile, visit: Visit<'_>) -> Result<()> {
    let entry = file.page(0).and_then(|page| NameEntry::decode(&page));
    let verdict = Verdict::of(&entry.and_then(|_| ends_here(file, PAGE_BYTES)));
    page_item(file, 1, 0, "name file".to_owned(), PageKind::Name, verdict, visit)
}

/// Dumps the file of a store.
pub fn store(file: &InspectedFile, visit: Visit<'_>) -> Result<()> {
    let entry = file.page(0).and_then(|page| StoreEntry::decode(&page));
    let verdict = Verdict::of(&entry.and_then(|_| ends_here(file, PAGE_BYTES)));
    page_item(file, 1, 0, "store file".to_owned(), PageKind::Store, verdict, visit)
}

/// Dumps a merged index.
pub fn index(file: &InspectedFile, options: &DumpOptions, visit: Visit<'_>) -> Result<()> {
    let head = file.page(0).and_then(|page| IndexHead::decode(&page, file.length()));
    let what = schema::name_of_kind(PageKind::Index).to_owned();
    page_item(file, 1, 0, what, PageKind::Index, Verdict::of(&head), visit)?;
    let Ok(head) = head else { return Ok(()) };
    let length = (head.run.place.0 - 1) * PAGE_BYTES;
    let bytes = file.bytes(PAGE_BYTES, length);
    let verdict = match &bytes {
        Ok(bytes) => Verdict::of(&verify_slots(&head, bytes)),
        Err(_) => Verdict::of(&bytes),
    };
    visit(&DumpItem::new(1, PAGE_BYTES, length, "table of slots", verdict))?;
    let entries = bytes.iter().flat_map(|bytes| bytes.chunks_exact(SLOT_BYTES));
    for (number, entry) in (0..u64::from(head.slots)).zip(entries) {
        let at = PAGE_BYTES + number * SLOT_BYTES as u64;
        let what = format!("slot {number}");
        let mut item = DumpItem::new(2, at, SLOT_BYTES as u64, what, Verdict::Part);
        item.fields = schema::INDEX_SLOT.fields(entry, at);
        visit(&item)?;
    }
    let base = head.run.place.0 * PAGE_BYTES;
    let run = InspectedRun::open(file, base, PageKind::Index, head.tip.id, &head.run);
    run_items(file, options, 1, "run".to_owned(), base, run, visit)
}

fn ends_here(file: &InspectedFile, expected: u64) -> Result<()> {
    match file.length() == expected {
        true => Ok(()),
        false => Err(Error::corrupt("read", "file length", file.length(), expected)),
    }
}
