//! Images that tests make.

#[path = "programs.rs"]
mod programs;

use sapwood::files::{Files, FilesOptions, FilesView, Inode, Paths, ReadFiles};
use sapwood::{Annotations, LayerId, Replace, Store, StoreOptions};
use sapwood_oci::{Configuration, Image, publish};
use serde_json::{Value, json};

pub use programs::can_run;

pub fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    (folder, store)
}

/// A layer: what made it, and what it does.
pub type Step<'a> = (&'a str, &'a dyn Fn(&Files));

/// Makes an image of these layers on another one, with an empty step for its command.
pub fn build(store: &Store, base: Option<&str>, tag: &str, steps: &[Step<'_>]) -> Vec<LayerId> {
    let below = base.map(|base| Image::open(store, base).unwrap());
    let name = format!("{}-work", tag.replace(':', "-"));
    let top = below.as_ref().and_then(|image| image.top_layer(store).unwrap());
    let volume = match top {
        Some(top) => store.fork(&top.to_string(), &name).unwrap(),
        None => store.create_tree(&name).unwrap(),
    };
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    let mut value = match &below {
        Some(image) => image.configuration().to_value(),
        None => json!({ "architecture": "amd64", "os": "linux", "history": [],
            "rootfs": { "type": "layers", "diff_ids": [] } }),
    };
    let history = value["history"].as_array_mut().unwrap();
    let mut layers = Vec::new();
    for (created_by, change) in steps {
        change(&files);
        let created_by = (*created_by).to_owned();
        let annotations = Annotations {
            created: Some(1_767_323_045_000_000_000),
            created_by: Some(created_by.clone()),
            ..Annotations::default()
        };
        layers.push(files.snapshot(&annotations).unwrap().layer_id());
        let created = "2026-01-02T03:04:05Z";
        history.push(json!({ "created": created, "created_by": created_by, "comment": "test" }));
    }
    history.push(json!({ "created_by": format!("CMD {tag}"), "empty_layer": true }));
    value["config"] = json!({ "Cmd": [tag] });
    let top = layers.last().copied().or(top).map(|top| top.to_string());
    let configuration = Configuration::from_value(&value).unwrap();
    publish(store, top.as_deref(), &configuration, tag, Replace::Refuse).unwrap();
    files.close().unwrap();
    store.remove(&name).unwrap();
    layers
}

pub fn write(files: &Files, path: &str, content: &[u8]) {
    if let Some(folder) = std::path::Path::new(path).parent() {
        Paths::new(files).create_dir_all(folder).unwrap();
    }
    Paths::new(files).write(path, content).unwrap();
}

/// Bytes that no block of others equals.
pub fn noise(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes as u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8 ^ seed).collect()
}

/// The paths of a tree with the sizes of files.
pub fn listing(view: &FilesView) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    Paths::new(view)
        .walk("/", |path, file| {
            found.push((path.escape_ascii().to_string(), file.size));
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    found
}

pub fn read(view: &FilesView, path: &str) -> Vec<u8> {
    Paths::new(view).read(path).unwrap()
}

/// The names of a file.
pub fn links(view: &FilesView, path: &str) -> u32 {
    let inode: Inode = Paths::new(view).resolve(path).unwrap();
    view.attributes(inode).unwrap().links
}

/// What made the steps of an image, oldest first, those without a layer in brackets.
pub fn steps(configuration: &Configuration) -> Vec<String> {
    let value = configuration.to_value();
    let step = |step: &Value| {
        let text = step["created_by"].as_str().or(step["comment"].as_str()).unwrap().to_owned();
        if step["empty_layer"] == true { format!("({text})") } else { text }
    };
    value["history"].as_array().unwrap().iter().map(step).collect()
}
