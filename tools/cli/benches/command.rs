//! What the command costs, beside `cp` and a sync, and on a store of many layers.
//!
//! Times are wall clock, since syncs are what is paid for; each pair takes turns.

#[path = "shared/measure.rs"]
mod measure;
#[path = "shared/noise.rs"]
mod noise;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use measure::{median, timed};
use noise::write_noise;
use sapwood::format::Annotations;
use sapwood::store::{Store, StoreOptions};

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    // `-- layers` leaves the images out.
    let only_layers = std::env::args().any(|argument| argument == "layers");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (image_bytes, rounds) = if is_quick { (64 << 20, 3) } else { (1 << 30, 7) };
    if !only_layers {
        images(folder.path(), image_bytes, rounds);
    }
    many_layers(folder.path(), if is_quick { 500 } else { 10_000 }, rounds);
}

/// Import and export of a raw image, beside `cp --reflink=never` and a sync of the copy.
fn images(folder: &Path, bytes: u64, rounds: usize) {
    let (image, copy, out) = (folder.join("image"), folder.join("copy"), folder.join("out"));
    write_noise(&image, bytes);
    let (mut copies, mut imports, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    // The first round only warms up.
    for round in 0..=rounds {
        let store = folder.join("store");
        let sapwood = |words: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
            command.arg("--store").arg(&store).arg("-q").args(words).current_dir(folder);
            timed(&mut command)
        };
        let copied = timed(Command::new("cp").arg("--reflink=never").args([&image, &copy]));
        let synced = time(|| File::open(&copy).unwrap().sync_all().unwrap());
        sapwood(&["init"]);
        let imported = sapwood(&["import", "image", "base"]);
        let exported = sapwood(&["export", "base", "out"]);
        if round > 0 {
            copies.push(copied + synced);
            imports.push(imported);
            exports.push(exported);
        }
        std::fs::remove_dir_all(&store).unwrap();
        std::fs::remove_file(&copy).unwrap();
        std::fs::remove_file(&out).unwrap();
    }
    let copied = median(copies);
    println!("\na raw image of {} MiB, in times the speed of cp and sync", bytes >> 20);
    println!("  {:<32} {:>9.1} ms", "cp --reflink=never and sync", milliseconds(copied));
    for (name, times) in [("import", imports), ("export", exports)] {
        let time = median(times);
        let ratio = copied.as_secs_f64() / time.as_secs_f64();
        println!("  {name:<32} {:>9.1} ms  {ratio:>5.2} x", milliseconds(time));
    }
}

/// Verbs on a store of many layers, from start to end: on one chain, and on a base with many forks.
fn many_layers(folder: &Path, layers: usize, rounds: usize) {
    let chain = folder.join("chain");
    let store = Store::create(&chain, &StoreOptions::default()).unwrap();
    let volume = store.create_volume("vm", 1 << 30).unwrap();
    for layer in 0..layers as u64 {
        volume.write_at(layer % (1 << 18) * 4096, &layer.to_le_bytes().repeat(512)).unwrap();
        volume.snapshot(&Annotations::default()).unwrap();
    }
    volume.close().unwrap();
    drop(store);
    println!("\none verb, from start to end, on a chain of {layers} layers");
    verbs(&chain, rounds);
    println!("  and those that look at each layer of the chain or of the store");
    walks(&chain, rounds, layers);

    let wide = folder.join("wide");
    let store = Store::create(&wide, &StoreOptions::default()).unwrap();
    let volume = store.create_volume("vm", 1 << 30).unwrap();
    volume.write_at(0, &[7; 4096]).unwrap();
    volume.snapshot(&Annotations::default()).unwrap();
    volume.close().unwrap();
    for number in 0..layers {
        let fork = store.fork("vm@1", &format!("fork-{number}")).unwrap();
        // The name of one that is durable is a file of its own.
        if number % 2 == 0 {
            fork.flush().unwrap();
        }
    }
    drop(store);
    println!(
        "\none verb, from start to end, on a snapshot with {layers} forks, half of them durable"
    );
    verbs(&wide, rounds);
    println!("  and those that look at each layer of the store");
    walks(&wide, rounds, layers);
}

/// Those whose work is the same whatever the number of layers; `{}` is the number of the round.
fn verbs(store: &Path, rounds: usize) {
    for words in [
        "show vm@1",
        "ls",
        "read vm --length 4K",
        "write vm",
        "fork vm@1 made-{}",
        "snapshot vm",
        "tag vm@1 made:{}",
        "resize vm 1G",
        "map vm",
        "diff vm@1 vm",
        "reset vm",
        "rm made:{}",
        "rm made-{}",
        "ps",
        "images",
    ] {
        let time = from_start_to_end(store, words, rounds);
        println!("  {words:<32} {:>9.1} ms", milliseconds(time));
    }
}

/// Those that look at each layer.
fn walks(store: &Path, rounds: usize, layers: usize) {
    for words in [
        "log vm",
        "log vm --graph",
        "du vm",
        "du",
        "df",
        "df -v",
        "gc --dry-run",
        "gc",
        "prune --dry-run",
        "check",
    ] {
        let time = from_start_to_end(store, words, rounds.min(3));
        let each = time.as_secs_f64() * 1e6 / layers as f64;
        println!("  {words:<32} {:>9.1} ms, {each:>6.1} us a layer", milliseconds(time));
    }
}

fn from_start_to_end(store: &Path, words: &str, rounds: usize) -> Duration {
    let mut times = Vec::new();
    for round in 0..=rounds {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
        command.arg("--store").arg(store).arg("-q");
        command.args(words.replace("{}", &round.to_string()).split(' '));
        let time = timed(&mut command);
        if round > 0 {
            times.push(time);
        }
    }
    median(times)
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
