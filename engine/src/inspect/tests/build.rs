//! Layer files put together by hand, with every structure that one can hold.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::extent::{Extent, Target, encode_run};
use crate::format::header::{Features, Header, Journal, LayerKind, LayerState};
use crate::format::page::{PageKind, Prelude};
use crate::format::{Annotations, FreeSpace, LayerRef, PieceRef, Record, blob, checksum, sources};
use crate::inspect::{CheckOptions, CheckReport, check_layer};
use crate::medium::{Host, Medium, MemoryHost, OpenMode};
use crate::units::{BlockAddress, BlockSize, Digest, FileBlock, LayerId, PAGE_BYTES, SourceIndex};

pub const LAYER: LayerId = LayerId([0xa7; 16]);
pub const FILE: &str = "sample.layer";

/// A layer file under construction: blocks of 4 KiB, one after another.
pub struct Build {
    pub bytes: Vec<u8>,
    pub header: Header,
    checksums: BTreeMap<u64, u32>,
    /// Makes the data of one file differ from that of another.
    salt: u8,
}

impl Build {
    pub fn new(salt: u8) -> Build {
        let header = Header {
            layer: LAYER,
            generation: 10 + u64::from(salt),
            features: Features::default(),
            kind: LayerKind::Disk,
            state: LayerState::Open,
            block_size: BlockSize::DEFAULT,
            removed: false,
            thinned: false,
            volume_bytes: 1 << 30,
            file_bytes: 0,
            freeze_generation: 0,
            parent: Some(source(3)),
            digest: None,
            journal: Journal::default(),
            piece_generation: 100 * u64::from(salt) + 1,
            sources: None,
            annotations: None,
            free_space: None,
            runs: Vec::new(),
        };
        Build { bytes: vec![0; 8192], header, checksums: BTreeMap::new(), salt }
    }

    /// The block after the last one.
    pub fn end(&self) -> FileBlock {
        FileBlock(self.bytes.len() as u64 / PAGE_BYTES)
    }

    pub fn append(&mut self, bytes: &[u8]) -> FileBlock {
        let place = self.end();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(PAGE_BYTES as usize), 0);
        place
    }

    /// Writes `length` blocks of data, for the addresses from `start` on.
    pub fn data(&mut self, start: u64, length: u64) -> Extent {
        let first = self.end();
        for block in first.0..first.0 + length {
            let data: Vec<u8> =
                (0..PAGE_BYTES).map(|at| (at * 7 + block * 13) as u8 ^ self.salt).collect();
            let place = self.append(&data);
            self.checksums.insert(block, checksum::of_block(LAYER, place, &data));
        }
        extent(start, length, Target::Data { source: SourceIndex::OWN, block: first })
    }

    pub fn checksums_of(&self, extents: &[Extent]) -> Vec<u32> {
        let blocks = extents.iter().filter_map(|extent| match extent.target {
            Target::Data { source: SourceIndex::OWN, block } => {
                Some((block.0..block.0 + extent.length).map(|at| self.checksums[&at]).collect())
            }
            Target::Data { .. } => Some(vec![0x0bad_cafe; extent.length as usize]),
            Target::Hole | Target::Zero => None,
        });
        blocks.collect::<Vec<Vec<u32>>>().concat()
    }

    fn next_generation(&mut self) -> u64 {
        self.header.piece_generation += 1;
        self.header.piece_generation - 1
    }

    pub fn run(&mut self, extents: &[Extent]) -> PieceRef {
        let generation = self.next_generation();
        let (kind, place) = (PageKind::Run, self.end());
        let prelude = Prelude { kind, layer: LAYER, generation, place };
        let run = encode_run(&prelude, extents.iter().copied().map(Ok), |source, block| {
            Ok(match source {
                SourceIndex::OWN => self.checksums[&block.0],
                _ => 0x0bad_cafe,
            })
        });
        let run = run.unwrap();
        self.append(&run.bytes);
        run.piece
    }

    pub fn blob(&mut self, kind: PageKind, body: &[u8]) -> PieceRef {
        let generation = self.next_generation();
        let (bytes, piece) = blob::encode(kind, LAYER, generation, self.end(), body);
        self.append(&bytes);
        piece
    }

    pub fn with_sources(&mut self) {
        let body = sources::encode(&[source(1), source(2)]);
        self.header.sources = Some(self.blob(PageKind::Sources, &body));
    }

    pub fn with_annotations(&mut self) {
        let labels = BTreeMap::from([("role".to_owned(), "base".to_owned())]);
        let annotations = Annotations {
            created: Some(1),
            comment: Some("a base".to_owned()),
            labels,
            ..Annotations::default()
        };
        let body = annotations.encode().unwrap();
        self.header.annotations = Some(self.blob(PageKind::Annotations, &body));
    }

    /// Every block but those of `free` is in use.
    pub fn with_free_space(&mut self, sequence: u64, free: &[FileBlock]) {
        let blocks = self.end().0 + 2;
        let mut used = vec![0_u64; blocks.div_ceil(64) as usize];
        for block in (0..blocks).filter(|&block| !free.contains(&FileBlock(block))) {
            used[(block / 64) as usize] |= 1 << (block % 64);
        }
        let body = FreeSpace { sequence, blocks, used, shared: Vec::new() }.encode();
        self.header.free_space = Some(self.blob(PageKind::FreeSpace, &body));
        assert_eq!(self.end().0, blocks, "the free space takes two blocks");
    }

    /// The file, with both slots the same.
    pub fn finish(mut self) -> Vec<u8> {
        self.header.file_bytes = self.bytes.len() as u64;
        if self.header.state == LayerState::Frozen {
            self.header.freeze_generation = self.header.generation;
        }
        for slot in 0..2 {
            let at = (slot * PAGE_BYTES) as usize;
            self.bytes[at..at + PAGE_BYTES as usize].copy_from_slice(&self.header.encode(slot));
        }
        self.bytes
    }
}

pub fn source(tag: u8) -> LayerRef {
    LayerRef {
        id: LayerId([tag; 16]),
        volume_bytes: 1 << 30,
        freeze_generation: 2,
        map_checksum: 77,
        digest: None,
    }
}

pub fn extent(start: u64, length: u64, target: Target) -> Extent {
    Extent { start: BlockAddress(start), length, target }
}

/// Blocks of a layer file whose bytes mean nothing: places of records to come, hidden data.
pub type Unused = Vec<FileBlock>;

/// Open, closed cleanly: two runs, three records of which one has a run ahead, sources added in
/// the journal, annotations, free space.
pub fn open_layer(salt: u8) -> (Vec<u8>, Unused) {
    let mut build = Build::new(salt);
    build.with_sources();
    build.with_annotations();
    // The last block of the three is hidden by the newer run.
    let hidden = FileBlock(build.end().0 + 2);
    let old = [build.data(0, 3), extent(10, 5, Target::Zero), build.data(1 << 40, 1)];
    let newer = [build.data(2, 1), extent(11, 2, Target::Hole)];
    let runs = [build.run(&newer), build.run(&old)];
    let places: Vec<FileBlock> = (0..5).map(|_| build.append(&[0; PAGE_BYTES as usize])).collect();
    let inline = [build.data(20, 2), extent(30, 1 << 30, Target::Zero)];
    let ahead = [build.data(40, 2), extent(50, 1, Target::Hole)];
    let ahead = build.run(&ahead);
    let foreign = Target::Data { source: SourceIndex(3), block: FileBlock(9) };
    let last = [build.data(60, 1), extent(70, 2, foreign)];
    let contents: [(&[Extent], Vec<PieceRef>, Vec<LayerRef>); 3] =
        [(&inline, vec![], vec![]), (&[], vec![ahead], vec![]), (&last, vec![], vec![source(5)])];
    let mut chain = 0x5eed;
    build.header.journal = Journal {
        sequence: 7,
        next: places[0],
        after_next: places[1],
        durable_sequence: 10,
        chain,
    };
    for (number, (extents, runs, added_sources)) in contents.into_iter().enumerate() {
        let record = Record {
            sequence: 8 + number as u64,
            previous: chain,
            data_durable: !runs.is_empty(),
            volume_bytes: 1 << 30,
            next: places[number + 1],
            after_next: places[number + 2],
            piece_generation: 50,
            sources: None,
            added_sources,
            runs,
            extents: extents.to_vec(),
            checksums: build.checksums_of(extents),
        };
        let (page, crc) = record.encode(LAYER, places[number]);
        let at = places[number].0 as usize * PAGE_BYTES as usize;
        build.bytes[at..at + PAGE_BYTES as usize].copy_from_slice(&page);
        chain = crc;
    }
    build.header.runs = runs.to_vec();
    build.with_free_space(10, &[hidden]);
    (build.finish(), vec![places[3], places[4], hidden])
}

/// Frozen: three runs, one of which needs search trees and a wide entry, sources, annotations.
pub fn frozen_layer(salt: u8) -> (Vec<u8>, Unused) {
    let mut build = Build::new(salt);
    build.header.state = LayerState::Frozen;
    build.header.kind = LayerKind::Tree;
    build.header.volume_bytes = 0;
    build.with_sources();
    build.with_annotations();
    let foreign = Target::Data { source: SourceIndex(2), block: FileBlock(4) };
    let small = [build.data(5, 1), extent(8, 3, foreign)];
    let middle = [extent(0, 1, Target::Zero), extent(6, 1, Target::Hole)];
    let block = build.data(1 << 50, 2);
    let mut large: Vec<Extent> = (0..600).map(|at| extent(at * 3, 1, Target::Zero)).collect();
    large.extend((1..40).map(|high| extent(high << 32, 1, Target::Zero)));
    large.push(block);
    large.push(extent(1 << 60, 1 << 60, Target::Zero));
    build.header.runs =
        [&small[..], &middle[..], &large[..]].map(|extents| build.run(extents)).to_vec();
    (build.finish(), Vec::new())
}

/// Sealed, with one run and nothing else.
pub fn sealed_layer(salt: u8) -> (Vec<u8>, Unused) {
    let mut build = Build::new(salt);
    build.header.state = LayerState::Frozen;
    build.header.parent = None;
    build.header.digest = Some(Digest([salt; 32]));
    let data = [build.data(0, 4)];
    build.header.runs = vec![build.run(&data)];
    (build.finish(), Vec::new())
}

pub fn host_with(bytes: &[u8]) -> Arc<dyn Host> {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let file = host.open(Path::new(FILE), OpenMode::CreateNew).unwrap();
    file.write_at(0, bytes).unwrap();
    host
}

pub fn check_bytes(bytes: &[u8]) -> CheckReport {
    let host = host_with(bytes);
    check_layer(&host, Path::new(FILE), &CheckOptions { data: true }, &mut |_| ()).unwrap()
}

/// A host whose one file can be changed between checks, without copying it whole.
pub struct Scratch {
    host: Arc<dyn Host>,
    file: Arc<dyn Medium>,
}

impl Scratch {
    pub fn new(bytes: &[u8]) -> Scratch {
        let host = host_with(bytes);
        let file = host.open(Path::new(FILE), OpenMode::ReadWrite).unwrap();
        Scratch { host, file }
    }

    pub fn write(&self, offset: usize, bytes: &[u8]) {
        self.file.write_at(offset as u64, bytes).unwrap();
    }

    pub fn cut(&self, length: usize) {
        self.file.set_length(length as u64).unwrap();
    }

    pub fn check(&self, options: CheckOptions) -> CheckReport {
        check_layer(&self.host, Path::new(FILE), &options, &mut |_| ()).unwrap()
    }
}
