//! How the files of a store stand to each other: names to layers, layers to parents and sources.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::names;
use super::store::{Place, Seen};
use crate::error::{Error, ErrorKind, Result};
use crate::format::header::{Header, LayerState};
use crate::format::name::StoreEntry;
use crate::format::page::PageKind;
use crate::format::{LayerRef, NameEntry, NameKind, blob, sources};
use crate::inspect::file::InspectedFile;
use crate::inspect::journal;
use crate::inspect::report::{Finding, Severity};
use crate::inspect::slots::Slots;
use crate::units::{BlockSize, Digest, LayerId};

/// What the files of a store say of each other.
#[derive(Debug, Default)]
pub struct Facts {
    /// The block size that the store's own file gives.
    pub block_size: Option<BlockSize>,
    /// The layers that have a header.
    pub layers: HashMap<LayerId, LayerFacts>,
    /// Layer files without a header.
    headerless: Vec<LayerId>,
    /// A layer of each digest; none that is thinned.
    pub by_digest: HashMap<Digest, LayerId>,
    /// What the name files say.
    pub names: Vec<NameEntry>,
    /// Tops of names that are not durable yet: nothing in these was promised.
    fresh: HashSet<LayerId>,
    /// Layers that were being made when their makers were last seen.
    making: HashSet<LayerId>,
    findings: Vec<Finding>,
}

/// What one layer says.
#[derive(Debug)]
pub struct LayerFacts {
    /// Its file.
    pub path: PathBuf,
    /// As others record it.
    pub reference: LayerRef,
    /// Its parent as it recorded it.
    pub parent: Option<LayerRef>,
    /// Its table of sources.
    pub sources: Vec<LayerRef>,
    /// Open or frozen.
    pub state: LayerState,
    /// The size of a block.
    pub block_size: BlockSize,
    /// The length of the file in bytes.
    pub file_bytes: u64,
    /// Removed by its users.
    pub removed: bool,
    /// Blocks were given back.
    pub thinned: bool,
}

impl Facts {
    /// Reads all headers, tables of sources and names.
    pub fn gather(place: &Place<'_>) -> Result<Facts> {
        let mut facts = Facts::default();
        // What cannot be read of the store's own file was found before.
        let store = InspectedFile::open(place.host, &place.root.join("store"))?;
        let entry = store.page(0).and_then(|page| StoreEntry::decode(&page));
        facts.block_size = entry.ok().map(|entry| entry.block_size);
        for file in place.list("layers")? {
            facts.making.extend(names::making_of(&file));
            let Some(id) = names::layer_of(&file) else { continue };
            let path = place.path("layers", &file);
            if let Some(layer) = read_layer(place, &path)? {
                if let Some(digest) = layer.reference.digest.filter(|_| !layer.thinned) {
                    facts.by_digest.insert(digest, id);
                }
                facts.layers.insert(id, layer);
            } else {
                facts.headerless.push(id);
            }
        }
        facts.read_names(place)?;
        Ok(facts)
    }

    /// Files that nothing durable leads to: open layers without a durable name, and files without
    /// a header that no durable name and no other layer knows. They are new and not synced yet, or left by
    /// something that was interrupted; nothing in them was acknowledged.
    pub fn unpromised(&self) -> impl Iterator<Item = LayerId> + '_ {
        let tops = self.names.iter().map(|entry| entry.top);
        let named: HashSet<LayerId> = tops.filter(|top| !self.fresh.contains(top)).collect();
        let promised = self
            .layers
            .iter()
            .filter(|(id, layer)| layer.state == LayerState::Frozen || named.contains(*id));
        let referred: HashSet<LayerId> = promised
            .flat_map(|(_, layer)| layer.parent.iter().chain(&layer.sources))
            .map(|reference| reference.id)
            .collect();
        let open = self.layers.iter().filter(|(_, layer)| layer.state == LayerState::Open);
        let headerless = self.headerless.iter().filter(move |id| !referred.contains(id));
        open.map(|(id, _)| id).chain(headerless).copied().filter(move |id| !named.contains(id))
    }

    /// The layers that a name leads to or that nobody removed, and all below them: those that views
    /// go through. What else there is may be kept for its own blocks, to which others refer, or
    /// taken by a collection, in any order: what it stands on may be gone, and nobody can seal it.
    fn reached(&self) -> HashSet<LayerId> {
        let is_kept = |(id, layer): &(&LayerId, &LayerFacts)| {
            layer.state == LayerState::Frozen && !layer.removed && !self.making.contains(id)
        };
        let kept = self.layers.iter().filter(is_kept).map(|(id, _)| *id);
        let parents = self.names.iter().filter_map(|entry| entry.parent.as_ref());
        let named = parents.filter_map(|parent| self.resolve(parent).ok());
        let mut to_visit: Vec<LayerId> = kept
            .chain(self.names.iter().map(|entry| entry.top))
            .chain(named.map(|layer| layer.reference.id))
            .collect();
        let mut reached = HashSet::new();
        while let Some(id) = to_visit.pop() {
            if let Some(layer) = self.layers.get(&id)
                && reached.insert(id)
            {
                let below = layer.parent.as_ref().and_then(|wanted| self.resolve(wanted).ok());
                to_visit.extend(below.map(|layer| layer.reference.id));
            }
        }
        reached
    }

    /// The layer that keeps a reference, or why none does (INV-04).
    pub fn resolve(&self, wanted: &LayerRef) -> Result<&LayerFacts> {
        let named = self.layers.get(&wanted.id);
        let verdict = match named {
            Some(layer) => match wanted.verify(&layer.reference) {
                Ok(()) => return Ok(layer),
                Err(error) => error,
            },
            None => Error::new(ErrorKind::WrongParent, "find a layer").about(
                "layer id",
                "no file of it",
                wanted.id,
            ),
        };
        let equal = wanted.digest.and_then(|digest| self.by_digest.get(&digest));
        equal.and_then(|id| self.layers.get(id)).ok_or(verdict)
    }

    fn read_names(&mut self, place: &Place<'_>) -> Result<()> {
        let mut files: HashMap<String, String> = HashMap::new();
        // Where a crash left both files of a name, the durable one counts.
        let mut listed = place.list("names")?;
        listed.sort_by_key(|file| !file.ends_with(".name"));
        for file in listed {
            let path = place.path("names", &file);
            let (escaped, severity) =
                match (file.strip_suffix(".name"), file.strip_suffix(".fresh")) {
                    (Some(escaped), _) => (escaped, Severity::Damage),
                    // Nothing was promised of a name that was never synced.
                    (None, Some(escaped)) => (escaped, Severity::Note),
                    (None, None) => {
                        let what = match names::is_unfinished(&file) {
                            true => "left by something that is under way, or was interrupted",
                            false => "not a file of a store",
                        };
                        self.findings.push(place.finding(Severity::Note, &path, what.to_owned()));
                        continue;
                    }
                };
            let entry = match read_name(place, &path, escaped, severity) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    self.findings.push(place.failed(severity, &path, &error));
                    continue;
                }
            };
            if names::escaped(&entry.name) != escaped {
                let what = format!("the file holds the name {:?}", entry.name);
                self.findings.push(place.finding(severity, &path, what));
            }
            if let Some(other) = files.insert(entry.name.clone(), file.clone()) {
                let what = format!("the name {:?} is also in {other}", entry.name);
                self.findings.push(place.finding(Severity::Note, &path, what));
                continue;
            }
            if severity == Severity::Note {
                self.fresh.insert(entry.top);
            }
            self.names.push(entry);
        }
        Ok(())
    }
}

fn read_layer(place: &Place<'_>, path: &Path) -> Result<Option<LayerFacts>> {
    let file = match InspectedFile::open(place.host, path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let slots = Slots::read(&file);
    let Some(header) = slots.header() else { return Ok(None) };
    let mut sources = read_sources(&file, header);
    if header.state == LayerState::Open
        && let Ok(replay) = journal::replay(&file, header, sources.clone())
    {
        sources = replay.sources;
    }
    Ok(Some(LayerFacts {
        path: path.to_owned(),
        reference: header.layer_ref(),
        parent: header.parent,
        sources,
        state: header.state,
        block_size: header.block_size,
        file_bytes: file.length(),
        removed: header.removed,
        thinned: header.thinned,
    }))
}

/// The table of sources; what is wrong with it was found when the layer was looked at.
fn read_sources(file: &InspectedFile, header: &Header) -> Vec<LayerRef> {
    let Some(piece) = header.sources else { return Vec::new() };
    let base = piece.place.byte_offset(header.block_size);
    file.bytes(base, piece.bytes)
        .and_then(|bytes| {
            blob::decode("table of sources", PageKind::Sources, header.layer, &piece, &bytes)
                .and_then(sources::decode)
        })
        .unwrap_or_default()
}

/// What a name file says; one that is not durable yet is the file of its top, as a rule.
fn read_name(
    place: &Place<'_>,
    path: &Path,
    escaped: &str,
    severity: Severity,
) -> Result<Option<NameEntry>> {
    let file = match InspectedFile::open(place.host, path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if severity == Severity::Note && file.length() != 4096 {
        let header = Slots::read(&file).into_header()?;
        let name = names::unescaped(escaped).ok_or_else(|| {
            Error::corrupt("read name file", "file name", escaped, "a name, escaped")
        })?;
        let (top, parent) = (header.layer, header.parent);
        return Ok(Some(NameEntry { name, kind: NameKind::Volume, top, parent }));
    }
    if file.length() != 4096 {
        return Err(Error::corrupt("read name file", "file length", file.length(), 4096));
    }
    NameEntry::decode(&*file.page(0)?).map(Some)
}

/// What does not fit together.
pub fn relations(place: &Place<'_>, facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let mut found = facts.findings.clone();
    let mut layers: Vec<(&LayerId, &LayerFacts)> = facts.layers.iter().collect();
    layers.sort_unstable_by_key(|(id, _)| **id);
    let reached = facts.reached();
    for (id, layer) in layers {
        let mut push = |severity, what: String| {
            let mut finding = place.finding(severity, &layer.path, what);
            finding.layer = Some(*id);
            found.push(finding);
        };
        let is_reached = reached.contains(id);
        let (missing, excuse) = match is_reached {
            true => (Severity::Damage, ""),
            false => (Severity::Note, " (no view goes through this layer)"),
        };
        if facts.block_size.is_some_and(|size| size != layer.block_size) {
            let what = format!("blocks of {} bytes in a store of others", layer.block_size.bytes());
            push(Severity::Damage, what);
        }
        if let Some(parent) = &layer.parent
            && let Err(error) = facts.resolve(parent)
        {
            push(missing, format!("parent {}: {}{excuse}", parent.id, difference(&error)));
        }
        if layer.thinned && !layer.removed {
            push(Severity::Damage, "thinned, and not removed".to_owned());
        }
        if layer.thinned && is_reached && layer.reference.digest.is_none() {
            let what = "thinned before it was sealed, and views go through it".to_owned();
            push(Severity::Damage, what);
        }
        let reach = seen.reach.get(id).map(Vec::as_slice).unwrap_or_default();
        for (number, source) in layer.sources.iter().enumerate() {
            match facts.resolve(source) {
                Ok(owner) => {
                    let blocks = reach.get(number).copied().unwrap_or(0);
                    if blocks > owner.file_bytes / owner.block_size.bytes() {
                        let what = format!(
                            "maps blocks up to {} of source {}, whose file has {} bytes",
                            blocks, source.id, owner.file_bytes
                        );
                        push(Severity::Damage, what);
                    }
                }
                // A source that no extent names any more may be gone.
                Err(_) if reach.get(number).is_none_or(|&blocks| blocks == 0) => {}
                Err(error) => {
                    push(missing, format!("source {}: {}{excuse}", source.id, difference(&error)));
                }
            }
        }
    }
    for id in cycles(facts) {
        let path = place.layer(id);
        let what = "its ancestors lead back to it".to_owned();
        found.push(place.finding(Severity::Damage, &path, what));
    }
    found.extend(facts.names.iter().filter_map(|entry| name_relation(place, facts, entry)));
    found
}

fn name_relation(place: &Place<'_>, facts: &Facts, entry: &NameEntry) -> Option<Finding> {
    let path = place.path("names", &format!("{}.name", names::escaped(&entry.name)));
    let finding = |severity, what| Some(place.finding(severity, &path, what));
    let top = facts.layers.get(&entry.top);
    let recorded = entry.parent.as_ref().map(|parent| (parent, facts.resolve(parent)));
    let missing = match &recorded {
        Some((parent, Err(error))) => Some((parent.id, error)),
        _ => None,
    };
    match entry.kind {
        NameKind::Tag => match (recorded, top) {
            (Some((_, Ok(layer))), _) if layer.state == LayerState::Frozen => None,
            (Some((parent, Err(error))), _) => {
                finding(Severity::Damage, format!("tag of {}: {}", parent.id, difference(&error)))
            }
            (Some((_, Ok(_))), _) => {
                finding(Severity::Damage, "tag of a layer that is open".to_owned())
            }
            (None, Some(layer)) if layer.state == LayerState::Frozen => None,
            (None, _) => finding(Severity::Damage, "tag of no frozen layer".to_owned()),
        },
        NameKind::Volume => match top {
            // Where the top is frozen the next writer makes a fresh one on it; where it is gone
            // and was never promised, on the parent.
            Some(layer) if layer.state == LayerState::Open => {
                let ids =
                    (entry.parent.map(|parent| parent.id), layer.parent.map(|parent| parent.id));
                (ids.0 != ids.1).then(|| {
                    let text =
                        |id: Option<LayerId>| id.map_or("none".to_owned(), |id| id.to_string());
                    let what = format!(
                        "parent of the top: the name says {}, the top {}",
                        text(ids.0),
                        text(ids.1)
                    );
                    place.finding(Severity::Damage, &path, what)
                })
            }
            Some(_) => {
                finding(Severity::Note, "the top is frozen: the next writer makes one".into())
            }
            None => match missing {
                Some((id, error)) => finding(
                    Severity::Damage,
                    format!("neither top nor parent {id}: {}", difference(error)),
                ),
                None if facts.fresh.contains(&entry.top) => {
                    finding(Severity::Note, "the top is missing: the next writer makes one".into())
                }
                None => {
                    let what = format!("the top, layer {}, is missing or not whole", entry.top);
                    finding(Severity::Damage, what)
                }
            },
        },
    }
}

/// Layers from which the way down comes back to themselves.
fn cycles(facts: &Facts) -> Vec<LayerId> {
    // 0: not seen; the number of the walk that came by.
    let mut walked: HashMap<LayerId, u32> = HashMap::new();
    let mut found = Vec::new();
    for (number, &start) in (1..).zip(facts.layers.keys()) {
        let mut at = Some(start);
        while let Some(id) = at {
            match walked.get(&id) {
                Some(&walk) if walk == number => {
                    found.push(id);
                    break;
                }
                Some(_) => break,
                None => walked.insert(id, number),
            };
            let parent = facts.layers.get(&id).and_then(|layer| layer.parent.as_ref());
            at = parent
                .and_then(|parent| facts.resolve(parent).ok())
                .map(|layer| layer.reference.id);
        }
    }
    found.sort_unstable();
    found
}

fn difference(error: &Error) -> String {
    format!(
        "{}: found {}, expected {}",
        error.field().unwrap_or("layer"),
        error.found().unwrap_or("nothing"),
        error.expected().unwrap_or("the layer")
    )
}
