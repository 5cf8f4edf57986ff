//! `load`: brings images in, from archives of other tools.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use sapwood::Replace;
use sapwood_oci::{Image, Input, LoadOptions, Progress, load, open_archive};
use serde::Serialize;

use crate::args::LoadArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::{Output, Report, Text, progress};
use crate::reports::short_digest;

#[derive(Serialize)]
struct Loaded {
    file: String,
    images: Vec<LoadedImage>,
}

#[derive(Serialize)]
struct LoadedImage {
    tags: Vec<String>,
    id: String,
    layers: usize,
    /// Layers that were there already, and were not read.
    layers_there: usize,
}

impl Report for Loaded {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for image in &self.images {
            let layers = counted(image.layers as u64, "layer");
            let there = match image.layers_there {
                0 => String::new(),
                there => format!(", {there} of them there already"),
            };
            let (tags, id) = (image.tags.join(", "), short_digest(&image.id));
            writeln!(text, "loaded {tags} ({id}): {layers}{there}")?;
        }
        Ok(())
    }
}

pub fn run(args: &LoadArgs, context: &Context<'_>) -> Result<Verdict> {
    let input = match args.path == Path::new("-") {
        true => Input::Stream(Box::new(io::stdin())),
        false => {
            // What is not there makes no store.
            std::fs::metadata(&args.path).map_err(CliError::file("open", &args.path))?;
            Input::Path(args.path.clone())
        }
    };
    context.with_store(|store| {
        let options = LoadOptions {
            platform: args.platform.clone(),
            replace: if args.force { Replace::Move } else { Replace::Refuse },
            unpacked_bytes_max: args.limit,
            ..LoadOptions::default()
        };
        let spinner = context.output.progress("opening", None);
        let archive = open_archive(store, input, args.format.map(Into::into), &options)?;
        drop(spinner);
        let bars = Bars { output: context.output, state: Mutex::default() };
        let tell = |progress| bars.tell(progress);
        let (image, tag) = (args.image.as_deref(), args.tag.as_deref());
        let loaded = load(store, &*archive, image, tag, &options, &tell)?;
        let there = bars.state.into_inner().unwrap_or_else(|broken| broken.into_inner()).there;
        let report = |((tags, image), layers_there): ((Vec<String>, Image), usize)| LoadedImage {
            tags,
            id: image.configuration().digest().to_string(),
            layers: image.configuration().diff_ids().len(),
            layers_there,
        };
        context.print(&Loaded {
            file: args.path.display().to_string(),
            images: loaded.into_iter().zip(there).map(report).collect(),
        })
    })
}

/// A bar for the layer that is being applied, one after another.
struct Bars<'a> {
    output: &'a Output,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many layers each image found there, the image that is being loaded last.
    there: Vec<usize>,
    layers: usize,
    layer: usize,
    bar: Option<progress::Progress>,
}

impl Bars<'_> {
    fn tell(&self, progress: Progress) {
        let mut state = self.state.lock().unwrap_or_else(|broken| broken.into_inner());
        match progress {
            Progress::Begun { layers, known } => {
                state.there.push(known);
                (state.layers, state.layer) = (layers, known);
            }
            Progress::Reading { layer, read_bytes, blob_bytes } if layer == state.layer => {
                let (number, layers) = (layer + 1, state.layers);
                let what = || format!("layer {number} of {layers}");
                let make = || self.output.progress(what(), Some(blob_bytes));
                state.bar.get_or_insert_with(make).set(read_bytes);
            }
            // Read ahead.
            Progress::Reading { .. } => {}
            Progress::Applied { layer } => {
                (state.layer, state.bar) = (layer + 1, None);
            }
        }
    }
}
