//! Reading the files that say how to build.
//!
//! A context is often somebody else's, and what a file in it says is told in errors. So what is in the context is
//! found without leaving it, and is a regular file: a link could lead to what others keep on this host, and a
//! FIFO to nobody.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, statat};
use rustix::io::Errno;

use crate::error::{CliError, Result};

/// What is in a file, which is in the context if that is where its path leads. `None` where nothing is.
pub fn regular(file: &Path, context: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    let opened = match inside(file, context) {
        Some(name) => in_context(&name, file, context)?,
        None => anywhere(file)?,
    };
    let Some(opened) = opened else { return Ok(None) };
    let found = opened.metadata().map_err(CliError::file("read", file))?;
    if !found.is_file() {
        return Err(CliError::usage(format!("{}: not a regular file", file.display())));
    }
    if found.len() > bytes_max {
        return Err(too_long(file, &found.len().to_string(), bytes_max));
    }
    whole(opened, file, bytes_max).map(Some)
}

/// All that a file or a stream has.
pub fn whole(input: impl Read, file: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(bytes_max + 1).read_to_end(&mut bytes).map_err(CliError::file("read", file))?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_long(file, "more", bytes_max));
    }
    Ok(bytes)
}

fn too_long(file: &Path, found: &str, bytes_max: u64) -> CliError {
    CliError::usage(format!("{}: {found} bytes, expected at most {bytes_max}", file.display()))
}

/// The path from the context on of a file that is in it by its name.
pub fn inside(file: &Path, context: &Path) -> Option<PathBuf> {
    let (file, context) = (std::path::absolute(file).ok()?, std::path::absolute(context).ok()?);
    let name = file.strip_prefix(context).ok()?;
    let is_below = name.components().all(|part| matches!(part, Component::Normal(_)));
    is_below.then(|| name.to_owned())
}

fn in_context(name: &Path, file: &Path, context: &Path) -> Result<Option<File>> {
    let failed = |error: Errno| CliError::file("open", file)(error.into());
    let context = File::open(context).map_err(CliError::file("open", context))?;
    // Links lead from the context's top on, as those of files that are copied.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(&context, name, FLAGS, Mode::empty(), resolve) {
        Err(Errno::NOENT) => {}
        // A socket.
        Err(Errno::NXIO) => {
            return Err(CliError::usage(format!("{}: not a regular file", file.display())));
        }
        opened => return opened.map(|opened| Some(opened.into())).map_err(failed),
    }
    match statat(&context, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode).is_symlink() => {
            let text = format!("{}: a link that leads to nothing in the context", file.display());
            Err(CliError::usage(text))
        }
        _ => Ok(None),
    }
}

fn anywhere(file: &Path) -> Result<Option<File>> {
    match rustix::fs::open(file, FLAGS, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened
            .map(|opened| Some(opened.into()))
            .map_err(|error| CliError::file("open", file)(io::Error::from(error))),
    }
}

/// A FIFO that nobody writes to is not waited for.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
