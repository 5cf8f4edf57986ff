//! What the files of kept layers hold and nothing names. The volume that froze a layer gives such
//! blocks back itself, unless it had no time to, or it was of a version that did not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::census::Census;
use super::plan::{Plan, Thinning, allocated};
use super::sweep::change_header;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::layer::{
    Descriptors, GivenBack, Layer, ReadPolicy, UNNAMED_BYTES_MIN, give_back, metadata_blocks,
};
use crate::medium::{Host, OpenMode};
use crate::store::locks::StoreLock;
use crate::store::names::failed;
use crate::store::paths;
use crate::store::ranges::RangeSet;
use crate::units::{BlockAddress, LayerId};

/// The layers whose maps are walked, one after another.
const DESCRIPTORS: usize = 4;

/// What goes of the layers of which `plan` leaves all that anybody named.
///
/// What frozen layers name never changes, and who takes blocks of one from now on takes them as its
/// map names them: the caller needs no lock.
pub fn find(
    host: &Arc<dyn Host>,
    policy: ReadPolicy,
    census: &Census,
    plan: &Plan,
) -> Result<Vec<Thinning>> {
    let candidates: BTreeSet<LayerId> =
        plan.whole.iter().copied().filter(|id| may_hold_much(census, *id)).collect();
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let descriptors = Arc::new(Descriptors::new(Arc::clone(host), DESCRIPTORS));
    let open = |id: LayerId| Layer::open(&descriptors, &paths::layer(id), policy);
    let mut lent = lent(&open, census, plan, &candidates)?;
    let mut found = Vec::new();
    for id in candidates {
        let lent = match lent.remove(&id) {
            None => Vec::new(),
            Some(Lent::Blocks(blocks)) => blocks,
            Some(Lent::Unknown) => continue,
        };
        let Some((size, unnamed)) = readable(open(id).and_then(|layer| {
            let unnamed = layer.unnamed(&lent)?;
            Ok((layer.header().block_size, unnamed))
        }))?
        else {
            continue;
        };
        let bytes = |blocks: Range<u64>| blocks.start << size.log2()..blocks.end << size.log2();
        let unnamed = RangeSet::of_unsorted(unnamed.into_iter().map(bytes).collect());
        let Some(stretches) = readable(allocated(host, id, &unnamed))? else { continue };
        let bytes = stretches.iter().map(|range| range.end - range.start).sum();
        if bytes >= UNNAMED_BYTES_MIN {
            found.push(Thinning { id, is_new: false, stretches, bytes });
        }
    }
    Ok(found)
}

/// Gives what was found of one layer back.
pub fn punch(host: &dyn Host, found: &Thinning) -> Result<GivenBack> {
    let path = paths::layer(found.id);
    let mended = {
        let _alone = StoreLock::exclusive(host)?;
        // A crash right after it was frozen leaves a slot behind.
        readable(change_header(host, found.id, "mend a header slot", |_| ()))?
    };
    if mended.is_none() {
        return Ok(GivenBack::NotAtRest);
    }
    match host.open(&path, OpenMode::ReadWrite) {
        Ok(medium) => {
            give_back(&*medium, &host.display_path(&path), found.stretches.iter().cloned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(GivenBack::NotAtRest),
        Err(error) => Err(failed(host, "punch a layer", &path)(error)),
    }
}

/// Whether the file takes enough, besides what its header names, to be looked through.
fn may_hold_much(census: &Census, id: LayerId) -> bool {
    let Some(resident) = census.layers.get(&id) else { return false };
    let Some(header) = &resident.header else { return false };
    let metadata: u64 = metadata_blocks(header).map(|blocks| blocks.end - blocks.start).sum();
    let rest = resident.allocated_bytes.saturating_sub(metadata << header.block_size.log2());
    header.features.are_writable() && rest >= UNNAMED_BYTES_MIN
}

/// What other layers name of one.
enum Lent {
    Blocks(Vec<Range<u64>>),
    /// The map of one that may name some does not verify.
    Unknown,
}

/// What is named of `candidates` by the layers that stay.
fn lent(
    open: &impl Fn(LayerId) -> Result<Arc<Layer>>,
    census: &Census,
    plan: &Plan,
    candidates: &BTreeSet<LayerId>,
) -> Result<BTreeMap<LayerId, Lent>> {
    let gone: BTreeSet<LayerId> = plan.unlink.iter().map(|(id, _)| *id).collect();
    let mut lent: BTreeMap<LayerId, Vec<Range<u64>>> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for (id, resident) in &census.layers {
        let lends = resident.sources.iter().any(|source| candidates.contains(source));
        if !lends || gone.contains(id) || !resident.is_frozen() {
            continue;
        }
        let walked = readable(open(*id).and_then(|layer| {
            for extent in layer.extents_from(BlockAddress(0))? {
                let extent = extent?;
                let Target::Data { source, block } = extent.target else { continue };
                let entry = (source.0 as usize).checked_sub(1);
                if let Some(holder) = entry.and_then(|entry| resident.sources.get(entry)) {
                    let blocks = block.0..block.0.saturating_add(extent.length);
                    lent.entry(*holder).or_default().push(blocks);
                }
            }
            Ok(())
        }))?;
        if walked.is_none() {
            unknown.extend(resident.sources.iter().copied());
        }
    }
    let mut all: BTreeMap<LayerId, Lent> =
        lent.into_iter().map(|(id, blocks)| (id, Lent::Blocks(blocks))).collect();
    all.extend(unknown.into_iter().map(|id| (id, Lent::Unknown)));
    Ok(all)
}

/// `None` for a layer that is gone meanwhile, and for one that does not verify: nobody needs to know
/// here, and a check tells.
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    let passed_over =
        |error: &Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt);
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if passed_over(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
