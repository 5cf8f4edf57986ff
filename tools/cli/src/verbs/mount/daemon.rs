//! A mount by a process of its own: started, heard out until the mount is there, left alone.
//!
//! A process with threads and locks cannot be forked, so the command starts itself anew. The
//! child's standard output is the wire on which it says that it is ready; its errors go where
//! this process's errors go.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{CliError, Exit, Result, Verdict};

/// What a child says when the mount is there.
const READY: &str = "ready";

/// Starts the child and waits until it is ready, or has failed and said why.
pub fn run() -> Result<Verdict> {
    let failed = || CliError::file("start a process for the mount", "sapwood");
    let program = std::env::current_exe().map_err(failed())?;
    let mut child = Command::new(program)
        .args(words(std::env::args_os().skip(1)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Signals meant for this process and its terminal are not meant for the mount.
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
    Err(CliError::Told(Exit::of_code(status.code())))
}

/// The words of the command line, and those for the child: before what is no option any more.
fn words(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = given.collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.splice(end..end, ["--foreground", "--ready"].map(OsString::from));
    words
}

/// In the child: says that the mount is there; a report may follow.
pub fn tell_ready() -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{READY}").map_err(CliError::report)
}

/// In the child: lets go of the terminal. What is to be told from then on goes to `log`.
pub fn let_go(log: Option<&Path>) -> Result<()> {
    let null = Path::new("/dev/null");
    let open = |path: &Path| {
        let opened = OpenOptions::new().create(path != null).append(true).open(path);
        opened.map_err(CliError::file("open the log", path))
    };
    let failed =
        |error: rustix::io::Errno| CliError::file("let go of", "the terminal")(error.into());
    io::stdout().flush().map_err(CliError::report)?;
    // Who started this waits for the end of what it prints, as in `$(sapwood mount ...)`.
    rustix::stdio::dup2_stderr(open(log.unwrap_or(null))?).map_err(failed)?;
    rustix::stdio::dup2_stdout(open(null)?).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_childs_words_come_before_those_that_are_no_options() {
        let of = |given: &[&str]| words(given.iter().map(OsString::from));
        assert_eq!(of(&["mount", "a", "b"]), ["mount", "a", "b", "--foreground", "--ready"]);
        assert_eq!(of(&["mount", "--", "a"]), ["mount", "--foreground", "--ready", "--", "a"]);
    }
}
