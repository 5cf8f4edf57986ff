//! A process that runs over a tree.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sapwood::files::{Files, Paths};
use sapwood::medium::create_private_folders;
use sapwood::{ErrorKind, LayerId};
use sapwood_fuse::{
    AccessTimes, Audience, Ended, LastCommit, Mount, MountOptions, Reporter, Unmounter,
};

use crate::accounts::Accounts;
use crate::bundle;
use crate::error::{Error, Result};
use crate::guard::Guard;
use crate::job::{self, Job, Streams};
use crate::place::Place;
use crate::process::working_directory;
use crate::runtime::{Runtime, expect_root, refusal};
use crate::signaller::Signaller;

/// How often somebody who waits for a process looks.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Runs a process over files until it ends. What it wrote, and nothing else, is in the files that
/// come back; nobody has them mounted any more.
///
/// Errors: [`Error::Runtime`] where the process did not come to run; the engine's.
pub fn run(
    runtime: &Runtime,
    files: Files,
    place: &Place,
    job: &Job,
    streams: Streams,
) -> Result<(u8, Files)> {
    let mut sandbox = Sandbox::start(runtime, files, place, job, streams)?;
    let ran = sandbox.wait();
    let files = sandbox.end(LastCommit::Leave)?;
    Ok((ran?, files))
}

/// A container while it runs: a mounted tree, a runtime's process, and a guard.
#[derive(Debug)]
pub struct Sandbox {
    id: String,
    runtime: Runtime,
    place: Place,
    mount: Mount,
    child: Child,
    signaller: Signaller,
    guard: Guard,
}

impl Sandbox {
    /// Mounts `files` and starts the process of `job` over them.
    ///
    /// Errors: the engine's; then nothing is mounted, and the files are closed.
    pub fn start(
        runtime: &Runtime,
        files: Files,
        place: &Place,
        job: &Job,
        streams: Streams,
    ) -> Result<Sandbox> {
        let id = format!("sapwood-{}", &LayerId::random()?.to_string()[..16]);
        Sandbox::start_as(id, runtime, files, place, job, streams, Arc::new(|_| {}))
    }

    pub(crate) fn start_as(
        id: String,
        runtime: &Runtime,
        files: Files,
        place: &Place,
        job: &Job,
        streams: Streams,
        report: Reporter,
    ) -> Result<Sandbox> {
        expect_root()?;
        place.make()?;
        // Before there is a mount that nobody would take away.
        let mut guard = Guard::start(runtime, place, &id)?;
        let mount = match serve(runtime, files, place, job, &id, report) {
            Ok(mount) => mount,
            Err(error) => {
                // That it failed is told; what is left is told with the next attempt.
                let _ = guard.dismiss();
                let _ = place.clear();
                return Err(error.into());
            }
        };
        let spawned = spawn(runtime, place, &id, streams, job.process.terminal);
        let watched = spawned.and_then(|child| {
            guard.watch(&child)?;
            Ok((Signaller::to(&child, place.pid_file())?, child))
        });
        match watched {
            Ok((signaller, child)) => {
                let (runtime, place) = (runtime.clone(), place.clone());
                Ok(Sandbox { id, runtime, place, mount, child, signaller, guard })
            }
            Err(error) => {
                guard.dismiss()?;
                unmount(mount, LastCommit::Leave)?.map_or(Ok(()), Files::close)?;
                place.clear()?;
                Err(error.into())
            }
        }
    }

    /// Sends signals to the process.
    pub fn signaller(&self) -> Signaller {
        self.signaller.clone()
    }

    /// Gives up a last commit that waits for room.
    pub fn unmounter(&self) -> Unmounter {
        self.mount.unmounter()
    }

    /// Waits until the process runs, or has ended already.
    pub fn wait_until_started(&mut self) -> Result<()> {
        while !is_written(&self.place.pid_file()) && !self.has_ended()? {
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        let failed = |error| sapwood::Error::io("look after a container", error);
        Ok(self.child.try_wait().map_err(failed)?.is_some())
    }

    /// Waits until the process has ended; its exit code, or 128 and the signal that ended it.
    ///
    /// Errors: [`Error::Runtime`] where it did not come to run.
    pub fn wait(&mut self) -> Result<u8> {
        let failed = |error| sapwood::Error::io("wait for a container", error);
        let status = self.child.wait().map_err(failed)?;
        let code = code_of(status);
        match refusal(&self.place.log()) {
            Some(said) if code != 0 => Err(Error::refused(&self.runtime, said)),
            _ => Ok(code),
        }
    }

    /// Ends what is left: whatever still runs, the mount, the files of the bundle. Gives the files of
    /// the tree back. Where they are to be committed and the host has no room, that waits until it has.
    pub fn end(mut self, commit: LastCommit) -> Result<Files> {
        // It may have been killed, and then what it started is still there.
        let killed = self.child.kill();
        let waited = self.child.wait();
        let deleted = match self.runtime.may_know(&self.place, &self.id) {
            true => self.runtime.delete(&self.place, &self.id).output().map(drop),
            // One more process is not started for nothing.
            false => Ok(()),
        };
        let files = unmount(self.mount, commit);
        self.guard.dismiss()?;
        killed
            .and(waited.map(drop))
            .and(deleted)
            .map_err(|error| sapwood::Error::io("end a container", error))?;
        self.place.clear()?;
        Ok(files?.expect("a mount of live files"))
    }
}

/// The exit code of a process, as shells tell it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => 128 + u8::try_from(signal.unwrap_or_default()).unwrap_or_default(),
    }
}

fn is_written(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.len() > 0)
}

fn unmount(mount: Mount, commit: LastCommit) -> sapwood::Result<Option<Files>> {
    match mount.unmounter().unmount() {
        // Somebody on the host is in it: it ends when they have left.
        Ok(Ended::Now | Ended::WhenClosed | Ended::WhenThereIsRoom) => {}
        // Somebody unmounted it by hand.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    mount.wait_for_files(commit)
}

fn serve(
    runtime: &Runtime,
    files: Files,
    place: &Place,
    job: &Job,
    id: &str,
    report: Reporter,
) -> sapwood::Result<Mount> {
    if !runtime.makes_working_directories() {
        make_directory(&files, job, &working_directory(&job.process.directory)?)?;
    }
    for directory in &job.directories {
        make_directory(&files, job, &working_directory(&format!("/{directory}"))?)?;
    }
    let rootfs = place.rootfs();
    let failed = |error| sapwood::Error::io("make a folder", error).in_file(&rootfs);
    create_private_folders(&rootfs).map_err(failed)?;
    let account = Accounts::of(&files)?.find(&job.process.user)?;
    let mount_points = bundle::write(job, &account, place, id)?;
    let options = MountOptions {
        source: place.source.clone(),
        audience: Audience::Everybody,
        durability: place.durability,
        // Looking must not make the layer larger.
        access_times: AccessTimes::Off,
        set_user_id: true,
        devices: true,
        mount_points,
        room_of: place.room_of.clone(),
        report,
        ..MountOptions::default()
    };
    let mount = Mount::writable(files, &rootfs, options)?;
    match &place.control {
        Some(folder) => mount.listening_in(folder),
        None => Ok(mount),
    }
}

/// Makes a directory where the tree lacks it. What is mounted over it has its own.
fn make_directory(files: &Files, job: &Job, directory: &str) -> sapwood::Result<()> {
    let paths = Paths::new(files);
    let is_below = |mount: &job::Mount| Path::new(directory).starts_with(&mount.target);
    if !job.mounts.iter().any(is_below) && !paths.exists(directory)? {
        paths.create_dir_all(directory)?;
    }
    Ok(())
}

fn spawn(
    runtime: &Runtime,
    place: &Place,
    id: &str,
    streams: Streams,
    is_terminal: bool,
) -> sapwood::Result<Child> {
    let failed = |error: io::Error| sapwood::Error::io("start a runtime", error);
    let mut command = runtime.command_logging(place, &place.log());
    command.arg("run").arg("--bundle").arg(place.bundle());
    command.arg("--pid-file").arg(place.pid_file()).arg(id);
    command.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    if !is_terminal {
        // A terminal signals all that run on it; what this process gets it hands on, once.
        command.process_group(0);
    }
    command.spawn().map_err(failed)
}
