//! `run`: runs a process over a fork of an image.

use std::fs;

use sapwood_container::{HeldContainer, NewContainer, Settings, create, expect_root};
use sapwood_oci::{Configuration, read_configuration};

use super::start::{detach, foreground};
use crate::args::RunArgs;
use crate::args::container::{environment, lines_of_file};
use crate::container::{CaughtSignals, expect_terminal};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::tree::open_view;

pub fn run(args: &RunArgs, context: &Context<'_>) -> Result<Verdict> {
    let ran = match args.detach {
        true => make(args, context).and_then(|held| {
            let name = held.name().to_owned();
            held.close()?;
            detach(&name, context)
        }),
        // Before there is a container that only this process would remove.
        false => CaughtSignals::catch().and_then(|signals| {
            foreground(make(args, context)?, args.interactive, signals, context)
        }),
    };
    ran.map_err(|error| CliError::NotRun(Box::new(error)))
}

fn make(args: &RunArgs, context: &Context<'_>) -> Result<HeldContainer> {
    // Before anything is made.
    expect_root()?;
    expect_terminal(args.terminal)?;
    let store = context.open_store()?;
    let view = open_view(&store, args.image())?;
    let configuration = read_configuration(&view)?;
    let settings = settings(args)?;
    let new = NewContainer {
        name: args.name.as_deref(),
        image: args.image(),
        snapshot: view.snapshot(),
        configuration: configuration.as_ref().map(Configuration::get),
        settings: &settings,
    };
    Ok(create(&store, &new)?)
}

fn settings(args: &RunArgs) -> Result<Settings> {
    let mut variables = Vec::new();
    for path in &args.env_file {
        let text = fs::read_to_string(path).map_err(CliError::file("read variables", path))?;
        variables.extend(lines_of_file(&text));
    }
    variables.extend(args.environment.iter().cloned());
    Ok(Settings {
        // An empty one takes the image's away.
        entrypoint: args.entrypoint.as_ref().map(|word| match word.as_str() {
            "" => Vec::new(),
            word => vec![word.to_owned()],
        }),
        command: args.command().to_vec(),
        environment: environment(&variables, |name| std::env::var_os(name))
            .map_err(CliError::usage)?,
        directory: args.workdir.clone(),
        user: args.user.clone(),
        volumes: args.volumes.clone(),
        memory_folders: args.memory_folders.clone(),
        is_read_only: args.read_only,
        memory_bytes: args.memory,
        network: args.network.into(),
        hostname: args.hostname.clone(),
        is_temporary: args.rm,
        terminal: args.terminal,
        runtime: args.runtime.clone(),
    })
}
