//! A whole store: its own file, every layer by itself, then how they stand to each other.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layer::{self, Looked, Lost};
use super::relations::{Facts, relations};
use super::{CheckOptions, CheckProgress, Progress, index, names, thinned};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::StoreEntry;
use crate::inspect::file::InspectedFile;
use crate::inspect::report::{CheckReport, Finding, Severity, text_of};
use crate::medium::Host;
use crate::units::LayerId;

/// How often relations are looked at again while others change the store.
const LOOKS_MAX: usize = 3;

/// The folder that is being checked.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its host.
    pub host: &'a dyn Host,
    /// Its path there.
    pub root: &'a Path,
}

impl Place<'_> {
    /// The files of a folder of the store, in order; none where the folder is missing.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.root.join(folder);
        match self.host.list(&path) {
            Ok(files) => {
                let mut files: Vec<String> =
                    files.into_iter().map(|file| file.to_string_lossy().into_owned()).collect();
                files.sort_unstable();
                Ok(files)
            }
            Err(error) => {
                Err(Error::io("list a folder", error).in_file(self.host.display_path(&path)))
            }
        }
    }

    /// The path of a file in a folder of the store.
    pub fn path(&self, folder: &str, file: &str) -> PathBuf {
        self.root.join(folder).join(file)
    }

    /// The file of a layer.
    pub fn layer(&self, id: LayerId) -> PathBuf {
        self.path("layers", &format!("{id}.layer"))
    }

    /// A finding about a file of the store.
    pub fn finding(&self, severity: Severity, path: &Path, what: String) -> Finding {
        let path = self.host.display_path(path);
        Finding { severity, path, offset: None, layer: None, block: None, what }
    }

    /// What an error says, as a finding about the file it names, or else about `path`.
    pub fn failed(&self, severity: Severity, path: &Path, error: &Error) -> Finding {
        let mut finding = self.finding(severity, path, text_of(error));
        finding.offset = error.offset();
        finding
    }
}

/// Checks the store in the folder `root` of `host`: every file, and how they fit together.
///
/// `progress` is told after every layer and every portion of data.
///
/// # Errors
///
/// [`ErrorKind::NoStore`] where `root` is no store; otherwise those of the host. What the files
/// hold is never an error: it is in the report.
pub fn check(
    host: &Arc<dyn Host>,
    root: &Path,
    options: &CheckOptions,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<CheckReport> {
    let place = Place { host: &**host, root };
    let mut progress = Progress { now: CheckProgress::default(), tell: progress };
    let mut report = CheckReport::default();
    store_file(&place, &mut report)?;
    let seen = layers(&place, options, &mut progress, &mut report)?;
    let facts = related(&place, &seen, &mut report)?;
    thinned::check(&place, &facts, &seen, options, &mut report)?;
    index::check(&place, &facts, &mut report)?;
    digests(&place, &facts, &mut report)?;
    report.counts.names = facts.names.len() as u64;
    excuse_unpromised(&place, &facts, &mut report);
    Ok(report)
}

/// What the look at each layer leaves for the rest of the check.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of thinned layers: what does not verify.
    pub lost: HashMap<LayerId, Vec<Lost>>,
    /// Of each layer that maps blocks of others: how far into the file of each source, in blocks.
    pub reach: HashMap<LayerId, Vec<u64>>,
}

impl Seen {
    fn take(&mut self, id: LayerId, looked: Looked, report: &mut CheckReport) {
        report.absorb(looked.report);
        if !looked.lost.is_empty() {
            self.lost.insert(id, looked.lost);
        }
        if !looked.reach.is_empty() {
            self.reach.insert(id, looked.reach);
        }
    }
}

fn store_file(place: &Place<'_>, report: &mut CheckReport) -> Result<()> {
    let path = place.root.join("store");
    let file = match InspectedFile::open(place.host, &path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(error.with_kind(ErrorKind::NoStore));
        }
        Err(error) => return Err(error),
    };
    let entry = file.page(0).and_then(|page| StoreEntry::decode(&page));
    if let Err(error) = entry {
        report.push(place.failed(Severity::Damage, &path, &error));
    }
    if file.length() > 4096 {
        let what = format!("file length: found {} bytes, expected 4096", file.length());
        report.push(place.finding(Severity::Damage, &path, what));
    }
    Ok(())
}

fn layers(
    place: &Place<'_>,
    options: &CheckOptions,
    progress: &mut Progress<'_>,
    report: &mut CheckReport,
) -> Result<Seen> {
    let files = place.list("layers")?;
    progress.layers(files.len() as u64);
    let mut seen = Seen::default();
    for file in files {
        let path = place.path("layers", &file);
        match names::layer_of(&file) {
            Some(id) => match layer::check_file(place.host, &path, Some(id), options, progress) {
                Ok(Some(looked)) => seen.take(id, looked, report),
                Ok(None) => {}
                Err(error) => report.push(place.failed(Severity::Damage, &path, &error)),
            },
            None if names::is_unfinished(&file) => {
                let what = "left by something that is under way, or was interrupted".to_owned();
                report.push(place.finding(Severity::Note, &path, what));
            }
            None => {
                let what = "not a file of a store".to_owned();
                report.push(place.finding(Severity::Note, &path, what));
            }
        }
        progress.layer_done();
    }
    Ok(seen)
}

/// Gathers what the files say of each other and compares it. What looks wrong while others
/// change the store is looked at again: only what stays is reported.
fn related(place: &Place<'_>, seen: &Seen, report: &mut CheckReport) -> Result<Facts> {
    let mut facts = Facts::gather(place)?;
    let mut found = relations(place, &facts, seen);
    for _ in 1..LOOKS_MAX {
        if found.iter().all(|finding| finding.severity == Severity::Note) {
            break;
        }
        facts = Facts::gather(place)?;
        let again: HashSet<String> =
            relations(place, &facts, seen).iter().map(ToString::to_string).collect();
        found.retain(|finding| again.contains(&finding.to_string()));
    }
    found.into_iter().for_each(|finding| report.push(finding));
    Ok(facts)
}

/// What is wrong with a file that nothing durable leads to harms nobody.
fn excuse_unpromised(place: &Place<'_>, facts: &Facts, report: &mut CheckReport) {
    let files: HashSet<PathBuf> =
        facts.unpromised().map(|id| place.host.display_path(&place.layer(id))).collect();
    for finding in &mut report.findings {
        if finding.severity > Severity::Note && files.contains(&finding.path) {
            finding.severity = Severity::Note;
            finding.what += " (nothing durable leads to this file)";
        }
    }
}

/// The folder of digests is derived: what it says wrong is ignored by those who read it.
fn digests(place: &Place<'_>, facts: &Facts, report: &mut CheckReport) -> Result<()> {
    for file in place.list("digests")? {
        let holds = names::digest_of(&file).is_some_and(|(digest, id)| {
            facts.layers.get(&id).is_some_and(|layer| layer.reference.digest == Some(digest))
        });
        if !holds {
            let what = "no layer of this id has this digest (derived, ignored)".to_owned();
            let path = place.path("digests", &file);
            report.push(place.finding(Severity::Note, &path, what));
        }
    }
    Ok(())
}
