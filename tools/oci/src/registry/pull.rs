//! An image from a registry: only what is not here comes.

use std::io::{Cursor, Read};

use oci_spec::image::{Descriptor, MediaType};
use sapwood::{Error, ErrorKind, Replace, Result, Store};

use super::client::{Access, RemoteManifest, Repository};
use super::known::{BLOB_LABEL, KnownBlob};
use super::{RegistryOptions, RemoteReference};
use crate::Sha256;
use crate::image::{Configuration, Image, list};
use crate::load::document::DocumentKind;
use crate::load::source::digest_of;
use crate::load::{ImageSource, LoadOptions, Platform, Progress, install, select_manifest};

/// How an image is pulled.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The platform of the image; where nothing is said, this machine's where there is a choice.
    pub platform: Option<Platform>,
    /// What to do where the tag is there.
    pub replace: Replace,
    /// How the registry is spoken to.
    pub registry: RegistryOptions,
}

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// The digest of what the reference means: a manifest, or an index of several.
    pub digest: Sha256,
}

/// Pulls the image that a reference means and tags it `tag`, as [`install`] does. `progress` hears how
/// far it is, from several threads.
///
/// A blob goes on where a broken connection left it. What was verified of an image stays, whatever
/// stops the pull, under one of the tags [`OwnNames::PARTIAL`](crate::OwnNames::PARTIAL): the next one
/// goes on there, and removes it.
///
/// Errors: [`NotFound`](ErrorKind::NotFound) and [`NotPermitted`](ErrorKind::NotPermitted) as the
/// registry says; [`Unsupported`](ErrorKind::Unsupported) for what is no image; those of [`install`].
pub fn pull(
    store: &Store,
    reference: &RemoteReference,
    tag: &str,
    options: &PullOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Pulled> {
    let repository = Repository::new(reference, &Access::Pull, &options.registry)?;
    let top = repository.manifest(reference)?;
    let entry = describe(&top, reference)?;
    let digest = top.digest;
    let mut source = Remote { repository, reference, top, configuration: None };
    let manifest = select_manifest(&source, &[entry], options.platform.as_ref())?;
    source.configuration = configuration_here(store, digest_of(manifest.config())?)?;
    let load = LoadOptions {
        platform: options.platform.clone(),
        replace: options.replace,
        keep_partial: true,
        ..LoadOptions::default()
    };
    let image = install(store, &source, &manifest, tag, &load, progress)?;
    Ok(Pulled { image, digest })
}

/// What a registry says that a manifest is.
fn describe(manifest: &RemoteManifest, reference: &RemoteReference) -> Result<Descriptor> {
    let media_type = MediaType::from(manifest.media_type.as_deref().unwrap_or_default());
    if DocumentKind::of(&media_type).is_none() {
        let found: String = media_type.to_string().chars().take(100).collect();
        return Err(Error::new(ErrorKind::Unsupported, "read a manifest")
            .in_file(reference.to_string())
            .about(
                "Content-Type",
                format!("{found:?}"),
                "an image's, or that of an index of images",
            ));
    }
    Ok(manifest.digest.descriptor(media_type, manifest.bytes.len() as u64))
}

/// A configuration that an image of the store has.
fn configuration_here(store: &Store, digest: Sha256) -> Result<Option<Configuration>> {
    let Some((tag, _)) = list(store)?.into_iter().find(|(_, found)| *found == digest) else {
        return Ok(None);
    };
    Ok(Some(Image::open(store, &tag)?.configuration().clone()))
}

/// A repository as a source of blobs.
struct Remote<'a> {
    repository: Repository,
    reference: &'a RemoteReference,
    /// What the reference means, which was read already.
    top: RemoteManifest,
    /// The configuration of the image, where it is here already.
    configuration: Option<Configuration>,
}

impl ImageSource for Remote<'_> {
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>> {
        let digest = digest_of(descriptor)?;
        if digest == self.top.digest {
            return Ok(Box::new(&self.top.bytes[..]));
        }
        if let Some(configuration) =
            self.configuration.as_ref().filter(|own| own.digest() == digest)
        {
            return Ok(Box::new(configuration.json()));
        }
        // Registries keep manifests apart from other blobs.
        match DocumentKind::of(descriptor.media_type()) {
            Some(_) => Ok(Box::new(Cursor::new(self.repository.manifest_of(digest)?.bytes))),
            None => Ok(Box::new(self.repository.read_blob(digest, descriptor.size())?)),
        }
    }

    fn label(&self, descriptor: &Descriptor) -> Option<(String, String)> {
        let digest = digest_of(descriptor).ok()?;
        let media_type = descriptor.media_type().clone();
        let blob = KnownBlob::new(self.reference, digest, descriptor.size(), media_type);
        Some((BLOB_LABEL.to_owned(), blob.label()))
    }
}
