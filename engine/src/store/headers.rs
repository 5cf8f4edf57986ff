//! Headers of single layer files, without opening the layers: what listings and walks need.

use std::path::Path;

use super::names::failed;
use super::paths;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Header;
use crate::layer::read_header;
use crate::medium::{Host, Medium, OpenMode};
use crate::units::LayerId;

/// The header of the layer `id`; `None` where the store has no such file.
///
/// Errors: [`ErrorKind::Corrupt`] where it does not verify, or the file holds another layer.
pub fn read(host: &dyn Host, id: LayerId) -> Result<Option<Header>> {
    let path = paths::layer(id);
    match host.open(&path, OpenMode::Read) {
        Ok(medium) => read_open(host, &*medium, &path, id).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(host, "open a layer", &path)(error)),
    }
}

/// As [`read`], where a layer that is not there is [`ErrorKind::NotFound`].
pub fn read_existing(host: &dyn Host, id: LayerId) -> Result<Header> {
    read(host, id)?.ok_or_else(|| missing(host, id))
}

/// The header in an open layer file that is expected to hold the layer `id`.
pub fn read_open(host: &dyn Host, medium: &dyn Medium, path: &Path, id: LayerId) -> Result<Header> {
    let shown = host.display_path(path);
    let header = read_header(medium, &shown)?.header;
    match header.layer == id {
        true => Ok(header),
        // A copy of a file under another name: a store has one file of each layer.
        false => Err(Error::corrupt("open a layer", "layer id", header.layer, id).in_file(shown)),
    }
}

/// Makes sure that a frozen layer is durably so, before something durable refers to it: who
/// froze it may have died between the two slots.
pub fn settle(host: &dyn Host, id: LayerId) -> Result<()> {
    let path = paths::layer(id);
    let host_says = |error| failed(host, "sync a layer", &path)(error);
    let medium = host.open(&path, OpenMode::Read).map_err(host_says)?;
    match read_header(&*medium, &host.display_path(&path))?.slots_agree {
        true => Ok(()),
        false => medium.sync().map_err(host_says),
    }
}

/// There is no such layer in the store.
pub fn missing(host: &dyn Host, id: LayerId) -> Error {
    Error::new(ErrorKind::NotFound, format!("look up layer {id}"))
        .in_file(host.display_path(&paths::layer(id)))
}

/// A durable name leads to a layer only once that layer is durable: its file has gone since.
pub fn lost_top(host: &dyn Host, id: LayerId) -> Error {
    Error::corrupt("open a volume", "file of its layer", "no such file", "one that was durable")
        .in_file(host.display_path(&paths::layer(id)))
}
