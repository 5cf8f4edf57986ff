//! A process that may open few files, and one that may start no thread.

use std::process::Command;
use std::sync::Arc;

use sapwood::inspect::{CheckOptions, check};
use sapwood::medium::{FileHost, Host, Network};
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};

const FOLDER: &str = "SAPWOOD_TEST_LIMITED_FOLDER";
const OPEN_FILES: u64 = 64;
const LAYERS: u64 = 150;
const BLOCK: u64 = 4096;

/// A chain of many more layers than files may be open, none of which an index covers, and forks
/// of its middle: everything that can be done with them.
fn use_a_store(folder: &std::path::Path) {
    let store = Store::create(folder.join("store"), &StoreOptions::default()).unwrap();
    let volume = store.create_volume("disk", LAYERS * BLOCK).unwrap();
    for layer in 0..LAYERS {
        volume.write_at(layer * BLOCK, &[layer as u8 + 1; BLOCK as usize]).unwrap();
        volume.snapshot(&Default::default()).unwrap();
        if layer % 10 == 0 {
            store.tag("disk@1", &format!("tag:{layer}"), Replace::Refuse).unwrap();
            drop(store.fork("disk@1", &format!("fork-{layer}")).unwrap());
        }
    }
    volume.close().unwrap();
    drop(store);
    for index in std::fs::read_dir(folder.join("store/index")).unwrap() {
        std::fs::remove_file(index.unwrap().path()).unwrap();
    }
    let store = Store::open(folder.join("store"), &StoreOptions::default()).unwrap();
    let expect_all = |read: &dyn Fn(u64, &mut [u8])| {
        for layer in 0..LAYERS {
            let mut bytes = [0; BLOCK as usize];
            read(layer * BLOCK, &mut bytes);
            assert!(bytes.iter().all(|byte| *byte == layer as u8 + 1), "block {layer}");
        }
    };
    let seen = store.snapshot_of("disk").unwrap();
    expect_all(&|at, bytes| seen.read_at(at, bytes).unwrap());
    drop(seen);
    let volume = store.open_volume("disk").unwrap();
    expect_all(&|at, bytes| volume.read_at(at, bytes).unwrap());
    volume.close().unwrap();
    store.seal("tag:140").unwrap();
    store.flatten("tag:140", "flat:1", &mut |_| ()).unwrap();
    assert_eq!(store.usage_of_names().unwrap().names.len(), 32);
    assert_eq!(store.lineage("disk").unwrap().len() as u64, LAYERS + 1);
    store.remove("disk@5").unwrap();
    store.remove("fork-100").unwrap();
    store.collect(&GcOptions::default()).unwrap();
    expect_sound(&folder.join("store"));
}

fn expect_sound(store: &std::path::Path) {
    let host: Arc<dyn Host> = Arc::new(FileHost::open_root(store, Network::Refuse).unwrap());
    let report = check(&host, "".as_ref(), &CheckOptions { data: true }, &mut |_| ()).unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[test]
fn a_process_with_64_open_files_can_use_a_chain_of_many_more() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return use_a_store(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -n {OPEN_FILES} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "limits::a_process_with_64_open_files_can_use_a_chain_of_many_more"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

const THREADLESS: &str = "SAPWOOD_TEST_THREADLESS_FOLDER";
const THREADLESS_TEST: &str = "limits::a_process_that_may_start_no_thread_does_all_on_its_own";

/// All that is spread over threads where there are some: names by the hundred, levels merged beside
/// snapshots, digests, and a check of data.
fn use_a_store_alone(folder: &std::path::Path) {
    let started = std::thread::Builder::new().spawn(|| ());
    assert!(started.is_err(), "a thread was started");
    let store = Store::create(folder.join("store"), &StoreOptions::default()).unwrap();
    let volume = store.create_volume("disk", 64 << 20).unwrap();
    for snapshot in 0..40 {
        for block in 0..64 {
            volume.write_at((block * 40 + snapshot) * BLOCK, &[snapshot as u8 + 1; 4096]).unwrap();
        }
        volume.snapshot(&Default::default()).unwrap();
    }
    volume.close().unwrap();
    for fork in 0..300 {
        drop(store.fork("disk@1", &format!("fork-{fork}")).unwrap());
    }
    assert_eq!(store.names().unwrap().len(), 301);
    store.seal("disk@1").unwrap();
    let flat = store.flatten("disk@1", "flat:1", &mut |_| ()).unwrap();
    let mut byte = [0];
    flat.read_at(39 * BLOCK, &mut byte).unwrap();
    assert_eq!(byte, [40]);
    store.collect(&GcOptions::default()).unwrap();
    expect_sound(&folder.join("store"));
}

/// Where a user or a control group had no thread left, the first work on all cores once ended the
/// process of whoever had linked the library.
#[test]
fn a_process_that_may_start_no_thread_does_all_on_its_own() {
    if let Some(folder) = std::env::var_os(THREADLESS) {
        return use_a_store_alone(folder.as_ref());
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Root is not bound by limits of processes, so the kernel's answer is given for it.
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=?clone,?clone3"])
        .args(["-e", "inject=?clone,?clone3:error=EAGAIN"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", THREADLESS_TEST, "--test-threads=1"])
        .env(THREADLESS, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}
