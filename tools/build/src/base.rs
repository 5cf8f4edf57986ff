//! What a stage stands on: an image of the store, or a tree without a configuration.

use sapwood::files::FilesView;
use sapwood::{Error, ErrorKind, Result, Snapshot, Store};
use sapwood_oci::{IMAGE_LABEL, by_id, read_configuration};

use crate::configuration::{Configuration, History};
use crate::time::rfc3339;

/// An image, opened.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its topmost filesystem layer; none where it has no layers.
    pub top: Option<Snapshot>,
    /// Its configuration.
    pub configuration: Configuration,
}

impl Image {
    /// The image that `reference` means. A tree that has no configuration is one all the same: one
    /// whose layers say how they were made.
    ///
    /// Errors: [`NotFound`](ErrorKind::NotFound); [`InvalidInput`](ErrorKind::InvalidInput) for a
    /// volume's current state, which goes on changing.
    pub fn open(store: &Store, reference: &str) -> Result<Image> {
        let reference = &by_id(store, reference)?;
        // Not where it is there and a layer below it is lost, which is another matter.
        store.resolve(reference).map_err(|error| match error.kind() {
            ErrorKind::NotFound => missing(reference),
            _ => error,
        })?;
        let snapshot = store.snapshot_of(reference)?;
        if snapshot.reference().freeze_generation == 0 {
            let found = format!("{reference}, a volume");
            return Err(Error::invalid(
                "build",
                "image",
                found,
                "an image, or a snapshot of a tree",
            ));
        }
        let view = FilesView::open(snapshot)?;
        let layers = store.lineage(&view.snapshot().layer_id().to_string())?;
        let filesystem_layers =
            layers.iter().filter(|layer| !layer.annotations.labels.contains_key(IMAGE_LABEL));
        let newest = filesystem_layers.clone().next();
        let mut configuration = match read_configuration(&view)? {
            Some(read) => {
                serde_json::from_value::<Configuration>(read.to_value()).map_err(|error| {
                    let expected = "an image configuration";
                    Error::invalid(
                        "build",
                        "configuration",
                        format!("{reference}: {error}"),
                        expected,
                    )
                })?
            }
            None => Configuration::default(),
        };
        let there = filesystem_layers.rev().filter(|layer| !layer.removed);
        // It may tell of more than there are, and what is built on them stands behind.
        configuration.keep_steps_of(there.clone().count());
        // Layers of which the history says nothing: there may be none, and further steps stand behind.
        let told = configuration.layers();
        configuration.history.extend(there.skip(told).map(|layer| History {
            created: layer.annotations.created.map(rfc3339),
            created_by: layer.annotations.created_by.clone(),
            ..History::default()
        }));
        // Whatever is built on it is as old as that at least, whenever it is built.
        if configuration.created.is_none() {
            configuration.created = newest.and_then(|layer| layer.annotations.created).map(rfc3339);
        }
        let top = newest.map(|layer| layer.id.to_string());
        let top = top.map(|top| store.snapshot_of(&top)).transpose()?;
        Ok(Image { top, configuration })
    }
}

fn missing(reference: &str) -> Error {
    let found = format!("{reference}, which the store does not have");
    let expected = "one that it has: `load` and `pull` bring images in";
    Error::new(ErrorKind::NotFound, "find an image").about("image", found, expected)
}
