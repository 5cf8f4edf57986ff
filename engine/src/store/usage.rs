//! Who takes how much space.

use std::collections::{BTreeSet, HashMap};

use super::collect::{Assume, Census, Ends, look_at_what_is_left, plan};
use super::handle::{Inner, Store};
use super::history::{history, is_lost};
use super::locks::StoreLock;
use super::names::{DamagedName, FoundName, failed, list_derived, list_folder};
use super::remove::{held_by_name_alone, whole_name};
use super::resolve::{header_of, is_lost_top, newest_frozen, newest_known, resolve};
use super::{headers, names, paths};
use crate::error::{Error, Result};
use crate::format::{LayerRef, NameKind};
use crate::units::LayerId;

/// What one name or snapshot takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The size of the disk, of a volume as of its last checkpoint.
    pub virtual_bytes: u64,
    /// What the host has allocated for the files of the layer and all its ancestors.
    pub allocated_bytes: u64,
    /// What removing it and collecting would free, once nobody has it open.
    pub exclusive_bytes: u64,
    /// The rest of what is allocated: others need it too.
    pub shared_bytes: u64,
}

/// What a whole store takes, in bytes: each byte is counted once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// How many tags that can be read.
    pub tags: u64,
    /// How many volumes whose names can be read.
    pub volumes: u64,
    /// How many layers.
    pub layers: u64,
    /// The sizes of all disks that have a name, added up.
    pub virtual_bytes: u64,
    /// What the host has allocated for all layer files: the sum of the three that follow.
    pub allocated_bytes: u64,
    /// Of these, in layers that are in the history of one name.
    pub exclusive_bytes: u64,
    /// In layers that are in the histories of several.
    pub shared_bytes: u64,
    /// In layers that are in the history of none: snapshots without a name, and garbage.
    pub unnamed_bytes: u64,
    /// What the merged indexes take besides.
    pub index_bytes: u64,
    /// Layers that are lost or damaged, at which histories of names end: what lies below them is
    /// counted as no name's, where no other leads to it.
    pub lost: BTreeSet<LayerId>,
    /// Those of a newer version, of which the same is true.
    pub newer: BTreeSet<LayerId>,
    /// Names that do not verify, or are of a newer version: what they stand for counts as no name's, where no other leads to it.
    pub damaged_names: Vec<DamagedName>,
}

impl StoreUsage {
    fn note_end(&mut self, id: LayerId, error: &Error) {
        let ends = if error.is_newer() { &mut self.newer } else { &mut self.lost };
        ends.insert(id);
    }
}

impl Store {
    /// What `reference` takes. For all names there is [`usage_of_names`](Store::usage_of_names).
    ///
    /// A lost or damaged layer elsewhere, or a damaged name, counts as given up: as if nothing that is
    /// sound needed to stay for it. Errors: [`Corrupt`](crate::ErrorKind::Corrupt),
    /// [`Unreadable`](crate::ErrorKind::Unreadable) and
    /// [`WrongParent`](crate::ErrorKind::WrongParent) where one is in the history itself.
    pub fn usage_of(&self, reference: &str) -> Result<Usage> {
        let inner = self.inner()?;
        let resolved = resolve(inner, reference)?;
        let _lock = StoreLock::shared(inner.host())?;
        look_at_what_is_left(&inner.host, inner.options.volume.read, |census| {
            let garbage_bytes = freed_bytes(inner, census, &Assume::closed(census))?;
            let mut ends = Ends::of(inner.host(), census);
            let name = whole_name(inner, reference)?;
            let end = match &name {
                Some(found) => ends.of_name(inner.host(), census, found),
                None => Some(resolved.layer).filter(|id| census.damaged.contains_key(id)),
            };
            if let Some(damaged) = end.and_then(|end| census.damaged.remove(&end)) {
                return Err(damaged.error);
            }
            match name {
                Some(found) => usage_of_name(inner, census, &found, garbage_bytes),
                None => {
                    let header = header_of(inner, &resolved)?;
                    let mut assume = Assume::closed(census);
                    assume.removed.insert(resolved.layer);
                    let history = (Some(resolved.layer), header.parent);
                    usage_without(inner, census, history, &assume, garbage_bytes)
                }
            }
        })
    }

    /// What the store takes, as far as it can be read.
    pub fn usage(&self) -> Result<StoreUsage> {
        let inner = self.inner()?;
        let host = inner.host();
        let mut usage = StoreUsage::default();
        // Per layer: no name, one, or several. A walk stops at what two have met before.
        let mut owners: HashMap<LayerId, Owner> = HashMap::new();
        let (names, damaged_names) = names::list_what_is_left(host)?;
        usage.damaged_names = damaged_names;
        for found in &names {
            match found.entry.kind {
                NameKind::Tag => usage.tags += 1,
                NameKind::Volume => usage.volumes += 1,
            }
            let (tip, unreadable) = newest_known(host, found)?;
            if let Some(error) = unreadable {
                usage.note_end(found.entry.top, &error);
            }
            let mut size = None;
            if found.entry.kind == NameKind::Volume {
                let top = match headers::read(host, found.entry.top) {
                    Err(error) if error.is_of_one_file() => None,
                    other => other?,
                };
                if top.is_none()
                    && !usage.newer.contains(&found.entry.top)
                    && is_lost_top(host, found)?
                {
                    usage.lost.insert(found.entry.top);
                }
                size = top.map(|header| header.volume_bytes);
                if tip.is_none_or(|tip| tip.id != found.entry.top) {
                    owners.insert(found.entry.top, Owner::One);
                }
            }
            let mut walk = history(host, tip);
            while let Some(step) = walk.next() {
                let header = match step {
                    Err(error) if is_lost(&error) => {
                        if let Some(met) = walk.met() {
                            usage.note_end(met, &error);
                        }
                        break;
                    }
                    step => step?,
                };
                size.get_or_insert(header.volume_bytes);
                match owners.insert(header.layer, Owner::One) {
                    None => {}
                    Some(Owner::Several) => {
                        owners.insert(header.layer, Owner::Several);
                        break;
                    }
                    Some(Owner::One) => {
                        owners.insert(header.layer, Owner::Several);
                    }
                }
            }
            usage.virtual_bytes = usage.virtual_bytes.saturating_add(size.unwrap_or(0));
        }
        for file in list_folder(host, paths::LAYERS.as_ref())? {
            let Some(paths::LayersEntry::Layer(id)) = paths::parse_layers_entry(&file) else {
                continue;
            };
            let path = paths::layer(id);
            let facts = match host.facts(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(failed(host, "look at a layer", &path))?,
            };
            usage.layers += 1;
            usage.allocated_bytes += facts.allocated_bytes;
            *match owners.get(&id) {
                Some(Owner::One) => &mut usage.exclusive_bytes,
                Some(Owner::Several) => &mut usage.shared_bytes,
                None => &mut usage.unnamed_bytes,
            } += facts.allocated_bytes;
        }
        for file in list_derived(host, paths::INDEX.as_ref())? {
            let path = std::path::Path::new(paths::INDEX).join(file);
            usage.index_bytes += match host.facts(&path) {
                Ok(facts) => facts.allocated_bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                Err(error) => return Err(failed(host, "look at an index", &path)(error)),
            };
        }
        Ok(usage)
    }
}

enum Owner {
    One,
    Several,
}

/// What one name takes, where a collection would free `garbage_bytes` without it, once nobody has a
/// removed snapshot open.
pub(super) fn usage_of_name(
    inner: &Inner,
    census: &Census,
    found: &FoundName,
    garbage_bytes: u64,
) -> Result<Usage> {
    let mut assume = Assume::closed(census);
    let alone = held_by_name_alone(inner.host(), found, census.names.iter().map(Ok))?;
    if let Some((_, error)) = alone.end {
        return Err(error);
    }
    assume.removed.extend(alone.snapshots.into_iter().map(|header| header.layer));
    assume.without_names.insert(found.entry.name.clone());
    let history = match found.entry.kind {
        NameKind::Volume => {
            assume.removed.insert(found.entry.top);
            (Some(found.entry.top), newest_frozen(inner, found)?)
        }
        NameKind::Tag => (None, found.entry.parent),
    };
    usage_without(inner, census, history, &assume, garbage_bytes)
}

/// What a layer and what it stands on take, and what of it goes with what `assume` says.
fn usage_without(
    inner: &Inner,
    census: &Census,
    (tip, below): (Option<LayerId>, Option<LayerRef>),
    assume: &Assume,
    garbage_bytes: u64,
) -> Result<Usage> {
    let mut usage = Usage::default();
    let mut add = |id: LayerId| {
        let resident = census.layers.get(&id);
        usage.allocated_bytes += resident.map_or(0, |resident| resident.allocated_bytes);
    };
    let mut size_below = None;
    for header in history(inner.host(), below) {
        let header = header?;
        size_below.get_or_insert(header.volume_bytes);
        if tip != Some(header.layer) {
            add(header.layer);
        }
    }
    tip.into_iter().for_each(&mut add);
    let top = tip.and_then(|tip| census.layers.get(&tip)?.header.as_ref());
    usage.virtual_bytes = top.map(|header| header.volume_bytes).or(size_below).unwrap_or(0);
    usage.exclusive_bytes = freed_bytes(inner, census, assume)?.saturating_sub(garbage_bytes);
    usage.shared_bytes = usage.allocated_bytes.saturating_sub(usage.exclusive_bytes);
    Ok(usage)
}

/// What a collection would free.
fn freed_bytes(inner: &Inner, census: &Census, assume: &Assume) -> Result<u64> {
    let plan = plan(&inner.host, inner.options.volume.read, census, assume)?;
    Ok(plan.freed_bytes())
}
