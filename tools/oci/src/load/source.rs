//! Where the blobs of an image come from, and small ones read whole.

use std::io::Read;

use oci_spec::image::Descriptor;
use sapwood::{Error, Result};

use crate::Sha256;
use crate::blob::Verifying;

/// Where the blobs of an image come from. Nothing that it gives is trusted.
pub trait ImageSource: Sync {
    /// The bytes of a blob.
    ///
    /// Errors: [`NotFound`](sapwood::ErrorKind::NotFound) where there is none.
    fn open_blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>>;

    /// Whether what comes with the layers says how their tars end: a digest that was not made of the very bytes
    /// that are read here.
    fn knows_digests(&self) -> bool {
        true
    }

    /// A label, beside the usual ones, for the layer that comes of a blob; its name and its value.
    fn label(&self, _layer: &Descriptor) -> Option<(String, String)> {
        None
    }
}

/// Reads a blob whole, which is expected to be small, and verifies it.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for a larger one;
/// [`Corrupt`](sapwood::ErrorKind::Corrupt) where it is not what the descriptor says.
pub fn read_small(
    source: &dyn ImageSource,
    descriptor: &Descriptor,
    what: &'static str,
    bytes_max: u64,
) -> Result<Vec<u8>> {
    let digest = digest_of(descriptor)?;
    let bytes = descriptor.size();
    if bytes > bytes_max {
        let found = format!("{bytes} bytes of a {what}");
        let expected = format!("at most {bytes_max} bytes");
        return Err(
            Error::invalid("read a blob", "size", found, expected).in_file(digest.to_string())
        );
    }
    let mut blob = Verifying::new(source.open_blob(descriptor)?, digest, bytes);
    let mut content = Vec::new();
    // What went wrong is told at the end.
    let _ = blob.read_to_end(&mut content);
    blob.finish()?;
    Ok(content)
}

/// The digest of a descriptor, checked: it may become the name of a file.
pub fn digest_of(descriptor: &Descriptor) -> Result<Sha256> {
    descriptor.digest().to_string().parse()
}
