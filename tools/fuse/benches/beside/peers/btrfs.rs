//! Snapshots of a subvolume of btrfs, in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Image, Peer};
use crate::rows::run;

/// A snapshot for each mount; the kernel shows it where it is.
pub struct Btrfs {
    image: Image,
}

impl Btrfs {
    pub fn new(folder: &Path, lower: &Path, bytes: u64) -> Option<Btrfs> {
        let image = Image::make(folder, "btrfs", &["mkfs.btrfs", "-q"], bytes)?;
        let base = image.mount.join("base");
        subvolume(&["create".as_ref(), &base]);
        run(Command::new("cp").args(["-a", "--reflink=never"]).arg(lower.join(".")).arg(&base));
        Some(Btrfs { image })
    }

    fn fork(&self) -> PathBuf {
        self.image.mount.join("fork")
    }
}

impl Peer for Btrfs {
    fn name(&self) -> &'static str {
        "btrfs"
    }

    fn mount(&self) -> PathBuf {
        subvolume(&["snapshot".as_ref(), &self.image.mount.join("base"), &self.fork()]);
        self.fork()
    }

    fn unmount(&self) {
        subvolume(&["delete".as_ref(), &self.fork()]);
        assert!(fs::symlink_metadata(self.fork()).is_err());
    }

    fn taken_bytes(&self) -> u64 {
        self.image.taken_bytes()
    }
}

fn subvolume(words: &[&Path]) {
    run(Command::new("btrfs").arg("subvolume").args(words).stdout(Stdio::null()));
}
