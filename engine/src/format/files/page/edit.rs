//! Changing a page: slots put in, taken out, moved to another.

use std::ops::Range;

use super::{Held, KeyFrame, PLACE_BYTES, Page, PageBytes};
use crate::format::files::key::Key;

impl<B: PageBytes> Page<B> {
    /// Whether something that takes `bytes` besides its slot has room under each of `keys`.
    pub fn has_room(&self, keys: &[Key], bytes: usize) -> bool {
        let slot_bytes = self.frame_with(keys).width() + PLACE_BYTES;
        let slots = self.slots + keys.len();
        slots * slot_bytes + self.value_bytes() + bytes <= self.capacity_bytes()
    }

    /// How many bytes the slots and values of this page and of `next` take in one.
    pub fn bytes_with(&self, next: &Page<B>) -> usize {
        let slot_bytes = self.frame.union(next.frame).width() + PLACE_BYTES;
        (self.slots + next.slots) * slot_bytes + self.value_bytes() + next.value_bytes()
    }

    /// Puts something before slot `at`. The caller has seen that there is room, and keeps the
    /// order.
    pub fn insert(&mut self, at: usize, key: Key, held: Held<'_>) {
        assert!(self.has_room(&[key], held.bytes()), "a page is split before it overflows");
        let frame = self.frame_with(&[key]);
        let slots_end = self.slot_offset(self.slots + 1);
        if frame != self.frame || self.values < slots_end + held.bytes() {
            self.rebuild(frame);
        }
        let start = self.slot_offset(at);
        let end = self.slot_offset(self.slots);
        let (width, slot_bytes) = (self.frame.width(), self.slot_bytes());
        let bytes = self.bytes.own();
        bytes.copy_within(start..end, start + slot_bytes);
        self.frame.write_part(key, &mut bytes[start..start + width]);
        self.slots += 1;
        match held {
            Held::Value(value) => {
                self.values -= value.len();
                let start = self.values;
                self.bytes.own()[start..start + value.len()].copy_from_slice(value);
                self.write_place(at, start, value.len());
            }
            Held::Page(number) => self.set_child(at, number),
        }
    }

    /// Points a slot at another page.
    pub fn set_child(&mut self, slot: usize, child: u32) {
        let at = self.slot_offset(slot) + self.frame.width();
        self.bytes.own()[at..at + PLACE_BYTES].copy_from_slice(&child.to_le_bytes());
    }

    /// Writes a value of the same length over that of a slot; false where the lengths differ.
    pub fn overwrite(&mut self, slot: usize, value: &[u8]) -> bool {
        let (start, length) = self.value_place(slot);
        if length != value.len() {
            return false;
        }
        self.bytes.own()[start..start + length].copy_from_slice(value);
        true
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: usize) {
        if self.level == 0 {
            let (start, length) = self.value_place(slot);
            if start == self.values {
                self.values += length;
            } else {
                self.unused += length;
            }
        }
        let at = self.slot_offset(slot);
        let end = self.slot_offset(self.slots);
        let next = at + self.slot_bytes();
        self.bytes.own().copy_within(next..end, at);
        self.slots -= 1;
    }

    /// Takes the slots from `at` on into a new page `number` of the same level.
    #[must_use]
    pub fn split_off(&mut self, at: usize, number: u32) -> Page<B> {
        let right = self.part_of(at..self.slots, number);
        *self = self.part_of(0..at, self.number);
        right
    }

    /// Takes over all slots of `next`, whose keys are above: the caller has seen that they fit.
    pub fn append_all(&mut self, next: &Page<B>) {
        self.rebuild(self.frame.union(next.frame));
        self.append_slots(next, 0..next.slots);
    }

    /// This page and `next`, whose keys are above, with slots moved so that both hold about as
    /// much; none where one would have no room for them.
    pub fn evened(&self, next: &Page<B>) -> Option<(Page<B>, Page<B>)> {
        let half = usize::midpoint(self.used_bytes(), next.used_bytes());
        // How many slots stay in this page, and how many of the next one come to it.
        let kept = self.first_slots(half).max(1);
        let taken = next.first_slots(half.saturating_sub(self.used_bytes()));
        let left = match taken {
            0 => self.part_of(0..kept, self.number),
            _ => self.with_all(&next.part_of(0..taken, next.number))?,
        };
        let right = match taken {
            0 => self.part_of(kept..self.slots, next.number).with_all(next)?,
            _ => next.part_of(taken..next.slots, next.number),
        };
        (!right.is_empty()).then_some((left, right))
    }

    /// How many slots from the first on take `bytes` bytes at most.
    fn first_slots(&self, bytes: usize) -> usize {
        let mut sum = 0;
        (0..self.slots)
            .take_while(|&slot| {
                sum += self.slot_bytes() + self.held(slot).bytes();
                sum <= bytes
            })
            .count()
    }

    /// This page with all slots of `next`, if they fit.
    fn with_all(&self, next: &Page<B>) -> Option<Page<B>> {
        (self.bytes_with(next) <= self.capacity_bytes()).then(|| {
            let mut both = self.part_of(0..self.slots, self.number);
            both.append_all(next);
            both
        })
    }

    /// A page `number` that holds some of the slots of this one, in as little room as they need.
    fn part_of(&self, slots: Range<usize>, number: u32) -> Page<B> {
        let mut page = Page::empty(self.bytes().len(), number, self.level);
        page.frame = KeyFrame::of(slots.clone().map(|slot| self.key(slot)));
        page.append_slots(self, slots);
        page
    }

    fn append_slots(&mut self, from: &Page<B>, slots: Range<usize>) {
        for slot in slots {
            self.insert(self.slots, from.key(slot), from.held(slot));
        }
    }

    /// Writes all anew in a wider frame, without the unused bytes between values.
    fn rebuild(&mut self, frame: KeyFrame) {
        let mut tidy = Page::empty(self.bytes().len(), self.number, self.level);
        tidy.frame = frame;
        tidy.append_slots(self, 0..self.slots);
        *self = tidy;
    }

    fn frame_with(&self, keys: &[Key]) -> KeyFrame {
        // The frame of a page that has just been made stands already; one that was emptied has
        // nothing to keep.
        match self.slots {
            0 if keys.iter().any(|&key| self.frame.with(key) != self.frame) => {
                KeyFrame::of(keys.iter().copied())
            }
            _ => keys.iter().fold(self.frame, |frame, &key| frame.with(key)),
        }
    }

    fn write_place(&mut self, slot: usize, start: usize, length: usize) {
        // A value without bytes lies nowhere: its place must still be inside the page.
        let start = if length == 0 { 0 } else { start as u16 };
        let at = self.slot_offset(slot) + self.frame.width();
        let place = &mut self.bytes.own()[at..at + PLACE_BYTES];
        place[..2].copy_from_slice(&start.to_le_bytes());
        place[2..].copy_from_slice(&(length as u16).to_le_bytes());
    }
}
