//! The bytes of a file in memory: pages where something was written, holes elsewhere.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// The unit of allocation in bytes.
pub(crate) const SPARSE_PAGE_BYTES: usize = 4096;
const PAGE: u64 = SPARSE_PAGE_BYTES as u64;

/// As long as a file of a Linux host may be.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// The bytes of one page, and what they hash to once somebody asked.
#[derive(Debug)]
pub(crate) struct Page {
    bytes: [u8; SPARSE_PAGE_BYTES],
    #[cfg(any(test, feature = "testing"))]
    fingerprint: std::sync::OnceLock<u64>,
}

impl Page {
    /// A page of these bytes.
    pub(crate) fn new(bytes: [u8; SPARSE_PAGE_BYTES]) -> Page {
        Page {
            bytes,
            #[cfg(any(test, feature = "testing"))]
            fingerprint: std::sync::OnceLock::new(),
        }
    }

    /// The bytes.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn bytes(&self) -> &[u8; SPARSE_PAGE_BYTES] {
        &self.bytes
    }

    /// The bytes, to be changed in place; a page that is shared is copied first.
    fn change(page: &mut Arc<Page>) -> &mut [u8; SPARSE_PAGE_BYTES] {
        if Arc::get_mut(page).is_none() {
            *page = Arc::new(Page::new(page.bytes));
        }
        let page = Arc::get_mut(page).expect("nobody else holds a page that was just made");
        #[cfg(any(test, feature = "testing"))]
        page.fingerprint.take();
        &mut page.bytes
    }

    /// 64 bits that stand for the bytes; 0 for zeros, so that a hole is the same.
    #[cfg(any(test, feature = "testing"))]
    fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| match self.bytes.iter().all(|byte| *byte == 0) {
            true => 0,
            false => {
                u64::from_le_bytes(blake3::hash(&self.bytes).as_bytes()[..8].try_into().unwrap())
            }
        })
    }
}

/// A sparse array of bytes. A clone shares its pages until one side writes to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseBytes {
    pages: BTreeMap<u64, Arc<Page>>,
    length: u64,
}

impl SparseBytes {
    /// No bytes.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) const fn new() -> SparseBytes {
        SparseBytes { pages: BTreeMap::new(), length: 0 }
    }

    /// The length in bytes, holes included.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes that are backed by memory.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// Fills `buffer` from `offset`; [`io::ErrorKind::UnexpectedEof`] past the end.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, range) in pieces(offset, buffer.len()) {
            let part = &mut buffer[range];
            match self.pages.get(&number) {
                Some(page) => part.copy_from_slice(&page.bytes[within..within + part.len()]),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`, extending where needed.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = end_of(offset, bytes.len() as u64)?;
        for (number, within, range) in pieces(offset, bytes.len()) {
            let part = &bytes[range];
            if let Ok(whole) = part.try_into() {
                self.pages.insert(number, Arc::new(Page::new(whole)));
            } else {
                let zeros = || Arc::new(Page::new([0; SPARSE_PAGE_BYTES]));
                let page = self.pages.entry(number).or_insert_with(zeros);
                Page::change(page)[within..within + part.len()].copy_from_slice(part);
            }
        }
        if !bytes.is_empty() {
            self.length = self.length.max(end);
        }
        Ok(())
    }

    /// Extends or cuts; what is cut off does not come back.
    pub(crate) fn set_length(&mut self, length: u64) -> io::Result<()> {
        end_of(0, length)?;
        if length < self.length {
            self.clear(length, self.length - length);
        }
        self.length = length;
        Ok(())
    }

    /// Extends to hold a range. Nothing is reserved: memory has no such thing.
    pub(crate) fn allocate(&mut self, offset: u64, length: u64) -> io::Result<()> {
        self.length = self.length.max(end_of(offset, length)?);
        Ok(())
    }

    /// Makes a range a hole; the length stays.
    pub(crate) fn punch(&mut self, offset: u64, length: u64) -> io::Result<()> {
        end_of(offset, length)?;
        self.clear(offset, length);
        Ok(())
    }

    /// The first range at or after `offset` that is backed by memory, `None` where only a hole follows.
    pub(crate) fn next_data(&self, offset: u64) -> Option<(u64, u64)> {
        let mut rest = self.pages.range(offset / PAGE..).map(|(number, _)| *number);
        let first = rest.next()?;
        let start = (first * PAGE).max(offset);
        let last = rest.zip(first + 1..).take_while(|(number, next)| number == next).last();
        let end = ((last.map_or(first, |(number, _)| number) + 1) * PAGE).min(self.length);
        (start < end).then_some((start, end))
    }

    /// Puts a page in place without copying it, extending where needed.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn put_page(&mut self, number: u64, page: Arc<Page>) {
        self.pages.insert(number, page);
        self.length = self.length.max((number + 1) * PAGE);
    }

    /// 64 bits that stand for length and content, the same however holes and zeros are laid out.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn fingerprint(&self) -> u64 {
        let pages = self.pages.iter().map(|(number, page)| (*number, page.fingerprint()));
        let content = pages.filter(|(_, page)| *page != 0);
        content.fold(mix(self.length), |sum, (number, page)| mix(sum ^ mix(page ^ mix(number))))
    }

    fn clear(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        let whole = offset.div_ceil(PAGE)..(end / PAGE).max(offset.div_ceil(PAGE));
        let doomed: Vec<u64> = self.pages.range(whole).map(|(number, _)| *number).collect();
        for number in doomed {
            self.pages.remove(&number);
        }
        for edge in [offset / PAGE, end / PAGE] {
            if let Some(page) = self.pages.get_mut(&edge) {
                let start = offset.saturating_sub(edge * PAGE).min(PAGE) as usize;
                let stop = (end - edge * PAGE).min(PAGE) as usize;
                if start < stop {
                    Page::change(page)[start..stop].fill(0);
                }
            }
        }
    }
}

fn end_of(offset: u64, length: u64) -> io::Result<u64> {
    let end = offset.checked_add(length).filter(|end| *end <= LENGTH_MAX);
    end.ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// Spreads every bit over all 64 (the finaliser of SplitMix64).
#[cfg(any(test, feature = "testing"))]
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The pages that a range touches: number, offset inside the page, range inside the buffer.
pub(crate) fn pieces(
    offset: u64,
    length: usize,
) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % PAGE) as usize;
        let range = done..length.min(done + SPARSE_PAGE_BYTES - within);
        done = range.end;
        (!range.is_empty()).then_some((at / PAGE, within, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, u8, usize),
        Punch(u64, u64),
        SetLength(u64),
        Allocate(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = 0..40_000u64;
        prop_oneof![
            (at.clone(), any::<u8>(), 0..9000usize).prop_map(|(at, b, n)| Step::Write(at, b, n)),
            (at.clone(), 0..20_000u64).prop_map(|(at, n)| Step::Punch(at, n)),
            at.clone().prop_map(Step::SetLength),
            (at, 1..9000u64).prop_map(|(at, n)| Step::Allocate(at, n)),
        ]
    }

    proptest! {
        #[test]
        fn behaves_as_a_plain_array(steps in prop::collection::vec(step(), 1..40)) {
            let mut sparse = SparseBytes::default();
            let mut plain: Vec<u8> = Vec::new();
            for step in steps {
                match step {
                    Step::Write(at, byte, count) => {
                        sparse.write(at, &vec![byte; count]).unwrap();
                        if count > 0 {
                            let at = at as usize;
                            plain.resize(plain.len().max(at + count), 0);
                            plain[at..at + count].fill(byte);
                        }
                    }
                    Step::Punch(at, count) => {
                        sparse.punch(at, count).unwrap();
                        let end = plain.len().min((at + count) as usize);
                        plain.get_mut(at as usize..end).unwrap_or_default().fill(0);
                    }
                    Step::SetLength(length) => {
                        sparse.set_length(length).unwrap();
                        plain.resize(length as usize, 0);
                    }
                    Step::Allocate(at, count) => {
                        sparse.allocate(at, count).unwrap();
                        plain.resize(plain.len().max((at + count) as usize), 0);
                    }
                }
                prop_assert_eq!(sparse.length(), plain.len() as u64);
                let mut bytes = vec![1; plain.len()];
                sparse.read(0, &mut bytes).unwrap();
                prop_assert!(bytes == plain);
                prop_assert!(sparse.read(1, &mut bytes).is_err() || bytes.is_empty());
                let mut at = 0;
                while let Some((start, end)) = sparse.next_data(at) {
                    prop_assert!(plain[at as usize..start as usize].iter().all(|byte| *byte == 0));
                    prop_assert!(start >= at && end > start && end <= sparse.length());
                    at = end;
                }
                prop_assert!(plain[at as usize..].iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn lengths_past_the_limit_are_refused() {
        let mut sparse = SparseBytes::default();
        for error in [
            sparse.write(LENGTH_MAX, &[1]).unwrap_err(),
            sparse.write(u64::MAX, &[1]).unwrap_err(),
            sparse.set_length(LENGTH_MAX + 1).unwrap_err(),
            sparse.allocate(1, u64::MAX).unwrap_err(),
            sparse.punch(u64::MAX, 2).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
        sparse.set_length(LENGTH_MAX).unwrap();
        assert_eq!((sparse.length(), sparse.allocated_bytes()), (LENGTH_MAX, 0));
    }
}
