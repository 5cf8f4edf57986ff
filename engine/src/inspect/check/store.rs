//! A whole store: its own file, every layer by itself, then how they stand to each other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::facts::Facts;
use super::place::Place;
use super::relations::relations;
use super::seen::Seen;
use super::{CheckOptions, CheckProgress, Progress, index, layer, names, thinned};
use crate::error::{ErrorKind, Result};
use crate::format::name::StoreEntry;
use crate::inspect::file::InspectedFile;
use crate::inspect::report::{CheckReport, Finding, Severity};
use crate::medium::Host;

/// How often relations are looked at again while others change the store.
const LOOKS_MAX: usize = 3;

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
    frame(&place, &mut report);
    let seen = layers(&place, options, &mut progress, &mut report)?;
    let facts = related(&place, &seen, &mut report)?;
    thinned::check(&place, &facts, &seen, options, &mut report)?;
    index::check(&place, &facts, &mut report)?;
    digests(&place, &facts, &mut report)?;
    report.counts.names = facts.names.len() as u64;
    excuse_unpromised(&place, &facts, &mut report);
    Ok(report)
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

/// Folders and locks, which copies leave out where they are empty.
fn frame(place: &Place<'_>, report: &mut CheckReport) {
    let folders = [
        ("layers", Severity::Damage),
        ("names", Severity::Damage),
        ("index", Severity::Note),
        ("digests", Severity::Note),
    ];
    let folders = folders.map(|(folder, severity)| {
        let path = place.root.join(folder);
        (place.host.list(&path).map(drop), path, severity)
    });
    let locks = ["lock", "names.lock"].map(|lock| {
        let path = place.root.join(lock);
        (place.host.facts(&path).map(drop), path, Severity::Note)
    });
    for (looked, path, severity) in folders.into_iter().chain(locks) {
        // What else is wrong with one is told by those who use it.
        if looked.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let what =
                "missing: a copy leaves it out where it is empty, and mending the store makes it";
            report.push(place.finding(severity, &path, what.to_owned()));
        }
    }
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
            None if names::released_of(&file).is_some() => {
                let what =
                    "a snapshot without a name, which goes once it is known that no lost layer of \
                            another name stands on it"
                        .to_owned();
                report.push(place.finding(Severity::Note, &path, what));
            }
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
        // A layer may have no name for a moment, too.
        let is_settled =
            |finding: &Finding| finding.severity == Severity::Note && finding.layer.is_none();
        if found.iter().all(is_settled) {
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
        let is_excused = !matches!(finding.severity, Severity::Note | Severity::Newer);
        if is_excused && files.contains(&finding.path) {
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
