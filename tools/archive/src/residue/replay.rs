//! Writing a layer's tar again, byte by byte.

use std::io::{self, BufReader, Read, Write};

use sapwood::files::{FilesView, Inode, ReadFiles, find_attachment};
use sapwood::{Error, Result};

use super::{CONTENTS, FRAME_BYTES_MAX, RESIDUE};

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Writes the tar that the layer was imported from, where it was recorded; whether it was.
///
/// Whoever keeps the digest of the tar compares it: files may have been changed since.
///
/// Errors: [`Corrupt`](sapwood::ErrorKind::Corrupt); what the output says.
pub fn export_residue(view: &FilesView, output: &mut dyn Write) -> Result<bool> {
    let (Some(residue), Some(contents)) =
        (find_attachment(view, RESIDUE)?, find_attachment(view, CONTENTS)?)
    else {
        return Ok(false);
    };
    let mut frames =
        zstd::Decoder::new(Attachment { view, inode: residue, offset: 0 }).map_err(failed)?;
    let mut contents =
        BufReader::with_capacity(CHUNK_BYTES, Attachment { view, inode: contents, offset: 0 });
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let mut head = [0; 4];
        match frames.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            read => read.map_err(failed)?,
        }
        let head = u32::from_le_bytes(head);
        let length = (head >> 1) as usize;
        if length > FRAME_BYTES_MAX {
            let expected = format!("at most {FRAME_BYTES_MAX} bytes");
            return Err(Error::corrupt("write a recorded layer", "frame", length, expected));
        }
        frames.read_exact(&mut buffer[..length]).map_err(failed)?;
        output.write_all(&buffer[..length]).map_err(failed)?;
        if head & 1 == 1 {
            let mut place = [0; 12];
            contents.read_exact(&mut place).map_err(failed)?;
            let (inode, length) = place.split_at(4);
            let inode = Inode(u32::from_le_bytes(inode.try_into().expect("4 bytes")));
            let length = u64::from_le_bytes(length.try_into().expect("8 bytes"));
            copy(view, inode, length, &mut buffer, output)?;
        }
    }
}

fn copy(
    view: &FilesView,
    inode: Inode,
    length: u64,
    buffer: &mut [u8],
    output: &mut dyn Write,
) -> Result<()> {
    let mut offset = 0;
    while offset < length {
        let wanted = (length - offset).min(buffer.len() as u64) as usize;
        let read = view.read(inode, offset, &mut buffer[..wanted])?;
        if read == 0 {
            let expected = format!("{length} bytes");
            return Err(Error::corrupt("write a recorded layer", "content", offset, expected));
        }
        output.write_all(&buffer[..read]).map_err(failed)?;
        offset += read as u64;
    }
    Ok(())
}

struct Attachment<'a> {
    view: &'a FilesView,
    inode: Inode,
    offset: u64,
}

impl Read for Attachment<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.view.read(self.inode, self.offset, buffer).map_err(io::Error::other)?;
        self.offset += read as u64;
        Ok(read)
    }
}

fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            let expected = "a whole record";
            Error::corrupt("write a recorded layer", "record", "its end", expected)
        }
        _ => Error::io("write a recorded layer", error),
    }
}
