//! Several layers of an image made one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sapwood::files::{Files, FilesOptions, FilesView, ReadFiles};
use sapwood::{
    Annotations, BlockAddress, CloneSource, Error, LayerId, Replace, Result, Snapshot, Store,
    ViewTarget, Volume,
};
use serde_json::{Value, json};

use crate::history::{is_empty, views};
use crate::image::{Configuration, Image, keep_cache_keys};
use crate::publish::{complete, finish};
use crate::time;

/// How many blocks are given up by one call: their bytes have to fit into 64 bits.
const BLOCKS_MAX: u64 = 1 << 40;

/// Makes the layers of an image above `from`, or all of them, one layer, and tags what comes of it.
/// The tree stays as it is, and so does the configuration; what one of the layers had and a later one
/// replaced or removed is not in the new one.
///
/// No content is read or copied: the new layer shares the blocks of the old ones. When nothing else
/// needs those any more, [`Store::collect`] gives back what only they had. The history stays: the
/// steps whose layers are gone stand there as empty ones, below one that says what became of them.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) where `from` is none of the layers,
/// or the topmost, and where there is nothing to make one;
/// [`AlreadyExists`](sapwood::ErrorKind::AlreadyExists).
pub fn squash(
    store: &Store,
    image: &Image,
    from: Option<LayerId>,
    tag: &str,
    replace: Replace,
) -> Result<Image> {
    let operation = "squash an image";
    let layers = image.layers(store)?;
    let kept = match from {
        None => 0,
        Some(from) => match layers.iter().position(|layer| layer.id == from) {
            Some(place) if place + 1 < layers.len() => place + 1,
            place => {
                let what = if place.is_some() { "the topmost layer" } else { "none of its layers" };
                let expected = "a layer of the image that others stand on";
                return Err(Error::invalid(
                    operation,
                    "layer",
                    format!("{from}, {what}"),
                    expected,
                ));
            }
        },
    };
    if layers.len() == kept {
        return Err(Error::invalid(operation, "layers", "none", "at least one"));
    }
    let mut views = views(store, &layers)?;
    let top = views.pop().expect("there is at least one layer");
    let base = kept.checked_sub(1).map(|below| views.swap_remove(below));
    let (volume, tag_of_making) = match &base {
        Some(base) => store.make_on(&base.snapshot().layer_id().to_string(), tag, replace)?,
        None => store.make_tree(tag, replace)?,
    }
    .into_parts();
    share(&volume, base.as_ref().map(FilesView::snapshot), top.snapshot())?;

    let files = Files::open(volume, FilesOptions::default())?;
    forget_attachments(&files)?;
    let comment = comment_on(&layers, kept);
    let now = time::now();
    let layer = files.snapshot(&Annotations {
        created: Some(now),
        created_by: None,
        comment: Some(comment.clone()),
        labels: Default::default(),
    })?;
    let configuration = configuration_of(image.configuration(), kept, &comment, now)?;
    let configuration = complete(store, Some(layer.layer_id()), &configuration)?;
    finish(store, files, tag_of_making, &configuration, &BTreeMap::new())
}

/// Makes a volume on `base` read as `top` does, block by block.
fn share(volume: &Volume, base: Option<&Snapshot>, top: &Snapshot) -> Result<()> {
    let put = |start: BlockAddress, length: u64, target: ViewTarget| -> Result<()> {
        if matches!(target, ViewTarget::Data { .. }) {
            return volume.clone_blocks(CloneSource::Snapshot(top), start, start, length);
        }
        let end = start.0 + length;
        let mut at = start;
        while base.is_some() && at.0 < end {
            let blocks = BLOCKS_MAX.min(end - at.0);
            volume.discard_blocks(at, 0, blocks << top.block_size().log2())?;
            at.0 += blocks;
        }
        Ok(())
    };
    match base {
        Some(base) => top.changes_since(base)?.try_for_each(|extent| {
            let extent = extent?;
            put(extent.start, extent.length, extent.after)
        }),
        None => top.all_extents().try_for_each(|extent| {
            let extent = extent?;
            put(extent.start, extent.length, extent.target)
        }),
    }
}

/// What was kept beside the old layers says nothing of the new one.
fn forget_attachments(files: &Files) -> Result<()> {
    let Some(directory) = files.attachments()? else { return Ok(()) };
    let mut names = Vec::new();
    files.entries(directory, 0, &mut |entry| {
        names.push(entry.name.to_vec());
        ControlFlow::Continue(())
    })?;
    names.iter().try_for_each(|name| files.unlink(directory, name))
}

fn comment_on(layers: &[crate::ImageLayer], kept: usize) -> String {
    let top = layers[layers.len() - 1].id;
    match kept.checked_sub(1) {
        Some(below) => format!("merge {top} to {}", layers[below].id),
        None => format!("create new from {top}"),
    }
}

fn configuration_of(
    old: &Configuration,
    kept: usize,
    comment: &str,
    now: i64,
) -> Result<Configuration> {
    let mut value = old.to_value();
    let known = old.diff_ids().iter().take(kept).map(ToString::to_string);
    value["rootfs"]["diff_ids"] = known.collect();
    keep_cache_keys(&mut value, kept);
    let created = time::written(now);
    value["created"] = created.clone().into();
    let mut history = match value["history"].take() {
        Value::Array(history) => history,
        _ => Vec::new(),
    };
    let mut layers = 0;
    for entry in &mut history {
        if !is_empty(entry) {
            layers += 1;
            if layers > kept {
                entry["empty_layer"] = true.into();
            }
        }
    }
    history.push(json!({ "created": created, "comment": comment }));
    value["history"] = history.into();
    Configuration::from_value(&value)
}
