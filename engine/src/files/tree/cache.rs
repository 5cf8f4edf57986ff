//! Pages as they are in the volume, verified, a bounded number of them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::PageMap;
use crate::format::files::Page;

/// How many locks the pages are spread over.
const SHARDS: usize = 16;

/// Clean pages. What has to go is chosen by a hand that goes round and spares what was asked
/// for since it last came by.
#[derive(Debug)]
pub struct PageCache {
    shards: Vec<Mutex<Shard>>,
    /// How many pages a shard holds at most.
    pages_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    pages: PageMap,
    /// The numbers of `pages`, with whether they were asked for lately.
    ring: Vec<(u32, bool)>,
    hand: usize,
    /// Where each number stands in `ring`.
    places:
        std::collections::HashMap<u32, usize, std::hash::BuildHasherDefault<super::NumberHasher>>,
}

impl PageCache {
    /// A cache of at most `bytes` in pages of `page_bytes`.
    pub fn new(bytes: u64, page_bytes: usize) -> PageCache {
        let pages_max = (bytes as usize / page_bytes / SHARDS).max(4);
        PageCache { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), pages_max }
    }

    /// The page, if it is here.
    pub fn get(&self, number: u32) -> Option<Arc<Page>> {
        let mut shard = self.shard(number).lock();
        let page = Arc::clone(shard.pages.get(&number)?);
        let place = shard.places[&number];
        shard.ring[place].1 = true;
        Some(page)
    }

    /// Keeps a page, in place of one that was not asked for lately.
    pub fn put(&self, page: Arc<Page>) {
        let number = page.number();
        let mut guard = self.shard(number).lock();
        let shard = &mut *guard;
        if shard.pages.insert(number, page).is_some() {
            return;
        }
        if shard.ring.len() < self.pages_max {
            shard.places.insert(number, shard.ring.len());
            shard.ring.push((number, false));
            return;
        }
        while std::mem::take(&mut shard.ring[shard.hand].1) {
            shard.hand = (shard.hand + 1) % shard.ring.len();
        }
        let (old, _) = std::mem::replace(&mut shard.ring[shard.hand], (number, false));
        shard.pages.remove(&old);
        shard.places.remove(&old);
        shard.places.insert(number, shard.hand);
        shard.hand = (shard.hand + 1) % shard.ring.len();
    }

    /// Forgets a page: it is about to be changed.
    pub fn remove(&self, number: u32) {
        let mut guard = self.shard(number).lock();
        let shard = &mut *guard;
        if shard.pages.remove(&number).is_none() {
            return;
        }
        let place = shard.places.remove(&number).expect("each page has a place in the ring");
        shard.ring.swap_remove(place);
        if let Some(&(moved, _)) = shard.ring.get(place) {
            shard.places.insert(moved, place);
        }
        if shard.hand >= shard.ring.len() {
            shard.hand = 0;
        }
    }

    /// Forgets all pages.
    pub fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    fn shard(&self, number: u32) -> &Mutex<Shard> {
        &self.shards[number as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_is_asked_for() {
        let cache = PageCache::new(64 * 4096, 4096);
        for number in 1..1000 {
            cache.put(Arc::new(Page::empty(4096, number, 0)));
            assert!(number < 16 || cache.get(16).is_some(), "asked for each time");
            if number % 3 == 0 && number != 16 {
                cache.remove(number);
                assert!(cache.get(number).is_none());
            }
        }
        let held = (1..1000).filter(|&number| cache.get(number).is_some()).count();
        assert!((16..=64).contains(&held), "{held}");
        cache.clear();
        assert!(cache.get(16).is_none());
    }
}
