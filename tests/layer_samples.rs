//! Files of every kind that a store holds, as small as the engine makes them, in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::medium::{Host, MemoryHost, OpenMode};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::units::{BlockAddress, BlockSize, LayerId};
use sapwood::volume::{CloneSource, Volume, VolumeOptions};
use sapwood::{Annotations, LayerKind, Result};

const FOLDERS: [&str; 4] = ["layers", "names", "index", "digests"];
/// The blocks of a disk.
const BLOCKS: u64 = 8;
/// What is read of a tree, which has no end.
const TREE_READ: [u64; 2] = [5, 1 << 50];

/// What a store shows: the bytes of each of its references.
pub type Shown = Vec<u8>;

/// How a check tells that a file is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// By looking at this layer file alone.
    OfLayer,
    /// By looking at the whole store.
    OfStore,
    /// In a note, by looking at the whole store: the file is derived.
    AsNote,
}

/// A store at rest and one file of it, to be damaged.
pub struct Sample {
    pub name: &'static str,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub told: Told,
    pub block_size: BlockSize,
    /// The file as it was earlier, oldest first.
    pub earlier: Vec<Vec<u8>>,
    /// What the store shows.
    pub shown: Shown,
    /// What it showed after each commit but the last, where that one may be torn as the file was
    /// not closed.
    pub commits: Vec<Shown>,
    /// Snapshots and volumes to read.
    references: Vec<&'static str>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

pub fn options(block_size: BlockSize) -> StoreOptions {
    let volume = VolumeOptions {
        buffer_bytes: 4 * block_size.bytes(),
        map_extents_max: 6,
        journal_records_max: 100,
        ..VolumeOptions::default()
    };
    StoreOptions { block_size, volume, ..StoreOptions::default() }
}

/// A file of each kind.
pub fn all() -> Vec<Sample> {
    vec![
        open_with_records(),
        open_with_runs_in_records(),
        open_and_closed(),
        open_with_sources(),
        frozen("frozen", BlockSize::DEFAULT),
        frozen("frozen, in blocks of 16 KiB", BlockSize::from_bytes(16 << 10).unwrap()),
        frozen_tree(),
        frozen_with_sources(),
        sealed(),
        thinned(),
        of_chain("merged index", Told::AsNote),
        of_chain("name of a volume", Told::OfStore),
        of_chain("name of a tag", Told::OfStore),
        of_chain("the store's own", Told::OfStore),
    ]
}

/// A store while it is made into a sample.
struct Making {
    host: Arc<dyn Host>,
    store: Store,
    path: PathBuf,
    earlier: Vec<Vec<u8>>,
}

impl Making {
    fn begin(block_size: BlockSize) -> Making {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
        let store = Store::create_on(Arc::clone(&host), &options(block_size)).unwrap();
        Making { host, store, path: PathBuf::new(), earlier: Vec::new() }
    }

    fn disk(&self, name: &str) -> Volume {
        self.store.create_volume(name, BLOCKS * self.store.block_size().bytes()).unwrap()
    }

    fn watch(&mut self, layer: LayerId) {
        self.path = PathBuf::from(format!("layers/{layer}.layer"));
    }

    /// Notes what the watched file holds.
    fn note(&mut self) {
        self.earlier.push(read_whole(&*self.host, &self.path));
    }

    fn end(
        mut self,
        name: &'static str,
        told: Told,
        references: &[&'static str],
        commits: Vec<Shown>,
    ) -> Sample {
        let bytes = read_whole(&*self.host, &self.path);
        self.earlier.retain(|earlier| *earlier != bytes);
        let (files, references) = (files_of(&*self.host), references.to_vec());
        let shown = look(&self.host, &references).unwrap();
        let (path, earlier, block_size) = (self.path, self.earlier, self.store.block_size());
        Sample { name, path, bytes, told, block_size, earlier, shown, commits, references, files }
    }
}

impl Sample {
    /// A host of its own with the store.
    pub fn host(&self) -> Arc<dyn Host> {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
        for folder in FOLDERS {
            host.create_folder(Path::new(folder)).unwrap();
        }
        for (path, bytes) in &self.files {
            let file = host.open(path, OpenMode::CreateNew).unwrap();
            file.write_at(0, bytes).unwrap();
        }
        host
    }

    /// What is read from outside.
    pub fn look(&self, host: &Arc<dyn Host>) -> Result<Shown> {
        look(host, &self.references)
    }

    /// What a writer reads, who has recovered the volumes among the references.
    pub fn open(&self, host: &Arc<dyn Host>) -> Result<Shown> {
        let store = Store::open_on(Arc::clone(host), &options(BlockSize::DEFAULT))?;
        let mut shown = Shown::new();
        for reference in &self.references {
            if reference.contains([':', '@']) {
                let snapshot = store.snapshot_of(reference)?;
                let of = (snapshot.kind(), snapshot.size_bytes(), store.block_size());
                read(of, &mut shown, |at, bytes| snapshot.read_blocks(at, 0, bytes))?;
            } else {
                let volume = store.open_volume(reference)?;
                let of = (volume.kind(), volume.size_bytes(), store.block_size());
                read(of, &mut shown, |at, bytes| volume.read_blocks(at, 0, bytes))?;
            }
        }
        Ok(shown)
    }
}

fn look(host: &Arc<dyn Host>, references: &[&str]) -> Result<Shown> {
    let store = Store::open_on(Arc::clone(host), &options(BlockSize::DEFAULT))?;
    let mut shown = Shown::new();
    for reference in references {
        let snapshot = store.snapshot_of(reference)?;
        let of = (snapshot.kind(), snapshot.size_bytes(), store.block_size());
        read(of, &mut shown, |at, bytes| snapshot.read_blocks(at, 0, bytes))?;
    }
    Ok(shown)
}

fn read(
    (kind, size, block): (LayerKind, u64, BlockSize),
    shown: &mut Shown,
    mut read: impl FnMut(BlockAddress, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut add = |at, length| {
        let start = shown.len();
        shown.resize(start + length as usize, 0);
        read(BlockAddress(at), &mut shown[start..])
    };
    match kind {
        LayerKind::Disk => add(0, size),
        LayerKind::Tree => TREE_READ.iter().try_for_each(|at| add(*at, 2 * block.bytes())),
    }
}

fn read_whole(host: &dyn Host, path: &Path) -> Vec<u8> {
    let file = host.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.facts().unwrap().length as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn files_of(host: &dyn Host) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in [""].into_iter().chain(FOLDERS) {
        for name in host.list(Path::new(folder)).unwrap() {
            let path = Path::new(folder).join(name);
            if host.facts(&path).is_ok() {
                files.push((path.clone(), read_whole(host, &path)));
            }
        }
    }
    files
}

/// Fills blocks with bytes that follow from `seed`, never all alike.
fn fill(volume: &Volume, block: u64, blocks: u64, seed: u64) {
    let length = blocks * volume.block_size().bytes();
    let bytes: Vec<u8> = (0..length).map(|at| (at * (2 * seed + 1) + at / 251) as u8).collect();
    volume.write_blocks(BlockAddress(block), 0, &bytes).unwrap();
}

fn annotated() -> Annotations {
    Annotations { comment: Some("as it was".to_owned()), ..Annotations::default() }
}

/// Ended without a close, as by a kill: three commits in the journal, the last of which nothing
/// later shows to be durable.
fn open_with_records() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let disk = making.disk("disk");
    making.watch(disk.layer_id());
    disk.flush().unwrap();
    let mut commits = vec![look(&making.host, &["disk"]).unwrap()];
    for seed in 1..=2 {
        fill(&disk, seed, 1, seed);
        disk.flush().unwrap();
        making.note();
        commits.push(look(&making.host, &["disk"]).unwrap());
    }
    fill(&disk, 4, 2, 3);
    disk.flush().unwrap();
    drop(disk);
    making.end("open, with records", Told::OfLayer, &["disk"], commits)
}

/// As before, with commits of more extents than are kept in memory.
fn open_with_runs_in_records() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let block = making.store.block_size().bytes();
    let disk = making.store.create_volume("disk", 32 * block).unwrap();
    making.watch(disk.layer_id());
    let commit = |seed| {
        for block in 0..10 {
            fill(&disk, 3 * block, 1, seed + block);
        }
        disk.flush().unwrap();
    };
    disk.flush().unwrap();
    let mut commits = vec![look(&making.host, &["disk"]).unwrap()];
    commit(1);
    making.note();
    commits.push(look(&making.host, &["disk"]).unwrap());
    commit(20);
    drop(disk);
    making.end("open, with runs in records", Told::OfLayer, &["disk"], commits)
}

/// Closed after checkpoints: a map of runs, saved free space, no records.
fn open_and_closed() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let disk = making.disk("disk");
    fill(&disk, 0, 8, 9);
    disk.snapshot(&annotated()).unwrap();
    making.watch(disk.layer_id());
    for seed in 1..=3 {
        fill(&disk, seed, 2, seed);
        disk.discard(0, making.store.block_size().bytes()).unwrap();
        disk.checkpoint().unwrap();
        making.note();
    }
    disk.close().unwrap();
    making.end("open, closed", Told::OfLayer, &["disk", "disk@1"], Vec::new())
}

/// A volume that has committed blocks of another one's snapshot, and what was shown before it had.
fn cloned(making: &mut Making) -> (Volume, Vec<Shown>) {
    let base = making.disk("base");
    fill(&base, 0, 4, 9);
    let snapshot = base.snapshot(&annotated()).unwrap();
    base.close().unwrap();
    let disk = making.disk("disk");
    making.watch(disk.layer_id());
    disk.flush().unwrap();
    let commits = vec![look(&making.host, &["disk", "base@1"]).unwrap()];
    let block = making.store.block_size().bytes();
    disk.clone_range(CloneSource::Snapshot(&snapshot), 0, block, 3 * block).unwrap();
    fill(&disk, 6, 1, 2);
    disk.flush().unwrap();
    making.note();
    (disk, commits)
}

fn open_with_sources() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let (disk, mut commits) = cloned(&mut making);
    commits.push(look(&making.host, &["disk", "base@1"]).unwrap());
    fill(&disk, 0, 1, 3);
    disk.flush().unwrap();
    drop(disk);
    making.end("open, with sources", Told::OfLayer, &["disk", "base@1"], commits)
}

fn frozen(name: &'static str, block_size: BlockSize) -> Sample {
    let mut making = Making::begin(block_size);
    let disk = making.disk("disk");
    fill(&disk, 0, 3, 9);
    disk.snapshot(&annotated()).unwrap();
    making.watch(disk.layer_id());
    fill(&disk, 1, 2, 1);
    disk.flush().unwrap();
    making.note();
    fill(&disk, 5, 1, 2);
    disk.discard(0, block_size.bytes()).unwrap();
    disk.snapshot(&annotated()).unwrap();
    disk.close().unwrap();
    making.end(name, Told::OfLayer, &["disk", "disk@1", "disk@2"], Vec::new())
}

fn frozen_tree() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let tree = making.store.create_tree("tree").unwrap();
    making.watch(tree.layer_id());
    for (seed, at) in (1..).zip(TREE_READ) {
        fill(&tree, at, 1, seed);
        tree.flush().unwrap();
        making.note();
    }
    tree.snapshot(&annotated()).unwrap();
    tree.close().unwrap();
    making.end("frozen, of a tree", Told::OfLayer, &["tree@1"], Vec::new())
}

fn frozen_with_sources() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let (disk, _) = cloned(&mut making);
    disk.snapshot(&annotated()).unwrap();
    disk.close().unwrap();
    making.end("frozen, with sources", Told::OfLayer, &["disk@1", "base@1"], Vec::new())
}

fn sealed() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let disk = making.disk("disk");
    making.watch(disk.layer_id());
    fill(&disk, 2, 3, 1);
    disk.snapshot(&annotated()).unwrap();
    disk.close().unwrap();
    making.note();
    making.store.seal("disk@1").unwrap();
    making.end("sealed", Told::OfLayer, &["disk@1"], Vec::new())
}

/// The middle one of three snapshots, removed: of its blocks the newest hides some.
fn thinned() -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let disk = making.disk("disk");
    fill(&disk, 0, 2, 1);
    disk.snapshot(&annotated()).unwrap();
    making.watch(disk.layer_id());
    fill(&disk, 0, 6, 2);
    disk.snapshot(&annotated()).unwrap();
    fill(&disk, 0, 3, 3);
    disk.snapshot(&annotated()).unwrap();
    disk.close().unwrap();
    making.note();
    making.store.seal("disk@2").unwrap();
    making.store.remove("disk@2").unwrap();
    let report = making.store.collect(&GcOptions::default()).unwrap();
    assert_eq!(report.thinned.len(), 1);
    making.end("thinned", Told::OfLayer, &["disk@1", "disk@2"], Vec::new())
}

/// The files beside layers.
fn of_chain(name: &'static str, told: Told) -> Sample {
    let mut making = Making::begin(BlockSize::DEFAULT);
    let disk = making.disk("disk");
    for seed in 1..=3 {
        fill(&disk, seed, 2, seed);
        disk.snapshot(&annotated()).unwrap();
    }
    disk.close().unwrap();
    making.store.tag("disk@1", "kept:1", Replace::Refuse).unwrap();
    let only = |folder: &str, ending: &str| {
        let names = making.host.list(Path::new(folder)).unwrap();
        let mut names = names.iter().map(|name| name.to_str().unwrap());
        Path::new(folder).join(names.find(|name| name.ends_with(ending)).unwrap())
    };
    making.path = match name {
        "merged index" => {
            making.store.snapshot_of("disk@1").unwrap().view().persist_index().unwrap();
            only("index", ".index")
        }
        "name of a volume" => only("names", "disk.name"),
        "name of a tag" => only("names", "1.tag"),
        _ => PathBuf::from("store"),
    };
    making.end(name, told, &["disk", "disk@1", "kept:1"], Vec::new())
}
