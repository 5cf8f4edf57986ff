//! What a layer was when it came from a registry.

use oci_spec::image::{Descriptor, MediaType};
use sapwood::{Result, Store};

use super::RemoteReference;
use crate::Sha256;
use crate::save::OutgoingLayer;

/// The label of a layer that came from a registry: its blob, as `HOST/REPOSITORY DIGEST SIZE TYPE`.
pub const BLOB_LABEL: &str = "blob";

/// The blob that a layer came as, and the repository that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBlob {
    /// The digest.
    pub digest: Sha256,
    /// The size.
    pub size_bytes: u64,
    media_type: MediaType,
    repository: String,
}

impl KnownBlob {
    /// What a registry gave.
    pub fn new(
        reference: &RemoteReference,
        digest: Sha256,
        size_bytes: u64,
        media_type: MediaType,
    ) -> KnownBlob {
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        KnownBlob { digest, size_bytes, media_type, repository }
    }

    /// What is known of each layer.
    pub fn of_layers(store: &Store, layers: &[OutgoingLayer]) -> Result<Vec<Option<KnownBlob>>> {
        let mut known = Vec::new();
        for layer in layers {
            let labels = store.layer(layer.id())?.annotations.labels;
            known.push(labels.get(BLOB_LABEL).and_then(|label| KnownBlob::read(label)));
        }
        Ok(known)
    }

    /// The label that says it.
    pub fn label(&self) -> String {
        format!("{} {} {} {}", self.repository, self.digest, self.size_bytes, self.media_type)
    }

    /// Reads a label; `None` for what no pull has written.
    fn read(label: &str) -> Option<KnownBlob> {
        let mut words = label.splitn(4, ' ');
        let repository = words.next()?;
        // It goes into a request.
        let reference: RemoteReference = repository.parse().ok()?;
        if format!("{}/{}", reference.registry(), reference.repository()) != repository {
            return None;
        }
        Some(KnownBlob {
            repository: repository.to_owned(),
            digest: words.next()?.parse().ok()?,
            size_bytes: words.next()?.parse().ok()?,
            media_type: oci_type(words.next()?)?,
        })
    }

    /// The blob in a manifest.
    pub fn descriptor(&self) -> Descriptor {
        self.digest.descriptor(self.media_type.clone(), self.size_bytes)
    }

    /// The name of its repository, where that is another one of the same registry.
    pub fn repository_of(&self, reference: &RemoteReference) -> Option<String> {
        let name = self.repository.strip_prefix(reference.registry())?.strip_prefix('/')?;
        (name != reference.repository()).then(|| name.to_owned())
    }
}

/// The type of OCI's of a layer: Docker's own are the same bytes. `None` for other things.
fn oci_type(name: &str) -> Option<MediaType> {
    Some(match name {
        "application/vnd.docker.image.rootfs.diff.tar" => MediaType::ImageLayer,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => MediaType::ImageLayerGzip,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => MediaType::ImageLayerZstd,
        name => match MediaType::from(name) {
            MediaType::Other(_) => return None,
            known => known,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_what_the_layer_was_and_where() {
        let at = |text: &str| text.parse::<RemoteReference>().unwrap();
        let docker = MediaType::from("application/vnd.docker.image.rootfs.diff.tar.gzip");
        let blob = KnownBlob::new(&at("a.example:5000/b/c:1"), Sha256::of(b"sap"), 77, docker);
        let read = KnownBlob::read(&blob.label()).unwrap();
        assert_eq!(read.descriptor().media_type(), &MediaType::ImageLayerGzip);
        assert_eq!((read.digest, read.size_bytes), (blob.digest, 77));
        assert_eq!(read.repository_of(&at("a.example:5000/d")).as_deref(), Some("b/c"));
        assert_eq!(read.repository_of(&at("a.example:5000/b/c:2")), None);
        assert_eq!(read.repository_of(&at("a.example/b/d")), None);
        for bad in ["", "a/b", "a/b sha256:1 1 x", "a/b c d e"] {
            assert_eq!(KnownBlob::read(bad), None, "{bad}");
        }
        let label = blob.label();
        for repository in ["a.example/b&from=c", "a.example/B", "a.example/b:1", "b"] {
            let bad = label.replace("a.example:5000/b/c", repository);
            assert_eq!(KnownBlob::read(&bad), None, "{bad}");
        }
    }
}
