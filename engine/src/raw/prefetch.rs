//! Asking for memory ahead of its use.

/// How many cache lines are asked for: the CPU itself goes on from there.
const LINES: usize = 4;
const LINE_BYTES: usize = 64;

/// Asks the CPU to bring in the first lines of `bytes`, or all where they are few.
#[inline]
pub fn prefetch_start(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE_BYTES).take(LINES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which never faults; the address is that of a byte.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, LINES, LINE_BYTES);
}
