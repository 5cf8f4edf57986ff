//! The volume in which the layers of a stage are made, one on the other.

use std::collections::HashSet;
use std::ffi::OsString;

use sapwood::files::{Files, FilesOptions, FilesView};
use sapwood::{Annotations, Error, ErrorKind, LayerId, Replace, Result, Snapshot, Store};
use sapwood_container::{Place, RunFolder};
use sapwood_oci::{CACHE_KEY_LABEL, OwnNames};

/// A volume that goes when the stage is done. Each of its snapshots is a layer.
#[derive(Debug)]
pub struct Workshop {
    store: Store,
    id: LayerId,
    name: String,
    /// None while a program runs over them.
    files: Option<Files>,
    last: Option<Snapshot>,
}

impl Workshop {
    /// A volume on a layer, or on nothing.
    pub fn on(store: &Store, layer: Option<&Snapshot>) -> Result<Workshop> {
        let id = LayerId::random()?;
        let name = OwnNames::BUILD_VOLUMES.name(id);
        let volume = match layer {
            Some(layer) => store.fork_snapshot(layer, &name)?,
            None => store.create_tree(&name)?,
        };
        let files = Some(Files::open(volume, FilesOptions::default())?);
        Ok(Workshop { store: store.clone(), id, name, files, last: None })
    }

    /// Where a program has what it needs while it runs over the files.
    pub fn place(&self) -> Result<Place> {
        Ok(RunFolder::make(&self.store)?.step(self.id.to_string()))
    }

    /// The files, as the steps so far left them.
    ///
    /// Errors: [`Poisoned`](ErrorKind::Poisoned) where a program that ran over them took them along.
    pub fn files(&self) -> Result<&Files> {
        self.files
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Poisoned, "build: the files of a stage are gone"))
    }

    /// The files as the steps so far left them, to be held against others.
    pub fn committed(&self) -> Result<FilesView> {
        self.files()?.flush()?;
        FilesView::open(self.store.snapshot_of(&self.name)?)
    }

    /// Hands the files to a program, which gives them back.
    pub fn lend<E: From<sapwood::Error>>(
        &mut self,
        run: impl FnOnce(Files) -> std::result::Result<Files, E>,
    ) -> std::result::Result<(), E> {
        self.files()?;
        if let Some(files) = self.files.take() {
            self.files = Some(run(files)?);
        }
        Ok(())
    }

    /// Hands the files to who keeps them until the volume goes.
    pub fn hand_over(&mut self, keep: impl FnOnce(Files) -> Result<()>) -> Result<()> {
        self.files()?;
        self.files.take().map_or(Ok(()), keep)
    }

    /// Freezes what was done into a layer.
    pub fn layer(&mut self, annotations: &Annotations) -> Result<Snapshot> {
        let snapshot = self.files()?.snapshot(annotations)?;
        self.last = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Keeps the layers that were made, by a tag, and removes the volume.
    pub fn finish(self) -> Result<()> {
        if let Some(last) = &self.last {
            keep(&self.store, last.layer_id())?;
        }
        self.files.map_or(Ok(()), Files::abandon)?;
        match self.store.remove(&self.name) {
            // A build that begins has taken it for what one left that was killed, and removes it.
            Err(error) if matches!(error.kind(), ErrorKind::Locked | ErrorKind::NotFound) => Ok(()),
            removed => removed.map(drop),
        }
    }
}

/// Keeps a layer with all below it, by a tag.
fn keep(store: &Store, layer: LayerId) -> Result<()> {
    store.tag(&layer.to_string(), &OwnNames::BUILD_CACHE.name(layer), Replace::Move)
}

/// Removes what builds left that were killed: volumes, and what programs had while they ran. Layers that
/// they had made stay.
pub fn remove_abandoned(store: &Store) -> Result<()> {
    // In this order: a folder that is there now, and whose volume nobody has open, stays abandoned.
    let run = RunFolder::find(store)?;
    let places = run.as_ref().map_or(Ok(Vec::new()), RunFolder::steps)?;
    let mut used = HashSet::new();
    for entry in store.names()? {
        let Some(id) = OwnNames::BUILD_VOLUMES.digits_of(&entry) else { continue };
        match remove_volume(store, &entry.name) {
            // Somebody builds in it.
            Err(error) if error.kind() == ErrorKind::Locked => used.extend([OsString::from(id)]),
            // Somebody was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    for id in places.iter().filter(|id| !used.contains(*id)) {
        run.iter().try_for_each(|run| run.step(id).clear_abandoned())?;
    }
    Ok(())
}

fn remove_volume(store: &Store, name: &str) -> Result<()> {
    // Whoever has it open finishes it.
    store.open_volume(name)?.close()?;
    let lineage = store.lineage(name)?;
    // The topmost one is the volume's own.
    if let Some(layer) = lineage.get(1)
        && layer.annotations.labels.contains_key(CACHE_KEY_LABEL)
    {
        keep(store, layer.id)?;
    }
    store.remove(name)?;
    Ok(())
}
