//! The tar of a layer, read ahead of who applies it: fetched, hashed and decompressed on a thread of
//! its own.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use oci_spec::image::Descriptor;
use sapwood::{Error, ErrorKind, Result};
use sha2::Digest;

use super::source::ImageSource;
use crate::Sha256;
use crate::blob::{Compression, Verifying, decompress};

/// How much is handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks wait: 8 MiB for each layer that is being read.
const CHUNKS_AHEAD: usize = 32;

/// A blob that holds the tar of a layer.
#[derive(Clone, Debug)]
pub struct LayerBlob {
    /// As it is asked for.
    pub descriptor: Descriptor,
    /// The digest of the blob.
    pub digest: Sha256,
    /// How the tar is compressed in it.
    pub compression: Compression,
    /// The digest of the tar.
    pub diff_id: Sha256,
}

/// How many bytes all layers of an image may be.
#[derive(Debug)]
pub struct Allowance {
    bytes_max: u64,
    left: AtomicU64,
}

impl Allowance {
    /// So many bytes, or as many as there are.
    pub fn new(bytes_max: Option<u64>) -> Allowance {
        let bytes_max = bytes_max.unwrap_or(u64::MAX);
        Allowance { bytes_max, left: AtomicU64::new(bytes_max) }
    }

    /// Takes bytes off.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] where there are not so many.
    pub fn take(&self, bytes: usize) -> Result<()> {
        let take = |left: u64| left.checked_sub(bytes as u64);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => {
                let expected = format!("at most {} bytes", self.bytes_max);
                Err(Error::invalid("unpack an image", "size", "more", expected))
            }
        }
    }
}

enum Message {
    Chunk(Vec<u8>),
    /// That was all, and the blob is the one that was asked for.
    End,
    Failed(Error),
}

/// The tar of a layer as it comes. It ends only where the blob was right.
pub struct LayerStream<'a> {
    messages: Receiver<Message>,
    chunk: Vec<u8>,
    at: usize,
    hasher: sha2::Sha256,
    allowance: &'a Allowance,
    /// All of it was read.
    is_whole: bool,
    failure: Option<Error>,
}

impl<'a> LayerStream<'a> {
    /// Begins to read; `tell` hears how many bytes of the blob were read.
    pub fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        source: &'scope dyn ImageSource,
        layer: LayerBlob,
        allowance: &'a Allowance,
        tell: impl Fn(u64) + Send + 'scope,
    ) -> LayerStream<'a> {
        let (sender, messages) = sync_channel(CHUNKS_AHEAD);
        scope.spawn(move || {
            let end = match pump(source, &layer, &sender, &tell) {
                Ok(()) => Message::End,
                Err(error) => Message::Failed(error),
            };
            // Who applies the layer may have stopped on an error.
            let _ = sender.send(end);
        });
        let (chunk, at, hasher) = (Vec::new(), 0, sha2::Sha256::new());
        LayerStream { messages, chunk, at, hasher, allowance, is_whole: false, failure: None }
    }

    /// That all of it was read and has this digest. `applied` is what came of applying it: where that
    /// failed as the stream did, the reason is told.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] for another tar or blob; what the source says.
    pub fn finish<T>(mut self, applied: Result<T>, diff_id: Sha256) -> Result<T> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let applied = applied?;
        if !self.is_whole {
            // A reader of the tar reads on to its end.
            return Err(Error::invalid("apply a layer", "tar", "more behind its end", "its end"));
        }
        let found = Sha256(self.hasher.finalize().into());
        match found == diff_id {
            true => Ok(applied),
            false => Err(Error::corrupt("apply a layer", "diffID", found, diff_id)),
        }
    }

    fn next(&mut self) -> Result<()> {
        match self.messages.recv() {
            Ok(Message::Chunk(chunk)) => {
                self.allowance.take(chunk.len())?;
                self.hasher.update(&chunk);
                (self.chunk, self.at) = (chunk, 0);
                Ok(())
            }
            Ok(Message::End) => {
                (self.chunk, self.at, self.is_whole) = (Vec::new(), 0, true);
                Ok(())
            }
            Ok(Message::Failed(error)) => Err(error),
            Err(_) => {
                Err(Error::new(ErrorKind::Io, "read a layer").about("thread", "ended", "its end"))
            }
        }
    }
}

impl Read for LayerStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wants_more = self.at == self.chunk.len() && !self.is_whole && self.failure.is_none();
        if wants_more && let Err(failure) = self.next() {
            self.failure = Some(failure);
        }
        if self.failure.is_some() {
            return Err(io::Error::other("the layer could not be read"));
        }
        let taken = buffer.len().min(self.chunk.len() - self.at);
        buffer[..taken].copy_from_slice(&self.chunk[self.at..self.at + taken]);
        self.at += taken;
        Ok(taken)
    }
}

/// Reads a blob to its end, and hands over what is in it.
fn pump(
    source: &dyn ImageSource,
    layer: &LayerBlob,
    messages: &SyncSender<Message>,
    tell: &dyn Fn(u64),
) -> Result<()> {
    let blob = source.open_blob(&layer.descriptor)?;
    let mut blob = Verifying::new(blob, layer.digest, layer.descriptor.size());
    let read_bytes = blob.count();
    let mut tar = decompress(layer.compression, &mut blob)?;
    let broken = loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        let read = loop {
            match tar.read(&mut chunk[filled..]) {
                Ok(0) => break Ok(()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if filled == CHUNK_BYTES {
                break Ok(());
            }
        };
        tell(read_bytes.get());
        let is_last = filled < CHUNK_BYTES;
        chunk.truncate(filled);
        if let Err(error) = read {
            break Some(error);
        }
        if filled > 0 && messages.send(Message::Chunk(chunk)).is_err() {
            // Nobody wants it any more.
            return Ok(());
        }
        if is_last {
            break None;
        }
    };
    drop(tar);
    match broken {
        None => blob.finish(),
        Some(error) => {
            // A blob that is not the right one is told so, whatever it looked like on the way.
            blob.verify_rest()?;
            let found = format!("{error}");
            let expected = format!("a whole stream of {:?}", layer.compression);
            Err(Error::invalid("decompress a layer", "blob", found, expected)
                .in_file(layer.digest.to_string()))
        }
    }
}
