//! The tables of `docs/FORMAT.md` say what the constants say.

use crate::format::{
    blob, files, free_space, header, identity, index, name, page, piece, record, run,
};
use crate::units::PAGE_BYTES;

const TEXT: &str = include_str!("../../../../docs/FORMAT.md");

/// A row of a table: offset, size in bytes (none where it runs to a length told elsewhere), name.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    offset: usize,
    bytes: Option<usize>,
    name: String,
}

/// The rows of the table under the heading `title`.
fn table(title: &str) -> Vec<Row> {
    let heading = format!("### {title}\n");
    let start = TEXT.find(&heading).unwrap_or_else(|| panic!("no heading {title:?}"));
    let section = &TEXT[start + heading.len()..];
    let section = section.split("\n#").next().unwrap_or(section);
    section
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .filter_map(|cells| {
            let offset = cells.first()?.parse().ok()?;
            // Tables of sections and files have no offsets.
            let bytes = cells.get(1)?.parse().ok();
            Some(Row { offset, bytes, name: (*cells.get(2)?).to_owned() })
        })
        .collect()
}

/// That the table is the fields, each reaching to the next one and the last to `end`.
fn compare(title: &str, fields: &[(usize, &str)], end: Option<usize>) {
    let ends = fields.iter().skip(1).map(|&(offset, _)| Some(offset)).chain([end]);
    let expected: Vec<Row> = fields
        .iter()
        .zip(ends)
        .map(|(&(offset, name), end)| Row {
            offset,
            bytes: end.map(|end| end - offset),
            name: name.to_owned(),
        })
        .collect();
    assert_eq!(table(title), expected, "table under {title:?}");
}

#[test]
fn the_tables_of_the_format_are_the_constants() {
    let page_end = Some(PAGE_BYTES as usize);
    let mut prelude = page::FIELDS.to_vec();
    let checksum = prelude.pop().expect("the last field");
    prelude.push((page::PRELUDE_BYTES, "what the kind holds"));
    prelude.push(checksum);
    compare("Page", &prelude, page_end);
    compare("Header slot", header::FIELDS, page_end);
    compare("Journal record", record::FIELDS, page_end);
    compare("Extent in a record", record::EXTENT_FIELDS, Some(record::EXTENT_BYTES));
    compare("Reference to a piece", piece::FIELDS, Some(piece::PIECE_REF_BYTES));
    compare("Reference to a layer", identity::FIELDS, Some(identity::LAYER_REF_BYTES));
    compare("Head of a blob", blob::FIELDS, page_end);
    compare("Head of a run", run::FIELDS, page_end);
    compare("Merged index", index::FIELDS, page_end);
    compare("Free space", free_space::FIELDS, None);
    compare("Name file", name::FIELDS, page_end);
    compare("Store file", name::STORE_FIELDS, page_end);
    compare("First page of a tree", files::superblock::FIELDS, None);
    compare("Head of a tree page", files::page::FIELDS, Some(files::page::HEAD_BYTES));
    compare("Inode", files::inode::FIELDS, Some(files::inode::INODE_BYTES));
}

#[test]
fn the_further_fields_of_an_inode_are_the_constants() {
    let section = TEXT.split("### Further fields of an inode\n").nth(1).expect("a table of fields");
    let section = section.split("\n#").next().unwrap_or(section);
    let listed: Vec<(u8, usize, String)> = section
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let (bit, bytes) = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
            Some((bit, bytes, cells.next()?.to_owned()))
        })
        .collect();
    let fields = files::inode::FURTHER_FIELDS;
    let fields: Vec<_> =
        fields.iter().map(|&(bit, bytes, name)| (bit, bytes, name.to_owned())).collect();
    assert_eq!(listed, fields);
}

#[test]
fn the_kinds_of_items_are_the_constants() {
    let listed: Vec<(u8, String)> = TEXT
        .split("### Items\n")
        .nth(1)
        .and_then(|section| section.split("\n#").next())
        .expect("a table of items")
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?.to_owned()))
        })
        .collect();
    let kinds = files::ItemKind::ALL.map(|kind| (kind as u8, kind.as_str().to_owned()));
    assert_eq!(listed, kinds);
}

#[test]
fn the_kinds_of_pages_are_the_constants() {
    use page::PageKind::*;
    let kinds = [Header, Record, Run, Sources, Annotations, FreeSpace, Index, Name, Store];
    let section = TEXT.split("### Kinds of pages\n").nth(1).expect("a table of kinds");
    let section = section.split("\n#").next().unwrap_or(section);
    let listed: Vec<u16> = section
        .lines()
        .filter_map(|line| line.trim_matches('|').split('|').next()?.trim().parse().ok())
        .collect();
    assert_eq!(listed, kinds.map(|kind| kind as u16));
}
