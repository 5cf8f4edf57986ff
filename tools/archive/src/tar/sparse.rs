//! Maps of sparse files: which ranges of the file the archive holds, in the four forms of GNU tar.

use sapwood::Result;
use tar::{GnuSparseHeader, Header};

use super::number::{decimal, field, unsigned};
use super::{RECORD_BYTES, malformed, shown};

/// A range of a file that the archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

/// The ranges of a file in order, without the empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseMap {
    segments: Vec<Segment>,
    /// Where the last range, empty ones counted, ends.
    end: u64,
    pushed: u64,
}

impl SparseMap {
    /// Adds the next range.
    pub fn push(&mut self, offset: u64, length: u64) -> Result<()> {
        let bad = |found: String, expected| malformed("sparse map", found, expected);
        let found = || format!("{length} bytes at {offset}");
        if offset < self.end {
            return Err(bad(found(), "ranges in order"));
        }
        let end = offset.checked_add(length).filter(|&end| i64::try_from(end).is_ok());
        self.end = end.ok_or_else(|| bad(found(), "an end below 2^63"))?;
        self.pushed += 1;
        if length == 0 {
            return Ok(());
        }
        // Some readers expect each range to begin a record of its own, others do not.
        if self.segments.last().is_some_and(|last| last.length % RECORD_BYTES as u64 != 0) {
            return Err(bad(found(), "nothing behind a range that fills no record"));
        }
        self.segments.push(Segment { offset, length });
        Ok(())
    }

    /// The ranges, if they fit a file of `size` bytes of which the archive holds `stored`.
    pub fn finish(self, size: u64, stored: u64) -> Result<Vec<Segment>> {
        if self.end > size {
            return Err(malformed("sparse map", self.end, format!("an end within {size} bytes")));
        }
        // No overflow: the ranges do not overlap and end below 2^63.
        let sum: u64 = self.segments.iter().map(|segment| segment.length).sum();
        if sum != stored {
            return Err(malformed("sparse map", sum, format!("{stored} bytes in all")));
        }
        Ok(self.segments)
    }

    /// How many ranges were added, empty ones counted.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Adds what an old GNU header says: entries up to the first empty one. Says whether all were
    /// used, as they have to be where more follow.
    pub fn push_old(&mut self, entries: &[GnuSparseHeader]) -> Result<bool> {
        let used = entries.iter().take_while(|entry| !entry.is_empty()).count();
        for entry in &entries[..used] {
            let offset = unsigned(field(&entry.offset, "sparse map")?, "sparse map")?;
            let length = unsigned(field(&entry.numbytes, "sparse map")?, "sparse map")?;
            self.push(offset, length)?;
        }
        if entries[used..].iter().any(|entry| !entry.is_empty()) {
            return Err(malformed("sparse map", "an entry behind the last", "none"));
        }
        Ok(used == entries.len())
    }

    /// The map of form 0.1: `offset,length,offset,length`.
    pub fn from_list(text: &[u8]) -> Result<SparseMap> {
        let mut map = SparseMap::default();
        if text.is_empty() {
            return Ok(map);
        }
        let mut numbers = text.split(|&byte| byte == b',');
        while let Some(offset) = numbers.next() {
            let length = numbers
                .next()
                .ok_or_else(|| malformed("sparse map", shown(text), "pairs of numbers"))?;
            map.push(decimal(offset, "sparse map")?, decimal(length, "sparse map")?)?;
        }
        Ok(map)
    }
}

/// A reader of form 1.0: lines of decimal numbers before the content, filled up to a record.
#[derive(Debug, Default)]
pub struct MapLines {
    /// The digits of a line that goes on in the next record.
    digits: Vec<u8>,
    /// How many ranges are announced, once that is known.
    ranges: Option<u64>,
    /// The offset of a range whose length comes next.
    offset: Option<u64>,
    map: SparseMap,
    read: u64,
}

impl MapLines {
    /// Takes the next record.
    pub fn take(&mut self, record: &[u8; RECORD_BYTES]) -> Result<()> {
        /// As many digits as the largest number has.
        const DIGITS_MAX: usize = 20;
        for &byte in record {
            // What fills the last record is nobody's.
            if self.is_done() {
                return Ok(());
            }
            if byte != b'\n' {
                self.digits.push(byte);
                if self.digits.len() > DIGITS_MAX {
                    return Err(malformed("sparse map", shown(&self.digits), "short lines"));
                }
                continue;
            }
            let number = decimal(&self.digits, "sparse map")?;
            self.digits.clear();
            match (self.ranges, self.offset.take()) {
                (None, _) => self.ranges = Some(number),
                (Some(_), None) => self.offset = Some(number),
                (Some(_), Some(offset)) => {
                    self.map.push(offset, number)?;
                    self.read += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether all ranges are there.
    pub fn is_done(&self) -> bool {
        self.ranges == Some(self.read)
    }

    /// The map.
    pub fn into_map(self) -> SparseMap {
        self.map
    }
}

/// The lines of a map of form 1.0 for a file of `size` bytes, filled up to a record.
pub fn map_lines(segments: &[Segment], size: u64) -> Vec<u8> {
    let end = segments.last().map_or(0, |last| last.offset + last.length);
    // GNU tar finds the size of a file with a hole at its end by an empty range there.
    let hole = (end < size).then_some(Segment { offset: size, length: 0 });
    let mut text = format!("{}\n", segments.len() + usize::from(hole.is_some()));
    for segment in segments.iter().chain(&hole) {
        text.push_str(&format!("{}\n{}\n", segment.offset, segment.length));
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(RECORD_BYTES), 0);
    bytes
}

/// Whether the fields of an old sparse file say anything: its map, that it goes on, its size.
pub fn has_old_sparse(header: &Header) -> bool {
    header.as_gnu().is_some() && header.as_bytes()[386..495].iter().any(|&byte| byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_in_order_and_say_what_is_stored() {
        let map = || SparseMap::from_list(b"0,512,4096,100,8192,0").unwrap();
        let segments = map().finish(8192, 612).unwrap();
        assert_eq!(segments.len(), 2);
        assert!(map().finish(8191, 612).is_err());
        assert!(map().finish(8192, 611).is_err());
        for list in ["0,512,511,1", "0", "0,1,x,1", "9223372036854775807,1", "0,100,512,1", "1,-1"]
        {
            assert!(SparseMap::from_list(list.as_bytes()).is_err(), "{list}");
        }
    }

    #[test]
    fn lines_are_read_over_the_ends_of_records() {
        let segments: Vec<Segment> =
            (0..300).map(|at| Segment { offset: at << 20, length: 4096 }).collect();
        let bytes = map_lines(&segments, 300 << 20);
        assert!(bytes.len() > 4 * RECORD_BYTES);
        let mut lines = MapLines::default();
        for record in bytes.chunks_exact(RECORD_BYTES) {
            assert!(!lines.is_done());
            lines.take(record.try_into().unwrap()).unwrap();
        }
        assert!(lines.is_done());
        assert_eq!(lines.into_map().finish(300 << 20, 300 * 4096).unwrap(), segments);
    }
}
