//! Ranges of blocks that differ, from metadata alone.

use std::io::Write;

use sapwood::chain::ChangedExtent;
use serde::Serialize;

use super::super::ranges::{ByteRange, disk_size, joined, state_word, write_heading, write_range};
use super::verdict;
use crate::args::DiffArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::Page;

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    range: ByteRange,
    before: &'static str,
    after: &'static str,
}

pub fn compare(args: &DiffArgs, b_name: &str, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let (a, b) = (store.snapshot_of(&args.a)?, store.snapshot_of(b_name)?);
    // What a smaller size cut off is told by the sizes.
    let size = disk_size(&a).max(disk_size(&b));
    let block_size = store.block_size();
    let row = |change: ChangedExtent| Row {
        range: ByteRange::of_blocks(change.start, change.length, block_size, size),
        before: state_word(&change.before),
        after: state_word(&change.after),
    };
    let rows = b
        .changes_since(&a)?
        .map(|change| change.map(row).map_err(CliError::from))
        .filter(|row| row.as_ref().map_or(true, |row| row.range.length_bytes > 0));
    let rows = joined(rows, |held: &mut Row, next| {
        let end = held.range.offset_bytes + held.range.length_bytes;
        let goes_on = end == next.range.offset_bytes
            && (held.before, held.after) == (next.before, next.after);
        if goes_on {
            held.range.length_bytes += next.range.length_bytes;
        }
        goes_on
    });
    let mut differing_bytes: u128 = 0;
    let resized = a.size_bytes() != b.size_bytes();
    let printed = context.output.stream(context.verb, |page| match page {
        Page::Json(document) => {
            document.field("a", &args.a)?;
            document.field("b", b_name)?;
            document.field("a_size_bytes", &a.size_bytes())?;
            document.field("b_size_bytes", &b.size_bytes())?;
            let counted = rows.inspect(|row| {
                differing_bytes += row.as_ref().map_or(0, |row| row.range.length_bytes);
            });
            document.list("changes", counted)?;
            document.field("differing_bytes", &differing_bytes)?;
            document.field("differs", &(resized || differing_bytes > 0))
        }
        Page::Text(text) => {
            let (a, b) = (text.units.size(a.size_bytes()), text.units.size(b.size_bytes()));
            if resized {
                writeln!(text, "size: {a} -> {b}").map_err(CliError::report)?;
            }
            for row in rows {
                let row = row?;
                if differing_bytes == 0 {
                    write_heading(text, "BEFORE  AFTER").map_err(CliError::report)?;
                }
                differing_bytes += row.range.length_bytes;
                let rest = format!("{:<6}  {}", row.before, row.after);
                write_range(text, row.range, rest).map_err(CliError::report)?;
            }
            let total = text.units.long_size(differing_bytes);
            writeln!(text, "{total} differ").map_err(CliError::report)
        }
    });
    verdict(printed, resized || differing_bytes > 0)
}
