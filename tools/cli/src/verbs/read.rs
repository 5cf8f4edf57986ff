//! `read`: writes bytes of a snapshot or a volume to standard output.

use std::io;

use serde::Serialize;

use super::ranges::expect_disk;
use crate::args::ReadArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::image::{StreamTarget, Target, pump};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Read<'a> {
    reference: &'a str,
    layer: String,
    offset_bytes: u64,
    length_bytes: u64,
}

impl Report for Read<'_> {
    const CONFIRMS: bool = true;

    /// The bytes are on standard output: to say that they were read tells nothing.
    fn write_text(&self, _: &mut Text<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &ReadArgs, context: &Context<'_>) -> Result<Verdict> {
    let snapshot = context.open_store()?.snapshot_of(&args.reference)?;
    expect_disk(snapshot.kind(), &args.reference, "`cat` reads its files")?;
    let size = snapshot.size_bytes();
    let length = args.length.unwrap_or(size.saturating_sub(args.offset));
    let end = args.offset.checked_add(length).filter(|&end| end <= size && args.offset <= size);
    let Some(end) = end else {
        return Err(CliError::usage(format!(
            "{length} bytes at {} reach past the end of {}, which holds {size}",
            args.offset, args.reference
        )));
    };
    let mut target = StreamTarget::starting_at(args.offset)?;
    pump(
        |filler| {
            filler
                .range(args.offset, end, |offset, buffer| Ok(snapshot.read_at(offset, buffer)?))?;
            Ok(())
        },
        |offset, bytes| target.write(offset, bytes),
    )?;
    context.print_beside_data(&Read {
        reference: &args.reference,
        layer: snapshot.layer_id().to_string(),
        offset_bytes: args.offset,
        length_bytes: length,
    })
}
