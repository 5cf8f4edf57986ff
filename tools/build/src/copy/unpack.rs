//! `ADD` of archives: what a tar stream holds, compressed or not.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use sapwood::files::{Files, Inode};
use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::{ImportOptions, Ownership, import_tar};

use super::owner::Owner;
use crate::origin::{Found, Origin};

/// The unit of a tar stream in bytes.
const RECORD_BYTES: usize = 512;
/// Where in a header its checksum stands, and how long it is.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// How much of a stream is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// How many pieces are read ahead.
const CHUNKS_AHEAD: usize = 8;
/// How much memory a decoder may take: as much as the compressors' own defaults need at most.
const DECODER_BYTES_MAX: u64 = 256 << 20;

/// Whether a file is a tar stream, perhaps compressed; judged by its beginning.
pub fn is_archive(input: &mut dyn Read) -> bool {
    // What cannot be read as one is none.
    let Ok(mut stream) = decompressed(input) else { return false };
    let mut record = [0; RECORD_BYTES];
    stream.read_exact(&mut record).is_ok() && is_header(&record)
}

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

/// The stream without its compression: gzip, bzip2, xz or Zstandard, told by its first bytes.
fn decompressed<'a>(input: &'a mut dyn Read) -> Result<Box<dyn Read + 'a>> {
    let failed = |error| Error::io("read an archive", error);
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let begin = input.fill_buf().map_err(failed)?;
    Ok(match begin {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(DECODER_BYTES_MAX, flags);
            let stream = stream.map_err(|error| failed(error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::Decoder::with_buffer(input).map_err(failed)?)
        }
        _ => Box::new(input),
    })
}

/// Whether a record is the header of a member: its checksum is right.
fn is_header(record: &[u8; RECORD_BYTES]) -> bool {
    let text = String::from_utf8_lossy(&record[CHECKSUM]);
    let text = text.trim_matches(['\0', ' ']);
    let Ok(told) = u32::from_str_radix(text, 8) else { return false };
    let sum: u32 = record
        .iter()
        .enumerate()
        .map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    sum == told
}
