//! What is written from its beginning to its end, into a target that is written at places.

use std::io::{self, Write};

use crate::error::{CliError, Result};
use crate::image::Target;

/// How much is written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Hands `write` a stream that ends up in `target`, which is then finished.
pub fn write_stream<T>(
    mut target: Box<dyn Target>,
    write: impl FnOnce(&mut dyn Write) -> sapwood::Result<T>,
) -> Result<T> {
    let mut stream = Stream { target: &mut *target, written: 0, failed: None };
    let mut buffered = io::BufWriter::with_capacity(BUFFER_BYTES, &mut stream);
    let written = write(&mut buffered);
    let flushed = buffered.flush();
    drop(buffered);
    let Stream { written: size, failed, .. } = stream;
    // What the target said tells more than that the stream failed.
    if let Some(error) = failed {
        return Err(error);
    }
    let done = written?;
    flushed.map_err(CliError::file("write", "the stream"))?;
    target.finish(size)?;
    Ok(done)
}

struct Stream<'a> {
    target: &'a mut dyn Target,
    written: u64,
    failed: Option<CliError>,
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.target.write(self.written, bytes) {
            self.failed = Some(error);
            return Err(io::Error::other("the target failed"));
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
