//! How the fields of each structure are shown, beside the tables that say where they lie.

use super::item::{DumpField, DumpValue};
use crate::format::page::{self, PageKind};
use crate::format::{blob, files, free_space, header, identity, index, name, piece, record, run};
use crate::units::LayerId;

/// How the bytes of a field are shown.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// An integer of the width of the field.
    Number,
    /// An integer in hexadecimal.
    Bits,
    /// An integer whose values have names.
    Named(&'static [(u64, &'static str)]),
    /// The four letters that every page begins with.
    Letters,
    /// A size as its logarithm to the base 2.
    Log2,
    /// A layer id.
    Layer,
    /// A digest.
    Digest,
    /// Text in UTF-8, padded with zeros.
    Text,
    /// Fields inside, one after another.
    Group(Table),
    /// Fields inside, or nothing where all is zero.
    Optional(Table),
    /// As many optional groups as fit.
    Array(Table),
    /// Zeros.
    Reserved,
    /// Shown elsewhere: what a count before it says how to read.
    Elsewhere,
}

/// A structure: where its fields lie, how each is shown, where the last one ends.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    fields: &'static [(usize, &'static str)],
    forms: &'static [Form],
    end: usize,
}

const fn table(
    fields: &'static [(usize, &'static str)],
    forms: &'static [Form],
    end: usize,
) -> Table {
    assert!(fields.len() == forms.len(), "each field has a form");
    Table { fields, forms, end }
}

use Form::*;

const PAGE_KINDS: &[(u64, &str)] = &[
    (1, "header slot"),
    (2, "journal record"),
    (3, "head of a run"),
    (4, "head of the table of sources"),
    (5, "head of the annotations"),
    (6, "head of the saved free space"),
    (7, "head of a merged index"),
    (8, "name file"),
    (9, "store file"),
];

/// The kind of that number.
pub fn kind_named(number: u16) -> Option<PageKind> {
    Some(match number {
        1 => PageKind::Header,
        2 => PageKind::Record,
        3 => PageKind::Run,
        4 => PageKind::Sources,
        5 => PageKind::Annotations,
        6 => PageKind::FreeSpace,
        7 => PageKind::Index,
        8 => PageKind::Name,
        9 => PageKind::Store,
        _ => return None,
    })
}

/// What a page of that kind is called.
pub fn name_of_kind(kind: PageKind) -> &'static str {
    PAGE_KINDS.iter().find(|(number, _)| *number == kind as u64).expect("a name for each kind").1
}

const CRC_END: usize = page::CRC_OFFSET + 4;
/// A reference to a piece.
pub const PIECE: Table =
    table(piece::FIELDS, &[Number, Number, Number, Bits], piece::PIECE_REF_BYTES);
/// A reference to a layer.
pub const LAYER: Table =
    table(identity::FIELDS, &[Layer, Number, Number, Bits, Digest], identity::LAYER_REF_BYTES);
const FEATURES: Table = table(
    &[(0, "incompatible"), (8, "read-only compatible"), (16, "compatible")],
    &[Bits, Bits, Bits],
    24,
);
const JOURNAL: Table = table(
    &[(0, "sequence"), (8, "next"), (16, "after next"), (24, "durable sequence"), (32, "chain")],
    &[Number, Number, Number, Number, Bits],
    36,
);
const COUNTS: Table = table(
    &[(0, "added sources"), (2, "runs"), (4, "extents"), (6, "checksums")],
    &[Number, Number, Number, Number],
    8,
);

/// What every page begins with.
pub const PRELUDE: Table = table(
    page::FIELDS.split_at(6).0,
    &[Letters, Named(PAGE_KINDS), Number, Layer, Number, Number],
    page::PRELUDE_BYTES,
);
const HEADER: Table = table(
    header::FIELDS,
    &[
        Group(FEATURES),
        Named(&[(1, "disk"), (2, "tree")]),
        Named(&[(1, "open"), (2, "frozen")]),
        Log2,
        Number,
        Named(&[(0, "none"), (1, "removed"), (2, "thinned"), (3, "removed, thinned")]),
        Number,
        Number,
        Number,
        Optional(LAYER),
        Digest,
        Group(JOURNAL),
        Number,
        Optional(PIECE),
        Optional(PIECE),
        Optional(PIECE),
        Array(PIECE),
        Reserved,
        Bits,
    ],
    CRC_END,
);
const RECORD: Table = table(
    record::FIELDS,
    &[
        Bits,
        Named(&[(0, "none"), (1, "data durable")]),
        Number,
        Number,
        Number,
        Number,
        Optional(PIECE),
        Group(COUNTS),
        Elsewhere,
        Bits,
    ],
    CRC_END,
);
const BLOB: Table = table(blob::FIELDS, &[Number, Bits, Reserved, Bits], CRC_END);
const RUN: Table = table(
    run::FIELDS,
    &[
        Number,
        Number,
        Number,
        Number,
        Number,
        Number,
        Number,
        Number,
        Number,
        Named(&[(0, "no block checksums"), (1, "block checksums")]),
        Bits,
        Reserved,
        Bits,
    ],
    CRC_END,
);
const INDEX: Table = table(
    index::FIELDS,
    &[Number, Bits, Optional(LAYER), Number, Number, Bits, Log2, Group(PIECE), Reserved, Bits],
    CRC_END,
);
const NAME: Table = table(
    name::FIELDS,
    &[Named(&[(1, "tag"), (2, "volume")]), Number, Text, Optional(LAYER), Reserved, Bits],
    CRC_END,
);
const STORE: Table = table(name::STORE_FIELDS, &[Log2, Reserved, Bits], CRC_END);
/// The start of the body of the saved free space.
pub const FREE_SPACE: Table = table(free_space::FIELDS, &[Number, Number, Number, Elsewhere], 24);
/// The first page of a tree of files.
pub const TREE_FIRST_PAGE: Table = table(
    files::superblock::FIELDS,
    &[
        Letters,
        Number,
        Number,
        Bits,
        Bits,
        Bits,
        Number,
        Number,
        Number,
        Number,
        Number,
        Number,
        Layer,
        Form::Digest,
        Number,
        Number,
        Number,
        Number,
        Elsewhere,
    ],
    132,
);
/// The head of a page of a tree of files.
pub const TREE_PAGE: Table = table(
    files::page::FIELDS,
    &[Letters, Number, Number, Number, Number, Number, Number, Elsewhere, Reserved, Number, Number],
    files::page::HEAD_BYTES,
);
/// A slot of a merged index.
pub const INDEX_SLOT: Table = table(
    &[(0, "owner"), (40, "mapper"), (80, "distance")],
    &[Group(INDEX_LAYER), Group(INDEX_LAYER), Number],
    index::SLOT_BYTES,
);
const INDEX_LAYER: Table = table(
    &[(0, "id"), (16, "size"), (24, "freeze generation"), (32, "map checksum")],
    &[Layer, Number, Number, Bits],
    40,
);

/// The fields of a page of that kind, after its prelude.
pub fn of_kind(kind: PageKind) -> Table {
    match kind {
        PageKind::Header => HEADER,
        PageKind::Record => RECORD,
        PageKind::Run => RUN,
        PageKind::Sources | PageKind::Annotations | PageKind::FreeSpace => BLOB,
        PageKind::Index => INDEX,
        PageKind::Name => NAME,
        PageKind::Store => STORE,
    }
}

impl Table {
    /// The fields of the structure in `bytes`, which lies at byte `base` of its file.
    ///
    /// Whatever the bytes are they are shown; nothing here judges.
    pub fn fields(&self, bytes: &[u8], base: u64) -> Vec<DumpField> {
        let mut shown = Vec::new();
        self.show(bytes, base, "", &mut shown);
        shown
    }

    fn show(&self, bytes: &[u8], base: u64, prefix: &str, shown: &mut Vec<DumpField>) {
        for (index, &(start, name)) in self.fields.iter().enumerate() {
            let end = self.fields.get(index + 1).map_or(self.end, |&(next, _)| next);
            let Some(field) = bytes.get(start..end) else { return };
            let at = base + start as u64;
            let name = format!("{prefix}{name}");
            match self.forms[index] {
                Group(table) => table.show(field, at, &format!("{name}: "), shown),
                Optional(table) => optional(table, field, at, &name, shown),
                Array(table) => {
                    for (number, entry) in field.chunks_exact(table.end).enumerate() {
                        if entry.iter().any(|&byte| byte != 0) {
                            let at = at + (number * table.end) as u64;
                            optional(table, entry, at, &format!("{name} {number}"), shown);
                        }
                    }
                }
                Elsewhere => {}
                form => {
                    let value = value(form, field);
                    shown.push(DumpField { offset: at, bytes: field.len() as u64, name, value });
                }
            }
        }
    }
}

fn optional(table: Table, field: &[u8], at: u64, name: &str, shown: &mut Vec<DumpField>) {
    if field.iter().any(|&byte| byte != 0) {
        return table.show(field, at, &format!("{name}: "), shown);
    }
    let (bytes, name) = (field.len() as u64, name.to_owned());
    shown.push(DumpField { offset: at, bytes, name, value: DumpValue::Nothing });
}

fn value(form: Form, field: &[u8]) -> DumpValue {
    let number = || {
        let mut bytes = [0; 8];
        bytes[..field.len().min(8)].copy_from_slice(&field[..field.len().min(8)]);
        u64::from_le_bytes(bytes)
    };
    match form {
        Bits => DumpValue::Bits { value: number(), digits: 2 * field.len() },
        Named(names) => {
            let value = number();
            let name = names.iter().find(|(known, _)| *known == value);
            let name = name.map_or("unknown", |(_, name)| name).to_owned();
            DumpValue::Named { value, name }
        }
        Log2 => {
            let value = number();
            let bytes = 1_u64.checked_shl(value.min(64) as u32);
            let name = bytes.map_or("unknown".to_owned(), |bytes| format!("{bytes} bytes"));
            DumpValue::Named { value, name }
        }
        Layer if field.len() == 16 => {
            DumpValue::Layer(LayerId(field.try_into().expect("16 bytes")))
        }
        Form::Digest if field.len() == 32 => {
            let bytes: [u8; 32] = field.try_into().expect("32 bytes");
            DumpValue::Digest((bytes != [0; 32]).then_some(crate::units::Digest(bytes)))
        }
        Letters | Text => {
            let length = field.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            DumpValue::Text(String::from_utf8_lossy(&field[..length]).into_owned())
        }
        Reserved if field.iter().all(|&byte| byte == 0) => DumpValue::Zeros(field.len() as u64),
        Number if field.len() <= 8 => DumpValue::Number(number()),
        _ => hexadecimal(field),
    }
}

/// The first bytes in hexadecimal.
fn hexadecimal(bytes: &[u8]) -> DumpValue {
    let mut text: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 32 {
        text += "...";
    }
    DumpValue::Bytes(text)
}

/// An extent in a journal record.
pub const EXTENT: Table =
    table(record::EXTENT_FIELDS, &[Number, Number, Number, Number], record::EXTENT_BYTES);
