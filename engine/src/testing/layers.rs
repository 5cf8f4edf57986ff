//! Layer files written straight from extents, and a plain folder of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::chain::Layers;
use crate::error::{Error, Result};
use crate::extent::{BlockChecksums, Extent, ExtentMap, RunBuilder, Target};
use crate::format::header::HEADER_BYTES;
use crate::format::page::Prelude;
use crate::format::{
    Features, Header, Journal, LayerKind, LayerRef, LayerState, PageKind, PieceRef, blob, checksum,
    sources,
};
use crate::layer::{Descriptors, Layer, ReadPolicy};
use crate::medium::{Host, Medium, OpenMode};
use crate::units::{BlockAddress, BlockSize, FileBlock, LayerId, SourceIndex};

/// Writes one frozen layer: for tests and benches that want a chain without a store.
#[derive(Debug)]
pub struct LayerBuilder {
    medium: Arc<dyn Medium>,
    path: PathBuf,
    header: Header,
    sources: Vec<LayerRef>,
    checksums: BlockChecksums,
    map: ExtentMap,
    /// Runs that are complete, newest first.
    runs: Vec<PieceRef>,
    next_block: u64,
}

impl LayerBuilder {
    /// A layer of a disk of `volume_bytes` on `parent`, in a new file at `path`.
    pub fn create(
        host: &dyn Host,
        path: &Path,
        id: LayerId,
        (block_size, volume_bytes): (BlockSize, u64),
        parent: Option<LayerRef>,
    ) -> Result<LayerBuilder> {
        let shown = host.display_path(path);
        let medium = host
            .open(path, OpenMode::CreateNew)
            .map_err(|error| Error::io("make a layer", error).in_file(&shown))?;
        let header = Header {
            layer: id,
            generation: 1,
            features: Features::default(),
            kind: LayerKind::Disk,
            state: LayerState::Frozen,
            block_size,
            removed: false,
            thinned: false,
            volume_bytes,
            file_bytes: 0,
            freeze_generation: 1,
            parent,
            digest: None,
            journal: Journal::default(),
            piece_generation: 1,
            sources: None,
            annotations: None,
            free_space: None,
            runs: Vec::new(),
        };
        Ok(LayerBuilder {
            medium,
            path: shown,
            header,
            sources: Vec::new(),
            checksums: BlockChecksums::new(),
            map: ExtentMap::new(),
            runs: Vec::new(),
            next_block: block_size.blocks_for(HEADER_BYTES),
        })
    }

    /// Whole blocks of data from `start` on, in place of what was there.
    pub fn data(&mut self, start: BlockAddress, data: &[u8]) -> Result<()> {
        let size = self.header.block_size.bytes_usize();
        assert!(data.len().is_multiple_of(size), "whole blocks");
        let block = FileBlock(self.next_block);
        for (into, bytes) in data.chunks_exact(size).enumerate() {
            let at = FileBlock(block.0 + into as u64);
            let crc = checksum::of_block(self.header.layer, at, bytes);
            self.checksums.set(SourceIndex::OWN, at, crc);
        }
        self.write(block, data)?;
        let length = (data.len() / size) as u64;
        self.next_block += length;
        let target = Target::Data { source: SourceIndex::OWN, block };
        self.insert(Extent { start, length, target });
        Ok(())
    }

    /// Blocks that read as zeros and are data all the same: the host stores nothing for them.
    pub fn hollow(&mut self, start: BlockAddress, length: u64) {
        let zeros = vec![0; self.header.block_size.bytes_usize()];
        let block = FileBlock(self.next_block);
        for into in 0..length {
            let at = FileBlock(block.0 + into);
            let crc = checksum::of_block(self.header.layer, at, &zeros);
            self.checksums.set(SourceIndex::OWN, at, crc);
        }
        self.next_block += length;
        let target = Target::Data { source: SourceIndex::OWN, block };
        self.insert(Extent { start, length, target });
    }

    /// Zeros, or a hole that takes back what an older run of the layer says.
    pub fn blank(&mut self, start: BlockAddress, length: u64, target: Target) {
        assert!(!matches!(target, Target::Data { .. }), "data comes with its bytes");
        self.insert(Extent { start, length, target });
    }

    /// One block that lies in the file of another layer.
    pub fn foreign(&mut self, start: BlockAddress, layer: LayerRef, block: FileBlock, crc: u32) {
        let known = self.sources.iter().position(|source| *source == layer);
        let index = known.unwrap_or_else(|| {
            self.sources.push(layer);
            self.sources.len() - 1
        });
        let source = SourceIndex(index as u32 + 1);
        self.checksums.set(source, block, crc);
        self.insert(Extent { start, length: 1, target: Target::Data { source, block } });
    }

    /// Ends the run; what comes now goes into a newer one.
    pub fn end_run(&mut self) -> Result<()> {
        let mut builder = RunBuilder::with_checksums();
        for extent in self.map.iter() {
            builder.push_with(extent, |source, block| {
                Ok(self.checksums.get(source, block).expect("noted with the extent"))
            })?;
        }
        let encoded = builder.finish(&self.prelude(PageKind::Run))?;
        self.append(&encoded.bytes, &encoded.piece)?;
        self.runs.insert(0, encoded.piece);
        self.map.clear();
        Ok(())
    }

    /// Ends the file, without a sync, and gives how a child records the layer.
    pub fn finish(mut self) -> Result<LayerRef> {
        if !self.map.is_empty() {
            self.end_run()?;
        }
        if !self.sources.is_empty() {
            let prelude = self.prelude(PageKind::Sources);
            let body = sources::encode(&self.sources);
            let (bytes, piece) =
                blob::encode(prelude.kind, prelude.layer, prelude.generation, prelude.place, &body);
            self.append(&bytes, &piece)?;
            self.header.sources = Some(piece);
        }
        self.header.runs = std::mem::take(&mut self.runs);
        self.header.file_bytes = self.next_block * self.header.block_size.bytes();
        let failed = |error| Error::io("write a layer", error).in_file(&self.path);
        self.medium.set_length(self.header.file_bytes).map_err(failed)?;
        for slot in 0..2 {
            self.medium.write_at(slot * 4096, &self.header.encode(slot)).map_err(failed)?;
        }
        Ok(self.header.layer_ref())
    }

    /// The block that comes next in the file.
    pub fn next_block(&self) -> u64 {
        self.next_block
    }

    fn insert(&mut self, extent: Extent) {
        self.map.insert(extent, &mut |_| {});
    }

    fn prelude(&mut self, kind: PageKind) -> Prelude {
        let generation = self.header.piece_generation;
        self.header.piece_generation += 1;
        Prelude { kind, layer: self.header.layer, generation, place: FileBlock(self.next_block) }
    }

    fn append(&mut self, bytes: &[u8], piece: &PieceRef) -> Result<()> {
        self.write(piece.place, bytes)?;
        self.next_block += self.header.block_size.blocks_for(piece.bytes);
        Ok(())
    }

    fn write(&self, block: FileBlock, bytes: &[u8]) -> Result<()> {
        self.medium
            .write_at(block.byte_offset(self.header.block_size), bytes)
            .map_err(|error| Error::io("write a layer", error).in_file(&self.path))
    }
}

/// Layers and indexes side by side in one folder of a host, found by id.
#[derive(Debug)]
pub struct FolderLayers {
    descriptors: Arc<Descriptors>,
    policy: ReadPolicy,
    open: Mutex<HashMap<LayerId, Arc<Layer>>>,
}

impl FolderLayers {
    /// The files at the root of `host`, of which `descriptors_max` stay open.
    pub fn new(host: Arc<dyn Host>, policy: ReadPolicy, descriptors_max: usize) -> FolderLayers {
        let descriptors = Arc::new(Descriptors::new(host, descriptors_max));
        FolderLayers { descriptors, policy, open: Mutex::default() }
    }

    /// Where the file of layer `id` lies.
    pub fn layer_path(id: LayerId) -> PathBuf {
        PathBuf::from(format!("{id}.layer"))
    }

    /// How many layers were opened and not forgotten.
    pub fn open_layers(&self) -> usize {
        self.open.lock().len()
    }

    /// Forgets all layers; those that a view holds live on.
    pub fn forget(&self) {
        self.open.lock().clear();
    }
}

impl Layers for FolderLayers {
    fn layer(&self, wanted: &LayerRef) -> Result<Arc<Layer>> {
        if let Some(layer) = self.open.lock().get(&wanted.id) {
            return Ok(Arc::clone(layer));
        }
        let layer =
            Layer::open(&self.descriptors, &FolderLayers::layer_path(wanted.id), self.policy)?;
        wanted.verify(&layer.reference())?;
        self.open.lock().insert(wanted.id, Arc::clone(&layer));
        Ok(layer)
    }

    fn open_to_freeze(&self, id: LayerId) -> Result<Arc<dyn Medium>> {
        self.descriptors.open(&FolderLayers::layer_path(id))
    }

    fn frozen_layer(&self, wanted: &LayerRef, _file: Arc<dyn Medium>) -> Result<Arc<Layer>> {
        self.layer(wanted)
    }

    fn host(&self) -> &Arc<dyn Host> {
        self.descriptors.host()
    }

    fn index_path(&self, tip: LayerId) -> PathBuf {
        PathBuf::from(format!("{tip}.index"))
    }

    fn read_policy(&self) -> ReadPolicy {
        self.policy
    }
}
