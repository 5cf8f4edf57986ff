//! Tags: names for snapshots.

use super::handle::{Inner, Store};
use super::locks::{NameLock, StoreLock};
use super::marks::unmark;
use super::names;
use super::paths::{self, NameFile};
use super::resolve::{ResolvedKind, header_of, resolve};
use super::volumes::live;
use super::{Name, headers};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, NameEntry, NameKind};

/// What to do where a tag is taken already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// Leave it: [`ErrorKind::AlreadyExists`].
    Refuse,
    /// Let the tag stand for the new snapshot. The old one stays, under its id, until somebody removes it.
    Move,
}

impl Store {
    /// Lets the name `tag` stand for the snapshot that `reference` means, durably.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for a volume's current state (take a snapshot first),
    /// and where `tag` is the name of a volume; [`ErrorKind::NotFound`] for a removed snapshot.
    pub fn tag(&self, reference: &str, tag: &str, replace: Replace) -> Result<()> {
        let inner = self.inner()?;
        let tag = Name::to_give(tag)?;
        let resolved = resolve(inner, reference)?;
        if resolved.is_live() {
            return Err(live(reference));
        }
        let lock = lock_tag(inner, &tag)?;
        let _adding = StoreLock::shared(inner.host())?;
        let header = header_of(inner, &resolved)?;
        if resolved.kind != ResolvedKind::Tag || resolved.index > 0 {
            expect_kept(inner, &header)?;
        }
        write_tag(inner, &lock, &header, replace)?;
        unmark(inner, header.layer)
    }
}

/// Waits for the lock of a tag; a volume of that name would be waited for in vain.
pub(super) fn lock_tag(inner: &Inner, tag: &Name) -> Result<NameLock> {
    if let Some(found) = names::read(inner.host(), tag)?
        && found.entry.kind == NameKind::Volume
    {
        return Err(is_a_volume(inner, tag, found.file));
    }
    NameLock::wait(inner.host(), tag)
}

/// Writes a tag; the mark of what it stands for stays. The caller holds its lock, and the store's
/// shared.
pub(super) fn write_tag(
    inner: &Inner,
    lock: &NameLock,
    header: &Header,
    replace: Replace,
) -> Result<()> {
    let host = inner.host();
    let tag = lock.name();
    let old = match names::read(host, tag)? {
        Some(found) if found.entry.kind == NameKind::Volume => {
            return Err(is_a_volume(inner, tag, found.file));
        }
        Some(found) if replace == Replace::Refuse => {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("tag as {tag}"))
                .in_file(host.display_path(&paths::name(found.file, tag))));
        }
        old => old.map(|found| found.entry.top),
    };
    headers::settle(host, header.layer)?;
    // What a name leads to is no longer being made, though a crash may have left it marked so: what
    // it led to until now as long as it does, and what it leads to from now on once that is durable.
    old.map_or(Ok(()), |old| unmark(inner, old))?;
    let name = tag.to_string();
    let (top, parent) = (header.layer, Some(header.layer_ref()));
    names::write(host, tag, &NameEntry { name, kind: NameKind::Tag, top, parent })
}

/// That a snapshot was not removed.
pub(super) fn expect_kept(inner: &Inner, header: &Header) -> Result<()> {
    if !header.removed {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound, format!("look up snapshot {}", header.layer))
        .in_file(inner.host.display_path(&paths::layer(header.layer)))
        .about("snapshot", "removed", "one that is kept"))
}

fn is_a_volume(inner: &Inner, name: &Name, file: NameFile) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("tag as {name}"))
        .in_file(inner.host.display_path(&paths::name(file, name)))
        .about("name", "a volume", "a tag, or a name that is free")
}
