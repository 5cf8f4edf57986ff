//! Which manifest is meant, where there is a choice between platforms.

use oci_spec::image::{Descriptor, ImageManifest};
use sapwood::{Error, ErrorKind, Result};

use super::document::{
    DOCUMENT_BYTES_MAX, DocumentKind, is_attestation, read_index, read_manifest, shown,
};
use super::install::read_configuration_of;
use super::platform::{Platform, choose};
use super::source::{ImageSource, read_small};

/// How many indexes may lead to one another.
const DEPTH_MAX: usize = 4;
/// How many images, for one platform each, one image may be the choice between.
const CHOICES_MAX: usize = 1_000;

/// Reads the manifest that one of these descriptors leads to, over indexes, that does best for a
/// platform; for this machine where there is a choice and nothing is wanted.
///
/// Errors: [`NotFound`](ErrorKind::NotFound) where there is none for the platform; what the source
/// says.
pub fn select_manifest(
    source: &dyn ImageSource,
    entries: &[Descriptor],
    wanted: Option<&Platform>,
) -> Result<ImageManifest> {
    let mut found = Vec::new();
    for entry in entries {
        manifests(source, entry, 0, &mut found)?;
    }
    if let (None, [(only, _)]) = (wanted, &found[..]) {
        return read_one(source, only);
    }
    let mut platforms = Vec::new();
    for (descriptor, platform) in &found {
        platforms.push(match platform {
            Some(platform) => platform.clone(),
            None => {
                let manifest = read_one(source, descriptor)?;
                Platform::of_configuration(read_configuration_of(source, &manifest)?.get())
            }
        });
    }
    let machine = Platform::of_the_machine();
    let chosen = choose(&platforms, wanted.unwrap_or(&machine))?;
    read_one(source, &found[chosen].0)
}

/// The manifests that a descriptor leads to, each with the platform that is said of it.
fn manifests(
    source: &dyn ImageSource,
    entry: &Descriptor,
    depth: usize,
    found: &mut Vec<(Descriptor, Option<Platform>)>,
) -> Result<()> {
    let operation = "look for the image of a platform";
    let about = |error: Error| error.in_file(entry.digest().to_string());
    match DocumentKind::of(entry.media_type()) {
        Some(DocumentKind::Manifest) if found.len() < CHOICES_MAX => {
            found.push((entry.clone(), entry.platform().as_ref().map(Platform::of_spec)));
            Ok(())
        }
        Some(DocumentKind::Index) if depth < DEPTH_MAX => {
            let json = read_small(source, entry, "index", DOCUMENT_BYTES_MAX)?;
            let index = read_index(&json, Some(entry.media_type())).map_err(about)?;
            let images = index.manifests().iter().filter(|entry| !is_attestation(entry));
            images
                .filter(|entry| DocumentKind::of(entry.media_type()).is_some())
                .try_for_each(|entry| manifests(source, entry, depth + 1, found))
        }
        Some(DocumentKind::Manifest) => {
            let expected = format!("at most {CHOICES_MAX}");
            Err(about(Error::invalid(operation, "manifests", "more", expected)))
        }
        Some(DocumentKind::Index) => {
            let expected = format!("at most {DEPTH_MAX} that lead to one another");
            Err(about(Error::invalid(operation, "indexes", "more", expected)))
        }
        None => {
            let error = Error::new(ErrorKind::Unsupported, operation);
            Err(about(error.about("media type", shown(entry.media_type()), "an image's")))
        }
    }
}

fn read_one(source: &dyn ImageSource, descriptor: &Descriptor) -> Result<ImageManifest> {
    let json = read_small(source, descriptor, "manifest", DOCUMENT_BYTES_MAX)?;
    read_manifest(&json, Some(descriptor.media_type()))
        .map_err(|error| error.in_file(descriptor.digest().to_string()))
}
