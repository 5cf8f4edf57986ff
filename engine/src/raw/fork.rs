//! Telling a forked child from its parent.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTERED: Once = Once::new();

extern "C" fn count_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// A number that is another one in a forked child: a handle remembers it when it
/// is made, and refuses to work where it no longer matches. A child shares the
/// locks of its parent, so two writers would not see each other.
///
/// Costs two loads. The first call of a process registers the counter.
pub fn fork_generation() -> u32 {
    REGISTERED.call_once(|| {
        // SAFETY: the callback only adds to an atomic, which is allowed after fork.
        let status = unsafe { libc::pthread_atfork(None, None, Some(count_child)) };
        assert_eq!(status, 0, "out of memory while registering for fork");
    });
    GENERATION.load(Ordering::Relaxed)
}

/// Runs `work` in a forked child; whether it came to an end there and said yes.
#[cfg(test)]
pub(crate) fn in_child(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child has a copy of this thread alone, and the C library takes its own locks over a
    // fork. It runs `work`, whose other locks nobody holds, and leaves without running anything else.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork failed");
        if child == 0 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            libc::_exit(i32::from(!matches!(outcome, Ok(true))));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_another_generation() {
        let before = fork_generation();
        assert!(in_child(|| fork_generation() != before));
        assert!(!in_child(|| fork_generation() == before));
        assert_eq!(fork_generation(), before, "the parent keeps its own");
    }
}
