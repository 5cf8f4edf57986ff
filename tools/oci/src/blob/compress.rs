//! Compressing a stream on all cores: its pieces by themselves, one after the other in the output.
//!
//! What comes out is one gzip stream of many members, or one zstd stream of many frames, which is
//! what both formats say a stream is. It depends on nothing but the input.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::write::GzEncoder;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sapwood::{Error, Result};

use super::Compression;

/// How much is compressed by itself: enough that what its beginning could not look back to does not
/// show in the size.
const PIECE_BYTES: usize = 1 << 20;
/// What `gzip` and `docker` take where nobody says otherwise.
const GZIP_LEVEL: u32 = 6;
/// What `zstd` takes.
const ZSTD_LEVEL: i32 = 3;
/// How many pieces wait for a core beside each one that is worked on.
const PIECES_PER_CORE: usize = 2;

/// What every error begins with.
const OPERATION: &str = "write a layer";

/// A piece that is being compressed, or is done.
type Pending = Receiver<io::Result<Vec<u8>>>;

/// Compresses a piece.
type Compress = fn(&[u8]) -> io::Result<Vec<u8>>;

/// Has `produce` write a stream on this thread, and writes it to `output` on another one, compressed
/// on all cores.
///
/// Equal streams give equal bytes, whatever the machine. Memory is bounded by some MiB for each core.
///
/// Errors: those of `produce`; what the output says.
pub fn compress<T>(
    compression: Compression,
    output: &mut (dyn Write + Send),
    produce: impl FnOnce(&mut dyn Write) -> Result<T>,
) -> Result<T> {
    let pool = pool()?;
    let pieces = PIECES_PER_CORE * pool.current_num_threads() + 1;
    thread::scope(|scope| {
        let (order, pending) = sync_channel(pieces);
        let (used, spare) = sync_channel(pieces);
        let written = used.clone();
        let collector = scope.spawn(move || collect(pending, output, &written));
        let piece = Vec::new();
        let mut input = Pieces { compression, pool, piece, order, used, spare, sent: false };
        let produced = produce(&mut input).and_then(|done| {
            input.finish().map_err(|error| Error::io(OPERATION, error))?;
            Ok(done)
        });
        // The collector ends when nobody can send it more.
        drop(input);
        let collected = collector.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // Where the output failed, the producer only knows that nobody listens.
        collected.map_err(|error| Error::io(OPERATION, error))?;
        produced
    })
}

/// The threads that compress, and do nothing else: who waits for a piece may be a thread of any other
/// pool, and may be all that it has.
fn pool() -> Result<&'static ThreadPool> {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    if let Some(pool) = POOL.get() {
        return Ok(pool);
    }
    let made = ThreadPoolBuilder::new().thread_name(|at| format!("compress-{at}")).build();
    let made = made.map_err(|error| Error::io(OPERATION, io::Error::other(error)))?;
    // Where somebody was faster this one's threads end.
    Ok(POOL.get_or_init(|| made))
}

/// Writes the pieces in the order in which they were cut.
fn collect(
    pending: Receiver<Pending>,
    output: &mut dyn Write,
    used: &SyncSender<Vec<u8>>,
) -> io::Result<()> {
    for piece in pending {
        let piece = piece.recv().map_err(|_| io::Error::other("a compressing thread ended"))??;
        output.write_all(&piece)?;
        give_back(used, piece);
    }
    output.flush()
}

/// Lets the next piece have the memory of one, if it is enough: each page that is fresh costs a fault.
fn give_back(used: &SyncSender<Vec<u8>>, mut piece: Vec<u8>) {
    if piece.capacity() >= PIECE_BYTES {
        piece.clear();
        // There are enough, or nobody cuts any more.
        let _ = used.try_send(piece);
    }
}

/// Cuts a stream, and has its pieces compressed.
struct Pieces {
    compression: Compression,
    pool: &'static ThreadPool,
    piece: Vec<u8>,
    order: SyncSender<Pending>,
    /// Where memory comes from that other pieces had.
    spare: Receiver<Vec<u8>>,
    used: SyncSender<Vec<u8>>,
    sent: bool,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.piece);
        let (done, pending) = sync_channel(1);
        let compress: Option<Compress> = match self.compression {
            Compression::None => None,
            Compression::Gzip => Some(gzip),
            Compression::Zstd => Some(zstd),
        };
        // There is room for one, and nobody may want it any more: the collector has failed.
        match compress {
            None => drop(done.send(Ok(piece))),
            Some(compress) => {
                let used = self.used.clone();
                self.pool.spawn(move || {
                    let _ = done.send(compress(&piece));
                    give_back(&used, piece);
                });
            }
        }
        self.sent = true;
        self.order.send(pending).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Sends the rest; of an empty stream, too, something has to be there.
    fn finish(&mut self) -> io::Result<()> {
        if self.piece.is_empty() && self.sent { Ok(()) } else { self.send() }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.capacity() == 0 {
            let spare = self.spare.try_recv();
            self.piece = spare.unwrap_or_else(|_| Vec::with_capacity(PIECE_BYTES));
        }
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A whole member; no time and no name goes into its head.
fn gzip(piece: &[u8]) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::new(GZIP_LEVEL);
    let mut encoder = GzEncoder::new(Vec::with_capacity(piece.len() / 2), level);
    encoder.write_all(piece)?;
    encoder.finish()
}

/// A whole frame.
fn zstd(piece: &[u8]) -> io::Result<Vec<u8>> {
    thread_local! {
        static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    }
    ZSTD.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL)?),
        };
        compressor.compress(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn stream(bytes: usize) -> Vec<u8> {
        let words = (0..).map(|at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (20 + at % 30));
        words.flat_map(u64::to_le_bytes).take(bytes).collect()
    }

    fn compressed(compression: Compression, input: &[u8], cut: usize) -> Vec<u8> {
        let mut output = Vec::new();
        compress(compression, &mut output, |to| {
            for piece in input.chunks(cut) {
                to.write_all(piece).unwrap();
            }
            Ok(())
        })
        .unwrap();
        output
    }

    #[test]
    fn streams_come_back_and_are_the_same_however_they_are_written() {
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 77] {
            let input = stream(length);
            let gzip = compressed(Compression::Gzip, &input, 10_000);
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&gzip[..]).read_to_end(&mut back).unwrap();
            assert!(back == input, "gzip of {length} bytes");
            let zstd = compressed(Compression::Zstd, &input, 3 << 20);
            assert!(zstd::decode_all(&zstd[..]).unwrap() == input, "zstd of {length} bytes");
            assert!(compressed(Compression::None, &input, 512) == input);
            assert!(gzip == compressed(Compression::Gzip, &input, 3 << 20));
            assert!(zstd == compressed(Compression::Zstd, &input, 10_000));
        }
    }

    /// The queue was filled by a thread of the pool that was to empty it, and both waited for ever.
    #[test]
    fn a_thread_of_a_pool_that_has_no_other_compresses() {
        let (done, ended) = sync_channel(1);
        thread::spawn(move || {
            let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let input = stream(64 * PIECE_BYTES);
            let gzip = pool.install(|| compressed(Compression::Gzip, &input, 3 << 20));
            done.send(gzip == compressed(Compression::Gzip, &input, 3 << 20)).unwrap();
        });
        let ended = ended.recv_timeout(std::time::Duration::from_secs(60));
        assert_eq!(ended, Ok(true));
    }

    #[test]
    fn the_error_of_either_side_is_told() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let input = stream(64 * PIECE_BYTES);
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let full = compress(compression, &mut Full(2 * PIECE_BYTES), |to| {
                to.write_all(&input).map_err(|error| Error::io("produce", error))
            });
            assert_eq!(full.unwrap_err().kind(), sapwood::ErrorKind::NoSpace);
            let failed = compress(compression, &mut io::sink(), |to| {
                to.write_all(&input[..3 * PIECE_BYTES]).unwrap();
                Err::<(), _>(Error::new(sapwood::ErrorKind::Corrupt, "produce"))
            });
            assert_eq!(failed.unwrap_err().kind(), sapwood::ErrorKind::Corrupt);
        }
    }
}
