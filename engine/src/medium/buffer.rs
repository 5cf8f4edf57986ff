//! Memory for what a file says it holds.

use std::io;

/// `length` zeros to read into. The length may be what a file says: more than there is memory for is an
/// error (INV-05).
pub fn buffer_of(length: u64) -> io::Result<Vec<u8>> {
    let too_long = || io::Error::from(io::ErrorKind::OutOfMemory);
    let length = usize::try_from(length).map_err(|_| too_long())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| too_long())?;
    bytes.resize(length, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_memory_for_is_an_error() {
        assert_eq!(buffer_of(3).unwrap(), [0; 3]);
        for length in [1 << 60, u64::MAX] {
            assert_eq!(buffer_of(length).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        }
    }
}
