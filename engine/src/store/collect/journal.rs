//! What an open layer refers to, read from outside: its writer may be at work.

use std::path::Path;
use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::format::{Header, LayerRef, PageKind, PieceRef, Record, sources};
use crate::layer::{read_blob, read_header};
use crate::medium::Medium;
use crate::volume::{Device, walk, while_header_rests};

/// How often a walk is begun anew because the writer has made a checkpoint meanwhile.
const TRIES_MAX: usize = 1000;

/// All layers that a committed state of an open layer can refer to besides its parent, some
/// perhaps that it no longer does.
///
/// Errors: [`ErrorKind::Corrupt`] where the journal cannot be replayed, for what it refers to is then
/// unknown; [`ErrorKind::Stale`] where its writer never rests.
pub fn sources_of_open(medium: &Arc<dyn Medium>, path: &Path) -> Result<Vec<LayerRef>> {
    while_header_rests(TRIES_MAX, path, || Ok(Arc::clone(medium)), |medium| look(&**medium, path))
}

fn look(medium: &dyn Medium, path: &Path) -> Result<Vec<LayerRef>> {
    let header = read_header(medium, path)?.header;
    let table = |piece: &PieceRef| table(medium, path, &header, piece);
    let mut found = Vec::new();
    if let Some(piece) = &header.sources {
        found.extend(table(piece)?);
    }
    let of_record = |record: &Record, found: &mut Vec<LayerRef>| -> Result<()> {
        found.extend(&record.added_sources);
        found.extend(record.sources.as_ref().map(table).transpose()?.into_iter().flatten());
        Ok(())
    };
    let device = Device::outside(medium, path, &header)?;
    let end = walk(&device, &header, &mut |_, record| of_record(record, &mut found))?;
    // A commit that is torn counts all the same, as far as it can be read: better one layer too many.
    if let Some(record) = end.torn.and_then(|torn| torn.record) {
        match of_record(&record, &mut found) {
            Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
            _ => {}
        }
    }
    Ok(found)
}

fn table(
    medium: &dyn Medium,
    path: &Path,
    header: &Header,
    piece: &PieceRef,
) -> Result<Vec<LayerRef>> {
    let what = (PageKind::Sources, "table of sources");
    let identity = (header.layer, header.block_size);
    let body = read_blob(medium, path, what, identity, piece)?;
    let base = piece.place.byte_offset(header.block_size);
    sources::decode(&body).map_err(|error| error.shifted_by(base).in_file(path))
}
