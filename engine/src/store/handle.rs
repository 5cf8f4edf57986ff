//! A store: made, opened, and what all of its operations share.

use std::fmt;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::LayerCache;
use super::frame::{self, OWN_FILE};
use super::lease::Leases;
use super::names::{list_derived, list_folder};
use super::paths::{self, LOST_AND_FOUND};
use crate::chain::Layers;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::StoreEntry;
use crate::medium::{FileHost, Host, Network, fork_generation};
use crate::units::{BlockSize, LayerId};
use crate::volume::VolumeOptions;

/// How a store is made and used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The block size of a new store; one that is there keeps its own.
    pub block_size: BlockSize,
    /// How volumes buffer, bound their memory, read and verify.
    pub volume: VolumeOptions,
    /// What to do with a directory on a network filesystem.
    pub network: Network,
    /// How many layer files stay open for reading, besides those of open volumes and leases.
    pub open_files_max: usize,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            block_size: BlockSize::DEFAULT,
            volume: VolumeOptions::default(),
            network: Network::Refuse,
            open_files_max: 48,
        }
    }
}

/// A directory with layers, and names for some of them. Cloning is cheap; all clones, and
/// other processes with the same store open, may work at the same time.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub host: Arc<dyn Host>,
    pub path: PathBuf,
    pub entry: StoreEntry,
    pub options: StoreOptions,
    pub cache: Arc<LayerCache>,
    /// The same cache, as chains and volumes ask for it.
    pub layers: Arc<dyn Layers>,
    pub leases: Leases,
    generation: u32,
}

impl Store {
    /// Makes a store in the directory at `path`, durably, and opens it. The directory is made
    /// where it is missing, and must be empty otherwise.
    ///
    /// Errors: [`ErrorKind::AlreadyExists`] where a store, or anything else, is there; one that has lost
    /// its own file is [mended](Store::mend).
    pub fn create(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Store> {
        let host = Arc::new(FileHost::create_root(path, options.network)?);
        Store::create_on(host, options)
    }

    /// Opens the store in the directory at `path`.
    ///
    /// Errors: [`ErrorKind::NoStore`] where none is there; nothing is ever made.
    pub fn open(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Store> {
        let path = path.as_ref();
        let host = FileHost::open_root(path, options.network).map_err(|error| {
            match error.io_source().map(std::io::Error::kind) {
                Some(NotFound | NotADirectory) => no_store(path),
                _ => error,
            }
        })?;
        Store::open_on(Arc::new(host), options)
    }

    /// As [`Store::create`], in the root folder of any host.
    pub fn create_on(host: Arc<dyn Host>, options: &StoreOptions) -> Result<Store> {
        let root = Path::new("");
        let operation = "make a store";
        let files = list_folder(&*host, root)?;
        if files.iter().any(|file| file == paths::STORE) {
            return Err(Error::new(ErrorKind::AlreadyExists, operation)
                .in_file(host.display_path(root))
                .about("directory", "a store", "an empty one"));
        }
        // Nor is a store without its own file one to be made anew, with blocks of any size.
        for folder in [paths::LAYERS, paths::NAMES].map(Path::new) {
            let files = list_derived(&*host, folder)?;
            if let Some(file) = files.first() {
                return Err(Error::new(ErrorKind::AlreadyExists, operation)
                    .in_file(host.display_path(folder))
                    .about(OWN_FILE, format!("none, beside {file:?}"), "one, as before"));
            }
        }
        for file in files {
            // What a creation that stopped half-way has left is taken over.
            let ours = paths::FOLDERS.contains(&file.as_str())
                || [paths::LOCK, paths::NAME_LOCKS].contains(&file.as_str())
                || paths::is_aside(&file);
            // A store may have a filesystem of its own.
            let ours = ours || file == LOST_AND_FOUND;
            if !ours {
                let found = format!("{file:?}");
                return Err(Error::new(ErrorKind::AlreadyExists, operation)
                    .in_file(host.display_path(root))
                    .about("directory", found, "an empty one"));
            }
        }
        frame::make(&*host)?;
        let entry = StoreEntry { id: LayerId::random()?, block_size: options.block_size };
        frame::write_own_file(&*host, &entry, |aside, path| host.rename_new(aside, path))?;
        Ok(Store::with(host, entry, options))
    }

    /// As [`Store::open`], in the root folder of any host.
    pub fn open_on(host: Arc<dyn Host>, options: &StoreOptions) -> Result<Store> {
        let entry = frame::read_own_file(&*host)?;
        Ok(Store::with(host, entry, options))
    }

    pub(super) fn with(host: Arc<dyn Host>, entry: StoreEntry, options: &StoreOptions) -> Store {
        let policy = options.volume.read;
        let cache = Arc::new(LayerCache::new(Arc::clone(&host), options.open_files_max, policy));
        let inner = Inner {
            path: host.display_path(Path::new("")),
            entry,
            options: *options,
            layers: Arc::clone(&cache) as Arc<dyn Layers>,
            cache,
            leases: Leases::default(),
            generation: fork_generation(),
            host,
        };
        Store { inner: Arc::new(inner) }
    }

    /// The size of a block of all its layers.
    pub fn block_size(&self) -> BlockSize {
        self.inner.entry.block_size
    }

    /// The directory, for people.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What all operations go through: a child of `fork` shares the locks of its parent, so a
    /// handle that was made before is refused there.
    pub(super) fn inner(&self) -> Result<&Arc<Inner>> {
        if self.inner.generation == fork_generation() {
            return Ok(&self.inner);
        }
        Err(Error::new(ErrorKind::Unsupported, "use a store").in_file(&self.inner.path).about(
            "process",
            "a forked child of the one that opened it",
            "the same one",
        ))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .field("block_bytes", &self.entry.block_size.bytes())
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The host, for calls that only need to look.
    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// The layers, opened anew: all that is read of them is verified, also what was before. For those who
    /// give what they read new checksums, or a digest.
    pub fn layers_anew(&self) -> Arc<LayerCache> {
        Arc::new(self.cache.anew())
    }
}

pub(super) fn no_store(path: &Path) -> Error {
    Error::new(ErrorKind::NoStore, "open a store").in_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::MemoryHost;

    #[test]
    fn a_handle_of_another_process_is_refused() {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
        let mut store = Store::create_on(host, &StoreOptions::default()).unwrap();
        store.names().unwrap();
        // What a child of fork sees: the counter has moved on.
        Arc::get_mut(&mut store.inner).unwrap().generation += 1;
        for error in [
            store.names().map(|_| ()).unwrap_err(),
            store.create_volume("web", 4096).map(|_| ()).unwrap_err(),
            store.collect(&Default::default()).map(|_| ()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
    }
}
