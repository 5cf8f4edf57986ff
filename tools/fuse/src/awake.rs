//! Workers that stay awake for a moment.
//!
//! Who sends one message after the other waits for each answer. Where the server goes to sleep in between,
//! on a CPU of its own, each message first has to wake it, and that takes longer than the message does.
//! So a worker that has answered looks for the next message for a moment, before it waits as others
//! do: where the one before came soon after its predecessor too, and where no other worker looks.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a worker looks: as long as it takes to wake whoever got the answer, and to be asked again.
const LOOK: Duration = Duration::from_micros(50);
/// What comes so soon after an answer belongs to the same work; both ends may have been asleep.
const SOON: Duration = Duration::from_micros(200);
/// Asks, and does not wait.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Whether the workers of a mount stay awake, and until when.
#[derive(Debug)]
pub struct Awake {
    /// Where messages come from; nothing on a machine with one CPU, which others need meanwhile.
    device: OnceLock<OwnedFd>,
    since: Instant,
    /// When the last message was answered, in nanoseconds since then.
    answered: AtomicU64,
    /// Whether a worker looks: one is enough.
    is_looking: AtomicBool,
}

/// A message in the hands of a worker, which looks for the next one when it is done.
pub struct Message<'a> {
    awake: &'a Awake,
    came_soon: bool,
}

impl Awake {
    /// Workers that sleep until [`Awake::watch`].
    pub fn new() -> Awake {
        Awake {
            device: OnceLock::new(),
            since: Instant::now(),
            answered: AtomicU64::new(0),
            is_looking: AtomicBool::new(false),
        }
    }

    /// From now on workers look at `device`.
    pub fn watch(&self, device: OwnedFd) {
        if available_parallelism().is_ok_and(|cpus| cpus.get() > 1) {
            self.device.get_or_init(|| device);
        }
    }

    /// Notes that a message came.
    pub fn message(&self) -> Message<'_> {
        let gap = self.now().saturating_sub(self.answered.load(Ordering::Relaxed));
        Message { awake: self, came_soon: gap < SOON.as_nanos() as u64 }
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }

    /// Looks until there is a message, or a moment has passed.
    fn look(&self) {
        let Some(device) = self.device.get() else { return };
        if self.is_looking.swap(true, Ordering::Acquire) {
            return;
        }
        let until = Instant::now() + LOOK;
        let mut devices = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
        while matches!(poll(&mut devices, Some(&AT_ONCE)), Ok(0)) && Instant::now() < until {}
        self.is_looking.store(false, Ordering::Release);
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        self.awake.answered.store(self.awake.now(), Ordering::Relaxed);
        if self.came_soon {
            self.awake.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    fn watched() -> (Awake, UnixStream) {
        let (device, kernel) = UnixStream::pair().unwrap();
        let awake = Awake::new();
        // Whatever machine this is.
        awake.device.set(device.into()).unwrap();
        (awake, kernel)
    }

    /// How long a worker is kept after a message.
    fn kept(awake: &Awake) -> Duration {
        let message = awake.message();
        let began = Instant::now();
        drop(message);
        began.elapsed()
    }

    #[test]
    fn a_worker_looks_for_a_moment_after_what_came_soon() {
        let (awake, mut kernel) = watched();
        thread::sleep(2 * SOON);
        assert!(!awake.message().came_soon, "the first");
        // A busy machine may keep this thread from being soon.
        assert!((0..1000).any(|_| awake.message().came_soon));
        assert!((0..1000).any(|_| kept(&awake) >= LOOK), "nothing came");
        kernel.write_all(b"message").unwrap();
        assert!((0..1000).any(|_| awake.message().came_soon && kept(&awake) < LOOK), "it is there");
        thread::sleep(2 * SOON);
        assert!(!awake.message().came_soon, "after a pause");
    }

    #[test]
    fn one_worker_looks_and_the_others_sleep() {
        let (awake, _kernel) = watched();
        awake.is_looking.store(true, Ordering::Relaxed);
        assert!((0..1000).any(|_| awake.message().came_soon && kept(&awake) < LOOK));
        assert!(awake.is_looking.load(Ordering::Relaxed), "left to whoever looks");
    }

    #[test]
    fn a_device_that_is_gone_keeps_nobody() {
        let (awake, kernel) = watched();
        drop(kernel);
        assert!((0..1000).any(|_| awake.message().came_soon && kept(&awake) < LOOK));
    }
}
