//! One run of the command: where the store is, and how reports are printed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use sapwood::ErrorKind;
use sapwood::layer::{MapPolicy, ReadPolicy};
use sapwood::medium::{FileHost, Host, Network};
use sapwood::store::{Mended, Name, Store, StoreOptions};
use sapwood::units::BlockSize;
use sapwood::volume::VolumeOptions;
use sapwood_fuse::{RunningMount, control_folder};

use crate::args::Global;
use crate::error::{CliError, MEND_OWN_FILE, Result, Verdict};
use crate::output::{Output, Report};
use crate::unfinished::LeftInStore;

/// The folder of the store in the user's data directory.
const DEFAULT_FOLDER: &str = "sapwood";

/// What every verb is given.
pub struct Context<'a> {
    /// How reports are printed.
    pub output: &'a Output,
    /// The verb as it was typed.
    pub verb: &'a str,
    global: &'a Global,
}

impl<'a> Context<'a> {
    /// A run of `verb`.
    pub fn new(global: &'a Global, verb: &'a str, output: &'a Output) -> Context<'a> {
        Context { output, verb, global }
    }

    /// The store's folder: `--store`, else `SAPWOOD_STORE`, else in the user's data directory.
    pub fn store_path(&self) -> Result<PathBuf> {
        self.given_store_path().map_or_else(|| default_path(variable), Ok)
    }

    fn given_store_path(&self) -> Option<PathBuf> {
        self.global.store.clone().or_else(|| variable("SAPWOOD_STORE"))
    }

    /// Opens the store; a folder that is none is an error, never an empty store.
    pub fn open_store(&self) -> Result<Store> {
        let store = Store::open(self.store_path()?, &self.options(BlockSize::DEFAULT));
        store.map_err(|cause| match cause.is_damage() {
            true => CliError::Advised { cause, advice: MEND_OWN_FILE.to_owned() },
            false => cause.into(),
        })
    }

    /// Makes what the store has lost besides names and layers.
    pub fn mend_store(&self, block_size: BlockSize) -> Result<Mended> {
        Ok(Store::mend(self.store_path()?, &self.options(block_size))?)
    }

    /// Makes the store, which must not be there, and the folders that lead to it.
    pub fn create_store(&self, block_size: BlockSize) -> Result<Store> {
        Ok(Store::create(self.store_path()?, &self.options(block_size))?)
    }

    /// Does something in the store, which is made where nothing is there. A path that was given must lead
    /// to an existing folder: a mistyped one must not become a tree of folders. That a store was made is
    /// said; one that was made for what then failed goes again, unless something is in it.
    pub fn with_store<T>(&self, run: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        let path = self.store_path()?;
        let is_there =
            |path: &Path| path.try_exists().map_err(CliError::file("look for the store", path));
        if is_there(&path)? {
            return run(&self.open_store()?);
        }
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if let (Some(_), Some(folder)) = (self.given_store_path(), folder)
            && !is_there(folder)?
        {
            let error = sapwood::Error::new(ErrorKind::NoStore, "make the store");
            return Err(error.in_file(&path).about("folder", "nothing", folder.display()).into());
        }
        let store = self.create_store(BlockSize::DEFAULT)?;
        let done = run(&store).inspect_err(|_| {
            // What failed is told, and not that something of it is left.
            let _ = store.discard_unfinished();
            let _ = remove_empty(store.path());
        })?;
        self.output.note(&format!("made the store {}", path.display()));
        Ok(done)
    }

    /// Has `make` make a snapshot in the store. What one that failed left goes at once, and not with the
    /// next collection; of one that a signal ends it is told that it is left.
    pub fn making<T>(&self, store: &Store, make: impl FnOnce() -> Result<T>) -> Result<T> {
        let _left = LeftInStore::tell(!self.output.is_json())?;
        let made = make();
        if made.is_err() {
            // Where this fails too, what the maker said counts, and the collection is left.
            drop(store.discard_unfinished());
        }
        made
    }

    /// Opens the store's folder without asking whether it is a good store, for those who look.
    pub fn open_host(&self) -> Result<Arc<dyn Host>> {
        let path = self.store_path()?;
        let host = FileHost::open_root(&path, self.network()).map_err(|error| match error.kind() {
            ErrorKind::NotFound => error.with_kind(ErrorKind::NoStore),
            _ => error,
        });
        Ok(Arc::new(host?))
    }

    /// The mount of the volume `name`, where a process serves one.
    pub fn running_mount(&self, store: &Store, name: &str) -> Result<Option<RunningMount>> {
        Ok(RunningMount::find(&control_folder(store.path(), &Name::new(name)?))?)
    }

    /// Prints the report of the verb, which is done with it.
    pub fn print(&self, report: &impl Report) -> Result<Verdict> {
        self.output.print(self.verb, report)?;
        Ok(Verdict::Done)
    }

    /// As [`print`](Context::print), where the report may lack what is lost or damaged, and says so.
    pub fn print_what_is_left(&self, report: &impl Report, is_whole: bool) -> Result<Verdict> {
        let verdict = self.print(report)?;
        Ok(if is_whole { verdict } else { Verdict::Damaged })
    }

    /// Prints the report of the verb on standard error, as standard output carries data: only
    /// where JSON is asked for, since the data are the answer.
    pub fn print_beside_data(&self, report: &impl Report) -> Result<Verdict> {
        if self.output.is_json() {
            self.output.print_beside_data(self.verb, report)?;
        }
        Ok(Verdict::Done)
    }

    /// Prints an error where there are several: the last of them is what the verb returns.
    pub fn print_error(&self, error: &CliError) {
        self.output.print_error(Some(self.verb), error);
    }

    /// How a store is used that is there.
    pub fn store_options(&self) -> StoreOptions {
        self.options(BlockSize::DEFAULT)
    }

    fn options(&self, block_size: BlockSize) -> StoreOptions {
        let defaults = StoreOptions::default();
        // A file that a third party cuts while it is mapped ends a read, not the process.
        let read = ReadPolicy { map: MapPolicy::Guarded, ..defaults.volume.read };
        let volume = VolumeOptions { read, ..defaults.volume };
        StoreOptions { block_size, volume, network: self.network(), ..defaults }
    }

    /// What to do with a network filesystem.
    pub fn network(&self) -> Network {
        if self.global.network_filesystem { Network::Allow } else { Network::Refuse }
    }
}

/// Takes away a store that nothing is in. The folder of its layers goes first, and stays with all else where
/// somebody has made something meanwhile.
fn remove_empty(store: &Path) -> io::Result<()> {
    fs::remove_dir(store.join("layers"))?;
    fs::remove_dir_all(store)
}

/// A path in the environment; an empty one is none.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    // The XDG rules: a relative path in the variable counts as none.
    let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").filter(|path| path.is_absolute());
    data.or_else(|| Some(home()?.join(".local/share")))
        .map(|data| data.join(DEFAULT_FOLDER))
        .ok_or_else(|| CliError::usage("no store named: use --store, SAPWOOD_STORE or HOME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_store_is_in_the_users_data_directory() {
        let path = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.to_vec();
            default_path(|name| {
                pairs.iter().find(|pair| pair.0 == name).map(|pair| PathBuf::from(pair.1))
            })
        };
        let of = |pairs: &[(&str, &str)]| path(pairs).unwrap().display().to_string();
        assert_eq!(of(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]), "/d/sapwood");
        assert_eq!(of(&[("XDG_DATA_HOME", "d"), ("HOME", "/h")]), "/h/.local/share/sapwood");
        assert!(matches!(path(&[("HOME", "h")]), Err(CliError::Usage(_))));
    }
}
