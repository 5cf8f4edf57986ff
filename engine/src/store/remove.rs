//! Removing: names go, snapshots are marked. What that frees is collected later.

use std::collections::HashSet;

use super::collect::change_header;
use super::handle::{Inner, Store};
use super::headers;
use super::history::{History, history};
use super::locks::{NameLock, StoreLock};
use super::names::{self, FoundName, failed};
use super::resolve::{find_name, newest_frozen, resolve};
use super::{Name, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerState, NameKind};
use crate::units::LayerId;

const MARK_REMOVED: &str = "mark a layer removed";

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoveReport {
    /// The name that went, if one did.
    pub name: Option<String>,
    /// The snapshots that are marked removed now; a collection frees what nobody stands on.
    pub snapshots: Vec<LayerId>,
    /// What a volume had written since its last snapshot: the file of that layer is gone.
    pub top: Option<LayerId>,
}

impl Store {
    /// Removes a tag, a volume, or a snapshot, durably. Space comes back with
    /// [`collect`](Store::collect).
    ///
    /// - A tag: its name goes, and with it the snapshots of its history that no other name's
    ///   history holds.
    /// - A volume: its name and what was written since its last snapshot go, and with them the
    ///   snapshots of its history that no other name's history holds.
    /// - `NAME@N`, a layer id or a digest: that one snapshot is marked removed; what stands on it
    ///   goes on as before.
    ///
    /// Errors, before anything is changed: [`ErrorKind::Locked`] for a volume that somebody has open;
    /// [`ErrorKind::InvalidInput`] for a snapshot that has a tag, and for an open layer;
    /// [`ErrorKind::Unsupported`] where a snapshot that would go has features that only a later
    /// version may write with. A name alone goes where another one, say a new tag, holds its snapshots.
    pub fn remove(&self, reference: &str) -> Result<RemoveReport> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        match &resolved.name {
            Some(name) if resolved.index == 0 && !reference.contains('@') => {
                remove_name(inner, &Name::new(name.as_str())?)
            }
            Some(_) if resolved.index == 0 => {
                Err(Error::invalid("remove", "reference", reference, "the name itself, or NAME@1"))
            }
            _ => remove_snapshot(inner, resolved.layer),
        }
    }
}

fn remove_name(inner: &Inner, name: &Name) -> Result<RemoveReport> {
    let host = inner.host();
    // Tags are held for moments only; a volume that somebody has open is not waited for.
    let _lock = match names::read(host, name)?.ok_or_else(|| names::missing(name))?.entry.kind {
        NameKind::Volume => NameLock::try_take(host, name)?,
        NameKind::Tag => NameLock::wait(host, name)?,
    };
    let _alone = StoreLock::exclusive(host)?;
    let found = names::read(host, name)?.ok_or_else(|| names::missing(name))?;
    let alone = held_by_name_alone(inner, &found)?;
    for header in &alone {
        let path = paths::layer(header.layer);
        let writable = header.expect_writable(MARK_REMOVED);
        writable.map_err(|error| error.in_file(host.display_path(&path)))?;
    }
    let snapshots: Vec<_> = alone.iter().map(|header| header.layer).collect();
    for &id in &snapshots {
        mark_removed(inner, id)?;
    }
    names::remove(host, name)?;
    let top = match found.entry.kind {
        NameKind::Volume => unlink_top(inner, found.entry.top)?.then_some(found.entry.top),
        NameKind::Tag => None,
    };
    Ok(RemoveReport { name: Some(name.to_string()), snapshots, top })
}

/// The snapshots in the history of a name that no other name's history holds, and that are not
/// removed yet. The caller holds the store's lock, so that names stay as they are.
pub(super) fn held_by_name_alone(inner: &Inner, found: &FoundName) -> Result<Vec<Header>> {
    let host = inner.host();
    let Some(tip) = newest_frozen(inner, found)? else { return Ok(Vec::new()) };
    let mut held = HashSet::new();
    let mut step = |walk: &mut History<'_>| {
        Ok::<_, Error>(match walk.next().transpose()? {
            Some(header) if header.layer == tip.id => Step::Met,
            // From a layer that was met before on down, all were.
            Some(header) if held.insert(header.layer) => Step::Further,
            _ => Step::Ended,
        })
    };
    // All walks go down side by side: what holds the tip most often does so near its own, and a
    // chain that does not may be long.
    let mut walks = Vec::new();
    for other in names::each(host)? {
        let other = other?;
        if other.entry.name != found.entry.name {
            walks.push(history(host, newest_frozen(inner, &other)?));
            match step(walks.last_mut().expect("one was just begun"))? {
                // All of the one is in the other.
                Step::Met => return Ok(Vec::new()),
                Step::Ended => drop(walks.pop()),
                Step::Further => {}
            }
        }
    }
    while !walks.is_empty() {
        let mut further = Vec::new();
        for mut walk in walks {
            match step(&mut walk)? {
                Step::Met => return Ok(Vec::new()),
                Step::Ended => {}
                Step::Further => further.push(walk),
            }
        }
        walks = further;
    }
    let mut alone = Vec::new();
    for header in history(host, Some(tip)) {
        let header = header?;
        if held.contains(&header.layer) {
            break;
        }
        if !header.removed {
            alone.push(header);
        }
    }
    Ok(alone)
}

/// What a step down a history has met.
enum Step {
    /// What was looked for.
    Met,
    /// Another layer, for the first time.
    Further,
    /// The end, or what another walk has met.
    Ended,
}

fn remove_snapshot(inner: &Inner, id: LayerId) -> Result<RemoveReport> {
    let host = inner.host();
    let _alone = StoreLock::exclusive(host)?;
    let header = headers::read_existing(host, id)?;
    if header.state == LayerState::Open {
        let expected = "a snapshot; a volume is removed by its name";
        return Err(Error::invalid("remove", "layer", format!("{id}, which is open"), expected));
    }
    for named in names::each(host)? {
        let named = named?.entry;
        if named.kind == NameKind::Tag && named.top == id {
            let found = format!("tagged {}", named.name);
            return Err(Error::invalid("remove a snapshot", "snapshot", found, "no tag on it"));
        }
    }
    if header.removed {
        return Err(Error::new(ErrorKind::NotFound, format!("remove snapshot {id}")).about(
            "snapshot",
            "removed already",
            "one that is kept",
        ));
    }
    mark_removed(inner, id)?;
    Ok(RemoveReport { name: None, snapshots: vec![id], top: None })
}

fn mark_removed(inner: &Inner, id: LayerId) -> Result<()> {
    change_header(inner.host(), id, MARK_REMOVED, |header| header.removed = true)?;
    inner.cache.forget(id);
    Ok(())
}

/// Unlinks the open top of a volume that is no more; a frozen one is a snapshot and stays.
pub(super) fn unlink_top(inner: &Inner, top: LayerId) -> Result<bool> {
    let host = inner.host();
    match headers::read(host, top) {
        Ok(Some(header)) if header.state == LayerState::Frozen => return Ok(false),
        Ok(None) => return Ok(false),
        // Whatever is wrong with it, it goes.
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        _ => {}
    }
    let path = paths::layer(top);
    let folder = paths::LAYERS.as_ref();
    host.remove(&path).map_err(failed(host, "remove the top of a volume", &path))?;
    host.sync_folder(folder).map_err(failed(host, "sync the folder", folder))?;
    Ok(true)
}

/// The name that a usage or a removal is about, if the reference is one.
pub(super) fn whole_name(inner: &Inner, reference: &str) -> Result<Option<FoundName>> {
    match Name::new(reference) {
        Ok(name) => Ok(find_name(inner, &name)?.map(|(_, found)| found)),
        Err(_) => Ok(None),
    }
}
