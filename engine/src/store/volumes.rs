//! Volumes: made, forked, opened, reset.

use std::sync::Arc;

use super::handle::{Inner, Store};
use super::home::VolumeHome;
use super::info::expect_free;
use super::locks::NameLock;
use super::names::{self, FoundName};
use super::newer::expect_not_newer;
use super::remove::unlink_top;
use super::resolve::{find_name, resolve};
use super::{Name, headers, paths};
use crate::chain::{Snapshot, View};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{LayerKind, LayerRef, NameKind};
use crate::units::VOLUME_BYTES_MAX;
use crate::volume::{Home, NewVolume, Volume};

impl Store {
    /// Makes an empty disk of `size_bytes`. Nothing is durable before its first flush.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`] where the name is taken.
    pub fn create_volume(&self, name: &str, size_bytes: u64) -> Result<Volume> {
        let inner = self.inner()?;
        if size_bytes > VOLUME_BYTES_MAX {
            let expected = format!("at most {VOLUME_BYTES_MAX} bytes");
            return Err(Error::invalid("make a volume", "size", size_bytes, expected));
        }
        let base = Base::nothing(inner, LayerKind::Disk, size_bytes);
        new_volume(inner, &Name::to_give(name)?, base)
    }

    /// Makes an empty tree: the blocks of a file view, without a size. Nothing is durable before
    /// its first flush.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`] where the name is taken.
    pub fn create_tree(&self, name: &str) -> Result<Volume> {
        let inner = self.inner()?;
        let base = Base::nothing(inner, LayerKind::Tree, 0);
        new_volume(inner, &Name::to_give(name)?, base)
    }

    /// Makes a volume on top of the snapshot that `reference` means. Nothing is synced before its
    /// first flush.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`] where the name is taken; [`ErrorKind::InvalidInput`]
    /// for a volume's current state: take a snapshot first.
    pub fn fork(&self, reference: &str, name: &str) -> Result<Volume> {
        let inner = self.inner()?;
        let base = Base::of_reference(inner, reference)?;
        new_volume(inner, &Name::to_give(name)?, base)
    }

    /// As [`fork`](Store::fork), of a snapshot that is open.
    pub fn fork_snapshot(&self, snapshot: &Snapshot, name: &str) -> Result<Volume> {
        let inner = self.inner()?;
        if snapshot.reference().freeze_generation == 0 {
            return Err(live("a look into a volume"));
        }
        let own = Arc::ptr_eq(snapshot.view().layers(), &inner.layers);
        let opened;
        let snapshot = match own {
            true => snapshot,
            // By another handle on this store, or of another store, which has no such layer.
            false => {
                opened = inner.open_recorded(&snapshot.reference())?;
                &opened
            }
        };
        new_volume(inner, &Name::to_give(name)?, Base::on(snapshot))
    }

    /// Opens a volume for writing: to its last acknowledged commit, or the one in flight.
    ///
    /// Errors: [`ErrorKind::Locked`], naming the holder, where somebody has it open;
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InvalidInput`] for a tag: fork it.
    pub fn open_volume(&self, name: &str) -> Result<Volume> {
        let inner = self.inner()?;
        let (lock, found) = lock_volume(inner, name)?;
        let home = VolumeHome::of_name(inner, lock);
        if !found.is_durable() {
            home.note_fresh(found.entry.top, found.entry.parent);
        }
        Volume::open(home, &found.entry, inner.options.volume)
    }

    /// Takes a volume back to the snapshot it stands on, durably: all that was written since is
    /// gone, its size too is the snapshot's. One that stands on nothing is emptied.
    ///
    /// Errors: as [`open_volume`](Store::open_volume).
    pub fn reset(&self, name: &str) -> Result<()> {
        let inner = self.inner()?;
        let (lock, found) = lock_volume(inner, name)?;
        let home = VolumeHome::of_name(inner, lock);
        if !found.is_durable() {
            home.note_fresh(found.entry.top, found.entry.parent);
        }
        expect_not_newer(inner, found.entry.top)?;
        // Opened first: what it stands on, and its size, are as recovery finds them.
        let old = Volume::open(Arc::clone(&home) as _, &found.entry, inner.options.volume)?;
        let base = match old.parent() {
            Some(parent) => Base::on(&inner.open_recorded(&parent).map_err(Error::into_lost)?),
            None => Base::nothing(inner, old.kind(), old.size_bytes()),
        };
        let old_top = old.layer_id();
        drop(old);
        let new =
            Volume::create(Arc::clone(&home) as _, base.into_new(inner), inner.options.volume)?;
        home.note_unpublished(new.layer_id(), new.parent());
        new.flush()?;
        new.close()?;
        unlink_top(inner, old_top)?;
        names::sync_folder(inner.host(), paths::LAYERS.as_ref())
    }
}

/// What a new volume stands on.
pub(super) struct Base {
    kind: LayerKind,
    volume_bytes: u64,
    pub(super) parent: Option<LayerRef>,
    view: Arc<View>,
    /// Keeps the parent from being collected.
    pub(super) snapshot: Option<Snapshot>,
}

impl Base {
    pub(super) fn nothing(inner: &Inner, kind: LayerKind, volume_bytes: u64) -> Base {
        let view = View::empty(Arc::clone(&inner.layers), inner.entry.block_size);
        Base { kind, volume_bytes, parent: None, view, snapshot: None }
    }

    fn on(snapshot: &Snapshot) -> Base {
        Base {
            kind: snapshot.kind(),
            volume_bytes: snapshot.size_bytes(),
            parent: Some(snapshot.reference()),
            view: Arc::clone(snapshot.view()),
            snapshot: Some(snapshot.clone()),
        }
    }

    /// The snapshot that `reference` means, which nobody removed.
    pub(super) fn of_reference(inner: &Inner, reference: &str) -> Result<Base> {
        let resolved = resolve(inner, reference)?;
        if resolved.is_live() {
            return Err(live(reference));
        }
        Ok(Base::on(&inner.open_kept(reference, resolved)?))
    }

    pub(super) fn into_new(self, inner: &Inner) -> NewVolume {
        NewVolume {
            kind: self.kind,
            block_size: inner.entry.block_size,
            volume_bytes: self.volume_bytes,
            parent: self.parent,
            view: self.view,
        }
    }
}

fn new_volume(inner: &Arc<Inner>, name: &Name, base: Base) -> Result<Volume> {
    // A name that is taken is told so even while somebody has it open.
    let lock = NameLock::try_take(inner.host(), name)
        .or_else(|error| expect_free(inner, name).and(Err(error)))?;
    expect_free(inner, name)?;
    let home = VolumeHome::of_name(inner, lock);
    let parent = base.parent;
    // Held until the new top, which names the parent, has its own lock.
    let kept = base.snapshot.clone();
    if let Some(parent) = &parent {
        headers::settle(inner.host(), parent.id)?;
    }
    let volume =
        Volume::create(Arc::clone(&home) as _, base.into_new(inner), inner.options.volume)?;
    let top = volume.layer_id();
    if let Err(error) = home.write_fresh_name(top, parent) {
        home.discard_layer(top)?;
        return Err(error);
    }
    drop(kept);
    Ok(volume)
}

/// Locks the name of a volume, found as it is or with `:latest`, and reads what it says.
fn lock_volume(inner: &Inner, name: &str) -> Result<(NameLock, FoundName)> {
    let found = Name::new(name).and_then(|name| find_volume(inner, &name));
    let (name, _) = found.map_err(|error| match resolve(inner, name) {
        // No name of anything, but a reference all the same.
        Ok(resolved) if resolved.name.as_deref() != Some(name) && !resolved.is_live() => {
            Error::new(ErrorKind::InvalidInput, format!("open {name}")).about(
                "reference",
                "a snapshot, which is read-only",
                "a volume: fork the snapshot",
            )
        }
        _ => error,
    })?;
    let lock = NameLock::try_take(inner.host(), &name)?;
    // It may have gone, or changed, before it was locked.
    let (_, found) = find_volume(inner, &name)?;
    Ok((lock, found))
}

fn find_volume(inner: &Inner, name: &Name) -> Result<(Name, FoundName)> {
    let (name, found) = find_name(inner, name)?.ok_or_else(|| names::missing(name))?;
    match found.entry.kind {
        NameKind::Volume => Ok((name, found)),
        NameKind::Tag => Err(Error::new(ErrorKind::InvalidInput, format!("open {name}"))
            .in_file(inner.host.display_path(&paths::name(found.file, &name)))
            .about("name", "a tag, which is read-only", "a volume: fork the tag")),
    }
}

/// A snapshot was asked for, and this is the state of a volume that goes on changing.
pub(super) fn live(reference: &str) -> Error {
    let expected = "a snapshot, as NAME@1: take one first";
    Error::invalid("find a snapshot", "reference", reference, expected)
}
