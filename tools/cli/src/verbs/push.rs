//! `push`: sends an image to a registry.

use std::io::{self, Write};

use sapwood_oci::{PushOptions, PushStep, PushedLayer, RemoteReference, Way, push};
use serde::Serialize;

use crate::args::PushArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::registry::registry_options;
use crate::reports::short_digest;

#[derive(Serialize)]
struct Pushed {
    image: String,
    reference: String,
    digest: String,
    layers: Vec<Layer>,
    sent_bytes: u64,
}

#[derive(Serialize)]
struct Layer {
    digest: String,
    bytes: u64,
    /// How the registry came to it.
    way: &'static str,
}

impl Layer {
    fn of(layer: &PushedLayer) -> Layer {
        Layer {
            digest: layer.descriptor.digest().to_string(),
            bytes: layer.descriptor.size(),
            way: match layer.way {
                Way::Present => "present",
                Way::Mounted => "mounted",
                Way::Sent => "sent",
            },
        }
    }
}

impl Report for Pushed {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let sent = self.layers.iter().filter(|layer| layer.way == "sent").count();
        let (layers, size) = (self.layers.len() as u64, text.units.size(self.sent_bytes));
        write!(
            text,
            "pushed {} to {}: {}, ",
            self.image,
            self.reference,
            counted(layers, "layer")
        )?;
        writeln!(text, "{sent} sent, {size} in all ({})", short_digest(&self.digest))
    }
}

pub fn run(args: &PushArgs, context: &Context<'_>) -> Result<Verdict> {
    let reference: RemoteReference = args.reference.parse()?;
    let store = context.open_store()?;
    let registry = registry_options(&args.registry, &reference)?;
    let options = PushOptions { compression: args.compression.into(), registry };
    let progress = context.output.layer_progress();
    let pushed = push(&store, &args.image, &reference, &options, &|layer, step| match step {
        PushStep::Compressing { tar_bytes } => progress.set(layer, "compressing", tar_bytes, None),
        PushStep::Sending { sent_bytes, size_bytes } => {
            progress.set(layer, "sending", sent_bytes, Some(size_bytes));
        }
        PushStep::Done(_) => progress.done(layer),
    })
    .map_err(CliError::Registry)?;
    drop(progress);
    context.print(&Pushed {
        image: args.image.clone(),
        reference: reference.to_string(),
        digest: pushed.digest.to_string(),
        layers: pushed.layers.iter().map(Layer::of).collect(),
        sent_bytes: pushed.sent_bytes,
    })
}
