//! Writing with an eye on what it comes to.

use std::io::{self, Write};

use sha2::Digest;

use crate::Sha256;

/// An output whose bytes are counted and hashed.
pub struct Digesting<W> {
    output: W,
    hasher: sha2::Sha256,
    bytes: u64,
}

impl<W: Write> Digesting<W> {
    /// Of what is written into `output` from now on.
    pub fn new(output: W) -> Digesting<W> {
        Digesting { output, hasher: sha2::Sha256::new(), bytes: 0 }
    }

    /// The digest of all that was written, and how many bytes it was.
    pub fn finish(self) -> (Sha256, u64) {
        (Sha256(self.hasher.finalize().into()), self.bytes)
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
