//! Opening a run: head, chunk checksums and the upper parts of its tree are verified.

use super::single::{GroupWords, Single, SingleColumns};
use super::{Chunks, EncodedRun, Run, RunOrigin};
use crate::error::{Error, Result};
use crate::format::PieceRef;
use crate::format::page::PageKind;
use crate::format::run::{RunHead, RunLayout, Section, TREE_EXTENTS_MIN};
use crate::format::tree::{Node, TreeShape};
use crate::memory::filled;
use crate::raw::{Column, Item, PieceBytes, Vectors};
use crate::units::{LayerId, PAGE_BYTES};

const NODE_BYTES: u64 = size_of::<Node>() as u64;
const GROUP_WORDS_BYTES: u64 = size_of::<GroupWords>() as u64;

impl EncodedRun {
    /// Opens what was just encoded, from its bytes in memory.
    pub fn open(self, kind: PageKind, layer: LayerId, origin: RunOrigin) -> Result<Run> {
        Run::open(self.bytes.into(), kind, layer, self.piece, origin)
    }
}

impl Run {
    /// Opens the piece `bytes`, which must be the one of `layer` that `piece` names.
    pub fn open(
        bytes: PieceBytes,
        kind: PageKind,
        layer: LayerId,
        piece: PieceRef,
        origin: RunOrigin,
    ) -> Result<Run> {
        open(bytes, kind, layer, piece, origin.clone())
            .map_err(|error| error.shifted_by(origin.offset).in_file(&origin.path))
    }
}

/// As [`Run::open`]; offsets in errors are from the start of the piece.
fn open(
    bytes: PieceBytes,
    kind: PageKind,
    layer: LayerId,
    piece: PieceRef,
    origin: RunOrigin,
) -> Result<Run> {
    let all = bytes.bytes();
    let page = all.first_chunk::<{ PAGE_BYTES as usize }>();
    let page = page.ok_or_else(|| corrupt("length", 0, all.len(), "at least a page of 4096"))?;
    let (head, layout, prelude, crc) = RunHead::decode(page, kind)?;
    prelude.expect("head of a run", layer, piece.generation, piece.place)?;
    if crc != piece.head_crc {
        let expected = format!("{:#010x}", piece.head_crc);
        return Err(corrupt("head checksum", 0, format!("{crc:#010x}"), expected));
    }
    if layout.total_bytes != piece.bytes || all.len() as u64 != piece.bytes {
        let found = format!("{} bytes, {} of them given", layout.total_bytes, all.len());
        return Err(corrupt("total bytes", 0, found, piece.bytes));
    }
    let chunk_checksums = section_of(all, layout.chunk_checksums);
    let found = crc32fast::hash(chunk_checksums);
    if found != head.chunks_crc {
        let (found, expected) = (format!("{found:#010x}"), format!("{:#010x}", head.chunks_crc));
        return Err(corrupt("chunk checksums", PAGE_BYTES, found, expected));
    }
    // What fills up between the checksums and the body, and the last page.
    let after_checksums = layout.chunk_checksums.offset + layout.chunk_checksums.bytes;
    zeros(all, after_checksums, layout.body.offset)?;
    zeros(all, layout.body.offset + layout.body.bytes, layout.total_bytes)?;

    let chunks = Chunks::new(column(&bytes, layout.chunk_checksums)?, layout, prelude);
    chunks.verify_until(&bytes, layout.lows.offset)?;
    let highs = copied(column(&bytes, layout.superblock_highs)?)?;
    let firsts = copied(column(&bytes, layout.superblock_firsts)?)?;
    ascending(&highs, "superblock highs", layout.superblock_highs)?;
    ascending(&firsts, "superblock firsts", layout.superblock_firsts)?;
    let bounds = (firsts.first().copied().unwrap_or(0), firsts.last().copied().unwrap_or(0));
    if bounds != (0, head.extents as u32) {
        let found = format!("{} to {}", bounds.0, bounds.1);
        let expected = format!("0 to {}", head.extents);
        return Err(corrupt("superblock firsts", layout.superblock_firsts.offset, found, expected));
    }
    let alone = highs[..] == [(head.first.0 >> 32) as u32];
    let single = match alone && head.extents >= TREE_EXTENTS_MIN {
        true => Some(open_single(&bytes, &head, &layout)?),
        false => None,
    };
    let run = Run {
        high_shape: TreeShape::over(head.superblocks as u32),
        high_tree: column(&bytes, layout.superblock_tree)?,
        single,
        low_trees: column(&bytes, layout.low_trees)?,
        lows: column(&bytes, layout.lows)?,
        words: column(&bytes, layout.words)?,
        wide: column(&bytes, layout.wide)?,
        samples: column(&bytes, layout.samples)?,
        block_checksums: column(&bytes, layout.block_checksums)?,
        highs,
        firsts,
        chunks,
        vectors: Vectors::detect(),
        head,
        layout,
        piece,
        origin,
        bytes,
    };
    match run.bytes.faulted() {
        false => Ok(run),
        true => Err(Error::of_reading(
            "read a mapped run",
            std::io::Error::from_raw_os_error(libc::EIO),
        )),
    }
}

fn open_single(bytes: &PieceBytes, head: &RunHead, layout: &RunLayout) -> Result<Single> {
    let shape = TreeShape::over(head.extents as u32);
    let level = shape.lowest_level();
    let level = Section {
        offset: layout.low_trees.offset + NODE_BYTES * level.start as u64,
        bytes: NODE_BYTES * level.len() as u64,
    };
    let whole_groups = |section: Section, group_bytes: u64| Section {
        bytes: section.bytes / group_bytes * group_bytes,
        ..section
    };
    let columns = SingleColumns {
        group_keys: column(bytes, level)?,
        keys: column(bytes, whole_groups(layout.lows, NODE_BYTES))?,
        words: column(bytes, whole_groups(layout.words, GROUP_WORDS_BYTES))?,
    };
    Single::of(head, shape, columns).map_err(no_memory)
}

/// A column on the heap.
fn copied(column: Column<u32>) -> Result<Box<[u32]>> {
    let mut copy = filled(column.len(), 0).map_err(no_memory)?;
    copy.copy_from_slice(&column);
    Ok(copy.into_boxed_slice())
}

fn no_memory(error: std::io::Error) -> Error {
    Error::io("open a run", error)
}

fn section_of(bytes: &[u8], section: Section) -> &[u8] {
    &bytes[section.offset as usize..][..section.bytes as usize]
}

fn column<T: Item>(bytes: &PieceBytes, section: Section) -> Result<Column<T>> {
    let start = section.offset as usize;
    let column = Column::of(bytes, start..start + section.bytes as usize);
    // A layer file is mapped from a multiple of 4 KiB, a copy lies at a cache line.
    column.ok_or_else(|| corrupt("place", section.offset, "a piece not aligned", "64 bytes"))
}

fn ascending(values: &[u32], field: &'static str, section: Section) -> Result<()> {
    match values.windows(2).position(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(at) => {
            let offset = section.offset + 4 * (at as u64 + 1);
            Err(corrupt(field, offset, values[at + 1], format!("above {}", values[at])))
        }
    }
}

fn zeros(bytes: &[u8], start: u64, end: u64) -> Result<()> {
    match bytes[start as usize..end as usize].iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => {
            let found = format!("{:#04x}", bytes[start as usize + at]);
            Err(corrupt("padding", start + at as u64, found, "0x00 (reserved)"))
        }
    }
}

#[cold]
fn corrupt(
    field: &'static str,
    offset: u64,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Error {
    Error::corrupt("open a run", field, found, expected).at_offset(offset)
}
