//! Files that differ, by name, in proportion to what differs.

use std::io::Write;

use sapwood::ErrorKind;
use sapwood::files::{self, ChangeKind, Difference, FileChange, changes};
use serde::Serialize;

use super::patch::{Patch, Patches};
use super::{shown_path, verdict};
use crate::args::DiffArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, Text};
use crate::tree::{AttributesReport, PathReport, open_view};

#[derive(Serialize)]
struct Row {
    letter: char,
    #[serde(flatten)]
    path: PathReport,
    /// Where it was before it was renamed.
    from: Option<PathReport>,
    /// What is different of a file that is in both; nothing of one that came or went.
    content: Option<bool>,
    attributes: Option<bool>,
    modified: Option<bool>,
    before: Option<AttributesReport>,
    after: Option<AttributesReport>,
    /// Where patches are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_binary: Option<bool>,
}

impl Row {
    fn new(change: &FileChange, patch: Option<&Patch>) -> Row {
        let from = match &change.kind {
            ChangeKind::Renamed { from, .. } => Some(PathReport::new(from)),
            _ => None,
        };
        let difference = difference(change);
        Row {
            letter: change.letter(),
            path: PathReport::new(&change.path),
            from,
            content: difference.map(|difference| difference.content),
            attributes: difference.map(|difference| difference.attributes),
            modified: difference.map(|difference| difference.modified),
            before: change.before.as_ref().map(AttributesReport::new),
            after: change.after.as_ref().map(AttributesReport::new),
            patch: patch.map(|patch| String::from_utf8_lossy(&patch.bytes).into_owned()),
            is_binary: patch.map(|patch| patch.is_binary),
        }
    }
}

pub fn compare(args: &DiffArgs, b_name: &str, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let (a, b) = (open_view(&store, &args.a)?, open_view(&store, b_name)?);
    let mut changes = match changes(&a, &b) {
        // Trees that have nothing in common are walked and read.
        Err(error) if error.kind() == ErrorKind::InvalidInput => files::compare(&a, &b)?,
        changes => changes?,
    };
    // That a directory holds other names is said by the names.
    changes.retain(|change| !change.is_only_of_names());
    let patches = args.patch.then(|| Patches::new(&changes, &a, &b));
    let patch =
        |change: &FileChange| patches.as_ref().map(|patches| patches.of(change)).transpose();
    let printed = context.output.stream(context.verb, |page| match page {
        Page::Json(document) => {
            document.field("a", &args.a)?;
            document.field("b", b_name)?;
            let row = |change| Ok(Row::new(change, patch(change)?.as_ref()));
            document.list("changes", changes.iter().map(row))?;
            document.field("differs", &!changes.is_empty())
        }
        Page::Text(text) => changes.iter().try_for_each(|change| {
            write_change(text, change).map_err(CliError::report)?;
            match patch(change)? {
                Some(patch) => text.write_all(&patch.bytes).map_err(CliError::report),
                None => Ok(()),
            }
        }),
    });
    verdict(printed, !changes.is_empty())
}

/// Writes a line as `git diff --name-status` has it.
fn write_change(text: &mut Text<'_>, change: &FileChange) -> std::io::Result<()> {
    let path = shown_path(&change.path);
    match &change.kind {
        ChangeKind::Renamed { from, .. } => writeln!(text, "R\t{}\t{path}", shown_path(from)),
        _ => writeln!(text, "{}\t{path}", change.letter()),
    }
}

fn difference(change: &FileChange) -> Option<Difference> {
    match &change.kind {
        ChangeKind::Modified(difference) => Some(*difference),
        ChangeKind::Renamed { difference, .. } => Some(*difference),
        ChangeKind::Added | ChangeKind::Deleted => None,
    }
}
