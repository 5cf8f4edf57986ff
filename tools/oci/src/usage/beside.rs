//! What a store's folder takes beside its layers.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sapwood::store::Holdings;
use sapwood::{Error, Result, Store};

/// The unit in which the host tells what it has allocated.
const SECTOR_BYTES: u64 = 512;

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    pub indexes: u64,
    pub index_bytes: u64,
    pub other_bytes: u64,
}

/// Measures all files and folders of a store but those of its layers, each once whatever names it
/// has. What is mounted there is not gone into.
pub fn measure(store: &Store, holdings: &Holdings) -> Result<Beside> {
    let root = store.path();
    let mut found = Beside::default();
    let Some(facts) = look(root)? else { return Ok(found) };
    let mut seen = HashSet::new();
    // A fresh volume's name is another link to the file of its layer.
    for id in holdings.allocated_bytes.keys() {
        let layer = root.join("layers").join(format!("{id}.layer"));
        seen.extend(look(&layer)?.map(|facts| facts.ino()));
    }
    found.other_bytes += facts.blocks() * SECTOR_BYTES;
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        let told = |error| Error::io("measure a store", error).in_file(&folder);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(told)?,
        };
        for entry in entries {
            let path = entry.map_err(told)?.path();
            let Some(file) = look(&path)? else { continue };
            if file.dev() != facts.dev() || !seen.insert(file.ino()) {
                continue;
            }
            let bytes = file.blocks() * SECTOR_BYTES;
            if file.is_dir() {
                found.other_bytes += bytes;
                left.push(path);
            } else if folder == root.join("index") {
                found.indexes += 1;
                found.index_bytes += bytes;
            } else {
                found.other_bytes += bytes;
            }
        }
    }
    Ok(found)
}

/// `None` where it went meanwhile.
fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("measure a store", error).in_file(path)),
    }
}
