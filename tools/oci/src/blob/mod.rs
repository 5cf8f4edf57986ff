//! Blobs: bytes that go by their digest.

mod compress;
mod digesting;

use oci_spec::image::MediaType;

pub use compress::compress;
pub use digesting::Digesting;

/// How the tar of a layer is compressed in a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// As everybody reads it.
    #[default]
    Gzip,
    /// Smaller and faster, for newer readers.
    Zstd,
}

impl Compression {
    /// The media type of a layer that is compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        }
    }
}
