//! The metadata tree: a B+tree whose pages are blocks of inode 0.
//!
//! Readers walk it through [`Pages`]; [`Tree`] holds what was changed since the last time it was
//! written, and changes it in transactions that are done whole or not at all.

mod allocate;
mod bytes;
mod cache;
mod change;
mod pages;
mod space;
#[cfg(test)]
mod tests;
mod write_out;

pub(super) use cache::PageCache;
pub(super) use change::{Change, Tree};
pub(super) use pages::Pages;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytes::TreeBytes;

/// A page in memory.
pub(super) type Page = crate::format::files::Page<TreeBytes>;

/// Pages by number.
pub(super) type PageMap = NumberMap<Arc<Page>>;

/// What belongs to numbers of pages.
pub(super) type NumberMap<T> = HashMap<u32, T, BuildHasherDefault<NumberHasher>>;

/// Spreads page numbers, which whoever makes up a tree gains nothing by choosing: a map of them
/// is bounded.
#[derive(Debug, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        let mixed = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}
