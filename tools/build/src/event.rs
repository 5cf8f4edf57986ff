//! What a build tells while it goes on.

use std::time::Duration;

use sapwood::LayerId;
use serde::Serialize;

/// A step of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The name of its stage, or the number of one that has none.
    pub stage: String,
    /// Its number in the stage, from 1 on.
    pub number: usize,
    /// How many the stage has.
    pub steps: usize,
    /// The instruction, its variables as they are written.
    pub instruction: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It changed the configuration alone.
    Configured,
    /// Its layer was there.
    Cached,
    /// Its layer was made.
    Made,
}

/// Which stream of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Something happened. Stages go on at the same time, so steps of several may alternate.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A step began.
    Began(&'a Step),
    /// A program wrote something.
    Wrote(&'a Step, Stream, &'a [u8]),
    /// A step ended.
    Ended(&'a Step, &'a StepReport),
}

/// Receives what happens, from several threads.
pub type Listener<'a> = dyn Fn(Event<'_>) + Sync + 'a;

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: Duration,
    /// The layer on top after it; none where there is none yet.
    pub layer: Option<LayerId>,
    /// Why it was not made before, where that was asked for.
    pub reason: Option<String>,
}
