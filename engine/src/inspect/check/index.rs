//! Merged indexes: derived, so what does not verify in one is a note (INV-07). One that verifies is
//! believed by those who read, so that it says something else than its layers is damage.

use std::collections::HashMap;
use std::path::Path;

use super::facts::{Facts, LayerFacts};
use super::place::Place;
use super::{names, thinned};
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Target};
use crate::format::index::{self, IndexHead};
use crate::format::page::PageKind;
use crate::inspect::file::InspectedFile;
use crate::inspect::map::Overlay;
use crate::inspect::report::{CheckReport, Severity, text_of};
use crate::inspect::run::{InspectedRun, Mapped, RunCursor};
use crate::units::{BlockAddress, LayerId, PAGE_BYTES};

/// Looks at every index.
pub fn check(place: &Place<'_>, facts: &Facts, report: &mut CheckReport) -> Result<()> {
    for file in place.list("index")? {
        let path = place.path("index", &file);
        let Some(tip) = names::index_of(&file) else {
            let what = "not a merged index (derived, ignored)".to_owned();
            report.push(place.finding(Severity::Note, &path, what));
            continue;
        };
        match look(place, facts, &path, tip) {
            Ok(difference) => {
                report.counts.indexes += 1;
                if let Some(what) = difference {
                    let what = format!("{what} (derived: mending the store takes it away)");
                    report.push(place.finding(Severity::Damage, &path, what));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("{} (derived, made anew when needed)", text_of(&error));
                let mut finding = place.finding(Severity::Note, &path, what);
                finding.offset = error.offset();
                report.push(finding);
            }
        }
    }
    Ok(())
}

/// Verifies an index, and says in what it differs from its layers.
fn look(place: &Place<'_>, facts: &Facts, path: &Path, tip: LayerId) -> Result<Option<String>> {
    let file = InspectedFile::open(place.host, path)?;
    let head = IndexHead::decode(&*file.page(0)?, file.length())?;
    let slots = file.bytes(PAGE_BYTES, (head.run.place.0 - 1) * PAGE_BYTES)?;
    index::verify_slots(&head, &slots).map_err(file.located(PAGE_BYTES))?;
    if head.tip.id != tip {
        return Err(Error::corrupt("read an index", "tip", head.tip.id, tip));
    }
    let newest = facts.resolve(&head.tip)?;
    let mut places = Places::default();
    for number in 0..head.slots {
        let slot = index::slot(&slots, number)?;
        facts.resolve(&slot.owner)?;
        facts.resolve(&slot.mapper)?;
        let place = places.number(slot.owner.id, slot.mapper.id);
        places.of_slots.push(place);
    }
    let base = head.run.place.0 * PAGE_BYTES;
    let run = InspectedRun::open(&file, base, PageKind::Index, head.tip.id, &head.run)?;
    let mut broken = None;
    run.verify_chunks(&mut |error| broken = broken.take().or(Some(error)))?;
    if let Some(broken) = broken {
        return Err(broken);
    }
    run.verify_structure()?;
    let mut cursor = run.cursor();
    while let Some(mapped) = cursor.next()? {
        if let Target::Data { source, .. } = mapped.extent.target
            && source.0 >= head.slots
        {
            let expected = format!("less than {}", head.slots);
            return Err(Error::corrupt("read an index", "slot", source.0, expected)
                .at_offset(cursor.last_position()));
        }
    }
    let mut chain = Vec::new();
    let mut next = Some(newest);
    let mut below = None;
    while (chain.len() as u64) < head.layers {
        let Some(layer) = next else {
            let found = format!("{} layers", head.layers);
            return Ok(Some(format!("found {found}, expected the {} that there are", chain.len())));
        };
        chain.push(layer);
        below = layer.parent;
        // What is lost below it is told of those layers.
        next = match below.as_ref().map(|below| facts.resolve(below)) {
            Some(Err(_)) if (chain.len() as u64) < head.layers => return Ok(None),
            Some(found) => found.ok(),
            None => None,
        };
    }
    if below.map(|below| below.id) != head.below.map(|below| below.id) {
        return Ok(Some("found another layer below the stretch, expected its parent".to_owned()));
    }
    match of_layers(place, &chain, &mut places) {
        // That a map cannot be read is a finding of its own.
        Err(_) => Ok(None),
        Ok(overlay) => places.difference(run.cursor(), &overlay, below.is_some()),
    }
}

/// What the maps of layers, the newest first, come to; sources in it are [`Places`].
fn of_layers(place: &Place<'_>, chain: &[&LayerFacts], places: &mut Places) -> Result<Overlay> {
    let mut overlay = Overlay::default();
    for layer in chain.iter().rev() {
        thinned::walk(place, layer, &mut |_, mut mapped| {
            match &mut mapped.extent.target {
                Target::Hole => return Ok(()),
                Target::Zero => {}
                Target::Data { source, .. } => {
                    let mapper = layer.reference.id;
                    let owner = match source.0.checked_sub(1) {
                        None => mapper,
                        Some(at) => layer.sources.get(at as usize).map_or(mapper, |owner| owner.id),
                    };
                    source.0 = places.number(owner, mapper);
                }
            }
            overlay.lay(mapped);
            Ok(())
        })?;
    }
    Ok(overlay)
}

/// In whose file blocks lie, and whose map names them: a number for each that there is.
#[derive(Default)]
struct Places {
    numbers: HashMap<(LayerId, LayerId), u32>,
    by_number: Vec<(LayerId, LayerId)>,
    /// That of each slot of the index.
    of_slots: Vec<u32>,
}

impl Places {
    fn number(&mut self, owner: LayerId, mapper: LayerId) -> u32 {
        *self.numbers.entry((owner, mapper)).or_insert_with(|| {
            self.by_number.push((owner, mapper));
            self.by_number.len() as u32 - 1
        })
    }

    /// The first address of which an index says something else than its layers. Where nothing is below them,
    /// zeros and silence are the same.
    fn difference(
        &self,
        mut index: RunCursor<'_>,
        layers: &Overlay,
        is_on_something: bool,
    ) -> Result<Option<String>> {
        let mut layers = layers.extents();
        let (mut found, mut expected) = (self.next_of(&mut index)?, layers.next());
        let mut at = BlockAddress(0);
        loop {
            while found.is_some_and(|it| it.extent.end() <= at) {
                found = self.next_of(&mut index)?;
            }
            while expected.is_some_and(|it| it.extent.end() <= at) {
                expected = layers.next();
            }
            let sides = [&found, &expected].map(Option::as_ref);
            let Some(start) = sides.iter().flatten().map(|it| it.extent.start).min() else {
                return Ok(None);
            };
            at = at.max(start);
            let bound =
                |it: &&Mapped| if it.extent.start > at { it.extent.start } else { it.extent.end() };
            let end = sides.iter().flatten().map(bound).min().unwrap_or(at);
            let say = |it: Option<&Mapped>| match it?.clipped(at, end)?.extent.target {
                Target::Zero if !is_on_something => None,
                target => Some(target),
            };
            let [found, expected] = sides.map(say);
            if found != expected {
                let (found, expected) = (self.text(found), self.text(expected));
                return Ok(Some(format!("address {at}: found {found}, expected {expected}")));
            }
            at = end;
        }
    }

    fn next_of(&self, index: &mut RunCursor<'_>) -> Result<Option<Mapped>> {
        let mut mapped = index.next()?;
        if let Some(Mapped { extent: Extent { target: Target::Data { source, .. }, .. }, .. }) =
            &mut mapped
        {
            source.0 = self.of_slots[source.0 as usize];
        }
        Ok(mapped)
    }

    fn text(&self, target: Option<Target>) -> String {
        match target {
            None | Some(Target::Hole) => "nothing".to_owned(),
            Some(Target::Zero) => "zeros".to_owned(),
            Some(Target::Data { source, block }) => {
                let (owner, mapper) = self.by_number[source.0 as usize];
                format!("block {block} of layer {owner} by the map of {mapper}")
            }
        }
    }
}
