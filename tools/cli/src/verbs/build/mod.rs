//! `build`: an image from a Containerfile.

mod input;
mod progress;
mod read;

use std::io::{self, Write};

use sapwood_build::{StepReport, build};
use serde::Serialize;

use self::progress::Progress;
use crate::args::BuildArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text, printable};

#[derive(Serialize)]
struct Built<'a> {
    tags: &'a [String],
    image: String,
    layer: Option<String>,
    steps: Vec<StepOfReport>,
    unused_arguments: Vec<String>,
}

#[derive(Serialize)]
struct StepOfReport {
    #[serde(flatten)]
    step: sapwood_build::Step,
    outcome: sapwood_build::Outcome,
    elapsed_microseconds: u64,
    layer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report for Built<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        match self.tags {
            [] => self.write_quiet(text),
            tags => writeln!(text, "built {}: {}", printable(&tags.join(", ")), self.image),
        }
    }

    fn write_quiet(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "{}", self.image)
    }
}

pub fn run(args: &BuildArgs, context: &Context<'_>) -> Result<Verdict> {
    let options = input::options(args)?;
    context.with_store(|store| {
        let progress = Progress::new(context.output);
        let report = build(store, &options, &|event| progress.tell(&event))?;
        progress.unused_arguments(&report.unused_arguments);
        drop(progress);
        let steps = report.steps.into_iter().map(|(step, report)| {
            let StepReport { outcome, elapsed, layer, reason } = report;
            let layer = layer.map(|layer| layer.to_string());
            let elapsed_microseconds = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
            StepOfReport { step, outcome, elapsed_microseconds, layer, reason }
        });
        context.print(&Built {
            tags: &options.tags,
            image: report.image.to_string(),
            layer: report.layer.map(|layer| layer.to_string()),
            steps: steps.collect(),
            unused_arguments: report.unused_arguments,
        })
    })
}
