//! `images`: lists the tags that are images, with what they take.

use std::io::{self, Write};

use sapwood_oci::{TagUsage, usage_of_tags};
use serde::Serialize;

use crate::args::ImagesArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::{DamageReport, short_digest, when};

#[derive(Serialize)]
struct Images {
    images: Vec<Row>,
    /// Tags of which not all can be read: whether they are images may not be known.
    damaged: Vec<DamageReport>,
}

#[derive(Serialize)]
struct Row {
    tag: String,
    /// The digest of the configuration; of what a build left there is none.
    id: Option<String>,
    created: Option<i64>,
    bytes: u64,
    shared_bytes: u64,
    unique_bytes: u64,
}

impl Report for Images {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let mut table = Table::new(&[
            Column::Left("TAG"),
            Column::Left("ID"),
            Column::Left("CREATED"),
            Column::Right("SIZE"),
            Column::Right("SHARED"),
            Column::Right("UNIQUE"),
        ]);
        for row in &self.images {
            table.row([
                row.tag.clone(),
                row.id.as_deref().map(short_digest).unwrap_or_default().to_owned(),
                when(row.created),
                units.size(row.bytes),
                units.size(row.shared_bytes),
                units.size(row.unique_bytes),
            ]);
        }
        table.write(text)?;
        DamageReport::write_all(&self.damaged, text)
    }

    /// For `rm $(sapwood images -q)`. Of damage the exit code speaks: whatever stands here is taken for a name.
    fn write_quiet(&self, text: &mut Text<'_>) -> io::Result<()> {
        self.images.iter().try_for_each(|row| writeln!(text, "{}", row.tag))
    }
}

pub fn run(args: &ImagesArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let TagUsage { images: tagged, cache, damaged } = usage_of_tags(&store)?;
    let mut images = Vec::new();
    for image in tagged {
        for tag in image.tags {
            images.push(Row {
                tag,
                id: Some(image.id.to_string()),
                created: image.created,
                bytes: image.bytes,
                shared_bytes: image.shared_bytes,
                unique_bytes: image.unique_bytes,
            });
        }
    }
    if args.all {
        images.extend(cache.into_iter().map(|row| Row {
            tag: row.tag,
            id: None,
            created: row.created,
            bytes: row.bytes,
            shared_bytes: row.shared_bytes,
            unique_bytes: row.bytes - row.shared_bytes,
        }));
    }
    images.sort_by(|a, b| a.tag.cmp(&b.tag));
    let (is_whole, damaged) = (damaged.is_empty(), damaged.into_iter().map(DamageReport::new));
    let images = Images { images, damaged: damaged.collect() };
    context.print_what_is_left(&images, is_whole)
}
