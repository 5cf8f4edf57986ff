//! `umount`: takes a mounted tree away, once what was written into it is committed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use sapwood::store::Name;
use sapwood::{Error, ErrorKind};
use sapwood_container::shell_word;
use sapwood_fuse::{Elsewhere, RunningMount, Unmount, control_folder, detach, unescaped};
use serde::Serialize;

use super::mount::is_temporary;
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
    let how = if args.lazy { Unmount::Detach } else { Unmount::WhenFree };
    let unmount = || detach(&directory, how);
    match find(&directory)? {
        Some(Found { mut mount, volume }) => {
            // After the unmount nobody could refuse any more. What goes with it needs no commit.
            if !is_temporary(volume.as_str()) {
                mount.flush_before_unmount().map_err(|error| stays(&directory, error))?;
            }
            match how {
                Unmount::Detach => unmount()?,
                // Done is when the last commit is.
                Unmount::WhenFree => {
                    mount
                        .wait_after(unmount, |elsewhere| Err(lives_on(&directory, &elsewhere)))
                        .map_err(|error| waits(&volume, error))?;
                }
            }
        }
        None => unmount()?,
    }
    context.print(&Unmounted { directory: directory.display().to_string() })
}

/// The server of a mount, and what it serves.
struct Found {
    mount: RunningMount,
    volume: Name,
}

/// A commit that failed before anything was unmounted.
fn stays(directory: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::NoSpace {
        return error;
    }
    let expected = "room: it stays mounted, so make some and unmount it again";
    let text = error.to_string();
    Error::new(ErrorKind::NoSpace, "unmount").in_file(directory).about("commit", text, expected)
}

/// All is committed, and it ends with the last place where it is seen.
fn lives_on(directory: &Path, elsewhere: &Elsewhere) -> Error {
    Error::new(ErrorKind::Locked, "unmount").in_file(directory).about(
        "mount",
        format!("gone from there and committed, and still mounted on {elsewhere}"),
        "no other place: it ends with the last one",
    )
}

/// A commit that found no room when nothing was mounted any more, of what was written meanwhile.
fn waits(volume: &Name, error: Error) -> Error {
    if error.kind() != ErrorKind::NoSpace {
        return error;
    }
    let word = shell_word(volume.as_str());
    let expected =
        format!("room: it is tried again until there is some, `flush {word}` does so now");
    let text = error.to_string();
    Error::new(ErrorKind::NoSpace, "commit what was unmounted").about("commit", text, expected)
}

/// The server of the mount on `directory`, where there is one to be asked.
fn find(directory: &Path) -> Result<Option<Found>> {
    // Names of others' mounts may be anything.
    let list = fs::read(MOUNTS).map_err(CliError::file("list mounts", MOUNTS))?;
    let source = list.split(|&byte| byte == b'\n').rev().find_map(|line| {
        let mut words = line.split(|&byte| byte == b' ');
        let (source, place, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == TYPE.as_bytes() && unescaped(place) == directory).then(|| unescaped(source))
    });
    let Some(source) = source else {
        let error = sapwood::Error::new(sapwood::ErrorKind::NotFound, "unmount");
        let error = error.in_file(directory).about("directory", "no sapwood mount", "one");
        return Err(error.into());
    };
    // Both the store's path and the volume's name may hold colons.
    let source = source.to_string_lossy();
    for (at, _) in source.match_indices(':') {
        let Ok(volume) = Name::new(&source[at + 1..]) else { continue };
        let folder = control_folder(Path::new(&source[..at]), &volume);
        if let Some(mount) = RunningMount::find(&folder)?
            && mount.is_shown_on(directory)
        {
            return Ok(Some(Found { mount, volume }));
        }
    }
    Ok(None)
}
