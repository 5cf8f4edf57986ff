//! `logs`: writes what a detached container said to standard output.

use std::fs::File;
use std::io;

use sapwood_container::{container, output_file};

use crate::args::LogsArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};

pub fn run(args: &LogsArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    container(&store, &args.name)?;
    let path = output_file(&store, &args.name)?;
    let failed = CliError::file("read what a container said", &path);
    match File::open(&path) {
        // It was never detached.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => {
            io::copy(&mut opened.map_err(failed)?, &mut io::stdout()).map_err(CliError::report)?;
        }
    }
    Ok(Verdict::Done)
}
