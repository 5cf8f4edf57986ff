//! `init`: makes a store, or what one has lost besides names and layers.

use std::io::{self, Write};

use sapwood::store::Mended;
use sapwood::units::BlockSize;
use sapwood_oci::DiffIds;
use serde::Serialize;

use crate::args::InitArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Made {
    store: String,
    block_bytes: u64,
}

impl Report for Made {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let block = text.units.size(self.block_bytes);
        writeln!(text, "made the store {}, blocks of {block}", self.store)
    }
}

#[derive(Serialize)]
struct MadeWhole {
    store: String,
    block_bytes: u64,
    made: Vec<String>,
    /// Derived files that were taken away: they are made anew when needed.
    derived: u64,
}

impl Report for MadeWhole {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let block = text.units.size(self.block_bytes);
        let mut done = Vec::new();
        if !self.made.is_empty() {
            done.push(format!("made {}", self.made.join(", ")));
        }
        if self.derived > 0 {
            let files = counted(self.derived, "derived file");
            done.push(format!("took {files} away, which are made anew when needed"));
        }
        match done.is_empty() {
            true => {
                writeln!(text, "nothing to mend in the store {}, blocks of {block}", self.store)
            }
            false => {
                let done = done.join("; ");
                writeln!(text, "mended the store {}, blocks of {block}: {done}", self.store)
            }
        }
    }
}

pub fn run(args: &InitArgs, context: &Context<'_>) -> Result<Verdict> {
    if args.mend {
        let Mended { store, made, indexes } =
            context.mend_store(BlockSize::from_bytes(args.block_size)?)?;
        let forgot = DiffIds::forget(&store)?;
        return context.print(&MadeWhole {
            store: context.store_path()?.display().to_string(),
            block_bytes: store.block_size().bytes(),
            made,
            derived: indexes + u64::from(forgot),
        });
    }
    let store = context.create_store(BlockSize::from_bytes(args.block_size)?)?;
    context.print(&Made {
        store: context.store_path()?.display().to_string(),
        block_bytes: store.block_size().bytes(),
    })
}
