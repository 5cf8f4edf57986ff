//! Stores of other versions: one that this version once wrote is read for ever, and a file with
//! features that are not known here is refused, read only, or used, as its three masks say.
//!
//! `golden/version-1` is a store as [`workloads::of_every_kind`] left it, byte for byte; it is never
//! made again. A version that writes another form gets a folder of its own beside it, which
//! `SAPWOOD_TEST_GOLDEN=FOLDER cargo test -p sapwood-tests versions` makes. `golden/version-1-tree`
//! holds a tree in the same way (`trees/golden.rs`).

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::format::{Features, Header};
use sapwood::inspect::{CheckOptions, check};
use sapwood::medium::{FileHost, Host, Network};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::{Error, ErrorKind, LayerState};

use crate::harness::expect::Expectation;
use crate::harness::step::Step;
use crate::harness::store::StoreSubject;
use crate::harness::{Observed, Subject, workloads};

/// The folders of a store, which may hold nothing.
const FOLDERS: [&str; 4] = ["layers", "names", "index", "digests"];
const SLOTS: [u64; 2] = [0, 4096];
/// A feature that nobody knows.
const UNKNOWN: u64 = 1 << 40;

/// A copy of the golden store; it goes with the first part.
fn copy() -> (tempfile::TempDir, Arc<dyn Host>) {
    copy_of("version-1")
}

/// A copy of a store in `golden`.
pub fn copy_of(name: &str) -> (tempfile::TempDir, Arc<dyn Host>) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let copy = tempfile::tempdir().unwrap();
    for folder in FOLDERS {
        fs::create_dir(copy.path().join(folder)).unwrap();
    }
    for folder in FOLDERS.iter().chain(&[""]) {
        let Ok(entries) = fs::read_dir(golden.join(folder)) else { continue };
        for entry in entries.map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let to = copy.path().join(folder).join(entry.file_name());
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let host = Arc::new(FileHost::open_root(copy.path(), Network::Allow).unwrap());
    (copy, host)
}

/// What the golden store holds, by the plain model.
fn expected() -> Observed {
    let mut expectation = Expectation::default();
    for step in &workloads::of_every_kind() {
        expectation.perform(step);
    }
    expectation.current.observed()
}

/// That a check of all there is finds nothing.
pub fn expect_sound(host: &Arc<dyn Host>) {
    let report = check(host, Path::new(""), &CheckOptions { data: true }, &mut |_| ()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_store_that_version_1_wrote_is_read_and_written() {
    if let Some(folder) = std::env::var_os("SAPWOOD_TEST_GOLDEN") {
        fs::create_dir(&folder).unwrap();
        let host = FileHost::open_root(Path::new(&folder), Network::Allow).unwrap();
        let mut subject = StoreSubject::create(Arc::new(host)).unwrap();
        for step in &workloads::of_every_kind() {
            subject.perform(step).unwrap();
        }
        return subject.close().unwrap();
    }
    let (_folder, host) = copy();
    expect_sound(&host);
    assert!(StoreSubject::look(host.clone()).unwrap() == expected(), "somebody looks in");
    let mut subject = StoreSubject::open(host.clone()).unwrap();
    assert!(subject.observe().unwrap() == expected(), "a writer opens it");
    let write = Step::Write { volume: "disk".to_owned(), block: 1, blocks: 2, value: 99 };
    let snapshot = Step::Snapshot { volume: "disk".to_owned(), tag: "now:1".to_owned() };
    for step in [write, snapshot, Step::Collect, Step::Reopen] {
        subject.perform(&step).unwrap();
    }
    subject.close().unwrap();
    expect_sound(&host);
}

/// The files of layers in this state.
fn layers(folder: &Path, state: LayerState) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join("layers")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    files.filter(|path| header(path).state == state).collect()
}

fn header(path: &Path) -> Header {
    let mut page = [0; 4096];
    fs::File::open(path).unwrap().read_exact_at(&mut page, SLOTS[0]).unwrap();
    Header::decode(&page, 0).unwrap()
}

/// Adds features to a layer file, as a later version would have written them.
fn add_features(path: &Path, features: Features) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    for (slot, at) in (0..).zip(SLOTS) {
        let mut page = [0; 4096];
        file.read_exact_at(&mut page, at).unwrap();
        // A header that this version does not take is none that it can write.
        let changed = Header { features, ..Header::decode(&page, slot).unwrap() };
        file.write_all_at(&changed.encode(slot), at).unwrap();
    }
}

fn open(host: &Arc<dyn Host>) -> Store {
    Store::open_on(host.clone(), &StoreOptions::default()).unwrap()
}

fn expect_refused<T>(result: Result<T, Error>, path: &Path, field: &str) {
    let Err(error) = result else { panic!("{field} that nobody knows are used") };
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let text = error.to_string();
    for told in [path.file_name().unwrap().to_str().unwrap(), field, "0x10000000000"] {
        assert!(text.contains(told), "{told} is missing in: {text}");
    }
}

#[test]
fn incompatible_features_are_refused_by_name() {
    for state in [LayerState::Open, LayerState::Frozen] {
        for number in 0.. {
            let (folder, host) = copy();
            let Some(path) = layers(folder.path(), state).into_iter().nth(number) else { break };
            let id = header(&path).layer.to_string();
            add_features(&path, Features { incompatible: UNKNOWN, ..Features::default() });
            let store = open(&host);
            expect_refused(store.resolve(&id).and_then(|_| store.layers()), &path, "incompatible");
            expect_refused(store.collect(&Default::default()), &path, "incompatible");
            if state == LayerState::Open {
                let names = store.names().unwrap();
                let of_it = names.iter().find(|entry| entry.top.to_string() == id).unwrap();
                expect_refused(store.open_volume(&of_it.name), &path, "incompatible");
                expect_refused(store.snapshot_of(&of_it.name), &path, "incompatible");
            }
        }
    }
}

#[test]
fn read_only_compatible_features_are_read_and_not_written() {
    let (folder, host) = copy();
    let features = Features { read_only_compatible: UNKNOWN, ..Features::default() };
    for path in layers(folder.path(), LayerState::Open) {
        add_features(&path, features);
    }
    let before: Vec<_> = layers(folder.path(), LayerState::Open)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(StoreSubject::look(host.clone()).unwrap() == expected(), "somebody looks in");
    let store = open(&host);
    for path in layers(folder.path(), LayerState::Open) {
        let id = header(&path).layer;
        let names = store.names().unwrap();
        let of_it = names.iter().find(|entry| entry.top == id).unwrap();
        expect_refused(store.open_volume(&of_it.name), &path, "read-only compatible");
    }
    let after: Vec<_> = layers(folder.path(), LayerState::Open)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(before == after, "a refusal has written");
}

/// Removing, sealing and thinning once wrote to such layers, which were only refused where open.
#[test]
fn frozen_layers_with_read_only_compatible_features_are_not_written() {
    let (folder, host) = copy();
    let store = open(&host);
    let id = store.resolve("base:1").unwrap().layer.to_string();
    store.remove("base:1").unwrap();
    store.remove(&id).unwrap();
    let dry = GcOptions { dry_run: true };
    assert!(!store.collect(&dry).unwrap().thinned.is_empty(), "nobody sees all of it");
    let paths = layers(folder.path(), LayerState::Frozen);
    let features = Features { read_only_compatible: UNKNOWN, ..Features::default() };
    paths.iter().for_each(|path| add_features(path, features));
    let read = || paths.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let before = read();
    let store = open(&host);
    assert!(store.collect(&GcOptions::default()).unwrap().thinned.is_empty());
    let below = store.resolve("image:1@1").unwrap().layer;
    let path = folder.path().join(format!("layers/{below}.layer"));
    expect_refused(store.seal("image:1"), &path, "read-only compatible");
    expect_refused(store.remove("image:1@1"), &path, "read-only compatible");
    assert!(before == read(), "a refusal has written");
    store.fork("image:1", "fresh").unwrap().close().unwrap();
}

/// A removal once marked the newer layers of a history before one in it refused.
#[test]
fn a_name_goes_with_all_that_it_holds_alone_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let host: Arc<dyn Host> = Arc::new(FileHost::open_root(folder.path(), Network::Allow).unwrap());
    let store = Store::create_on(host.clone(), &StoreOptions::default()).unwrap();
    let volume = store.create_volume("disk", 1 << 20).unwrap();
    drop(volume.snapshot(&Default::default()).unwrap());
    let oldest = volume.parent().unwrap().id;
    drop(volume.snapshot(&Default::default()).unwrap());
    volume.close().unwrap();
    store.tag("disk@1", "image", Replace::Refuse).unwrap();
    store.remove("disk").unwrap();
    let oldest = folder.path().join(format!("layers/{oldest}.layer"));
    add_features(&oldest, Features { read_only_compatible: UNKNOWN, ..Features::default() });
    let frozen = layers(folder.path(), LayerState::Frozen);
    let read = || frozen.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let before = read();
    let store = open(&host);
    expect_refused(store.remove("image"), &oldest, "read-only compatible");
    assert!(before == read(), "a refusal has written");
    // Nothing need be written where something else holds them.
    store.tag("image", "kept", Replace::Refuse).unwrap();
    assert_eq!(store.remove("image").unwrap().snapshots, []);
    assert!(before == read());
}

/// A volume whose top a crash left frozen was once mended before its features were looked at.
#[test]
fn a_frozen_top_is_mended_where_all_of_its_features_are_known() {
    for (read_only_compatible, slots_agree) in [(0, false), (UNKNOWN, true), (UNKNOWN, false)] {
        let folder = tempfile::tempdir().unwrap();
        let host: Arc<dyn Host> =
            Arc::new(FileHost::open_root(folder.path(), Network::Allow).unwrap());
        let store = Store::create_on(host.clone(), &StoreOptions::default()).unwrap();
        let volume = store.create_volume("disk", 1 << 20).unwrap();
        volume.write_at(0, &[7]).unwrap();
        volume.flush().unwrap();
        drop(volume.snapshot(&Default::default()).unwrap());
        drop((volume, store));
        // As if the power had gone before the next top and its name were durable.
        layers(folder.path(), LayerState::Open)
            .iter()
            .for_each(|top| fs::remove_file(top).unwrap());
        for name in fs::read_dir(folder.path().join("names")).unwrap() {
            let name = name.unwrap().path();
            if name.extension().is_some_and(|extension| extension == "fresh") {
                fs::remove_file(name).unwrap();
            }
        }
        let [frozen] = &layers(folder.path(), LayerState::Frozen)[..] else { panic!("one layer") };
        add_features(frozen, Features { read_only_compatible, ..Features::default() });
        if !slots_agree {
            let file = fs::File::options().write(true).open(frozen).unwrap();
            file.write_all_at(&[0; 4096], SLOTS[1]).unwrap();
        }
        let before = fs::read(frozen).unwrap();

        let opened = open(&host).open_volume("disk");
        let is_written = fs::read(frozen).unwrap() != before;
        assert_eq!(is_written, read_only_compatible == 0, "{read_only_compatible:#x}");
        if read_only_compatible != 0 && !slots_agree {
            expect_refused(opened, frozen, "read-only compatible");
            continue;
        }
        let mut byte = [0];
        opened.unwrap().read_at(0, &mut byte).unwrap();
        assert_eq!(byte, [7]);
    }
}

#[test]
fn compatible_features_are_used_and_kept() {
    let (folder, host) = copy();
    let features = Features { compatible: UNKNOWN, ..Features::default() };
    for state in [LayerState::Open, LayerState::Frozen] {
        for path in layers(folder.path(), state) {
            add_features(&path, features);
        }
    }
    let tops = layers(folder.path(), LayerState::Open);
    let mut subject = StoreSubject::open(host.clone()).unwrap();
    assert!(subject.observe().unwrap() == expected(), "a writer opens it");
    let volume = || "disk".to_owned();
    for value in 1..=9 {
        subject.perform(&Step::Write { volume: volume(), block: 1, blocks: 2, value }).unwrap();
        subject.perform(&Step::Flush { volume: volume() }).unwrap();
    }
    subject.perform(&Step::Checkpoint { volume: volume() }).unwrap();
    subject.close().unwrap();
    expect_sound(&host);
    for path in tops {
        assert_eq!(header(&path).features, features, "{}", path.display());
    }
}
