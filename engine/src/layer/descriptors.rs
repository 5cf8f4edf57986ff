//! Open files, a bounded number of them: a chain may be longer than a process may open.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::medium::{FileIdentity, Host, Medium, OpenMode, failed_to_open};

/// A pool of files opened for reading; the one used longest ago is closed for a new one.
#[derive(Debug)]
pub struct Descriptors {
    host: Arc<dyn Host>,
    limit: usize,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    clock: u64,
    open: HashMap<PathBuf, (u64, Arc<dyn Medium>)>,
}

impl Descriptors {
    /// A pool that keeps at most `limit` files of `host` open (at least one).
    pub fn new(host: Arc<dyn Host>, limit: usize) -> Descriptors {
        Descriptors { host, limit: limit.max(1), pool: Mutex::default() }
    }

    /// The host.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// The file of `path`, opened for reading.
    pub fn get(&self, path: &Path) -> Result<Arc<dyn Medium>> {
        let mut pool = self.pool.lock();
        pool.clock += 1;
        let clock = pool.clock;
        if let Some((used, medium)) = pool.open.get_mut(path) {
            *used = clock;
            return Ok(Arc::clone(medium));
        }
        let medium = self.open(path)?;
        self.insert(&mut pool, path, &medium);
        Ok(medium)
    }

    /// The file of `path`, opened for reading, which the pool does not have.
    pub fn open(&self, path: &Path) -> Result<Arc<dyn Medium>> {
        self.host
            .open(path, OpenMode::Read)
            .map_err(|error| failed_to_open("open a layer", &*self.host, path, error))
    }

    /// Takes a file into the pool that was [opened](Descriptors::open) before.
    pub fn put(&self, path: &Path, medium: &Arc<dyn Medium>) {
        let mut pool = self.pool.lock();
        pool.clock += 1;
        self.insert(&mut pool, path, medium);
    }

    fn insert(&self, pool: &mut Pool, path: &Path, medium: &Arc<dyn Medium>) {
        if pool.open.len() >= self.limit {
            let oldest = pool.open.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                pool.open.remove(&oldest);
            }
        }
        pool.open.insert(path.to_owned(), (pool.clock, Arc::clone(medium)));
    }

    /// Closes the file of `path`, if it is open.
    pub fn forget(&self, path: &Path) {
        self.pool.lock().open.remove(path);
    }
}

/// Where the bytes of a layer file come from.
#[derive(Clone, Debug)]
pub enum FileSource {
    /// A file that stays open.
    Held(Arc<dyn Medium>),
    /// A file that is opened when it is needed, and must still be the same one.
    Pooled {
        /// The pool.
        descriptors: Arc<Descriptors>,
        /// The file's path on the host.
        path: PathBuf,
        /// Which file it was when it was first opened.
        identity: FileIdentity,
    },
}

impl FileSource {
    /// The open file.
    pub fn medium(&self) -> Result<Arc<dyn Medium>> {
        match self {
            FileSource::Held(medium) => Ok(Arc::clone(medium)),
            FileSource::Pooled { descriptors, path, identity } => {
                let medium = descriptors.get(path)?;
                let facts = medium.facts().map_err(|error| {
                    Error::io("look at a layer", error).in_file(descriptors.host.display_path(path))
                })?;
                if facts.identity != *identity {
                    descriptors.forget(path);
                    return Err(Error::new(
                        ErrorKind::Stale,
                        "reopen a layer: another file has its path",
                    )
                    .in_file(descriptors.host.display_path(path)));
                }
                Ok(medium)
            }
        }
    }
}
