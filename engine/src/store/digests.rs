//! From digests to layers: empty files whose names tell both, derived from the headers.

use super::headers;
use super::names::{list_derived, list_folder};
use super::paths::{self, LayersEntry};
use crate::error::Result;
use crate::medium::{Host, OpenMode};
use crate::units::{Digest, LayerId};

/// The sealed layers with this digest whose content is whole, in order of their ids.
pub fn find(host: &dyn Host, digest: Digest) -> Result<Vec<LayerId>> {
    let found = find_prefix(host, &digest.to_string())?;
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

/// The sealed, whole layers whose digest begins with these hexadecimal digits.
///
/// The headers are asked where the derived files know none: that costs a look at every layer.
pub fn find_prefix(host: &dyn Host, prefix: &str) -> Result<Vec<(Digest, LayerId)>> {
    let mut found = Vec::new();
    for file in list_derived(host, paths::DIGESTS.as_ref())? {
        let Some((digest, id)) = paths::parse_digests_entry(&file) else { continue };
        if file.starts_with(prefix) && whole_digest(host, id)? == Some(digest) {
            found.push((digest, id));
        }
    }
    if found.is_empty() {
        for file in list_folder(host, paths::LAYERS.as_ref())? {
            let Some(LayersEntry::Layer(id)) = paths::parse_layers_entry(&file) else { continue };
            let digest = whole_digest(host, id)?;
            let digest = digest.filter(|digest| digest.to_string().starts_with(prefix));
            found.extend(digest.map(|digest| (digest, id)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Notes the digest of a layer. What cannot be noted is found by its header.
pub fn note(host: &dyn Host, digest: Digest, id: LayerId) {
    // Derived: without it a look-up costs more and answers the same.
    let _ = host.open(&paths::digest(digest, id), OpenMode::OpenOrCreate);
}

/// The digest of a sealed layer that still has all its blocks.
fn whole_digest(host: &dyn Host, id: LayerId) -> Result<Option<Digest>> {
    match headers::read(host, id) {
        Ok(header) => Ok(header.filter(|header| !header.thinned).and_then(|header| header.digest)),
        // Damage of one layer is told where that layer is asked for, not to all who look up another.
        Err(error) if error.is_of_one_file() => Ok(None),
        Err(error) => Err(error),
    }
}
