//! Leases: as long as a view of a layer is open, nobody takes its blocks away.
//!
//! A lease is a shared lock on the tip's file. All views of one layer in a process share one.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::locks::StoreLock;
use super::names::failed;
use super::{headers, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Header;
use crate::medium::{Host, LockMode, LockWait, Medium};
use crate::units::LayerId;

/// A shared lock on the file of a frozen layer, until the last clone is dropped.
#[derive(Debug)]
pub struct Lease {
    _medium: Arc<dyn Medium>,
}

/// The leases of a process on the layers of one store.
#[derive(Debug, Default)]
pub struct Leases {
    held: Mutex<HashMap<LayerId, Weak<Lease>>>,
}

impl Leases {
    /// Takes a lease on the frozen layer `id`, and gives its header as it was under the lease.
    ///
    /// Errors: [`ErrorKind::NotFound`] where the layer is not there, or was removed and its
    /// blocks were collected.
    pub fn take(&self, host: &dyn Host, id: LayerId) -> Result<(Arc<Lease>, Header)> {
        if let Some(lease) = self.find(id) {
            return Ok((lease, headers::read_existing(host, id)?));
        }
        let (lease, header) = take(host, id)?;
        let lease = Arc::new(lease);
        let mut held = self.held.lock();
        if held.len() >= 64 && held.len().is_power_of_two() {
            held.retain(|_, lease| lease.strong_count() > 0);
        }
        held.insert(id, Arc::downgrade(&lease));
        Ok((lease, header))
    }

    /// As [`take`](Leases::take), without a look at the file where a lease is held already.
    pub fn hold(&self, host: &dyn Host, id: LayerId) -> Result<Arc<Lease>> {
        match self.find(id) {
            Some(lease) => Ok(lease),
            None => Ok(self.take(host, id)?.0),
        }
    }

    /// Makes a lease of the writer's lock on a layer that was just frozen.
    pub fn of_frozen(&self, id: LayerId, medium: Arc<dyn Medium>) -> std::io::Result<Arc<Lease>> {
        // Not one step for the host; that nobody collects meanwhile is by the store's lock.
        medium.lock(LockMode::Shared, LockWait::Block)?;
        let lease = Arc::new(Lease { _medium: medium });
        self.held.lock().insert(id, Arc::downgrade(&lease));
        Ok(lease)
    }

    fn find(&self, id: LayerId) -> Option<Arc<Lease>> {
        self.held.lock().get(&id).and_then(Weak::upgrade)
    }
}

fn take(host: &dyn Host, id: LayerId) -> Result<(Lease, Header)> {
    let path = paths::layer(id);
    let host_says = |error| failed(host, "lease a layer", &path)(error);
    let medium = headers::open_existing(host, id)?;
    // An open layer's lock is its writer's, for as long as that one likes.
    headers::expect_frozen(host, &headers::read_open(host, &*medium, &path, id)?)?;
    medium.lock(LockMode::Shared, LockWait::Block).map_err(host_says)?;
    let mut header = headers::read_open(host, &*medium, &path, id)?;
    if header.removed {
        // Whoever collects tries the locks before it marks and unlinks. A layer that is not
        // removed under our lock was none of its candidates; this one may have been.
        drop(StoreLock::shared(host)?);
        header = headers::read_open(host, &*medium, &path, id)?;
        if medium.facts().map_err(host_says)?.links == 0 {
            return Err(headers::missing(host, id));
        }
        if header.thinned {
            return Err(thinned(host, id));
        }
    }
    Ok((Lease { _medium: medium }, header))
}

/// The snapshot was removed, and its blocks were collected.
pub fn thinned(host: &dyn Host, id: LayerId) -> Error {
    Error::new(ErrorKind::NotFound, format!("open layer {id}"))
        .in_file(host.display_path(&paths::layer(id)))
        .about("snapshot", "removed, and its blocks were collected", "one that is kept")
}
