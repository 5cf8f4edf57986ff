//! Index files: written aside and renamed, not synced; opened only where they verify.

use std::io;
use std::path::{Path, PathBuf};

use super::Layers;
use super::level::Level;
use super::slots::Slots;
use crate::error::{Error, Result};
use crate::extent::{Run, RunOrigin};
use crate::format::index::{IndexHead, verify_slots};
use crate::format::{LayerRef, PageKind};
use crate::medium::{Medium, OpenMode};
use crate::raw::{AlignedBytes, PieceBytes};
use crate::units::{LayerId, PAGE_BYTES};

/// The level in the index file of the stretch that begins with `tip`; `None` where there is no
/// file, and an error where it is damaged, or of another layer than the one recorded (INV-07).
pub(super) fn open_index(layers: &dyn Layers, tip: &LayerRef) -> Result<Option<Level>> {
    let path = layers.index_path(tip.id);
    let shown = layers.host().display_path(&path);
    let medium = match layers.host().open(&path, OpenMode::Read) {
        Ok(medium) => medium,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open an index", error).in_file(&shown)),
    };
    open_on(layers, &*medium, &shown, tip).map(Some).map_err(|error| error.in_file(&shown))
}

fn open_on(
    layers: &dyn Layers,
    medium: &dyn Medium,
    shown: &Path,
    tip: &LayerRef,
) -> Result<Level> {
    let bytes = whole_file(layers, medium)?;
    let page = bytes.bytes().first_chunk::<{ PAGE_BYTES as usize }>().ok_or_else(|| {
        Error::corrupt("read an index", "length", bytes.bytes().len(), "a head page or more")
    })?;
    let head = IndexHead::decode(page, bytes.bytes().len() as u64)?;
    // A digest that was added since, or is not in the index, does not tell two files apart.
    LayerRef { digest: None, ..*tip }.verify(&head.tip)?;
    let run_start = (head.run.place.0 * PAGE_BYTES) as usize;
    let table = part(&bytes, PAGE_BYTES as usize, run_start - PAGE_BYTES as usize)?;
    verify_slots(&head, table.bytes()).map_err(|error| error.shifted_by(PAGE_BYTES))?;
    let run_bytes = part(&bytes, run_start, head.run.bytes as usize)?;
    let origin = RunOrigin { path: shown.into(), offset: run_start as u64 };
    let run = Run::open(run_bytes, PageKind::Index, head.tip.id, head.run, origin)?;
    Ok(Level::of_index(head, Slots::of_index(&head, table), run, true, vec![head.tip.id]))
}

/// Writes the index of a level that lies on the heap, in place of what the file held.
///
/// It is not synced: a torn or empty file does not verify, and is made anew.
pub(super) fn write_index(layers: &dyn Layers, level: &Level) -> Result<()> {
    let Some((head, table, run)) = level.unwritten_index() else { return Ok(()) };
    let path = layers.index_path(head.tip.id);
    let shown = layers.host().display_path(&path);
    let aside = aside_path(&path)?;
    let written = (|| {
        let medium = layers.host().open(&aside, OpenMode::CreateNew)?;
        medium.write_at(PAGE_BYTES, table)?;
        medium.write_at(head.run.place.0 * PAGE_BYTES, run.bytes())?;
        medium.write_at(0, &head.encode())?;
        layers.host().rename(&aside, &path)
    })();
    written.map_err(|error| {
        // What is left of it is of no use; where even that cannot be removed, collecting does.
        let _ = layers.host().remove(&aside);
        Error::io("write an index", error).in_file(shown)
    })
}

/// Takes away the index file of `tip`, which proved wrong. Where that fails (a store on a
/// read-only host) every view finds out anew: slower, not wrong.
pub(super) fn discard_index(layers: &dyn Layers, tip: LayerId) {
    let _ = layers.host().remove(&layers.index_path(tip));
}

fn aside_path(path: &Path) -> Result<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", LayerId::random()?));
    Ok(path.with_file_name(name))
}

fn whole_file(layers: &dyn Layers, medium: &dyn Medium) -> Result<PieceBytes> {
    let failed = |error| Error::io("read an index", error);
    let length = medium.facts().map_err(failed)?.length as usize;
    if length >= PAGE_BYTES as usize
        && layers.read_policy().map.prepare_to_map().map_err(failed)?
        && let Some(map) = medium.map(0, length as u64).map_err(failed)?
    {
        return Ok(PieceBytes::Mapped { map, offset: 0, length });
    }
    let mut bytes = AlignedBytes::zeroed(length).map_err(failed)?;
    medium.read_at(0, &mut bytes).map_err(failed)?;
    Ok(bytes.into())
}

/// A part of the file; copied only where it lies on the heap already.
fn part(bytes: &PieceBytes, start: usize, length: usize) -> Result<PieceBytes> {
    match bytes {
        PieceBytes::Mapped { map, offset, .. } => {
            Ok(PieceBytes::Mapped { map: map.clone(), offset: offset + start, length })
        }
        PieceBytes::Heap(all) => {
            let copy = AlignedBytes::copy_of(&all[start..start + length]);
            Ok(copy.map_err(|error| Error::io("read an index", error))?.into())
        }
    }
}
