//! `init`: makes a store, or what one has lost besides names and layers.

use std::io::{self, Write};

use sapwood::store::Mended;
use sapwood::units::BlockSize;
use serde::Serialize;

use crate::args::InitArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
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
}

impl Report for MadeWhole {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let block = text.units.size(self.block_bytes);
        match self.made.is_empty() {
            true => {
                writeln!(text, "nothing to mend in the store {}, blocks of {block}", self.store)
            }
            false => {
                let made = self.made.join(", ");
                writeln!(text, "mended the store {}, blocks of {block}: made {made}", self.store)
            }
        }
    }
}

pub fn run(args: &InitArgs, context: &Context<'_>) -> Result<Verdict> {
    if args.mend {
        let Mended { store, made } = context.mend_store(BlockSize::from_bytes(args.block_size)?)?;
        return context.print(&MadeWhole {
            store: context.store_path()?.display().to_string(),
            block_bytes: store.block_size().bytes(),
            made,
        });
    }
    let store = context.create_store(BlockSize::from_bytes(args.block_size)?)?;
    context.print(&Made {
        store: context.store_path()?.display().to_string(),
        block_bytes: store.block_size().bytes(),
    })
}
