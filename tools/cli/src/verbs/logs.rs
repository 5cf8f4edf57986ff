//! `logs`: writes what a detached container said to standard output.

use std::fs::File;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use sapwood_container::{Status, container, output_file};

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};

/// How often it is looked whether more was said.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub fn run(args: &LogsArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut is_running = container(&store, &args.name)?.status == Status::Running;
    let path = output_file(&store, &args.name)?;
    let failed = CliError::file("read what a container said", &path);
    let mut said = match File::open(&path) {
        // It was never detached.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Done),
        opened => opened.map_err(failed)?,
    };
    let mut stdout = io::stdout();
    loop {
        io::copy(&mut said, &mut stdout).map_err(CliError::report)?;
        stdout.flush().map_err(CliError::report)?;
        if !args.follow || !is_running {
            return Ok(Verdict::Done);
        }
        thread::sleep(LOOK_AGAIN);
        // Looked at first: what it says until its end is read once more.
        is_running = container(&store, &args.name)?.status == Status::Running;
    }
}
