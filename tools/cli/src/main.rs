//! The command `sapwood`: parsing and printing over the engine of the same name.

mod args;
mod container;
mod context;
mod daemon;
mod error;
mod image;
mod obstacles;
mod output;
mod picture;
mod registry;
mod reports;
mod tree;
mod unfinished;
mod verbs;

use std::process::ExitCode;

use sapwood_container::exit_code;

use crate::args::Command;
use crate::error::{CliError, Exit};
use crate::output::Output;

fn main() -> ExitCode {
    let (command, verb) = match Command::read(std::env::args_os()) {
        Ok(command) => command,
        Err(refusal) => return answer_refusal(&refusal),
    };
    let output = Output::new(&command.global);
    let code = match verbs::run(&command, &verb, &output) {
        Ok(verdict) => verdict.exit_code(),
        Err(CliError::ReaderGone) => Exit::Done as u8,
        Err(error) => {
            output.print_error(Some(&verb), &error);
            error.exit_code()
        }
    };
    code.into()
}

/// What clap did not turn into a command: help and version are answers, the rest is misuse.
fn answer_refusal(refusal: &clap::Error) -> ExitCode {
    if !refusal.use_stderr() {
        // A closed pipe is the only way to fail here, and then nobody reads an error either.
        let _ = refusal.print();
        return Exit::Done.into();
    }
    let verb = args::typed_verb(std::env::args_os());
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = refusal.render().to_string();
        let error = CliError::usage(text.trim_end().trim_start_matches("error: "));
        Output::json().print_error(verb.as_deref(), &error);
    } else {
        let _ = refusal.print();
    }
    match verb.as_deref() {
        // Any other code may be the process's own.
        Some("run" | "start" | "exec") => exit_code::FAILED.into(),
        _ => Exit::Usage.into(),
    }
}
