//! `write`: writes standard input into a disk, or into a file in a tree.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use sapwood::files::{Paths, ReadFiles};
use serde::Serialize;

use super::ranges::expect_disk;
use crate::args::WriteArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{StreamSource, pump};
use crate::output::{Report, Text, printable_bytes};
use crate::tree::{Word, as_reference, change};

#[derive(Serialize)]
struct Written {
    name: String,
    offset_bytes: u64,
    length_bytes: u64,
}

impl Report for Written {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let length = text.units.size(self.length_bytes);
        writeln!(text, "wrote {length} into {} at {}", self.name, self.offset_bytes)
    }
}

pub fn run(args: &WriteArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let length = match Word::parse(&args.name) {
        Word::Tree(place) => change(&store, &place.reference, |files| {
            let inode = place.named(Paths::new(files).resolve(&place.path))?;
            // An input of no bytes writes nothing that could say what has no content.
            place.named(files.read(inode, 0, &mut []))?;
            copy(args, context, |offset, bytes| place.named(files.write(inode, offset, bytes)))
        })?,
        Word::Other(name) => {
            let name = as_reference(&name)?;
            let volume = store.open_volume(name)?;
            expect_disk(volume.kind(), name, "NAME:/PATH writes into its files")?;
            let length = copy(args, context, |offset, bytes| Ok(volume.write_at(offset, bytes)?))?;
            volume.flush()?;
            volume.close()?;
            length
        }
    };
    let name = printable_bytes(args.name.as_bytes());
    context.print(&Written { name, offset_bytes: args.offset, length_bytes: length })
}

/// Hands standard input to `write`; how much it was.
fn copy(
    args: &WriteArgs,
    context: &Context<'_>,
    mut write: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<u64> {
    let progress = context.output.progress("writing", None);
    let mut length = 0;
    pump(
        |filler| StreamSource::stdin().fill(filler, args.offset),
        |offset, bytes| {
            write(offset, bytes)?;
            length += bytes.len() as u64;
            progress.set(length);
            Ok(())
        },
    )?;
    Ok(length)
}
