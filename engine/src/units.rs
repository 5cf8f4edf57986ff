//! Newtypes for what must not be mixed up, and the named limits.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The unit of all metadata in a layer file, in bytes, whatever the block size.
pub const PAGE_BYTES: u64 = 4096;

/// The first address past the address space: ends of extents still fit in 64 bits.
pub const ADDRESS_END: u64 = u64::MAX;

/// The largest size of a disk in bytes: offsets stay representable in an `i64`.
pub const VOLUME_BYTES_MAX: u64 = 1 << 63;

/// The logical number of a block in a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockAddress(pub u64);

impl BlockAddress {
    /// The address `blocks` further on, clipped to the end of the address space.
    pub fn saturating_add(self, blocks: u64) -> BlockAddress {
        BlockAddress(self.0.saturating_add(blocks))
    }
}

impl fmt::Display for BlockAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of a block inside one layer file: it lies at byte `number * block size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileBlock(pub u64);

impl FileBlock {
    /// The byte offset of the block in its file.
    pub fn byte_offset(self, block_size: BlockSize) -> u64 {
        self.0 << block_size.log2()
    }

    /// As [`FileBlock::byte_offset`], for a number that came from a file: `None` where it overflows.
    pub fn byte_offset_checked(self, block_size: BlockSize) -> Option<u64> {
        self.0.checked_mul(block_size.bytes())
    }
}

impl fmt::Display for FileBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of a source in a table of sources; [`SourceIndex::OWN`] is the file itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceIndex(pub u32);

impl SourceIndex {
    /// The layer file that holds the map.
    pub const OWN: SourceIndex = SourceIndex(0);
}

/// The size of a block: a power of two from 4 KiB to 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 4 KiB, the default and the smallest.
    pub const DEFAULT: BlockSize = BlockSize(12);
    /// 64 KiB, the largest.
    pub const MAX: BlockSize = BlockSize(16);

    /// The block size of `bytes`, a power of two from 4,096 to 65,536.
    pub fn from_bytes(bytes: u64) -> Result<BlockSize> {
        if bytes.is_power_of_two() && (1 << 12..=1 << 16).contains(&bytes) {
            Ok(BlockSize(bytes.trailing_zeros() as u8))
        } else {
            Err(Error::invalid("block size", "bytes", bytes, "a power of two from 4096 to 65536"))
        }
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        1 << self.0
    }

    /// The size in bytes, for lengths of buffers.
    pub fn bytes_usize(self) -> usize {
        1 << self.0
    }

    /// The logarithm of the size to the base 2.
    pub fn log2(self) -> u32 {
        u32::from(self.0)
    }

    /// How many blocks hold `bytes`, the last one perhaps in part.
    pub fn blocks_for(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.bytes())
    }
}

impl Default for BlockSize {
    fn default() -> BlockSize {
        BlockSize::DEFAULT
    }
}

/// The identity of a layer: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub [u8; 16]);

impl LayerId {
    /// A fresh identity from the host's random source.
    pub fn random() -> Result<LayerId> {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            let got = rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            )
            .map_err(|error| Error::io("draw a layer id", error.into()))?;
            filled += got;
        }
        Ok(LayerId(bytes))
    }
}

/// The BLAKE3 digest of a layer's content, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

macro_rules! hexadecimal {
    ($name:ident, $bytes:literal, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name> {
                let bad = || Error::invalid($what, "text", format!("{text:?}"), $what);
                let digits = text.as_bytes();
                if digits.len() != 2 * $bytes {
                    return Err(bad());
                }
                let mut bytes = [0; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let value = |digit: u8| match digit {
                        b'0'..=b'9' => Ok(digit - b'0'),
                        b'a'..=b'f' => Ok(digit - b'a' + 10),
                        _ => Err(bad()),
                    };
                    *byte = value(pair[0])? << 4 | value(pair[1])?;
                }
                Ok($name(bytes))
            }
        }
    };
}

hexadecimal!(LayerId, 16, "a layer id of 32 lower-case hexadecimal digits");
hexadecimal!(Digest, 32, "a digest of 64 lower-case hexadecimal digits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_digests_read_back_what_they_print() {
        let id = LayerId::random().unwrap();
        assert_eq!(id.to_string().parse::<LayerId>().unwrap(), id);
        let digest = Digest([0xa5; 32]);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        for bad in ["", "a5", &"A5".repeat(16), &"é".repeat(16), &"a5".repeat(17)] {
            assert!(bad.parse::<LayerId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn block_sizes_are_powers_of_two_from_4_to_64_kib() {
        for bytes in [4096, 8192, 16384, 32768, 65536] {
            assert_eq!(BlockSize::from_bytes(bytes).unwrap().bytes(), bytes);
        }
        for bytes in [0, 1, 512, 2048, 4095, 4097, 12288, 131_072, u64::MAX] {
            assert!(BlockSize::from_bytes(bytes).is_err(), "{bytes}");
        }
    }
}
