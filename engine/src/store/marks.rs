//! Marks of layers that are being made: empty files beside them. A layer with a mark belongs to
//! nobody but its maker; without one that lives, a collection takes it.

use super::handle::Inner;
use super::names::failed;
use super::{headers, paths};
use crate::error::Result;
use crate::medium::{Host, OpenMode};
use crate::units::LayerId;

/// Marks a layer whose file is not there yet. The mark is durable before the layer is frozen:
/// both lie in one folder.
pub fn mark(host: &dyn Host, id: LayerId) -> Result<()> {
    let mark = paths::making(id);
    let made = host.open(&mark, OpenMode::CreateNew);
    made.map(drop).map_err(failed(host, "make a layer", &mark))
}

/// Removes the marks of a layer that was being made and of those below that were made with it,
/// durably. From the top down: a layer without a mark shows that all below it are finished, so a
/// crash may leave any of the marks.
pub fn unmark(inner: &Inner, id: LayerId) -> Result<()> {
    let host = inner.host();
    let mut had_mark = false;
    let mut next = Some(id);
    while let Some(id) = next
        && remove_mark(host, id)?
    {
        had_mark = true;
        next = headers::read_existing(host, id)?.parent.map(|parent| parent.id);
    }
    let folder = paths::LAYERS.as_ref();
    match had_mark {
        true => host.sync_folder(folder).map_err(failed(host, "sync the folder", folder)),
        false => Ok(()),
    }
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
