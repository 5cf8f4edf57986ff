//! Making a snapshot that gets its name only when it is whole.

use std::sync::Arc;

use super::handle::{Inner, Store};
use super::home::VolumeHome;
use super::info::expect_free;
use super::locks::{NameLock, StoreLock};
use super::remove::unlink_top;
use super::tag::{Replace, lock_tag, write_tag};
use super::{Name, headers};
use crate::chain::{Snapshot, View};
use crate::error::Result;
use crate::format::{Annotations, LayerKind};
use crate::volume::{NewVolume, Volume};

/// A snapshot without ancestors that is being written. Until [`finish`](Making::finish) has
/// returned nobody sees it; whatever stops its maker leaves at most an orphan, which
/// [`collect`](Store::collect) frees.
#[derive(Debug)]
pub struct Making {
    inner: Arc<Inner>,
    lock: NameLock,
    volume: Volume,
}

impl Store {
    /// Begins a snapshot of a disk of `size_bytes` without ancestors, to be tagged `tag`.
    ///
    /// Errors: [`AlreadyExists`](crate::ErrorKind::AlreadyExists) where the name is taken.
    pub fn make(&self, tag: &str, size_bytes: u64) -> Result<Making> {
        self.make_of(tag, LayerKind::Disk, size_bytes)
    }

    pub(super) fn make_of(&self, tag: &str, kind: LayerKind, size_bytes: u64) -> Result<Making> {
        let inner = self.inner()?;
        let tag = Name::new(tag)?;
        expect_free(inner, &tag)?;
        let lock = lock_tag(inner, &tag)?;
        expect_free(inner, &tag)?;
        let new = NewVolume {
            kind,
            block_size: inner.entry.block_size,
            volume_bytes: size_bytes,
            parent: None,
            view: View::empty(Arc::clone(&inner.layers), inner.entry.block_size),
        };
        let volume = Volume::create(VolumeHome::of_maker(inner), new, inner.options.volume)?;
        Ok(Making { inner: Arc::clone(inner), lock, volume })
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
        let host = self.inner.host();
        {
            let _adding = StoreLock::shared(host)?;
            let header = headers::read_existing(host, snapshot.layer_id())?;
            write_tag(&self.inner, &self.lock, &header, Replace::Refuse)?;
        }
        // A snapshot leaves its volume with a new top, which nobody will write to.
        let top = self.volume.layer_id();
        drop(self.volume);
        unlink_top(&self.inner, top)?;
        Ok(snapshot)
    }
}
