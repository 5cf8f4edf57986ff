//! What the fuzz targets share: checksums made right again, a store beside its model, and
//! trees of files.

pub mod archive;
pub mod images;
pub mod repair;
pub mod trees;
pub mod world;

use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{Host, MemoryHost, OpenMode};

/// A host in memory with one file.
pub fn host_with(path: &Path, bytes: &[u8]) -> Arc<dyn Host> {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let file = host.open(path, OpenMode::CreateNew).expect("a new file in memory");
    file.write_at(0, bytes).expect("memory takes what is written");
    host
}
