//! Telling a forked child from its parent.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
static REGISTERED: Once = Once::new();

extern "C" fn in_child() {
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
        let status = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(status, 0, "out of memory while registering for fork");
    });
    GENERATION.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_another_generation() {
        let before = fork_generation();
        // SAFETY: the child calls only what is async-signal-safe, then _exit.
        let status = unsafe {
            let child = libc::fork();
            assert!(child >= 0, "fork failed");
            if child == 0 {
                libc::_exit(i32::from(fork_generation() != before));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            status
        };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
        assert_eq!(fork_generation(), before, "the parent keeps its own");
    }
}
