//! Making images.

mod complete;

use std::time::{SystemTime, UNIX_EPOCH};

use sapwood::files::{Files, FilesOptions};
use sapwood::store::TagOfMaking;
use sapwood::{Annotations, Replace, Result, Snapshot, Store};

use crate::image::{CONFIGURATION, Configuration, IMAGE_LABEL, Image};

pub use complete::{complete, note_diff_ids, with_diff_ids};

/// Makes an image layer with this configuration on the filesystem layer that `top` means, and tags
/// it. Without `top` it is an image without layers.
///
/// The image's configuration is this one with the diffIDs of the layers, as [`complete`] has it: its digest
/// is the image's id, here and wherever it goes.
///
/// Errors: [`AlreadyExists`](sapwood::ErrorKind::AlreadyExists) where the tag is taken and is not to
/// be moved; those of [`complete`].
pub fn publish(
    store: &Store,
    top: Option<&str>,
    configuration: &Configuration,
    tag: &str,
    replace: Replace,
) -> Result<Image> {
    if replace == Replace::Refuse {
        store.expect_free(tag)?;
    }
    let layer = top.map(|top| store.snapshot_of(top)).transpose()?;
    let layer = layer.as_ref().map(Snapshot::layer_id);
    let configuration = &complete(store, layer, configuration)?;
    let making = match top {
        Some(top) => store.make_on(top, tag, replace)?,
        None => store.make_tree(tag, replace)?,
    };
    let (volume, tag_of_making) = making.into_parts();
    let files = Files::open(volume, FilesOptions::default())?;
    finish(store, files, tag_of_making, configuration)
}

/// Makes an image layer on what the files of a making are, and gives it the tag.
pub fn finish(
    store: &Store,
    files: Files,
    tag: TagOfMaking,
    configuration: &Configuration,
) -> Result<Image> {
    files.attach(CONFIGURATION, configuration.json())?;
    let snapshot = files.snapshot(&annotations(configuration))?;
    let top = files.volume().layer_id();
    drop(files);
    tag.give(&snapshot, top)?;
    Image::open(store, &snapshot.layer_id().to_string())
}

/// What an image layer says of itself.
fn annotations(configuration: &Configuration) -> Annotations {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Annotations {
        created: since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()),
        created_by: Some("image".to_owned()),
        comment: None,
        labels: [(IMAGE_LABEL.to_owned(), configuration.digest().to_string())].into(),
    }
}
