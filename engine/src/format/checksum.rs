//! Checksums that cover where bytes belong, not only what they are.

use crate::units::{FileBlock, LayerId};

/// The CRC-32 of a data block: layer and block number first, then the data, so that
/// a block read from the wrong place or the wrong file does not verify.
pub fn of_block(layer: LayerId, block: FileBlock, data: &[u8]) -> u32 {
    let mut seed = [0; 24];
    seed[..16].copy_from_slice(&layer.0);
    seed[16..].copy_from_slice(&block.0.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seed);
    hasher.update(data);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_elsewhere_have_another_checksum() {
        let of = |layer, block| of_block(LayerId([layer; 16]), FileBlock(block), &[7; 4096]);
        assert_ne!(of(1, 2), of(1, 3));
        assert_ne!(of(1, 2), of(2, 2));
    }
}
