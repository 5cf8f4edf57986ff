//! Runs the commands of the tour, as printed, and keeps their times.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

use crate::context::Context;
use crate::error::{CliError, Result};
use crate::output::time::duration;

/// A command that was run.
#[derive(Serialize)]
pub struct Step {
    command: String,
    exit_code: i32,
    #[serde(rename = "elapsed_microseconds", serialize_with = "microseconds")]
    pub elapsed: Duration,
    /// The JSON documents that it printed, where JSON was asked for.
    documents: Vec<serde_json::Value>,
}

fn microseconds<S: Serializer>(duration: &Duration, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// A shell in the tour's folder, with `sapwood` on its path.
pub struct Shell<'a> {
    context: &'a Context<'a>,
    folder: PathBuf,
    path: OsString,
    steps: Vec<Step>,
}

impl<'a> Shell<'a> {
    /// A shell in `folder`, which gets a store named `store`.
    pub fn new(folder: &Path, context: &'a Context<'a>) -> Result<Shell<'a>> {
        let programs = folder.join("bin");
        let program = std::env::current_exe().map_err(CliError::file("find", "sapwood"))?;
        std::fs::create_dir(&programs)
            .and_then(|()| std::os::unix::fs::symlink(program, programs.join("sapwood")))
            .map_err(CliError::file("make", &programs))?;
        let given = std::env::var_os("PATH").unwrap_or_default();
        // mkfs lies where users without privileges often do not look.
        let places = std::iter::once(programs)
            .chain(std::env::split_paths(&given))
            .chain(["/sbin", "/usr/sbin"].map(PathBuf::from));
        let path = std::env::join_paths(places)
            .map_err(|error| CliError::usage(format!("PATH cannot be used: {error}")))?;
        Ok(Shell { context, folder: folder.to_owned(), path, steps: Vec::new() })
    }

    /// The commands so far.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Tells people what comes next.
    pub fn say(&self, story: &str) -> Result<()> {
        self.line(&format!("\n# {story}"))
    }

    /// Runs a command that must end well.
    pub fn run(&mut self, command: &str) -> Result<()> {
        self.run_expecting(command, 0)
    }

    /// Runs a command that must end with `exit_code`.
    pub fn run_expecting(&mut self, command: &str, exit_code: i32) -> Result<()> {
        self.run_fed(command, command, exit_code, |_| Ok(()))
    }

    /// Runs a command that may fail; whether it did not.
    pub fn attempt(&mut self, command: &str) -> Result<bool> {
        match self.run(command) {
            Ok(()) => Ok(true),
            Err(CliError::Program { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs `command`, feeds its standard input, and prints it as `typed`.
    pub fn run_fed(
        &mut self,
        typed: &str,
        command: &str,
        exit_code: i32,
        feed: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<()> {
        self.line(&format!("$ {typed}"))?;
        let failed = |said: String| CliError::Program { command: typed.to_owned(), said };
        let begun = Instant::now();
        let mut child = self.spawn(command).map_err(|error| failed(error.to_string()))?;
        let mut input = child.stdin.take().expect("standard input is a pipe");
        let fed = feed(&mut input);
        drop(input);
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let elapsed = begun.elapsed();
        // What the command says of its own end tells more than a pipe that broke.
        if output.status.code() != Some(exit_code) {
            return Err(failed(output.status.to_string()));
        }
        fed.map_err(|error| failed(error.to_string()))?;
        let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        let documents: std::result::Result<Vec<_>, _> = documents.collect();
        let documents = documents.unwrap_or_default();
        self.steps.push(Step { command: typed.to_owned(), exit_code, elapsed, documents });
        self.line(&self.context.output.palette().faint(&format!("  [{}]", duration(elapsed))))
    }

    /// Whether there is such a program.
    pub fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }

    fn spawn(&self, command: &str) -> io::Result<Child> {
        let is_json = self.context.output.is_json();
        // The same command, asked for JSON: the word is the program's name wherever it stands.
        let command = if is_json {
            command.replace("sapwood ", "sapwood --json ")
        } else {
            command.to_owned()
        };
        Command::new("sh")
            .arg("-c")
            .arg(command)
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("SAPWOOD_STORE", self.folder.join("store"))
            .stdin(Stdio::piped())
            .stdout(if is_json { Stdio::piped() } else { Stdio::inherit() })
            .spawn()
    }

    /// A line between the commands' own, which go to the same place unbuffered.
    fn line(&self, text: &str) -> Result<()> {
        if self.context.output.is_json() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(CliError::report)
    }
}

/// A path as one word of a shell.
pub fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
