//! Contents of files of the host, read by several threads ahead of where they are needed.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sapwood::{Error, Result};

use super::host::{HostDirectory, HostFile, Identity, State, changed, expect_unchanged, failed};
use super::target::Pieces;
use crate::tar::{Member, Segment};

/// Files up to this size are read ahead as a whole; of larger ones only the first bytes wait.
const AHEAD_BYTES_MAX: u64 = 128 << 10;
/// How much of a larger file is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A file that was asked for, once it is there.
pub type Awaited = Receiver<Result<OpenedFile>>;

/// Asks for files, from one thread.
pub struct Readers {
    jobs: Sender<Job>,
}

/// Reads files, from several threads.
pub struct Jobs {
    jobs: Mutex<Receiver<Job>>,
}

struct Job {
    directory: Arc<HostDirectory>,
    name: CString,
    expected: Identity,
    reply: SyncSender<Result<OpenedFile>>,
}

/// A file of the host with its attributes, and with its content or what leads to it.
pub struct OpenedFile {
    pub member: Member,
    pub content: FileContent,
}

/// The content of a file of the host.
pub struct FileContent {
    read: Read,
    size: u64,
    pub path: PathBuf,
}

enum Read {
    /// All of it: where pieces belong, and their bytes.
    Ahead(Vec<(u64, Vec<u8>)>),
    /// To be read when it is needed.
    Later { file: File, is_sparse: bool, state: State },
}

/// The two sides of a queue of files.
pub fn queue() -> (Readers, Jobs) {
    let (jobs, taken) = channel();
    (Readers { jobs }, Jobs { jobs: Mutex::new(taken) })
}

impl Readers {
    /// Asks for a file.
    pub fn ask(
        &self,
        directory: &Arc<HostDirectory>,
        name: CString,
        expected: Identity,
    ) -> Awaited {
        let (reply, awaited) = sync_channel(1);
        let directory = Arc::clone(directory);
        // Nobody takes jobs any more when the import has failed, and then nobody waits either.
        let _ = self.jobs.send(Job { directory, name, expected, reply });
        awaited
    }
}

impl Jobs {
    /// Reads until nobody asks any more.
    pub fn work(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            let opened = open(&job.directory, &job.name, job.expected);
            // Whoever asked may have stopped on an error.
            let _ = job.reply.send(opened);
        }
    }
}

impl Pieces for FileContent {
    fn write_to(&mut self, write: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        match &self.read {
            Read::Ahead(pieces) => pieces.iter().try_for_each(|(at, bytes)| write(*at, bytes)),
            Read::Later { file, is_sparse, state } => {
                let mut buffer = vec![0; CHUNK_BYTES];
                each_segment(file, &self.path, self.size, *is_sparse, &mut |segment| {
                    let mut at = segment.offset;
                    let end = at + segment.length;
                    while at < end {
                        let length = (end - at).min(CHUNK_BYTES as u64) as usize;
                        read_exact(file, &self.path, at, &mut buffer[..length])?;
                        write(at, &buffer[..length])?;
                        at += length as u64;
                    }
                    Ok(())
                })?;
                expect_unchanged(file, *state, &self.path)
            }
        }
    }
}

/// Opens a file, and reads one that is small.
pub fn open(directory: &HostDirectory, name: &CStr, expected: Identity) -> Result<OpenedFile> {
    let path = directory.path_of(name);
    let (fd, HostFile { member, is_sparse, state, .. }) = directory.open_file(name, expected)?;
    let (file, size) = (File::from(fd), member.size);
    let read = match size > AHEAD_BYTES_MAX {
        true => Read::Later { file, is_sparse, state },
        false => {
            let mut pieces = Vec::new();
            each_segment(&file, &path, size, is_sparse, &mut |segment| {
                let mut bytes = vec![0; segment.length as usize];
                read_exact(&file, &path, segment.offset, &mut bytes)?;
                pieces.push((segment.offset, bytes));
                Ok(())
            })?;
            expect_unchanged(&file, state, &path)?;
            Read::Ahead(pieces)
        }
    };
    Ok(OpenedFile { member, content: FileContent { read, size, path } })
}

/// Shows the ranges below `size` that hold data.
fn each_segment(
    file: &File,
    path: &Path,
    size: u64,
    is_sparse: bool,
    each: &mut dyn FnMut(Segment) -> Result<()>,
) -> Result<()> {
    let mut at = 0;
    while at < size {
        let (start, end) = match is_sparse {
            false => (at, size),
            true => match next_data(file.as_fd(), at).map_err(|errno| failed(errno, path))? {
                Some((start, end)) => (start, end.min(size)),
                None => return Ok(()),
            },
        };
        if start < end {
            each(Segment { offset: start, length: end - start })?;
        }
        at = end;
    }
    Ok(())
}

fn next_data(fd: impl AsFd, at: u64) -> rustix::io::Result<Option<(u64, u64)>> {
    let start = match rustix::fs::seek(&fd, SeekFrom::Data(at)) {
        Err(Errno::NXIO) => return Ok(None),
        // A filesystem that knows no holes: all may be data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, u64::MAX))),
        start => start?,
    };
    Ok(Some((start, rustix::fs::seek(&fd, SeekFrom::Hole(start))?)))
}

fn read_exact(file: &File, path: &Path, at: u64, buffer: &mut [u8]) -> Result<()> {
    file.read_exact_at(buffer, at).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => changed(path),
        _ => Error::io("import a directory", error).in_file(path),
    })
}
