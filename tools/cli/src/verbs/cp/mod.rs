//! `cp`: copies files into a tree, out of it, or from one tree to another.

mod source;
mod target;
mod whole;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sapwood::store::Store;
use serde::Serialize;

use self::source::Source;
use self::whole::{TreeWhole, Whole};
use crate::args::{CpArgs, TreeOptions};
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Report, Text, printable_bytes};
use crate::tree::{TreePath, Word, change};

#[derive(Serialize)]
struct Copied {
    copied: Vec<Row>,
}

/// What was copied, and where to.
#[derive(Serialize)]
struct Row {
    source: String,
    target: String,
    size_bytes: u64,
}

impl Report for Copied {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for Row { source, target, size_bytes } in &self.copied {
            writeln!(text, "copied {source} to {target}: {}", text.units.size(*size_bytes))?;
        }
        Ok(())
    }
}

pub fn run(args: &CpArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let sources: Vec<Word> = args.words.sources.iter().map(|word| Word::parse(word)).collect();
    // Without either the content alone is copied, of what has one.
    let options = match (args.archive, args.recursive) {
        (true, _) => Some(TreeOptions::ALL),
        (false, true) => Some(TreeOptions::PLAIN),
        (false, false) => None,
    };
    let copied = match Word::parse(&args.words.target) {
        Word::Tree(target) => into_tree(&store, &sources, &target, options)?,
        Word::Other(target) => out_of_trees(&store, &sources, &target, options)?,
    };
    context.print(&Copied { copied })
}

/// Copies into a tree, in one commit.
fn into_tree(
    store: &Store,
    sources: &[Word],
    target: &TreePath,
    options: Option<TreeOptions>,
) -> Result<Vec<Row>> {
    change(store, &target.reference, |files| {
        let copy = |word: &Word| {
            let place = target::place_in_tree(files, target, word, sources.len())?;
            let whole = match options {
                Some(_) => Whole::find(store, word)?,
                None => None,
            };
            let size_bytes = match (whole, options, word) {
                (Some(whole), Some(options), _) => whole.put_into_tree(files, &place, options)?,
                (_, _, Word::Tree(source)) if source.reference == target.reference => {
                    target::share(files, source, &place)?
                }
                _ => target::write(files, &Source::open(store, word)?, &place)?,
            };
            Ok(Row { source: shown(word), target: place.to_string(), size_bytes })
        };
        sources.iter().map(copy).collect()
    })
}

fn out_of_trees(
    store: &Store,
    sources: &[Word],
    target: &OsStr,
    options: Option<TreeOptions>,
) -> Result<Vec<Row>> {
    if target == "-" {
        return Err(CliError::usage("`cat` writes files in trees to standard output"));
    }
    let target = Path::new(target);
    let copy = |word: &Word| {
        let Word::Tree(place) = word else {
            return Err(CliError::usage(format!(
                "neither {} nor {} is in a tree, as REF:/PATH is",
                shown(word),
                target.display()
            )));
        };
        let path = target::path_on_host(target, word, sources.len())?;
        let size_bytes = match options {
            Some(options) => TreeWhole::find(store, place)?.out_to(&path, options)?,
            None => target::write_to_host(&Source::open(store, word)?, &path)?,
        };
        Ok(Row { source: shown(word), target: path.display().to_string(), size_bytes })
    };
    sources.iter().map(copy).collect()
}

/// The last name of a source: what it is called in a directory.
fn name_of(word: &Word) -> Result<OsString> {
    let name = match word {
        Word::Tree(place) => place.path.file_name(),
        Word::Other(path) if path == "-" => None,
        Word::Other(path) => Path::new(path).file_name(),
    };
    name.map(OsStr::to_owned).ok_or_else(|| {
        CliError::usage(format!("{} has no name to copy it under: give one", shown(word)))
    })
}

fn shown(word: &Word) -> String {
    match word {
        Word::Tree(place) => place.to_string(),
        Word::Other(path) => printable_bytes(path.as_bytes()),
    }
}
