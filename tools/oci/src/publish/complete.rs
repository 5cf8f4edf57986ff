//! What a configuration says of the layers, so that it is final.

use std::sync::Arc;
use std::thread;

use sapwood::files::FilesView;
use sapwood::{ErrorKind, LayerId, Result, Store};
use serde_json::{Value, json};

use crate::Sha256;
use crate::history::is_empty;
use crate::image::{
    Configuration, DiffIds, ImageLayer, filesystem_layers, keep_cache_keys, placed_layers,
};
use crate::parallel::in_parallel;
use crate::save::OutgoingLayer;
use crate::time;

/// The configuration of an image whose topmost filesystem layer is `top`, with the diffIDs of all layers.
///
/// Those that nobody knows yet are computed, several at once, by writing the tars of the layers
/// nowhere, and noted, so that nobody computes them again.
///
/// Errors: [`Unsupported`](sapwood::ErrorKind::Unsupported) where a layer has what its tar cannot say, as
/// names that begin with `.wh.`.
pub fn complete(
    store: &Store,
    top: Option<LayerId>,
    configuration: &Configuration,
) -> Result<Configuration> {
    let layers = match top {
        Some(top) => digested_layers(store, top)?,
        None => Vec::new(),
    };
    let diff_ids: Vec<Sha256> = layers.iter().filter_map(|layer| layer.diff_id).collect();
    with_diff_ids(configuration, &layers, &diff_ids)
}

/// The configuration as it goes out where the layers have these diffIDs: its own bytes if they say
/// so; else with these, with a history that speaks of each, and with the keys of the steps below the lowest layer
/// that is not what it says.
pub fn with_diff_ids(
    configuration: &Configuration,
    layers: &[ImageLayer],
    diff_ids: &[Sha256],
) -> Result<Configuration> {
    if configuration.diff_ids() == diff_ids {
        return Ok(configuration.clone());
    }
    let mut value = configuration.to_value();
    value["rootfs"]["diff_ids"] = diff_ids.iter().map(ToString::to_string).collect();
    let same = configuration.diff_ids().iter().zip(diff_ids).take_while(|(said, is)| said == is);
    let same = same.count();
    if same < configuration.diff_ids().len() {
        keep_cache_keys(&mut value, same);
    }
    if let Some(history) = value.get_mut("history").and_then(Value::as_array_mut) {
        speak_of_each(layers, history);
    }
    Configuration::from_value(&value)
}

/// Computes and notes the diffIDs of a filesystem layer and of those below it that nobody knows yet, so that
/// [`publish`](super::publish) has less to do.
///
/// Errors: as [`complete`].
pub fn note_diff_ids(store: &Store, top: LayerId) -> Result<()> {
    digested_layers(store, top).map(drop)
}

/// The filesystem layers up to one, with their diffIDs.
fn digested_layers(store: &Store, top: LayerId) -> Result<Vec<ImageLayer>> {
    let placed = placed_layers(store, &top.to_string())?;
    let (mut layers, places): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
    let unknown: Vec<usize> =
        (0..layers.len()).filter(|&at| layers[at].diff_id.is_none()).collect();
    if unknown.is_empty() {
        return Ok(layers);
    }
    let computed = in_parallel(&unknown, cores(), |_, &at| compute(store, &layers[at]))?;
    let mut noted = Vec::new();
    for (at, diff_id) in unknown.into_iter().zip(computed) {
        layers[at].diff_id = Some(diff_id);
        noted.push((places[at].clone(), diff_id));
    }
    DiffIds::note(store, &noted)?;
    Ok(layers)
}

/// Whether the trees of a filesystem layer and of those below it, down to the first that says its ChainID
/// itself, are what was noted of their digests. What cannot be read, or goes out as no tar, is not.
pub fn are_as_noted(store: &Store, top: LayerId) -> Result<bool> {
    let layers = filesystem_layers(store, &top.to_string());
    let compared = layers.and_then(|layers| {
        let noted: Vec<_> = layers.iter().rev().take_while(|layer| layer.is_noted).collect();
        in_parallel(&noted, cores(), |_, layer| {
            let unknown = ImageLayer { diff_id: None, ..(*layer).clone() };
            Ok(Some(compute(store, &unknown)?) == layer.diff_id)
        })
    });
    match compared {
        Err(error) if error.is_of_one_file() || error.kind() == ErrorKind::Unsupported => Ok(false),
        are_same => Ok(are_same?.into_iter().all(|is_same| is_same)),
    }
}

fn compute(store: &Store, layer: &ImageLayer) -> Result<Sha256> {
    let view = |id: LayerId| -> Result<_> {
        Ok(Arc::new(FilesView::open(store.snapshot_of(&id.to_string())?)?))
    };
    let below = layer.below.map(view).transpose()?;
    OutgoingLayer::new(view(layer.id)?, below, layer).compute_diff_id()
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Readers refuse a history that has more steps with layers than there are layers, or fewer.
fn speak_of_each(layers: &[ImageLayer], history: &mut Vec<Value>) {
    let mut layers = layers.iter();
    for step in history.iter_mut().filter(|step| !is_empty(step)) {
        if layers.next().is_none() {
            step["empty_layer"] = true.into();
        }
    }
    history.extend(layers.map(|layer| {
        let mut step = json!({});
        for (key, text) in [
            ("created", layer.created.map(time::written)),
            ("created_by", layer.created_by.clone()),
            ("comment", layer.comment.clone()),
        ] {
            if let Some(text) = text {
                step[key] = text.into();
            }
        }
        step
    }));
}
