//! How an image came to be, step by step, and what each step brought.

use sapwood::files::{FilesView, LayerContent, contents_of_layers};
use sapwood::{Result, Store};
use serde_json::Value;

use crate::image::{Image, ImageLayer};
use crate::time;

/// A step in the making of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When it was done, in nanoseconds since 1970 UTC.
    pub created: Option<i64>,
    /// What did it.
    pub created_by: Option<String>,
    /// A comment.
    pub comment: Option<String>,
    /// The layer that it made, and what that brought; none where only the configuration changed.
    pub layer: Option<(ImageLayer, LayerContent)>,
}

/// The history of an image, newest first, steps that made no layer among it.
///
/// What the configuration says is told of the layers in their order. Layers that it says nothing
/// of, as those of a container over its image, are told as the store knows them; steps whose
/// layers are not there are left out.
pub fn history(store: &Store, image: &Image) -> Result<Vec<HistoryEntry>> {
    let layers = image.layers(store)?;
    let contents = contents_of_layers(&views(store, &layers)?)?;
    let mut layers = layers.into_iter().zip(contents);
    let mut entries = Vec::new();
    for said in image.configuration().get().history().iter().flatten() {
        let is_empty = said.empty_layer().unwrap_or(false);
        let layer = if is_empty { None } else { layers.next() };
        if is_empty || layer.is_some() {
            entries.push(HistoryEntry {
                created: said.created().as_deref().and_then(time::parse),
                created_by: said.created_by().clone(),
                comment: said.comment().clone().filter(|comment| !comment.is_empty()),
                layer,
            });
        }
    }
    entries.extend(layers.map(|(layer, content)| HistoryEntry {
        created: layer.created,
        created_by: layer.created_by.clone(),
        comment: layer.comment.clone(),
        layer: Some((layer, content)),
    }));
    entries.reverse();
    Ok(entries)
}

/// The trees of layers.
pub fn views(store: &Store, layers: &[ImageLayer]) -> Result<Vec<FilesView>> {
    let view = |layer: &ImageLayer| FilesView::open(store.snapshot_of(&layer.id.to_string())?);
    layers.iter().map(view).collect()
}

/// Whether a step made no layer.
pub fn is_empty(step: &Value) -> bool {
    step["empty_layer"] == true
}
