//! `squash`: makes several layers of an image one.

use std::io::{self, Write};

use sapwood::{Replace, Store};
use sapwood_oci::{Image, by_id, squash};
use serde::Serialize;

use crate::args::SquashArgs;
use crate::context::Context;
use crate::error::{CliError, Result, Verdict};
use crate::output::size::counted;
use crate::output::{Report, Text};
use crate::reports::short_digest;

#[derive(Serialize)]
struct Squashed<'a> {
    image: &'a str,
    tag: &'a str,
    id: String,
    layers_before: u64,
    layers: u64,
}

impl Report for Squashed<'_> {
    const CONFIRMS: bool = true;

    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let (before, after) = (counted(self.layers_before, "layer"), self.layers);
        let id = short_digest(&self.id);
        writeln!(text, "squashed {} from {before} to {after} as {} ({id})", self.image, self.tag)
    }
}

pub fn run(args: &SquashArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let image = Image::open(&store, &args.image)?;
    let from = match &args.from {
        None => None,
        Some(from) => match Image::open(&store, from) {
            Ok(base) => base.top_layer(&store)?,
            Err(error) if error.kind() == sapwood::ErrorKind::InvalidInput => {
                Some(store.resolve(from)?.layer)
            }
            Err(error) => return Err(error.into()),
        },
    };
    let (tag, replace) = target(&store, &args.image, args.tag.as_deref(), args.force)?;
    let done = squash(&store, &image, from, tag, replace)?;
    context.print(&Squashed {
        image: &args.image,
        tag,
        id: done.configuration().digest().to_string(),
        layers_before: image.layers(&store)?.len() as u64,
        layers: done.layers(&store)?.len() as u64,
    })
}

/// The tag of what comes of an image, which is its own where none was given.
pub fn target<'a>(
    store: &Store,
    image: &'a str,
    tag: Option<&'a str>,
    force: bool,
) -> Result<(&'a str, Replace)> {
    match tag {
        Some(tag) if !force => Ok((tag, Replace::Refuse)),
        Some(tag) => Ok((tag, Replace::Move)),
        None if by_id(store, image)? != image => {
            Err(CliError::usage(format!("{image} is an id: --tag gives what comes of it a name")))
        }
        None => Ok((image, Replace::Move)),
    }
}
