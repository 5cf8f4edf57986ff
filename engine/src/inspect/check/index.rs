//! Merged indexes: derived, so whatever is wrong with one is a note (INV-07).

use std::path::Path;

use super::facts::Facts;
use super::names;
use super::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::Target;
use crate::format::index::{self, IndexHead};
use crate::format::page::PageKind;
use crate::inspect::file::InspectedFile;
use crate::inspect::report::{CheckReport, Severity, text_of};
use crate::inspect::run::InspectedRun;
use crate::units::{LayerId, PAGE_BYTES};

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
            Ok(()) => report.counts.indexes += 1,
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

fn look(place: &Place<'_>, facts: &Facts, path: &Path, tip: LayerId) -> Result<()> {
    let file = InspectedFile::open(place.host, path)?;
    let head = IndexHead::decode(&*file.page(0)?, file.length())?;
    let slots = file.bytes(PAGE_BYTES, (head.run.place.0 - 1) * PAGE_BYTES)?;
    index::verify_slots(&head, &slots).map_err(file.located(PAGE_BYTES))?;
    if head.tip.id != tip {
        return Err(Error::corrupt("read an index", "tip", head.tip.id, tip));
    }
    facts.resolve(&head.tip)?;
    for number in 0..head.slots {
        let slot = index::slot(&slots, number)?;
        facts.resolve(&slot.owner)?;
        facts.resolve(&slot.mapper)?;
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
    Ok(())
}
