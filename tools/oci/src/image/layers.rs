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
    for info in store.lineage(reference)?.into_iter().rev() {
        let is_image = info.annotations.labels.contains_key(IMAGE_LABEL);
        if !is_image && !info.removed && info.state != sapwood::LayerState::Open {
            layers.push(image_layer(info, layers.last()));
        }
    }
    Ok(layers)
}

fn image_layer(info: LayerInfo, below: Option<&ImageLayer>) -> ImageLayer {
    let annotations = info.annotations;
    let digest = |label| annotations.labels.get(label).and_then(|text| text.parse().ok());
    let chain_id: Option<Sha256> = digest(CHAIN_ID_LABEL);
    // Over another layer than the one it came on (that one was removed, or it was flattened), it is
    // not what its tar was. The tree of all up to it still is.
    let below_chain_id = below.map_or(Some(None), |below| below.chain_id.map(Some));
    let is_on = |diff_id: &Sha256| {
        below_chain_id.is_some_and(|below| chain_id == Some(Sha256::chained(below, *diff_id)))
    };
    ImageLayer {
        id: info.id,
        below: below.map(|below| below.id),
        diff_id: digest(DIFF_ID_LABEL).filter(is_on),
        chain_id,
        created: annotations.created,
        created_by: annotations.created_by,
        comment: annotations.comment,
    }
}
