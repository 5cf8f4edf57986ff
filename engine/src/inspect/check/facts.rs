//! What the files of a store say of each other: headers, tables of sources, names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::names;
use super::place::Place;
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

/// The endings of the files of names, what such a name stands for, and what it is where one does not
/// verify: nothing was promised of a name that was never synced.
const NAME_FILES: [(&str, NameKind, Severity); 3] = [
    (".tag", NameKind::Tag, Severity::Damage),
    (".name", NameKind::Volume, Severity::Damage),
    (".fresh", NameKind::Volume, Severity::Note),
];

/// What the files of a store say of each other.
#[derive(Debug, Default)]
pub struct Facts {
    /// The block size that the store's own file gives.
    pub block_size: Option<BlockSize>,
    /// The layers that have a header.
    pub layers: HashMap<LayerId, LayerFacts>,
    /// Layer files without a header.
    headerless: Vec<LayerId>,
    /// Layer files of a newer version.
    newer: HashSet<LayerId>,
    /// A layer of each digest; none that is thinned.
    pub by_digest: HashMap<Digest, LayerId>,
    /// The files of names, and what each says.
    pub names: Vec<(PathBuf, NameEntry)>,
    /// Tops of names that are not durable yet: nothing in these was promised.
    pub fresh: HashSet<LayerId>,
    /// Layers that were being made when their makers were last seen.
    making: HashSet<LayerId>,
    /// What is wrong with the files of names.
    pub findings: Vec<Finding>,
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
    /// An open one in which something was committed.
    pub has_commits: bool,
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
            let layer = match read_layer(place, &path) {
                Err(error) if error.is_newer() => {
                    facts.newer.insert(id);
                    continue;
                }
                layer => layer?,
            };
            if let Some(layer) = layer {
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

    /// Open layers in which something was committed, and that no name leads to: those of a volume whose name
    /// is lost, of one that was killed before its name was written, and what a removal that was killed left.
    pub fn nameless(&self) -> impl Iterator<Item = (LayerId, &LayerFacts)> {
        let named: HashSet<LayerId> = self.entries().map(|entry| entry.top).collect();
        let is_nameless = move |(id, layer): &(&LayerId, &LayerFacts)| {
            layer.state == LayerState::Open
                && layer.has_commits
                && !named.contains(*id)
                && !self.making.contains(*id)
        };
        self.layers.iter().filter(is_nameless).map(|(id, layer)| (*id, layer))
    }

    /// Files that nothing durable leads to: open layers without a durable name, and files without
    /// a header that no durable name and no other layer knows. They are new and not synced yet, or left by
    /// something that was interrupted; nothing in them was acknowledged.
    pub fn unpromised(&self) -> impl Iterator<Item = LayerId> + '_ {
        let tops = self.entries().map(|entry| entry.top);
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
    pub fn reached(&self) -> HashSet<LayerId> {
        let is_kept = |(id, layer): &(&LayerId, &LayerFacts)| {
            layer.state == LayerState::Frozen && !layer.removed && !self.making.contains(id)
        };
        let kept = self.layers.iter().filter(is_kept).map(|(id, _)| *id);
        let parents = self.entries().filter_map(|entry| entry.parent.as_ref());
        let named = parents.filter_map(|parent| self.resolve(parent).ok());
        let mut to_visit: Vec<LayerId> = kept
            .chain(self.entries().map(|entry| entry.top))
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

    /// Whether the file of a layer is of a newer version.
    pub fn is_newer(&self, id: LayerId) -> bool {
        self.newer.contains(&id)
    }

    /// What the name files say.
    pub fn entries(&self) -> impl Iterator<Item = &NameEntry> {
        self.names.iter().map(|(_, entry)| entry)
    }

    /// The layer that keeps a reference, or why none does (INV-04).
    pub fn resolve(&self, wanted: &LayerRef) -> Result<&LayerFacts> {
        let named = self.layers.get(&wanted.id);
        let verdict = match named {
            Some(layer) => match wanted.verify(&layer.reference) {
                Ok(()) => return Ok(layer),
                Err(error) => error,
            },
            None if self.newer.contains(&wanted.id) => {
                Error::newer("find a layer", "layer id", wanted.id, "layers of its own version")
            }
            None => {
                let found = match self.headerless.contains(&wanted.id) {
                    true => "a file of it without a header that verifies",
                    false => "no file of it",
                };
                Error::new(ErrorKind::WrongParent, "find a layer")
                    .about("layer id", found, wanted.id)
            }
        };
        let equal = wanted.digest.and_then(|digest| self.by_digest.get(&digest));
        equal.and_then(|id| self.layers.get(id)).ok_or(verdict)
    }

    fn read_names(&mut self, place: &Place<'_>) -> Result<()> {
        let mut files: HashMap<String, String> = HashMap::new();
        // Where a crash left several files of a name, the first of these counts.
        let mut listed = place.list("names")?;
        let rank = |file: &str| NAME_FILES.iter().position(|(ending, ..)| file.ends_with(ending));
        listed.sort_by_key(|file| rank(file).unwrap_or(NAME_FILES.len()));
        for file in listed {
            let path = place.path("names", &file);
            let of_name = |&(ending, kind, severity): &(&str, NameKind, Severity)| {
                Some((file.strip_suffix(ending)?, kind, severity))
            };
            let Some((escaped, kind, severity)) = NAME_FILES.iter().find_map(of_name) else {
                let what = match names::is_unfinished(&file) {
                    true => "left by something that is under way, or was interrupted",
                    false => "not a file of a store",
                };
                self.findings.push(place.finding(Severity::Note, &path, what.to_owned()));
                continue;
            };
            let entry = match read_name(place, &path, escaped, severity) {
                Ok(Some(entry)) if entry.kind != kind => {
                    let what = format!("kind: found {}, expected {kind}", entry.kind);
                    self.findings.push(place.finding(severity, &path, what));
                    continue;
                }
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
            self.names.push((path, entry));
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
    let header = match Slots::read(&file).into_header() {
        Err(error) if error.is_newer() => return Err(error),
        Err(_) => return Ok(None),
        Ok(header) => header,
    };
    let header = &header;
    let mut sources = read_sources(&file, header);
    let mut has_commits = false;
    if header.state == LayerState::Open
        && let Ok(replay) = journal::replay(&file, header, sources.clone())
    {
        has_commits = !header.runs.is_empty() || !replay.records.is_empty();
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
        has_commits,
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
