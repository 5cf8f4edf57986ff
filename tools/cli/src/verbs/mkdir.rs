//! `mkdir`: makes directories in a tree.

use std::io::{self, Write};

use sapwood::files::{Paths, SetAttributes};
use serde::Serialize;

use crate::args::MkdirArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::{Report, Text};
use crate::tree::{TreePath, change, runs_of_one_tree};

#[derive(Serialize)]
struct Made {
    made: Vec<String>,
}

impl Report for Made {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        self.made.iter().try_for_each(|place| writeln!(text, "made {place}"))
    }
}

pub fn run(args: &MkdirArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let permissions = args.mode;
    for places in runs_of_one_tree(&args.paths) {
        change(&store, &places[0].reference, |files| {
            let paths = Paths::new(files);
            for place in places {
                let path = &place.path;
                if args.parents {
                    place.named(paths.create_dir_all(path))?;
                } else {
                    place.named(paths.create_dir(path))?;
                }
                if permissions.is_some() {
                    let set = SetAttributes { permissions, ..SetAttributes::default() };
                    paths.set_attributes(path, &set)?;
                }
            }
            Ok(())
        })?;
    }
    context.print(&Made { made: args.paths.iter().map(TreePath::to_string).collect() })
}
