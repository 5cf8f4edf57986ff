//! Which reads are under way: a freed block is handed out again when every read that began
//! before has ended (INV-01).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Stripes of counters, so that readers on several cores do not share a cache line.
const STRIPES: usize = 16;

/// Counts reads by epoch. What was freed in epoch `e` is free for all in epoch `e + 2`.
#[derive(Debug, Default)]
pub struct Epochs {
    current: AtomicU64,
    active: [[Stripe; STRIPES]; 2],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

/// A read under way, borrowed.
#[derive(Debug)]
pub struct Pin<'a> {
    epochs: &'a Epochs,
    ticket: Ticket,
}

/// A read (or a write of blocks) under way, owned.
#[derive(Debug)]
pub struct OwnedPin {
    epochs: Arc<Epochs>,
    ticket: Ticket,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    parity: usize,
    stripe: usize,
}

impl Epochs {
    /// Marks a read as under way until the pin is dropped. Taken before the maps are looked at.
    pub fn pin(&self) -> Pin<'_> {
        Pin { epochs: self, ticket: self.enter() }
    }

    /// As [`Epochs::pin`], for as long as the owner lives.
    pub fn pin_owned(self: &Arc<Self>) -> OwnedPin {
        OwnedPin { ticket: self.enter(), epochs: Arc::clone(self) }
    }

    /// The epoch in which something is freed now.
    pub fn current(&self) -> u64 {
        self.current.load(Ordering::SeqCst)
    }

    /// Moves on where no read of the epoch before is under way; gives the current epoch.
    pub fn advance(&self) -> u64 {
        let current = self.current.load(Ordering::SeqCst);
        let before = &self.active[(current as usize + 1) % 2];
        if before.iter().all(|stripe| stripe.0.load(Ordering::SeqCst) == 0) {
            // Callers hold the allocator: nobody else moves the epoch.
            self.current.store(current + 1, Ordering::SeqCst);
            return current + 1;
        }
        current
    }

    fn enter(&self) -> Ticket {
        let stripe = stripe_of_thread();
        loop {
            let epoch = self.current.load(Ordering::SeqCst);
            let parity = epoch as usize % 2;
            self.active[parity][stripe].0.fetch_add(1, Ordering::SeqCst);
            if self.current.load(Ordering::SeqCst) == epoch {
                return Ticket { parity, stripe };
            }
            self.active[parity][stripe].0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn leave(&self, ticket: Ticket) {
        self.active[ticket.parity][ticket.stripe].0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.epochs.leave(self.ticket);
    }
}

impl Drop for OwnedPin {
    fn drop(&mut self) {
        self.epochs.leave(self.ticket);
    }
}

fn stripe_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    }
    STRIPE.with(|stripe| *stripe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_waits_for_the_reads_of_the_one_before() {
        let epochs = Arc::new(Epochs::default());
        let freed = epochs.current();
        let pin = epochs.pin_owned();
        assert_eq!(epochs.advance(), freed + 1, "nobody reads in the epoch before");
        assert_eq!(epochs.advance(), freed + 1, "the pinned read holds the next step back");
        let later = epochs.pin();
        assert_eq!(epochs.advance(), freed + 1);
        drop(pin);
        assert_eq!(epochs.advance(), freed + 2, "a later read does not");
        drop(later);
    }
}
