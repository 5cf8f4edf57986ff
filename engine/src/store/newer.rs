//! That nothing goes of which only a newer version can tell what it is.

use std::sync::Arc;

use super::collect::sources_of_open;
use super::handle::Inner;
use super::{headers, paths};
use crate::chain::View;
use crate::error::{Error, Result};
use crate::format::files::Superblock;
use crate::format::{Header, LayerKind, LayerState};
use crate::units::{BlockAddress, LayerId};
use crate::volume::look_in;

/// That what a volume has written last goes knowingly: of what a newer version wrote nobody here can tell
/// what it is, be it the layer, its journal, or the tree in it. What is damaged may go.
pub fn expect_not_newer(inner: &Inner, top: LayerId) -> Result<()> {
    match look_for_newer(inner, top) {
        Err(error) if error.is_newer() => Err(error),
        _ => Ok(()),
    }
}

fn look_for_newer(inner: &Inner, top: LayerId) -> Result<()> {
    let host = inner.host();
    let Some(medium) = headers::open(host, top)? else { return Ok(()) };
    let path = paths::layer(top);
    let header = headers::read_open(host, &*medium, &path, top)?;
    match (header.kind, header.state) {
        (LayerKind::Disk, LayerState::Frozen) => Ok(()),
        (LayerKind::Disk, LayerState::Open) => {
            sources_of_open(&medium, &host.display_path(&path)).map(drop)
        }
        (LayerKind::Tree, _) => first_page(inner, &header),
    }
}

/// Reads the first page of the tree that a layer shows, as far as what it stands on can be read: that is not
/// what goes.
fn first_page(inner: &Inner, header: &Header) -> Result<()> {
    let path = paths::layer(header.layer);
    let below = |parent| View::open(Arc::clone(&inner.layers), &parent);
    let view = match header.state {
        LayerState::Frozen => below(header.layer_ref()),
        LayerState::Open => {
            let top = look_in(&inner.host, &path)?;
            let empty = || Ok(View::empty(Arc::clone(&inner.layers), header.block_size));
            header.parent.map_or_else(empty, below).and_then(|below| below.on_top(top))
        }
    };
    let mut page = vec![0; header.block_size.bytes_usize()];
    if view.and_then(|view| view.read(BlockAddress(0), 0, &mut page)).is_err() {
        return Ok(());
    }
    let shown = inner.host().display_path(&path);
    Superblock::decode(&page, header.block_size)
        .map(drop)
        .map_err(|error: Error| error.in_file(shown))
}
