//! What names take.

use std::io;

use sapwood::store::Usage;
use serde::Serialize;

use crate::args::DuArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};

#[derive(Serialize)]
struct Usages {
    usage: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    reference: String,
    virtual_bytes: u64,
    allocated_bytes: u64,
    exclusive_bytes: u64,
    shared_bytes: u64,
}

impl Report for Usages {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let mut table = Table::new(&[
            Column::Left("NAME"),
            Column::Right("VIRTUAL"),
            Column::Right("ALLOCATED"),
            Column::Right("EXCLUSIVE"),
            Column::Right("SHARED"),
        ]);
        for row in &self.usage {
            let size = |bytes| text.units.size(bytes);
            table.row([
                row.reference.clone(),
                size(row.virtual_bytes),
                size(row.allocated_bytes),
                size(row.exclusive_bytes),
                size(row.shared_bytes),
            ]);
        }
        table.write(text)
    }
}

pub fn tell(args: &DuArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let usage = match &args.reference {
        Some(reference) => vec![(reference.clone(), store.usage_of(reference)?)],
        None => store.usage_of_names()?,
    };
    let row = |(reference, usage)| {
        let Usage { virtual_bytes, allocated_bytes, exclusive_bytes, shared_bytes, .. } = usage;
        Row { reference, virtual_bytes, allocated_bytes, exclusive_bytes, shared_bytes }
    };
    context.print(&Usages { usage: usage.into_iter().map(row).collect() })
}
