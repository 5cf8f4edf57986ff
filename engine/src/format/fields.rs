//! Fixed-width little-endian fields, written and read in order.

use crate::error::{Error, Result};
use crate::units::{Digest, LayerId};

/// Where the first byte lies that is not zero. Most of a page is reserved: looked at
/// in stretches that the compiler turns into vectors.
pub fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    let (stretches, _) = bytes.as_chunks::<64>();
    let zeros = |stretch: &&[u8; 64]| stretch.iter().fold(0, |any, &byte| any | byte) == 0;
    let start = 64 * stretches.iter().take_while(zeros).count();
    bytes[start..].iter().position(|&byte| byte != 0).map(|at| start + at)
}

/// Appends fields to a structure of a fixed size.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> FieldWriter<'a> {
    /// Writes from the start of `bytes`, which are expected to be zero.
    pub fn new(bytes: &'a mut [u8]) -> FieldWriter<'a> {
        FieldWriter { bytes, at: 0 }
    }

    /// Goes on at `offset`; what is skipped stays as it is.
    pub fn seek(&mut self, offset: usize) -> &mut Self {
        self.at = offset;
        self
    }

    /// Where the next field goes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Raw bytes.
    pub fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.bytes[self.at..self.at + value.len()].copy_from_slice(value);
        self.at += value.len();
        self
    }

    /// An 8-bit integer.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    /// A 16-bit integer.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A 32-bit integer.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A 64-bit integer.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// A layer id.
    pub fn layer_id(&mut self, value: LayerId) -> &mut Self {
        self.raw(&value.0)
    }

    /// A digest; all zero bytes where there is none.
    pub fn digest(&mut self, value: Option<Digest>) -> &mut Self {
        self.raw(&value.map_or([0; 32], |digest| digest.0))
    }
}

/// Reads fields in order; every failure names the structure, the field and the offset.
#[derive(Debug)]
pub struct FieldReader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> FieldReader<'a> {
    /// Reads a structure called `what` from the start of `bytes`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> FieldReader<'a> {
        FieldReader { what, bytes, at: 0 }
    }

    /// Goes on at `offset`.
    pub fn seek(&mut self, offset: usize) -> &mut Self {
        self.at = offset;
        self
    }

    /// Where the next field is.
    pub fn position(&self) -> usize {
        self.at
    }

    /// An error about `field`, which began `width` bytes before the position.
    pub fn bad(
        &self,
        field: &'static str,
        width: usize,
        found: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Error {
        Error::corrupt(format!("read {}", self.what), field, found, expected)
            .at_offset(self.at.saturating_sub(width) as u64)
    }

    /// `width` raw bytes.
    pub fn raw(&mut self, field: &'static str, width: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(width).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            return Err(self.bad(
                field,
                0,
                format!("{} bytes left", self.bytes.len().saturating_sub(self.at)),
                format!("{width} bytes"),
            ));
        };
        let value = &self.bytes[self.at..end];
        self.at = end;
        Ok(value)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        let mut value = [0; N];
        value.copy_from_slice(self.raw(field, N)?);
        Ok(value)
    }

    /// An 8-bit integer.
    pub fn u8(&mut self, field: &'static str) -> Result<u8> {
        Ok(self.array::<1>(field)?[0])
    }

    /// A 16-bit integer.
    pub fn u16(&mut self, field: &'static str) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(field)?))
    }

    /// A 32-bit integer.
    pub fn u32(&mut self, field: &'static str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    /// A 64-bit integer.
    pub fn u64(&mut self, field: &'static str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    /// A layer id.
    pub fn layer_id(&mut self, field: &'static str) -> Result<LayerId> {
        Ok(LayerId(self.array(field)?))
    }

    /// A digest; `None` where all bytes are zero.
    pub fn digest(&mut self, field: &'static str) -> Result<Option<Digest>> {
        let bytes = self.array(field)?;
        Ok((bytes != [0; 32]).then_some(Digest(bytes)))
    }

    /// A value that must be `expected`.
    pub fn expect<T: PartialEq + std::fmt::Display>(
        &self,
        field: &'static str,
        width: usize,
        found: T,
        expected: T,
    ) -> Result<()> {
        if found == expected { Ok(()) } else { Err(self.bad(field, width, found, expected)) }
    }

    /// Reserved bytes up to `end`: written as zeros, and checked.
    pub fn zeros_until(&mut self, field: &'static str, end: usize) -> Result<()> {
        let start = self.at;
        let bytes = self.raw(field, end.saturating_sub(start))?;
        match first_nonzero(bytes) {
            None => Ok(()),
            Some(at) => {
                let found = format!("{:#04x}", bytes[at]);
                self.at = start + at;
                Err(self.bad(field, 0, found, "0x00 (reserved)"))
            }
        }
    }
}
