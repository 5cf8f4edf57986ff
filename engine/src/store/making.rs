//! Making a snapshot that gets its name only when it is whole.

use std::sync::Arc;

use super::handle::{Inner, Store};
use super::home::VolumeHome;
use super::info::expect_free;
use super::locks::{NameLock, StoreLock};
use super::marks::{remove_mark, remove_marks};
use super::remove::unlink_top;
use super::tag::{Replace, lock_tag, write_tag};
use super::volumes::Base;
use super::{Name, headers, names, paths};
use crate::chain::Snapshot;
use crate::error::Result;
use crate::format::{Annotations, LayerKind};
use crate::units::LayerId;
use crate::volume::Volume;

/// A snapshot, or several on each other, that are being written. Until [`finish`](Making::finish)
/// has returned no name leads there; whatever stops their maker leaves at most orphans, which
/// [`discard_unfinished`](Store::discard_unfinished) and [`collect`](Store::collect) free.
#[derive(Debug)]
pub struct Making {
    volume: Volume,
    tag: TagOfMaking,
}

/// The tag that waits for a snapshot.
#[derive(Debug)]
pub struct TagOfMaking {
    inner: Arc<Inner>,
    lock: NameLock,
    replace: Replace,
    /// Keeps what the snapshot stands on from being collected.
    _parent: Option<Snapshot>,
}

impl Store {
    /// Begins a snapshot of a disk of `size_bytes` without ancestors, to be tagged `tag`.
    ///
    /// Errors: [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where the name is taken, unless
    /// it is a tag that may be moved.
    pub fn make(&self, tag: &str, size_bytes: u64, replace: Replace) -> Result<Making> {
        let base = Base::nothing(self.inner()?, LayerKind::Disk, size_bytes);
        self.make_of(tag, base, replace)
    }

    /// As [`make`](Store::make), of a tree: the blocks of a file view, which
    /// [`into_parts`](Making::into_parts) gives the volume for.
    pub fn make_tree(&self, tag: &str, replace: Replace) -> Result<Making> {
        let base = Base::nothing(self.inner()?, LayerKind::Tree, 0);
        self.make_of(tag, base, replace)
    }

    /// As [`make`](Store::make), on top of the snapshot that `parent` means.
    ///
    /// Errors: as [`fork`](Store::fork).
    pub fn make_on(&self, parent: &str, tag: &str, replace: Replace) -> Result<Making> {
        let base = Base::of_reference(self.inner()?, parent)?;
        self.make_of(tag, base, replace)
    }

    pub(super) fn make_of(&self, tag: &str, base: Base, replace: Replace) -> Result<Making> {
        let inner = self.inner()?;
        let tag = Name::to_give(tag)?;
        let expect_free = || match replace {
            Replace::Refuse => expect_free(inner, &tag),
            Replace::Move => Ok(()),
        };
        expect_free()?;
        let lock = lock_tag(inner, &tag)?;
        expect_free()?;
        if let Some(parent) = &base.parent {
            headers::settle(inner.host(), parent.id)?;
        }
        let parent = base.snapshot.clone();
        let new = base.into_new(inner);
        let volume = Volume::create(VolumeHome::of_maker(inner), new, inner.options.volume)?;
        let inner = Arc::clone(inner);
        Ok(Making { volume, tag: TagOfMaking { inner, lock, replace, _parent: parent } })
    }
}

impl Making {
    /// What to write to.
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    /// Makes what was written a snapshot, durably, and gives it its tag.
    pub fn finish(self, annotations: &Annotations) -> Result<Snapshot> {
        let snapshot = self.volume.snapshot(annotations)?;
        let top = self.volume.layer_id();
        drop(self.volume);
        self.tag.give(&snapshot, top)?;
        Ok(snapshot)
    }

    /// The volume, for those who open the files of a tree in it, and the tag.
    pub fn into_parts(self) -> (Volume, TagOfMaking) {
        (self.volume, self.tag)
    }
}

impl TagOfMaking {
    /// Gives the tag to the last snapshot that was taken of the volume, durably; those below it
    /// stay with it. The snapshot left the volume with a new top, the layer `top`, which goes: the
    /// volume has been dropped.
    pub fn give(self, snapshot: &Snapshot, top: LayerId) -> Result<()> {
        let host = self.inner.host();
        let _adding = StoreLock::shared(host)?;
        let header = headers::read_existing(host, snapshot.layer_id())?;
        write_tag(&self.inner, &self.lock, &header, self.replace)?;
        // One sync for what goes now.
        unlink_top(&self.inner, top)?;
        remove_marks(host, header.layer)?;
        names::sync_folder(host, paths::LAYERS.as_ref())?;
        // A crash before this leaves a mark without a layer, which a collection takes.
        remove_mark(host, top).map(drop)
    }
}
