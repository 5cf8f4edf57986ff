//! Reads of a file that follow each other, and what is asked of the host ahead of them.
//!
//! A fault in the map of a layer brings in the one page that it needs, so that what is read at random
//! costs no more than it is. What is read in order has to be seen, then, and asked for in time.

use std::ops::Range;

use parking_lot::Mutex;

use crate::units::PAGE_BYTES;

/// How many streams of reads are followed in one file: several files of a tree lie in one layer.
const STREAMS: usize = 4;
/// How far behind the end of the last read the next one of a stream may begin, in bytes. Of reads that
/// find what was read before, only those that touch a multiple of it are noted.
pub const STRIDE_BYTES: u64 = 128 << 10;
/// How far ahead of a stream the host reads, at first and at most, in bytes.
const WINDOW_BYTES_MIN: u64 = 128 << 10;
const WINDOW_BYTES_MAX: u64 = 1 << 20;

/// The newest streams of reads of one file. A file begins with one at its start.
#[derive(Debug, Default)]
pub struct Streams {
    /// The one that was followed last comes first.
    newest: Mutex<[Stream; STREAMS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// The last read.
    read: (u64, u64),
    /// Past the last byte that the host was asked for.
    asked: u64,
    window: u64,
}

impl Streams {
    /// Notes a read of the bytes `read` of the file; what the host is to be asked for, from
    /// somewhere in them on, if anything.
    pub fn note(&self, read: Range<u64>) -> Option<Range<u64>> {
        let mut streams = self.newest.lock();
        if streams.iter().any(|stream| stream.read.0 <= read.start && read.end <= stream.read.1) {
            return None;
        }
        let Some(at) = streams.iter().position(|stream| stream.goes_on_at(read.start)) else {
            streams.rotate_right(1);
            streams[0] = Stream { read: (read.start, read.end), asked: read.end, window: 0 };
            // The fault itself brings in a page.
            return (read.end - read.start > PAGE_BYTES).then_some(read);
        };
        streams[..=at].rotate_right(1);
        streams[0].follow(&read)
    }
}

impl Stream {
    fn goes_on_at(&self, start: u64) -> bool {
        (self.read.1..=self.read.1 + STRIDE_BYTES).contains(&start)
    }

    /// A window is asked for while half of the one before it is left, and is twice as long.
    fn follow(&mut self, read: &Range<u64>) -> Option<Range<u64>> {
        self.read = (read.start, read.end);
        if self.asked >= read.end + self.window / 2 && self.window > 0 {
            return None;
        }
        let grown = (2 * self.window).max(2 * (read.end - read.start));
        self.window = grown.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let from = self.asked.max(read.start);
        self.asked = (read.end + self.window).next_multiple_of(STRIDE_BYTES);
        Some(from..self.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 4096;

    fn block(number: u64) -> Range<u64> {
        number * BLOCK..(number + 1) * BLOCK
    }

    #[test]
    fn reads_at_random_ask_for_nothing_but_themselves() {
        let streams = Streams::default();
        for turn in 1..1000 {
            assert_eq!(streams.note(block(turn * 7919 % 1000 * 1000 + 500)), None);
        }
        assert_eq!(
            streams.note(block(1 << 20).start..block((1 << 20) + 3).end).unwrap().end,
            block((1 << 20) + 3).end
        );
    }

    /// Each byte once, none before it is needed by a window, none after it was read.
    #[test]
    fn streams_are_read_ahead_of_side_by_side() {
        let streams = Streams::default();
        let starts = [100_000, 200_000, 300_000];
        let mut asked = starts.map(block).map(|first| first.end);
        for turn in 0..2000 {
            for (start, asked) in starts.iter().zip(&mut asked) {
                let read = block(start + turn);
                if let Some(range) = streams.note(read.clone()) {
                    assert_eq!(range.start, *asked, "no gap, and nothing twice");
                    assert!(range.end - read.end < WINDOW_BYTES_MAX + STRIDE_BYTES);
                    *asked = range.end;
                }
                assert!(*asked >= read.end, "asked for before it is read");
            }
        }
        // Where the other two go on, one that ends does not hold them up.
        assert_eq!(streams.note(block(7_000_000)), None);
    }

    #[test]
    fn a_stream_of_which_only_each_stride_is_seen_is_one() {
        let streams = Streams::default();
        let each = |turn: u64| streams.note(block(1_000_000 + turn * (STRIDE_BYTES / BLOCK)));
        assert_eq!(each(0), None);
        assert!((1..100).filter_map(each).count() > 10);
    }

    #[test]
    fn what_was_noted_is_no_stream_when_it_is_noted_again() {
        let streams = Streams::default();
        for _ in 0..3 {
            assert_eq!(streams.note(block(5000)), None);
        }
        assert!(streams.note(block(5001)).is_some());
    }
}
