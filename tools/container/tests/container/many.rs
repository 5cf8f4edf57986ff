//! A thousand containers of one image, all open at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sapwood::files::{Files, FilesOptions, Paths, ReadFiles};
use sapwood::{Annotations, GcOptions, Replace, Store};
use sapwood_container::{Commit, NewContainer, Sealing, Settings, commit, create, list, remove};
use tempfile::TempDir;

use crate::support::Stand;

const CONTAINERS: usize = 1000;
/// Of these images are made.
const COMMITS: usize = 10;
const AT_ONCE: usize = 16;

const ROOM_BYTES: u64 = 1 << 30;
const LARGE: &str = "/data/large";
const LARGE_BYTES: u64 = 64 << 20;
const BLOCK_BYTES: u64 = 4096;

// What one container may take: of the disk, of memory, of the process's descriptors and maps.
const DISK_BYTES_MAX: u64 = 96 << 10;
const MEMORY_BYTES_MAX: u64 = 256 << 10;
const DESCRIPTORS_MAX: usize = 3;
const MAPS_MAX: usize = 2;

/// They see what is theirs and the image, and nothing of each other. Of the image there is one copy,
/// on the disk and in memory; when they have gone, the store is what it was.
#[test]
fn a_thousand_containers_of_an_image_share_its_blocks_and_its_memory() {
    allow_descriptors(CONTAINERS * DESCRIPTORS_MAX + 1000);
    let stand = Stand::in_folder(roomy_folder(), with_large_file);
    let store = &stand.store;
    store.remove("base").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    let layers = store.path().join("layers");
    let before = (allocated(&layers), Usage::now());

    let image = store.snapshot_of("base:1").unwrap();
    each(|number| {
        let name = name(number);
        let settings = Settings { command: vec!["true".to_owned()], ..Settings::default() };
        let new = NewContainer {
            name: Some(&name),
            image: "base:1",
            snapshot: &image,
            configuration: None,
            settings: &settings,
        };
        create(store, &new).unwrap().close().unwrap();
    });
    let all: Vec<Files> = (0..CONTAINERS).map(|number| open(store, &name(number))).collect();
    each(|number| {
        let files = &all[number];
        Paths::new(files).write("/own", &block(number)).unwrap();
        let large = Paths::new(files).resolve(LARGE).unwrap();
        files.write(large, place(number), &block(number)).unwrap();
        files.flush().unwrap();
    });
    each(|number| {
        let files = &all[number];
        assert_eq!(Paths::new(files).read("/own").unwrap(), block(number));
        let large = Paths::new(files).resolve(LARGE).unwrap();
        let read = |offset| {
            let mut found = vec![0; BLOCK_BYTES as usize];
            files.read(large, offset, &mut found).unwrap();
            found
        };
        assert_eq!(read(place(number)), block(number));
        // Where its neighbours wrote, and all over the file: what the image has.
        let others = (1..=20).map(|step| place((number + step * 47) % CONTAINERS));
        others.for_each(|offset| assert!(read(offset) == of_image(offset), "{number}: {offset}"));
    });

    let now = (allocated(&layers), Usage::now());
    let of_one = |before: u64, now: u64| now.saturating_sub(before) / CONTAINERS as u64;
    let disk = of_one(before.0.values().sum(), now.0.values().sum());
    let memory = of_one(before.1.memory_bytes, now.1.memory_bytes);
    println!("a container: {disk} bytes of disk, {memory} bytes of memory");
    assert!(disk <= DISK_BYTES_MAX, "{disk} bytes of disk each");
    assert!(memory <= MEMORY_BYTES_MAX, "{memory} bytes of memory each");
    let descriptors = now.1.descriptors.saturating_sub(before.1.descriptors);
    assert!(descriptors <= CONTAINERS * DESCRIPTORS_MAX + 100, "{descriptors} descriptors");
    // One map of the image's file, whoever reads it: its pages are in memory once.
    let file = layers.join(format!("{}.layer", image.layer_id()));
    let maps = maps_of(&file);
    assert!((1..=MAPS_MAX).contains(&maps), "{maps} maps of {}", file.display());

    drop(image);
    all.into_iter().for_each(|files| files.close().unwrap());
    assert_eq!(list(store).unwrap().len(), CONTAINERS);
    for number in 0..COMMITS {
        let tag = format!("image:{number}");
        let new = Commit {
            tag: &tag,
            replace: Replace::Refuse,
            annotations: &Annotations::default(),
            created: "2026-01-02T03:04:05Z",
            author: None,
            sealing: Sealing::Leave,
            change: &|_| Ok(()),
        };
        commit(store, &name(number), &new).unwrap();
    }
    each(|number| drop(remove(store, &name(number)).unwrap()));
    store.collect(&GcOptions::default()).unwrap();
    for number in 0..COMMITS {
        let tag = format!("image:{number}");
        let view = sapwood::files::FilesView::open(store.snapshot_of(&tag).unwrap()).unwrap();
        assert_eq!(Paths::new(&view).read("/own").unwrap(), block(number));
        drop(view);
        store.remove(&tag).unwrap();
    }
    store.collect(&GcOptions::default()).unwrap();
    assert_eq!(allocated(&layers), before.0);
    assert!(list(store).unwrap().is_empty());
}

/// In memory where there is room: ten thousand syncs are not what is looked at here.
fn roomy_folder() -> TempDir {
    let room = statvfs("/dev/shm").map_or(0, |found| found.f_bavail * found.f_frsize);
    match room {
        0..ROOM_BYTES => tempfile::tempdir().unwrap(),
        _ => tempfile::tempdir_in("/dev/shm").unwrap(),
    }
}

/// Does something for each container, for several at once: the disk syncs them together.
fn each(work: impl Fn(usize) + Sync) {
    crate::each::each(CONTAINERS, AT_ONCE, work);
}

fn with_large_file(files: &Files) {
    let paths = Paths::new(files);
    paths.create_dir("/data").unwrap();
    paths.write(LARGE, b"").unwrap();
    let large = paths.resolve(LARGE).unwrap();
    for offset in (0..LARGE_BYTES).step_by(BLOCK_BYTES as usize) {
        files.write(large, offset, &of_image(offset)).unwrap();
    }
}

fn open(store: &Store, name: &str) -> Files {
    Files::open(store.open_volume(name).unwrap(), FilesOptions::default()).unwrap()
}

fn name(number: usize) -> String {
    format!("container-{number}")
}

/// Where a container writes into the large file.
fn place(number: usize) -> u64 {
    number as u64 * 16 * BLOCK_BYTES
}

/// What it writes.
fn block(number: usize) -> Vec<u8> {
    format!("container {number:>6}.").repeat(BLOCK_BYTES as usize / 17 + 1).into_bytes()
        [..BLOCK_BYTES as usize]
        .to_vec()
}

/// What the image has there.
fn of_image(offset: u64) -> Vec<u8> {
    (offset | 1).to_le_bytes().repeat(BLOCK_BYTES as usize / 8)
}

/// The files of a folder, with what the host has allocated for each.
fn allocated(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, entry.metadata().unwrap().blocks() * 512)
    };
    entries.map(file).collect()
}

/// What this process takes of the machine.
struct Usage {
    memory_bytes: u64,
    descriptors: usize,
}

impl Usage {
    fn now() -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        Usage { memory_bytes: kib * 1024, descriptors }
    }
}

fn maps_of(file: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let file = file.to_str().unwrap();
    maps.lines().filter(|line| line.ends_with(file)).count()
}

/// Other tests run beside this one, and the usual limit is 1,024.
fn allow_descriptors(count: usize) {
    let limit = getrlimit(Resource::Nofile);
    let count = count as u64;
    let maximum = limit.maximum;
    assert!(maximum.is_none_or(|most| most >= count), "{count} descriptors, {maximum:?} allowed");
    let current = limit.current.map(|current| current.max(count));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}
