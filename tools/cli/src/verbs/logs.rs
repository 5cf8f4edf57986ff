//! `logs`: writes what a detached container said to standard output.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use sapwood_container::{Status, container, output};
use serde::Serialize;

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// How often it is looked whether more was said.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was written.
#[derive(Serialize)]
struct Said<'a> {
    name: &'a str,
    bytes: u64,
    is_running: bool,
}

impl Report for Said<'_> {
    fn write_text(&self, _: &mut Text<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &LogsArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut is_running = container(&store, &args.name)?.status == Status::Running;
    // There is none where it was never detached.
    let mut said = output(&store, &args.name)?;
    let mut bytes = 0;
    while let Some(said) = &mut said {
        let mut stdout = io::stdout();
        bytes += io::copy(said, &mut stdout).map_err(CliError::report)?;
        stdout.flush().map_err(CliError::report)?;
        if !args.follow || !is_running {
            break;
        }
        thread::sleep(LOOK_AGAIN);
        // Looked at first: what it says until its end is read once more.
        is_running = container(&store, &args.name)?.status == Status::Running;
    }
    context.print_beside_data(&Said { name: &args.name, bytes, is_running })
}
