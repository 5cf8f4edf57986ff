//! Many processes on one store: forks, reads, writes, clones, snapshots, removal and collection
//! at once, some of the processes killed and started again.
//!
//! Each block says who wrote it, where it belongs and in which round, and block 0 says what each
//! of the others must be: whatever is read shows by itself whether it is whole.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sapwood::inspect::{CheckOptions, check};
use sapwood::medium::{FileHost, Host, Network};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::testing::Random;
use sapwood::volume::{CloneSource, Volume, VolumeOptions};
use sapwood::{BlockAddress, Error, ErrorKind, LayerState};
use std::sync::Arc;

use crate::harness::power_cut::factor;

const FOLDER: &str = "SAPWOOD_TEST_SHARED_FOLDER";
const SEED: &str = "SAPWOOD_TEST_SHARED_SEED";
const BLOCK: usize = 4096;
/// Besides the first, which says what they hold.
const BLOCKS: usize = 48;
const WORKERS: u64 = 7;
const SECONDS: u64 = 8;

/// Who wrote a block, and in which round: 0 and 0 is the image that all begins with.
type Mark = [u32; 2];

fn options() -> StoreOptions {
    let volume = VolumeOptions {
        buffer_bytes: 8 * BLOCK as u64,
        map_extents_max: 16,
        journal_records_max: 8,
        ..VolumeOptions::default()
    };
    StoreOptions { volume, ..StoreOptions::default() }
}

fn block(address: usize, [writer, round]: Mark) -> Vec<u8> {
    let words = [address as u32, writer, round, address as u32 ^ writer.rotate_left(9) ^ round];
    words.iter().flat_map(|word| word.to_le_bytes()).cycle().take(BLOCK).collect()
}

/// Block 0: the marks of the others.
fn manifest(marks: &[Mark]) -> Vec<u8> {
    let mut bytes: Vec<u8> = marks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.resize(BLOCK, 0x5a);
    bytes
}

/// The marks of what was read, all of which must hold what its block 0 says.
fn marks_of(bytes: &[u8], what: &str) -> Vec<Mark> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let marks: Vec<Mark> = (0..BLOCKS).map(|at| [word(8 * at), word(8 * at + 4)]).collect();
    assert!(bytes[..BLOCK] == manifest(&marks), "block 0 of {what} is not whole");
    for (mark, address) in marks.iter().zip(1..) {
        let found = &bytes[address * BLOCK..(address + 1) * BLOCK];
        assert!(found == block(address, *mark), "block {address} of {what} is not {mark:?}");
    }
    marks
}

fn read_marks(
    what: &str,
    read: impl FnOnce(u64, &mut [u8]) -> Result<(), Error>,
) -> Result<Vec<Mark>, Error> {
    let mut bytes = vec![0; (BLOCKS + 1) * BLOCK];
    read(0, &mut bytes)?;
    Ok(marks_of(&bytes, what))
}

/// `None` where others have removed what was asked for, or moved on.
fn unless_gone<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Stale) => None,
        Err(error) => panic!("{error}"),
    }
}

/// One process among many.
struct Worker {
    store: Store,
    random: Random,
    number: u32,
    made: u64,
}

impl Worker {
    fn any_name(&mut self, of: impl Fn(&str) -> bool) -> String {
        let names = self.store.names().unwrap().into_iter().map(|entry| entry.name);
        let names: Vec<String> = names.filter(|name| of(name)).collect();
        names[self.random.below(names.len() as u64) as usize].clone()
    }

    fn any_tag(&mut self) -> String {
        self.any_name(|name| name.contains(':'))
    }

    fn new_name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{}-{}", self.number, self.made)
    }

    /// The life of one fork.
    fn live(&mut self) {
        let (tag, name) = (self.any_tag(), self.new_name("fork"));
        let Some(volume) = unless_gone(self.store.fork(&tag, &name)) else { return };
        let read = |at, bytes: &mut [u8]| volume.read_at(at, bytes);
        let mut marks = read_marks(&name, read).unwrap();
        for round in 1..=4 + self.random.below(8) {
            match self.random.below(10) {
                0..5 => self.write(&volume, &mut marks, round as u32),
                5 => self.clone_from_another(&volume, &mut marks),
                6 => self.snapshot(&volume, &name, &marks),
                7 => self.look_at_another(),
                8 => drop(unless_gone(self.store.collect(&GcOptions::default()))),
                _ => volume.flush().unwrap(),
            }
            assert_eq!(read_marks(&name, read).unwrap(), marks, "what {name} holds");
        }
        volume.close().unwrap();
        let volume = self.store.open_volume(&name).unwrap();
        let read = |at, bytes: &mut [u8]| volume.read_at(at, bytes);
        assert_eq!(read_marks(&name, read).unwrap(), marks, "what {name} holds, opened again");
        drop(volume);
        if !self.random.one_in(8) {
            self.store.remove(&name).unwrap();
        }
        self.remove_a_tag();
    }

    fn write(&mut self, volume: &Volume, marks: &mut [Mark], round: u32) {
        let batch = volume.batch();
        for _ in 0..=self.random.below(4) {
            let address = 1 + self.random.below(BLOCKS as u64) as usize;
            let mark = [self.number, round];
            batch.write_at((address * BLOCK) as u64, &block(address, mark)).unwrap();
            marks[address - 1] = mark;
        }
        batch.write_at(0, &manifest(marks)).unwrap();
    }

    fn clone_from_another(&mut self, volume: &Volume, marks: &mut [Mark]) {
        let tag = self.any_tag();
        let Some(snapshot) = unless_gone(self.store.snapshot_of(&tag)) else { return };
        let found = read_marks(&tag, |at, bytes| snapshot.read_at(at, bytes)).unwrap();
        let first = 1 + self.random.below(BLOCKS as u64 - 8);
        let (batch, at) = (volume.batch(), BlockAddress(first));
        batch.clone_blocks(CloneSource::Snapshot(&snapshot), at, at, 8).unwrap();
        let range = first as usize - 1..first as usize + 7;
        marks[range.clone()].copy_from_slice(&found[range]);
        batch.write_at(0, &manifest(marks)).unwrap();
    }

    fn snapshot(&mut self, volume: &Volume, name: &str, marks: &[Mark]) {
        let snapshot = volume.snapshot(&Default::default()).unwrap();
        let found = read_marks(name, |at, bytes| snapshot.read_at(at, bytes)).unwrap();
        assert_eq!(found, marks, "what a snapshot of {name} holds");
        let tag = self.new_name("tag") + ":1";
        self.store.tag(&format!("{name}@1"), &tag, Replace::Refuse).unwrap();
        match self.random.below(4) {
            0 => drop(unless_gone(self.store.seal(&tag))),
            1 => {
                let flat = self.new_name("flat") + ":1";
                let done = unless_gone(self.store.flatten(&tag, &flat, &mut |_| ()));
                if let Some(flat) = done {
                    let read = |at, bytes: &mut [u8]| flat.read_at(at, bytes);
                    assert_eq!(read_marks(&tag, read).unwrap(), marks, "{tag} in one layer");
                }
            }
            _ => {}
        }
    }

    /// Reads a tag, or a volume that somebody may be writing to.
    fn look_at_another(&mut self) {
        let name = self.any_name(|_| true);
        if let Some(seen) = unless_gone(self.store.snapshot_of(&name)) {
            unless_gone(read_marks(&name, |at, bytes| seen.read_at(at, bytes)));
        }
    }

    fn remove_a_tag(&mut self) {
        let tag = self.any_name(|name| name.contains(':') && !name.starts_with("image"));
        let tags = self.store.names().unwrap();
        if tags.len() > 12 {
            unless_gone(self.store.remove(&tag));
        }
    }
}

fn work(folder: &Path) {
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let store = Store::open(folder, &options()).unwrap();
    let mut worker =
        Worker { store, random: Random::new(seed), number: std::process::id(), made: 0 };
    let end = Instant::now() + Duration::from_secs(SECONDS * factor() as u64);
    let mut lives = 0;
    while Instant::now() < end {
        worker.live();
        lives += 1;
    }
    println!("lives: {lives}");
}

fn spawn(test: &str, folder: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn expect_sound(folder: &Path, when: &str) {
    let host: Arc<dyn Host> = Arc::new(FileHost::open_root(folder, Network::Refuse).unwrap());
    let report = check(&host, Path::new(""), &CheckOptions { data: true }, &mut |_| ()).unwrap();
    assert!(report.is_sound(), "{when}: {:?}", report.damage().collect::<Vec<_>>());
}

/// Other tests of this process start processes too, and until such a one runs its own program it
/// holds whatever was locked here.
fn once_free<T>(mut call: impl FnMut() -> Result<T, Error>) -> T {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Locked => {
                std::thread::sleep(Duration::from_millis(1));
            }
            result => return result.unwrap(),
        }
    }
}

#[test]
fn many_processes_meet_only_whole_blocks() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return work(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &options()).unwrap();
    let folder = folder.path().join("store");
    let mut images = Vec::new();
    for image in ["image:1", "image:2"] {
        let making = store.make(image, ((BLOCKS + 1) * BLOCK) as u64, Replace::Refuse).unwrap();
        making.volume().write_at(0, &manifest(&[[0, 0]; BLOCKS])).unwrap();
        for address in 1..=BLOCKS {
            let bytes = block(address, [0, 0]);
            making.volume().write_at((address * BLOCK) as u64, &bytes).unwrap();
        }
        images.push(making.finish(&Default::default()).unwrap().layer_id());
    }
    let start =
        |seed| spawn("many_processes::many_processes_meet_only_whole_blocks", &folder, seed);
    let mut workers: Vec<Child> = (0..WORKERS).map(start).collect();
    // Two more are killed all the time.
    let mut random = Random::new(77);
    let mut kills = 0;
    let mut doomed = [start(100), start(101)];
    let end = Instant::now() + Duration::from_secs(SECONDS * factor() as u64);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(random.below(150)));
        let one = &mut doomed[random.below(2) as usize];
        assert_eq!(one.try_wait().unwrap(), None, "it ends only when it is killed");
        one.kill().unwrap();
        one.wait().unwrap();
        kills += 1;
        *one = start(200 + kills);
    }
    for mut child in doomed {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut lives = 0;
    for worker in workers.drain(..) {
        let output = worker.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        let lived = said.lines().find_map(|line| line.split("lives: ").nth(1)).unwrap();
        lives += lived.parse::<u64>().unwrap();
    }
    println!("{lives} forks lived in {WORKERS} processes beside {kills} kills");
    assert!(lives >= WORKERS && kills > 10, "{lives} forks, {kills} kills");

    expect_sound(&folder, "once all have ended");
    for entry in store.names().unwrap() {
        let name = entry.name;
        // One that was killed before its first flush has left a name and nothing else.
        let seen = store.snapshot_of(&name).unwrap();
        read_marks(&name, |at, bytes| seen.read_at(at, bytes)).unwrap();
        if !name.contains(':') {
            let volume = once_free(|| store.open_volume(&name));
            read_marks(&name, |at, bytes| volume.read_at(at, bytes)).unwrap();
            volume.close().unwrap();
            once_free(|| store.remove(&name));
        } else if !name.starts_with("image") {
            store.remove(&name).unwrap();
        }
    }
    // Who was killed in the middle of a snapshot may have frozen it before a name led there: it is
    // kept like any other that nobody removed.
    for layer in store.layers().unwrap() {
        let is_frozen = layer.state == LayerState::Frozen;
        if is_frozen && !layer.removed && !images.contains(&layer.id) {
            store.remove(&layer.id.to_string()).unwrap();
        }
    }
    store.collect(&GcOptions::default()).unwrap();
    expect_sound(&folder, "once all is collected");
    assert_eq!(store.layers().unwrap().len(), 2, "only the two images are left");
}

/// Opens the volume whenever nobody else has it, and counts in it.
fn count(folder: &Path) {
    let store = Store::open(folder.join("store"), &options()).unwrap();
    let (own, owner) = (std::process::id().to_string(), folder.join("owner"));
    let mut out = std::io::stdout();
    loop {
        let volume = match store.open_volume("disk") {
            Ok(volume) => volume,
            Err(error) if error.kind() == ErrorKind::Locked => {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        std::fs::write(&owner, &own).unwrap();
        let mut bytes = [0; 8];
        volume.read_at(0, &mut bytes).unwrap();
        let next = u64::from_le_bytes(bytes) + 1;
        volume.write_at(0, &next.to_le_bytes()).unwrap();
        volume.flush().unwrap();
        let owner = std::fs::read_to_string(&owner).unwrap();
        assert_eq!(owner, own, "another one has the volume open at the same time");
        writeln!(out, "counted: {next}").unwrap();
        drop(volume);
    }
}

/// There is one writer at a time, and the death of one lets the next one in: nothing that was
/// acknowledged is counted twice or lost.
#[test]
fn a_volume_has_one_writer_until_it_dies() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return count(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &options()).unwrap();
    store.create_volume("disk", 1 << 16).unwrap().close().unwrap();
    let start =
        |seed| spawn("many_processes::a_volume_has_one_writer_until_it_dies", folder.path(), seed);
    let mut random = Random::new(5);
    let mut workers: Vec<Child> = (0..8).map(start).collect();
    let mut counted = BTreeSet::new();
    let mut kills = 0;
    let end = Instant::now() + Duration::from_secs(4 * factor() as u64);
    while !workers.is_empty() {
        std::thread::sleep(Duration::from_millis(random.below(40)));
        let at = random.below(workers.len() as u64) as usize;
        assert_eq!(workers[at].try_wait().unwrap(), None, "it ends only when it is killed");
        workers[at].kill().unwrap();
        let mut ended = match Instant::now() < end {
            true => std::mem::replace(&mut workers[at], start(kills)),
            false => workers.swap_remove(at),
        };
        kills += 1;
        for line in BufReader::new(ended.stdout.take().unwrap()).lines() {
            let Some(number) = line.unwrap().split("counted: ").nth(1).map(str::to_owned) else {
                continue;
            };
            assert!(counted.insert(number.parse::<u64>().unwrap()), "{number} counted twice");
        }
        ended.wait().unwrap();
    }
    let volume = store.open_volume("disk").unwrap();
    let mut bytes = [0; 8];
    volume.read_at(0, &mut bytes).unwrap();
    let last = u64::from_le_bytes(bytes);
    let acknowledged = counted.len() as u64;
    println!("{acknowledged} commits by 8 processes through {kills} kills, {last} in all");
    // Each kill may have hit one between its commit and its word.
    assert!(counted.last().is_some_and(|most| *most <= last), "{counted:?}, {last}");
    assert!(acknowledged <= last && last <= acknowledged + kills, "{acknowledged}, {last}");
    assert!(acknowledged > 8 && kills > 8, "{acknowledged} commits, {kills} kills");
}

const OPENING_FOLDER: &str = "SAPWOOD_TEST_OPENING_FOLDER";
const OPENING_TIMES: &str = "SAPWOOD_TEST_OPENING_TIMES";
/// So many processes open one volume, each so often.
const OPENERS: u64 = 8;
const OPENS: u64 = 50;

/// Opens a volume to count up what it holds, so many times; says after each what it counted to.
fn open_again_and_again(folder: &Path, times: u64) {
    let store = Store::open(folder, &StoreOptions::default()).unwrap();
    let mut done = 0;
    while done < times {
        match store.open_volume("counter") {
            Ok(volume) => {
                let mut bytes = [0; 8];
                volume.read_at(0, &mut bytes).unwrap();
                let count = u64::from_le_bytes(bytes) + 1;
                volume.write_at(0, &count.to_le_bytes()).unwrap();
                volume.flush().unwrap();
                println!("\ncounted {count}");
                std::io::stdout().flush().unwrap();
                done += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

/// What one process and those in its place counted to; how many of them were killed.
fn openers(folder: &Path, seed: u64) -> (Vec<u64>, u64) {
    let mut random = Random::new(seed);
    let (mut counted, mut killed, mut left) = (Vec::new(), 0, OPENS);
    while left > 0 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "many_processes::a_volume_that_many_open_has_one_writer_at_a_time"])
            .arg("--nocapture")
            .env(OPENING_FOLDER, folder)
            .env(OPENING_TIMES, left.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let doomed_after = 1 + random.below(OPENS / 3);
        let mut lines = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(count) = line.strip_prefix("counted ") else { continue };
            counted.push(count.parse().unwrap());
            lines += 1;
            if lines == doomed_after {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert!(status.success() || lines >= doomed_after, "{status}");
        killed += u64::from(!status.success());
        left -= lines.min(left);
    }
    (counted, killed)
}

/// A lock goes with who held it, by a kill as well, and never to two: no count is given twice, and
/// none that was acknowledged is lost.
#[test]
fn a_volume_that_many_open_has_one_writer_at_a_time() {
    if let Some(folder) = std::env::var_os(OPENING_FOLDER) {
        let times = std::env::var(OPENING_TIMES).unwrap().parse().unwrap();
        return open_again_and_again(Path::new(&folder), times);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = Store::create(&path, &StoreOptions::default()).unwrap();
    store.create_volume("counter", BLOCK as u64).unwrap().close().unwrap();
    let found: Vec<(Vec<u64>, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..OPENERS)
            .map(|seed| {
                scope.spawn({
                    let path = &path;
                    move || openers(path, seed)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let killed: u64 = found.iter().map(|(_, killed)| killed).sum();
    let mut counted: Vec<u64> = found.into_iter().flat_map(|(counted, _)| counted).collect();
    let opened = counted.len() as u64;
    println!("{opened} opens, {killed} kills");
    counted.sort_unstable();
    assert!(counted.windows(2).all(|pair| pair[0] < pair[1]), "two counted to the same number");
    let mut bytes = [0; 8];
    store.open_volume("counter").unwrap().read_at(0, &mut bytes).unwrap();
    let last = u64::from_le_bytes(bytes);
    // Of those that were killed, each may have counted once without having said so.
    assert!(counted.last().is_some_and(|count| *count <= last), "an acknowledged count is lost");
    assert!(
        (opened..=opened + killed).contains(&last),
        "{opened} counts and {killed} kills: {last}"
    );
    assert!(killed >= OPENERS, "{killed}");
}
