//! Removing: names go, snapshots are marked. What that frees is collected later.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::collect::change_header;
use super::handle::{Inner, Store};
use super::headers::{self, Headers, Known};
use super::history::{history, is_lost};
use super::holders::{End, Held, who_holds};
use super::home::top_is_locked;
use super::locks::{NameLocks, StoreLock};
use super::names::{self, FoundName, failed};
use super::newer::expect_not_newer;
use super::released::release;
use super::resolve::{find_name, newest_known, resolve};
use super::{Name, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerState, NameEntry, NameKind};
use crate::medium::{LockMode, LockWait};
use crate::units::LayerId;

const MARK_REMOVED: &str = "mark a layer removed";
/// How many are removed while the store is locked once: others wait so long.
const AT_ONCE: usize = 128;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoveReport {
    /// The name that went, if one did.
    pub name: Option<String>,
    /// The snapshots that are marked removed now; a collection frees what nobody stands on.
    pub snapshots: Vec<LayerId>,
    /// What a volume had written since its last snapshot: the file of that layer is gone.
    pub top: Option<LayerId>,
    /// Layers of the name's own history that are lost or damaged: snapshots below them are left as they
    /// are.
    pub lost: Vec<LayerId>,
    /// Snapshots of which it is not known whether other names need them. They stay as they are until
    /// that is known, and a collection marks them removed then, or forgets it.
    pub released: Vec<LayerId>,
    /// Layers of other names that are lost or damaged, and may stand on those that were released.
    pub unknown: Vec<LayerId>,
    /// Another name whose history holds all snapshots of the one that went: they stay, the one that a tag
    /// led to among them.
    pub kept_by: Option<String>,
}

impl Store {
    /// Removes a tag, a volume, or a snapshot, durably. Space comes back with
    /// [`collect`](Store::collect).
    ///
    /// - A tag: its name goes, and with it the snapshots of its history that no other name's
    ///   history holds.
    /// - A volume: its name and what was written since its last snapshot go, and with them the
    ///   snapshots of its history that no other name's history holds.
    /// - A name whose history is not whole goes as well: see [`RemoveReport::lost`]; and so does one while
    ///   the history of another is not whole: see [`RemoveReport::released`].
    /// - `NAME@N`, a layer id or a digest: that one snapshot is marked removed; what stands on it
    ///   goes on as before.
    ///
    /// A removed snapshot that others stand on stays in their chain, as a file with its map and those of
    /// its blocks that they show: some tens of KiB even where that is none. A volume of which a snapshot is
    /// taken and removed each hour gains such a file each hour. All of them go at once with
    /// [`flatten`](Store::flatten) of the newest snapshot, a fork of that which goes on in the volume's
    /// place, and the removal of the old name.
    ///
    /// Errors, before anything is changed: [`ErrorKind::Locked`] for a volume that somebody has open;
    /// [`ErrorKind::InvalidInput`] for a snapshot that has a tag, and for an open layer;
    /// [`ErrorKind::Unsupported`] where a snapshot that would go has features that only a later
    /// version may write with, and for a volume whose last writes only a [newer version](Error::is_newer) can
    /// read: its layer, or the tree in it. A snapshot of such a tree goes as any: what its layer needs is
    /// known. A name alone goes where another one, say a new tag, holds its snapshots; so does a tag of a layer
    /// of a newer version: that stays, without a name, and all below it.
    pub fn remove(&self, reference: &str) -> Result<RemoveReport> {
        let mut report = None;
        self.remove_each(&[reference], |_, removed| report = Some(removed))?;
        report.expect("one for each")
    }

    /// As [`remove`](Store::remove) of one after the other, where looking at the names and layers of the
    /// store once does for many. What all of some hundred mean is looked up before the first of them goes.
    /// Each is told, in order, with what was removed or why it was not; an error keeps none of the
    /// others.
    ///
    /// Errors: those of the store as a whole, before any of those that were not told is removed.
    pub fn remove_each<R: AsRef<str>>(
        &self,
        references: &[R],
        mut told: impl FnMut(&R, Result<RemoveReport>),
    ) -> Result<()> {
        let inner = self.inner()?;
        for some in references.chunks(AT_ONCE) {
            let removed = remove_some(inner, some)?;
            some.iter().zip(removed).for_each(|(reference, removed)| told(reference, removed));
        }
        Ok(())
    }
}

/// What is to be removed.
enum Target {
    Name(Name),
    Snapshot(LayerId),
}

impl Target {
    fn of(inner: &Inner, reference: &str) -> Result<Target> {
        let resolved = resolve(inner, reference)?;
        match &resolved.name {
            Some(name) if resolved.index == 0 && !reference.contains('@') => {
                Name::new(name.as_str()).map(Target::Name)
            }
            Some(_) if resolved.index == 0 => {
                Err(Error::invalid("remove", "reference", reference, "the name itself, or NAME@1"))
            }
            _ => Ok(Target::Snapshot(resolved.layer)),
        }
    }
}

fn remove_some(inner: &Inner, references: &[impl AsRef<str>]) -> Result<Vec<Result<RemoveReport>>> {
    let host = inner.host();
    let mut targets: Vec<Result<Target>> =
        references.iter().map(|reference| Target::of(inner, reference.as_ref())).collect();
    let _locks = lock_names(inner, &mut targets)?;
    let _alone = StoreLock::exclusive(host)?;
    let mut names = match &targets[..] {
        // What it stands on is most often held by one of the first that are read.
        [_] => None,
        _ => Some(names::list(host)?),
    };
    let known = Known::default();
    let remove = |target| match target? {
        Target::Name(name) => {
            let removed = remove_name(inner, &known, names.as_deref(), &name)?;
            if let Some(names) = &mut names {
                names.retain(|found| found.entry.name != name.as_str());
            }
            Ok(removed)
        }
        Target::Snapshot(id) => remove_snapshot(inner, &known, names.as_deref(), id),
    };
    Ok(targets.into_iter().map(remove).collect())
}

/// Locks the names among those that are to be removed. One that is not had, or gone, is not removed.
fn lock_names(inner: &Inner, targets: &mut [Result<Target>]) -> Result<NameLocks> {
    let host = inner.host();
    let mut locks = NameLocks::none(host)?;
    let names = targets.iter().enumerate().filter_map(|(place, target)| match target {
        Ok(Target::Name(name)) => Some((name.number(), place, name.clone())),
        _ => None,
    });
    let mut last = None;
    for (number, place, name) in names.collect::<BTreeSet<_>>() {
        // Somebody may ask for the same twice.
        if last == Some(number) {
            continue;
        }
        let taken = names::read(host, &name).and_then(|found| {
            // Tags are held for moments only; a volume that somebody has open is not waited for.
            let wait = match found.ok_or_else(|| names::missing(&name))?.entry.kind {
                NameKind::Volume => LockWait::Try,
                NameKind::Tag => LockWait::Block,
            };
            locks.add(host, &name, wait)
        });
        match taken {
            Ok(()) => last = Some(number),
            Err(error) => targets[place] = Err(error),
        }
    }
    Ok(locks)
}

/// The caller holds the locks of the name and of the store; `names` are all of the store, where they were read
/// already.
fn remove_name(
    inner: &Inner,
    known: &Known,
    names: Option<&[FoundName]>,
    name: &Name,
) -> Result<RemoveReport> {
    let host = inner.host();
    let headers = Headers::known(host, known);
    let found = names::read(host, name)?.ok_or_else(|| names::missing(name))?;
    if found.entry.kind == NameKind::Volume {
        expect_no_writer(inner, found.entry.top)?;
        expect_not_newer(inner, found.entry.top)?;
    }
    let alone = match names {
        Some(names) => held_by_name_alone(headers, &found, names.iter().map(Ok))?,
        None => held_by_name_alone(headers, &found, names::each(host)?)?,
    };
    let mut lost: Vec<LayerId> = alone.end.iter().map(|(id, _)| *id).collect();
    lost.extend(alone.unreadable_top);
    let unknown: Vec<LayerId> = alone.unknown.keys().copied().collect();
    let kept_by = alone.kept_by.clone();
    let (sure, released) = alone.sort();
    for header in &sure {
        let path = paths::layer(header.layer);
        let writable = header.expect_writable(MARK_REMOVED);
        writable.map_err(|error| error.in_file(host.display_path(&path)))?;
    }
    let ids = |headers: &[Header]| headers.iter().map(|header| header.layer).collect::<Vec<_>>();
    let (snapshots, released) = (ids(&sure), ids(&released));
    // Before the name goes: a mark on what a name holds goes with the next collection.
    release(host, &released)?;
    for &id in &snapshots {
        known.forget(id);
        mark_removed(inner, id)?;
    }
    names::remove(host, name)?;
    let top = match found.entry.kind {
        NameKind::Volume if unlink_top(inner, found.entry.top)? => {
            names::sync_folder(host, paths::LAYERS.as_ref())?;
            Some(found.entry.top)
        }
        _ => None,
    };
    let unknown = if released.is_empty() { Vec::new() } else { unknown };
    let name = Some(name.to_string());
    Ok(RemoveReport { name, snapshots, top, lost, released, unknown, kept_by })
}

/// What no other name's history holds, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// Snapshots that are not removed yet, newest first.
    pub snapshots: Vec<Header>,
    /// The layer at which the history ends, where it is not whole, and what is wrong with it.
    pub end: Option<(LayerId, Error)>,
    /// The top of the volume itself, where the host cannot give it: it may be a snapshot.
    unreadable_top: Option<LayerId>,
    /// Those at which histories of other names end, below which any of these may lie. Not the one at
    /// which this one ends, which lies below them itself.
    unknown: BTreeMap<LayerId, End>,
    /// Another name whose history holds all of this one's.
    kept_by: Option<String>,
}

impl Alone {
    /// Those that surely no other name holds, and the rest.
    fn sort(self) -> (Vec<Header>, Vec<Header>) {
        let is_sure = |header: &Header| !self.unknown.values().any(|end| end.may_stand_on(header));
        self.snapshots.into_iter().partition(is_sure)
    }
}

/// The snapshots in the history of a name that no other one's of `names` holds, as far as those can be
/// walked, and that are not removed yet. The caller holds the store's lock, so that names stay as
/// they are.
pub(super) fn held_by_name_alone<'a>(
    headers: impl Into<Headers<'a>>,
    found: &FoundName,
    names: impl Iterator<Item = Result<impl Borrow<FoundName>>>,
) -> Result<Alone> {
    let headers = headers.into();
    let (tip, unreadable) = newest_known(headers, found)?;
    let unreadable_top = unreadable.map(|_| found.entry.top);
    let nothing = || Alone { unreadable_top, ..Alone::default() };
    let Some(tip) = tip else { return Ok(nothing()) };
    let is_other = |name: &FoundName| name.entry.name != found.entry.name;
    let mut held = match who_holds(headers, tip.id, names, is_other)? {
        Held::Asked(by) => return Ok(Alone { kept_by: Some(by), ..nothing() }),
        Held::Others(held) => held,
    };
    let mut snapshots = Vec::new();
    let mut own = history(headers, Some(tip));
    let mut end = None;
    while let Some(step) = own.next() {
        match step {
            Ok(header) if held.layers.contains(&header.layer) => break,
            Ok(header) if header.removed => {}
            Ok(header) => snapshots.push(header),
            Err(error) if is_lost(&error) => end = own.met().map(|id| (id, error)),
            Err(error) => return Err(error),
        }
    }
    if let Some((own, _)) = &end {
        held.ends.remove(own);
    }
    Ok(Alone { snapshots, end, unreadable_top, unknown: held.ends, kept_by: None })
}

/// As [`remove_name`] of a snapshot.
fn remove_snapshot(
    inner: &Inner,
    known: &Known,
    names: Option<&[FoundName]>,
    id: LayerId,
) -> Result<RemoveReport> {
    let host = inner.host();
    let header = headers::read_existing(host, id)?;
    if header.state == LayerState::Open {
        let expected = "a snapshot; a volume is removed by its name";
        return Err(Error::invalid("remove", "layer", format!("{id}, which is open"), expected));
    }
    let is_of_it = |entry: &NameEntry| entry.kind == NameKind::Tag && entry.top == id;
    let tag = match names {
        Some(names) => {
            names.iter().map(|found| &found.entry).find(|entry| is_of_it(entry)).cloned()
        }
        None => names::list_tags(host)?.into_iter().find(is_of_it),
    };
    if let Some(tag) = tag {
        let found = format!("tagged {}", tag.name);
        return Err(Error::invalid("remove a snapshot", "snapshot", found, "no tag on it"));
    }
    if header.removed {
        return Err(Error::new(ErrorKind::NotFound, format!("remove snapshot {id}")).about(
            "snapshot",
            "removed already",
            "one that is kept",
        ));
    }
    known.forget(id);
    mark_removed(inner, id)?;
    Ok(RemoveReport { snapshots: vec![id], ..RemoveReport::default() })
}

pub(super) fn mark_removed(inner: &Inner, id: LayerId) -> Result<()> {
    change_header(inner.host(), id, MARK_REMOVED, |header| header.removed = true)?;
    inner.cache.forget(id);
    Ok(())
}

/// That nobody writes to the top of a volume: whoever did would go on in a file that is gone. The
/// lock of the name says so as well, but where its file was taken away or replaced.
fn expect_no_writer(inner: &Inner, top: LayerId) -> Result<()> {
    let host = inner.host();
    let path = paths::layer(top);
    let host_says = |error| failed(host, "try the lock of a layer", &path)(error);
    let medium = match headers::open(host, top) {
        Ok(Some(medium)) => medium,
        Ok(None) => return Ok(()),
        // Nobody can ask, nor open it to write there.
        Err(error) if error.is_damage() => return Ok(()),
        Err(error) => return Err(error),
    };
    // Leases on a top that was frozen are shared.
    match medium.lock(LockMode::Shared, LockWait::Try).map_err(host_says)? {
        true => Ok(()),
        false => Err(top_is_locked(host, top)),
    }
}

/// Unlinks the open top of a volume that is no more, for the caller to sync the folder; a frozen one
/// is a snapshot and stays, and so does one that the host cannot give, which may be one.
pub(super) fn unlink_top(inner: &Inner, top: LayerId) -> Result<bool> {
    let host = inner.host();
    match headers::read(host, top) {
        Ok(Some(header)) if header.state == LayerState::Frozen => return Ok(false),
        Ok(None) => return Ok(false),
        Err(error) if error.kind() == ErrorKind::Unreadable => return Ok(false),
        // What does not verify is of no use to anybody.
        Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
        _ => {}
    }
    let path = paths::layer(top);
    host.remove(&path).map_err(failed(host, "remove the top of a volume", &path))?;
    Ok(true)
}

/// The name that a usage or a removal is about, if the reference is one.
pub(super) fn whole_name(inner: &Inner, reference: &str) -> Result<Option<FoundName>> {
    match Name::new(reference) {
        Ok(name) => Ok(find_name(inner, &name)?.map(|(_, found)| found)),
        Err(_) => Ok(None),
    }
}
