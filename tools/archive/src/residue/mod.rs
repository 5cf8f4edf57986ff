//! What a layer's tar holds beyond its tree, kept so that the very same bytes can be had again.
//!
//! Headers, order, padding, the end and what follows it go into an attachment, compressed, in the
//! order of the stream. Contents of files are not kept twice: the stream goes on in the files, in
//! the order of a second attachment, which lists inodes and lengths.

mod record;
mod replay;

pub use record::Recorder;
pub use replay::export_residue;

/// The attachment with all bytes but the contents of files: frames of a 32-bit head and bytes,
/// compressed with zstd. The head is the number of bytes, shifted left by one; its lowest bit says
/// that the content of the next file of the list follows.
const RESIDUE: &[u8] = b"tar-residue";
/// The attachment that lists the contents: 32 bits of inode and 64 of length each.
const CONTENTS: &[u8] = b"tar-residue-contents";
/// How attachments begin that hold contents which the layer itself replaced.
const REPLACED_PREFIX: &str = "tar-residue-replaced-";
/// The longest frame in bytes.
const FRAME_BYTES_MAX: usize = 64 << 10;
