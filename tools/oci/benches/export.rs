//! A layer on its way out beside `tar` and the compressor of one's choice, in turns, in one run.
//!
//! The layer is the root filesystem in `SAPWOOD_TEST_ROOT` (`.ci/debian-root` makes one). It goes
//! out twice: as the tar that it came as, and as its tree says. Both sides write a file of the
//! temporary directory, page cache warm, nothing synced. A compressor that the machine lacks is left
//! out, with a message. `--quick` takes one round.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sapwood::files::{Files, FilesOptions, Inode};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_archive::{ImportOptions, import_directory, import_layer_recorded};
use sapwood_oci::{
    CHAIN_ID_LABEL, Compression, Configuration, DIFF_ID_LABEL, Image, OutgoingImage, Sha256,
    publish,
};
use serde_json::json;

/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 1;

/// A compression of ours, and a command that does the same to a tar stream.
struct Row {
    compression: Compression,
    peer: &'static str,
}

const ROWS: [Row; 4] = [
    Row { compression: Compression::None, peer: "cat" },
    Row { compression: Compression::Gzip, peer: "gzip" },
    Row { compression: Compression::Gzip, peer: "pigz" },
    Row { compression: Compression::Zstd, peer: "zstd -T0" },
];

fn main() {
    let Some(root) = std::env::var_os("SAPWOOD_TEST_ROOT").map(PathBuf::from) else {
        println!("SKIPPED: SAPWOOD_TEST_ROOT names no root filesystem");
        return;
    };
    let is_quick = std::env::args().any(|word| word == "--quick");
    let rounds = if is_quick { ROUNDS_QUICK } else { ROUNDS };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::create(folder.path().join("store"), &StoreOptions::default());
    let store = store.expect("a store");
    make(&store, "came", |files| {
        let tar = Command::new("tar").args(["-c", "."]).current_dir(&root).output();
        let tar = tar.expect("tar").stdout;
        let options = ImportOptions::default();
        import_layer_recorded(files, &mut &tar[..], &options, &mut |_| {}).expect("an import");
        Some(Sha256::of(&tar))
    });
    make(&store, "made", |files| {
        let options = ImportOptions::default();
        import_directory(files, Inode::ROOT, &root, &options, &mut |_| {}).expect("an import");
        None
    });
    println!(
        "{:<10} {:>14} {:>14} {:>12} {:>12} {:>8} {:>8}",
        "tar c |", "peer", "size, of its", "as it came", "as it is", "speed", "speed"
    );
    for row in &ROWS {
        match measure(&store, &root, folder.path(), row, rounds) {
            Some(figures) => print(row, &figures),
            None => println!("{:<10} SKIPPED: it is not there", row.peer),
        }
    }
}

/// Makes an image of one layer.
fn make(store: &Store, tag: &str, fill: impl FnOnce(&Files) -> Option<Sha256>) {
    let making = store.make_tree(&format!("{tag}-layer"), Replace::Refuse).expect("a tree");
    let (volume, of_making) = making.into_parts();
    let files = Files::open(volume, FilesOptions::default()).expect("its files");
    let labels = fill(&files).into_iter().flat_map(|digest| {
        [DIFF_ID_LABEL, CHAIN_ID_LABEL].map(|label| (label.to_owned(), digest.to_string()))
    });
    let annotations = Annotations { labels: labels.collect(), ..Annotations::default() };
    let snapshot = files.snapshot(&annotations).expect("a snapshot");
    let top = files.volume().layer_id();
    drop(files);
    of_making.give(&snapshot, top).expect("a tag");
    let configuration = Configuration::from_value(&json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] },
    }));
    let (configuration, layer) = (configuration.expect("one"), snapshot.layer_id().to_string());
    publish(store, Some(&layer), &configuration, tag, Replace::Refuse).expect("an image");
}

/// The times of each, round by round, and the sizes of what came out.
#[derive(Default)]
struct Figures {
    peer: Vec<Duration>,
    peer_bytes: u64,
    came: Vec<Duration>,
    made: Vec<Duration>,
    bytes: u64,
}

fn measure(store: &Store, root: &Path, folder: &Path, row: &Row, rounds: usize) -> Option<Figures> {
    let program = row.peer.split(' ').next().expect("a word");
    let look = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    if !look.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let mut figures = Figures::default();
    for round in 0..rounds {
        // Each takes turns at being first.
        for turn in 0..3 {
            let path = folder.join("blob");
            let began = Instant::now();
            match (turn + round) % 3 {
                0 => {
                    let file = File::create(&path).expect("a file");
                    let pipe = format!("tar -c . | {}", row.peer);
                    let mut command = Command::new("sh");
                    command.args(["-c", &pipe]).current_dir(root).stdout(Stdio::from(file));
                    assert!(command.status().expect("a shell").success());
                    figures.peer.push(began.elapsed());
                    figures.peer_bytes = path.metadata().expect("its size").len();
                }
                which => {
                    let tag = if which == 1 { "came" } else { "made" };
                    let image = Image::open(store, tag).expect("an image");
                    let outgoing = OutgoingImage::new(store, &image).expect("its layers");
                    let mut file = File::create(&path).expect("a file");
                    let layer = &outgoing.layers()[0];
                    layer.write(&mut file, row.compression, &|_| {}).expect("a blob");
                    let times = if which == 1 { &mut figures.came } else { &mut figures.made };
                    times.push(began.elapsed());
                    figures.bytes = path.metadata().expect("its size").len();
                }
            }
            std::fs::remove_file(&path).expect("a file less");
        }
    }
    Some(figures)
}

fn print(row: &Row, figures: &Figures) {
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    let (peer, came, made) = (median(&figures.peer), median(&figures.came), median(&figures.made));
    println!(
        "{:<10} {:>11.0} ms {:>13.2}x {:>9.0} ms {:>9.0} ms {:>8.2} {:>8.2}",
        row.peer,
        peer * 1e3,
        figures.bytes as f64 / figures.peer_bytes as f64,
        came * 1e3,
        made * 1e3,
        peer / came,
        peer / made
    );
}
