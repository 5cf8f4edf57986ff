//! Where containers have what they need while they run: in no store.
//!
//! What lies in a store may have come from anywhere, be a copy of another one, or be of those with whom it is
//! shared. What a runtime remembers names programs that it runs and processes that it kills, and in a tree
//! that is mounted set-user-id programs count. So both are in a folder of the user's that goes with a reboot, as runtimes
//! have it for themselves, under the number that the host gave the store's folder: a copy has another one, and
//! a store that was moved the same.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use sapwood::medium::WorkFolder;
use sapwood::{Error, ErrorKind, Result, Store};

use crate::place::Place;
use crate::runtime::expect_root;

/// Where a machine keeps what goes with a reboot: root's, or root has no rights over the machine.
const OF_MACHINE: &str = "/run";
/// Names where a user has that.
const OF_USER: &str = "XDG_RUNTIME_DIR";
/// The folder there.
const OWN: &str = "sapwood";
/// The folder of a store for its containers.
const CONTAINERS: &str = "containers";
/// That for what programs of builds need.
const STEPS: &str = "steps";

/// What runs over trees of a store, and is this user's.
#[derive(Debug)]
pub struct RunFolder {
    store: PathBuf,
    folder: PathBuf,
}

impl RunFolder {
    /// That of a store; `None` where nothing was run since the machine was started, or can be: by who is not root.
    ///
    /// Errors: [`ErrorKind::NotPermitted`] where it is another user's, or others may write there.
    pub fn find(store: &Store) -> Result<Option<RunFolder>> {
        if expect_root().is_err() {
            return Ok(None);
        }
        let Some(base) = base()? else { return Ok(None) };
        let own = base.private(OWN)?;
        own.map(|own| RunFolder::of(store, &own)).transpose()
    }

    /// As [`find`](RunFolder::find), where something is to run.
    pub fn make(store: &Store) -> Result<RunFolder> {
        expect_root()?;
        let base = base()?.ok_or_else(|| {
            let operation = "find a folder for what runs";
            let expected = format!("a folder of this user's there, or in {OF_USER}");
            let error = Error::new(ErrorKind::NotFound, operation).in_file(OF_MACHINE);
            error.about("folder", "none, or another user's", expected)
        })?;
        RunFolder::of(store, &base.make_private(OWN)?)
    }

    /// Where it is: nobody else has a way to it.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Where a container has what it needs, whose folder in the store has that name.
    pub(crate) fn container(&self, folder: impl AsRef<Path>) -> Place {
        self.place(self.folder.join(CONTAINERS).join(folder))
    }

    /// The names of the folders of containers that have something there, or left it.
    pub(crate) fn containers(&self) -> Result<Vec<OsString>> {
        names_in(&self.folder.join(CONTAINERS))
    }

    /// Where a program of a build has what it needs.
    pub fn step(&self, id: impl AsRef<Path>) -> Place {
        self.place(self.folder.join(STEPS).join(id))
    }

    /// The ids of programs of builds that have something there, or left it.
    pub fn steps(&self) -> Result<Vec<OsString>> {
        names_in(&self.folder.join(STEPS))
    }

    fn of(store: &Store, own: &WorkFolder) -> Result<RunFolder> {
        let failed = |error| Error::io("look at a store", error).in_file(store.path());
        let found = fs::metadata(store.path()).map_err(failed)?;
        let folder = own.path().join(format!("{:x}-{:x}", found.dev(), found.ino()));
        Ok(RunFolder { store: store.path().to_owned(), folder })
    }

    fn place(&self, folder: PathBuf) -> Place {
        let mut place = Place::in_folder(folder);
        place.room_of = Some(self.store.clone());
        // The next one makes them anew.
        place.go_when_empty = place.folder.ancestors().take(3).map(Path::to_owned).collect();
        place
    }
}

/// Where the machine, or this user, has what goes with a reboot.
fn base() -> Result<Option<WorkFolder>> {
    let of_user = env::var_os(OF_USER).map(PathBuf::from).filter(|folder| folder.is_absolute());
    for folder in [Some(OF_MACHINE.into()), of_user].into_iter().flatten() {
        if let Some(found) = WorkFolder::open(folder)?
            && found.facts()?.uid() == geteuid().as_raw()
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn names_in(folder: &Path) -> Result<Vec<OsString>> {
    WorkFolder::open(folder)?.map_or(Ok(Vec::new()), |folder| folder.names())
}
