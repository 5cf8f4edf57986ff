//! The digest of a layer's content.
//!
//! BLAKE3 over the format's tag, kind, block size, size, the parent's digest, and two
//! digests: of the states in address order as longest runs of zero and data (holes are
//! what lies between), and of the data by 64 KiB-aligned windows of addresses, hashed
//! in parallel. Ids, places, sources and annotations do not enter: equal content on an
//! equal parent gives an equal digest.

use std::sync::Arc;

use super::frozen::Layer;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Target};
use crate::format::LayerKind;
use crate::threads;
use crate::units::{BlockAddress, Digest, FileBlock, SourceIndex};

const TAG: &[u8] = b"sapwood layer content 1";
/// The unit of hashing: a power of two that holds whole blocks of every size.
const WINDOW_BYTES: u64 = 64 << 10;
/// How many windows are hashed in parallel at once: 64 MiB of data.
const WINDOWS_AT_ONCE: usize = 1024;

const STATE_ZERO: u8 = 1;
const STATE_DATA: u8 = 2;

/// Opens the layers whose blocks another layer refers to.
pub trait SourceLayers: Sync {
    /// The layer behind entry `source` (never [`SourceIndex::OWN`]) of `layer`'s table.
    fn source_layer(&self, layer: &Layer, source: SourceIndex) -> Result<Arc<Layer>>;
}

/// The digest of `layer` on a parent with digest `parent`; every block read is verified.
pub fn compute_digest(
    layer: &Layer,
    parent: Option<Digest>,
    sources: &dyn SourceLayers,
) -> Result<Digest> {
    let mut digester = Digester {
        layer,
        sources,
        log2: layer.header().block_size.log2(),
        windows: Vec::new(),
        states: States::default(),
        data: blake3::Hasher::new(),
    };
    for extent in layer.extents_from(BlockAddress(0))? {
        digester.add(&extent?)?;
    }
    digester.hash_windows()?;
    let header = layer.header();
    let mut hasher = blake3::Hasher::new();
    hasher.update(TAG);
    hasher.update(&[match header.kind {
        LayerKind::Disk => 1,
        LayerKind::Tree => 2,
    }]);
    hasher.update(&header.block_size.bytes().to_le_bytes());
    hasher.update(&header.volume_bytes.to_le_bytes());
    hasher.update(&[u8::from(parent.is_some())]);
    hasher.update(&parent.map_or([0; 32], |digest| digest.0));
    hasher.update(digester.states.finish().as_bytes());
    hasher.update(digester.data.finalize().as_bytes());
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// That the content of a sealed layer is what its digest says.
pub fn verify_digest(
    layer: &Layer,
    parent: Option<Digest>,
    sources: &dyn SourceLayers,
) -> Result<()> {
    let stored = layer.header().digest.ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "verify the digest of a layer that is not sealed")
            .in_file(layer.file().path())
    })?;
    let computed = compute_digest(layer, parent, sources)?;
    if computed == stored {
        return Ok(());
    }
    Err(Error::corrupt("verify a layer", "digest", computed, stored).in_file(layer.file().path()))
}

struct Digester<'a> {
    layer: &'a Layer,
    sources: &'a dyn SourceLayers,
    log2: u32,
    windows: Vec<Window>,
    states: States,
    data: blake3::Hasher,
}

/// The pieces of one window of addresses that the layer owns.
struct Window {
    number: u64,
    pieces: Vec<Extent>,
}

/// State, start and length of each stretch of a window, and the hash of its data if it has any.
type Hashed = (Vec<(u8, u64, u64)>, Option<blake3::Hash>);

/// The longest runs of zero and data, as they are found in address order.
#[derive(Default)]
struct States {
    hasher: blake3::Hasher,
    run: Option<(u8, u64, u64)>,
}

impl Digester<'_> {
    fn add(&mut self, extent: &Extent) -> Result<()> {
        let window_blocks = WINDOW_BYTES >> self.log2;
        if extent.target == Target::Zero {
            // Never split: a zero extent may be as long as the address space.
            return self.push(extent.start.0 / window_blocks, *extent);
        }
        let (mut start, end) = (extent.start.0, extent.end().0);
        while start < end {
            let number = start / window_blocks;
            let past = (number + 1).saturating_mul(window_blocks).min(end);
            let piece = extent.clipped(BlockAddress(start), BlockAddress(past));
            self.push(number, piece.expect("inside the extent"))?;
            start = past;
        }
        Ok(())
    }

    fn push(&mut self, number: u64, piece: Extent) -> Result<()> {
        match self.windows.last_mut() {
            Some(window) if window.number == number => window.pieces.push(piece),
            _ => {
                if self.windows.len() >= WINDOWS_AT_ONCE {
                    self.hash_windows()?;
                }
                self.windows.push(Window { number, pieces: vec![piece] });
            }
        }
        Ok(())
    }

    fn hash_windows(&mut self) -> Result<()> {
        let windows = std::mem::take(&mut self.windows);
        let (layer, sources) = (self.layer, self.sources);
        let hashed = threads::map(&windows, |window| hash_window(layer, sources, window));
        for (window, hashed) in windows.iter().zip(hashed) {
            let (runs, hash) = hashed?;
            for (state, start, length) in runs {
                self.states.add(state, start, length);
            }
            if let Some(hash) = hash {
                self.data.update(&window.number.to_le_bytes());
                self.data.update(hash.as_bytes());
            }
        }
        Ok(())
    }
}

/// The states of the window's blocks, and the hash of its data if it has any.
fn hash_window(layer: &Layer, sources: &dyn SourceLayers, window: &Window) -> Result<Hashed> {
    let size = layer.header().block_size.bytes_usize();
    let mut runs = Vec::new();
    let mut hasher = blake3::Hasher::new();
    let mut any = false;
    let mut buffer = Vec::new();
    for piece in &window.pieces {
        let Target::Data { source, block } = piece.target else {
            runs.push((STATE_ZERO, piece.start.0, piece.length));
            continue;
        };
        let foreign;
        let holder = if source == SourceIndex::OWN {
            layer
        } else {
            foreign = sources.source_layer(layer, source)?;
            &foreign
        };
        buffer.resize(piece.length as usize * size, 0);
        holder.file().read_run(FileBlock(block.0), &mut buffer, |index| {
            layer.checksum(BlockAddress(piece.start.0 + index))
        })?;
        for (index, data) in buffer.chunks_exact(size).enumerate() {
            let address = piece.start.0 + index as u64;
            if is_zero(data) {
                runs.push((STATE_ZERO, address, 1));
            } else {
                runs.push((STATE_DATA, address, 1));
            }
        }
        // One update for the whole piece where no block is zero: the common case hashes in bulk.
        let first = runs.len() - piece.length as usize;
        if runs[first..].iter().all(|&(state, ..)| state == STATE_DATA) {
            hasher.update(&buffer);
            any = true;
        } else {
            for (run, data) in runs[first..].iter().zip(buffer.chunks_exact(size)) {
                if run.0 == STATE_DATA {
                    hasher.update(data);
                    any = true;
                }
            }
        }
    }
    Ok((runs, any.then(|| hasher.finalize())))
}

impl States {
    fn add(&mut self, state: u8, start: u64, length: u64) {
        match &mut self.run {
            Some((last, first, blocks)) if *last == state && *first + *blocks == start => {
                *blocks += length;
            }
            _ => {
                self.flush();
                self.run = Some((state, start, length));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((state, start, length)) = self.run.take() {
            self.hasher.update(&[state]);
            self.hasher.update(&start.to_le_bytes());
            self.hasher.update(&length.to_le_bytes());
        }
    }

    fn finish(&mut self) -> blake3::Hash {
        self.flush();
        self.hasher.finalize()
    }
}

/// Whether all bytes are zero; compares whole words, so that it costs a pass over memory at most.
pub(crate) fn is_zero(data: &[u8]) -> bool {
    let (words, rest) = data.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}
