//! Data blocks against their checksums.

use super::file::InspectedFile;
use super::run::Mapped;
use crate::error::{Error, Result};
use crate::extent::Target;
use crate::format::checksum;
use crate::threads;
use crate::units::{BlockAddress, BlockSize, FileBlock, LayerId, SourceIndex};

/// How much data one thread holds at a time, in bytes.
const PORTION_BYTES: u64 = 1 << 20;

/// The file in which data blocks lie.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// The file with the blocks.
    pub file: &'a InspectedFile,
    /// Its layer: the checksums are seeded with it.
    pub layer: LayerId,
    /// The size of a block.
    pub size: BlockSize,
}

/// A block that does not hold what its checksum says.
#[derive(Debug)]
pub struct BadBlock {
    /// The address that maps it.
    pub address: BlockAddress,
    /// Where it lies.
    pub block: FileBlock,
    /// What is wrong.
    pub error: Error,
}

/// Whether the extent maps blocks of the layer's own file.
pub fn is_own_data(mapped: &Mapped) -> bool {
    matches!(mapped.extent.target, Target::Data { source: SourceIndex::OWN, .. })
}

/// Cuts an extent into portions that one thread verifies at a time.
pub fn portions(mapped: Mapped, size: BlockSize) -> impl Iterator<Item = Mapped> {
    let step = PORTION_BYTES / size.bytes();
    let end = mapped.extent.end();
    let mut at = mapped.extent.start;
    std::iter::from_fn(move || {
        let portion = mapped.clipped(at, at.saturating_add(step).min(end))?;
        at = portion.extent.end();
        Some(portion)
    })
}

impl Blocks<'_> {
    /// Verifies the blocks of `mapped`, whose checksums stand in `checksums_in`.
    pub fn verify_against(
        &self,
        checksums_in: &InspectedFile,
        mapped: &Mapped,
        bad: &mut dyn FnMut(BadBlock),
    ) -> Result<()> {
        for portion in portions(*mapped, self.size) {
            self.verify_portion(checksums_in, &portion, bad)?;
        }
        Ok(())
    }

    /// As [`Blocks::verify_against`], for checksums that stand in the same file.
    pub fn verify(&self, mapped: &Mapped, bad: &mut dyn FnMut(BadBlock)) -> Result<()> {
        self.verify_against(self.file, mapped, bad)
    }

    /// Verifies many portions on all cores; gives what is bad in the order of `portions`.
    pub fn verify_all(
        &self,
        checksums_in: &InspectedFile,
        portions: &[Mapped],
    ) -> Result<Vec<BadBlock>> {
        let found: Result<Vec<Vec<BadBlock>>> = threads::try_map(portions, |portion| {
            let mut bad = Vec::new();
            self.verify_portion(checksums_in, portion, &mut |block| bad.push(block))?;
            Ok(bad)
        });
        Ok(found?.into_iter().flatten().collect())
    }

    fn verify_portion(
        &self,
        checksums_in: &InspectedFile,
        portion: &Mapped,
        bad: &mut dyn FnMut(BadBlock),
    ) -> Result<()> {
        let Target::Data { block: first, .. } = portion.extent.target else { return Ok(()) };
        let count = portion.extent.length;
        let checksums = checksums_in.bytes(portion.checksums_at, 4 * count)?;
        let size = self.size.bytes_usize();
        let whole = first
            .byte_offset_checked(self.size)
            .and_then(|offset| self.file.bytes(offset, count * self.size.bytes()).ok());
        for (index, expected) in (0..count).zip(checksums.chunks_exact(4)) {
            let block = FileBlock(first.0 + index);
            let expected = u32::from_le_bytes(expected.try_into().expect("4 bytes"));
            let found = match &whole {
                Some(bytes) => Ok(checksum::of_block(
                    self.layer,
                    block,
                    &bytes[index as usize * size..][..size],
                )),
                // A read that fails as a whole is tried block by block, to name the one that is bad.
                None => self.checksum_of(block),
            };
            let error = match found {
                Ok(found) if found == expected => continue,
                Ok(found) => {
                    let (found, expected) = (format!("{found:#010x}"), format!("{expected:#010x}"));
                    self.bad(block, "checksum", found, expected)
                }
                Err(error) => error,
            };
            let address = BlockAddress(portion.extent.start.0 + index);
            bad(BadBlock { address, block, error });
        }
        Ok(())
    }

    fn checksum_of(&self, block: FileBlock) -> Result<u32> {
        let Some(offset) = block.byte_offset_checked(self.size) else {
            let expected = format!("inside the file of {} bytes", self.file.length());
            return Err(self.bad(block, "place", format!("block {block}"), expected));
        };
        let bytes = self.file.bytes(offset, self.size.bytes())?;
        Ok(checksum::of_block(self.layer, block, &bytes))
    }

    fn bad(&self, block: FileBlock, field: &'static str, found: String, expected: String) -> Error {
        Error::corrupt("read a data block", field, found, expected)
            .in_file(self.file.path())
            .at_offset(block.0.saturating_mul(self.size.bytes()))
    }
}
