//! Headers of single layer files, without opening the layers: what listings and walks need.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::names::failed;
use super::paths;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Header, LayerState};
use crate::layer::{expect_length, read_header};
use crate::medium::{Host, Medium, OpenMode};
use crate::units::LayerId;

/// Where walks read headers: from the files, or once each.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    host: &'a dyn Host,
    known: Option<&'a Known>,
}

/// Headers that were read, of layers that stay as they are meanwhile: those of a store whose lock
/// is held alone.
#[derive(Debug, Default)]
pub struct Known(RefCell<HashMap<LayerId, Header>>);

impl Known {
    /// The header of a layer is about to change.
    pub fn forget(&self, id: LayerId) {
        self.0.borrow_mut().remove(&id);
    }
}

impl<'a> Headers<'a> {
    /// Each header is read once, and those that are `known` never.
    pub fn known(host: &'a dyn Host, known: &'a Known) -> Headers<'a> {
        Headers { host, known: Some(known) }
    }

    /// Where the files are.
    pub fn host(self) -> &'a dyn Host {
        self.host
    }

    /// As [`read`].
    pub fn read(self, id: LayerId) -> Result<Option<Header>> {
        let Some(Known(known)) = self.known else { return read(self.host, id) };
        if let Some(header) = known.borrow().get(&id) {
            return Ok(Some(header.clone()));
        }
        let header = read(self.host, id)?;
        known.borrow_mut().extend(header.clone().map(|header| (id, header)));
        Ok(header)
    }
}

impl<'a> From<&'a dyn Host> for Headers<'a> {
    fn from(host: &'a dyn Host) -> Headers<'a> {
        Headers { host, known: None }
    }
}

/// The file of the layer `id`, for reading; `None` where the store has no such file.
///
/// Errors: [`ErrorKind::Unreadable`] where it is this file alone that cannot be opened.
pub fn open(host: &dyn Host, id: LayerId) -> Result<Option<Arc<dyn Medium>>> {
    let path = paths::layer(id);
    match host.open(&path, OpenMode::Read) {
        Ok(medium) => Ok(Some(medium)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::medium::failed_to_open("open a layer", host, &path, error)),
    }
}

/// As [`open`], where a layer that is not there is [`ErrorKind::NotFound`].
pub fn open_existing(host: &dyn Host, id: LayerId) -> Result<Arc<dyn Medium>> {
    open(host, id)?.ok_or_else(|| missing(host, id))
}

/// The header of the layer `id`; `None` where the store has no such file.
///
/// Errors: as [`open`] and [`read_open`].
pub fn read(host: &dyn Host, id: LayerId) -> Result<Option<Header>> {
    let medium = open(host, id)?;
    medium.map(|medium| read_open(host, &*medium, &paths::layer(id), id)).transpose()
}

/// As [`read`], where a layer that is not there is [`ErrorKind::NotFound`].
pub fn read_existing(host: &dyn Host, id: LayerId) -> Result<Header> {
    read(host, id)?.ok_or_else(|| missing(host, id))
}

/// The header in an open layer file that is expected to hold the layer `id`.
///
/// Errors: [`ErrorKind::Corrupt`] where it does not verify, the file holds another layer, or has lost
/// or won bytes since the layer was frozen; [`ErrorKind::Unreadable`].
pub fn read_open(host: &dyn Host, medium: &dyn Medium, path: &Path, id: LayerId) -> Result<Header> {
    let shown = host.display_path(path);
    let header = read_header(medium, &shown)?.header;
    if header.layer != id {
        // A copy of a file under another name: a store has one file of each layer.
        return Err(Error::corrupt("open a layer", "layer id", header.layer, id).in_file(shown));
    }
    if header.state == LayerState::Frozen {
        let length = medium.facts().map_err(failed(host, "look at a layer", path))?.length;
        expect_length(length, &header, &shown)?;
    }
    Ok(header)
}

/// That a layer that something leads to as a snapshot is one.
///
/// Errors: [`ErrorKind::WrongParent`]: an older copy of its file, from before it was frozen.
pub fn expect_frozen(host: &dyn Host, header: &Header) -> Result<()> {
    match header.state {
        LayerState::Frozen => Ok(()),
        LayerState::Open => {
            Err(Error::new(ErrorKind::WrongParent, format!("open snapshot {}", header.layer))
                .in_file(host.display_path(&paths::layer(header.layer)))
                .about("state", "open", "frozen"))
        }
    }
}

/// Makes sure that a frozen layer is durably so, before something durable refers to it: who
/// froze it may have died between the two slots.
pub fn settle(host: &dyn Host, id: LayerId) -> Result<()> {
    let path = paths::layer(id);
    let host_says = |error| failed(host, "sync a layer", &path)(error);
    let medium = open_existing(host, id)?;
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
