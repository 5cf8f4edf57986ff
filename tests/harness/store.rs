//! The engine's store as a subject: small bounds, so that small workloads reach every path.

use std::collections::BTreeMap;
use std::sync::Arc;

use sapwood::medium::Host;
use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::volume::{CloneSource, Volume, VolumeOptions};
use sapwood::{Error, ErrorKind};

use super::step::{Step, pattern};
use super::{BLOCK_BYTES, Observed, Subject};

/// A store with all its volumes open for writing.
pub struct StoreSubject {
    host: Arc<dyn Host>,
    store: Store,
    volumes: BTreeMap<String, Volume>,
}

/// Bounds so small that a few blocks fill the buffer and a few commits make a checkpoint.
pub fn options() -> StoreOptions {
    StoreOptions {
        volume: VolumeOptions {
            buffer_bytes: 4 * BLOCK_BYTES,
            map_extents_max: 6,
            journal_records_max: 3,
            ..VolumeOptions::default()
        },
        ..StoreOptions::default()
    }
}

impl StoreSubject {
    fn volume(&self, name: &str) -> &Volume {
        &self.volumes[name]
    }

    /// Closes every volume, which commits it.
    pub fn close(self) -> Result<(), Error> {
        self.volumes.into_values().try_for_each(Volume::close)
    }

    fn open_all(host: Arc<dyn Host>) -> Result<StoreSubject, Error> {
        let store = Store::open_on(host.clone(), &options())?;
        let mut volumes = BTreeMap::new();
        for name in volume_names(&store)? {
            match store.open_volume(&name) {
                Ok(volume) => drop(volumes.insert(name, volume)),
                // Made and never flushed, and at most its name survived.
                Err(error) if error.kind() == ErrorKind::NotFound => match store.remove(&name) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                },
                Err(error) => return Err(error),
            }
        }
        Ok(StoreSubject { host, store, volumes })
    }

    fn try_perform(&mut self, step: &Step) -> Result<(), Error> {
        let bytes = |blocks: &u64| blocks * BLOCK_BYTES;
        match step {
            Step::Create { volume, blocks } => {
                let made = self.store.create_volume(volume, bytes(blocks))?;
                self.volumes.insert(volume.clone(), made);
            }
            Step::Write { volume, block, blocks, value } => {
                let data = pattern(*value, bytes(blocks));
                self.volume(volume).write_at(bytes(block), &data)?;
            }
            Step::WriteBytes { volume, offset, length, value } => {
                self.volume(volume).write_at(*offset, &pattern(*value, *length))?;
            }
            Step::Zero { volume, block, blocks } => {
                self.volume(volume).write_zeroes(bytes(block), bytes(blocks))?;
            }
            Step::Discard { volume, block, blocks } => {
                self.volume(volume).discard(bytes(block), bytes(blocks))?;
            }
            Step::Clone { volume, from, to, blocks } => {
                let volume = self.volume(volume);
                volume.clone_range(CloneSource::Own, bytes(from), bytes(to), bytes(blocks))?;
            }
            Step::CloneFrom { volume, tag, from, to, blocks } => {
                let snapshot = self.store.snapshot_of(tag)?;
                let source = CloneSource::Snapshot(&snapshot);
                let volume = self.volume(volume);
                volume.clone_range(source, bytes(from), bytes(to), bytes(blocks))?;
            }
            Step::Resize { volume, blocks } => self.volume(volume).resize(bytes(blocks))?,
            Step::Flush { volume } => self.volume(volume).flush()?,
            Step::Checkpoint { volume } => self.volume(volume).checkpoint()?,
            Step::Snapshot { volume, tag } => {
                self.volume(volume).snapshot(&Default::default())?;
                self.store.tag(&format!("{volume}@1"), tag, Replace::Refuse)?;
            }
            Step::Import { tag, blocks, value, snapshots } => {
                let making = self.store.make(tag, bytes(blocks), Replace::Refuse)?;
                for number in 0..*snapshots {
                    if number > 0 {
                        making.volume().snapshot(&Default::default())?;
                    }
                    let data = pattern(*value + number, bytes(&(blocks - number)));
                    making.volume().write_at(bytes(&number), &data)?;
                }
                making.finish(&Default::default())?;
            }
            Step::Fork { tag, volume } => {
                let fork = self.store.fork(tag, volume)?;
                self.volumes.insert(volume.clone(), fork);
            }
            Step::Reset { volume } => {
                self.volumes.remove(volume);
                self.store.reset(volume)?;
                self.volumes.insert(volume.clone(), self.store.open_volume(volume)?);
            }
            Step::Seal { tag } => {
                self.store.seal(tag)?;
            }
            Step::Flatten { tag, flat } => {
                self.store.flatten(tag, flat, &mut |_| ())?;
            }
            Step::RemoveVolume { volume } => {
                self.volumes.remove(volume);
                self.store.remove(volume)?;
            }
            Step::RemoveTag { tag } => {
                self.store.remove(tag)?;
            }
            Step::RemoveSnapshot { volume, number } => {
                self.store.remove(&format!("{volume}@{number}"))?;
            }
            Step::Collect => {
                self.store.collect(&GcOptions::default())?;
            }
            Step::Reopen => {
                for volume in std::mem::take(&mut self.volumes).into_values() {
                    volume.close()?;
                }
                *self = StoreSubject::open_all(self.host.clone())?;
            }
        }
        Ok(())
    }

    fn try_observe(&self) -> Result<Observed, Error> {
        let mut observed = Observed::default();
        for (name, volume) in &self.volumes {
            let mut bytes = vec![0; volume.size_bytes() as usize];
            volume.read_at(0, &mut bytes)?;
            observed.contents.insert(name.clone(), Arc::new(bytes));
        }
        observe_snapshots(&self.store, &mut observed)?;
        Ok(observed)
    }
}

fn volume_names(store: &Store) -> Result<Vec<String>, Error> {
    let names = store.names()?.into_iter().map(|entry| entry.name.to_string());
    Ok(names.filter(|name| !name.contains(':')).collect())
}

/// The tags, and the snapshots that volumes stand on.
fn observe_snapshots(store: &Store, observed: &mut Observed) -> Result<(), Error> {
    for entry in store.names()? {
        let name = entry.name.to_string();
        if name.contains(':') {
            observed.contents.insert(name.clone(), read_snapshot(store, &name)?);
            continue;
        }
        for number in 1.. {
            let reference = format!("{name}@{number}");
            match read_snapshot(store, &reference) {
                Ok(bytes) => observed.contents.insert(reference, bytes),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(())
}

fn read_snapshot(store: &Store, reference: &str) -> Result<Arc<Vec<u8>>, Error> {
    let snapshot = store.snapshot_of(reference)?;
    let mut bytes = vec![0; snapshot.size_bytes() as usize];
    snapshot.read_at(0, &mut bytes)?;
    Ok(Arc::new(bytes))
}

impl Subject for StoreSubject {
    fn create(host: Arc<dyn Host>) -> Result<Self, String> {
        let store =
            Store::create_on(host.clone(), &options()).map_err(|error| error.to_string())?;
        Ok(StoreSubject { host, store, volumes: BTreeMap::new() })
    }

    fn open(host: Arc<dyn Host>) -> Result<Self, String> {
        StoreSubject::open_all(host).map_err(|error| error.to_string())
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        self.try_perform(step).map_err(|error| error.to_string())
    }

    fn look(host: Arc<dyn Host>) -> Result<Observed, String> {
        let look = || {
            let store = Store::open_on(host, &options())?;
            let mut observed = Observed::default();
            for name in volume_names(&store)? {
                match read_snapshot(&store, &name) {
                    Ok(bytes) => drop(observed.contents.insert(name, bytes)),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            observe_snapshots(&store, &mut observed)?;
            Ok(observed)
        };
        look().map_err(|error: Error| error.to_string())
    }

    fn observe(&self) -> Result<Observed, String> {
        self.try_observe().map_err(|error| error.to_string())
    }
}
