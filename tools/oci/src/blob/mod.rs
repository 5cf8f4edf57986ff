//! Blobs: bytes that go by their digest.

mod compress;
mod compression;
mod decompress;
mod digesting;
mod verify;

pub use compress::compress;
pub use compression::{Compression, compression_of_bytes};
pub use decompress::decompress;
pub use digesting::Digesting;
pub use verify::Verifying;
