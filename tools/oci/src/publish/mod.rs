//! Making images.

mod complete;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use sapwood::files::{Files, FilesOptions, ReadFiles, find_attachment};
use sapwood::store::TagOfMaking;
use sapwood::{Annotations, Error, Replace, Result, Snapshot, Store};

use crate::image::{
    CONFIGURATION, Configuration, IMAGE_CREATED_LABEL, IMAGE_LABEL, Image, MANIFEST_ANNOTATIONS,
};
use crate::time;

pub use complete::{are_as_noted, complete, note_diff_ids, with_diff_ids};

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
    finish(store, files, tag_of_making, configuration, &BTreeMap::new())
}

/// Makes an image layer on what the files of a making are, with the annotations that its manifest has to have,
/// and gives it the tag.
pub fn finish(
    store: &Store,
    files: Files,
    tag: TagOfMaking,
    configuration: &Configuration,
    manifest_annotations: &BTreeMap<String, String>,
) -> Result<Image> {
    files.attach(CONFIGURATION, configuration.json())?;
    if !manifest_annotations.is_empty() {
        let json = serde_json::to_vec(manifest_annotations).map_err(std::io::Error::from);
        let json = json.map_err(|error| Error::io("keep the annotations of a manifest", error))?;
        files.attach(MANIFEST_ANNOTATIONS, &json)?;
    } else if let (Some(directory), Some(_)) =
        (files.attachments()?, find_attachment(&files, MANIFEST_ANNOTATIONS)?)
    {
        // Those of the image that this one was made of.
        files.unlink(directory, MANIFEST_ANNOTATIONS)?;
    }
    let snapshot = files.snapshot(&annotations(configuration))?;
    let top = files.volume().layer_id();
    drop(files);
    tag.give(&snapshot, top)?;
    Image::open(store, &snapshot.layer_id().to_string())
}

/// What an image layer says of itself.
fn annotations(configuration: &Configuration) -> Annotations {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let made = configuration.get().created().as_ref();
    Annotations {
        created: since.ok().and_then(|since| i64::try_from(since.as_nanos()).ok()),
        created_by: Some("image".to_owned()),
        comment: None,
        labels: [
            Some((IMAGE_LABEL.to_owned(), configuration.digest().to_string())),
            made.filter(|made| time::parse(made).is_some())
                .map(|made| (IMAGE_CREATED_LABEL.to_owned(), made.clone())),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}
