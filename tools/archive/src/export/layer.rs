//! What changed between two snapshots, as a layer of an image.

use std::io::Write;

use sapwood::Result;
use sapwood::files::{FilesView, Inode, changes};

use super::plan::{Plan, expect_sayable, plan};
use super::tar::TarOfTree;
use crate::import::WHITEOUT_PREFIX;
use crate::options::ExportOptions;
use crate::report::{Meter, Progress, Report};

/// Writes a layer of an image, a tar stream, that makes the tree `after` where the tree `before`
/// is below it, or nothing at all; gives back the output, flushed.
///
/// First what is gone, as whiteouts, in the order of paths; then what came or changed, as
/// [`export_tar`](super::export_tar) writes it. A layer knows no renames, so what was moved is
/// gone in one place and new in the other; a directory in place of another one hides it first. A
/// file with several names is written under all of them if under any. Cost is in proportion to
/// what changed, and memory to its names. The same two trees give the same bytes.
///
/// Errors: [`Unsupported`](sapwood::ErrorKind::Unsupported) for a name that begins with `.wh.`
/// and for what [`export_tar`](super::export_tar) cannot say;
/// [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for trees that do not come from one; what
/// the output says.
pub fn export_layer<W: Write>(
    before: Option<&FilesView>,
    after: &FilesView,
    output: W,
    options: &ExportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Report, W)> {
    let mut tar = TarOfTree::new(after, output, options, Meter::new(progress));
    let Some(before) = before else {
        tar.put(b"./", Inode::ROOT)?;
        tar.put_all_below(Inode::ROOT, expect_sayable)?;
        return tar.finish();
    };
    let Plan { whiteouts, members } = plan(before, after, &changes(before, after)?)?;
    whiteouts.iter().chain(members.keys()).try_for_each(|path| expect_sayable(path))?;
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
