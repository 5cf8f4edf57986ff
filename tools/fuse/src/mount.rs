//! A mount, from its beginning to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, Session, SessionACL};
use sapwood::files::{Files, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

use crate::awake::Awake;
use crate::control::Control;
use crate::device::{self, Access, FilesystemNumber, Unmount};
use crate::ending::Ending;
use crate::held_back::HeldBack;
use crate::kernel;
use crate::live::Live;
use crate::options::{MountOptions, Reporter};
use crate::server::Server;
use crate::tree::Tree;

/// A tree that the kernel shows on a directory, served by threads of this process.
///
/// It stays until somebody unmounts it, by [`Mount::unmounter`], `umount` or `fusermount3 -u`;
/// [`Mount::wait`] sees it through to the commit at its end.
pub struct Mount {
    session: BackgroundSession,
    control: Option<Control>,
    ending: Ending,
    report: Reporter,
    live: Live,
    tree: Tree,
    directory: PathBuf,
    number: FilesystemNumber,
}

/// Unmounts, from any thread.
#[derive(Clone, Debug)]
pub struct Unmounter {
    directory: PathBuf,
    number: FilesystemNumber,
    live: Live,
    ending: Ending,
}

/// What is done with what was written last through a mount, when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastCommit {
    /// It is committed. Where the host has no room, that waits until it has: what is not committed lies in
    /// this process alone.
    Make,
    /// It is not: that is left to whoever gets the files, or they are given up.
    Leave,
}

impl Mount {
    /// Shows what can only be read.
    ///
    /// Errors: [`ErrorKind::Stale`] where a mount is in the way whose server has gone;
    /// [`ErrorKind::NotADirectory`], [`ErrorKind::NotFound`]; what the host says.
    pub fn read_only(
        view: Arc<dyn ReadFiles>,
        directory: &Path,
        options: MountOptions,
    ) -> Result<Mount> {
        Mount::begin(Tree::View(view), directory, options)
    }

    /// Shows live files, to be read and written. No other handle on them may be kept: the end of
    /// the mount closes them.
    ///
    /// Errors: as [`Mount::read_only`].
    pub fn writable(files: Files, directory: &Path, options: MountOptions) -> Result<Mount> {
        Mount::begin(Tree::Live(files), directory, options)
    }

    fn begin(tree: Tree, directory: &Path, options: MountOptions) -> Result<Mount> {
        let failed = |error| Error::io("mount", error).in_file(directory);
        let access = match &tree {
            Tree::View(_) => Access::ReadOnly,
            Tree::Live(_) => Access::ReadWrite,
        };
        // The kernel's own name for it, whatever the caller's working directory becomes.
        let directory = match directory.canonicalize() {
            Ok(canonical) => canonical,
            // A dead mount has no canonical name; `attach` says what it is.
            Err(_) => directory.to_owned(),
        };
        let mut config = Config::default();
        config.n_threads = Some(options.threads);
        let awake = Arc::new(Awake::new());
        let report = Arc::clone(&options.report);
        let held_back = Arc::new(HeldBack::new(&directory));
        let server =
            Server::new(tree.clone(), options.clone(), Arc::clone(&awake), Arc::clone(&held_back))?;
        let device = device::attach(&directory, access, &options)?;
        // Without one, workers sleep between messages: slower, not wrong.
        if let Ok(device) = device.try_clone() {
            awake.watch(device);
        }
        // The server alone has it, and the device goes with the server.
        drop(awake);
        let tell = move |notifier| held_back.begin(notifier);
        // Who may come in, the kernel decides: it also sends what nobody asked for, under root's
        // number, as when it writes times back.
        let (session, number) = Session::from_fd(server, device, SessionACL::All, config)
            .and_then(|session| {
                let number = FilesystemNumber::on(&directory)?;
                kernel::read_ahead(number);
                tell(session.notifier())?;
                Ok((session.spawn()?, number))
            })
            .map_err(|error| {
                // The device is closed by now, so this finds nobody inside.
                let left = device::detach(&directory, Unmount::Detach);
                match left {
                    Ok(()) => failed(error),
                    Err(left) => failed(std::io::Error::other(format!("{error}; then {left}"))),
                }
            })?;
        kernel::look_once(&directory);
        let live = Live::new(match &tree {
            Tree::View(_) => None,
            Tree::Live(files) => Some(files.clone()),
        });
        let ending = Ending::default();
        Ok(Mount { session, control: None, ending, report, live, tree, directory, number })
    }

    /// Lets other processes ask for commits and snapshots through a socket in `folder`, which is
    /// made. Whoever has the volume's lock may call this: a socket that is there is replaced.
    ///
    /// Errors: what the host says; nothing is mounted any more then.
    pub fn listening_in(mut self, folder: &Path) -> Result<Mount> {
        let (live, ending) = (self.live.clone(), self.ending.clone());
        match Control::listen(folder, live, ending, &self.directory, self.number) {
            Ok(control) => {
                self.control = Some(control);
                Ok(self)
            }
            Err(error) => {
                self.unmounter().unmount()?;
                self.wait()?;
                Err(error)
            }
        }
    }

    /// The directory, as the kernel names it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A handle that unmounts.
    pub fn unmounter(&self) -> Unmounter {
        let Mount { directory, number, live, ending, .. } = self;
        let (directory, live, ending) = (directory.clone(), live.clone(), ending.clone());
        Unmounter { directory, number: *number, live, ending }
    }

    /// Waits until the mount has ended, then commits what came last and closes the volume.
    ///
    /// Where the host has no room for that commit it is tried again until there is some, which the reporter
    /// is told, and whoever asks: the kernel took the mount away before this could refuse. See
    /// [`Unmounter::give_up`], [`RunningMount::wants_room`](crate::RunningMount::wants_room).
    ///
    /// Errors: what kept the server from serving, or the last commit from being made.
    pub fn wait(self) -> Result<()> {
        let close = |files: Option<Files>| files.map_or(Ok(()), Files::close);
        self.end(LastCommit::Make, close)
    }

    /// Waits until the mount has ended, then gives up what was not committed, and does what else belongs to
    /// the end, before those who wait for it in other processes are told.
    ///
    /// Errors: what kept the server from serving; those of `then`.
    pub fn wait_and_give_up(self, then: impl FnOnce() -> Result<()>) -> Result<()> {
        self.end(LastCommit::Leave, |files| {
            let given_up = files.map_or(Ok(()), Files::abandon);
            given_up.and(then())
        })
    }

    /// Waits until the mount has ended, and gives the files back instead of closing them: all that was
    /// written through the mount is in them, and nobody holds any of them. `None` where the mount was one
    /// to read only.
    ///
    /// Errors: what kept the server from serving; as [`Mount::wait`], where the commit is made.
    pub fn wait_for_files(self, commit: LastCommit) -> Result<Option<Files>> {
        let mut kept = None;
        let keep = |files: Option<Files>| {
            if let Some(files) = &files {
                files.release_all()?;
            }
            kept = files;
            Ok(())
        };
        self.end(commit, keep)?;
        Ok(kept)
    }

    fn end(
        self,
        commit: LastCommit,
        close: impl FnOnce(Option<Files>) -> Result<()>,
    ) -> Result<()> {
        let Mount { session, control, ending, report, live, tree, directory, .. } = self;
        let served = session.join().map_err(|error| Error::io("serve a mount", error));
        if served.is_err() {
            // What is left of it answers nobody. It may be gone already.
            let _ = device::detach(&directory, Unmount::Detach);
        }
        let files = match tree {
            Tree::View(_) => None,
            Tree::Live(files) => Some(files),
        };
        let committed = match (&files, commit) {
            (Some(files), LastCommit::Make) => ending.commit(
                || files.flush(),
                || !files.volume().is_poisoned(),
                |error| {
                    let directory = directory.display();
                    report(&format!("{directory}: not mounted any more; its last commit is tried again until it is made: {error}"));
                },
            ),
            _ => Ok(()),
        };
        live.end();
        let closed = committed.and_then(|()| close(files));
        let ended = served.and(closed).map_err(|error| error.in_file(directory));
        ending.end(&ended);
        if let Some(control) = control {
            control.end();
        }
        ended
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Unmounter {
    /// Unmounts. Where somebody is in the mount, it goes from its directory all the same, what was
    /// written so far is committed, and the mount ends when the last file in it is closed.
    ///
    /// Errors: [`ErrorKind::Stale`] where another mount lies on it, or it was moved: then it goes on, with
    /// what was written so far committed.
    pub fn unmount(&self) -> Result<Ended> {
        if self.ending.refused().is_some() {
            return Ok(Ended::WhenThereIsRoom);
        }
        let found = FilesystemNumber::on(&self.directory);
        if found.is_ok_and(|found| found != self.number) {
            self.commit()?;
            return Err(covered("unmount", &self.directory));
        }
        match device::detach(&self.directory, Unmount::WhenFree) {
            Ok(()) => Ok(Ended::Now),
            Err(error) if error.kind() == ErrorKind::Locked => {
                device::detach(&self.directory, Unmount::Detach)?;
                self.commit()?;
                Ok(Ended::WhenClosed)
            }
            Err(error) => Err(error),
        }
    }

    /// Has the last commit tried no more, where the host has no room for it: what was written since the one
    /// before is lost, and the mount ends with the error. Whether it waited for room.
    pub fn give_up(&self) -> bool {
        self.ending.give_up()
    }

    fn commit(&self) -> Result<()> {
        match self.live.with("commit", Files::flush) {
            // Read only, or at its end.
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
            flushed => flushed,
        }
    }
}

/// The mount that is meant is not what its directory shows.
pub fn covered(operation: &str, directory: &Path) -> Error {
    Error::new(ErrorKind::Stale, operation).in_file(directory).about(
        "directory",
        "another filesystem",
        "the mount: unmount what lies on it, or where else it is mounted",
    )
}

/// When an unmounted tree is no longer served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is not.
    Now,
    /// When the last file in it is closed.
    WhenClosed,
    /// It is not any more; but its last commit waits until the host has room.
    WhenThereIsRoom,
}
