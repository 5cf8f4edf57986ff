//! `dump`: prints every structure of a file with its offset; works on damaged files.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::ErrorKind;
use sapwood::inspect::{self, DumpField, DumpItem, DumpOptions, DumpValue};
use sapwood::medium::{FileHost, Host};
use sapwood_container::shell_word;
use serde::Serialize;

use crate::args::DumpArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, printable};

#[derive(Serialize)]
struct Item<'a> {
    offset_bytes: u64,
    length_bytes: u64,
    depth: u32,
    what: &'a str,
    verdict: &'static str,
    why: Option<&'a str>,
    fields: Vec<Field<'a>>,
}

#[derive(Serialize)]
struct Field<'a> {
    offset_bytes: u64,
    length_bytes: u64,
    name: &'a str,
    /// The number, where it is one.
    value: Option<i128>,
    text: String,
}

impl<'a> Item<'a> {
    fn new(item: &'a DumpItem) -> Item<'a> {
        let (verdict, why) = match &item.verdict {
            inspect::Verdict::Verified => ("verified", None),
            inspect::Verdict::Part => ("part", None),
            inspect::Verdict::Absent(why) => ("absent", Some(why.as_str())),
            inspect::Verdict::Broken(why) => ("broken", Some(why.as_str())),
        };
        Item {
            offset_bytes: item.offset,
            length_bytes: item.bytes,
            depth: item.depth,
            what: &item.what,
            verdict,
            why,
            fields: item.fields.iter().map(Field::new).collect(),
        }
    }
}

impl<'a> Field<'a> {
    fn new(field: &'a DumpField) -> Field<'a> {
        let value = match &field.value {
            DumpValue::Number(value)
            | DumpValue::Bits { value, .. }
            | DumpValue::Named { value, .. } => Some(i128::from(*value)),
            DumpValue::Signed(value) => Some(i128::from(*value)),
            _ => None,
        };
        Field {
            offset_bytes: field.offset,
            length_bytes: field.bytes,
            name: &field.name,
            value,
            text: field.value.to_string(),
        }
    }
}

pub fn run(args: &DumpArgs, context: &Context<'_>) -> Result<Verdict> {
    let (host, path) = find(&args.layer, context)?;
    context.output.stream(context.verb, |page| match page {
        Page::Json(document) => {
            document.field("file", &host.display_path(&path).display().to_string())?;
            document.list_from("items", |list| {
                visit(&host, &path, |item| list.element(&Item::new(item)))
            })
        }
        Page::Text(text) => visit(&host, &path, |item| {
            let lines = item.to_string();
            let mut lines = lines.lines().map(printable);
            lines.try_for_each(|line| writeln!(text, "{line}")).map_err(CliError::report)
        }),
    })?;
    Ok(Verdict::Done)
}

/// Where the file of `layer` is: what begins as a path is one, all else is a reference.
fn find(layer: &str, context: &Context<'_>) -> Result<(Arc<dyn Host>, PathBuf)> {
    if layer.starts_with(['.', '/']) {
        let path = Path::new(layer);
        let file =
            path.file_name().ok_or_else(|| CliError::usage(format!("{layer} is no file")))?;
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let host = FileHost::open_root(folder.unwrap_or(Path::new(".")), context.network())?;
        return Ok((Arc::new(host), file.into()));
    }
    let resolved = match context.open_store()?.resolve(layer) {
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new(layer).is_file() => {
            let what = format!("{layer} is no name, layer or digest of the store; ");
            let file = format!("./{layer}");
            return Err(CliError::usage(what + &format!("the file is {}", shell_word(&file))));
        }
        resolved => resolved?,
    };
    Ok((context.open_host()?, Path::new("layers").join(format!("{}.layer", resolved.layer))))
}

/// Dumps into a function whose errors are the command's own.
fn visit(
    host: &Arc<dyn Host>,
    path: &Path,
    mut take: impl FnMut(&DumpItem) -> Result<()>,
) -> Result<()> {
    let mut stopped = None;
    let dumped = inspect::dump(host, path, &DumpOptions::default(), &mut |item| {
        take(item).map_err(|error| {
            stopped = Some(error);
            sapwood::Error::new(ErrorKind::Io, "print a dump")
        })
    });
    match stopped {
        Some(error) => Err(error),
        None => Ok(dumped?),
    }
}
