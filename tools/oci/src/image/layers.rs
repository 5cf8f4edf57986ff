//! The filesystem layers of an image.

use sapwood::{LayerId, LayerInfo, Result, Store};

use super::{CHAIN_ID_LABEL, DIFF_ID_LABEL, IMAGE_LABEL};
use crate::Sha256;

/// A filesystem layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// The snapshot.
    pub id: LayerId,
    /// The filesystem layer that it stands on; none for the lowest.
    pub below: Option<LayerId>,
    /// The digest of its uncompressed tar, where it came from one.
    pub diff_id: Option<Sha256>,
    /// Its ChainID, where all up to it came from tars.
    pub chain_id: Option<Sha256>,
    /// When it was made, in nanoseconds since 1970 UTC.
    pub created: Option<i64>,
    /// What made it.
    pub created_by: Option<String>,
    /// A comment.
    pub comment: Option<String>,
}

/// The filesystem layers of a lineage, lowest first: those of images are none, and what a removed
/// one changed counts to the next above it.
pub fn filesystem_layers(store: &Store, reference: &str) -> Result<Vec<ImageLayer>> {
    let mut layers: Vec<ImageLayer> = Vec::new();
    // Whether what lies between the last layer and the one below is not only that one's.
    let mut mixed = false;
    for info in store.lineage(reference)?.into_iter().rev() {
        let is_image = info.annotations.labels.contains_key(IMAGE_LABEL);
        if is_image || info.state == sapwood::LayerState::Open {
            continue;
        }
        if info.removed {
            mixed = true;
            continue;
        }
        let below = layers.last().map(|layer| layer.id);
        layers.push(image_layer(info, below, mixed));
        mixed = false;
    }
    Ok(layers)
}

fn image_layer(info: LayerInfo, below: Option<LayerId>, mixed: bool) -> ImageLayer {
    let annotations = info.annotations;
    let digest = |label| annotations.labels.get(label).and_then(|text| text.parse().ok());
    ImageLayer {
        id: info.id,
        below,
        diff_id: digest(DIFF_ID_LABEL).filter(|_| !mixed),
        chain_id: digest(CHAIN_ID_LABEL),
        created: annotations.created,
        created_by: annotations.created_by,
        comment: annotations.comment,
    }
}
