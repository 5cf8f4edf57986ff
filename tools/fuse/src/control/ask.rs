//! The asker's side.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use sapwood::{Annotations, Error, ErrorKind, LayerId, Result};

use super::folder::SocketFolder;
use super::message::Message;
use super::{Elsewhere, elsewhere};
use crate::barrier;
use crate::device::FilesystemNumber;
use crate::mount::covered;

/// How long an unmounted mount may take to end before it is looked for elsewhere.
const SOON: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How long a server may take to say where its mount is, which is nothing to wait for.
const AT_ONCE: Duration = Duration::from_secs(30);

/// A mount that another process serves.
#[derive(Debug)]
pub struct RunningMount {
    stream: BufReader<UnixStream>,
    folder: PathBuf,
    directory: PathBuf,
    /// The number of its filesystem.
    filesystem: String,
    wants_room: Option<String>,
    calls: usize,
}

impl RunningMount {
    /// Finds the mount that listens in `folder`; `None` where none does.
    ///
    /// Errors: what the host says, as when the mount is another user's.
    pub fn find(folder: &Path) -> Result<Option<RunningMount>> {
        let Some(found) = SocketFolder::find(folder)? else { return Ok(None) };
        let Some(Some(stream)) = found.with_socket(connect)? else { return Ok(None) };
        let mut mount = RunningMount {
            stream: BufReader::new(stream),
            folder: folder.to_owned(),
            directory: PathBuf::new(),
            filesystem: String::new(),
            wants_room: None,
            calls: 0,
        };
        let place = match mount.first_reply().map_err(|error| mount.failed(error))? {
            Some(reply) => mount.understood(reply)?,
            None => return Ok(None),
        };
        mount.directory = OsStr::from_bytes(place.get("directory").unwrap_or_default()).into();
        mount.filesystem = place.text("filesystem").unwrap_or_default().to_owned();
        mount.wants_room = place.text("wants-room").map(str::to_owned);
        Ok(Some(mount))
    }

    /// The directory it is mounted on.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it is what a directory shows, and not another one that lies on it.
    pub fn is_shown_on(&self, directory: &Path) -> bool {
        FilesystemNumber::on(directory).is_ok_and(|found| found.to_string() == self.filesystem)
    }

    /// What its last commit failed with, where it is not mounted any more and that commit waits until the host
    /// has room. A flush tries it at once.
    pub fn wants_room(&self) -> Option<&str> {
        self.wants_room.as_deref()
    }

    /// How often the kernel was asked in all to hand over what it kept back. Others who write meanwhile
    /// make it more, but not much.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Has all that was written through the mount so far committed.
    ///
    /// Errors: [`ErrorKind::Stale`] where another mount lies on it, through which the kernel cannot be asked.
    pub fn flush(&mut self) -> Result<()> {
        self.write_back()?;
        self.ask(&Message::new("flush")).map(drop)
    }

    /// As [`RunningMount::flush`], before an unmount that hands over what the kernel keeps back: where it lets
    /// this process not in, as root into what another user has mounted, what has arrived is committed.
    pub fn flush_before_unmount(&mut self) -> Result<()> {
        match self.write_back() {
            Err(error) if is_shut_out(&error) => {}
            written => written?,
        }
        self.ask(&Message::new("flush")).map(drop)
    }

    /// Has a last commit that waits for room tried no more: what it would have kept is lost.
    pub fn give_up(&mut self) -> Result<()> {
        self.ask(&Message::new("give-up")).map(drop)
    }

    /// Has a snapshot taken of all that was written through the mount so far; its layer.
    ///
    /// Errors: as [`RunningMount::flush`].
    pub fn snapshot(&mut self, annotations: &Annotations) -> Result<LayerId> {
        let mut request = Message::new("snapshot");
        if let Some(created) = annotations.created {
            request = request.with("created", created.to_string());
        }
        let texts = [("created-by", &annotations.created_by), ("comment", &annotations.comment)];
        for (key, text) in texts {
            if let Some(text) = text {
                request = request.with(key, text);
            }
        }
        for (label, value) in &annotations.labels {
            request = request.with(&format!("label.{label}"), value);
        }
        self.write_back()?;
        let reply = self.ask(&request)?;
        let layer = reply.text("layer").unwrap_or_default();
        layer.parse().map_err(|_| self.misunderstood("layer", layer))
    }

    /// Waits until the mount has ended: unmounted, committed, closed.
    ///
    /// Errors: what it ended with; [`ErrorKind::NoSpace`] where it has not, as its last commit waits for room.
    pub fn wait(self) -> Result<()> {
        self.wait_after(|| Ok(()), |_| Ok(()))
    }

    /// Has `unmount` end the mount, and waits until it has ended. The server is asked first: it
    /// may be gone as soon as nothing is mounted any more. Where that is not soon, and as long as the
    /// filesystem is mounted elsewhere too, `is_elsewhere` says whether to wait on.
    ///
    /// Errors: as [`RunningMount::wait`]; those of the two.
    pub fn wait_after(
        mut self,
        unmount: impl FnOnce() -> Result<()>,
        mut is_elsewhere: impl FnMut(Elsewhere) -> Result<()>,
    ) -> Result<()> {
        self.send(&Message::new("wait"))?;
        unmount()?;
        while !self.has_reply_within(SOON)? {
            elsewhere::find(&self.filesystem).map_or(Ok(()), &mut is_elsewhere)?;
        }
        self.receive().map(drop)
    }

    /// Whether the server says something before so much time has passed.
    fn has_reply_within(&self, time: Timespec) -> Result<bool> {
        if !self.stream.buffer().is_empty() {
            return Ok(true);
        }
        let mut stream = [PollFd::new(self.stream.get_ref(), PollFlags::IN)];
        match poll(&mut stream, Some(&time)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Has the kernel hand the server what it has kept back, and waits until it has arrived.
    fn write_back(&mut self) -> Result<()> {
        if self.wants_room.is_some() {
            // It is mounted no more, and what the kernel had it has handed over.
            return Ok(());
        }
        let failed = |error| Error::io("write back a mount", error).in_file(&self.directory);
        // A server may say what it wants: what is no directory could keep who opens it waiting.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.directory, flags, Mode::empty());
        let opened = opened.map(File::from).map_err(io::Error::from);
        let mount = opened.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => failed(error).about(
                "mount",
                "another user's, into which the kernel lets nobody else, root neither",
                "this as that user, or a mount with --allow-other",
            ),
            _ => failed(error),
        })?;
        if FilesystemNumber::of(&mount).map_err(failed)?.to_string() != self.filesystem {
            return Err(covered("write back a mount", &self.directory));
        }
        self.calls += barrier::write_back(&mount).map_err(|error| match error.kind() {
            // The host has room: the kernel gathers writes, and tells once of those that no file can hold.
            io::ErrorKind::FileTooLarge => failed(error).with_kind(ErrorKind::Io).about(
                "file",
                "writes of a program past the end of the largest, which are lost",
                "none: all else is there, and the same again goes on without them",
            ),
            _ => failed(error),
        })?;
        Ok(())
    }

    fn ask(&mut self, request: &Message) -> Result<Message> {
        self.send(request)?;
        self.receive()
    }

    /// What the server says first; nothing where it died when somebody had just come to it.
    fn first_reply(&mut self) -> io::Result<Option<Message>> {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(AT_ONCE))?;
        let sent = Message::new("where").send(stream);
        let reply = match sent.and_then(|()| Message::receive(&mut self.stream)) {
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(None),
                io::ErrorKind::WouldBlock => {
                    let silent = "its server says nothing: is it stopped?";
                    Err(io::Error::new(io::ErrorKind::TimedOut, silent))
                }
                _ => Err(error),
            },
            reply => reply,
        };
        // What it is asked from now on may take long.
        self.stream.get_ref().set_read_timeout(None)?;
        reply
    }

    fn send(&self, request: &Message) -> Result<()> {
        request.send(self.stream.get_ref()).map_err(|error| self.failed(error))
    }

    fn receive(&mut self) -> Result<Message> {
        let reply = Message::receive(&mut self.stream).map_err(|error| self.failed(error))?;
        let reply = reply.ok_or_else(|| self.misunderstood("reply", "the end of its process"))?;
        self.understood(reply)
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("ask a mount", error).in_file(&self.folder)
    }

    fn understood(&self, reply: Message) -> Result<Message> {
        match reply.word.as_str() {
            "ok" => Ok(reply),
            "error" => {
                let kind = kind(reply.text("kind").unwrap_or_default());
                let text = reply.text("text").unwrap_or_default();
                Err(Error::new(kind, format!("the mount's server says: {text}")))
            }
            word => Err(self.misunderstood("reply", word)),
        }
    }

    fn misunderstood(&self, field: &'static str, found: &str) -> Error {
        Error::new(ErrorKind::Io, "ask a mount").in_file(&self.folder).about(
            field,
            format!("{found:?}"),
            "one that can be read",
        )
    }
}

/// Connects to a socket; `None` to one whose server died.
fn connect(socket: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        connected => connected.map(Some),
    }
}

/// Whether the kernel refused because the mount is another user's.
fn is_shut_out(error: &Error) -> bool {
    error.io_source().is_some_and(|source| source.kind() == io::ErrorKind::PermissionDenied)
}

/// The kind that a server names; a plain I/O error, where the name is not known here.
fn kind(name: &str) -> ErrorKind {
    let kinds = [
        ErrorKind::Locked,
        ErrorKind::Corrupt,
        ErrorKind::Unreadable,
        ErrorKind::NoSpace,
        ErrorKind::InvalidInput,
        ErrorKind::Poisoned,
        ErrorKind::Stale,
        ErrorKind::Unsupported,
    ];
    kinds.into_iter().find(|kind| kind.as_str() == name).unwrap_or(ErrorKind::Io)
}
