//! Tests of whole stores.

mod collect;
mod crash;
mod damage;
mod derived;
mod descriptors;
mod digest;
mod failures;
mod frame;
mod journal;
mod making;
mod many_layers;
mod names;
mod newer;
mod outside;
mod removals;
mod sharing;
mod space;
mod unnamed;
mod volumes;

use std::path::Path;
use std::sync::Arc;

use crate::chain::Snapshot;
use crate::format::Annotations;
use crate::inspect::{CheckOptions, Severity, check};
use crate::medium::{FileHost, Host, MemoryHost, Network};
use crate::store::{Store, StoreOptions};
use crate::volume::Volume;

/// The size of a block of the stores here.
const BLOCK: usize = 4096;
/// The size of the disks here.
const DISK: u64 = 64 * BLOCK as u64;

fn store_on(host: &Arc<dyn Host>) -> Store {
    Store::create_on(Arc::clone(host), &StoreOptions::default()).unwrap()
}

/// Another handle on the same store, as another process would have.
fn reopened(host: &Arc<dyn Host>) -> Store {
    Store::open_on(Arc::clone(host), &StoreOptions::default()).unwrap()
}

fn memory() -> (Arc<dyn Host>, Store) {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let store = store_on(&host);
    (host, store)
}

/// A store in files; the folder goes with the first part.
fn files() -> (tempfile::TempDir, Arc<dyn Host>, Store) {
    let folder = tempfile::tempdir().unwrap();
    let host: Arc<dyn Host> =
        Arc::new(FileHost::open_root(folder.path(), Network::Refuse).unwrap());
    let store = store_on(&host);
    (folder, host, store)
}

fn fill(volume: &Volume, block: u64, blocks: u64, byte: u8) {
    volume.write_at(block * BLOCK as u64, &vec![byte; blocks as usize * BLOCK]).unwrap();
}

fn freeze(volume: &Volume) -> Snapshot {
    volume.snapshot(&Annotations::default()).unwrap()
}

/// That a check finds nothing wrong, in data as little as elsewhere.
fn expect_no_damage(host: &Arc<dyn Host>) {
    let options = CheckOptions { data: true };
    let report = check(host, Path::new(""), &options, &mut |_| ()).unwrap();
    let damage = report.findings.iter().find(|finding| finding.severity == Severity::Damage);
    assert!(damage.is_none(), "{}", damage.unwrap());
}

/// The byte that fills a block.
fn byte_of(snapshot: &Snapshot, block: u64) -> u8 {
    let mut bytes = vec![0xee; BLOCK];
    snapshot.read_at(block * BLOCK as u64, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a block of one byte");
    bytes[0]
}

/// As [`byte_of`], of a volume.
fn byte_in(volume: &Volume, block: u64) -> u8 {
    let mut bytes = vec![0xee; BLOCK];
    volume.read_at(block * BLOCK as u64, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a block of one byte");
    bytes[0]
}
