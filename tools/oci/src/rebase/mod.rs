//! The layers of an image over another base.

mod conflicts;
mod history;

use std::collections::BTreeMap;

use sapwood::files::{Files, FilesOptions, FilesView};
use sapwood::{Annotations, Error, LayerId, Replace, Result, Store};
use sapwood_archive::transfer_layer;

use crate::history::views;
use crate::image::{CACHE_KEY_LABEL, CHAIN_ID_LABEL, DIFF_ID_LABEL, Image, ImageLayer, made_now};
use crate::publish::{complete, finish};

pub use conflicts::{Became, Conflict};

/// The label of a layer that was moved to another base: the layer that it was.
pub const REBASED_LABEL: &str = "rebased-from";

/// How an image is moved to another base.
#[derive(Clone, Copy, Debug)]
pub struct RebaseOptions<'a> {
    /// The base that it stands on, an image or a layer; none: the topmost layer that it has in
    /// common with the new one.
    pub from: Option<&'a str>,
    /// Move it though there are conflicts: what the image's layers say counts.
    pub force: bool,
    /// What to do where the tag is taken.
    pub replace: Replace,
}

/// What came of it.
#[derive(Debug)]
pub struct Rebase {
    /// The new image; none where conflicts were in the way, and nothing was made.
    pub image: Option<Rebased>,
    /// Paths that both sides changed, in order.
    pub conflicts: Vec<Conflict>,
    /// The topmost layer of the old base.
    pub old_base: LayerId,
    /// The topmost layer of the new one; none where it has no layers.
    pub new_base: Option<LayerId>,
}

/// The image over its new base.
#[derive(Debug)]
pub struct Rebased {
    /// The image.
    pub image: Image,
    /// How many layers were moved.
    pub layers: u64,
}

/// Applies the layers that an image has above its old base on another base, one by one, and tags
/// what comes of it.
///
/// Each layer does what its archive would: names are added, replaced and hidden. No content is
/// copied, blocks are shared. A path is in conflict where the new base has it otherwise than the old
/// one (in its content, kind or attributes, there or not there), and the layers change it to something else
/// again. The configuration is the image's; the history is the new base's, and then the image's own.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) where the two have no layer in common
/// and `from` is not given, where `from` is no layer of the image, and where no layer stands above
/// the old base; [`AlreadyExists`](sapwood::ErrorKind::AlreadyExists).
pub fn rebase(
    store: &Store,
    image: &Image,
    onto: &Image,
    tag: &str,
    options: &RebaseOptions<'_>,
) -> Result<Rebase> {
    let layers = image.layers(store)?;
    let base_layers = onto.layers(store)?;
    let place = match options.from {
        Some(from) => place_of(store, &layers, from)?,
        None => common(&layers, &base_layers).ok_or_else(|| {
            let expected =
                "a layer that the image and the new base have in common, or the old base";
            Error::invalid("rebase an image", "old base", "none", expected)
        })?,
    };
    let own = &layers[place + 1..];
    if own.is_empty() {
        let found = "no layer of the image's own";
        return Err(Error::invalid("rebase an image", "layers above the base", found, "some"));
    }
    let mut views = views(store, &layers[place..])?;
    let new_base = match base_layers.last() {
        Some(top) => Some(FilesView::open(store.snapshot_of(&top.id.to_string())?)?),
        None => None,
    };
    let (old, top) = (&views[0], &views[views.len() - 1]);
    let conflicts = conflicts::find(old, top, new_base.as_ref())?;
    let mut done = Rebase {
        image: None,
        conflicts,
        old_base: layers[place].id,
        new_base: base_layers.last().map(|layer| layer.id),
    };
    if !done.conflicts.is_empty() && !options.force {
        return Ok(done);
    }
    let base_reference = done.new_base.map(|layer| layer.to_string());
    let (volume, tag_of_making) = match &base_reference {
        Some(base) => store.make_on(base, tag, options.replace)?,
        None => store.make_tree(tag, options.replace)?,
    }
    .into_parts();
    let files = Files::open(volume, FilesOptions::default())?;
    let mut below = views.remove(0);
    let mut top = done.new_base;
    for (layer, view) in own.iter().zip(views) {
        transfer_layer(Some(&below), &view, &files, &mut |_| {})?;
        top = Some(files.snapshot(&moved(&view, layer)?)?.layer_id());
        below = view;
    }
    let configuration = history::of_rebased(image, place + 1, onto, base_layers.len())?;
    let configuration = complete(store, top, &configuration)?;
    let image = finish(store, files, tag_of_making, &configuration, &BTreeMap::new())?;
    done.image = Some(Rebased { image, layers: own.len() as u64 });
    Ok(done)
}

/// What is said of a layer on its new base: its archive, and what a build made it of, are not what
/// they were.
fn moved(view: &FilesView, layer: &ImageLayer) -> Result<Annotations> {
    let mut annotations = view.snapshot().annotations()?;
    for label in [DIFF_ID_LABEL, CHAIN_ID_LABEL, CACHE_KEY_LABEL] {
        annotations.labels.remove(label);
    }
    annotations.labels.insert(REBASED_LABEL.to_owned(), layer.id.to_string());
    annotations.labels.extend([made_now()]);
    Ok(annotations)
}

/// The topmost layer that two images have in common.
fn common(layers: &[ImageLayer], others: &[ImageLayer]) -> Option<usize> {
    layers.iter().rposition(|layer| others.iter().any(|other| other.id == layer.id))
}

/// The layer that an old base is, among those of the image.
fn place_of(store: &Store, layers: &[ImageLayer], from: &str) -> Result<usize> {
    let id = match Image::open(store, from) {
        Ok(base) => base.top_layer(store)?,
        Err(error) if error.kind() == sapwood::ErrorKind::InvalidInput => {
            Some(store.snapshot_of(from)?.layer_id())
        }
        Err(error) => return Err(error),
    };
    let place = layers.iter().position(|layer| Some(layer.id) == id);
    place.ok_or_else(|| {
        let found = format!("{from}, on which the image does not stand");
        Error::invalid("rebase an image", "old base", found, "a layer of the image")
    })
}
