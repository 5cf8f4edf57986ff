//! The JSON documents of images: indexes and manifests, read with suspicion.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use sapwood::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The longest index or manifest in bytes: what registries take.
pub const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// The media types that Docker has for its own documents.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIGURATION: &str = "application/vnd.docker.container.image.v1+json";

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// The choice between manifests.
    Index,
    /// One image.
    Manifest,
}

impl DocumentKind {
    /// What a descriptor says that it leads to; none for what is no image.
    pub fn of(media_type: &MediaType) -> Option<DocumentKind> {
        match media_type {
            MediaType::ImageIndex => Some(DocumentKind::Index),
            MediaType::ImageManifest => Some(DocumentKind::Manifest),
            MediaType::Other(other) if other == DOCKER_INDEX => Some(DocumentKind::Index),
            MediaType::Other(other) if other == DOCKER_MANIFEST => Some(DocumentKind::Manifest),
            _ => None,
        }
    }
}

/// Reads an index, which is said to be of this media type where something says so.
///
/// Errors: [`ErrorKind::InvalidInput`] for what is none, and for what could be taken for a manifest
/// as well.
pub fn read_index(json: &[u8], media_type: Option<&MediaType>) -> Result<ImageIndex> {
    let index: ImageIndex = read(json, media_type, DocumentKind::Index)?;
    expect_version(index.schema_version())?;
    Ok(index)
}

/// Reads a manifest, which is said to be of this media type where something says so.
///
/// Errors: as [`read_index`].
pub fn read_manifest(json: &[u8], media_type: Option<&MediaType>) -> Result<ImageManifest> {
    let manifest: ImageManifest = read(json, media_type, DocumentKind::Manifest)?;
    expect_version(manifest.schema_version())?;
    Ok(manifest)
}

/// That a manifest is that of an image, and not of something else that is kept as images are.
///
/// Errors: [`ErrorKind::Unsupported`].
pub fn expect_image(manifest: &ImageManifest) -> Result<()> {
    let media_type = manifest.config().media_type();
    let is_configuration = match media_type {
        MediaType::ImageConfig => true,
        MediaType::Other(other) => other == DOCKER_CONFIGURATION,
        _ => false,
    };
    if is_configuration {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Unsupported, "read an image manifest");
    Err(error.about("media type of the configuration", shown(media_type), "that of an image"))
}

/// A media type for people.
pub fn shown(media_type: &MediaType) -> String {
    format!("{:?}", media_type.to_string().chars().take(100).collect::<String>())
}

/// What is wrong with a document, for people: it may quote as much of it as there is.
pub fn brief(error: &serde_json::Error) -> String {
    error.to_string().chars().take(300).flat_map(char::escape_debug).collect()
}

/// The bytes that a descriptor leads to belong to a document: both have to agree what it is.
fn read<T: DeserializeOwned>(
    json: &[u8],
    media_type: Option<&MediaType>,
    kind: DocumentKind,
) -> Result<T> {
    let operation = match kind {
        DocumentKind::Index => "read an image index",
        DocumentKind::Manifest => "read an image manifest",
    };
    let bad = |field, found: String, expected: &str| {
        Err(Error::invalid(operation, field, found, expected))
    };
    let mut value: Value = match serde_json::from_slice(json) {
        Ok(value) => value,
        Err(error) => return bad("document", brief(&error), "JSON"),
    };
    let Some(members) = value.as_object_mut() else {
        return bad("document", "no object".to_owned(), "an object");
    };
    // Go programs write what is not there as null.
    members.retain(|_, member| !member.is_null());
    // One that is both would be the one to some readers and the other to others.
    let (others, list) = match kind {
        DocumentKind::Index => (&["config", "layers", "fsLayers"][..], "manifests"),
        DocumentKind::Manifest => (&["manifests", "fsLayers"][..], "layers"),
    };
    if let Some(other) = others.iter().find(|other| members.contains_key(**other)) {
        return bad("document", format!("{other:?} in it"), "one kind of document");
    }
    if let Some(said) = members.get("mediaType") {
        let said = MediaType::from(said.as_str().unwrap_or_default());
        let agrees = match media_type {
            Some(media_type) => said == *media_type,
            None => DocumentKind::of(&said) == Some(kind),
        };
        if !agrees {
            let expected = media_type.map_or("one of its kind".to_owned(), shown);
            return bad("media type", shown(&said), &expected);
        }
    }
    members.entry(list).or_insert_with(|| Value::Array(Vec::new()));
    serde_json::from_value(value).or_else(|error| bad("document", brief(&error), "its fields"))
}

fn expect_version(version: u32) -> Result<()> {
    if version == 2 {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Unsupported, "read an image");
    Err(error.about("version of the schema", version, 2))
}

/// Whether a descriptor leads to something about an image, as where it came from, and to none.
pub fn is_attestation(descriptor: &Descriptor) -> bool {
    let annotations = descriptor.annotations().as_ref();
    annotations.is_some_and(|all| all.contains_key("vnd.docker.reference.type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","size":2,"digest":"{DIGEST}"}}"#)
    }

    #[test]
    fn documents_are_what_all_that_speaks_of_them_says() {
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let manifest = format!(r#"{{"schemaVersion":2,"config":{config},"layers":null}}"#);
        let read_it = read_manifest(manifest.as_bytes(), Some(&MediaType::ImageManifest)).unwrap();
        assert!(read_it.layers().is_empty());
        expect_image(&read_it).unwrap();
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(read_index(index.as_bytes(), None).is_ok());
        let docker = MediaType::from(DOCKER_INDEX);
        let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{docker}","manifests":[]}}"#);
        assert!(read_index(typed.as_bytes(), Some(&docker)).is_ok());
        assert!(read_index(typed.as_bytes(), None).is_ok());

        let oci = &MediaType::ImageIndex;
        let both = format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config},"layers":[]}}"#);
        for (json, media_type) in [
            (typed.as_str(), Some(oci)),
            (&both, Some(oci)),
            (&manifest, None),
            (r#"{"schemaVersion":1,"manifests":[]}"#, None),
            (r#"{"schemaVersion":2,"mediaType":7,"manifests":[]}"#, None),
            (r#"{"schemaVersion":2,"manifests":{}}"#, None),
            (r#"{"manifests":[]}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert!(read_index(json.as_bytes(), media_type).is_err(), "{json}");
        }
        assert!(read_manifest(both.as_bytes(), None).is_err());
        let old = r#"{"schemaVersion":2,"fsLayers":[],"config":{},"layers":[]}"#;
        assert!(read_manifest(old.as_bytes(), None).is_err());
    }

    #[test]
    fn what_is_kept_as_images_are_is_not_always_one() {
        let config = descriptor("application/vnd.oci.empty.v1+json");
        let json = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        let manifest = read_manifest(json.as_bytes(), None).unwrap();
        assert_eq!(expect_image(&manifest).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
