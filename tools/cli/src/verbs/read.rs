//! `read`: writes bytes of a disk, or of a file in a tree, to standard output.

use std::io;
use std::os::unix::ffi::OsStrExt;

use sapwood::ErrorKind;
use sapwood::files::{Paths, ReadFiles};
use serde::Serialize;

use super::ranges::expect_disk;
use crate::args::ReadArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::image::{StreamTarget, Target, pump};
use crate::output::{Report, Text, printable_bytes};
use crate::tree::{Word, as_reference, open_view};

#[derive(Serialize)]
struct Read {
    reference: String,
    layer: String,
    offset_bytes: u64,
    length_bytes: u64,
}

impl Report for Read {
    const CONFIRMS: bool = true;

    /// The bytes are on standard output: to say that they were read tells nothing.
    fn write_text(&self, _: &mut Text<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &ReadArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let (layer, length) = match Word::parse(&args.reference) {
        Word::Tree(place) => {
            let view = open_view(&store, &place.reference)?;
            let inode = place.named(Paths::new(&view).resolve(&place.path))?;
            let size = place.named(view.attributes(inode))?.size;
            // Of an empty file nothing is read that could say it has no content.
            place.named(view.read(inode, 0, &mut []))?;
            let length = copy(args, size, |offset, buffer| {
                let read = place.named(view.read(inode, offset, buffer))?;
                if read < buffer.len() {
                    let error = sapwood::Error::new(ErrorKind::Stale, "read a file");
                    return place.named(Err(error.about("size", "a smaller one", size)));
                }
                Ok(())
            })?;
            (view.snapshot().layer_id(), length)
        }
        Word::Other(reference) => {
            let reference = as_reference(&reference)?;
            let snapshot = store.snapshot_of(reference)?;
            expect_disk(snapshot.kind(), reference, "REF:/PATH reads its files")?;
            let read = |offset, buffer: &mut [u8]| Ok(snapshot.read_at(offset, buffer)?);
            let length = copy(args, snapshot.size_bytes(), read)?;
            (snapshot.layer_id(), length)
        }
    };
    context.print_beside_data(&Read {
        reference: printable_bytes(args.reference.as_bytes()),
        layer: layer.to_string(),
        offset_bytes: args.offset,
        length_bytes: length,
    })
}

/// Copies what is asked for of `size` bytes to standard output; how much that is.
fn copy(
    args: &ReadArgs,
    size: u64,
    read: impl FnMut(u64, &mut [u8]) -> Result<()> + Send,
) -> Result<u64> {
    let length = args.length.unwrap_or(size.saturating_sub(args.offset));
    let end = args.offset.checked_add(length).filter(|&end| end <= size && args.offset <= size);
    let Some(end) = end else {
        return Err(CliError::usage(format!(
            "{length} bytes at {} reach past the end of {}, which holds {size}",
            args.offset,
            printable_bytes(args.reference.as_bytes())
        )));
    };
    let mut target = StreamTarget::starting_at(args.offset)?;
    pump(
        |filler| {
            filler.range(args.offset, end, read)?;
            Ok(())
        },
        |offset, bytes| target.write(offset, bytes),
    )?;
    Ok(length)
}
