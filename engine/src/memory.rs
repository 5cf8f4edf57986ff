//! Memory for what a file says it holds: more than there is is an error, and not the end of the
//! process (INV-05).

use std::io;

/// `count` times `item`. The count may be what a file says.
///
/// Errors: [`io::ErrorKind::OutOfMemory`].
pub fn filled<T: Clone>(count: usize, item: T) -> io::Result<Vec<T>> {
    let mut items = Vec::new();
    items.try_reserve_exact(count).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    items.resize(count, item);
    Ok(items)
}

/// `length` zeros to read into.
///
/// Errors: as [`filled`].
pub fn buffer_of(length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length);
    filled(length.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_memory_for_is_an_error() {
        assert_eq!(filled(3, 7_u64).unwrap(), [7; 3]);
        assert_eq!(buffer_of(3).unwrap(), [0; 3]);
        for length in [1 << 60, u64::MAX] {
            assert_eq!(buffer_of(length).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
