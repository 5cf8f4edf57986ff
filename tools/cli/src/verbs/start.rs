//! `start`: runs the process of a container, in the foreground or by a process of its own.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Stdio;
use std::sync::Arc;

use sapwood_container::{Error, HeldContainer, RunningContainer, Streams, expect_root, hold};
use sapwood_fuse::Reporter;
use serde::Serialize;

use crate::args::StartArgs;
use crate::container::{CaughtSignals, streams};
use crate::context::Context;
use crate::daemon::{self, Background};
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// A container that was started, and runs by itself.
#[derive(Serialize)]
struct Started<'a> {
    name: &'a str,
}

impl Report for Started<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "{}", self.name)
    }
}

/// A process in a container, which has ended.
#[derive(Serialize)]
pub struct Ended<'a> {
    pub name: &'a str,
    pub exit_code: u8,
}

impl Report for Ended<'_> {
    fn write_text(&self, _: &mut Text<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &StartArgs, context: &Context<'_>) -> Result<Verdict> {
    let started = expect_root().map_err(CliError::from).and_then(|()| match args.detach {
        true => detach(&args.name, context),
        false => hold_and_start(args, context),
    });
    started.map_err(|error| CliError::NotRun(Box::new(error)))
}

fn hold_and_start(args: &StartArgs, context: &Context<'_>) -> Result<Verdict> {
    let signals = CaughtSignals::catch()?;
    let store = context.open_store()?;
    let held = hold(&store, &args.name)?;
    if !args.ready {
        return foreground(held, args.interactive, signals, context);
    }
    let output = held.output()?;
    let failed = || CliError::file("keep what a container says", &args.name);
    let background = Background::to(output.try_clone().map_err(failed())?)?;
    let streams = Streams {
        stdin: Stdio::null(),
        stdout: output.try_clone().map_err(failed())?.into(),
        stderr: output.into(),
    };
    daemon::abort_on_panic();
    // What goes wrong is told here, whoever has noted it where the container speaks.
    let told_here = |error| match error {
        Error::Runtime { name, said, .. } => Error::Runtime { name, said, is_told: false },
        error => error,
    };
    let mut running = held.start(streams, report()).map_err(told_here)?;
    hand(signals, &running)?;
    running.wait_until_started()?;
    if running.has_ended()? {
        let exit_code = running.wait().map_err(told_here)?;
        daemon::tell_ready()?;
        return Ok(Verdict::Process(exit_code));
    }
    daemon::tell_ready()?;
    background.let_go()?;
    Ok(Verdict::Process(running.wait()?))
}

/// Runs the process of a container with the streams of this one.
pub fn foreground(
    held: HeldContainer,
    interactive: bool,
    signals: CaughtSignals,
    context: &Context<'_>,
) -> Result<Verdict> {
    let name = held.name().to_owned();
    daemon::abort_on_panic();
    let streams = streams(interactive, held.record().settings.terminal)?;
    let running = held.start(streams, report())?;
    hand(signals, &running)?;
    let exit_code = running.wait()?;
    context.print_beside_data(&Ended { name: &name, exit_code })?;
    Ok(Verdict::Process(exit_code))
}

/// Hands signals on. Once the process has ended and what it wrote waits for room, one gives that up.
fn hand(signals: CaughtSignals, running: &RunningContainer) -> Result<()> {
    let unmounter = running.unmounter();
    signals.hand_to(running.signaller(), move || unmounter.give_up())
}

/// Where the failures of a tree are told that what runs over it only sees as an error number.
fn report() -> Reporter {
    Arc::new(|text| eprintln!("sapwood: {text}"))
}

/// Has a process of its own run a container that was made.
pub fn detach(name: &str, context: &Context<'_>) -> Result<Verdict> {
    let mut words: Vec<OsString> = vec!["--store".into(), context.store_path()?.into()];
    if context.network() == sapwood::medium::Network::Allow {
        words.push("--network-filesystem".into());
    }
    words.extend(["start", "--ready", "--", name].map(OsString::from));
    daemon::run(words)?;
    context.print(&Started { name })
}
