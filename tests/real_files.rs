//! Real files: the kernel made to interrupt the calls of their medium, and files cut while they are mapped.

use std::io::IoSlice;
use std::path::Path;
use std::process::Command;

use sapwood::medium::{FileHost, Host, LockMode, LockWait, Network, OpenMode};
use sapwood::testing::Random;
use sapwood::{Annotations, BlockAddress, ErrorKind, MapPolicy, ReadPolicy, Replace, Store};
use sapwood::{Result, StoreOptions};

const FOLDER: &str = "SAPWOOD_TEST_INTERRUPTED_FOLDER";
const SYNC_IS_INTERRUPTED: i32 = 42;

/// Every call that can be interrupted, in a process whose calls are.
fn use_a_file(folder: &Path) {
    let host = FileHost::open_root(folder, Network::Allow).unwrap();
    let file = host.open(Path::new("file"), OpenMode::OpenOrCreate).unwrap();
    assert_eq!(host.facts(Path::new("file")).unwrap(), file.facts().unwrap());
    assert!(file.lock(LockMode::Exclusive, LockWait::Block).unwrap());
    file.set_length(1 << 16).unwrap();
    file.allocate(0, 1 << 17).unwrap();
    file.write_at(0, &[1; 5000]).unwrap();
    file.write_vectored_at(5000, &[IoSlice::new(&[2; 100]), IoSlice::new(&[3; 100])]).unwrap();
    file.start_writeback(0, 1 << 17).unwrap();
    if file.sync().is_err() {
        std::process::exit(SYNC_IS_INTERRUPTED);
    }
    let mut bytes = [0; 5200];
    for _ in 0..2 {
        file.read_at(0, &mut bytes).unwrap();
        assert!(bytes == [[1; 5000].as_slice(), &[2; 100], &[3; 100]].concat()[..]);
        file.read_uncached_at(0, &mut bytes).unwrap();
    }
    file.punch(0, 4096).unwrap();
    file.unlock().unwrap();
}

#[test]
fn interrupted_calls_are_made_again_but_a_sync_is_not() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return use_a_file(Path::new(&folder));
    }
    let traces = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !traces.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: strace is not installed, or may not trace here");
        return;
    }
    let run = |calls: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, []).unwrap();
        let trace = folder.path().join("trace");
        let status = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&trace)
            .args(["-P".as_ref(), file.as_os_str()])
            .args(["-e", &format!("inject={calls}:error=EINTR:when=1+2")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "real_files::interrupted_calls_are_made_again_but_a_sync_is_not"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap()
            .status;
        (status.code(), std::fs::read_to_string(trace).unwrap())
    };
    let retried =
        ["pwrite64", "pwritev", "pread64", "fallocate", "ftruncate", "flock", "sync_file_range"];
    let (code, trace) = run(&retried.join(","));
    assert_eq!(code, Some(0), "{trace}");
    for call in retried {
        let interrupted = |line: &str| line.contains(call) && line.contains("(INJECTED)");
        assert!(trace.lines().any(interrupted), "{call} was not interrupted:\n{trace}");
    }
    let (code, trace) = run("fdatasync");
    assert_eq!(code, Some(SYNC_IS_INTERRUPTED), "{trace}");
    assert_eq!(trace.matches("fdatasync(").count(), 1, "asked once:\n{trace}");
}

/// Pages of a map that the host has lost read as zeros, of metadata too: a look-up once took the
/// zeros for numbers of extents, and panicked.
#[test]
fn a_layer_that_is_cut_while_it_is_mapped_is_an_error_wherever_that_is() {
    const BLOCK: u64 = 4096;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut options = StoreOptions::default();
    options.volume.read = ReadPolicy { map: MapPolicy::Guarded, ..options.volume.read };
    let store = Store::create(&path, &options).unwrap();
    // Extents in several of the parts of the address space that a map keeps apart, and many in one.
    let volume = store.create_volume("disk", 64 << 40).unwrap();
    let mut random = Random::new(5);
    let mut blocks: Vec<u64> = (0..1500).map(|_| random.below(1 << 20) * 2).collect();
    blocks.extend((0..50).map(|_| random.below(1 << 34)));
    blocks.sort_unstable();
    blocks.dedup();
    for &block in &blocks {
        volume.write_at(block * BLOCK, &block.to_le_bytes()).unwrap();
    }
    let layer = volume.snapshot(&Annotations::default()).unwrap().layer_id();
    store.tag("disk@1", "base:1", Replace::Refuse).unwrap();
    volume.close().unwrap();
    drop(store);
    let layer = path.join(format!("layers/{layer}.layer"));
    let whole = std::fs::read(&layer).unwrap();
    let pages = whole.len() as u64 / BLOCK;
    let metadata = pages - blocks.len() as u64;
    assert!(metadata > 10, "{metadata} pages");
    let mut failed = 0;
    for cut in (0..pages).filter(|cut| cut % 97 == 0 || pages - cut <= metadata) {
        std::fs::write(&layer, &whole).unwrap();
        let store = Store::open(&path, &options).unwrap();
        let snapshot = store.snapshot_of("base:1").unwrap();
        let read = |block: u64| -> Result<()> {
            let mut bytes = [0; 8];
            snapshot.read_at(block * BLOCK, &mut bytes)?;
            assert_eq!(u64::from_le_bytes(bytes), block, "cut at page {cut}");
            Ok(())
        };
        blocks.iter().try_for_each(|&block| read(block)).unwrap();
        std::fs::File::options().write(true).open(&layer).unwrap().set_len(cut * BLOCK).unwrap();
        let end = BlockAddress((64 << 40) / BLOCK);
        let walked = snapshot.extents(BlockAddress(0), end).collect::<Result<Vec<_>>>().map(drop);
        for outcome in blocks.iter().map(|&block| read(block)).chain([walked]) {
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Unreadable, "cut at page {cut}: {error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 1000, "{failed}");
}
