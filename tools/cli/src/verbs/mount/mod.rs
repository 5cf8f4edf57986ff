//! `mount`: shows a tree on a directory, in the foreground or by a process of its own.

mod daemon;
mod serve;
mod signals;

use std::io::{self, Write};

use serde::Serialize;

use crate::args::MountArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// What is mounted, once it is.
#[derive(Serialize)]
struct Mounted {
    reference: String,
    directory: String,
    writable: bool,
    temporary: bool,
}

impl Report for Mounted {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let how = match (self.writable, self.temporary) {
            (_, true) => "a fork that goes with the unmount",
            (true, false) => "read and write",
            (false, false) => "read only",
        };
        writeln!(text, "mounted {} on {}, {how}", self.reference, self.directory)
    }
}

pub fn run(args: &MountArgs, context: &Context<'_>) -> Result<Verdict> {
    if args.volatile && args.read_only {
        return Err(CliError::usage("--volatile is about writes, and --read-only allows none"));
    }
    if args.foreground { serve::run(args, context) } else { daemon::run() }
}
