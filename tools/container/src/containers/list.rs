//! Which containers there are, and what they do.

use std::fs::File;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use sapwood::medium::{OpenMode, WorkFolder};
use sapwood::store::Name;
use sapwood::{Error, ErrorKind, NameEntry, NameKind, NamesLeft, Result, Store};
use sapwood_fuse::{Durability, RunningMount, control_folder};

use super::folder::{self, Lock};
use super::record::{Record, missing};
use super::remove::clear_if_ended;
use crate::place::Place;
use crate::run_folder::RunFolder;
use crate::runtime::Runtime;
use crate::shell::shell_word;

/// How often somebody who waits looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A container, as it is now.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name, which is its volume's.
    pub name: String,
    /// What is remembered of it.
    pub record: Record,
    /// What it does.
    pub status: Status,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was never started.
    Created,
    /// Its process runs, or is being started or ended.
    Running,
    /// Its process ended with this exit code.
    Exited(u8),
    /// The process that served its tree was killed, and the container with it.
    Killed,
}

/// All containers of a store, by name.
///
/// Errors: [`sapwood::ErrorKind::Corrupt`] for a record that cannot be understood.
pub fn list(store: &Store) -> Result<Vec<Container>> {
    let mut containers = Vec::new();
    // Most stores have none.
    let Some(all) = folder::all(store)? else { return Ok(containers) };
    let NamesLeft { names, damaged } = store.names_left()?;
    let sound = names.into_iter().map(|entry| (entry.name, entry.kind));
    // A container is one though its volume cannot be found any more.
    let names = sound.chain(damaged.into_iter().map(|damaged| (damaged.name, damaged.kind)));
    for (name, _) in names.filter(|(_, kind)| *kind == NameKind::Volume) {
        if let Some(container) = find(&all, &Name::new(name)?)? {
            containers.push(container);
        }
    }
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

/// Volumes of containers whose maker was killed before it wrote the record: nobody has them, and nothing was
/// ever written there.
pub fn unfinished(store: &Store) -> Result<Vec<String>> {
    let mut unfinished = Vec::new();
    let Some(all) = folder::all(store)? else { return Ok(unfinished) };
    for entry in store.names_left()?.names {
        let name = Name::new(entry.name.as_str())?;
        // A folder may be left of a container that had the name before, so the volume need not be one.
        if entry.kind == NameKind::Volume
            && let Some(folder) = all.private(name.escaped())?
            && !Lock::is_taken(&folder)?
            && Record::read(&folder)?.is_none()
            && is_untouched(store, &entry)
        {
            unfinished.push(entry.name);
        }
    }
    Ok(unfinished)
}

/// Whether a volume shows what it was forked from. One that cannot be looked at does not count as such.
fn is_untouched(store: &Store, volume: &NameEntry) -> bool {
    let Some(parent) = volume.parent else { return false };
    let look = || {
        let now = store.snapshot_of(&volume.name)?;
        let before = store.snapshot_of(&parent.id.to_string())?;
        let mut changes = now.changes_since(&before)?;
        Ok::<_, Error>(changes.next().transpose()?.is_none())
    };
    look().unwrap_or(false)
}

/// The container of this name.
///
/// Errors: [`sapwood::ErrorKind::NotFound`]; as [`list`].
pub fn container(store: &Store, name: &str) -> Result<Container> {
    store.resolve(name)?;
    let found = folder::all(store)?.map_or(Ok(None), |all| find(&all, &Name::new(name)?))?;
    found.ok_or_else(|| missing(name, "of which there is no record"))
}

/// Has a container's process told a signal, by name or number, as the runtime has it. That it has just
/// ended is fine.
///
/// Errors: [`sapwood::ErrorKind::NotFound`]; [`sapwood::ErrorKind::InvalidInput`] where it does not
/// run; what the runtime says.
pub fn signal(store: &Store, name: &str, signal: &str) -> crate::Result<()> {
    let (runtime, id, place) = running(store, &container(store, name)?)?;
    let mut command = runtime.command(&place);
    let output = command.arg("kill").arg(&id).arg(signal).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::io("signal a container", error))?;
    match output.status.success() {
        true => Ok(()),
        false if !runtime.may_know(&place, &id) => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let said = if said.is_empty() { output.status.to_string() } else { said };
            Err(crate::Error::Runtime { name: runtime.name(), said, is_told: false })
        }
    }
}

/// Waits until a container no longer runs; whether it came to that in time. What a [`signal`] left that
/// came with its end is taken away.
///
/// Errors: [`sapwood::ErrorKind::NoSpace`] where its process has ended, and what it wrote waits for room to be
/// committed.
pub fn wait_for_end(store: &Store, name: &str, time: Duration) -> Result<bool> {
    let name = Name::new(name)?;
    let began = Instant::now();
    while folder::of(store, &name)?.map_or(Ok(false), |folder| Lock::is_taken(&folder))? {
        if let Some(mut mount) = waiting_for_room(store, &name)? {
            // There may be some by now.
            mount.flush().map_err(|error| unwritten(&name, &error))?;
        }
        if began.elapsed() >= time {
            return Ok(false);
        }
        thread::sleep(LOOK_AGAIN);
    }
    clear_if_ended(store, &name)?;
    Ok(true)
}

/// Gives up what the process of a container wrote last, where that waits for room to be committed. Whether
/// it did; the container ends then.
pub fn give_up_commit(store: &Store, name: &str) -> Result<bool> {
    match waiting_for_room(store, &Name::new(name)?)? {
        Some(mut mount) => mount.give_up().map(|()| true),
        None => Ok(false),
    }
}

/// What a container said since it was started with nobody to listen; `None` where it never was.
pub fn output(store: &Store, name: &str) -> Result<Option<File>> {
    let Some(folder) = folder::of(store, &Name::new(name)?)? else { return Ok(None) };
    match folder.file(folder::OUTPUT, OpenMode::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        output => output.map(Some),
    }
}

/// The runtime of a container that runs, what that calls it, and where it runs.
pub(super) fn running(store: &Store, container: &Container) -> Result<(Runtime, String, Place)> {
    let (Status::Running, Some(runtime), Some(id), Some(run)) = (
        container.status,
        &container.record.runtime,
        &container.record.runtime_id,
        RunFolder::find(store)?,
    ) else {
        let found = format!("{}, which does not run", container.name);
        return Err(Error::invalid("reach a container", "container", found, "one that runs"));
    };
    let name = Name::new(container.name.as_str())?;
    let place = folder::place(&run, store, &name, Durability::OnSync);
    Ok((Runtime::find(Some(runtime))?, id.clone(), place))
}

/// The tree of a container whose last commit waits for room.
fn waiting_for_room(store: &Store, name: &Name) -> Result<Option<RunningMount>> {
    let mount = RunningMount::find(&control_folder(store.path(), name))?;
    Ok(mount.filter(|mount| mount.wants_room().is_some()))
}

fn unwritten(name: &Name, error: &Error) -> Error {
    let word = shell_word(name.as_str());
    let expected = format!("room: make some, then `stop {word}` again; `rm -f {word}` gives it up");
    Error::new(ErrorKind::NoSpace, "commit what a container wrote that has ended")
        .with_kind(error.kind())
        .about("commit", error.to_string(), expected)
}

fn find(all: &WorkFolder, name: &Name) -> Result<Option<Container>> {
    let Some(folder) = all.private(name.escaped())? else { return Ok(None) };
    // In this order: one that ends in between is told as running, and never as killed.
    let is_running = Lock::is_taken(&folder)?;
    let Some(record) = Record::read(&folder)? else { return Ok(None) };
    let status = match &record {
        _ if is_running => Status::Running,
        Record { started: None, .. } => Status::Created,
        Record { finished: Some(_), exit_code: Some(code), .. } => Status::Exited(*code),
        _ => Status::Killed,
    };
    Ok(Some(Container { name: name.to_string(), record, status }))
}
