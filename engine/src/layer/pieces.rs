//! Reading the pieces of metadata that a header or a record names.

use std::path::Path;
use std::sync::Arc;

use super::file::LayerFile;
use crate::error::{Error, Result};
use crate::extent::{EncodedRun, Run, RunOrigin};
use crate::format::{PageKind, PieceRef, blob};
use crate::medium::Medium;
use crate::memory::buffer_of;
use crate::raw::{AlignedBytes, PieceBytes};
use crate::units::{BlockSize, LayerId, PAGE_BYTES};

/// How much of a run is read when it is opened, at most: all of most of them.
const OPENED_BYTES: usize = 128 << 10;

/// The verified body of a piece.
pub fn read_blob(
    medium: &dyn Medium,
    path: &Path,
    (kind, what): (PageKind, &'static str),
    (layer, block_size): (LayerId, BlockSize),
    piece: &PieceRef,
) -> Result<Vec<u8>> {
    let bytes = read_piece(medium, path, (kind, what), (layer, block_size), piece)?;
    let base = piece.place.byte_offset(block_size);
    let body = blob::decode(what, kind, layer, piece, &bytes)
        .map_err(|error| error.shifted_by(base).in_file(path))?;
    Ok(body.to_vec())
}

/// A run of the file: used in the map as it lies, or copied where there is no map.
pub fn read_run(file: &LayerFile, piece: &PieceRef) -> Result<Arc<Run>> {
    let bytes = match file.map_range(piece.place, piece.bytes)? {
        Some((map, offset)) => {
            let bytes = PieceBytes::Mapped { map, offset, length: piece.bytes as usize };
            bytes.will_need(0..bytes.bytes().len().min(OPENED_BYTES));
            bytes
        }
        None => {
            let medium = file.medium()?;
            let what = (PageKind::Run, "head of a run");
            let identity = (file.id(), file.block_size());
            let bytes = read_piece(&*medium, file.path(), what, identity, piece)?;
            let copy = AlignedBytes::copy_of(&bytes);
            copy.map_err(|error| Error::io(what.1, error).in_file(file.path()))?.into()
        }
    };
    let origin =
        RunOrigin { path: file.path().into(), offset: piece.place.byte_offset(file.block_size()) };
    Run::open(bytes, PageKind::Run, file.id(), *piece, origin).map(Arc::new)
}

fn read_piece(
    medium: &dyn Medium,
    path: &Path,
    (kind, what): (PageKind, &'static str),
    (layer, block_size): (LayerId, BlockSize),
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
    let read = |at: u64, part: &mut [u8]| {
        medium.read_at(at, part).map_err(|error| {
            Error::of_reading("read a piece of metadata", error).in_file(path).at_offset(at)
        })
    };
    // The head first: where it is none, a length that was made up, over a file that is all hole,
    // costs a page (INV-05).
    let mut head = [0; PAGE_BYTES as usize];
    read(start, &mut head)?;
    piece
        .verify_head(what, kind, layer, &head)
        .map_err(|error| error.shifted_by(start).in_file(path))?;
    let mut bytes = buffer_of(piece.bytes).map_err(|error| {
        Error::io("read a piece of metadata", error).in_file(path).at_offset(start)
    })?;
    let (first, rest) = bytes.split_at_mut(head.len());
    first.copy_from_slice(&head);
    read(start + PAGE_BYTES, rest)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::medium::{Host, MemoryHost, OpenMode};
    use crate::units::FileBlock;

    /// A header once named a piece of a tebibyte in a file that was all hole: it was read whole,
    /// into memory, before its head was looked at.
    #[test]
    fn a_piece_without_a_head_costs_a_page_whatever_length_it_is_said_to_have() {
        let file = MemoryHost::new().open(Path::new("a"), OpenMode::CreateNew).unwrap();
        file.set_length(1 << 41).unwrap();
        let (layer, place) = (LayerId([1; 16]), FileBlock(2));
        let (bytes, mut piece) = blob::encode(PageKind::Sources, layer, 3, place, &[7; 100]);
        piece.bytes = 1 << 40;
        let what = (PageKind::Sources, "table of sources");
        let read = |piece: &PieceRef| {
            read_blob(&*file, Path::new("a"), what, (layer, BlockSize::DEFAULT), piece)
        };
        let error = read(&piece).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(8192)));
        // Neither does the head of another piece do.
        file.write_at(8192, &bytes).unwrap();
        piece.generation += 1;
        assert_eq!(read(&piece).unwrap_err().kind(), ErrorKind::Corrupt);
        piece.generation -= 1;
        piece.bytes = bytes.len() as u64;
        assert_eq!(read(&piece).unwrap(), [7; 100]);
    }
}
