//! Who is measured: each shows a folder on a directory, to be written over.

mod btrfs;
mod image;
mod sapwood;
mod union;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub use btrfs::Btrfs;
pub use sapwood::{Sapwood, serve};
pub use union::{Kind, Union};

use image::Image;

/// Somebody who mounts a folder.
pub trait Peer {
    fn name(&self) -> &'static str;

    /// Mounts the folder afresh, nothing written over it yet.
    fn mount(&self) -> PathBuf;

    /// Takes the mount away, with what was written over it.
    fn unmount(&self);

    /// What the folder and what was written over it take of the disk, in bytes: two calls tell
    /// what came in between.
    fn taken_bytes(&self) -> u64;
}

/// sapwood, and those of the others that the machine has, over the tree in `lower`.
pub fn of_trees(folder: &Path, lower: &Path) -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(Sapwood::new(folder, lower))];
    add(&mut peers, "fuse-overlayfs", Union::new(folder, lower, Kind::Helper));
    add(&mut peers, "OverlayFS", Union::new(folder, lower, Kind::Kernel));
    peers
}

/// The same, and those that share blocks, over one large file in `lower`.
pub fn of_a_large_file(folder: &Path, lower: &Path, bytes: u64) -> Vec<Box<dyn Peer>> {
    let mut peers = of_trees(folder, lower);
    add(&mut peers, "OverlayFS on XFS", Union::on_xfs(folder, lower, bytes));
    add(&mut peers, "btrfs", Btrfs::new(folder, lower, bytes));
    peers
}

fn add<P: Peer + 'static>(peers: &mut Vec<Box<dyn Peer>>, name: &str, peer: Option<P>) {
    match peer {
        Some(peer) => peers.push(Box::new(peer)),
        None => println!("SKIPPED: no {name} here"),
    }
}

/// What all that is below a folder takes of the disk.
fn disk_bytes(folder: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}
