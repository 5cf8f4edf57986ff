//! What was verified of an image that is not whole yet: a tag keeps it.

use std::collections::HashSet;

use sapwood::{ErrorKind, LayerId, Replace, Result, Snapshot, Store};

use crate::Image;
use crate::own_names::OwnNames;

/// A tag of an image that is coming in: nobody else moves it.
pub struct Partial<'a> {
    store: &'a Store,
    tag: Option<String>,
}

impl<'a> Partial<'a> {
    /// No tag before there is something to keep.
    pub fn new(store: &'a Store) -> Partial<'a> {
        Partial { store, tag: None }
    }

    /// Keeps a layer, with all below it, durably.
    pub fn keep(&mut self, layer: &Snapshot) -> Result<()> {
        let id = layer.layer_id();
        let tag = self.tag.get_or_insert_with(|| OwnNames::PARTIAL.name(id));
        self.store.tag(&id.to_string(), tag, Replace::Move)
    }
}

/// Removes the tags that kept layers of an image which is whole now. Those of others stay: who takes
/// the same image in beside this one stands on layers of its own.
pub fn forget_partial(store: &Store, image: &Image) -> Result<()> {
    let partial = |name: &sapwood::NameEntry| OwnNames::PARTIAL.hold(name);
    let tags: Vec<_> = store.tags()?.into_iter().filter(partial).collect();
    if tags.is_empty() {
        return Ok(());
    }
    let lineage = store.lineage(&image.snapshot().layer_id().to_string())?;
    let own: HashSet<LayerId> = lineage.into_iter().map(|layer| layer.id).collect();
    for tag in tags.into_iter().filter(|tag| own.contains(&tag.top)) {
        match store.remove(&tag.name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
