//! `cat`: writes the content of files in a tree to standard output.

use std::io;

use sapwood::files::{FilesView, Inode, Paths, ReadFiles};
use serde::Serialize;

use crate::args::CatArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::image::{Filler, StreamTarget, Target, pump};
use crate::output::{Report, Text};
use crate::tree::{PathReport, TreePath, open_view};

#[derive(Serialize)]
struct Concatenated {
    files: Vec<Read>,
}

#[derive(Serialize)]
struct Read {
    reference: String,
    #[serde(flatten)]
    path: PathReport,
    length_bytes: u64,
}

impl Report for Concatenated {
    const CONFIRMS: bool = true;

    /// The bytes are on standard output: to say that they were read tells nothing.
    fn write_text(&self, _: &mut Text<'_>) -> io::Result<()> {
        Ok(())
    }
}

pub fn run(args: &CatArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let mut files = Vec::new();
    let mut target = StreamTarget::starting_at(0)?;
    let mut at = 0;
    for place in &args.paths {
        let view = open_view(&store, &place.reference)?;
        let inode = place.named(Paths::new(&view).resolve(&place.path))?;
        let start = at;
        pump(
            |filler| fill(filler, &view, inode, place),
            |_, bytes| {
                target.write(at, bytes)?;
                at += bytes.len() as u64;
                Ok(())
            },
        )?;
        let path = PathReport::new(place.path.as_os_str().as_encoded_bytes());
        files.push(Read { reference: place.reference.clone(), path, length_bytes: at - start });
    }
    context.print_beside_data(&Concatenated { files })
}

/// Hands on a file from its beginning to its end.
fn fill(filler: &Filler, view: &FilesView, inode: Inode, place: &TreePath) -> Result<()> {
    let mut at = 0;
    loop {
        let (read, flow) = filler.chunk(at, |buffer| place.named(view.read(inode, at, buffer)))?;
        if read == 0 || flow.is_stopped() {
            return Ok(());
        }
        at += read as u64;
    }
}
