//! The volume in which the layers of a stage are made, one on the other.

use sapwood::files::{Files, FilesOptions};
use sapwood::{Annotations, ErrorKind, LayerId, Replace, Result, Snapshot, Store};

/// What the names of these volumes begin with.
const VOLUME_PREFIX: &str = "building:";
/// What the names of the tags begin with that keep layers.
pub const CACHE_PREFIX: &str = "build-cache:";
/// How many digits of a layer's id a tag has.
const TAG_DIGITS: usize = 16;

/// A volume that goes when the stage is done. Each of its snapshots is a layer.
#[derive(Debug)]
pub struct Workshop {
    store: Store,
    name: String,
    /// None while a program runs over them.
    files: Option<Files>,
    last: Option<Snapshot>,
}

impl Workshop {
    /// A volume on a layer, or on nothing.
    pub fn on(store: &Store, layer: Option<&Snapshot>) -> Result<Workshop> {
        let name = format!("{VOLUME_PREFIX}{}", LayerId::random()?);
        let volume = match layer {
            Some(layer) => store.fork_snapshot(layer, &name)?,
            None => store.create_tree(&name)?,
        };
        let files = Some(Files::open(volume, FilesOptions::default())?);
        Ok(Workshop { store: store.clone(), name, files, last: None })
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The files, as the steps so far left them.
    ///
    /// Errors: [`Poisoned`](ErrorKind::Poisoned) where a program that ran over them took them along.
    pub fn files(&self) -> Result<&Files> {
        self.files.as_ref().ok_or_else(|| {
            sapwood::Error::new(ErrorKind::Poisoned, "build: the files of a stage are gone")
        })
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
            let id = last.layer_id().to_string();
            let tag = format!("{CACHE_PREFIX}{}", &id[..TAG_DIGITS]);
            self.store.tag(&id, &tag, Replace::Move)?;
        }
        drop(self.files);
        self.store.remove(&self.name)?;
        Ok(())
    }
}

/// Removes the volumes of builds that ended without doing it.
pub fn remove_abandoned(store: &Store) -> Result<()> {
    for name in store.names()? {
        if !name.name.starts_with(VOLUME_PREFIX) {
            continue;
        }
        match store.remove(&name.name) {
            // Somebody builds in it, or was quicker.
            Err(error) if matches!(error.kind(), ErrorKind::Locked | ErrorKind::NotFound) => {}
            removed => {
                removed?;
            }
        }
    }
    Ok(())
}
