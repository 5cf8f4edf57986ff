//! What an open layer refers to, read from outside: its writer may be at work.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerRef, PageKind, PieceRef, Record, sources};
use crate::layer::{read_blob, read_header};
use crate::medium::Medium;
use crate::units::{FileBlock, PAGE_BYTES};

/// How often a walk is begun anew because the writer has made a checkpoint meanwhile.
const TRIES_MAX: usize = 1000;

/// All layers that a committed state of an open layer can refer to besides its parent, some
/// perhaps that it no longer does.
pub fn sources_of_open(medium: &dyn Medium, path: &Path) -> Result<Vec<LayerRef>> {
    for _ in 0..TRIES_MAX {
        let header = read_header(medium, path)?.header;
        let found = walk(medium, path, &header)?;
        // Places in the journal are used again only after the header has moved on.
        if read_header(medium, path)?.header.generation == header.generation
            && let Some(found) = found
        {
            return Ok(found);
        }
    }
    Err(Error::new(ErrorKind::Stale, "read the journal of an open layer").in_file(path).about(
        "header",
        "one that moves on all the time",
        "one that rests for a moment",
    ))
}

/// `None` where the table of the header does not verify: either damage, or the header is stale.
fn walk(medium: &dyn Medium, path: &Path, header: &Header) -> Result<Option<Vec<LayerRef>>> {
    let mut found = Vec::new();
    if let Some(piece) = &header.sources {
        match table(medium, path, header, piece) {
            Ok(table) => found.extend(table),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let now = read_header(medium, path)?.header.generation;
                return if now == header.generation { Err(error) } else { Ok(None) };
            }
            Err(error) => return Err(error),
        }
    }
    let mut sequence = header.journal.sequence;
    let mut previous = header.journal.chain;
    let mut place = header.journal.next;
    // A record whose blocks are torn counts all the same: better one layer too many.
    while let Some((record, crc)) = record_at(medium, path, header, place)? {
        if record.sequence != sequence + 1 || record.previous != previous {
            break;
        }
        if let Some(piece) = &record.sources {
            match table(medium, path, header, piece) {
                Ok(table) => found.extend(table),
                Err(error) if error.kind() == ErrorKind::Corrupt => break,
                Err(error) => return Err(error),
            }
        }
        found.extend(&record.added_sources);
        (sequence, previous, place) = (record.sequence, crc, record.next);
    }
    Ok(Some(found))
}

fn table(
    medium: &dyn Medium,
    path: &Path,
    header: &Header,
    piece: &PieceRef,
) -> Result<Vec<LayerRef>> {
    let what = (PageKind::Sources, "table of sources");
    sources::decode(&read_blob(medium, path, what, (header.layer, header.block_size), piece)?)
}

fn record_at(
    medium: &dyn Medium,
    path: &Path,
    header: &Header,
    place: FileBlock,
) -> Result<Option<(Record, u32)>> {
    let Some(offset) = place.byte_offset_checked(header.block_size) else { return Ok(None) };
    let mut page = [0; PAGE_BYTES as usize];
    match medium.read_at(offset, &mut page) {
        Ok(()) => Ok(Record::decode(&page, header.layer, place).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => {
            Err(Error::of_reading("read a journal record", error).in_file(path).at_offset(offset))
        }
    }
}
