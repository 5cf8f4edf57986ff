//! `pull`: brings an image in from a registry.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use sapwood::Replace;
use sapwood_oci::{Progress, PullOptions, RemoteReference, pull};
use serde::Serialize;

use crate::args::PullArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::registry::registry_options;
use crate::reports::short_digest;

#[derive(Serialize)]
struct Pulled<'a> {
    reference: String,
    digest: String,
    tag: &'a str,
    /// The digest of the configuration.
    id: String,
    layers: u64,
    /// Layers that were read, as they were not here.
    layers_read: u64,
}

impl Report for Pulled<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (layers, read) = (counted(self.layers, "layer"), self.layers_read);
        let (reference, tag, id) = (&self.reference, self.tag, short_digest(&self.id));
        writeln!(text, "pulled {reference} as {tag}: {layers}, {read} of them read ({id})")
    }
}

pub fn run(args: &PullArgs, context: &Context<'_>) -> Result<Verdict> {
    let reference: RemoteReference = args.reference.parse()?;
    let tag = match &args.tag {
        Some(tag) => tag.as_str(),
        // As it is written, but for the digest, which no name holds.
        None => args.reference.split('@').next().unwrap_or_default(),
    };
    let options = PullOptions {
        platform: args.platform.clone(),
        // A pull brings what is there up to date.
        replace: Replace::Move,
        registry: registry_options(&args.registry, &reference)?,
    };
    context.with_store(|store| {
        let lines = context.output.layer_progress();
        let layers_read = AtomicU64::new(0);
        let pulled = pull(store, &reference, tag, &options, &|progress| match progress {
            Progress::Begun { .. } => {}
            Progress::Reading { layer, read_bytes, blob_bytes } => {
                lines.set(layer, "reading", read_bytes, Some(blob_bytes));
            }
            Progress::Applied { layer } => {
                lines.done(layer);
                layers_read.fetch_add(1, Ordering::Relaxed);
            }
        })
        .map_err(CliError::Registry)?;
        drop(lines);
        context.print(&Pulled {
            reference: reference.to_string(),
            digest: pulled.digest.to_string(),
            tag,
            id: pulled.image.configuration().digest().to_string(),
            layers: pulled.image.layers(store)?.len() as u64,
            layers_read: layers_read.into_inner(),
        })
    })
}
