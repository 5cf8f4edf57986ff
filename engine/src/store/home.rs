//! The place of one volume in its store: its name, its locks, and the files of its layers.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::collect::change_header;
use super::handle::Inner;
use super::lease::Lease;
use super::locks::{NameLock, StoreLock};
use super::names::{self, failed, failed_to_make};
use super::{headers, history, marks, paths};
use crate::chain::{Layers, Snapshot, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LayerRef, LayerState, NameEntry, NameKind};
use crate::layer::{read_header, read_header_uncached};
use crate::medium::{Host, LockMode, LockWait, Medium, OpenMode};
use crate::units::LayerId;
use crate::volume::{Home, LayerHandle, Shape};

/// What a volume asks of the store. Holds the lock of its name for as long as it lives.
#[derive(Debug)]
pub(super) struct VolumeHome {
    inner: Arc<Inner>,
    owner: Owner,
    state: Mutex<State>,
}

/// Whom the layers are written for.
#[derive(Debug)]
enum Owner {
    /// The volume of a name.
    Name(NameLock),
    /// Somebody who makes a snapshot and gives it a name only when it is whole.
    Maker,
}

#[derive(Debug, Default)]
struct State {
    /// The files that are held for writing.
    held: HashMap<LayerId, Arc<dyn Medium>>,
    /// Keeps what the volume stands on.
    parent_lease: Option<Arc<Lease>>,
    /// What no durable name file says yet. A name is made to lead to a top only once that top is
    /// durable: until then it leads to the frozen layer below, from which anybody may go on. So
    /// a durable name never leads to a file of which nothing may have arrived.
    unpublished: Option<NameEntry>,
    /// The name itself is not durable yet: whatever it leads to, nothing in it was promised.
    is_fresh: bool,
    /// A layer was made, or found, whose folder entry may not be durable yet.
    layers_dirty: bool,
    /// The name was found, and whoever wrote it may have died before it was durable.
    names_dirty: bool,
}

impl VolumeHome {
    /// The home of the volume whose name is locked.
    pub fn of_name(inner: &Arc<Inner>, lock: NameLock) -> Arc<VolumeHome> {
        VolumeHome::new(inner, Owner::Name(lock))
    }

    /// The home of what has no name yet.
    pub fn of_maker(inner: &Arc<Inner>) -> Arc<VolumeHome> {
        VolumeHome::new(inner, Owner::Maker)
    }

    fn new(inner: &Arc<Inner>, owner: Owner) -> Arc<VolumeHome> {
        Arc::new(VolumeHome { inner: Arc::clone(inner), owner, state: Mutex::default() })
    }

    /// Writes the name of a volume that was just made; it is durable with the first flush.
    pub fn write_fresh_name(&self, top: LayerId, parent: Option<LayerRef>) -> Result<()> {
        let Owner::Name(lock) = &self.owner else { return Ok(()) };
        let entry = entry(lock, top, parent);
        let _adding = StoreLock::shared(self.inner.host())?;
        names::write_fresh(self.inner.host(), lock.name(), &entry)?;
        let mut state = self.state.lock();
        (state.unpublished, state.is_fresh) = (Some(entry), true);
        Ok(())
    }

    /// Notes that the name is to lead to `top`, with the first flush.
    pub fn note_unpublished(&self, top: LayerId, parent: Option<LayerRef>) {
        if let Owner::Name(lock) = &self.owner {
            self.state.lock().unpublished = Some(entry(lock, top, parent));
        }
    }

    /// Notes that the name was found in a file that may not be durable, as it says there.
    pub fn note_fresh(&self, top: LayerId, parent: Option<LayerRef>) {
        self.note_unpublished(top, parent);
        self.state.lock().is_fresh = true;
    }

    fn hold(&self, id: LayerId, medium: Arc<dyn Medium>) -> LayerHandle {
        let path = self.inner.host.display_path(&paths::layer(id));
        self.state.lock().held.insert(id, Arc::clone(&medium));
        LayerHandle { medium, path }
    }

    /// The lock of an open layer that gave way to `parent` becomes a lease on it. The caller
    /// holds the store's lock.
    fn lease_parent(&self, parent: &LayerRef) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(medium) = state.held.remove(&parent.id) {
            let path = paths::layer(parent.id);
            let lease = self.inner.leases.of_frozen(parent.id, medium);
            let host = self.inner.host();
            state.parent_lease = Some(lease.map_err(failed(host, "lease a layer", &path))?);
        }
        Ok(())
    }
}

/// Takes the lock of an open top. The volume has one writer, who holds the name's lock: us.
///
/// Errors: [`ErrorKind::Locked`] for another one, whom the lock of the name did not keep out, since
/// the file of it was taken away or replaced.
fn lock_top(host: &dyn Host, id: LayerId, medium: &dyn Medium) -> Result<()> {
    let path = paths::layer(id);
    let take = || {
        let taken = medium.lock(LockMode::Exclusive, LockWait::Try);
        taken.map_err(|error| failed(host, "lock a layer", &path)(error))
    };
    if take()? {
        return Ok(());
    }
    // Who tries all locks has each for a moment, and the store's meanwhile.
    let _alone = StoreLock::exclusive(host)?;
    match take()? {
        true => Ok(()),
        false => Err(top_is_locked(host, id)),
    }
}

/// Somebody writes to the layer of a volume.
pub(super) fn top_is_locked(host: &dyn Host, id: LayerId) -> Error {
    Error::new(ErrorKind::Locked, format!("lock layer {id}"))
        .in_file(host.display_path(&paths::layer(id)))
        .about("lock", "held by another process", "free")
}

fn entry(lock: &NameLock, top: LayerId, parent: Option<LayerRef>) -> NameEntry {
    NameEntry { name: lock.name().to_string(), kind: NameKind::Volume, top, parent }
}

impl Home for VolumeHome {
    fn layers(&self) -> &Arc<dyn Layers> {
        &self.inner.layers
    }

    fn create_layer(&self, id: LayerId) -> Result<LayerHandle> {
        let host = self.inner.host();
        let path = paths::layer(id);
        let host_says = |error| failed(host, "make a layer", &path)(error);
        // Between making the file and locking it, it would look like an orphan.
        let _adding = StoreLock::shared(host)?;
        if let Owner::Maker = &self.owner {
            marks::mark(host, id)?;
        }
        let medium = host.open(&path, OpenMode::CreateNew);
        let medium = medium.map_err(failed_to_make(host, "make a layer", &path))?;
        // Nobody holds it but who tries all locks, for a moment.
        medium.lock(LockMode::Exclusive, LockWait::Block).map_err(host_says)?;
        self.state.lock().layers_dirty = true;
        Ok(self.hold(id, medium))
    }

    fn open_layer(&self, id: LayerId) -> Result<Option<LayerHandle>> {
        let host = self.inner.host();
        let path = paths::layer(id);
        let host_says = |error| failed(host, "open a layer", &path)(error);
        let is_fresh = self.state.lock().is_fresh;
        let medium = match host.open(&path, OpenMode::ReadWrite) {
            Ok(medium) => medium,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return if is_fresh { Ok(None) } else { Err(headers::lost_top(host, id)) };
            }
            Err(error) => return Err(host_says(error)),
        };
        // One that is frozen already is not written, and others may hold leases on it.
        let shown = host.display_path(&path);
        let header = if is_fresh {
            // Never promised to be there: a sync that failed before may have left it in the host's
            // cache alone, so the device is asked.
            medium.sync().map_err(failed(host, "sync a new layer", &path))?;
            medium.drop_cache().map_err(host_says)?;
            read_header_uncached(&*medium, &shown)
        } else {
            read_header(&*medium, &shown)
        };
        let frozen = match header {
            Ok(slots) if slots.header.state == LayerState::Frozen => {
                if !slots.slots_agree {
                    let _alone = StoreLock::exclusive(host)?;
                    change_header(host, id, "mend a header slot", |_| ())?;
                }
                true
            }
            Ok(slots) => {
                let length = medium.facts().map_err(host_says)?.length;
                if is_fresh && length < slots.header.file_bytes {
                    return Ok(None);
                }
                false
            }
            Err(error) if is_fresh && error.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        };
        if !frozen {
            lock_top(host, id, &*medium)?;
        }
        let mut state = self.state.lock();
        (state.layers_dirty, state.names_dirty) = (true, true);
        drop(state);
        Ok(Some(self.hold(id, medium)))
    }

    fn frozen_file(&self, id: LayerId) -> Result<Option<LayerHandle>> {
        let host = self.inner.host();
        let path = paths::layer(id);
        match host.open(&path, OpenMode::ReadWrite) {
            Ok(medium) => Ok(Some(LayerHandle { medium, path: host.display_path(&path) })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(host, "open a layer", &path)(error)),
        }
    }

    fn discard_layer(&self, id: LayerId) -> Result<()> {
        let host = self.inner.host();
        let path = paths::layer(id);
        self.state.lock().held.remove(&id);
        host.remove(&path).map_err(failed(host, "remove a layer", &path))?;
        match &self.owner {
            Owner::Maker => marks::remove_mark(host, id).map(drop),
            Owner::Name(_) => Ok(()),
        }
    }

    fn snapshot(&self, view: Arc<View>) -> Result<Snapshot> {
        let Some(tip) = view.tip().map(|tip| tip.header().layer) else {
            return Snapshot::new(view, None);
        };
        let lease: Arc<dyn Any + Send + Sync> = self.inner.leases.hold(self.inner.host(), tip)?;
        Snapshot::new(view, Some(lease))
    }

    fn open_snapshot(&self, wanted: &LayerRef) -> Result<Snapshot> {
        self.inner.open_recorded(wanted)
    }

    fn shape_of(&self, parent: Option<&LayerRef>) -> Result<Shape> {
        let host = self.inner.host();
        let Some(parent) = parent else {
            // A volume that begins with nothing is made durable before its name is; this one's
            // name was never promised to anybody.
            return Err(Error::new(ErrorKind::NotFound, "open a volume").about(
                "volume",
                "nothing that was ever made durable",
                "a layer or a parent",
            ));
        };
        let header = history::locate(host, parent).map_err(Error::into_lost)?;
        Ok(Shape {
            kind: header.kind,
            block_size: header.block_size,
            volume_bytes: header.volume_bytes,
        })
    }

    fn adding(&self) -> Result<Box<dyn Any>> {
        Ok(Box::new(StoreLock::shared(self.inner.host())?))
    }

    fn publish_top(&self, top: LayerId, parent: Option<&LayerRef>) -> Result<()> {
        if let Owner::Name(lock) = &self.owner {
            let entry = entry(lock, top, parent.copied());
            self.state.lock().unpublished = Some(entry);
        }
        // Between the two locks of the layer below nobody may collect: the caller sees to that.
        match parent {
            Some(parent) => self.lease_parent(parent),
            None => Ok(()),
        }
    }

    fn abandon_top(&self, top: LayerId) -> Result<bool> {
        let leads_below = {
            let state = self.state.lock();
            state.unpublished.is_some() && !state.is_fresh
        };
        if leads_below {
            self.discard_layer(top)?;
            self.state.lock().unpublished = None;
        }
        Ok(leads_below)
    }

    fn sync_names(&self) -> Result<()> {
        let host = self.inner.host();
        let (unpublished, layers_dirty, names_dirty) = {
            let state = self.state.lock();
            (state.unpublished.clone(), state.layers_dirty, state.names_dirty)
        };
        if layers_dirty {
            names::sync_folder(host, paths::LAYERS.as_ref())?;
            self.state.lock().layers_dirty = false;
        }
        match (&self.owner, unpublished) {
            (Owner::Name(lock), Some(entry)) => {
                let _adding = StoreLock::shared(host)?;
                lock.expect_held(host)?;
                names::write(host, lock.name(), &entry)?;
            }
            (Owner::Name(_), None) if names_dirty => {
                names::sync_folder(host, paths::NAMES.as_ref())?
            }
            _ => {}
        }
        let mut state = self.state.lock();
        (state.unpublished, state.names_dirty, state.is_fresh) = (None, false, false);
        Ok(())
    }
}
