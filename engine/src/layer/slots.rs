//! Reading and changing the header slots.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::Header;
use crate::format::header::HEADER_BYTES;
use crate::medium::Medium;
use crate::units::PAGE_BYTES;

/// The header of a layer file, and whether both slots say it.
#[derive(Clone, Debug)]
pub struct HeaderSlots {
    /// What the newer whole slot says.
    pub header: Header,
    /// Both slots are whole and say the same: as it is at rest.
    pub slots_agree: bool,
}

/// Reads the header of a layer file.
pub fn read_header(medium: &dyn Medium, path: &Path) -> Result<HeaderSlots> {
    let mut bytes = [0; HEADER_BYTES as usize];
    let read = medium.read_at(0, &mut bytes);
    read.map_err(|error| short_or_io(medium, path, error))?;
    choose(&bytes, path)
}

/// As [`read_header`], from the device: the process before may have died after a failed sync.
pub fn read_header_uncached(medium: &dyn Medium, path: &Path) -> Result<HeaderSlots> {
    let mut bytes = [0; HEADER_BYTES as usize];
    let read = medium.read_uncached_at(0, &mut bytes);
    read.map_err(|error| short_or_io(medium, path, error))?;
    choose(&bytes, path)
}

/// Makes `header` what the file says: one slot, sync, the other slot.
///
/// `header.generation` must be above what both slots hold. The second slot is durable with
/// the sync that follows; until then nothing that the former header named may be reused.
/// An error means that the header is either the old or the new one: the caller poisons.
pub fn update_header(medium: &dyn Medium, path: &Path, header: &Header) -> Result<()> {
    // The slots alternate in who goes first, so that a torn write never hits the only whole one.
    let first = header.generation % 2;
    let write = |slot: u64| {
        medium.write_at(slot * PAGE_BYTES, &header.encode(slot)).map_err(|error| {
            Error::io("write a header slot", error).in_file(path).at_offset(slot * PAGE_BYTES)
        })
    };
    write(first)?;
    medium.sync().map_err(|error| Error::io("sync a header slot", error).in_file(path))?;
    write(1 - first)
}

/// Makes both slots say `header`, the newer of them, and that durable: a crash between the two
/// leaves one behind, and a slot that is behind must not outlive the other (INV-06).
pub fn mend_header(medium: &dyn Medium, path: &Path, header: &Header) -> Result<()> {
    for slot in 0..2 {
        let offset = slot * PAGE_BYTES;
        let page = header.encode(slot);
        let mut held = [0; PAGE_BYTES as usize];
        medium.read_at(offset, &mut held).map_err(|error| {
            Error::of_reading("read a header slot", error).in_file(path).at_offset(offset)
        })?;
        if held != page {
            medium.write_at(offset, &page).map_err(|error| {
                Error::io("mend a header slot", error).in_file(path).at_offset(offset)
            })?;
            let sync = medium.sync();
            sync.map_err(|error| Error::io("sync a mended header slot", error).in_file(path))?;
        }
    }
    Ok(())
}

fn choose(bytes: &[u8; HEADER_BYTES as usize], path: &Path) -> Result<HeaderSlots> {
    let (pages, _) = bytes.as_chunks::<{ PAGE_BYTES as usize }>();
    let slots = [0, 1].map(|slot| {
        Header::decode(&pages[slot as usize], slot)
            .map_err(|error| error.shifted_by(slot * PAGE_BYTES).in_file(path))
    });
    match slots {
        [Ok(first), Ok(second)] => {
            if first.layer != second.layer {
                return Err(Error::corrupt(
                    "read header slots",
                    "layer id",
                    second.layer,
                    first.layer,
                )
                .in_file(path)
                .at_offset(PAGE_BYTES));
            }
            let slots_agree = first == second;
            if !slots_agree && first.generation == second.generation {
                return Err(Error::corrupt(
                    "read header slots",
                    "content of equal generations",
                    "two different slots",
                    "equal slots",
                )
                .in_file(path)
                .at_offset(PAGE_BYTES));
            }
            let newer = if first.generation >= second.generation { first } else { second };
            Ok(HeaderSlots { header: newer, slots_agree })
        }
        // A slot of a version or with features unknown here is not damage: say that instead
        // of falling back to a slot that may be older.
        [Err(error), _] | [_, Err(error)] if error.kind() == ErrorKind::Unsupported => Err(error),
        [Ok(header), Err(_)] | [Err(_), Ok(header)] => {
            Ok(HeaderSlots { header, slots_agree: false })
        }
        [Err(error), Err(_)] => Err(error),
    }
}

fn short_or_io(medium: &dyn Medium, path: &Path, error: std::io::Error) -> Error {
    if error.kind() != std::io::ErrorKind::UnexpectedEof {
        return Error::of_reading("read header slots", error).in_file(path).at_offset(0);
    }
    let length =
        medium.facts().map_or_else(|_| "less".to_owned(), |facts| facts.length.to_string());
    Error::corrupt("read header slots", "file length", length, format!("at least {HEADER_BYTES}"))
        .in_file(path)
        .at_offset(0)
}
