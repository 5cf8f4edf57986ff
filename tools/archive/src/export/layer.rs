//! What changed between two snapshots, as a layer of an image.

use std::fmt::Display;
use std::io::Write;

use sapwood::files::{FilesView, Inode, changes};
use sapwood::{Error, ErrorKind, Result};

use super::plan::{MadeAnew, Plan, plan};
use super::tar::TarOfTree;
use crate::import::WHITEOUT_PREFIX;
use crate::options::ExportOptions;
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind};

/// Writes a layer of an image, a tar stream, that makes the tree `after` where the tree `before`
/// is below it, or nothing at all; gives back the output, flushed.
///
/// First what is gone, as whiteouts, in the order of paths; then what came or changed, as
/// [`export_tar`](super::export_tar) writes it. A layer knows no renames, so what was moved is
/// gone in one place and new in the other. A file with several names is written under all of them
/// if under any. Cost is in proportion to what changed, and memory to its names. Equal trees give
/// equal bytes, whatever was done to make one of the other.
///
/// Errors: [`Unsupported`](sapwood::ErrorKind::Unsupported) for a name that begins with `.wh.`,
/// for a character device 0:0, which readers take for a deletion, and for what [`export_tar`](super::export_tar) cannot say;
/// [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for trees that do not come from one; what
/// the output says.
pub fn export_layer<W: Write>(
    before: Option<&FilesView>,
    after: &FilesView,
    output: W,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, W)> {
    let mut tar = TarOfTree::new(after, output, options, Meter::new(progress), expect_sayable);
    let Some(before) = before else {
        tar.put(b"./", Inode::ROOT)?;
        tar.put_all_below(Inode::ROOT)?;
        return tar.finish();
    };
    let Plan { whiteouts, members } =
        plan(before, after, &changes(before, after)?, MadeAnew::Compared, options)?;
    // All names are looked at before anything is written.
    whiteouts.iter().chain(members.keys()).try_for_each(|path| expect_no_mark(path))?;
    for path in whiteouts {
        tar.put_mark(&whiteout_of(&path))?;
    }
    for (path, inode) in members {
        tar.put(&path, inode)?;
    }
    tar.finish()
}

/// The name that hides what stands at `path`.
fn whiteout_of(path: &[u8]) -> Vec<u8> {
    let name = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    [&path[..name], WHITEOUT_PREFIX, &path[name..]].concat()
}

/// A layer says `.wh.` of what is gone, so it cannot say it of what is there. Mounts of layers say
/// the same with a device that is none.
fn expect_sayable(member: &Member) -> Result<()> {
    if member.kind == MemberKind::CharDevice(0, 0) {
        return Err(not_sayable("device", "0:0", "one that no reader takes for a deletion"));
    }
    expect_no_mark(&member.name)
}

fn expect_no_mark(path: &[u8]) -> Result<()> {
    if path.split(|&byte| byte == b'/').any(|name| name.starts_with(WHITEOUT_PREFIX)) {
        let expected = "no name that begins with `.wh.`, which a layer cannot say";
        return Err(not_sayable("name", path.escape_ascii(), expected));
    }
    Ok(())
}

fn not_sayable(field: &'static str, found: impl Display, expected: &str) -> Error {
    let error = Error::invalid("export an image layer", field, found, expected);
    error.with_kind(ErrorKind::Unsupported)
}
