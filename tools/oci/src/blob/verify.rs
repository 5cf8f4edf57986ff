//! Reading a blob, and telling whether it is the one that was asked for.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sapwood::{Error, Result};
use sha2::Digest;

use crate::Sha256;

/// How much is read at once where nobody wants it.
const REST_BYTES: usize = 64 << 10;

/// How many bytes of a blob were read; it can be asked while somebody reads.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// The number of bytes.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reads a blob, and tells at its end whether it is the one that was asked for: what was read
/// before counts for nothing until then.
pub struct Verifying<R> {
    input: R,
    digest: Sha256,
    bytes: u64,
    hasher: sha2::Sha256,
    read_bytes: Count,
    is_verified: bool,
    failure: Option<Error>,
}

impl<R: Read> Verifying<R> {
    /// Of a blob with this digest, of so many bytes.
    pub fn new(input: R, digest: Sha256, bytes: u64) -> Verifying<R> {
        let (hasher, read_bytes) = (sha2::Sha256::new(), Count::default());
        Verifying { input, digest, bytes, hasher, read_bytes, is_verified: false, failure: None }
    }

    /// How many bytes were read, from now on.
    pub fn count(&self) -> Count {
        self.read_bytes.clone()
    }

    /// That all of it was read, and was right; who reads it gets an [`io::Error`] and finds the
    /// reason here.
    ///
    /// Errors: [`Corrupt`](sapwood::ErrorKind::Corrupt) for another blob; what the input says.
    pub fn finish(mut self) -> Result<()> {
        if self.is_verified || self.failure.is_some() {
            return self.verify_rest();
        }
        // What was made of it ended before it did: the rest has to be nothing.
        let at = self.read_bytes.get();
        match self.next(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let error = wrong("blob", "bytes behind the end of what is compressed", "none");
                Err(error.at_offset(at).in_file(self.digest.to_string()))
            }
            Err(failure) => Err(failure.in_file(self.digest.to_string())),
        }
    }

    /// Reads what is left; that it was right all in all.
    ///
    /// Errors: as [`finish`](Verifying::finish), but for what is left itself.
    pub fn verify_rest(mut self) -> Result<()> {
        let mut rest = vec![0; if self.is_verified { 0 } else { REST_BYTES }];
        while self.failure.is_none() && !self.is_verified {
            if let Err(failure) = self.next(&mut rest) {
                self.failure = Some(failure);
            }
        }
        match self.failure.take() {
            Some(failure) => Err(failure.in_file(self.digest.to_string())),
            None => Ok(()),
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = loop {
            match self.input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(told)?,
            }
        };
        let so_far = self.read_bytes.get() + read as u64;
        self.read_bytes.0.store(so_far, Ordering::Relaxed);
        self.hasher.update(&buffer[..read]);
        let expected = || format!("{} bytes", self.bytes);
        if so_far > self.bytes {
            return Err(wrong("size", format!("{so_far} bytes or more"), expected()));
        }
        if read == 0 && !self.is_verified {
            if so_far < self.bytes {
                return Err(wrong("size", format!("{so_far} bytes"), expected()));
            }
            let found = Sha256(self.hasher.clone().finalize().into());
            if found != self.digest {
                return Err(wrong("digest", found, self.digest));
            }
            self.is_verified = true;
        }
        Ok(read)
    }
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.next(buffer).map_err(|failure| {
            self.failure = Some(failure);
            io::Error::other("a blob that is not the one asked for")
        })
    }
}

/// What the input says; an error of ours that came through a reader is that error again.
fn told(error: io::Error) -> Error {
    error.downcast().unwrap_or_else(|error| Error::io("read a blob", error))
}

fn wrong(
    field: &'static str,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Error {
    Error::corrupt("read a blob", field, found, expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], digest: Sha256, size: u64) -> Result<Vec<u8>> {
        let mut blob = Verifying::new(bytes, digest, size);
        let mut all = Vec::new();
        let _ = blob.read_to_end(&mut all);
        blob.finish().map(|()| all)
    }

    #[test]
    fn only_the_blob_that_was_asked_for_is_right() {
        let digest = Sha256::of(b"sapwood");
        assert_eq!(read(b"sapwood", digest, 7).unwrap(), b"sapwood");
        assert_eq!(read(b"", Sha256::of(b""), 0).unwrap(), b"");
        for (bytes, size, said) in [
            (&b"sapwoof"[..], 7, "digest"),
            (b"sapwood", 6, "size"),
            (b"sapwood", 8, "size"),
            (b"", 7, "size"),
        ] {
            let error = read(bytes, digest, size).unwrap_err();
            assert_eq!(error.kind(), sapwood::ErrorKind::Corrupt);
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(&digest.to_string()), "{text}");
        }
    }

    #[test]
    fn what_is_left_over_is_an_error() {
        let digest = Sha256::of(b"sapwood");
        let mut blob = Verifying::new(&b"sapwood"[..], digest, 7);
        blob.read_exact(&mut [0; 3]).unwrap();
        assert!(blob.finish().unwrap_err().to_string().contains("at byte 3"));
        let mut blob = Verifying::new(&b"sapwood"[..], digest, 7);
        blob.read_exact(&mut [0; 7]).unwrap();
        blob.finish().unwrap();
    }
}
