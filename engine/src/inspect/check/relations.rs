//! How the files of a store stand to each other: names to layers, layers to parents and sources.

use std::collections::HashMap;
use std::path::Path;

use super::facts::{Facts, LayerFacts};
use super::place::Place;
use super::seen::Seen;
use crate::error::Error;
use crate::format::header::LayerState;
use crate::format::{NameEntry, NameKind};
use crate::inspect::report::{Finding, Severity};
use crate::units::LayerId;

/// What is said of what stands on a layer that was not looked at.
const NEWER: &str = "made by a newer version";

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
            let what = format!("parent {}: {}{excuse}", parent.id, difference(&error));
            push(missing.of(&error), what);
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
                    let what = format!("source {}: {}{excuse}", source.id, difference(&error));
                    push(missing.of(&error), what);
                }
            }
        }
    }
    for id in cycles(facts) {
        let path = place.layer(id);
        let what = "its ancestors lead back to it".to_owned();
        found.push(place.finding(Severity::Damage, &path, what));
    }
    for (id, layer) in facts.nameless() {
        let what =
            "a volume's last writes, to which no name leads: they can be read by the id of the \
                    layer, until a collection takes them"
                .to_owned();
        let mut finding = place.finding(Severity::Note, &layer.path, what);
        finding.layer = Some(id);
        found.push(finding);
    }
    found.extend(
        facts.names.iter().filter_map(|(path, entry)| name_relation(place, facts, path, entry)),
    );
    found
}

fn name_relation(
    place: &Place<'_>,
    facts: &Facts,
    path: &Path,
    entry: &NameEntry,
) -> Option<Finding> {
    let finding = |severity, what| Some(place.finding(severity, path, what));
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
                let what = format!("tag of {}: {}", parent.id, difference(&error));
                finding(Severity::Damage.of(&error), what)
            }
            (Some((_, Ok(_))), _) => {
                finding(Severity::Damage, "tag of a layer that is open".to_owned())
            }
            (None, Some(layer)) if layer.state == LayerState::Frozen => None,
            (None, _) => finding(Severity::Damage, "tag of no frozen layer".to_owned()),
        },
        NameKind::Volume => match top {
            // Where the top is frozen, as a volume is left that was closed at its snapshot, the next
            // writer makes a fresh one on it; where it is gone and was never promised, on the
            // parent.
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
                    place.finding(Severity::Damage, path, what)
                })
            }
            Some(_) => None,
            None if facts.is_newer(entry.top) => {
                let what = format!("the top, layer {}: {NEWER}", entry.top);
                finding(Severity::Newer, what)
            }
            None => match missing {
                Some((id, error)) => finding(
                    Severity::Damage.of(error),
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

/// Layers from which the way down comes back to themselves: the one of the least id of each circle,
/// wherever a walk came into it.
fn cycles(facts: &Facts) -> Vec<LayerId> {
    let below = |id: LayerId| {
        let parent = facts.layers.get(&id)?.parent.as_ref()?;
        facts.resolve(parent).ok().map(|layer| layer.reference.id)
    };
    // 0: not seen; the number of the walk that came by.
    let mut walked: HashMap<LayerId, u32> = HashMap::new();
    let mut found = Vec::new();
    for (number, &start) in (1..).zip(facts.layers.keys()) {
        let mut at = Some(start);
        while let Some(id) = at {
            match walked.get(&id) {
                Some(&walk) if walk == number => {
                    let others = std::iter::successors(below(id), |at| below(*at));
                    found.extend(others.take_while(|at| *at != id).chain([id]).min());
                    break;
                }
                Some(_) => break,
                None => walked.insert(id, number),
            };
            at = below(id);
        }
    }
    found.sort_unstable();
    found
}

fn difference(error: &Error) -> String {
    if error.is_newer() {
        return NEWER.to_owned();
    }
    format!(
        "{}: found {}, expected {}",
        error.field().unwrap_or("layer"),
        error.found().unwrap_or("nothing"),
        error.expected().unwrap_or("the layer")
    )
}
