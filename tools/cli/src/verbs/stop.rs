//! `stop`: ends containers that run.

use std::io::{self, Write};
use std::time::Duration;

use sapwood::{ErrorKind, Store};
use sapwood_container::{Container, Record, Status, container, signal, wait_for_end};
use serde::Serialize;

use crate::args::StopArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// How long one that was killed may take to be cleared away.
const AFTER_KILL: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct Stopped<'a> {
    names: &'a [String],
}

impl Report for Stopped<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        self.names.iter().try_for_each(|name| writeln!(text, "stopped {name}"))
    }
}

pub fn run(args: &StopArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut stopped = Vec::new();
    for name in &args.names {
        let container = container(&store, name)?;
        // One that has ended is what was asked for.
        if container.status != Status::Running {
            continue;
        }
        let of_image = container.record.stop_signal;
        let asked = args.signal.as_deref().or(of_image.as_deref()).unwrap_or("TERM");
        signal(&store, name, asked)?;
        stopped.push(name);
    }
    // Each is seen to its end, whatever one of them meets there.
    let ended: Vec<Result<()>> = stopped
        .into_iter()
        .map(|name| {
            if !wait_for_end(&store, name, Duration::from_secs(args.time))? {
                kill(&store, name)?;
            }
            expect_kept(&store, name)
        })
        .collect();
    ended.into_iter().collect::<Result<()>>()?;
    context.print(&Stopped { names: &args.names })
}

/// That all is committed that a container wrote which has ended. One that went with its end need not be.
fn expect_kept(store: &Store, name: &str) -> Result<()> {
    match container(store, name) {
        Ok(Container { record: Record { lost: Some(why), .. }, .. }) => {
            Err(CliError::Lost { name: name.to_owned(), why })
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Kills what runs in a container, and waits until nothing of it is left. That it ends by itself
/// meanwhile is fine.
pub fn kill(store: &Store, name: &str) -> Result<()> {
    let killed = signal(store, name, "KILL");
    // Where that failed, its process has ended, and the rest is on its way.
    if wait_for_end(store, name, AFTER_KILL)? {
        return Ok(());
    }
    killed?;
    Err(CliError::usage(format!("{name} was killed, and does not end")))
}
