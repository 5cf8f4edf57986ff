//! Pages as they are in the volume, verified, as many as a bound on their memory allows.
//!
//! What frozen layers hold is shared, where it lies: such a page costs what is known of it,
//! not its bytes, and the pages of a large tree stay here once they were walked through.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{NumberMap, Page};

/// How many locks the pages are spread over.
const SHARDS: usize = 16;
/// What a page takes besides its bytes: itself with its count, and its places in map and ring.
const PAGE_OVERHEAD_BYTES: usize = size_of::<Page>() + 2 * size_of::<Kept>() + 32;
/// How many pages a shard keeps whatever its bound says.
const SHARD_PAGES_MIN: usize = 4;

/// Clean pages. What has to go is chosen by a hand that goes round and spares what was asked
/// for since it last came by.
#[derive(Debug)]
pub struct PageCache {
    shards: Vec<Mutex<Shard>>,
    /// How much memory a shard takes at most.
    shard_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    pages: NumberMap<Kept>,
    bytes: usize,
    /// The numbers of `pages`, round which the hand goes.
    ring: Vec<u32>,
    hand: usize,
}

/// A page, with all that is known of it in one place: of many pages none is in the CPU's caches.
#[derive(Debug)]
struct Kept {
    page: Arc<Page>,
    /// Where its number stands in the ring.
    place: u32,
    /// Whether it was asked for since the hand last came by.
    is_wanted: bool,
}

impl PageCache {
    /// A cache of at most `bytes` of memory.
    pub fn new(bytes: u64) -> PageCache {
        let shard_bytes_max = bytes as usize / SHARDS;
        PageCache { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), shard_bytes_max }
    }

    /// The page, if it is here.
    pub fn get(&self, number: u32) -> Option<Arc<Page>> {
        let mut shard = self.shard(number).lock();
        let kept = shard.pages.get_mut(&number)?;
        kept.is_wanted = true;
        Some(Arc::clone(&kept.page))
    }

    /// Keeps a page, in place of some that were not asked for lately.
    pub fn put(&self, page: Arc<Page>) {
        let number = page.number();
        let mut shard = self.shard(number).lock();
        shard.remove(number);
        shard.bytes += cost(&page);
        while shard.bytes > self.shard_bytes_max && shard.ring.len() >= SHARD_PAGES_MIN {
            shard.move_hand();
        }
        let place = shard.ring.len() as u32;
        shard.ring.push(number);
        shard.pages.insert(number, Kept { page, place, is_wanted: false });
    }

    /// Forgets a page: it is about to be changed.
    pub fn remove(&self, number: u32) {
        self.shard(number).lock().remove(number);
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

impl Shard {
    /// Spares the page at the hand, or lets it go.
    fn move_hand(&mut self) {
        let number = self.ring[self.hand];
        let kept = self.pages.get_mut(&number).expect("each place in the ring is that of a page");
        match std::mem::take(&mut kept.is_wanted) {
            true => self.hand = (self.hand + 1) % self.ring.len(),
            false => self.remove(number),
        }
    }

    fn remove(&mut self, number: u32) {
        let Some(Kept { page, place, .. }) = self.pages.remove(&number) else { return };
        self.bytes -= cost(&page);
        self.ring.swap_remove(place as usize);
        if let Some(moved) = self.ring.get(place as usize) {
            let kept = self.pages.get_mut(moved).expect("each place in the ring is that of a page");
            kept.place = place;
        }
        if self.hand >= self.ring.len() {
            self.hand = 0;
        }
    }
}

fn cost(page: &Page) -> usize {
    page.holder().heap_bytes() + PAGE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_keeps_what_is_asked_for() {
        let cache = PageCache::new(64 * (4096 + PAGE_OVERHEAD_BYTES) as u64);
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
