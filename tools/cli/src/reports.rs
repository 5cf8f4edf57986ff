//! What several verbs report in the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use sapwood::format::header::{LayerKind, LayerState};
use sapwood::store::{DamagedName, LayerInfo, Store};
use sapwood::units::LayerId;
use sapwood_oci::Damaged;
use serde::Serialize;

use crate::error::Result;
use crate::output::time::utc;
use crate::output::{Text, printable};

/// What is wrong with a name of which not all can be read, or with a layer without a name.
#[derive(Clone, Debug, Serialize)]
pub struct DamageReport {
    pub name: Option<String>,
    /// None where it is the name itself that does not verify.
    pub layer: Option<String>,
    pub damage: String,
    /// Nothing is wrong with it: a newer version made it.
    pub newer: bool,
}

impl DamageReport {
    pub fn new(damaged: Damaged) -> DamageReport {
        let Damaged { name, layer, damage, is_newer } = damaged;
        DamageReport { name, layer: layer.map(|id| id.to_string()), damage, newer: is_newer }
    }

    /// Of a name that does not verify.
    pub fn of_name(damaged: DamagedName) -> DamageReport {
        let DamagedName { name, damage, is_newer, .. } = damaged;
        DamageReport { name: Some(name), layer: None, damage, newer: is_newer }
    }

    /// Of a layer, whatever stands on it.
    pub fn of_layer(layer: LayerId, damage: String, newer: bool) -> DamageReport {
        DamageReport { name: None, layer: Some(layer.to_string()), damage, newer }
    }

    /// A line for each.
    pub fn write_all(reports: &[DamageReport], text: &mut Text<'_>) -> io::Result<()> {
        for DamageReport { name, layer, damage, .. } in reports {
            let named = name.as_deref().or(layer.as_deref().map(short)).unwrap_or_default();
            writeln!(text, "{}: {}", printable(named), printable(damage))?;
        }
        Ok(())
    }
}

/// A layer, as every verb reports it.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    pub layer: String,
    pub digest: Option<String>,
    pub parent: Option<String>,
    pub layer_kind: &'static str,
    pub state: &'static str,
    pub removed: bool,
    pub thinned: bool,
    pub size_bytes: u64,
    /// What its own file holds of the volume; not known of an open layer, whose map is its writer's.
    pub data_bytes: Option<u64>,
    pub file_bytes: u64,
    pub allocated_bytes: u64,
    /// In nanoseconds since 1970 UTC.
    pub created: Option<i64>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    pub labels: BTreeMap<String, String>,
}

impl LayerReport {
    /// What the store says of a layer.
    pub fn new(info: &LayerInfo, store: &Store) -> LayerReport {
        LayerReport {
            layer: info.id.to_string(),
            digest: info.digest.map(|digest| digest.to_string()),
            parent: info.parent.map(|parent| parent.id.to_string()),
            layer_kind: match info.kind {
                LayerKind::Disk => "disk",
                LayerKind::Tree => "tree",
            },
            state: match (info.state, info.digest) {
                (LayerState::Open, _) => "open",
                (LayerState::Frozen, None) => "frozen",
                (LayerState::Frozen, Some(_)) => "sealed",
            },
            removed: info.removed,
            thinned: info.thinned,
            size_bytes: info.volume_bytes,
            data_bytes: match info.state {
                LayerState::Open => None,
                LayerState::Frozen => {
                    Some(info.data_blocks.saturating_mul(store.block_size().bytes()))
                }
            },
            file_bytes: info.file_bytes,
            allocated_bytes: info.allocated_bytes,
            created: info.annotations.created,
            created_by: info.annotations.created_by.clone(),
            comment: info.annotations.comment.clone(),
            labels: info.annotations.labels.clone(),
        }
    }

    /// The state with its marks, in words.
    pub fn state_text(&self) -> String {
        let mut text = self.state.to_owned();
        for (is_set, word) in [(self.removed, "removed"), (self.thinned, "thinned")] {
            if is_set {
                text = format!("{text}, {word}");
            }
        }
        text
    }
}

/// How people call those of the layers below `reference` that have names.
pub fn names_of_layers(
    store: &Store,
    reference: &str,
    layers: impl IntoIterator<Item = LayerId>,
) -> Result<BTreeMap<LayerId, Vec<String>>> {
    let mut layers: BTreeSet<_> = layers.into_iter().collect();
    // A volume is the only name of its top, which need not be looked for.
    let resolved = store.resolve(reference)?;
    let top =
        resolved.name.clone().filter(|_| resolved.is_live() && layers.remove(&resolved.layer));
    let mut names = store.names_of(&layers)?;
    names.extend(top.map(|name| (resolved.layer, vec![name])));
    Ok(names)
}

/// In a table, what stands for what cannot be read.
pub fn unreadable(is_newer: bool) -> &'static str {
    if is_newer { "newer" } else { "damaged" }
}

/// As much of an id or digest as people need to tell it from others.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// A time, or nothing where none is known.
pub fn when(created: Option<i64>) -> String {
    created.map(utc).unwrap_or_default()
}

/// As much of a digest as people need, without the name of its algorithm.
pub fn short_digest(digest: &str) -> &str {
    short(digest.split_once(':').map_or(digest, |(_, hex)| hex))
}
