//! A container's files as a new image.

use sapwood::files::FilesView;
use sapwood::store::LayerInfo;
use sapwood::store::Name;
use sapwood::{Annotations, ErrorKind, LayerId, LayerState, Replace, Result, Store};
use sapwood_fuse::{RunningMount, control_folder};
use sapwood_oci::{Configuration, IMAGE_LABEL, Image, publish, read_configuration, written_time};
use serde_json::{Value, json};

use super::list::container;

/// What the new image is to be.
pub struct Commit<'a> {
    /// Its tag.
    pub tag: &'a str,
    /// Whether the tag is moved where it is there.
    pub replace: Replace,
    /// What is said of it.
    pub annotations: &'a Annotations,
    /// When it is made, as RFC 3339 has it.
    pub created: &'a str,
    /// Who makes it.
    pub author: Option<&'a str>,
    /// Whether its layers are named by their digests.
    pub sealing: Sealing,
    /// Changes of the configuration: the member `config` of an image's.
    pub change: &'a dyn Fn(&mut Value) -> Result<()>,
}

/// Whether layers are named by their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// They are.
    Seal,
    /// They are frozen only.
    Leave,
}

/// A container's files, frozen, and the image that was made of them.
#[derive(Debug)]
pub struct Committed {
    /// The filesystem layer.
    pub layer: LayerId,
    /// The image.
    pub image: Image,
}

/// Freezes the files of a container, or of another volume that is a tree, as they are now, and makes
/// an image of them. What runs in it goes on: each of its operations is in the image whole or not at
/// all.
///
/// Errors: [`sapwood::ErrorKind::NotFound`]; [`sapwood::ErrorKind::AlreadyExists`] where the tag is
/// taken; [`sapwood::ErrorKind::NotPermitted`] where the store's containers are another user's: what ran there is part
/// of the image; those of `change`.
pub fn commit(store: &Store, name: &str, commit: &Commit<'_>) -> Result<Committed> {
    if commit.replace == Replace::Refuse {
        store.expect_free(commit.tag)?;
    }
    // Looked at first: what cannot be an image must not leave a layer.
    let before = FilesView::open(store.snapshot_of(name)?)?;
    let configuration = configuration(store, name, read_configuration(&before)?, commit)?;
    drop(before);
    let mount = RunningMount::find(&control_folder(store.path(), &Name::new(name)?))?;
    let layer = match mount {
        Some(mut mount) => mount.snapshot(commit.annotations)?,
        None => {
            let volume = store.open_volume(name)?;
            let layer = volume.snapshot(commit.annotations)?.layer_id();
            volume.close_at_snapshot()?;
            layer
        }
    };
    let top = layer.to_string();
    let published = publish(store, Some(&top), &configuration, commit.tag, commit.replace);
    let image = published.inspect_err(|_| {
        // A layer without an image is of no use; that it is left is told with the next `prune`.
        let _ = store.remove(&top);
    })?;
    if commit.sealing == Sealing::Seal {
        store.seal(&image.snapshot().layer_id().to_string())?;
    }
    Ok(Committed { layer, image })
}

/// Steps for the frozen layers of a tree, oldest first, without those of which a history has told:
/// some images have none, and of earlier commits of a container its image knows nothing.
fn steps_of_layers(store: &Store, name: &str, history: &[Value]) -> Result<Vec<Value>> {
    let told = history.iter().filter(|step| step["empty_layer"] != true).count();
    let mut lineage = store.lineage(name)?;
    lineage.retain(|layer| {
        let is_image = layer.annotations.labels.contains_key(IMAGE_LABEL);
        layer.state == LayerState::Frozen && !layer.removed && !is_image
    });
    lineage.reverse();
    let step = |layer: LayerInfo| {
        let told = layer.annotations;
        let mut step = json!({ "created_by": told.created_by.unwrap_or_default() });
        let created = told.created.map(written_time);
        for (key, text) in [("created", created), ("comment", told.comment)] {
            if let Some(text) = text {
                step[key] = text.into();
            }
        }
        step
    };
    Ok(lineage.into_iter().skip(told).map(step).collect())
}

/// The configuration of the new image: that of the container's, what is changed of it, and one more
/// step of its history.
fn configuration(
    store: &Store,
    name: &str,
    before: Option<Configuration>,
    commit: &Commit<'_>,
) -> Result<Configuration> {
    let mut value = match before {
        Some(configuration) => configuration.to_value(),
        None => Configuration::try_from(oci_spec::image::ImageConfiguration::default())?.to_value(),
    };
    value["created"] = commit.created.into();
    if let Some(author) = commit.author {
        value["author"] = author.into();
    }
    if !value["config"].is_object() {
        value["config"] = json!({});
    }
    (commit.change)(&mut value["config"])?;
    let ran = match container(store, name) {
        Ok(container) => container.record.process.arguments.join(" "),
        // A volume that was never run.
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut step = json!({ "created": commit.created, "created_by": ran });
    for (key, text) in
        [("author", commit.author), ("comment", commit.annotations.comment.as_deref())]
    {
        if let Some(text) = text {
            step[key] = text.into();
        }
    }
    if !value["history"].is_array() {
        value["history"] = json!([]);
    }
    let history = value["history"].as_array_mut().expect("made one above");
    history.extend(steps_of_layers(store, name, history)?);
    history.push(step);
    Configuration::from_value(&value)
}
