//! Memory that a file asks for and the machine has not is an error, and not the end of the process.
#![expect(unsafe_code, reason = "an allocator is unsafe to write, and this one passes all on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sapwood::{Annotations, ErrorKind, MapPolicy, Result, Store, StoreOptions};

/// What counts as large: more than anything takes that does not grow with what a file says.
const LARGE_BYTES: usize = 64 << 10;
/// Enough of them for a map of several hundred KiB.
const EXTENTS: u64 = 20_000;

/// How many large allocations succeed before one fails.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

struct FailsOnce;

// SAFETY: all is passed on to the system's allocator, and null is what says that there is no memory.
unsafe impl GlobalAlloc for FailsOnce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE_BYTES && LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: FailsOnce = FailsOnce;

/// A store whose disk has a large map in a frozen layer, and one on top that its journal leads to.
fn make(path: &Path) {
    let store = Store::create(path, &StoreOptions::default()).unwrap();
    let volume = store.create_volume("disk", 1 << 30).unwrap();
    for part in 0..2 {
        for number in 0..EXTENTS {
            let address = (2 * number + part) * 4096;
            volume.write_at(address, &number.to_le_bytes().repeat(512)).unwrap();
        }
        match part {
            0 => drop(volume.snapshot(&Annotations::default()).unwrap()),
            _ => volume.flush().unwrap(),
        }
    }
    // Dropped, and not closed: opening it has something to replay.
}

/// The last word of the frozen layer, and that of the volume.
fn read(path: &Path, map: MapPolicy) -> Result<[u64; 2]> {
    let mut options = StoreOptions::default();
    options.volume.read.map = map;
    let store = Store::open(path, &options)?;
    let (mut frozen, mut live) = ([0; 8], [0; 8]);
    store.snapshot_of("disk@1")?.read_at(2 * (EXTENTS - 1) * 4096, &mut frozen)?;
    store.open_volume("disk")?.read_at((2 * EXTENTS - 1) * 4096, &mut live)?;
    Ok([frozen, live].map(u64::from_le_bytes))
}

#[test]
fn each_large_allocation_of_opening_and_reading_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    make(&path);
    for map in [MapPolicy::Map, MapPolicy::Read] {
        let mut failed = 0;
        for fails in 0.. {
            LEFT.store(fails, Ordering::SeqCst);
            let done = read(&path, map);
            let has_failed = LEFT.swap(u64::MAX, Ordering::SeqCst) > fails;
            match done {
                Ok(words) => assert_eq!(words, [EXTENTS - 1; 2]),
                Err(error) => {
                    assert!(has_failed, "{error}");
                    let source = error.io_source().map(io::Error::kind);
                    assert_eq!(source, Some(io::ErrorKind::OutOfMemory), "{error}");
                    assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
                    failed += 1;
                }
            }
            if !has_failed {
                break;
            }
        }
        match map {
            MapPolicy::Read => assert!(failed > 0, "nothing large was asked for"),
            _ => assert_eq!(failed, 0, "what is mapped needs no large memory"),
        }
        assert_eq!(read(&path, map).unwrap(), [EXTENTS - 1; 2], "what failed left nothing behind");
    }
}
