//! A mounted tree beside OverlayFS, fuse-overlayfs and btrfs, in turns, in one run.
//!
//! The tree is a copy of what this machine has under `/usr` and `/etc`, cut to the size of a
//! small root filesystem, or the directory in `SAPWOOD_BENCH_TREE`. All stand on the filesystem
//! of the temporary directory, XFS and btrfs in files there. "Cold" is a fresh mount whose lower
//! files are in the host's cache. A peer that the machine lacks is left out, with a message.
//! Root is needed. A word chooses the visits whose names begin with it; `--quick` takes small
//! sizes and one round.

mod layers;
mod peers;
mod rows;
mod table;
mod tree;

use std::path::Path;
use std::time::Instant;

use peers::Peer;
use rows::{Site, Visit};
use table::Table;

/// Rounds, of which the median counts.
const ROUNDS: usize = 5;
const ROUNDS_QUICK: usize = 1;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", store, name, directory] => return peers::serve(store, name, directory),
        ["work", what, directory, number] => return rows::work(what, directory, number),
        _ => {}
    }
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        println!("SKIPPED: mounts need root and /dev/fuse");
        return;
    }
    let is_quick = words.iter().any(|word| word == "--quick");
    let (rounds, sizes) = match is_quick {
        true => (ROUNDS_QUICK, tree::QUICK),
        false => (ROUNDS, tree::WHOLE),
    };
    let wanted = words.iter().find(|word| !word.starts_with('-')).map_or("", String::as_str);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).expect("a fresh folder");
        folder
    };
    if let Some(visits) = chosen(rows::OF_TREES, wanted) {
        let folder = at("trees");
        let tree = tree::make(&folder, &sizes);
        println!(
            "a tree of {} entries, {} MiB in {} files, and one of {} MiB",
            tree.entries,
            tree.bytes >> 20,
            tree.files.len(),
            tree.large_bytes >> 20
        );
        compare(rounds, &visits, &peers::of_trees(&folder, &tree.path), &tree);
    }
    if let Some(visits) = chosen(rows::OF_A_LARGE_FILE, wanted) {
        let folder = at("large");
        let tree = tree::make_large(&folder, &sizes);
        println!("one file of {} MiB", tree.large_bytes >> 20);
        let peers = peers::of_a_large_file(&folder, &tree.path, tree.large_bytes);
        compare(rounds, &visits, &peers, &tree);
    }
    for (layers, visits, are_peers_there) in
        [(sizes.layers, rows::OF_LAYERS, true), (sizes.layers_deep, rows::OF_DEEP_TREES, false)]
    {
        if let Some(visits) = chosen(visits, wanted) {
            let folder = at(&format!("layers-{layers}"));
            println!("{layers} names, in as many layers and in one");
            let peers = layers::peers(&folder, layers, are_peers_there);
            compare(rounds, &visits, &peers, &layers::tree(layers));
        }
    }
}

fn chosen(visits: &'static [Visit], wanted: &str) -> Option<Vec<&'static Visit>> {
    let visits: Vec<_> = visits.iter().filter(|visit| visit.name.starts_with(wanted)).collect();
    (!visits.is_empty()).then_some(visits)
}

fn compare(rounds: usize, visits: &[&Visit], peers: &[Box<dyn Peer>], tree: &tree::Tree) {
    let mut table = Table::default();
    for round in 0..rounds {
        for visit in visits {
            for number in 0..peers.len() {
                // Each takes turns at being first.
                let number = (number + round) % peers.len();
                let peer = &*peers[number];
                // What the one before left to be written back, a whole file of some, is not this one's.
                rustix::fs::sync();
                let began = Instant::now();
                let mount = peer.mount();
                let site = Site { began, mount: &mount, tree, peer };
                (visit.run)(&site).into_iter().for_each(|row| table.add(number, row));
                peer.unmount();
            }
        }
    }
    let names: Vec<_> = peers.iter().map(|peer| peer.name()).collect();
    table.print(&names);
}
