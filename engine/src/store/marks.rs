//! Marks of layers that are being made: empty files beside them. A layer with a mark belongs to
//! nobody but its maker; without one that lives, a collection takes it.

use super::handle::Inner;
use super::names::{failed, failed_to_make, sync_folder};
use super::{headers, paths};
use crate::error::Result;
use crate::medium::{Host, OpenMode};
use crate::units::LayerId;

/// Marks a layer whose file is not there yet. The mark is durable before the layer is frozen:
/// both lie in one folder.
pub fn mark(host: &dyn Host, id: LayerId) -> Result<()> {
    let mark = paths::making(id);
    let made = host.open(&mark, OpenMode::CreateNew);
    made.map(drop).map_err(failed_to_make(host, "make a layer", &mark))
}

/// Removes the marks of a layer that was being made and of those below that were made with it,
/// durably.
pub fn unmark(inner: &Inner, id: LayerId) -> Result<()> {
    let host = inner.host();
    match remove_marks(host, id)? {
        true => sync_folder(host, paths::LAYERS.as_ref()),
        false => Ok(()),
    }
}

/// As [`unmark`], without a sync; whether there were any. From the top down: a layer without a mark
/// shows that all below it are finished, so a crash may leave any of the marks.
pub fn remove_marks(host: &dyn Host, id: LayerId) -> Result<bool> {
    let mut had_mark = false;
    let mut next = Some(id);
    while let Some(id) = next
        && remove_mark(host, id)?
    {
        had_mark = true;
        next = headers::read_existing(host, id)?.parent.map(|parent| parent.id);
    }
    Ok(had_mark)
}

/// Removes the mark of one layer; whether it had one.
pub fn remove_mark(host: &dyn Host, id: LayerId) -> Result<bool> {
    let mark = paths::making(id);
    match host.remove(&mark) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(host, "unmark a layer", &mark)(error)),
    }
}
