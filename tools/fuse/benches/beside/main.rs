//! A mounted tree beside OverlayFS and fuse-overlayfs, in turns, in one run.
//!
//! The tree is a copy of what this machine has under `/usr` and `/etc`, cut to the size of a
//! small root filesystem, or the directory in `SAPWOOD_BENCH_TREE`. All three stand on the
//! filesystem of the temporary directory. "Cold" is a fresh mount whose lower files are in the
//! host's cache. A peer that the machine lacks is left out, with a message. Root is needed.

mod peers;
mod rows;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use peers::Peer;
use rows::Row;

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
    let wanted = words.iter().find(|word| !word.starts_with('-')).map(String::as_str);
    compare(if is_quick { ROUNDS_QUICK } else { ROUNDS }, is_quick, wanted);
}

fn compare(rounds: usize, is_quick: bool, wanted: Option<&str>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tree = tree::make(folder.path(), is_quick);
    println!(
        "a tree of {} entries, {} MiB in {} files",
        tree.entries,
        tree.bytes >> 20,
        tree.files.len()
    );
    let peers = peers::all(folder.path(), &tree);
    let mut times: BTreeMap<(usize, &'static str), Vec<Duration>> = BTreeMap::new();
    let mut names: Vec<&'static str> = Vec::new();
    for round in 0..rounds {
        for visit in rows::VISITS {
            if wanted.is_some_and(|wanted| !visit.name.contains(wanted)) {
                continue;
            }
            for number in 0..peers.len() {
                // Each takes turns at being first.
                let number = (number + round) % peers.len();
                for Row { name, time } in measure(&*peers[number], visit, &tree) {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                    times.entry((number, name)).or_default().push(time);
                }
            }
        }
    }
    print(&names, &peers, &mut times);
}

fn measure(peer: &dyn Peer, visit: &rows::Visit, tree: &tree::Tree) -> Vec<Row> {
    let directory = peer.mount();
    let rows = (visit.run)(&directory, tree);
    peer.unmount();
    rows
}

fn print(
    names: &[&'static str],
    peers: &[Box<dyn Peer>],
    times: &mut BTreeMap<(usize, &'static str), Vec<Duration>>,
) {
    print!("{:<36}", "");
    for peer in peers {
        print!("{:>16}", peer.name());
    }
    for peer in &peers[1..] {
        print!("{:>20}", format!("x {}", peer.name()));
    }
    println!();
    for name in names {
        let medians: Vec<f64> = (0..peers.len())
            .map(|number| {
                let times = times.get_mut(&(number, *name)).expect("each peer ran each row");
                times.sort_unstable();
                times[times.len() / 2].as_secs_f64()
            })
            .collect();
        print!("{name:<36}");
        for median in &medians {
            print!("{:>16}", shown(*median));
        }
        for median in &medians[1..] {
            print!("{:>20.2}", medians[0] / median);
        }
        println!();
    }
}

fn shown(seconds: f64) -> String {
    if seconds < 0.001 {
        return format!("{:.1} us", seconds * 1e6);
    }
    format!("{:.1} ms", seconds * 1e3)
}
