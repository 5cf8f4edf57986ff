//! The content of a file of a tree, from its first byte to its last.

use sapwood::files::{Attributes, ReadFiles, Seek};
use sapwood::{Error, ErrorKind, Result};

use crate::tar::Segment;

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The ranges of a file that hold data, in order.
pub fn segments(view: &dyn ReadFiles, file: &Attributes) -> Result<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < file.size {
        let Some(start) = view.seek(file.inode, at, Seek::Data)? else { break };
        let end = view.seek(file.inode, start, Seek::Hole)?.unwrap_or(file.size).min(file.size);
        if start >= end {
            break;
        }
        segments.push(Segment { offset: start, length: end - start });
        at = end;
    }
    Ok(segments)
}

/// Reads the ranges, and shows them piece by piece: where they belong, and their bytes.
///
/// Errors: [`Stale`](ErrorKind::Stale) where the file became shorter meanwhile.
pub fn read(
    view: &dyn ReadFiles,
    file: &Attributes,
    segments: &[Segment],
    buffer: &mut Vec<u8>,
    each: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    buffer.resize(CHUNK_BYTES, 0);
    for segment in segments {
        let mut at = segment.offset;
        let end = at + segment.length;
        while at < end {
            let wanted = (end - at).min(CHUNK_BYTES as u64) as usize;
            let read = view.read(file.inode, at, &mut buffer[..wanted])?;
            if read == 0 {
                let (found, expected) = (format!("an end at byte {at}"), format!("{end} bytes"));
                let error = Error::new(ErrorKind::Stale, "export: the file changed meanwhile");
                return Err(error.about("size", found, expected));
            }
            each(at, &buffer[..read])?;
            at += read as u64;
        }
    }
    Ok(())
}
