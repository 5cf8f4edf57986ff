//! Recording a layer's tar while it is imported.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;

use sapwood::files::{Files, Inode, ReadFiles, SetAttributes, find_attachment};
use sapwood::{Error, Result};

use super::{CONTENTS, FRAME_BYTES_MAX, REPLACED_PREFIX, RESIDUE};

/// Enough for headers, which hold little but zeros.
const LEVEL: i32 = 3;
/// How many bytes go into an attachment at once.
const WRITE_BYTES: usize = 64 << 10;
/// How many bytes of a file are shared at once.
const COPY_BYTES: u64 = 1 << 30;

/// Takes down what is not the content of a file. Memory is in proportion to the number of files.
pub struct Recorder {
    files: Files,
    output: zstd::Encoder<'static, AttachmentWriter>,
    frame: Vec<u8>,
    contents: Vec<(Inode, u64)>,
    /// Where in `contents` a file stands.
    places: HashMap<Inode, usize>,
}

impl Recorder {
    /// Begins; what the layers below have left is put away.
    pub fn new(files: &Files) -> Result<Recorder> {
        remove_replaced(files)?;
        let output = zstd::Encoder::new(AttachmentWriter::new(files, RESIDUE)?, LEVEL);
        let output = output.map_err(failed)?;
        let (frame, contents, places) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Recorder { files: files.clone(), output, frame, contents, places })
    }

    /// Takes down the next bytes of the stream.
    pub fn bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.frame.len() == FRAME_BYTES_MAX {
                self.end_frame(false)?;
            }
            let room = FRAME_BYTES_MAX - self.frame.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.frame.extend(now);
            bytes = later;
        }
        Ok(())
    }

    /// Notes that the stream goes on with the content of a file.
    pub fn content(&mut self, inode: Inode, length: u64) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.end_frame(true)?;
        self.places.insert(inode, self.contents.len());
        self.contents.push((inode, length));
        Ok(())
    }

    /// Keeps the content of a file that is about to lose a name.
    pub fn goes(&mut self, inode: Inode) -> Result<()> {
        let Some(place) = self.places.remove(&inode) else { return Ok(()) };
        let name = format!("{REPLACED_PREFIX}{place}");
        let kept = attachment_for(&self.files, name.as_bytes())?;
        let length = self.contents[place].1;
        let mut done = 0;
        while done < length {
            let copied = self.files.copy_range(inode, done, kept, done, COPY_BYTES)?;
            if copied == 0 {
                let expected = format!("{length} bytes");
                return Err(Error::corrupt("record a layer", "content", done, expected));
            }
            done += copied;
        }
        self.contents[place].0 = kept;
        Ok(())
    }

    /// Writes the rest.
    pub fn finish(mut self) -> Result<()> {
        self.end_frame(false)?;
        self.output.finish().and_then(|mut output| output.flush()).map_err(failed)?;
        let mut list = AttachmentWriter::new(&self.files, CONTENTS)?;
        for (inode, length) in self.contents {
            let written = list.write_all(&inode.0.to_le_bytes());
            written.and_then(|()| list.write_all(&length.to_le_bytes())).map_err(failed)?;
        }
        list.flush().map_err(failed)
    }

    fn end_frame(&mut self, content_follows: bool) -> Result<()> {
        let head = (self.frame.len() as u32) << 1 | u32::from(content_follows);
        let written = self.output.write_all(&head.to_le_bytes());
        written.and_then(|()| self.output.write_all(&self.frame)).map_err(failed)?;
        self.frame.clear();
        Ok(())
    }
}

/// An attachment without content, made where it is not there.
fn attachment_for(files: &Files, name: &[u8]) -> Result<Inode> {
    files.attach(name, b"")?;
    Ok(find_attachment(files, name)?.expect("it was just made"))
}

fn remove_replaced(files: &Files) -> Result<()> {
    let Some(directory) = files.attachments()? else { return Ok(()) };
    let mut old = Vec::new();
    files.entries(directory, 0, &mut |entry| {
        if entry.name.starts_with(REPLACED_PREFIX.as_bytes()) {
            old.push(entry.name.to_vec());
        }
        ControlFlow::Continue(())
    })?;
    old.iter().try_for_each(|name| files.unlink(directory, name))
}

/// Writes an attachment from its front to its end.
struct AttachmentWriter {
    files: Files,
    inode: Inode,
    offset: u64,
    buffer: Vec<u8>,
}

impl AttachmentWriter {
    fn new(files: &Files, name: &[u8]) -> Result<AttachmentWriter> {
        let inode = attachment_for(files, name)?;
        let empty = SetAttributes { size: Some(0), ..SetAttributes::default() };
        files.set_attributes(inode, &empty)?;
        Ok(AttachmentWriter { files: files.clone(), inode, offset: 0, buffer: Vec::new() })
    }
}

impl Write for AttachmentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend(bytes);
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.files.write(self.inode, self.offset, &self.buffer);
        written.map_err(io::Error::other)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn failed(error: io::Error) -> Error {
    Error::io("record a layer", error)
}
