//! Two threads and a few buffers between them: one fills while the other empties.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::error::Result;

/// The size of a buffer: as much as a volume buffers before it writes, so that the two threads
/// seldom wait for each other.
pub const CHUNK_BYTES: usize = 4 << 20;
/// Enough that neither side waits for the other's hiccups; memory stays at 16 MiB.
const CHUNKS: usize = 4;

/// Bytes at a place of the image.
struct Chunk {
    offset: u64,
    bytes: Vec<u8>,
    length: usize,
}

/// The side that fills.
pub struct Filler {
    empty: Receiver<Vec<u8>>,
    full: SyncSender<Chunk>,
}

/// Whether the other side still takes chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    On,
    /// It failed: its error is the one to report.
    Stopped,
}

impl Flow {
    /// Whether it does not.
    pub fn is_stopped(self) -> bool {
        self == Flow::Stopped
    }
}

impl Filler {
    /// Has `fill` put bytes into a buffer of [`CHUNK_BYTES`] and say how many, and hands them on
    /// as what stands at `offset`. No bytes are not handed on.
    pub fn chunk(
        &self,
        offset: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<usize>,
    ) -> Result<(usize, Flow)> {
        let Ok(mut bytes) = self.empty.recv() else { return Ok((0, Flow::Stopped)) };
        let length = fill(&mut bytes)?;
        if length == 0 {
            return Ok((0, Flow::On));
        }
        match self.full.send(Chunk { offset, bytes, length }) {
            Ok(()) => Ok((length, Flow::On)),
            Err(_) => Ok((0, Flow::Stopped)),
        }
    }

    /// Hands on `start..end` in chunks that end at multiples of [`CHUNK_BYTES`].
    pub fn range(
        &self,
        start: u64,
        end: u64,
        mut fill: impl FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<Flow> {
        let mut at = start;
        while at < end {
            let chunk_end = (at / CHUNK_BYTES as u64 + 1).saturating_mul(CHUNK_BYTES as u64);
            let length = (chunk_end.min(end) - at) as usize;
            let (_, flow) = self.chunk(at, |buffer| {
                fill(at, &mut buffer[..length])?;
                Ok(length)
            })?;
            if flow == Flow::Stopped {
                return Ok(flow);
            }
            at += length as u64;
        }
        Ok(Flow::On)
    }
}

/// Runs `fill` on a thread of its own and `drain` on this one for each chunk, in order. The
/// first error of either ends both.
pub fn pump(
    fill: impl FnOnce(&Filler) -> Result<()> + Send,
    mut drain: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let (give_back, empty) = sync_channel(CHUNKS);
    let (full, take) = sync_channel(CHUNKS);
    for _ in 0..CHUNKS {
        give_back.send(vec![0; CHUNK_BYTES]).expect("the other end is held right here");
    }
    thread::scope(|scope| {
        let filler = Filler { empty, full };
        let filling = scope.spawn(move || fill(&filler));
        let drained = take.iter().try_for_each(|chunk| {
            drain(chunk.offset, &chunk.bytes[..chunk.length])?;
            // A filler that has ended takes no buffers back.
            let _ = give_back.send(chunk.bytes);
            Ok(())
        });
        // With both ends gone a filler that waits finds out and stops.
        drop((take, give_back));
        let filled = filling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drained.and(filled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CliError;

    #[test]
    fn chunks_arrive_whole_and_in_order() {
        let start = 12_345_u64;
        let end = start + 20 * CHUNK_BYTES as u64 + 7;
        let mut next = start;
        pump(
            |filler| {
                filler.range(start, end, |offset, buffer| {
                    buffer.fill((offset / CHUNK_BYTES as u64) as u8);
                    Ok(())
                })?;
                Ok(())
            },
            |offset, bytes| {
                assert_eq!(offset, next);
                let expected = (offset / CHUNK_BYTES as u64) as u8;
                assert!(bytes.iter().all(|&byte| byte == expected));
                next += bytes.len() as u64;
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(next, end);
    }

    #[test]
    fn an_error_of_either_side_ends_both() {
        let endless = |filler: &Filler| {
            filler.range(0, u64::MAX, |_, _| Ok(()))?;
            Ok(())
        };
        let drained = pump(endless, |_, _| Err(CliError::usage("drain")));
        assert_eq!(drained.unwrap_err().to_string(), "drain");
        let failing = |filler: &Filler| {
            filler.range(0, 10 * CHUNK_BYTES as u64, |offset, _| match offset {
                0 => Ok(()),
                _ => Err(CliError::usage("fill")),
            })?;
            Ok(())
        };
        assert_eq!(pump(failing, |_, _| Ok(())).unwrap_err().to_string(), "fill");
    }
}
