//! `completions`: prints completions for a shell.

use std::io::{self, Write};

use clap::CommandFactory;
use serde::Serialize;

use crate::args::{Command, CompletionsArgs};
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Completions {
    shell: String,
    script: String,
}

impl Report for Completions {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        text.write_all(self.script.as_bytes())
    }
}

pub fn run(args: &CompletionsArgs, context: &Context<'_>) -> Result<Verdict> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Command::command(), "sapwood", &mut script);
    let script = String::from_utf8(script).expect("completions are made of our own text");
    context.print(&Completions { shell: args.shell.to_string(), script })
}
