//! `init`: makes a store.

use std::io::{self, Write};

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

pub fn run(args: &InitArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.create_store(BlockSize::from_bytes(args.block_size)?)?;
    context.print(&Made {
        store: context.store_path()?.display().to_string(),
        block_bytes: store.block_size().bytes(),
    })
}
