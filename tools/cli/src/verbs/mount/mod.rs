//! `mount`: shows a tree on a directory, in the foreground or by a process of its own.

mod serve;
mod signals;
mod temporary;

use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::args::MountArgs;
use crate::context::Context;
use crate::daemon;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

pub use temporary::{is_temporary, remove_abandoned};

/// What is mounted, once it is.
#[derive(Serialize)]
struct Mounted {
    reference: String,
    directory: String,
    writable: bool,
    temporary: bool,
}

impl Report for Mounted {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let how = match (self.writable, self.temporary) {
            (_, true) => "a fork that goes with the unmount",
            (true, false) => "read and write",
            (false, false) => "read only",
        };
        writeln!(text, "mounted {} on {}, {how}", self.reference, self.directory)
    }
}

pub fn run(args: &MountArgs, context: &Context<'_>) -> Result<Verdict> {
    if args.volatile && args.read_only {
        return Err(CliError::usage("--volatile is about writes, and --read-only allows none"));
    }
    if args.foreground {
        serve::run(args, context)
    } else {
        daemon::run(words(std::env::args_os().skip(1)))
    }
}

/// The words of the command line, and those for the child: before what is no option any more.
fn words(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = given.collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    words.splice(end..end, ["--foreground", "--ready"].map(OsString::from));
    words
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
