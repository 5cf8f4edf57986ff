//! What images, containers, the cache of builds and all else take, each byte counted once.

use std::io::{self, Write};

use sapwood_oci::{CacheUsage, ClassUsage, ContainerUsage, ImageUsage, usage};
use serde::Serialize;

use crate::container::container_names;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::size::Units;
use crate::output::table::{Column, Table};
use crate::output::{Report, Text};
use crate::reports::{DamageReport, short_digest, when};

#[derive(Serialize)]
struct Classes {
    classes: Vec<ClassRow>,
    total_bytes: u64,
    images: Vec<ImageRow>,
    containers: Vec<ContainerRow>,
    build_cache: Vec<CacheRow>,
    damaged: Vec<DamageReport>,
}

#[derive(Serialize)]
struct ClassRow {
    class: &'static str,
    count: u64,
    active: u64,
    bytes: u64,
    reclaimable_bytes: u64,
}

#[derive(Serialize)]
struct ImageRow {
    tags: Vec<String>,
    id: String,
    created: Option<i64>,
    bytes: u64,
    shared_bytes: u64,
    unique_bytes: u64,
    containers: u64,
}

#[derive(Serialize)]
struct ContainerRow {
    name: String,
    image: Option<String>,
    bytes: u64,
    whole_bytes: u64,
    in_use: bool,
}

#[derive(Serialize)]
struct CacheRow {
    tag: String,
    created: Option<i64>,
    bytes: u64,
    shared_bytes: u64,
}

impl Report for Classes {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let units = text.units;
        let mut table = Table::new(&[
            Column::Left("WHAT"),
            Column::Right("COUNT"),
            Column::Right("IN USE"),
            Column::Right("SIZE"),
            Column::Right("RECLAIMABLE"),
        ]);
        for row in &self.classes {
            table.row([
                row.class.to_owned(),
                row.count.to_string(),
                row.active.to_string(),
                units.size(row.bytes),
                reclaimable(units, row),
            ]);
        }
        table.row(["total", "", "", &units.size(self.total_bytes), ""]);
        table.write(text)?;
        write_images(&self.images, text)?;
        write_containers(&self.containers, text)?;
        write_cache(&self.build_cache, text)?;
        if !self.damaged.is_empty() {
            writeln!(text)?;
        }
        DamageReport::write_all(&self.damaged, text)
    }
}

fn reclaimable(units: Units, row: &ClassRow) -> String {
    match row.bytes {
        0 => units.size(row.reclaimable_bytes),
        bytes => {
            let percent = u128::from(row.reclaimable_bytes) * 100 / u128::from(bytes);
            format!("{} ({percent}%)", units.size(row.reclaimable_bytes))
        }
    }
}

fn write_images(images: &[ImageRow], text: &mut Text<'_>) -> io::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let units = text.units;
    let mut table = Table::new(&[
        Column::Left("IMAGE"),
        Column::Left("ID"),
        Column::Left("CREATED"),
        Column::Right("SIZE"),
        Column::Right("SHARED"),
        Column::Right("UNIQUE"),
        Column::Right("CONTAINERS"),
    ]);
    for image in images {
        table.row([
            image.tags.join(", "),
            short_digest(&image.id).to_owned(),
            when(image.created),
            units.size(image.bytes),
            units.size(image.shared_bytes),
            units.size(image.unique_bytes),
            image.containers.to_string(),
        ]);
    }
    writeln!(text)?;
    table.write(text)
}

fn write_containers(containers: &[ContainerRow], text: &mut Text<'_>) -> io::Result<()> {
    if containers.is_empty() {
        return Ok(());
    }
    let units = text.units;
    let mut table = Table::new(&[
        Column::Left("CONTAINER"),
        Column::Left("IMAGE"),
        Column::Right("SIZE"),
        Column::Right("WITH IMAGE"),
        Column::Left("IN USE"),
    ]);
    for container in containers {
        table.row([
            container.name.clone(),
            container.image.clone().unwrap_or_default(),
            units.size(container.bytes),
            units.size(container.whole_bytes),
            if container.in_use { "yes" } else { "no" }.to_owned(),
        ]);
    }
    writeln!(text)?;
    table.write(text)
}

fn write_cache(cache: &[CacheRow], text: &mut Text<'_>) -> io::Result<()> {
    if cache.is_empty() {
        return Ok(());
    }
    let units = text.units;
    let mut table = Table::new(&[
        Column::Left("BUILD CACHE"),
        Column::Left("CREATED"),
        Column::Right("SIZE"),
        Column::Right("SHARED"),
    ]);
    for row in cache {
        table.row([
            row.tag.clone(),
            when(row.created),
            units.size(row.bytes),
            units.size(row.shared_bytes),
        ]);
    }
    writeln!(text)?;
    table.write(text)
}

pub fn tell(context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let usage = usage(&store, &container_names(&store)?)?;
    let class = |row: &ClassUsage| ClassRow {
        class: row.class.as_str(),
        count: row.count,
        active: row.active,
        bytes: row.bytes,
        reclaimable_bytes: row.reclaimable_bytes,
    };
    let image = |image: ImageUsage| ImageRow {
        tags: image.tags,
        id: image.id.to_string(),
        created: image.created,
        bytes: image.bytes,
        shared_bytes: image.shared_bytes,
        unique_bytes: image.unique_bytes,
        containers: image.containers,
    };
    let container = |container: ContainerUsage| ContainerRow {
        name: container.name,
        image: container.image,
        bytes: container.bytes,
        whole_bytes: container.whole_bytes,
        in_use: container.in_use,
    };
    let cache = |row: CacheUsage| CacheRow {
        tag: row.tag,
        created: row.created,
        bytes: row.bytes,
        shared_bytes: row.shared_bytes,
    };
    let is_whole = usage.damaged.is_empty();
    let report = Classes {
        total_bytes: usage.classes.iter().map(|row| row.bytes).sum(),
        classes: usage.classes.iter().map(class).collect(),
        images: usage.images.into_iter().map(image).collect(),
        containers: usage.containers.into_iter().map(container).collect(),
        build_cache: usage.cache.into_iter().map(cache).collect(),
        damaged: usage.damaged.into_iter().map(DamageReport::new).collect(),
    };
    context.print_what_is_left(&report, is_whole)
}
