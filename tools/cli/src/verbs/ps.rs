//! `ps`: lists containers.

use std::io::{self, Write};

use sapwood_container::{Container, Status, list};
use serde::Serialize;

use crate::args::PsArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text, printable};
use crate::reports::when;

/// Longer commands are cut off in the table.
const COMMAND_CHARACTERS_MAX: usize = 40;

#[derive(Serialize)]
struct Containers {
    containers: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    image: String,
    image_layer: String,
    command: Vec<String>,
    created: i64,
    started: Option<i64>,
    finished: Option<i64>,
    status: &'static str,
    exit_code: Option<u8>,
    error: Option<String>,
}

impl Row {
    fn new(container: Container) -> Row {
        let Container { name, record, status } = container;
        let (status, exit_code) = match status {
            Status::Created => ("created", None),
            Status::Running => ("running", None),
            Status::Exited(code) => ("exited", Some(code)),
            Status::Killed => ("killed", None),
        };
        Row {
            name,
            image: record.image,
            image_layer: record.image_layer,
            command: record.process.arguments,
            created: record.created,
            started: record.started,
            finished: record.finished,
            status,
            exit_code,
            error: record.error,
        }
    }
}

impl Report for Containers {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let columns = ["NAME", "IMAGE", "COMMAND", "CREATED", "STATUS"].map(Column::Left);
        let mut table = Table::new(&columns);
        for row in &self.containers {
            let status = match row.exit_code {
                Some(code) => format!("{} ({code})", row.status),
                None => row.status.to_owned(),
            };
            table.row([
                row.name.clone(),
                row.image.clone(),
                shown_command(&row.command),
                when(Some(row.created)),
                status,
            ]);
        }
        table.write(text)
    }

    /// For `rm $(sapwood ps -aq)`.
    fn write_quiet(&self, text: &mut Text<'_>) -> io::Result<()> {
        self.containers.iter().try_for_each(|row| writeln!(text, "{}", row.name))
    }
}

pub fn run(args: &PsArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut containers = list(&store)?;
    containers.retain(|container| args.all || container.status == Status::Running);
    containers.sort_by_key(|container| std::cmp::Reverse(container.record.created));
    let containers = containers.into_iter().map(Row::new).collect();
    context.print(&Containers { containers })
}

fn shown_command(words: &[String]) -> String {
    let command = printable(&words.join(" "));
    match command.char_indices().nth(COMMAND_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &command[..end]),
        None => command,
    }
}
