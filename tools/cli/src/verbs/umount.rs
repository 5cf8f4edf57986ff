//! `umount`: takes a mounted tree away, once what was written into it is committed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use sapwood::store::Name;
use sapwood_fuse::{RunningMount, Unmount, control_folder, detach};
use serde::Serialize;

use crate::args::UmountArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text};

/// The mounts that this process sees, as the kernel lists them.
const MOUNTS: &str = "/proc/self/mounts";
/// The type of those that are sapwood's.
const TYPE: &str = "fuse.sapwood";

#[derive(Serialize)]
struct Unmounted {
    directory: String,
}

impl Report for Unmounted {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "unmounted {}", self.directory)
    }
}

pub fn run(args: &UmountArgs, context: &Context<'_>) -> Result<Verdict> {
    // Of a mount whose server has died nothing but its place in the list is left to ask.
    let directory =
        std::path::absolute(&args.directory).map_err(CliError::file("unmount", &args.directory))?;
    let directory = directory.canonicalize().unwrap_or(directory);
    match (find(&directory)?, args.lazy) {
        (Some(mut mount), true) => {
            mount.flush()?;
            detach(&directory, Unmount::Detach)?;
        }
        // Done is when the last commit is.
        (Some(mount), false) => mount.wait_after(|| detach(&directory, Unmount::WhenFree))?,
        (None, true) => detach(&directory, Unmount::Detach)?,
        (None, false) => detach(&directory, Unmount::WhenFree)?,
    }
    context.print(&Unmounted { directory: directory.display().to_string() })
}

/// The server of the mount on `directory`, where there is one to be asked.
fn find(directory: &Path) -> Result<Option<RunningMount>> {
    let list = fs::read_to_string(MOUNTS).map_err(CliError::file("list mounts", MOUNTS))?;
    let source = list.lines().rev().find_map(|line| {
        let mut words = line.split(' ');
        let (source, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == TYPE && unescaped(place) == directory).then(|| unescaped(source))
    });
    let Some(source) = source else {
        let error = sapwood::Error::new(sapwood::ErrorKind::NotFound, "unmount");
        let error = error.in_file(directory).about("directory", "no sapwood mount", "one");
        return Err(error.into());
    };
    // Both the store's path and the volume's name may hold colons.
    let source = source.to_string_lossy();
    for (at, _) in source.match_indices(':') {
        let Ok(name) = Name::new(&source[at + 1..]) else { continue };
        let folder = control_folder(Path::new(&source[..at]), &name);
        if let Some(mount) = RunningMount::find(&folder)?
            && mount.is_shown_on(directory)
        {
            return Ok(Some(mount));
        }
    }
    Ok(None)
}

/// A word of the list, in which white space and backslashes are octal.
fn unescaped(word: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, octal) {
            (b'\\', Some(octal)) => {
                bytes.push(octal);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_list_are_undone() {
        assert_eq!(unescaped("/a\\040b\\134"), Path::new("/a b\\"));
        assert_eq!(unescaped("/a\\04"), Path::new("/a\\04"));
        assert_eq!(unescaped("/plain"), Path::new("/plain"));
    }
}
