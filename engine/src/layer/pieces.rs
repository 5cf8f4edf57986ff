//! Reading the pieces of metadata that a header or a record names.

use std::path::Path;
use std::sync::Arc;

use super::file::LayerFile;
use crate::error::{Error, Result};
use crate::extent::{EncodedRun, Run, RunOrigin};
use crate::format::{PageKind, PieceRef, blob};
use crate::medium::Medium;
use crate::raw::{AlignedBytes, PieceBytes};
use crate::units::{BlockSize, LayerId};

/// The verified body of a piece.
pub fn read_blob(
    medium: &dyn Medium,
    path: &Path,
    (kind, what): (PageKind, &'static str),
    (layer, block_size): (LayerId, BlockSize),
    piece: &PieceRef,
) -> Result<Vec<u8>> {
    let bytes = read_piece(medium, path, block_size, piece)?;
    let base = piece.place.byte_offset(block_size);
    let body = blob::decode(what, kind, layer, piece, &bytes)
        .map_err(|error| error.shifted_by(base).in_file(path))?;
    Ok(body.to_vec())
}

/// A run of the file: used in the map as it lies, or copied where there is no map.
pub fn read_run(file: &LayerFile, piece: &PieceRef) -> Result<Arc<Run>> {
    let bytes = match file.map_range(piece.place, piece.bytes)? {
        Some((map, offset)) => PieceBytes::Mapped { map, offset, length: piece.bytes as usize },
        None => {
            let medium = file.medium()?;
            let bytes = read_piece(&*medium, file.path(), file.block_size(), piece)?;
            AlignedBytes::copy_of(&bytes).into()
        }
    };
    let origin =
        RunOrigin { path: file.path().into(), offset: piece.place.byte_offset(file.block_size()) };
    Run::open(bytes, PageKind::Run, file.id(), *piece, origin).map(Arc::new)
}

fn read_piece(
    medium: &dyn Medium,
    path: &Path,
    block_size: BlockSize,
    piece: &PieceRef,
) -> Result<Vec<u8>> {
    let length =
        medium.facts().map_err(|error| Error::io("look at a layer", error).in_file(path))?;
    let range = piece
        .place
        .byte_offset_checked(block_size)
        .and_then(|start| Some((start, start.checked_add(piece.bytes)?)));
    // Compared before anything is allocated: a crafted length costs nothing.
    let Some((start, _)) = range.filter(|&(_, end)| end <= length.length) else {
        return Err(Error::corrupt(
            "read a piece of metadata",
            "place",
            format!("block {}, {} bytes", piece.place, piece.bytes),
            format!("inside the file of {} bytes", length.length),
        )
        .in_file(path)
        .at_offset(piece.place.0.saturating_mul(block_size.bytes())));
    };
    let mut bytes = vec![0; piece.bytes as usize];
    medium.read_at(start, &mut bytes).map_err(|error| {
        Error::io("read a piece of metadata", error).in_file(path).at_offset(start)
    })?;
    Ok(bytes)
}

/// The run that was just written into `file`, from its map where there is one.
pub(crate) fn run_just_written(file: &LayerFile, encoded: EncodedRun) -> Result<Arc<Run>> {
    match file.map_range(encoded.piece.place, encoded.piece.bytes)? {
        Some(_) => read_run(file, &encoded.piece),
        None => run_in_heap(file, encoded),
    }
}

/// A run that lives in memory alone.
pub(crate) fn run_in_heap(file: &LayerFile, encoded: EncodedRun) -> Result<Arc<Run>> {
    let origin = RunOrigin { path: file.path().into(), offset: 0 };
    encoded.open(PageKind::Run, file.id(), origin).map(Arc::new)
}
