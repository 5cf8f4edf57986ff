//! What a container changed of its image, as `docker diff` has it.

use std::io::Write;

use sapwood_container::{Letter, differences};
use serde::Serialize;

use super::verdict;
use crate::args::DiffArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::{Page, printable_bytes};
use crate::tree::PathReport;

#[derive(Serialize)]
struct Row {
    letter: char,
    #[serde(flatten)]
    path: PathReport,
}

pub fn list(args: &DiffArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let found = differences(&store, &args.a)?;
    let printed = context.output.stream(context.verb, |page| match page {
        Page::Json(document) => {
            document.field("a", &args.a)?;
            let row = |(letter, path): &(Letter, Vec<u8>)| {
                Ok(Row { letter: shown(*letter), path: PathReport::new(path) })
            };
            document.list("changes", found.iter().map(row))?;
            document.field("differs", &!found.is_empty())
        }
        Page::Text(text) => found.iter().try_for_each(|(letter, path)| {
            writeln!(text, "{} {}", shown(*letter), printable_bytes(path)).map_err(CliError::report)
        }),
    });
    verdict(printed, !found.is_empty())
}

fn shown(letter: Letter) -> char {
    match letter {
        Letter::Added => 'A',
        Letter::Changed => 'C',
        Letter::Deleted => 'D',
    }
}
