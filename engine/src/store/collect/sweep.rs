//! Taking away what was planned: marks and unlinks first, and durable; punches afterwards.

use std::io::ErrorKind::{NotFound, Unsupported};
use std::path::Path;

use super::plan::{Plan, Thinning};
use crate::error::Result;
use crate::layer::{read_header, update_header};
use crate::medium::{Host, OpenMode};
use crate::store::names::{self, failed};
use crate::store::paths;
use crate::units::LayerId;

/// Unlinks files and sets marks, durably. The caller holds the store's lock alone since
/// before the plan was made.
pub fn unlink_and_mark(host: &dyn Host, plan: &Plan) -> Result<()> {
    for thinning in plan.thin.iter().filter(|thinning| thinning.is_new) {
        mark_thinned(host, thinning.id)?;
    }
    for path in &plan.litter {
        remove(host, path)?;
    }
    // Stale marks: what shows them to be that may be among the layers that go, now or later. And
    // files of names that do not count: what does may go next, and they must not come back alone.
    for folder in [paths::LAYERS, paths::NAMES].map(Path::new) {
        if plan.litter.iter().any(|path| path.starts_with(folder)) {
            names::sync_folder(host, folder)?;
        }
    }
    for (id, _) in &plan.unlink {
        remove(host, &paths::layer(*id))?;
    }
    for path in &plan.derived {
        remove(host, path)?;
    }
    if !plan.unlink.is_empty() {
        names::sync_folder(host, paths::LAYERS.as_ref())?;
    }
    // A layer that came back without its mark would count as finished.
    plan.unlink.iter().try_for_each(|(id, _)| remove(host, &paths::making(*id)))
}

/// Gives the planned stretches back to the host; `false` where it cannot take them.
pub fn punch(host: &dyn Host, thinning: &Thinning) -> Result<bool> {
    let path = paths::layer(thinning.id);
    let host_says = |error| failed(host, "punch a layer", &path)(error);
    let medium = match host.open(&path, OpenMode::ReadWrite) {
        Ok(medium) => medium,
        // Another collection has taken the whole file meanwhile.
        Err(error) if error.kind() == NotFound => return Ok(true),
        Err(error) => return Err(host_says(error)),
    };
    for stretch in &thinning.stretches {
        match medium.punch(stretch.start, stretch.end - stretch.start) {
            Ok(()) => {}
            Err(error) if error.kind() == Unsupported => return Ok(false),
            Err(error) => return Err(host_says(error)),
        }
    }
    medium.sync().map_err(host_says)?;
    Ok(true)
}

fn mark_thinned(host: &dyn Host, id: LayerId) -> Result<()> {
    change_header(host, id, "mark a layer thinned", |header| {
        // One that was never given a name is not marked removed yet.
        header.removed = true;
        header.thinned = true;
    })
}

/// Changes the header slots of a frozen layer, durably. The caller holds the store's lock alone.
pub fn change_header(
    host: &dyn Host,
    id: LayerId,
    operation: &str,
    change: impl FnOnce(&mut crate::format::Header),
) -> Result<()> {
    let path = paths::layer(id);
    let host_says = |error| failed(host, operation, &path)(error);
    let shown = host.display_path(&path);
    let medium = host.open(&path, OpenMode::ReadWrite).map_err(host_says)?;
    let slots = read_header(&*medium, &shown)?;
    let mut header = slots.header.clone();
    change(&mut header);
    if slots.slots_agree && header == slots.header {
        return Ok(());
    }
    header.expect_writable(operation).map_err(|error| error.in_file(&shown))?;
    header.generation += 1;
    update_header(&*medium, &shown, &header)?;
    medium.sync().map_err(host_says)
}

fn remove(host: &dyn Host, path: &Path) -> Result<()> {
    match host.remove(path) {
        Err(error) if error.kind() != NotFound => Err(failed(host, "remove a file", path)(error)),
        _ => Ok(()),
    }
}
