//! Makes the checksums of a damaged layer file right again, so that what lies behind them is reached.

use sapwood::format::header::Header;
use sapwood::format::page::{CRC_OFFSET, MAGIC, PageKind};
use sapwood::format::run::{CHUNK_BYTES, RunHead, chunk_checksum};
use sapwood::format::{PieceRef, blob};
use sapwood::units::PAGE_BYTES;

const PAGE: usize = PAGE_BYTES as usize;

/// Repairs every page that says it is one of ours, then what names it: first the bodies of
/// pieces, then their heads, then the slots.
pub fn layer(bytes: &mut [u8]) {
    for at in (2 * PAGE..bytes.len()).step_by(PAGE) {
        if is_page(bytes, at) {
            body(bytes, at);
            page(bytes, at);
        }
    }
    for slot in 0..2 {
        if is_page(bytes, slot * PAGE) {
            page(bytes, slot * PAGE);
            references(bytes, slot);
        }
    }
}

fn is_page(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + PAGE).is_some_and(|page| page[..4] == MAGIC.to_le_bytes())
}

fn page(bytes: &mut [u8], at: usize) {
    let crc = crc32fast::hash(&bytes[at..at + CRC_OFFSET]);
    bytes[at + CRC_OFFSET..at + PAGE].copy_from_slice(&crc.to_le_bytes());
}

/// The checksums that a head holds of what follows it.
fn body(bytes: &mut [u8], at: usize) {
    match u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]) {
        kind if kind == PageKind::Run as u16 => run(bytes, at),
        kind if (PageKind::Sources as u16..=PageKind::FreeSpace as u16).contains(&kind) => {
            let length = u64::from_le_bytes(bytes[at + 40..at + 48].try_into().expect("8 bytes"));
            let end = usize::try_from(length)
                .ok()
                .filter(|&length| length <= bytes.len())
                .map(|length| at + blob::piece_bytes(length) as usize)
                .filter(|&end| end <= bytes.len());
            if let Some(end) = end {
                let crc = crc32fast::hash(&bytes[at + PAGE..end]);
                bytes[at + 48..at + 52].copy_from_slice(&crc.to_le_bytes());
            }
        }
        _ => {}
    }
}

fn run(bytes: &mut [u8], at: usize) {
    page(bytes, at);
    let head = bytes[at..at + PAGE].try_into().expect("a page");
    let Ok((head, layout, prelude, _)) = RunHead::decode(head, PageKind::Run) else { return };
    if layout.total_bytes > (bytes.len() - at) as u64 {
        return;
    }
    for number in 0..layout.body.bytes.div_ceil(CHUNK_BYTES) {
        let chunk = layout.chunk(number);
        let start = at + chunk.offset as usize;
        let crc = chunk_checksum(&prelude, number, &bytes[start..start + chunk.bytes as usize]);
        let place = at + (layout.chunk_checksums.offset + 4 * number) as usize;
        bytes[place..place + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let start = at + layout.chunk_checksums.offset as usize;
    let listed = &bytes[start..start + layout.chunk_checksums.bytes as usize];
    let chunks_crc = crc32fast::hash(listed);
    let mut page = [0; PAGE];
    let head = RunHead { chunks_crc, ..head };
    if head.encode(&mut page, &prelude).is_ok() {
        bytes[at..at + PAGE].copy_from_slice(&page);
    }
}

/// The checksums of heads that a slot holds.
fn references(bytes: &mut [u8], slot: usize) {
    let held = bytes[slot * PAGE..(slot + 1) * PAGE].try_into().expect("a page");
    let Ok(mut header) = Header::decode(held, slot as u64) else { return };
    let size = header.block_size;
    let named = [&mut header.sources, &mut header.annotations, &mut header.free_space];
    let named = named.into_iter().flatten().chain(&mut header.runs);
    named.for_each(|piece: &mut PieceRef| {
        let at = piece.place.byte_offset_checked(size).and_then(|at| usize::try_from(at).ok());
        if let Some(head) = at.and_then(|at| bytes.get(at..at.checked_add(PAGE)?)) {
            piece.head_crc = u32::from_le_bytes(head[CRC_OFFSET..].try_into().expect("4 bytes"));
        }
    });
    let page = header.encode(slot as u64);
    bytes[slot * PAGE..(slot + 1) * PAGE].copy_from_slice(&page);
}
