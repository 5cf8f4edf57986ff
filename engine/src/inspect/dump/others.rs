//! The files of a store that are not layers.

use std::path::Path;

use super::item::{DumpField, DumpItem, DumpValue, Verdict};
use super::layer::{page_item, run_items};
use super::{DumpOptions, Visit, schema};
use crate::error::{Error, Result};
use crate::format::index::{IndexHead, SLOT_BYTES, verify_slots};
use crate::format::name::{NameEntry, StoreEntry};
use crate::format::page::PageKind;
use crate::inspect::file::InspectedFile;
use crate::inspect::run::InspectedRun;
use crate::units::{Digest, LayerId, PAGE_BYTES};

/// The file of the locks of names.
const NAME_LOCKS: &str = "names.lock";
/// What it has room for to tell who held a lock last.
const HOLDER_BYTES: u64 = 32;

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

/// What a file of a store is that has no structures of this format, by its name.
pub fn meaning_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "lock" => "lock of the store: what is in it is not read",
        NAME_LOCKS => "locks of names: a byte for each, and who held it last",
        "diff-ids" => "diff IDs of layers that were made here: derived text, a line for a layer",
        "record.json" => "record of a container: text, which no layer needs",
        _ if is_digest(name) => "digest of a layer, derived: its name says all",
        _ => return None,
    })
}

/// Whether a file is called after a digest and the layer that has it.
fn is_digest(name: &str) -> bool {
    name.split_once('-').is_some_and(|(digest, layer)| {
        digest.parse::<Digest>().is_ok() && layer.parse::<LayerId>().is_ok()
    })
}

/// Tells what a file is that has no structures, and of the locks of names who held them.
pub fn without_structures(file: &InspectedFile, path: &Path, visit: Visit<'_>) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let what = meaning_of(name).unwrap_or_default().to_owned();
    visit(&DumpItem::new(1, 0, file.length(), what, Verdict::Part))?;
    if name != NAME_LOCKS {
        return Ok(());
    }
    for slot in 0..file.length() / HOLDER_BYTES {
        let at = slot * HOLDER_BYTES;
        let bytes = file.bytes(at, HOLDER_BYTES)?;
        if bytes.iter().all(|&byte| byte == 0) {
            continue;
        }
        let mut item = DumpItem::new(2, at, HOLDER_BYTES, format!("slot {slot}"), Verdict::Part);
        let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let (name, value) = ("number of a name, and process".to_owned(), DumpValue::Text(text));
        item.fields = vec![DumpField { offset: at, bytes: HOLDER_BYTES, name, value }];
        visit(&item)?;
    }
    Ok(())
}

fn ends_here(file: &InspectedFile, expected: u64) -> Result<()> {
    match file.length() == expected {
        true => Ok(()),
        false => Err(Error::corrupt("read", "file length", file.length(), expected)),
    }
}
