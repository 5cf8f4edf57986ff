//! The filesystem layers of an image.

use sapwood::{LayerId, LayerInfo, LayerState, Result, Store};

use super::diff_ids::{DiffIds, Place};
use super::{CHAIN_ID_LABEL, DIFF_ID_LABEL, IMAGE_LABEL};
use crate::Sha256;

/// A filesystem layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// The snapshot.
    pub id: LayerId,
    /// The filesystem layer that it stands on; none for the lowest.
    pub below: Option<LayerId>,
    /// The digest of its uncompressed tar, where it came from one, or that was computed.
    pub diff_id: Option<Sha256>,
    /// Whether it came from a tar of that digest, and is that tar again when it goes out.
    pub from_tar: bool,
    /// Whether its ChainID follows from a digest that was noted beside the layers: neither the layer itself nor
    /// its tree vouches for that.
    pub is_noted: bool,
    /// Its ChainID, where the diffIDs of all up to it are known.
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
    let placed = placed_layers(store, reference)?;
    Ok(placed.into_iter().map(|(layer, _)| layer).collect())
}

/// The filesystem layers of a lineage, each with the place that its diffID is noted under once it is
/// computed.
pub fn placed_layers(store: &Store, reference: &str) -> Result<Vec<(ImageLayer, Place)>> {
    let lineage = store.lineage(reference)?;
    let computed = DiffIds::of(store)?;
    let mut layers: Vec<(ImageLayer, Place)> = Vec::new();
    let mut above = lineage.iter().rev().skip(1);
    for info in lineage.iter().rev() {
        let recorded = above.next().and_then(|above| above.parent);
        let is_image = info.annotations.labels.contains_key(IMAGE_LABEL);
        if is_image || info.removed || info.state == LayerState::Open {
            continue;
        }
        let reference = match recorded.filter(|recorded| recorded.id == info.id) {
            Some(recorded) => recorded,
            None => store.snapshot_of(&info.id.to_string())?.reference(),
        };
        let below = layers.last().map(|(below, _)| below);
        let place = Place::new(&reference, below.map(|below| below.id));
        layers.push((image_layer(info, below, computed.get(&place)), place));
    }
    Ok(layers)
}

fn image_layer(
    info: &LayerInfo,
    below: Option<&ImageLayer>,
    computed: Option<Sha256>,
) -> ImageLayer {
    let annotations = info.annotations.clone();
    let digest = |label| annotations.labels.get(label).and_then(|text| text.parse().ok());
    let chain_id: Option<Sha256> = digest(CHAIN_ID_LABEL);
    // Over another layer than the one it came on (that one was removed, or it was flattened), it is
    // not what its tar was. The tree of all up to it still is.
    let below_chain_id = below.map_or(Some(None), |below| below.chain_id.map(Some));
    let chained = |diff_id| below_chain_id.map(|below| Sha256::chained(below, diff_id));
    let is_on = |diff_id: &Sha256| chain_id.is_some() && chained(*diff_id) == chain_id;
    let came_as = digest(DIFF_ID_LABEL).filter(is_on);
    let diff_id = came_as.or(computed);
    let is_noted = chain_id.is_none() && diff_id.is_some();
    ImageLayer {
        id: info.id,
        below: below.map(|below| below.id),
        diff_id,
        from_tar: came_as.is_some(),
        is_noted,
        chain_id: chain_id.or_else(|| chained(diff_id?)),
        created: annotations.created,
        created_by: annotations.created_by,
        comment: annotations.comment,
    }
}
