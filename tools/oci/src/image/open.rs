//! An image, opened.

use std::collections::BTreeMap;

use sapwood::files::{FilesView, attachment};
use sapwood::{
    DamagedName, Error, ErrorKind, LayerId, LayerKind, NameEntry, NamesLeft, Result, Snapshot,
    Store,
};

use super::layers::{ImageLayer, filesystem_layers};
use super::{Configuration, IMAGE_LABEL, MANIFEST_ANNOTATIONS, by_id, read_configuration};
use crate::Sha256;
use crate::usage::Damaged;

/// An image of a store: a snapshot of its tree, with its configuration.
#[derive(Debug)]
pub struct Image {
    view: FilesView,
    configuration: Configuration,
    reference: String,
}

impl Image {
    /// The image that `reference` means: a tag, an image's [id](by_id), or any snapshot or volume whose tree
    /// was forked from an image.
    ///
    /// Errors: [`NotFound`](sapwood::ErrorKind::NotFound);
    /// [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for a disk, and for a tree that is no
    /// image.
    pub fn open(store: &Store, reference: &str) -> Result<Image> {
        let view = FilesView::open(store.snapshot_of(&by_id(store, reference)?)?)?;
        match read_configuration(&view)? {
            Some(configuration) => {
                Ok(Image { view, configuration, reference: reference.to_owned() })
            }
            None => {
                let found = format!("{reference}, a tree without a configuration");
                let expected =
                    "an image: `build` makes one on any tree, `commit` one of a container";
                Err(Error::invalid("open an image", "reference", found, expected))
            }
        }
    }

    /// Its configuration.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The annotations of the manifest that it came with; none for an image that was made here, and for what
    /// stands on an image.
    ///
    /// Errors: [`Corrupt`](sapwood::ErrorKind::Corrupt).
    pub fn manifest_annotations(&self) -> Result<BTreeMap<String, String>> {
        if !self.snapshot().annotations()?.labels.contains_key(IMAGE_LABEL) {
            return Ok(BTreeMap::new());
        }
        let Some(json) = attachment(&self.view, MANIFEST_ANNOTATIONS)? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_slice(&json).map_err(|error| {
            let expected = "texts by name";
            Error::corrupt("read the annotations of a manifest", "attachment", error, expected)
        })
    }

    /// Its tree.
    pub fn view(&self) -> &FilesView {
        &self.view
    }

    /// Its snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        self.view.snapshot()
    }

    /// Its filesystem layers, lowest first.
    pub fn layers(&self, store: &Store) -> Result<Vec<ImageLayer>> {
        filesystem_layers(store, &self.lineage_reference())
    }

    /// The topmost filesystem layer; none for an image without layers.
    pub fn top_layer(&self, store: &Store) -> Result<Option<LayerId>> {
        Ok(self.layers(store)?.last().map(|layer| layer.id))
    }

    /// The snapshot as a reference that means the same for ever; of a live volume the volume.
    fn lineage_reference(&self) -> String {
        let snapshot = self.view.snapshot();
        match snapshot.reference().freeze_generation {
            0 => self.reference.clone(),
            _ => snapshot.layer_id().to_string(),
        }
    }
}

/// The tags that are images, in order, with the digests of their configurations. One that cannot be read, or
/// whose layer cannot, is left out: who asks for it is told.
pub fn list(store: &Store) -> Result<Vec<(String, Sha256)>> {
    let images = list_what_is_left(store)?.into_iter();
    Ok(images.filter_map(|(tag, image)| Some((tag, image.ok()?))).collect())
}

/// As [`list`], with the tags that it leaves out, and what is wrong with them.
pub(crate) fn list_what_is_left(store: &Store) -> Result<Vec<(String, Result<Sha256, Damaged>)>> {
    let mut images = Vec::new();
    let NamesLeft { names, damaged } = store.tags_left()?;
    for DamagedName { name, damage, is_newer, .. } in damaged {
        let named = Some(name.clone());
        images.push((name, Err(Damaged { name: named, layer: None, damage, is_newer })));
    }
    for NameEntry { name, top, .. } in names {
        let layer = match store.layer(top) {
            Err(error) if error.is_of_one_file() || error.kind() == ErrorKind::NotFound => {
                let named = Some(name.clone());
                let (damage, is_newer) = (error.to_string(), error.is_newer());
                let damaged = Damaged { name: named, layer: Some(top), damage, is_newer };
                images.push((name, Err(damaged)));
                continue;
            }
            layer => layer?,
        };
        if layer.kind != LayerKind::Tree {
            continue;
        }
        if let Some(digest) = layer.annotations.labels.get(IMAGE_LABEL) {
            images.push((name, Ok(digest.parse()?)));
        }
    }
    Ok(images)
}
