//! A container that this process has, and nobody else: made, or found, to be started.

use std::fs::File;

use oci_spec::image::ImageConfiguration;
use sapwood::files::{Files, FilesOptions};
use sapwood::store::Name;
use sapwood::{LayerId, Snapshot, Store, Volume};
use sapwood_fuse::{Durability, Reporter};

use super::folder::{self, Lock};
use super::record::{Record, missing, now};
use super::remove::{clear, remove_held};
use super::running::RunningContainer;
use crate::error::Result;
use crate::job::Streams;
use crate::run_folder::RunFolder;
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::settings::Settings;

/// What a container is to be made of.
#[derive(Clone, Debug)]
pub struct NewContainer<'a> {
    /// Its name; one is made up where none is given.
    pub name: Option<&'a str>,
    /// The image, as people call it.
    pub image: &'a str,
    /// Its layer.
    pub snapshot: &'a Snapshot,
    /// What the image says of itself.
    pub configuration: Option<&'a ImageConfiguration>,
    /// What is asked for.
    pub settings: &'a Settings,
}

/// A container that does not run, and that nobody else can start meanwhile.
#[derive(Debug)]
pub struct HeldContainer {
    name: Name,
    store: Store,
    record: Record,
    volume: Volume,
    lock: Lock,
}

/// Makes a container: a fork of an image, and a record. It lasts once it was committed, as it is
/// when its process ends.
///
/// Errors: [`sapwood::ErrorKind::AlreadyExists`] where the name is taken;
/// [`sapwood::ErrorKind::InvalidInput`] for a process that there cannot be.
pub fn create(store: &Store, new: &NewContainer<'_>) -> sapwood::Result<HeldContainer> {
    let name = match new.name {
        Some(name) => Name::new(name)?,
        None => Name::new(format!("container-{}", &LayerId::random()?.to_string()[..8]))?,
    };
    store.expect_free(name.as_str())?;
    let config = new.configuration.and_then(|configuration| configuration.config().as_ref());
    let process = new.settings.process(config);
    // Before there is a container that no process could ever run in.
    process.check()?;
    let lock = Lock::take(store, &name)?;
    let volume = store.fork_snapshot(new.snapshot, name.as_str())?;
    // What is there of a container that had the name before.
    clear(store, &name)?;
    lock.folder().remove_file(folder::OUTPUT)?;
    let record = Record {
        image: new.image.to_owned(),
        image_layer: new.snapshot.layer_id().to_string(),
        settings: new.settings.clone(),
        process,
        volumes: config.and_then(|config| config.volumes().clone()).unwrap_or_default(),
        stop_signal: config.and_then(|config| config.stop_signal().clone()),
        created: now(),
        started: None,
        finished: None,
        exit_code: None,
        error: None,
        lost: None,
        runtime: None,
        runtime_id: None,
    };
    record.write(lock.folder())?;
    Ok(HeldContainer { name, store: store.clone(), record, volume, lock })
}

/// Takes a container that was made before, to start it once more. What is left of it where the
/// process that served it was killed is cleared away.
///
/// Errors: [`sapwood::ErrorKind::NotFound`]; [`sapwood::ErrorKind::Locked`] where it runs.
pub fn hold(store: &Store, name: &str) -> sapwood::Result<HeldContainer> {
    let name = Name::new(name)?;
    let found = folder::of(store, &name)?.map_or(Ok(None), |folder| Record::read(&folder))?;
    if found.is_none() {
        return Err(missing(name.as_str(), "of which there is no record"));
    }
    let lock = Lock::take(store, &name)?;
    let record = Record::read(lock.folder())?;
    let record = record.ok_or_else(|| missing(name.as_str(), "which was removed"))?;
    clear(store, &name)?;
    let volume = store.open_volume(name.as_str())?;
    Ok(HeldContainer { name, store: store.clone(), record, volume, lock })
}

impl HeldContainer {
    /// Its name.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// What is remembered of it.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Mounts it, and starts its process. Failures that its users see as an error number only are told to
    /// `report`.
    ///
    /// Errors: as [`Sandbox::start`]; the record says so, and the container stays.
    pub fn start(self, streams: Streams, report: Reporter) -> Result<RunningContainer> {
        let HeldContainer { name, store, mut record, volume, lock } = self;
        let start = || {
            let runtime = Runtime::find(record.settings.runtime.as_deref())?;
            let id = format!("sapwood-{}", &LayerId::random()?.to_string()[..16]);
            record.started = Some(now());
            (record.finished, record.exit_code) = (None, None);
            (record.error, record.lost) = (None, None);
            record.runtime = Some(runtime.name().to_owned());
            record.runtime_id = Some(id.clone());
            record.write(lock.folder())?;
            let files = Files::open(volume, FilesOptions::default())?;
            let mut job = record.settings.job(&record.process, name.as_str());
            job.directories.clone_from(&record.volumes);
            let durability = match record.settings.is_temporary {
                true => Durability::OnUnmount,
                false => Durability::OnSync,
            };
            let place = folder::place(&RunFolder::make(&store)?, &store, &name, durability);
            Sandbox::start_as(id, &runtime, files, &place, &job, streams, report)
        };
        match start() {
            Ok(sandbox) => Ok(RunningContainer { sandbox, store, name, record, lock }),
            Err(error) => {
                record.finished = Some(now());
                record.exit_code = Some(error.exit_code());
                record.error = Some(error.to_string());
                record.write(lock.folder())?;
                if record.settings.is_temporary {
                    remove_held(&store, &name, lock)?;
                }
                Err(error)
            }
        }
    }

    /// A file for what it says where nobody listens.
    pub fn output(&self) -> sapwood::Result<File> {
        self.lock.folder().append(folder::OUTPUT)
    }

    /// Gives it back without starting it, durably.
    pub fn close(self) -> sapwood::Result<()> {
        self.volume.flush()?;
        self.volume.close()
    }
}
