//! Damage at rest: flipped bits, cut files, swapped and stale pages, in every file of a store.
//! It is reported, or it makes no difference; it never shows other bytes (INV-06, INV-07).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::format::LayerState;
use sapwood::medium::{Host, Medium, OpenMode};
use sapwood::store::Store;
use sapwood::testing::{CrashDisk, CrashState, Policy};

use crate::harness::power_cut::factor;
use crate::harness::step::Step;
use crate::harness::store::{StoreSubject, options};
use crate::harness::{Observed, Subject, workloads};

const PAGE: u64 = 4096;
/// A cut or a flip is tried at every so many bytes; by a prime, so that every field is met.
const STRIDE: usize = 13;

/// A store that was closed cleanly, and what it shows.
struct Rest {
    state: CrashState,
    shown: Observed,
    /// The same files as they were earlier, oldest first.
    earlier: Vec<CrashState>,
}

fn at_rest(steps: &[Step]) -> Rest {
    let disk = CrashDisk::new();
    let mut subject = StoreSubject::create(disk.host()).unwrap();
    let mut earlier = Vec::new();
    for step in steps {
        subject.perform(step).unwrap();
        earlier.push(all_arrived(&disk));
    }
    let shown = subject.observe().unwrap();
    subject.close().unwrap();
    disk.kill();
    let state = all_arrived(&disk);
    assert_eq!(StoreSubject::open(state.host()).unwrap().observe().unwrap(), shown);
    Rest { state, shown, earlier }
}

/// The state in which everything has arrived: the last of the prefixes, which come first.
fn all_arrived(disk: &CrashDisk) -> CrashState {
    let policy = Policy { exhaustive_max: 0, samples: 0, seed: 1 };
    let states = disk.states_at(disk.log_len(), &policy);
    let prefixes = states.pending_len() + 1;
    states.take(prefixes).last().expect("the empty prefix is one")
}

/// Every file of a store with its length.
fn files(host: &dyn Host) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    for folder in ["", "layers", "names", "index", "digests"] {
        for name in host.list(Path::new(folder)).unwrap_or_default() {
            let path = Path::new(folder).join(name);
            if let Ok(facts) = host.facts(&path) {
                files.insert(path, facts.length);
            }
        }
    }
    files
}

/// The files of the layers that volumes write to.
fn open_layers(host: Arc<dyn Host>) -> Vec<PathBuf> {
    let store = Store::open_on(host, &options()).unwrap();
    let layers = store.layers().unwrap();
    let open = layers.iter().filter(|layer| layer.state == LayerState::Open);
    open.map(|layer| PathBuf::from(format!("layers/{}.layer", layer.id))).collect()
}

#[derive(Debug, Default)]
struct Noticed {
    reported: u64,
    harmless: u64,
}

impl Rest {
    /// Does damage to a file of a copy, and looks at what the copy shows.
    fn damage(
        &self,
        noticed: &mut Noticed,
        path: &Path,
        what: impl Fn() -> String,
        damage: impl FnOnce(&dyn Medium),
    ) {
        let disk = self.state.disk();
        let file = disk.host().open(path, OpenMode::ReadWrite).unwrap();
        damage(&*file);
        drop(file);
        let host: Arc<dyn Host> = disk.host();
        for found in [
            StoreSubject::look(host.clone()),
            StoreSubject::open(host).and_then(|subject| subject.observe()),
        ] {
            match found {
                Err(_) => noticed.reported += 1,
                Ok(found) if found == self.shown => noticed.harmless += 1,
                Ok(found) => {
                    panic!("{} in {}: {}", what(), path.display(), found.difference(&self.shown))
                }
            }
        }
    }
}

fn stores() -> Vec<(&'static str, Rest)> {
    vec![
        ("commits", at_rest(&workloads::commits_and_checkpoints())),
        ("snapshots", at_rest(&workloads::snapshots_and_forks("disk"))),
    ]
}

fn read_page(file: &dyn Medium, page: u64) -> Vec<u8> {
    let mut bytes = vec![0; PAGE as usize];
    file.read_at(page * PAGE, &mut bytes).unwrap();
    bytes
}

#[test]
fn flipped_bits_are_reported_or_harmless() {
    for (name, rest) in stores() {
        let mut noticed = Noticed::default();
        let mut tried = 0;
        for (path, length) in files(&*rest.state.host()) {
            for at in (0..length).step_by(STRIDE.div_ceil(factor())) {
                let bit = (at / STRIDE as u64 + at) % 8;
                tried += 1;
                rest.damage(
                    &mut noticed,
                    &path,
                    || format!("bit {bit} of byte {at}"),
                    |file| {
                        let mut byte = [0];
                        file.read_at(at, &mut byte).unwrap();
                        file.write_at(at, &[byte[0] ^ 1 << bit]).unwrap();
                    },
                );
            }
        }
        println!("{name}: {tried} flips, {noticed:?}");
        assert!(noticed.reported > tried / 4, "{name}: {noticed:?} of {tried}");
    }
}

#[test]
fn cut_files_are_reported_or_harmless() {
    for (name, rest) in stores() {
        let mut noticed = Noticed::default();
        let open = open_layers(rest.state.host());
        for (path, length) in files(&*rest.state.host()) {
            // An open layer that is shorter than its slots was made and never synced, as far as
            // anybody can tell: what it stands on is shown.
            let start = if open.contains(&path) { 2 * PAGE } else { 0 };
            for cut in (start..length).step_by(61_usize.div_ceil(factor())) {
                rest.damage(
                    &mut noticed,
                    &path,
                    || format!("cut to {cut} bytes"),
                    |file| {
                        file.set_length(cut).unwrap();
                    },
                );
            }
        }
        println!("{name}: {noticed:?}");
        assert!(noticed.reported > 100, "{name}: {noticed:?}");
    }
}

#[test]
fn swapped_pages_are_reported_or_harmless() {
    for (name, rest) in stores() {
        let mut noticed = Noticed::default();
        for (path, length) in files(&*rest.state.host()) {
            let pages = length / PAGE;
            for (first, second) in (0..pages).flat_map(|a| (0..a).map(move |b| (a, b))) {
                rest.damage(
                    &mut noticed,
                    &path,
                    || format!("pages {first}, {second}"),
                    |file| {
                        let (a, b) = (read_page(file, first), read_page(file, second));
                        file.write_at(first * PAGE, &b).unwrap();
                        file.write_at(second * PAGE, &a).unwrap();
                    },
                );
            }
        }
        println!("{name}: {noticed:?}");
        assert!(noticed.reported > 20, "{name}: {noticed:?}");
    }
}

#[test]
fn stale_pages_are_reported_or_harmless() {
    for (name, rest) in stores() {
        let mut noticed = Noticed::default();
        // An older name file is whole: it names an older state, as a restored backup would.
        let files = files(&*rest.state.host()).into_iter();
        for (path, length) in files.filter(|(path, _)| path.starts_with("layers")) {
            for (age, earlier) in rest.earlier.iter().enumerate() {
                let Ok(old) = earlier.host().open(&path, OpenMode::Read) else { continue };
                let old_length = old.facts().unwrap().length.min(length);
                for page in 0..old_length / PAGE {
                    let stale = read_page(&*old, page);
                    let what = || format!("page {page} as it was after step {age}");
                    rest.damage(&mut noticed, &path, what, |file| {
                        file.write_at(page * PAGE, &stale).unwrap();
                    });
                }
            }
        }
        println!("{name}: {noticed:?}");
        assert!(noticed.reported > 20, "{name}: {noticed:?}");
    }
}
