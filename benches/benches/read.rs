//! Reading through a view, opening one, and comparing two.
//!
//! The baseline is `pread` of a flat file with the same content, page cache warm. Depth is
//! made as hard as it gets: neighbouring blocks lie in different layers.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sapwood::chain::{Borrowed, Layers, ReadRequest, View, changes};
use sapwood::format::LayerRef;
use sapwood::layer::ReadPolicy;
use sapwood::medium::{FileHost, Host, Network};
use sapwood::testing::{FolderLayers, LayerBuilder, Random};
use sapwood::units::{BlockAddress, BlockSize, LayerId};
use sapwood_benches::{Contender, compare, is_quick, median};
use tempfile::TempDir;

const BLOCK: usize = 4096;
/// How many layer files stay open.
const DESCRIPTORS_MAX: usize = 48;

fn main() {
    let quick = is_quick();
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|want| want == name);
    let blocks = if quick { 16 << 10 } else { 256 << 10 };
    if asked("random") || asked("sequential") || asked("cold") {
        read(blocks, 1000, quick, &asked);
    }
    if asked("open") {
        open_deep(if quick { 1000 } else { 10_000 }, 100, if quick { 3 } else { 15 });
    }
    if asked("snapshots") {
        snapshots(if quick { 1000 } else { 10_000 });
    }
    if asked("changes") {
        compare_views(if quick { 100_000 } else { 2_000_000 }, if quick { 3 } else { 15 });
    }
}

/// A chain of layers in a folder that goes with it.
struct Chain {
    folder: TempDir,
    host: Arc<dyn Host>,
    tip: Option<LayerRef>,
    layers: u64,
}

impl Chain {
    fn new() -> Chain {
        let folder = TempDir::new().expect("a temporary folder");
        let host = Arc::new(FileHost::open_root(folder.path(), Network::Refuse).expect("a folder"));
        Chain { folder, host, tip: None, layers: 0 }
    }

    fn push(&mut self, volume_bytes: u64, fill: impl FnOnce(&mut LayerBuilder)) {
        let mut id = [7; 16];
        id[..8].copy_from_slice(&self.layers.to_le_bytes());
        let id = LayerId(id);
        let geometry = (BlockSize::DEFAULT, volume_bytes);
        let path = FolderLayers::layer_path(id);
        let mut builder =
            LayerBuilder::create(&*self.host, &path, id, geometry, self.tip).expect("a layer");
        fill(&mut builder);
        self.tip = Some(builder.finish().expect("a layer"));
        self.layers += 1;
    }

    fn tip(&self) -> &LayerRef {
        self.tip.as_ref().expect("a layer")
    }

    fn layers(&self) -> Arc<FolderLayers> {
        let host = Arc::clone(&self.host);
        Arc::new(FolderLayers::new(host, ReadPolicy::default(), DESCRIPTORS_MAX))
    }

    /// Calls `each` with the files of all layers.
    fn each_file(&self, each: impl Fn(&File)) {
        for entry in std::fs::read_dir(self.folder.path()).expect("a folder") {
            let path = entry.expect("a name").path();
            if path.extension().is_some_and(|extension| extension == "layer") {
                each(&File::open(path).expect("a file"));
            }
        }
    }

    fn open(&self) -> Arc<View> {
        View::open(self.layers(), self.tip()).expect("a view")
    }
}

/// What block `number` of the content holds.
fn content(number: u64) -> [u8; BLOCK] {
    let mut block = [number as u8 | 1; BLOCK];
    block[..8].copy_from_slice(&number.to_le_bytes());
    block
}

/// A chain of `depth` layers with neighbouring blocks in different ones.
fn interleaved(blocks: u64, depth: u64) -> Chain {
    let mut chain = Chain::new();
    for layer in 0..depth {
        chain.push(blocks * BLOCK as u64, |builder| {
            for number in (layer..blocks).step_by(depth as usize) {
                builder.data(BlockAddress(number), &content(number)).expect("a block");
            }
        });
    }
    chain
}

/// One layer that holds block `place(n)` of the content as its `n`-th.
fn one_layer(blocks: u64, place: impl Fn(u64) -> u64) -> Chain {
    let mut chain = Chain::new();
    chain.push(blocks * BLOCK as u64, |builder| {
        for number in (0..blocks).map(place) {
            builder.data(BlockAddress(number), &content(number)).expect("a block");
        }
    });
    chain
}

fn read(blocks: u64, depth: u64, quick: bool, asked: &dyn Fn(&str) -> bool) {
    // An odd factor and a power of two: each block once, none after the one before it.
    let scatter = |number: u64| number.wrapping_mul(0x9e37_79b1) % blocks;
    let chains = [
        one_layer(blocks, |number| number),
        one_layer(blocks, scatter),
        interleaved(blocks, depth),
    ];
    let views = chains.each_ref().map(Chain::open);
    let [whole, scattered, deep] = &views;
    for view in [scattered, deep] {
        view.persist_index().expect("an index");
        assert_eq!(view.mapped_extents(), blocks, "no two blocks are one extent");
    }
    let flat_path = chains[0].folder.path().join("flat");
    let flat = File::create_new(&flat_path).expect("a file");
    for number in 0..blocks {
        flat.write_all_at(&content(number), number * BLOCK as u64).expect("a block");
    }
    let flat = File::open(&flat_path).expect("a file");
    let mut buffer = [0; BLOCK];
    for view in &views {
        for number in 0..blocks {
            view.read(BlockAddress(number), 0, &mut buffer).expect("a block");
            assert_eq!(buffer, content(number), "the view shows what was written");
        }
    }
    println!("{blocks} blocks, in {depth} layers or one");
    if asked("random") {
        random(blocks, &flat, [whole, scattered, deep], if quick { 3 } else { 21 });
    }
    if asked("sequential") {
        sequential(blocks, &flat, [whole, scattered, deep], if quick { 3 } else { 11 });
    }
    if asked("cold") {
        // What somebody has mapped stays in the page cache.
        drop(views);
        cold(blocks, &flat, &chains, if quick { 1 } else { 5 });
    }
}

fn random(blocks: u64, flat: &File, [whole, scattered, deep]: [&Arc<View>; 3], rounds: usize) {
    let mut source = Random::new(1);
    let numbers: Vec<u64> = (0..blocks / 4).map(|_| source.below(blocks)).collect();
    let one_by_one = |view: &Arc<View>| {
        let (view, numbers) = (Arc::clone(view), numbers.clone());
        let mut buffer = vec![0; BLOCK];
        move || {
            for &number in &numbers {
                view.read(BlockAddress(number), 0, &mut buffer).expect("a block");
                black_box(&mut buffer);
            }
        }
    };
    let many = |view: &Arc<View>, at_once: usize| {
        let (view, numbers) = (Arc::clone(view), numbers.clone());
        let mut buffers = vec![0; BLOCK * at_once];
        move || {
            for numbers in numbers.chunks_exact(at_once) {
                let mut requests: Vec<_> = numbers
                    .iter()
                    .zip(buffers.chunks_exact_mut(BLOCK))
                    .map(|(&number, buffer)| ReadRequest {
                        address: BlockAddress(number),
                        offset: 0,
                        buffer,
                    })
                    .collect();
                view.read_many(&mut requests).expect("blocks");
                black_box(&mut buffers);
            }
        }
    };
    let pread = || {
        let mut buffer = [0; BLOCK];
        for &number in &numbers {
            flat.read_exact_at(&mut buffer, number * BLOCK as u64).expect("a block");
            black_box(&mut buffer);
        }
    };
    let find = || {
        for &number in &numbers {
            black_box(deep.find(BlockAddress(number)).expect("a span"));
        }
    };
    let borrow = || {
        for &number in &numbers {
            let Borrowed::Block(bytes) = deep.borrow(BlockAddress(number)).expect("a block") else {
                unreachable!("the files are mapped")
            };
            black_box(bytes[0]);
        }
    };
    let mut contenders = [
        Contender::new("pread from a flat file", pread),
        Contender::new("depth 1, one extent", one_by_one(whole)),
        Contender::new("depth 1, as many extents as blocks", one_by_one(scattered)),
        Contender::new("deep, interleaved", one_by_one(deep)),
        Contender::new("deep, 16 at once", many(deep, 16)),
        Contender::new("deep, 64 at once", many(deep, 64)),
        Contender::new("deep, borrowed, first byte", borrow),
        Contender::new("deep, looked up only", find),
    ];
    compare("random 4 KiB reads", numbers.len(), &mut contenders, rounds);
}

fn sequential(blocks: u64, flat: &File, [whole, scattered, deep]: [&Arc<View>; 3], rounds: usize) {
    const LENGTH: usize = 1 << 20;
    let reads = blocks as usize * BLOCK / LENGTH;
    let through = |view: &Arc<View>| {
        let view = Arc::clone(view);
        let mut buffer = vec![0; LENGTH];
        move || {
            for number in 0..reads {
                let offset = (number * LENGTH) as u64;
                view.read(BlockAddress(0), offset, &mut buffer).expect("blocks");
                black_box(&mut buffer);
            }
        }
    };
    let mut buffer = vec![0; LENGTH];
    let pread = || {
        for number in 0..reads {
            flat.read_exact_at(&mut buffer, (number * LENGTH) as u64).expect("blocks");
            black_box(&mut buffer);
        }
    };
    let mut contenders = [
        Contender::new("pread from a flat file", pread),
        Contender::new("depth 1, one extent", through(whole)),
        Contender::new("depth 1, scattered block by block", through(scattered)),
        Contender::new("deep, interleaved block by block", through(deep)),
    ];
    compare("sequential reads of 1 MiB", reads, &mut contenders, rounds);
}

/// Reads of what the page cache does not hold: wall clock, through a view that nobody used before.
fn cold(blocks: u64, flat: &File, chains: &[Chain; 3], rounds: usize) {
    const LENGTH: usize = 1 << 20;
    /// How much is read in one piece after the other, in bytes.
    const SEQUENTIAL_BYTES: u64 = 256 << 20;
    let mut source = Random::new(2);
    let scattered: Vec<u64> = (0..2000).map(|_| source.below(blocks)).collect();
    let total = SEQUENTIAL_BYTES.min(blocks * BLOCK as u64);
    let offsets = |length: usize| (0..total).step_by(length).collect::<Vec<_>>();
    let at_random = scattered.iter().map(|number| number * BLOCK as u64).collect();
    let ways = [
        ("cold random 4 KiB reads", BLOCK, at_random),
        ("cold sequential reads of 1 MiB", LENGTH, offsets(LENGTH)),
        ("cold sequential reads of 4 KiB", BLOCK, offsets(BLOCK)),
    ];
    let names = [
        "pread from a flat file",
        "depth 1, one extent",
        "depth 1, as many extents as blocks",
        "deep, interleaved",
    ];
    chains.iter().for_each(|chain| chain.each_file(|file| file.sync_all().expect("a sync")));
    flat.sync_all().expect("a sync");
    for (title, length, offsets) in ways {
        let mut times = names.map(|_| Vec::new());
        let mut buffer = vec![0; length];
        for _ in 0..rounds {
            forget(flat);
            let start = Instant::now();
            for &offset in &offsets {
                flat.read_exact_at(&mut buffer, offset).expect("bytes");
            }
            times[0].push(start.elapsed());
            for (chain, times) in chains.iter().zip(&mut times[1..]) {
                let view = chain.open();
                chain.each_file(forget);
                let start = Instant::now();
                for &offset in &offsets {
                    view.read(BlockAddress(0), offset, &mut buffer).expect("bytes");
                }
                times.push(start.elapsed());
            }
        }
        println!("\n{title}");
        let medians = times.map(median);
        for (name, time) in names.iter().zip(medians) {
            let each = time.as_nanos() as f64 / 1e3 / offsets.len() as f64;
            let ratio = medians[0].as_secs_f64() / time.as_secs_f64();
            println!("  {name:<44} {each:>10.1} us each  {ratio:>6.2} x");
        }
    }
}

/// Takes a file out of the page cache.
fn forget(file: &File) {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
}

/// Opening a deep chain by its index.
fn open_deep(depth: u64, extents_each: u64, rounds: usize) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("a folder").count();
    let none = descriptors();
    let mut chain = Chain::new();
    for layer in 0..depth {
        chain.push(1 << 40, |builder| {
            for extent in 0..extents_each {
                builder.hollow(BlockAddress((extent * depth + layer) * 2), 1);
            }
        });
    }
    let start = Instant::now();
    let view = chain.open();
    let first = start.elapsed();
    let first_files = descriptors() - none;
    view.persist_index().expect("an index");
    drop(view);
    let (mut times, mut files) = (Vec::new(), 0);
    for _ in 0..rounds {
        let start = Instant::now();
        let view = chain.open();
        let mut buffer = [0; BLOCK];
        view.read(BlockAddress(depth), 0, &mut buffer).expect("a block");
        times.push(start.elapsed());
        files = files.max(descriptors() - none);
        assert_eq!(view.mapped_extents(), depth * extents_each, "all extents are there");
    }
    println!("\nopening depth {depth} with {} extents, and one read", depth * extents_each);
    println!("  without an index   {:>10.2} ms, {first_files} open files", milliseconds(first));
    println!("  with its index     {:>10.2} ms, {files} open files", milliseconds(median(times)));
}

/// Putting one tiny layer after another on top of a view.
fn snapshots(count: u64) {
    let mut chain = Chain::new();
    let mut tips = Vec::new();
    for layer in 0..count {
        chain.push(1 << 40, |builder| {
            builder.hollow(BlockAddress(layer.wrapping_mul(0x9e37_79b1) % (1 << 28)), 1);
        });
        tips.push(*chain.tip());
    }
    let layers = chain.layers();
    let mut view = View::open(layers.clone(), &tips[0]).expect("a view");
    let mut times = Vec::new();
    for tip in &tips[1..] {
        let layer = layers.layer(tip).expect("a layer");
        let start = Instant::now();
        view = view.on_top(layer).expect("a view");
        times.push(start.elapsed());
    }
    let worst = times.iter().max().copied().unwrap_or_default();
    println!("\nputting {count} layers of one block on top of each other");
    println!("  median {:>10.4} ms each", milliseconds(median(times)));
    println!("  worst  {:>10.4} ms", milliseconds(worst));
    view.wait_for_merges();
    println!("  {:?}", view.index_counters());
}

/// Ten changes in a sparse volume of 1 TiB over a base of many extents.
fn compare_views(extents: u64, rounds: usize) {
    let mut chain = Chain::new();
    chain.push(1 << 40, |builder| {
        (0..extents).for_each(|extent| builder.hollow(BlockAddress(extent * 100), 1));
    });
    let base = chain.open();
    chain.push(1 << 40, |builder| {
        (0..10).for_each(|at| builder.hollow(BlockAddress(at * 26_000_000 + 3), 1));
    });
    let once = chain.open();
    for at in 0..10 {
        chain.push(1 << 40, |builder| builder.hollow(BlockAddress(at * 26_000_000 + 7), 1));
    }
    let ten_times = chain.open();
    println!("\nten changes in 1 TiB over {extents} extents");
    for (name, from, to) in
        [("in one snapshot", &base, &once), ("in ten snapshots", &once, &ten_times)]
    {
        let times = (0..rounds)
            .map(|_| {
                let start = Instant::now();
                assert_eq!(changes(from, to).expect("changes").count(), 10);
                start.elapsed()
            })
            .collect();
        println!("  {name:<18} {:>10.3} ms", milliseconds(median(times)));
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
