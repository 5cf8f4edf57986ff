//! A buffer for each worker thread: what a reply carries is read into it, and it is kept.

use std::cell::RefCell;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Calls `with` with a buffer of `length` bytes, whose content is whatever was in it before.
///
/// Not to be called from within `with`.
pub fn with_buffer<T>(length: usize, with: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.len() < length {
            // Zeros from the host, which come when they are touched: mostly never.
            *buffer = vec![0; length];
        }
        with(&mut buffer[..length])
    })
}
