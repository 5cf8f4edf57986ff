//! An image's layers into snapshots, each verified before it is one.

use std::collections::{BTreeMap, VecDeque};
use std::thread;

use oci_spec::image::ImageManifest;
use sapwood::files::{Files, FilesOptions};
use sapwood::{Annotations, Error, LayerId, NameKind, Replace, Result, Store};
use sapwood_archive::{ArchiveEnd, ImportOptions, import_layer_recorded};

use super::coming::Coming;
use super::document::expect_image;
use super::partial::{Partial, forget_partial};
use super::platform::Platform;
use super::source::{ImageSource, digest_of, read_small};
use super::stream::{Allowance, LayerBlob, LayerStream};
use crate::Sha256;
use crate::blob::Compression;
use crate::image::{
    CHAIN_ID_LABEL, CONFIGURATION_BYTES_MAX, Configuration, DIFF_ID_LABEL, IMAGE_LABEL, Image,
    KnownLayers, made_now,
};
use crate::publish::{are_as_noted, finish};
use crate::time;

/// How many layers are read at once, the one that is being applied among them: what waits of each is
/// bounded, and so is all of it.
const LAYERS_AT_ONCE_MAX: usize = 4;
/// More layers than any tool makes.
const LAYERS_MAX: usize = 10_000;
/// How long a text may be that is put beside a layer.
const TEXT_CHARS_MAX: usize = 4_000;

/// How an image is taken in.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The platform of the image; where nothing is said, this machine's where there is a choice.
    pub platform: Option<Platform>,
    /// What to do where the tag is there.
    pub replace: Replace,
    /// How many bytes the tars of its layers may be, all together.
    pub unpacked_bytes_max: Option<u64>,
    /// Keep what was verified of an image that does not come in whole, under a tag that begins with
    /// [`OwnNames::PARTIAL`](crate::OwnNames::PARTIAL); it goes when the image is whole.
    pub keep_partial: bool,
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions {
            platform: None,
            replace: Replace::Refuse,
            unpacked_bytes_max: None,
            keep_partial: false,
        }
    }
}

/// How far an image is. Layers are numbered from the lowest, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// These many of all layers are there already, the lowest ones.
    Begun {
        /// How many layers the image has.
        layers: usize,
        /// How many are there.
        known: usize,
    },
    /// The blob of a layer is being read.
    Reading {
        /// Which.
        layer: usize,
        /// Bytes of the blob that were read.
        read_bytes: u64,
        /// Bytes that it has.
        blob_bytes: u64,
    },
    /// A layer is a snapshot now.
    Applied {
        /// Which.
        layer: usize,
    },
}

/// Takes in an image: its layers, the lowest first, then its configuration, and tags it.
///
/// Each blob and each tar is verified while it streams, and a layer becomes a snapshot only when its
/// size, its digest and its diffID were right. Layers that are there already, by their ChainID, are
/// not read; those that another load brings in meanwhile are waited for. While one is applied the next ones are fetched and decompressed, in bounded memory. The tag
/// comes last: after an error nothing of the image is left. Where the tag is that image already,
/// nothing is done.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) and
/// [`Unsupported`](sapwood::ErrorKind::Unsupported) for what the image says, with the digest of the
/// blob or the name of the member; [`Corrupt`](sapwood::ErrorKind::Corrupt) for bytes that are not those of their
/// digest; [`NotFound`](sapwood::ErrorKind::NotFound) for another platform;
/// [`AlreadyExists`](sapwood::ErrorKind::AlreadyExists); what the source says.
pub fn install(
    store: &Store,
    source: &dyn ImageSource,
    manifest: &ImageManifest,
    tag: &str,
    options: &LoadOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Image> {
    let parts = Parts::read(source, manifest, options)?;
    let made = match parts.standing(store, tag)? {
        Some(image) => Ok(parts.is_there(image, progress)),
        None => parts.install(store, source, tag, options, progress),
    };
    match &made {
        Ok(image) if options.keep_partial => forget_partial(store, image)?,
        Ok(_) => {}
        // Where that fails too, a later collection does it.
        Err(_) => drop(store.discard_unfinished()),
    }
    made
}

/// The configuration of an image, verified.
pub fn read_configuration_of(
    source: &dyn ImageSource,
    manifest: &ImageManifest,
) -> Result<Configuration> {
    expect_image(manifest)?;
    let what = "configuration";
    let json = read_small(source, manifest.config(), what, CONFIGURATION_BYTES_MAX)?;
    Configuration::read(&json)
        .map_err(|error| error.in_file(manifest.config().digest().to_string()))
}

/// What a manifest and a configuration say together.
struct Parts {
    configuration: Configuration,
    layers: Vec<LayerBlob>,
    /// The ChainID of each layer.
    chain_ids: Vec<Sha256>,
    /// What is said of each layer.
    annotations: Vec<Annotations>,
    /// What is said of the image where its manifest is.
    manifest_annotations: BTreeMap<String, String>,
}

impl Parts {
    fn read(
        source: &dyn ImageSource,
        manifest: &ImageManifest,
        options: &LoadOptions,
    ) -> Result<Parts> {
        let configuration = read_configuration_of(source, manifest)?;
        if let Some(wanted) = &options.platform {
            super::platform::choose(&[Platform::of_configuration(configuration.get())], wanted)?;
        }
        let (blobs, diff_ids) = (manifest.layers(), configuration.diff_ids());
        if blobs.len() != diff_ids.len() || blobs.len() > LAYERS_MAX {
            let found = format!("{} in the manifest", blobs.len());
            let expected = match diff_ids.len() {
                count if count == blobs.len() => format!("at most {LAYERS_MAX}"),
                count => format!("{count}, as in the configuration"),
            };
            return Err(Error::invalid("read an image", "layers", found, expected));
        }
        let mut layers = Vec::new();
        let mut chain_ids = Vec::new();
        for (descriptor, diff_id) in blobs.iter().zip(diff_ids) {
            let digest = digest_of(descriptor)?;
            let compression = Compression::of_media_type(descriptor.media_type())
                .map_err(|error| error.in_file(digest.to_string()))?;
            chain_ids.push(Sha256::chained(chain_ids.last().copied(), *diff_id));
            let descriptor = descriptor.clone();
            layers.push(LayerBlob { descriptor, digest, compression, diff_id: *diff_id });
        }
        let annotations = annotations(source, &configuration, &layers, &chain_ids);
        let manifest_annotations = manifest.annotations().iter().flatten();
        let manifest_annotations =
            manifest_annotations.map(|(name, text)| (name.clone(), text.clone())).collect();
        Ok(Parts { configuration, layers, chain_ids, annotations, manifest_annotations })
    }

    /// The image that the tag is, where it is this one.
    fn standing(&self, store: &Store, tag: &str) -> Result<Option<Image>> {
        let names = store.names()?;
        let is_tag = |entry: &&sapwood::NameEntry| entry.name == tag && entry.kind == NameKind::Tag;
        let Some(entry) = names.iter().find(is_tag) else { return Ok(None) };
        let digest = self.configuration.digest().to_string();
        if store.layer(entry.top)?.annotations.labels.get(IMAGE_LABEL) != Some(&digest) {
            return Ok(None);
        }
        let image = Image::open(store, tag)?;
        let layers = image.layers(store)?;
        let top = layers.last();
        let is_same = top.and_then(|layer| layer.chain_id) == self.chain_ids.last().copied()
            && image.manifest_annotations()? == self.manifest_annotations
            && top.map_or(Ok(true), |top| are_as_noted(store, top.id))?;
        Ok(is_same.then_some(image))
    }

    fn is_there(&self, image: Image, progress: &dyn Fn(Progress)) -> Image {
        let layers = self.layers.len();
        progress(Progress::Begun { layers, known: layers });
        image
    }

    /// The highest of the layers that is there, with its number.
    fn highest(&self, store: &Store) -> Result<Option<(usize, LayerId)>> {
        let known = KnownLayers::of(store)?;
        for (at, chain_id) in self.chain_ids.iter().enumerate().rev() {
            if let Some(layer) = known.by_chain_id(store, *chain_id)? {
                return Ok(Some((at, layer)));
            }
        }
        Ok(None)
    }

    /// The ChainIDs of the layers above that one.
    fn missing_from(&self, highest: Option<(usize, LayerId)>) -> &[Sha256] {
        &self.chain_ids[highest.map_or(0, |(at, _)| at + 1)..]
    }

    fn install(
        &self,
        store: &Store,
        source: &dyn ImageSource,
        tag: &str,
        options: &LoadOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Image> {
        // Others may be bringing in what is missing: when they are done it is there, or it is still missing.
        let _coming = match self.missing_from(self.highest(store)?) {
            [] => None,
            missing => Some(Coming::wait(store, missing)?),
        };
        if let Some(image) = self.standing(store, tag)? {
            return Ok(self.is_there(image, progress));
        }
        let base = self.highest(store)?;
        let first = self.layers.len() - self.missing_from(base).len();
        progress(Progress::Begun { layers: self.layers.len(), known: first });
        let making = match base {
            Some((_, layer)) => store.make_on(&layer.to_string(), tag, options.replace)?,
            None => store.make_tree(tag, options.replace)?,
        };
        let (volume, tag_of_making) = making.into_parts();
        let files = Files::open(volume, FilesOptions::default())?;
        self.apply_from(first, store, &files, source, options, progress)?;
        finish(store, files, tag_of_making, &self.configuration, &self.manifest_annotations)
    }

    /// Applies the layers from one on, while the next ones are being read.
    fn apply_from(
        &self,
        first: usize,
        store: &Store,
        files: &Files,
        source: &dyn ImageSource,
        options: &LoadOptions,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<()> {
        let allowance = Allowance::new(options.unpacked_bytes_max);
        let mut partial = Partial::new(store);
        let end = match source.knows_digests() {
            true => ArchiveEnd::Anywhere,
            false => ArchiveEnd::Marked,
        };
        let import = ImportOptions { end, ..ImportOptions::default() };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let mut ahead = VecDeque::new();
            let mut next = first;
            for at in first..self.layers.len() {
                while next < self.layers.len() && next - at < cores.min(LAYERS_AT_ONCE_MAX) {
                    let (layer, blob) = (next, &self.layers[next]);
                    let blob_bytes = blob.descriptor.size();
                    let tell = move |read_bytes| {
                        progress(Progress::Reading { layer, read_bytes, blob_bytes });
                    };
                    let blob = blob.clone();
                    ahead.push_back(LayerStream::begin(scope, source, blob, &allowance, tell));
                    next += 1;
                }
                let mut stream = ahead.pop_front().expect("it was begun");
                let applied = import_layer_recorded(files, &mut stream, &import, &mut |_| {});
                let diff_id = self.layers[at].diff_id;
                let about = |error: Error| error.in_file(format!("layer {diff_id}"));
                stream.finish(applied, diff_id).map_err(about)?;
                let snapshot = files.snapshot(&self.annotations[at])?;
                if options.keep_partial {
                    partial.keep(&snapshot)?;
                }
                progress(Progress::Applied { layer: at });
            }
            Ok(())
        })
    }
}

/// What is said of each layer, by the history as far as it speaks of as many layers as there are.
fn annotations(
    source: &dyn ImageSource,
    configuration: &Configuration,
    layers: &[LayerBlob],
    chain_ids: &[Sha256],
) -> Vec<Annotations> {
    let history = configuration.get().history().as_deref().unwrap_or_default();
    let said: Vec<_> =
        history.iter().filter(|entry| !entry.empty_layer().unwrap_or(false)).collect();
    let annotate = |(at, layer): (usize, &LayerBlob)| {
        let said = said.get(at).filter(|_| said.len() == layers.len());
        Annotations {
            created: said.and_then(|said| time::parse(said.created().as_deref()?)),
            created_by: said.and_then(|said| said.created_by().as_deref()).map(cut),
            comment: said.and_then(|said| said.comment().as_deref()).filter(not_empty).map(cut),
            labels: [
                Some((DIFF_ID_LABEL.to_owned(), layer.diff_id.to_string())),
                Some((CHAIN_ID_LABEL.to_owned(), chain_ids[at].to_string())),
                source.label(&layer.descriptor),
                Some(made_now()),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    };
    layers.iter().enumerate().map(annotate).collect()
}

fn not_empty(text: &&str) -> bool {
    !text.is_empty()
}

/// A text as far as there is room for it beside a layer; the configuration has all of it.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
