//! Tar streams, read strictly and written in one fixed form.
//!
//! The layout of a header is that of the crate `tar`. Framing is done here, because that crate
//! splits PAX records at newlines (a capability or an ACL may hold one), reads extensions of any
//! length into memory, drops the upper bytes of large numbers, and knows neither global headers
//! nor the sparse files that GNU tar writes in PAX form.
//!
//! Readers of tar disagree with each other where an archive disagrees with itself, and that is
//! how things are smuggled past checks. So what has two readings is refused: a size that two
//! places tell differently, a record that is not whole, a key that comes twice, content where
//! there can be none, bytes behind the end.

mod acl;
mod encoding;
mod extension;
mod member;
mod number;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;

use sapwood::Error;

pub use member::{Attribute, Member, MemberKind};
pub use reader::{Chunk, Observer, TarReader, as_path};
pub use sparse::Segment;
pub use writer::TarWriter;

/// The unit of a tar stream in bytes.
pub const RECORD_BYTES: usize = 512;
/// The longest extension that is read: it stands in memory as a whole. Far more than all the
/// attributes that a host lets a file have.
pub const EXTENSION_BYTES_MAX: u64 = 16 << 20;

/// What every error of a stream that cannot be read begins with.
const OPERATION: &str = "read a tar stream";

/// The archive says something that cannot be, or that has two readings.
fn malformed(field: &'static str, found: impl fmt::Display, expected: impl fmt::Display) -> Error {
    Error::invalid(OPERATION, field, found, expected)
}

/// What is no tar at all was given.
fn no_tar() -> Error {
    malformed("stream", "something else", "a tar, which begins with the header of a file")
}

/// Bytes of an archive as people may see them.
fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let rest = if cut.len() < bytes.len() { "..." } else { "" };
    format!("\"{}{rest}\"", cut.escape_ascii())
}

/// How many bytes follow `length` up to the next record.
fn padding(length: u64) -> u64 {
    length.next_multiple_of(RECORD_BYTES as u64) - length
}
