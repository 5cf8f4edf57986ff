//! OCI images in a store of sapwood.
//!
//! A filesystem layer of an image is one snapshot of a tree, on the snapshot of the layers below
//! it. An *image layer* stands on the topmost of them: a snapshot that changes no file and holds
//! the image's configuration as an attachment. A tag on an image layer is an image. So images share
//! all layers that are equal, several configurations stand on the same layers, and a fork of an
//! image layer knows its configuration.
//!
//! # Make an image of a tree
//!
//! ```
//! use sapwood::files::{Files, FilesOptions, Paths};
//! use sapwood::{Replace, Store, StoreOptions};
//! use sapwood_oci::{Configuration, Image, publish};
//! # let folder = tempfile::tempdir()?;
//! # let store = Store::create(folder.path().join("store"), &StoreOptions::default())?;
//!
//! let files = Files::open(store.create_tree("base")?, FilesOptions::default())?;
//! Paths::new(&files).write("hello", b"sap")?;
//! files.snapshot(&Default::default())?;
//!
//! let configuration = Configuration::read(
//!     br#"{"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/sh"]},
//!          "rootfs": {"type": "layers", "diff_ids": []}}"#,
//! )?;
//! publish(&store, Some("base@1"), &configuration, "hello:1", Replace::Refuse)?;
//!
//! let image = Image::open(&store, "hello:1")?;
//! let command = image.configuration().get().config().as_ref().unwrap().cmd();
//! assert_eq!(command.as_deref().unwrap(), ["/bin/sh"]);
//! assert_eq!(image.layers(&store)?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blob;
mod digest;
mod history;
mod image;
mod load;
mod own_names;
mod parallel;
mod prune;
mod publish;
mod rebase;
mod registry;
mod report;
mod save;
mod squash;
mod time;
mod usage;

pub use blob::Compression;
pub use digest::Sha256;
pub use history::{HistoryEntry, history};
pub use image::{
    CACHE_KEY_LABEL, CACHE_KEYS_FIELD, CHAIN_ID_LABEL, Configuration, DIFF_ID_LABEL, DiffIds,
    IMAGE_LABEL, Image, ImageLayer, KnownLayers, MADE_LABEL, by_id, list, made_now,
    read_configuration,
};
pub use load::{
    ArchiveForm, ImageArchive, ImageSource, Input, Listed, LoadOptions, Platform, Progress,
    install, load, open_archive,
};
pub use oci_spec::image as spec;
pub use own_names::OwnNames;
pub use prune::{PruneOptions, Pruned, prune};
pub use publish::{complete, note_diff_ids, publish};
pub use rebase::{Became, Conflict, Rebase, RebaseOptions, Rebased, rebase};
pub use registry::{
    Credential, CredentialFiles, Proxy, PullOptions, Pulled, PushOptions, PushStep, Pushed,
    PushedLayer, RegistryOptions, RemoteReference, Security, Way, pull, push,
};
pub use report::{Report, report};
pub use save::{
    OutgoingImage, OutgoingLayer, Save, SavedImage, WrittenLayer, save_docker_archive, save_layout,
    save_oci_archive,
};
pub use squash::squash;
pub use time::{parse as parse_time, written as written_time};
pub use usage::{
    CacheUsage, Class, ClassUsage, ContainerUsage, Damaged, ImageUsage, KEPT_DIRECTORIES, TagUsage,
    Usage, allocated_bytes, usage, usage_of_tags,
};
