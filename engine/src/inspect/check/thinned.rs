//! Blocks of thinned layers that do not verify: given back, or needed by somebody?
//!
//! Garbage collection gives back what no kept view can see. So a block that is gone is
//! damage exactly where a kept view, an open top, or an extent of another layer's map
//! still leads to it.

use std::collections::{HashMap, HashSet};

use super::CheckOptions;
use super::facts::{Facts, LayerFacts};
use super::layer::Lost;
use super::place::Place;
use super::seen::Seen;
use crate::error::{ErrorKind, Result};
use crate::extent::Target;
use crate::format::header::LayerState;
use crate::format::page::PageKind;
use crate::inspect::blocks::Blocks;
use crate::inspect::file::InspectedFile;
use crate::inspect::journal;
use crate::inspect::map::{Level, Merged};
use crate::inspect::report::{CheckReport, Severity, text_of};
use crate::inspect::run::InspectedRun;
use crate::inspect::slots::Slots;
use crate::units::{BlockAddress, LayerId, SourceIndex};

/// Reports what is lost of thinned layers and still needed.
pub fn check(
    place: &Place<'_>,
    facts: &Facts,
    seen: &Seen,
    options: &CheckOptions,
    report: &mut CheckReport,
) -> Result<()> {
    if !options.data || !facts.layers.values().any(|layer| layer.thinned) {
        return Ok(());
    }
    let kept = kept(facts);
    let children = children(facts);
    for (id, lost) in &seen.lost {
        let Some(layer) = facts.layers.get(id) else { continue };
        let views = Views { place, facts, kept: &kept, children: &children };
        for (lost, by) in views.needed(*id, lost) {
            let what = format!(
                "{} blocks from block {} of layer {id} (address {}) are gone or do not verify, and layer {by} sees them",
                lost.length, lost.block, lost.start
            );
            let mut finding = place.finding(Severity::Damage, &layer.path, what);
            finding.offset = lost.block.byte_offset_checked(layer.block_size);
            (finding.layer, finding.block) = (Some(*id), Some(lost.block));
            report.push(finding);
        }
    }
    for layer in facts.layers.values() {
        let views = Views { place, facts, kept: &kept, children: &children };
        borrowed(&views, seen, layer, report)?;
    }
    Ok(())
}

/// Layers that somebody can ask for: snapshots not removed, and the tops of names.
fn kept(facts: &Facts) -> HashSet<LayerId> {
    let tops = facts.entries().map(|entry| entry.top);
    let frozen = |layer: &&LayerFacts| layer.state == LayerState::Frozen && !layer.removed;
    tops.chain(facts.layers.values().filter(frozen).map(|layer| layer.reference.id)).collect()
}

fn children(facts: &Facts) -> HashMap<LayerId, Vec<LayerId>> {
    let mut children: HashMap<LayerId, Vec<LayerId>> = HashMap::new();
    for layer in facts.layers.values() {
        if let Some(parent) = layer.parent.as_ref().and_then(|parent| facts.resolve(parent).ok()) {
            children.entry(parent.reference.id).or_default().push(layer.reference.id);
        }
    }
    children
}

struct Views<'a> {
    place: &'a Place<'a>,
    facts: &'a Facts,
    kept: &'a HashSet<LayerId>,
    children: &'a HashMap<LayerId, Vec<LayerId>>,
}

impl Views<'_> {
    /// Which of `lost` a kept view sees, and which view that is.
    fn needed(&self, id: LayerId, lost: &[Lost]) -> Vec<(Lost, LayerId)> {
        let mut needed = Vec::new();
        let mut rest = vec![(id, lost.to_vec())];
        while let Some((id, lost)) = rest.pop() {
            if self.kept.contains(&id) {
                needed.extend(lost.into_iter().map(|lost| (lost, id)));
                continue;
            }
            for &child in self.children.get(&id).into_iter().flatten() {
                let through = self.seen_through(child, &lost);
                if !through.is_empty() {
                    rest.push((child, through));
                }
            }
        }
        needed.sort_unstable_by_key(|(lost, _)| lost.start);
        needed.dedup_by_key(|(lost, _)| *lost);
        needed
    }

    /// What of `lost` is not hidden by the map of `id`.
    fn seen_through(&self, id: LayerId, lost: &[Lost]) -> Vec<Lost> {
        let Some(layer) = self.facts.layers.get(&id) else { return Vec::new() };
        let mut left = lost.to_vec();
        left.sort_unstable_by_key(|lost| lost.start);
        let mut through = Vec::new();
        let mut left = left.into_iter().peekable();
        let walked = walk(self.place, layer, &mut |_, mapped| {
            if mapped.extent.target == Target::Hole {
                return Ok(());
            }
            let (start, end) = (mapped.extent.start, mapped.extent.end());
            while let Some(lost) = left.peek_mut() {
                if lost.start.0 >= end.0 {
                    break;
                }
                let lost_end = lost.start.0 + lost.length;
                if lost.start < start {
                    through.push(lost.part(lost.start.0, lost_end.min(start.0)));
                }
                if lost_end <= end.0 {
                    left.next();
                } else {
                    *lost = lost.part(end.0.max(lost.start.0), lost_end);
                    break;
                }
            }
            Ok(())
        });
        match walked {
            Ok(()) => {
                through.extend(left);
                through
            }
            // That the map cannot be read is a finding of its own: nobody sees through it.
            Err(_) => Vec::new(),
        }
    }
}

impl Lost {
    /// The part of the addresses `start..end`, which lie inside.
    fn part(&self, start: u64, end: u64) -> Lost {
        let cut = start - self.start.0;
        Lost {
            start: BlockAddress(start),
            length: end - start,
            block: crate::units::FileBlock(self.block.0 + cut),
        }
    }
}

/// Verifies the blocks of thinned layers that the map of `layer` names as a source.
fn borrowed(
    views: &Views<'_>,
    seen: &Seen,
    layer: &LayerFacts,
    report: &mut CheckReport,
) -> Result<()> {
    let (place, facts) = (views.place, views.facts);
    let reach = seen.reach.get(&layer.reference.id).map(Vec::as_slice).unwrap_or_default();
    let mut files = HashMap::new();
    for (number, source) in (1..).zip(&layer.sources) {
        let named = reach.get(number as usize - 1).is_some_and(|&blocks| blocks > 0);
        if let Ok(owner) = facts.resolve(source)
            && owner.thinned
            && named
        {
            match InspectedFile::open(place.host, &owner.path) {
                Ok(file) => files.insert(SourceIndex(number), (owner.reference.id, file)),
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    let mut found = Vec::new();
    let mut data_blocks = 0;
    let walked = walk(place, layer, &mut |own, mapped| {
        let Target::Data { source, .. } = mapped.extent.target else { return Ok(()) };
        let Some((owner, file)) = files.get(&source) else { return Ok(()) };
        data_blocks += mapped.extent.length;
        let blocks = Blocks { file, layer: *owner, size: layer.block_size };
        blocks.verify_against(own, &mapped, &mut |bad| {
            let what = format!(
                "block {} of layer {owner}, which layer {} shares (address {}): {}",
                bad.block,
                layer.reference.id,
                bad.address,
                text_of(&bad.error)
            );
            let mut finding = place.finding(Severity::Damage, &place.layer(*owner), what);
            finding.offset = bad.block.byte_offset_checked(layer.block_size);
            (finding.layer, finding.block) = (Some(*owner), Some(bad.block));
            // What a removed layer shares may be given back where no kept view sees it.
            let lost = [Lost { start: bad.address, length: 1, block: bad.block }];
            if !layer.removed || !views.needed(layer.reference.id, &lost).is_empty() {
                found.push(finding);
            }
        })
    });
    if let Err(error) = walked {
        report.push(place.failed(Severity::Damage, &layer.path, &error));
    }
    report.counts.data_blocks += data_blocks;
    found.into_iter().for_each(|finding| report.push(finding));
    Ok(())
}

/// Walks the map of a layer; none where its file went away meanwhile.
pub(super) fn walk(
    place: &Place<'_>,
    layer: &LayerFacts,
    visit: &mut dyn FnMut(&InspectedFile, crate::inspect::run::Mapped) -> Result<()>,
) -> Result<()> {
    let file = match InspectedFile::open(place.host, &layer.path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let header = Slots::read(&file).into_header()?;
    let mut levels = match header.state {
        LayerState::Open => journal::replay(&file, &header, Vec::new())?.levels,
        LayerState::Frozen => Vec::new(),
    };
    for piece in &header.runs {
        let base = piece.place.byte_offset(header.block_size);
        let run = InspectedRun::open(&file, base, PageKind::Run, header.layer, piece)?;
        levels.push(Level::Run(Box::new(run)));
    }
    let mut merged = Merged::over(&levels)?;
    while let Some(mapped) = merged.next()? {
        visit(&file, mapped)?;
    }
    Ok(())
}
