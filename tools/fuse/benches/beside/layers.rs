//! The same names in one layer, and each in a layer of its own.

use std::fs;
use std::path::{Path, PathBuf};

use sapwood::files::{Files, FilesOptions, Inode, NewFile};
use sapwood::{Annotations, Replace, Store, StoreOptions};

use super::peers::{Kind, Peer, Sapwood, Union};
use super::tree::Tree;

/// The name that the layer of this number brings.
pub fn name(layer: usize) -> String {
    format!("layer-{layer}")
}

/// What all of them show, as far as visits ask.
pub fn tree(layers: usize) -> Tree {
    let files = (0..layers).map(|layer| name(layer).into()).collect();
    let (path, tar) = (PathBuf::new(), PathBuf::new());
    Tree { path, tar, entries: layers, bytes: 0, files, large_bytes: 0 }
}

/// sapwood with all names in as many layers, then in one; and those of others that can.
pub fn peers(folder: &Path, layers: usize, are_others_wanted: bool) -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![
        Box::new(sapwood(folder, "sapwood", layers, Layering::Each)),
        Box::new(sapwood(folder, "sapwood, one layer", layers, Layering::One)),
    ];
    if are_others_wanted {
        let lower = directories(folder, layers);
        for kind in [Kind::Kernel, Kind::Helper] {
            match Union::over(folder, lower.clone(), kind) {
                Some(union) => peers.push(Box::new(union)),
                None => println!("SKIPPED: one of the others does not mount {layers} layers here"),
            }
        }
    }
    peers
}

/// Whether each name gets a layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layering {
    One,
    Each,
}

fn sapwood(folder: &Path, label: &'static str, layers: usize, layering: Layering) -> Sapwood {
    let store = folder.join(label);
    let made = Store::create(&store, &StoreOptions::default()).unwrap();
    let files = Files::open(made.create_tree("base").unwrap(), FilesOptions::default()).unwrap();
    for layer in 0..layers {
        files.create(Inode::ROOT, name(layer).as_bytes(), &NewFile::regular(0o644)).unwrap();
        if layering == Layering::Each || layer + 1 == layers {
            files.snapshot(&Annotations::default()).unwrap();
        }
    }
    files.close().unwrap();
    made.tag("base@1", "top:1", Replace::Refuse).unwrap();
    Sapwood::of_store(&store, "top:1", &folder.join(format!("{label} mount")), label)
}

/// A directory for each layer, the newest first.
fn directories(folder: &Path, layers: usize) -> Vec<PathBuf> {
    let make = |layer: usize| {
        let directory = folder.join(layer.to_string());
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join(name(layer)), []).unwrap();
        directory
    };
    (0..layers).rev().map(make).collect()
}
