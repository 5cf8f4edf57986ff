//! What of an image goes out: its layers, its configuration, its manifest.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType, SCHEMA_VERSION};
use sapwood::files::{FilesView, Inode, ReadFiles, changes};
use sapwood::{Error, Result, Store};

use super::layer::OutgoingLayer;
use crate::Sha256;
use crate::history::views;
use crate::image::{Configuration, Image, ImageLayer};
use crate::publish::with_diff_ids;

/// An image on its way out.
pub struct OutgoingImage {
    configuration: Configuration,
    layers: Vec<OutgoingLayer>,
    /// What the store knows of the layers, for what the configuration does not say of them.
    known: Vec<ImageLayer>,
    annotations: BTreeMap<String, String>,
}

impl OutgoingImage {
    /// Looks up what goes out for an image.
    ///
    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for a volume, of which nobody knows
    /// what it holds next: commit it first.
    pub fn new(store: &Store, image: &Image) -> Result<OutgoingImage> {
        if image.snapshot().reference().freeze_generation == 0 {
            let expected = "an image: commit it first";
            return Err(Error::invalid("save an image", "reference", "a volume", expected));
        }
        let mut known = image.layers(store)?;
        let mut below: Option<Arc<FilesView>> = None;
        let mut layers = Vec::new();
        for (layer, view) in known.iter().zip(views(store, &known)?) {
            let view = Arc::new(view);
            layers.push(OutgoingLayer::new(Arc::clone(&view), below, layer));
            below = Some(view);
        }
        if holds_files(image, below.as_deref())? {
            let layer = itself(image, known.last())?;
            let view = Arc::new(FilesView::open(image.snapshot().clone())?);
            layers.push(OutgoingLayer::new(view, below, &layer));
            known.push(layer);
        }
        let configuration = image.configuration().clone();
        let annotations = image.manifest_annotations()?;
        Ok(OutgoingImage { configuration, layers, known, annotations })
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[OutgoingLayer] {
        &self.layers
    }

    /// The configuration that goes out where the layers have these diffIDs: the image's own bytes if
    /// they say so, so that its id stays; else with these, and with a history that speaks of each.
    pub fn configuration(&self, diff_ids: &[Sha256]) -> Result<Configuration> {
        with_diff_ids(&self.configuration, &self.known, diff_ids)
    }

    /// The manifest in OCI's form, of an image that goes out with this configuration and these layers. What was
    /// said of the image in the manifest that it came with is said in this one, unless it goes out as another.
    pub fn manifest(
        &self,
        configuration: &Configuration,
        layers: Vec<Descriptor>,
    ) -> Result<Vec<u8>> {
        let digest = configuration.digest();
        let bytes = configuration.json().len() as u64;
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(digest.descriptor(MediaType::ImageConfig, bytes))
            .layers(layers)
            .build()
            .expect("all that has to be said is said");
        let written = |error: serde_json::Error| Error::io("write a manifest", error.into());
        if self.annotations.is_empty() || digest != self.configuration.digest() {
            return serde_json::to_vec(&manifest).map_err(written);
        }
        // In an order of their own, and not that of a hash: the digest is of these bytes.
        let mut manifest = serde_json::to_value(&manifest).map_err(written)?;
        manifest["annotations"] = self.annotations.clone().into_iter().collect();
        serde_json::to_vec(&manifest).map_err(written)
    }
}

/// Whether the image layer shows other files than the topmost filesystem layer: one that was
/// flattened holds all of them itself.
fn holds_files(image: &Image, top: Option<&FilesView>) -> Result<bool> {
    if let Some(top) = top {
        return Ok(!changes(top, image.view())?.is_empty());
    }
    let mut holds = false;
    image.view().entries(Inode::ROOT, 0, &mut |_| {
        holds = true;
        ControlFlow::Break(())
    })?;
    Ok(holds)
}

/// An image layer as one of the filesystem layers, on the topmost.
fn itself(image: &Image, top: Option<&ImageLayer>) -> Result<ImageLayer> {
    let annotations = image.snapshot().annotations()?;
    Ok(ImageLayer {
        id: image.snapshot().layer_id(),
        below: top.map(|top| top.id),
        diff_id: None,
        from_tar: false,
        is_noted: false,
        chain_id: None,
        created: annotations.created,
        created_by: annotations.created_by,
        comment: annotations.comment,
    })
}
