//! `man`: prints the manual, or writes all its pages.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde::Serialize;

use crate::args::{Command, ManArgs};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// What stands above the examples in the help of a verb.
const EXAMPLES: &str = "Examples:\n";

#[derive(Serialize)]
struct Manual {
    pages: Vec<Page>,
}

#[derive(Serialize)]
struct Page {
    name: String,
    roff: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl Report for Manual {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for page in &self.pages {
            match &page.file {
                Some(file) => writeln!(text, "wrote {file}")?,
                None => text.write_all(page.roff.as_bytes())?,
            }
        }
        Ok(())
    }
}

pub fn run(args: &ManArgs, context: &Context<'_>) -> Result<Verdict> {
    // Help on help is no page of its own.
    let mut command = Command::command().disable_help_subcommand(true);
    command.build();
    let verbs = || command.get_subcommands();
    let mut pages = Vec::new();
    if let Some(wanted) = &args.verb {
        let verb = verbs().find(|verb| verb.get_name() == wanted);
        let verb = verb.ok_or_else(|| CliError::usage(format!("no verb {wanted:?}")))?;
        pages.push(page(verb.clone()));
    } else {
        pages.push(page(command.clone()));
    }
    if let Some(directory) = &args.directory {
        pages.extend(verbs().cloned().map(page));
        std::fs::create_dir_all(directory)
            .map_err(CliError::file("make the directory", directory))?;
        for page in &mut pages {
            let path = directory.join(format!("{}.1", page.name));
            std::fs::write(&path, &page.roff).map_err(CliError::file("write the page", &path))?;
            page.file = Some(path.display().to_string());
        }
    }
    context.print(&Manual { pages })
}

/// The page of a command. What stands below its options in help is laid out there already, and
/// is shown as it is: each of its lines one of the page.
fn page(command: clap::Command) -> Page {
    // clap names the page of a verb by its display name: `sapwood-fork`.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let below = command.get_after_long_help().or_else(|| command.get_after_help());
    let below = below.map(ToString::to_string).unwrap_or_default();
    let (notes, examples) = below.split_once(EXAMPLES).unwrap_or((&below, ""));
    let mut sections = Roff::new();
    for (heading, text) in [("NOTES", notes), ("EXAMPLES", examples)] {
        if !text.is_empty() {
            sections.control("SH", [heading]).control("nf", []);
            for line in text.trim_end().lines() {
                sections.text([roman(line)]);
            }
            sections.control("fi", []);
        }
    }
    // Of itself it would name options without their values.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let command = command.override_usage(usage).after_help(None).after_long_help(None);
    let mut roff = Vec::new();
    Man::new(command).render(&mut roff).expect("writing to memory");
    sections.to_writer(&mut roff).expect("writing to memory");
    let roff = String::from_utf8(roff).expect("pages are made of our own text");
    Page { name, roff, file: None }
}
