//! Raw disk images.

use std::io::{self, Write};
use std::path::Path;

use sapwood::chain::Snapshot;
use serde::Serialize;

use super::super::ranges::data_ranges;
use crate::args::ExportArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{DeviceTarget, FileTarget, StreamTarget, Target, pump};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Exported<'a> {
    reference: &'a str,
    file: String,
    layer: String,
    size_bytes: u64,
    data_bytes: u64,
}

impl Report for Exported<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (size, data) = (text.units.size(self.size_bytes), text.units.size(self.data_bytes));
        writeln!(text, "exported {} to {}: {size}, {data} of data", self.reference, self.file)
    }
}

pub fn export(snapshot: &Snapshot, args: &ExportArgs, context: &Context<'_>) -> Result<Verdict> {
    let is_stream = args.file == Path::new("-");
    let size_bytes = snapshot.size_bytes();
    let mut target: Box<dyn Target> = if is_stream {
        Box::new(StreamTarget::starting_at(0)?)
    } else if let Some(device) = DeviceTarget::open(&args.file, args.force, size_bytes)? {
        Box::new(device)
    } else {
        Box::new(FileTarget::create(&args.file, args.force, 0o666)?)
    };
    let progress = context.output.progress("exporting", Some(size_bytes));
    let mut data_bytes = 0;
    pump(
        |filler| {
            for range in data_ranges(snapshot, size_bytes) {
                let (start, end) = range?;
                let read = |offset, buffer: &mut [u8]| Ok(snapshot.read_at(offset, buffer)?);
                if filler.range(start, end, read)?.is_stopped() {
                    break;
                }
            }
            Ok(())
        },
        |offset, bytes| {
            target.write(offset, bytes)?;
            data_bytes += bytes.len() as u64;
            progress.set(offset + bytes.len() as u64);
            Ok(())
        },
    )?;
    target.finish(size_bytes)?;
    drop(progress);
    let exported = Exported {
        reference: &args.reference,
        file: args.file.display().to_string(),
        layer: snapshot.layer_id().to_string(),
        size_bytes,
        data_bytes,
    };
    if is_stream { context.print_beside_data(&exported) } else { context.print(&exported) }
}
