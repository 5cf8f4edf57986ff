//! OCI image layouts: a folder or a tar with `oci-layout`, `index.json` and `blobs`.

use std::io::Read;

use oci_spec::image::{Descriptor, ImageManifest};
use sapwood::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::archive::{Archive, missing, read_file};
use super::document::{DOCUMENT_BYTES_MAX, DocumentKind, brief, is_attestation, read_index};
use super::names::given_by_archive;
use super::platform::Platform;
use super::select::select_manifest;
use super::source::{ImageSource, digest_of};
use super::{ImageArchive, Listed};

/// The file that says that it is a layout.
pub const LAYOUT: &str = "oci-layout";
/// The file that leads to the images.
pub const INDEX: &str = "index.json";
/// What stands in [`LAYOUT`] is some bytes.
const LAYOUT_BYTES_MAX: u64 = 4 << 10;

/// The annotation with the whole name of an image, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The annotation with the name of an image.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A layout that is open.
pub struct Layout<A> {
    archive: A,
    images: Vec<Group>,
}

/// What goes by one name: an image, or the same one for several platforms.
struct Group {
    name: Option<String>,
    entries: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

impl<A: Archive> Layout<A> {
    /// Opens a layout.
    ///
    /// Errors: [`NotFound`](ErrorKind::NotFound) where it is none;
    /// [`Unsupported`](ErrorKind::Unsupported) for another version.
    pub fn open(archive: A) -> Result<Layout<A>> {
        let operation = "open an image layout";
        let header = read_file(&archive, LAYOUT, LAYOUT_BYTES_MAX)?;
        let about = |error: Error, name| error.in_file(archive.path().join(name));
        let header: Header = serde_json::from_slice(&header).map_err(|error| {
            about(
                Error::invalid(operation, "header", brief(&error), "the version of a layout"),
                LAYOUT,
            )
        })?;
        if !header.version.starts_with("1.") {
            let error = Error::new(ErrorKind::Unsupported, operation);
            let found: String = header.version.chars().take(40).collect();
            return Err(about(error.about("version", format!("{found:?}"), "1.0.0"), LAYOUT));
        }
        let json = read_file(&archive, INDEX, DOCUMENT_BYTES_MAX)?;
        let index = read_index(&json, None).map_err(|error| about(error, INDEX))?;
        let mut images: Vec<Group> = Vec::new();
        for entry in index.manifests() {
            if DocumentKind::of(entry.media_type()).is_none() || is_attestation(entry) {
                continue;
            }
            let name = name_of(entry);
            match images.iter_mut().find(|group| group.name == name) {
                Some(group) => group.entries.push(entry.clone()),
                None => images.push(Group { name, entries: vec![entry.clone()] }),
            }
        }
        Ok(Layout { archive, images })
    }
}

impl<A: Archive> ImageSource for Layout<A> {
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        // Checked digits: they are the name of a file.
        let name = format!("blobs/sha256/{}", digest_of(descriptor)?.to_hex());
        match self.archive.open(&name)? {
            Some((blob, _)) => Ok(blob),
            None => Err(missing(&self.archive, &name)),
        }
    }
}

impl<A: Archive> ImageArchive for Layout<A> {
    fn images(&self) -> Vec<Listed> {
        let listed = |group: &Group| Listed { names: group.name.iter().cloned().collect() };
        self.images.iter().map(listed).collect()
    }

    fn manifest(&self, at: usize, wanted: Option<&Platform>) -> Result<ImageManifest> {
        select_manifest(self, &self.images[at].entries, wanted)
    }
}

fn name_of(entry: &Descriptor) -> Option<String> {
    let annotations = entry.annotations().as_ref()?;
    let name = annotations.get(CONTAINERD_NAME).or_else(|| annotations.get(REF_NAME))?;
    Some(given_by_archive(name))
}
