//! Flattening: all that a snapshot shows in one new layer, without ancestors.

use std::sync::Arc;

use super::handle::Store;
use super::resolve::resolve;
use super::tag::Replace;
use super::volumes::{Base, live};
use crate::chain::{Snapshot, View, ViewTarget};
use crate::error::{Error, Result};
use crate::format::LayerKind;
use crate::units::BlockAddress;
use crate::volume::Volume;

/// How much is copied at once, in bytes.
const PIECE_BYTES: u64 = 4 << 20;
/// How many zeros are written by one call: a zero extent may be as long as the address space,
/// whose bytes 64 bits cannot count.
const ZERO_BYTES_MAX: u64 = 1 << 62;

/// How far a long operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of data that are done.
    pub done_bytes: u64,
    /// Bytes of data in all.
    pub total_bytes: u64,
}

impl Store {
    /// Copies what `reference` shows into a new layer without ancestors, and tags it; durable
    /// when it returns. Interrupted at any point it leaves at most an orphan for
    /// [`collect`](Store::collect). The annotations are those of the snapshot.
    ///
    /// Errors: [`InvalidInput`](crate::ErrorKind::InvalidInput) for a volume's current state;
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where the tag is taken.
    pub fn flatten(
        &self,
        reference: &str,
        tag: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Snapshot> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        if resolved.is_live() {
            return Err(live(reference));
        }
        let snapshot = inner.open_kept(reference, resolved)?;
        // What is copied gets new checksums, so damage must not pass for data.
        let view = View::open(inner.layers_anew(), &snapshot.reference());
        let snapshot = Snapshot::new(view.map_err(Error::into_lost)?, Some(Arc::new(snapshot)))?;
        let base = Base::nothing(inner, snapshot.kind(), snapshot.size_bytes());
        let making = self.make_of(tag, base, Replace::Refuse)?;
        copy(&snapshot, making.volume(), progress)?;
        making.finish(&snapshot.annotations()?)
    }
}

fn copy(from: &Snapshot, to: &Volume, progress: &mut dyn FnMut(Progress)) -> Result<()> {
    let size = from.block_size();
    let mut told = Progress::default();
    for extent in from.all_extents() {
        let extent = extent?;
        if matches!(extent.target, ViewTarget::Data { .. }) {
            told.total_bytes += extent.length * size.bytes();
        }
    }
    progress(told);
    let mut buffer = Vec::new();
    for extent in from.all_extents() {
        let extent = extent?;
        let is_data = match extent.target {
            ViewTarget::Hole => continue,
            ViewTarget::Zero => false,
            ViewTarget::Data { .. } => true,
        };
        let piece_blocks = if is_data { PIECE_BYTES } else { ZERO_BYTES_MAX } / size.bytes();
        let mut at = extent.start;
        let past = extent.start.0 + extent.length;
        while at.0 < past {
            let blocks = piece_blocks.min(past - at.0);
            // The last block of a disk may be one in part.
            let bytes = match from.kind() {
                LayerKind::Disk => {
                    (blocks * size.bytes()).min(from.size_bytes() - at.0 * size.bytes())
                }
                LayerKind::Tree => blocks * size.bytes(),
            };
            if is_data {
                buffer.resize(bytes as usize, 0);
                from.read_blocks(at, 0, &mut buffer)?;
                to.write_blocks(at, 0, &buffer)?;
                told.done_bytes += blocks * size.bytes();
                progress(told);
            } else {
                to.write_zeroes_blocks(at, 0, bytes)?;
            }
            at = BlockAddress(at.0 + blocks);
        }
    }
    Ok(())
}
