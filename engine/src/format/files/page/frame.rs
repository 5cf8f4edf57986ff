//! What the keys of a page have in common.
//!
//! Keys of one page differ in few bytes: those of inodes in the lower ones of the number, those
//! of names in their hashes. A page says the rest once, and each slot holds the bytes between.

use crate::format::files::key::{KEY_BYTES, Key};

/// The bytes that all keys of a page have in common, and those in which they may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrame {
    /// With zeros where keys may differ.
    common: Key,
    /// The first byte in which they may differ.
    start: usize,
    /// The byte behind the last one.
    end: usize,
}

impl KeyFrame {
    /// The frame of no key, or of the one that has no bits.
    pub const EMPTY: KeyFrame = KeyFrame { common: Key::MIN, start: 0, end: 0 };

    /// The frame as a page says it; none where its parts contradict each other.
    pub fn read(common: Key, start: usize, end: usize) -> Option<KeyFrame> {
        let frame = KeyFrame { common, start, end };
        (start <= end && end <= KEY_BYTES && frame.cleared(common) == common).then_some(frame)
    }

    /// The narrowest frame of all `keys`.
    pub fn of(keys: impl IntoIterator<Item = Key>) -> KeyFrame {
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else { return KeyFrame::EMPTY };
        keys.fold(KeyFrame { common: first, start: 0, end: 0 }, KeyFrame::with)
    }

    /// The frame that has room for `key` too.
    #[must_use]
    pub fn with(self, key: Key) -> KeyFrame {
        let (mine, other) = (self.common.to_bytes(), key.to_bytes());
        let differs = |at: &usize| !(self.start..self.end).contains(at) && mine[*at] != other[*at];
        let Some(first) = (0..KEY_BYTES).find(differs) else { return self };
        let last = (0..KEY_BYTES).rfind(differs).unwrap_or(first);
        self.wide(first, last + 1)
    }

    /// The frame that has room for the keys of both.
    #[must_use]
    pub fn union(self, other: KeyFrame) -> KeyFrame {
        let both = self.with(other.common);
        if other.start == other.end { both } else { both.wide(other.start, other.end) }
    }

    fn wide(self, start: usize, end: usize) -> KeyFrame {
        let (start, end) = match self.start == self.end {
            true => (start, end),
            false => (self.start.min(start), self.end.max(end)),
        };
        let frame = KeyFrame { start, end, ..self };
        KeyFrame { common: frame.cleared(self.common), ..frame }
    }

    fn cleared(self, key: Key) -> Key {
        let mut bytes = key.to_bytes();
        bytes[self.start..self.end].fill(0);
        Key::from_bytes(&bytes)
    }

    /// What all keys have, with zeros where they may differ.
    pub fn common(self) -> Key {
        self.common
    }

    /// The first byte in which they may differ, and the one behind the last.
    pub fn bounds(self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// How many bytes of a key a slot holds.
    pub fn width(self) -> usize {
        self.end - self.start
    }

    /// Writes those bytes of a key that has a place in this frame.
    pub fn write_part(self, key: Key, part: &mut [u8]) {
        debug_assert_eq!(self.with(key), self, "the caller has widened the frame");
        part.copy_from_slice(&key.to_bytes()[self.start..self.end]);
    }

    /// The key of a slot.
    pub fn key(self, part: &[u8]) -> Key {
        let mut bytes = self.common.to_bytes();
        bytes[self.start..self.end].copy_from_slice(part);
        Key::from_bytes(&bytes)
    }

    /// Where `key` stands, or where it would, among `slots` ascending ones; `part` gives the
    /// bytes of each.
    pub fn search<'a>(
        self,
        key: Key,
        slots: usize,
        part: impl Fn(usize) -> &'a [u8],
    ) -> Result<usize, usize> {
        let (bytes, common) = (key.to_bytes(), self.common.to_bytes());
        let before = bytes[..self.start].cmp(&common[..self.start]);
        if before.is_ne() || slots == 0 {
            return Err(if before.is_gt() { slots } else { 0 });
        }
        let wanted = &bytes[self.start..self.end];
        let (mut low, mut high) = (0, slots);
        while low < high {
            let middle = usize::midpoint(low, high);
            match part(middle).cmp(wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    return match bytes[self.end..].cmp(&common[self.end..]) {
                        std::cmp::Ordering::Less => Err(middle),
                        std::cmp::Ordering::Equal => Ok(middle),
                        std::cmp::Ordering::Greater => Err(middle + 1),
                    };
                }
            }
        }
        Err(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::files::ItemKind;
    use crate::testing::Random;

    #[test]
    fn keys_come_back_and_are_found_where_they_stand() {
        let mut random = Random::new(3);
        for round in 0..2000 {
            // Few bits in few places, so that heads, middles and tails agree and differ.
            let mut some = |bits: u32| random.below(1 << bits) << (8 * random.below(6));
            let mut keys: Vec<Key> = (0..1 + round % 9)
                .map(|_| Key::new(ItemKind::ALL[some(1) as usize % 2], some(2) as u32, some(3)))
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let frame = KeyFrame::of(keys.iter().copied());
            let part_of = |key: Key| {
                let mut part = vec![0; frame.width()];
                frame.write_part(key, &mut part);
                part
            };
            let parts: Vec<_> = keys.iter().map(|&key| part_of(key)).collect();
            assert!(parts.is_sorted());
            for (key, part) in keys.iter().zip(&parts) {
                assert_eq!((frame.with(*key), frame.key(part)), (frame, *key));
            }
            for _ in 0..20 {
                let other = Key::new(ItemKind::Entry, some(2) as u32, some(3));
                let found = frame.search(other, keys.len(), |slot| &parts[slot][..]);
                assert_eq!(found, keys.binary_search(&other), "{other:?} in {keys:?}");
                let wider = frame.with(other);
                assert_eq!(wider.union(frame), wider);
                assert_eq!(frame.union(KeyFrame::of([other])), wider);
            }
        }
    }

    #[test]
    fn a_frame_that_contradicts_itself_is_refused() {
        let common = Key::new(ItemKind::Inode, 7, 0);
        assert!(KeyFrame::read(common, 5, 5).is_some());
        assert!(KeyFrame::read(common, 5, 13).is_some());
        assert!(KeyFrame::read(common, 4, 5).is_none(), "bits where keys may differ");
        assert!(KeyFrame::read(common, 6, 5).is_none());
        assert!(KeyFrame::read(common, 5, 14).is_none());
    }
}
