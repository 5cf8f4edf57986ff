//! `exec`: runs a further process in a container that runs.

use sapwood_container::{ExecSettings, exec};

use super::start::Ended;
use crate::args::ExecArgs;
use crate::args::container::environment;
use crate::container::{CaughtSignals, expect_terminal, streams};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};

pub fn run(args: &ExecArgs, context: &Context<'_>) -> Result<Verdict> {
    run_in(args, context).map_err(|error| CliError::NotRun(Box::new(error)))
}

fn run_in(args: &ExecArgs, context: &Context<'_>) -> Result<Verdict> {
    expect_terminal(args.terminal)?;
    let store = context.open_store()?;
    let settings = ExecSettings {
        arguments: args.command().to_vec(),
        environment: environment(&args.environment, |name| std::env::var_os(name))
            .map_err(CliError::usage)?,
        directory: args.workdir.clone(),
        user: args.user.clone(),
        terminal: args.terminal,
    };
    let signals = CaughtSignals::catch()?;
    let streams = streams(args.interactive, args.terminal)?;
    let process = exec(&store, args.name(), &settings, streams)?;
    signals.hand_to(process.signaller(), || false)?;
    let exit_code = process.wait()?;
    context.print_beside_data(&Ended { name: args.name(), exit_code })?;
    Ok(Verdict::Process(exit_code))
}
