//! Serving by a process of its own: started, heard out until it is ready, left alone.
//!
//! A process with threads and locks cannot be forked, so the command starts itself anew. The
//! child's standard output is the wire on which it says that it is ready; its errors go where
//! this process's errors go.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{CliError, Exit, Result, Verdict};

/// What a child says when what it serves is there.
const READY: &str = "ready";

/// Starts the command anew with these words, and waits until it is ready, or has failed and said why.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Result<Verdict> {
    let failed = || CliError::file("start a process that serves", "sapwood");
    let program = std::env::current_exe().map_err(failed())?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Signals meant for this process and its terminal are not meant for that one.
        .process_group(0)
        .spawn()
        .map_err(failed())?;
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().expect("its output is piped"));
    said.read_line(&mut line).map_err(failed())?;
    if line.trim_end() == READY {
        io::copy(&mut said, &mut io::stdout()).map_err(CliError::report)?;
        return Ok(Verdict::Done);
    }
    // It has printed its error itself.
    let status = child.wait().map_err(failed())?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(CliError::Told(code.unwrap_or(Exit::Io as u8)))
}

/// In the child: says that it is ready; a report may follow.
pub fn tell_ready() -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}").map_err(CliError::report)
}

/// In the child: where it speaks once it has let go of the terminal.
pub struct Background {
    log: File,
    null: File,
}

impl Background {
    /// Opens the log, before anything is served: what cannot be opened is told to who asked.
    pub fn open(log: Option<&Path>) -> Result<Background> {
        match log {
            None => Background::to(null()?),
            Some(path) => {
                let opened = OpenOptions::new().create(true).append(true).open(path);
                Background::to(opened.map_err(CliError::file("open the log", path))?)
            }
        }
    }

    /// As [`open`](Background::open), with a log that is open.
    pub fn to(log: File) -> Result<Background> {
        Ok(Background { log, null: null()? })
    }

    /// Lets go of the terminal.
    pub fn let_go(self) -> Result<()> {
        let failed =
            |error: rustix::io::Errno| CliError::file("let go of", "the terminal")(error.into());
        io::stdout().flush().map_err(CliError::report)?;
        // Who started this waits for the end of what it prints, as in `$(sapwood mount ...)`.
        rustix::stdio::dup2_stderr(self.log).map_err(failed)?;
        rustix::stdio::dup2_stdout(self.null).map_err(failed)?;
        Ok(())
    }
}

/// Where goes what nobody is to hear.
fn null() -> Result<File> {
    const NULL: &str = "/dev/null";
    OpenOptions::new().append(true).open(NULL).map_err(CliError::file("open", NULL))
}

/// A panic in a thread that serves would leave its callers waiting for ever: as an abort it ends
/// what is served, and the last commit is there.
pub fn abort_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        std::process::abort();
    }));
}
