//! Trees of files through the library, without a mount, beside the host's own files.
//!
//! Each row: ours, the baseline in the same run, how many times as fast or as small as that we
//! are, and the bar. Times are wall clock, medians of turns; baselines are on the file system of
//! the target directory, in the same state of the caches. Words behind `--` choose groups of rows:
//! `names`, `contents`, `forks`, `trees`, `scale`.

mod contents;
mod forks;
mod names;
mod scale;
mod table;
mod trees;

use std::path::{Path, PathBuf};

use sapwood::files::{Files, FilesOptions};
use sapwood::store::{Store, StoreOptions};
use sapwood_benches::is_quick;

/// Where a bench works: a store, and a directory of the host beside it.
pub struct Place {
    /// The store.
    pub store: Store,
    /// A directory of the host.
    pub host: PathBuf,
}

impl Place {
    fn new(folder: &Path) -> Place {
        let host = folder.join("host");
        std::fs::create_dir(&host).unwrap();
        let store = Store::create(folder.join("store"), &StoreOptions::default()).unwrap();
        Place { store, host }
    }

    /// A tree of its own.
    fn tree(&self, name: &str) -> Files {
        Files::open(self.store.create_tree(name).unwrap(), FilesOptions::default()).unwrap()
    }
}

fn main() {
    if scale::is_child() {
        return scale::run_child();
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let place = Place::new(folder.path());
    let quick = is_quick();
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |rows: &str| wanted.is_empty() || wanted.iter().any(|word| word == rows);
    table::heading();
    if is_wanted("names") {
        names::small_files(&place, if quick { 200 } else { 2000 }, if quick { 2 } else { 5 });
        names::missing(&place, if quick { 4 } else { 128 }, if quick { 500 } else { 20_000 });
    }
    if is_wanted("contents") {
        contents::sequential(&place, if quick { 8 << 20 } else { 256 << 20 });
        contents::random_writes(&place, if quick { 8 << 20 } else { 256 << 20 });
        contents::write_and_flush(&place, if quick { 20 } else { 500 });
    }
    if is_wanted("forks") {
        forks::snapshots(&place, if quick { 100 } else { 1000 });
        forks::changed_owners(&place, if quick { 500 } else { 20_000 });
        forks::first_write(&place, if quick { 16 << 20 } else { 1 << 30 });
    }
    if is_wanted("trees") {
        trees::import(&place, folder.path(), quick);
    }
    if is_wanted("scale") {
        scale::few_and_many(folder.path(), if quick { [500, 5000] } else { [10_000, 1_000_000] });
    }
}
