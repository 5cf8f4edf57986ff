//! Docker archives, as `docker save` wrote them before it took to OCI layouts: `manifest.json` names
//! configurations and layers by their places in the tar.

use std::collections::HashMap;
use std::io::{self, Read};

use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use sapwood::{Error, Result};
use serde::Deserialize;

use super::archive::{Archive, TarFile, missing, read_file};
use super::document::{DOCUMENT_BYTES_MAX, brief};
use super::names::given_by_archive;
use super::platform::Platform;
use super::source::{ImageSource, digest_of};
use super::{ImageArchive, Listed};
use crate::Sha256;
use crate::blob::{Compression, Digesting, compression_of_bytes};
use crate::image::{CONFIGURATION_BYTES_MAX, Configuration};

/// The file that leads to the images.
pub const MANIFEST: &str = "manifest.json";

const OPERATION: &str = "read a docker archive";

/// A docker archive that is open.
pub struct DockerArchive {
    archive: TarFile,
    images: Vec<DockerImage>,
    /// Where each blob is in the tar.
    places: HashMap<Sha256, String>,
}

struct DockerImage {
    names: Vec<String>,
    manifest: ImageManifest,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl DockerArchive {
    /// Opens an archive. What it says is put as a manifest would: layers go by the digests that the
    /// configuration gives them, compressed ones by their own.
    ///
    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for what is none.
    pub fn open(archive: TarFile) -> Result<DockerArchive> {
        let json = read_file(&archive, MANIFEST, DOCUMENT_BYTES_MAX)?;
        let path = archive.path().join(MANIFEST);
        let entries: Vec<Entry> = serde_json::from_slice(&json).map_err(|error| {
            Error::invalid(OPERATION, "manifest", brief(&error), "a list of images").in_file(path)
        })?;
        let mut opened = DockerArchive { archive, images: Vec::new(), places: HashMap::new() };
        for entry in entries {
            let image = opened.read_entry(entry)?;
            opened.images.push(image);
        }
        Ok(opened)
    }

    fn read_entry(&mut self, entry: Entry) -> Result<DockerImage> {
        let json = read_file(&self.archive, &entry.config, CONFIGURATION_BYTES_MAX)?;
        let about = |error: Error| error.in_file(self.archive.path().join(&entry.config));
        let digest = Sha256::of(&json);
        // The name of the file is the id of the image, wherever it looks like one.
        let file = entry.config.rsplit('/').next().unwrap_or_default();
        let stem = file.strip_suffix(".json").unwrap_or(file);
        let is_id = format!("sha256:{stem}").parse::<Sha256>().is_ok();
        if is_id && stem != digest.to_hex() {
            let expected = format!("sha256:{stem}");
            return Err(about(Error::invalid(OPERATION, "digest", digest, expected)));
        }
        let configuration = Configuration::read(&json).map_err(about)?;
        let places = entry.layers.unwrap_or_default();
        let diff_ids = configuration.diff_ids();
        if places.len() != diff_ids.len() {
            let (found, expected) = (places.len(), diff_ids.len());
            return Err(about(Error::invalid(OPERATION, "layers", found, expected)));
        }
        let mut layers = Vec::new();
        for (place, diff_id) in places.into_iter().zip(diff_ids) {
            layers.push(self.layer(place, *diff_id)?);
        }
        self.places.insert(digest, entry.config);
        let manifest = ImageManifestBuilder::default()
            .schema_version(2_u32)
            .config(digest.descriptor(MediaType::ImageConfig, json.len() as u64))
            .layers(layers)
            .build()
            .expect("all fields that have to be are there");
        let tags = entry.repo_tags.unwrap_or_default();
        let names = tags.iter().map(|name| given_by_archive(name)).collect();
        Ok(DockerImage { names, manifest })
    }

    /// The descriptor of a layer.
    fn layer(&mut self, place: String, diff_id: Sha256) -> Result<Descriptor> {
        let failed = |error| Error::io(OPERATION, error).in_file(self.archive.path().join(&place));
        let Some((mut blob, bytes)) = self.archive.open(&place)? else {
            return Err(missing(&self.archive, &place));
        };
        let mut start = Vec::new();
        (&mut blob).take(6).read_to_end(&mut start).map_err(failed)?;
        let compression = compression_of_bytes(&start)?;
        let digest = match compression {
            Compression::None => diff_id,
            _ => {
                let mut digesting = Digesting::new(io::sink());
                io::copy(&mut start.chain(blob), &mut digesting).map_err(failed)?;
                digesting.finish().0
            }
        };
        self.places.insert(digest, place);
        Ok(digest.descriptor(compression.media_type(), bytes))
    }
}

impl ImageSource for DockerArchive {
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let digest = digest_of(descriptor)?;
        let place = self.places.get(&digest).map_or("", String::as_str);
        match self.archive.open(place)? {
            Some((blob, _)) => Ok(blob),
            None => Err(missing(&self.archive, place)),
        }
    }
}

impl ImageArchive for DockerArchive {
    fn images(&self) -> Vec<Listed> {
        self.images.iter().map(|image| Listed { names: image.names.clone() }).collect()
    }

    fn manifest(&self, at: usize, _wanted: Option<&Platform>) -> Result<ImageManifest> {
        // What platform it is the configuration says, and the installer asks it.
        Ok(self.images[at].manifest.clone())
    }
}
