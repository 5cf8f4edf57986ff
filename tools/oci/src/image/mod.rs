//! Images of a store: what they are, and how they are found.

mod cache_keys;
mod configuration;
mod diff_ids;
mod ids;
mod known;
mod layers;
mod open;

use sapwood::Annotations;

pub use cache_keys::{CACHE_KEYS_FIELD, keep_cache_keys};
pub use configuration::{CONFIGURATION_BYTES_MAX, Configuration, read_configuration};
pub use diff_ids::DiffIds;
pub use ids::by_id;
pub use known::KnownLayers;
pub use layers::{ImageLayer, filesystem_layers, placed_layers};
pub(crate) use open::list_what_is_left;
pub use open::{Image, list};

/// The label of a filesystem layer that came from an archive: the digest of its uncompressed tar.
pub const DIFF_ID_LABEL: &str = "diff-id";
/// The label of a filesystem layer that came from an archive: its ChainID.
pub const CHAIN_ID_LABEL: &str = "chain-id";
/// The label of a filesystem layer that a build step made: the key of that step.
pub const CACHE_KEY_LABEL: &str = "cache-key";
/// The label of an image layer: the digest of the configuration that it holds.
pub const IMAGE_LABEL: &str = "image";

/// The label of an image layer: when the image was made, as its configuration says, where it says so.
pub const IMAGE_CREATED_LABEL: &str = "image-created";

/// The label of a layer that says another time of itself than when it was made, as reproducible builds do, or an
/// image that was made elsewhere: when it came to be in this store.
pub const MADE_LABEL: &str = "made";

/// When a layer came to be in its store, in nanoseconds since 1970 UTC: of those that say another time of themselves,
/// too.
pub(crate) fn made(layer: &Annotations) -> Option<i64> {
    let noted = layer.labels.get(MADE_LABEL).and_then(|made| crate::time::parse(made));
    noted.or(layer.created)
}

/// What [`MADE_LABEL`] says of a layer that is being made.
pub fn made_now() -> (String, String) {
    (MADE_LABEL.to_owned(), crate::time::written(crate::time::now()))
}

/// The attachment that holds the annotations of the manifest that an image came with, as JSON.
pub const MANIFEST_ANNOTATIONS: &[u8] = b"oci-manifest-annotations";
/// The attachment that holds the configuration of an image.
pub const CONFIGURATION: &[u8] = b"oci-configuration";
