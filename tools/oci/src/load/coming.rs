//! Layers on their way in: one load brings each, and whoever else wants it waits for that one.

use std::path::Path;
use std::sync::Arc;

use sapwood::medium::{FileHost, Host, LockWait, Medium, Network, OpenMode};
use sapwood::{Error, Result, Store};

use crate::Sha256;

/// The file in a store's folder whose bytes are locked, each for a layer; it stays empty.
const FILE: &str = "layers.lock";

/// Layers that this load alone brings in, until dropped. A process that dies gives them back.
#[derive(Debug)]
pub struct Coming {
    _locks: Arc<dyn Medium>,
}

impl Coming {
    /// Waits until nobody else brings in one of the layers with these ChainIDs, which are given from the lowest
    /// one on: loads that have layers in common have the lowest ones, and ask for them in the same order.
    pub fn wait(store: &Store, chain_ids: &[Sha256]) -> Result<Coming> {
        let path = Path::new(FILE);
        let host = FileHost::open_root(store.path(), Network::Allow)?;
        let failed = |error| Error::io("wait for layers", error).in_file(host.display_path(path));
        let locks = host.open(path, OpenMode::OpenOrCreate).map_err(failed)?;
        for chain_id in chain_ids {
            locks.lock_byte(place_of(chain_id), LockWait::Block).map_err(failed)?;
        }
        Ok(Coming { _locks: locks })
    }
}

/// The byte of a layer. Places in files are 63 bits, and the end of the byte has to be one.
fn place_of(chain_id: &Sha256) -> u64 {
    let first = chain_id.0.first_chunk().expect("it has 32 bytes");
    u64::from_be_bytes(*first) >> 2
}
