//! Numbers of devices, as Linux packs major and minor into 32 bits.

use sapwood::{Error, Result};

/// The first major number that 12 bits cannot say.
const MAJOR_END: u32 = 1 << 12;
/// The first minor number that 20 bits cannot say.
const MINOR_END: u32 = 1 << 20;

/// The packed number.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for numbers that Linux does not have.
pub fn pack(major: u32, minor: u32) -> Result<u32> {
    if major >= MAJOR_END || minor >= MINOR_END {
        let found = format!("{major}:{minor}");
        let expected = "a major number of 12 bits and a minor one of 20";
        return Err(Error::invalid("take over a device", "number", found, expected));
    }
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

/// Major and minor number.
pub fn unpack(device: u32) -> (u32, u32) {
    (device >> 8 & (MAJOR_END - 1), device & 0xff | device >> 12 & !0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_larger_ones_are_refused() {
        for (major, minor) in [(0, 0), (1, 3), (8, 255), (8, 256), (4095, (1 << 20) - 1)] {
            assert_eq!(unpack(pack(major, minor).unwrap()), (major, minor));
        }
        assert_eq!(pack(8, 1).unwrap(), 0x801);
        assert!(pack(4096, 0).is_err() && pack(0, 1 << 20).is_err());
    }
}
