//! `report`: an image on one page of HTML.

use std::io::{self, Write};
use std::path::Path;

use sapwood_oci::{Image, report};
use serde::Serialize;

use super::export::stream::write_stream;
use crate::args::ReportArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{FileTarget, StreamTarget, Target};
use crate::output::size::counted;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Reported<'a> {
    image: &'a str,
    file: String,
    layers: u64,
    entries: u64,
}

impl Report for Reported<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(
            text,
            "wrote {} of {}: {} in {}",
            self.file,
            self.image,
            counted(self.entries, "name"),
            counted(self.layers, "layer")
        )
    }
}

pub fn run(args: &ReportArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let image = Image::open(&store, &args.image)?;
    let is_stream = args.output == Path::new("-");
    // Begun first: a file that is there already is told before any work.
    let target: Box<dyn Target> = match is_stream {
        true => Box::new(StreamTarget::starting_at(0)?),
        false => Box::new(FileTarget::create(&args.output, args.force, 0o666)?),
    };
    let page = report(&store, &image, &args.image)?;
    write_stream(target, |output| page.write_html(output))?;
    let reported = Reported {
        image: &args.image,
        file: args.output.display().to_string(),
        layers: page.layers.len() as u64,
        entries: page.tree.len() as u64,
    };
    if is_stream { context.print_beside_data(&reported) } else { context.print(&reported) }
}
