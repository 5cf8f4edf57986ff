//! What a store has besides names and layers: its own file, its folders, its locks.

use std::collections::BTreeSet;
use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::path::Path;
use std::sync::Arc;

use super::handle::{Store, StoreOptions, no_store};
use super::headers;
use super::names::{failed, list_derived};
use super::paths::{self, LayersEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::StoreEntry;
use crate::medium::{FileHost, Host, OpenMode};
use crate::units::{BlockSize, LayerId, PAGE_BYTES};

/// What an error is about that a [mended](Store::mend) store does not meet again.
pub const OWN_FILE: &str = "own file of the store";

const MEND: &str = "mend a store";

/// A store that was mended.
#[derive(Clone, Debug)]
pub struct Mended {
    /// The store.
    pub store: Store,
    /// The files and folders that were made, by their names in it.
    pub made: Vec<String>,
    /// How many merged indexes were taken away.
    pub indexes: u64,
}

impl Store {
    /// Makes, durably, what a store in the directory at `path` lacks besides names and layers, as copies of
    /// it may: folders and files that were empty, and its own file, where that is missing or does not
    /// verify. The size of its blocks is the one that its layers say; where there are none that can be
    /// read, the one of `options`. Merged indexes go, whether they are right or not: views make them anew of the
    /// layers.
    ///
    /// Errors, before anything is changed: [`ErrorKind::NoStore`] where nothing of one is there;
    /// [`ErrorKind::Corrupt`] where layers say several sizes; that the store's own file, or where that is lost
    /// all layers, are of a [newer version](Error::is_newer).
    pub fn mend(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Mended> {
        let path = path.as_ref();
        let host = FileHost::open_root(path, options.network).map_err(|error| {
            match error.io_source().map(std::io::Error::kind) {
                Some(NotFound) => no_store(path),
                _ => error,
            }
        })?;
        Store::mend_on(Arc::new(host), options)
    }

    /// As [`Store::mend`], in the root folder of any host.
    pub fn mend_on(host: Arc<dyn Host>, options: &StoreOptions) -> Result<Mended> {
        let (said, newer) = sizes_of_layers(&*host)?;
        let own = match read_own_file(&*host) {
            Err(error) if error.kind() == ErrorKind::NoStore || error.is_damage() => None,
            own => Some(own?),
        };
        let is_there =
            host.list(paths::LAYERS.as_ref()).is_ok() || host.facts(paths::STORE.as_ref()).is_ok();
        if own.is_none() && !is_there {
            return Err(no_store(&host.display_path(Path::new(""))));
        }
        let block_size = match (said.first(), &own) {
            (None, Some(own)) => own.block_size,
            // Only a newer version knows of what size the blocks are that it wrote.
            (None, None) => newer.map_or(Ok(options.block_size), Err)?,
            (Some(said_first), _) if said.len() == 1 => *said_first,
            (Some(_), _) => {
                let sizes: Vec<_> = said.iter().map(|size| size.bytes().to_string()).collect();
                let found = format!("{} bytes", sizes.join(" and "));
                return Err(Error::corrupt(MEND, "block size of the layers", found, "one")
                    .in_file(host.display_path(paths::LAYERS.as_ref())));
            }
        };
        let mut made = make(&*host)?;
        let entry = match own {
            Some(own) if own.block_size == block_size => own,
            own => {
                let id = own.map_or_else(LayerId::random, |own| Ok(own.id))?;
                let entry = StoreEntry { id, block_size };
                write_own_file(&*host, &entry, |aside, path| host.rename(aside, path))?;
                made.push(paths::STORE.to_owned());
                entry
            }
        };
        let indexes = take_indexes_away(&*host)?;
        Ok(Mended { store: Store::with(host, entry, options), made, indexes })
    }
}

/// The sizes of blocks that those layers say whose headers can be read; and that some are of a newer
/// version.
fn sizes_of_layers(host: &dyn Host) -> Result<(BTreeSet<BlockSize>, Option<Error>)> {
    let (mut sizes, mut newer) = (BTreeSet::new(), None);
    for file in list_derived(host, paths::LAYERS.as_ref())? {
        let Some(LayersEntry::Layer(id)) = paths::parse_layers_entry(&file) else { continue };
        match headers::read(host, id) {
            Err(error) if error.is_damage() => {}
            Err(error) if error.is_newer() => newer = Some(error),
            header => sizes.extend(header?.map(|header| header.block_size)),
        }
    }
    Ok((sizes, newer))
}

/// Whoever has one mapped goes on with it; how many.
fn take_indexes_away(host: &dyn Host) -> Result<u64> {
    let mut count = 0;
    for file in list_derived(host, paths::INDEX.as_ref())? {
        if paths::parse_index_entry(&file).is_none() {
            continue;
        }
        let path = Path::new(paths::INDEX).join(file);
        match host.remove(&path) {
            Err(error) if error.kind() == NotFound => {}
            removed => {
                removed.map_err(failed(host, "take an index away", &path))?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Makes the folders and the locks, durably, where they are missing; which.
pub fn make(host: &dyn Host) -> Result<Vec<String>> {
    let operation = "make a store";
    let mut made = Vec::new();
    for folder in paths::FOLDERS {
        match host.create_folder(Path::new(folder)) {
            Err(error) if error.kind() == AlreadyExists => {}
            done => {
                done.map_err(failed(host, operation, Path::new(folder)))?;
                made.push(folder.to_owned());
            }
        }
    }
    for lock in [paths::LOCK, paths::NAME_LOCKS] {
        let path = Path::new(lock);
        match host.open(path, OpenMode::CreateNew) {
            Err(error) if error.kind() == AlreadyExists => {}
            done => {
                done.map_err(failed(host, operation, path))?;
                made.push(lock.to_owned());
            }
        }
    }
    let root = Path::new("");
    host.sync_folder(root).map_err(failed(host, operation, root))?;
    Ok(made)
}

/// Writes the store's own file, durably. All else is durable before: it is what makes a folder a store.
pub fn write_own_file(
    host: &dyn Host,
    entry: &StoreEntry,
    put: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
) -> Result<()> {
    let (root, path) = (Path::new(""), Path::new(paths::STORE));
    let aside = format!(".{}.{}.tmp", paths::STORE, &LayerId::random()?.to_string()[..8]);
    let aside = Path::new(&aside);
    (|| {
        let medium = host.open(aside, OpenMode::CreateNew)?;
        medium.write_at(0, &entry.encode())?;
        medium.sync()?;
        put(aside, path)?;
        host.sync_folder(root)
    })()
    .map_err(failed(host, "write the store's own file", path))
}

/// What the store's own file says.
///
/// Errors: [`ErrorKind::NoStore`] where there is none; [`ErrorKind::Corrupt`].
pub fn read_own_file(host: &dyn Host) -> Result<StoreEntry> {
    let path = Path::new(paths::STORE);
    let host_says = |error| failed(host, "open a store", path)(error);
    let medium = match host.open(path, OpenMode::Read) {
        Err(error) if error.kind() == NotFound => {
            let error = no_store(&host.display_path(Path::new("")));
            // One that has lost it is not one that nobody made.
            return Err(match list_derived(host, paths::LAYERS.as_ref())?.is_empty() {
                true => error,
                false => error.about(OWN_FILE, "none, beside layers", "one"),
            });
        }
        medium => medium.map_err(host_says)?,
    };
    let length = medium.facts().map_err(host_says)?.length;
    if length != PAGE_BYTES {
        return Err(Error::corrupt("open a store", "length", length, PAGE_BYTES)
            .in_file(host.display_path(path)));
    }
    let mut page = [0; PAGE_BYTES as usize];
    medium.read_at(0, &mut page).map_err(host_says)?;
    StoreEntry::decode(&page).map_err(|error| error.in_file(host.display_path(path)))
}
