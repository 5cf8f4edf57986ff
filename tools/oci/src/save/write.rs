//! The blobs of images, written somewhere first: they go by digests that nobody knows before.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use oci_spec::image::{Descriptor, MediaType};
use sapwood::{LayerId, Result, Store};

use super::layer::{OutgoingLayer, WrittenLayer};
use super::prepare::OutgoingImage;
use crate::Sha256;
use crate::blob::Compression;
use crate::image::{Configuration, Image};
use crate::parallel::in_parallel;

/// How many layers are written at once; each of them is compressed on all cores.
const LAYERS_AT_ONCE_MAX: usize = 4;

/// An image to save, and the name that it goes by.
#[derive(Clone, Copy, Debug)]
pub struct Save<'a> {
    /// The image.
    pub image: &'a Image,
    /// Its name; none for one that is told by its digest alone.
    pub name: Option<&'a str>,
}

/// An image that was saved.
#[derive(Clone, Debug)]
pub struct SavedImage {
    /// Its name.
    pub name: Option<String>,
    /// Its configuration, whose digest is its id.
    pub configuration: Configuration,
    /// Its layers, lowest first.
    pub layers: Vec<WrittenLayer>,
    /// Its manifest in OCI's form.
    pub manifest: Descriptor,
}

/// A blob.
pub enum Blob<F> {
    /// Written somewhere.
    File(F),
    /// A document.
    Document(Vec<u8>),
}

/// Images with all their blobs, each blob once.
pub struct Written<F> {
    pub images: Vec<SavedImage>,
    pub blobs: BTreeMap<Sha256, Blob<F>>,
}

/// Which layer it is, over which: what is equal in this goes out as the same bytes.
type LayerKey = (Option<LayerId>, LayerId);

/// Writes the blobs of images: layers into what `make` makes, several at once and each layer once.
pub fn write_images<F: Write + Send>(
    store: &Store,
    saves: &[Save<'_>],
    compression: Compression,
    make: &(dyn Fn() -> Result<F> + Sync),
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Written<F>> {
    let outgoing = saves.iter().map(|save| OutgoingImage::new(store, save.image));
    let outgoing = outgoing.collect::<Result<Vec<_>>>()?;
    let mut layers: Vec<&OutgoingLayer> = Vec::new();
    let mut places: HashMap<LayerKey, usize> = HashMap::new();
    for layer in outgoing.iter().flat_map(OutgoingImage::layers) {
        places.entry(layer.key()).or_insert_with(|| {
            layers.push(layer);
            layers.len() - 1
        });
    }
    let written = write_layers(&layers, compression, make, tell)?;
    let mut blobs = BTreeMap::new();
    let mut told = Vec::new();
    for (layer, file) in written {
        blobs.entry(digest_of(&layer.descriptor)?).or_insert(Blob::File(file));
        told.push(layer);
    }
    let mut images = Vec::new();
    for (save, image) in saves.iter().zip(&outgoing) {
        let layer = |layer: &OutgoingLayer| told[places[&layer.key()]].clone();
        let layers: Vec<WrittenLayer> = image.layers().iter().map(layer).collect();
        let diff_ids: Vec<Sha256> = layers.iter().map(|layer| layer.diff_id).collect();
        let configuration = image.configuration(&diff_ids)?;
        let descriptors = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        let manifest = image.manifest(&configuration, descriptors)?;
        let digest = Sha256::of(&manifest);
        let name = save.name.map(str::to_owned);
        let descriptor = digest.descriptor(MediaType::ImageManifest, manifest.len() as u64);
        blobs.insert(configuration.digest(), Blob::Document(configuration.json().to_vec()));
        blobs.insert(digest, Blob::Document(manifest));
        images.push(SavedImage { name, configuration, layers, manifest: descriptor });
    }
    Ok(Written { images, blobs })
}

/// Layers as they are wanted, with where each was written.
fn write_layers<F: Write + Send>(
    layers: &[&OutgoingLayer],
    compression: Compression,
    make: &(dyn Fn() -> Result<F> + Sync),
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<(WrittenLayer, F)>> {
    let threads = LAYERS_AT_ONCE_MAX.min(rayon::current_num_threads());
    in_parallel(layers, threads, |_, layer| {
        let mut file = make()?;
        Ok((layer.write(&mut file, compression, tell)?, file))
    })
}

/// The digest that a descriptor made here tells.
pub fn digest_of(descriptor: &Descriptor) -> Result<Sha256> {
    descriptor.digest().to_string().parse()
}
