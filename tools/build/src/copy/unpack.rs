//! `ADD` of archives: what a tar stream holds, compressed or not.

use std::io::Read;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use sapwood::files::{Files, Inode};
use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::{ImportOptions, Ownership, decompressed, import_tar};

use super::owner::Owner;
use crate::origin::{Found, Origin};

/// How many pieces are read ahead.
const CHUNKS_AHEAD: usize = 8;

/// Puts what an archive of an origin holds into a directory.
///
/// Errors: [`Stale`](ErrorKind::Stale) where the archive is not what was expected; what is wrong with
/// it.
pub fn unpack(
    files: &Files,
    into: Inode,
    origin: &Origin,
    archive: &Found,
    expected: Option<[u8; 32]>,
    owner: Option<Owner>,
) -> Result<()> {
    let (chunks, taken) = sync_channel(CHUNKS_AHEAD);
    thread::scope(|scope| {
        let reading = scope.spawn(move || -> Result<[u8; 32]> {
            let mut hasher = blake3::Hasher::new();
            origin.read(archive, &mut |_| Ok(()), &mut |bytes| {
                hasher.update(bytes);
                // Where nobody takes them, the other side says why.
                let _ = chunks.send(bytes.to_vec());
                Ok(())
            })?;
            Ok(*hasher.finalize().as_bytes())
        });
        let mut stream = Chunks { taken, chunk: Vec::new(), at: 0 };
        let unpacked = put(files, into, &mut stream, owner);
        drop(stream);
        let digest = reading.join().unwrap_or_else(|_| Err(reader_gone()))?;
        unpacked?;
        match expected.is_none_or(|expected| expected == digest) {
            true => Ok(()),
            false => {
                let error = Error::new(ErrorKind::Stale, "unpack an archive: it changed meanwhile");
                Err(error.in_file(String::from_utf8_lossy(&archive.path).as_ref()))
            }
        }
    })
}

/// What one thread reads for another.
struct Chunks {
    taken: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.taken.recv() {
                Ok(chunk) => (self.chunk, self.at) = (chunk, 0),
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

/// A reader that panicked took the answer with it.
fn reader_gone() -> Error {
    Error::new(ErrorKind::Io, "unpack an archive: the reading thread ended early")
}

fn put(files: &Files, into: Inode, input: &mut dyn Read, owner: Option<Owner>) -> Result<()> {
    let ownership = match owner {
        Some(Owner { user, group }) => Ownership::Fixed { owner: user, group },
        None => Ownership::Keep,
    };
    let options = ImportOptions { ownership, ..ImportOptions::default() };
    let mut stream = decompressed(input)?;
    import_tar(files, into, &mut stream, &options, &mut |_| {})?;
    Ok(())
}
