//! An image on one page: its layers, its tree by who owns what, its waste, and what it shares.

mod page;
mod tree;

use std::collections::HashSet;
use std::io::Write;

use sapwood::{LayerId, Result, Store};
use serde::Serialize;

use crate::history::{HistoryEntry, history};
use crate::image::{Image, list};

pub use tree::TreeEntry;

/// How many of the largest files, and of the wasted ones of each layer, are told.
const WORST_MAX: usize = 50;

/// All that the page of an image shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the image was asked for by.
    pub reference: String,
    /// The digest of its configuration.
    pub id: String,
    /// Its filesystem layers, lowest first, as [`history`] tells them.
    pub layers: Vec<HistoryEntry>,
    /// Bytes of content that each layer's part of the tree shows, in the order of the layers.
    pub shown_bytes: Vec<u64>,
    /// Its steps that made no layer, oldest first, each with how many layers there were then.
    pub empty_steps: Vec<(usize, HistoryEntry)>,
    /// All files, each directory before what is in it.
    pub tree: Vec<TreeEntry>,
    /// Other images that share layers with this one, those with most first.
    pub sharing: Vec<Sharing>,
}

/// What an image has in common with another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// The tag of the other one.
    pub tag: String,
    /// How many layers they share.
    pub layers: u64,
    /// What those brought, in bytes of content.
    pub bytes: u64,
}

/// Looks through an image. Memory is in proportion to the names in its tree.
pub fn report(store: &Store, image: &Image, reference: &str) -> Result<Report> {
    let mut layers = Vec::new();
    let mut empty_steps = Vec::new();
    for entry in history(store, image)?.into_iter().rev() {
        match entry.layer {
            Some(_) => layers.push(entry),
            None => empty_steps.push((layers.len(), entry)),
        }
    }
    let contents = || layers.iter().filter_map(|entry| entry.layer.as_ref());
    let shown_bytes =
        contents().map(|(_, content)| content.content_bytes - content.hidden_bytes).collect();
    let ids: Vec<LayerId> = contents().map(|(layer, _)| layer.id).collect();
    let sizes = contents().map(|(layer, content)| (layer.id, content.content_bytes)).collect();
    Ok(Report {
        reference: reference.to_owned(),
        id: image.configuration().digest().to_string(),
        shown_bytes,
        tree: tree::owned(store, &ids)?,
        sharing: sharing(store, image, sizes)?,
        layers,
        empty_steps,
    })
}

impl Report {
    /// Writes the page: HTML in one piece, which asks nobody for anything.
    ///
    /// Errors: what the output says.
    pub fn write_html(&self, output: &mut dyn Write) -> Result<()> {
        page::write(self, output)
    }
}

fn sharing(store: &Store, image: &Image, sizes: Vec<(LayerId, u64)>) -> Result<Vec<Sharing>> {
    let mut sharing = Vec::new();
    for (tag, _) in list(store)? {
        let other = Image::open(store, &tag)?;
        if other.snapshot().layer_id() == image.snapshot().layer_id() {
            continue;
        }
        let theirs: HashSet<LayerId> =
            other.layers(store)?.into_iter().map(|layer| layer.id).collect();
        let common: Vec<u64> = sizes
            .iter()
            .filter(|(layer, _)| theirs.contains(layer))
            .map(|(_, bytes)| *bytes)
            .collect();
        if !common.is_empty() {
            let layers = common.len() as u64;
            sharing.push(Sharing { tag, layers, bytes: common.iter().sum() });
        }
    }
    sharing.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.tag.cmp(&b.tag)));
    Ok(sharing)
}
