//! The pages of a tree of files that a layer wrote, with the items in them.

use std::ops::ControlFlow;

use super::Visit;
use super::item::{DumpField, DumpItem, DumpValue, Verdict};
use super::schema;
use crate::error::{Error, Result};
use crate::extent::Target;
use crate::format::checksum;
use crate::format::files::entry::{AttributeHead, NamePlace};
use crate::format::files::page::MAGIC;
use crate::format::files::{EntryValue, InodeRecord, ItemKind, Key, Page, Superblock};
use crate::format::header::{Header, LayerState};
use crate::format::page::PageKind;
use crate::inspect::blocks::is_own_data;
use crate::inspect::file::InspectedFile;
use crate::inspect::journal;
use crate::inspect::map::{Level, Merged};
use crate::inspect::run::{InspectedRun, Mapped};
use crate::units::{BlockAddress, FileBlock};

/// The metadata of a tree lies in the blocks of file 0: these addresses.
const METADATA_END: BlockAddress = BlockAddress(1 << 32);

/// Dumps the pages that a layer of a tree holds; those of its ancestors are in their files.
pub fn tree(file: &InspectedFile, header: &Header, visit: Visit<'_>) -> Result<()> {
    let levels = match levels(file, header) {
        Ok(levels) => levels,
        // What is wrong with the map is shown where the map is.
        Err(_) => return Ok(()),
    };
    // Blocks of a tree may hold anything: only where one says that it is a page are they pages.
    let mut any = false;
    each_block(&levels, |mapped, address| {
        any |= is_page(file, header, mapped, address);
        Ok(if any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if !any {
        return Ok(());
    }
    each_block(&levels, |mapped, address| {
        page(file, header, mapped, address, visit)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// Shows each block of the layer that lies where metadata does.
fn each_block(
    levels: &[Level],
    mut each: impl FnMut(&Mapped, BlockAddress) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let Ok(mut merged) = Merged::over(levels) else { return Ok(()) };
    while let Ok(Some(mapped)) = merged.next() {
        if mapped.extent.start >= METADATA_END {
            return Ok(());
        }
        if !is_own_data(&mapped) {
            continue;
        }
        for address in mapped.extent.start.0..mapped.extent.end().min(METADATA_END).0 {
            if each(&mapped, BlockAddress(address))?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_page(file: &InspectedFile, header: &Header, mapped: &Mapped, address: BlockAddress) -> bool {
    let Target::Data { block, .. } = mapped.extent.target else { return false };
    let block = block.0.saturating_add(address.0 - mapped.extent.start.0);
    let mut first = [0; 4];
    let read = file.read(block.saturating_mul(header.block_size.bytes()), &mut first);
    read.is_ok() && first == MAGIC.to_le_bytes()
}

fn levels(file: &InspectedFile, header: &Header) -> Result<Vec<Level>> {
    let mut levels = match header.state {
        LayerState::Open => journal::replay(file, header, Vec::new())?.levels,
        LayerState::Frozen => Vec::new(),
    };
    for piece in &header.runs {
        let base = piece.place.0.saturating_mul(header.block_size.bytes());
        let run = InspectedRun::open(file, base, PageKind::Run, header.layer, piece)?;
        levels.push(Level::Run(Box::new(run)));
    }
    Ok(levels)
}

fn page(
    file: &InspectedFile,
    header: &Header,
    mapped: &Mapped,
    address: BlockAddress,
    visit: Visit<'_>,
) -> Result<()> {
    let index = address.0 - mapped.extent.start.0;
    let Target::Data { block, .. } = mapped.extent.target else { return Ok(()) };
    let block = FileBlock(block.0.saturating_add(index));
    let size = header.block_size.bytes();
    let offset = block.0.saturating_mul(size);
    let number = address.0 as u32;
    let what = match number {
        0 => "first page of a tree".to_owned(),
        _ => format!("tree page {number}"),
    };
    let mut item = DumpItem::new(1, offset, size, what, Verdict::Part);
    let bytes = match file.bytes(offset, size) {
        Ok(bytes) => bytes,
        Err(error) => {
            item.verdict = Verdict::of::<()>(&Err(error));
            return visit(&item);
        }
    };
    let table = if number == 0 { schema::TREE_FIRST_PAGE } else { schema::TREE_PAGE };
    item.fields = table.fields(&bytes, offset);
    let stored = checksum_of(file, mapped, index);
    let whole = stored.and_then(|stored| {
        let computed = checksum::of_block(header.layer, block, &bytes);
        match stored == computed {
            true => Ok(()),
            false => {
                let (found, expected) = (format!("{stored:#010x}"), format!("{computed:#010x}"));
                Err(Error::corrupt("read a tree page", "block checksum", found, expected))
            }
        }
    });
    if number == 0 {
        let decoded = Superblock::decode(&bytes, header.block_size);
        item.verdict = Verdict::of(&whole.and(decoded.map(drop)));
        return visit(&item);
    }
    let decoded = Page::decode(bytes.into_boxed_slice(), number);
    item.verdict = match (&whole, &decoded) {
        (Ok(()), decoded) => Verdict::of(decoded),
        (broken, _) => Verdict::of(broken),
    };
    visit(&item)?;
    let Ok(page) = decoded else { return Ok(()) };
    for slot in 0..page.len() {
        visit(&slot_item(&page, slot, offset))?;
    }
    Ok(())
}

fn checksum_of(file: &InspectedFile, mapped: &Mapped, index: u64) -> Result<u32> {
    let mut bytes = [0; 4];
    file.read(mapped.checksums_at + 4 * index, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A slot: its key, and what its value says.
fn slot_item(page: &Page, slot: usize, base: u64) -> DumpItem {
    let key = page.key(slot);
    let at = base + page.slot_offset(slot) as u64;
    let slot_bytes = page.slot_bytes() as u64;
    let mut item = DumpItem::new(2, at, slot_bytes, "page below", Verdict::Part);
    let field = |name: &str, value| DumpField {
        offset: at,
        bytes: slot_bytes,
        name: name.to_owned(),
        value,
    };
    let kind = key.kind();
    item.fields = vec![
        field("inode", DumpValue::Number(key.inode().into())),
        field("number", DumpValue::Bits { value: key.sub(), digits: 16 }),
    ];
    if page.level() > 0 {
        let name = kind.map_or("no item", ItemKind::as_str).to_owned();
        let number = key.to_bytes()[0].into();
        item.fields.insert(0, field("kind", DumpValue::Named { value: number, name }));
        item.fields.push(field("page", DumpValue::Number(page.child(slot).into())));
        return item;
    }
    let value = page.value(slot);
    let shown = kind.and_then(|kind| {
        item.what = kind.as_str().to_owned();
        value_fields(key, kind, value)
    });
    match shown {
        Ok(shown) => item.fields.extend(shown.into_iter().map(|(name, value)| field(name, value))),
        Err(error) => item.verdict = Verdict::of::<()>(&Err(error)),
    }
    item
}

fn value_fields(key: Key, kind: ItemKind, value: &[u8]) -> Result<Vec<(&'static str, DumpValue)>> {
    let text = |bytes: &[u8]| DumpValue::Text(String::from_utf8_lossy(bytes).into_owned());
    let number = |number: u64| DumpValue::Number(number);
    Ok(match kind {
        ItemKind::Inode => {
            let record = InodeRecord::decode(value)?;
            vec![
                ("mode", DumpValue::Text(format!("{:o}", record.mode))),
                ("flags", DumpValue::Bits { value: record.flags.0.into(), digits: 2 }),
                ("owner", number(record.owner.into())),
                ("group", number(record.group.into())),
                ("links", number(record.links.into())),
                ("generation", number(record.generation.into())),
                ("device", number(record.device.into())),
                ("size", number(record.size)),
                ("accessed", DumpValue::Signed(record.accessed.seconds)),
                ("modified", DumpValue::Signed(record.modified.seconds)),
                ("changed", DumpValue::Signed(record.changed.seconds)),
                ("created", DumpValue::Signed(record.created.seconds)),
                ("directory", number(record.name.directory.into())),
                ("cookie", DumpValue::Bits { value: record.name.cookie, digits: 16 }),
            ]
        }
        ItemKind::Entry => {
            let entry = EntryValue::decode(value)?;
            let kind = number(entry.kind.into());
            vec![
                ("leads to", number(entry.inode.into())),
                ("kind", kind),
                ("name", text(entry.name)),
            ]
        }
        ItemKind::Link => {
            let place = NamePlace::decode(value)?;
            let cookie = DumpValue::Bits { value: place.cookie, digits: 16 };
            vec![("directory", number(place.directory.into())), ("cookie", cookie)]
        }
        ItemKind::Attribute if key.sub() as u8 == 0 => {
            let head = AttributeHead::decode(value)?;
            vec![("name", text(head.name)), ("value length", number(head.value_bytes.into()))]
        }
        ItemKind::Attribute | ItemKind::Content => vec![("bytes", number(value.len() as u64))],
        ItemKind::Orphan => Vec::new(),
        ItemKind::Free => match <[u8; 4]>::try_from(value) {
            Ok(bytes) => vec![("generation", number(u32::from_le_bytes(bytes).into()))],
            Err(_) => {
                let found = value.len();
                return Err(Error::corrupt("read a freed number", "length", found, 4));
            }
        },
    })
}
