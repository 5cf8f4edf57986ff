//! `ln`: gives a file in a tree another name, or makes a symlink.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use sapwood::files::{FileKind, Paths};
use sapwood::{Error, ErrorKind};
use serde::Serialize;

use crate::args::LnArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text, printable_bytes};
use crate::tree::{TreePath, change};

#[derive(Serialize)]
struct Linked {
    link: String,
    target: String,
    is_symbolic: bool,
}

impl Report for Linked {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let arrow = if self.is_symbolic { "->" } else { "=" };
        writeln!(text, "linked {} {arrow} {}", self.link, self.target)
    }
}

pub fn run(args: &LnArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let link = &args.link;
    let target = if args.symbolic {
        change(&store, &link.reference, |files| {
            link.named(Paths::new(files).symlink(&args.target, &link.path))?;
            Ok(())
        })?;
        printable_bytes(args.target.as_bytes())
    } else {
        let original = original(&args.target, link)?;
        change(&store, &link.reference, |files| {
            let paths = Paths::new(files);
            let attributes = original.named(paths.symlink_metadata(&original.path))?;
            if attributes.kind == FileKind::Directory {
                return original.named(Err(Error::new(ErrorKind::IsADirectory, "link a file")));
            }
            link.named(paths.hard_link(&original.path, &link.path))
        })?;
        original.to_string()
    };
    context.print(&Linked { link: link.to_string(), target, is_symbolic: args.symbolic })
}

/// The file that gets another name: of the same tree.
fn original(typed: &OsStr, link: &TreePath) -> Result<TreePath> {
    let Some(original) = TreePath::parse(typed) else {
        let typed = printable_bytes(typed.as_bytes());
        return Err(CliError::usage(format!(
            "{typed} is no file in a tree, as NAME:/PATH is (--symbolic takes any text)"
        )));
    };
    if original.reference != link.reference {
        return Err(CliError::usage(format!(
            "{original} and {link} are in two trees: a file has its names in one"
        )));
    }
    Ok(original)
}
