//! Directories in layers: the kernel's OverlayFS, and fuse-overlayfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Image, Peer, disk_bytes};
use crate::rows::run;

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel's own.
    Kernel,
    /// The one over FUSE.
    Helper,
}

/// A fresh upper directory for each mount.
pub struct Union {
    kind: Kind,
    name: &'static str,
    /// Newest first.
    lower: Vec<PathBuf>,
    upper: PathBuf,
    work: PathBuf,
    directory: PathBuf,
    image: Option<Image>,
}

impl Union {
    /// Over `lower`; `None` where the machine lacks it.
    pub fn new(folder: &Path, lower: &Path, kind: Kind) -> Option<Union> {
        let name = match kind {
            Kind::Kernel => "OverlayFS",
            Kind::Helper => "fuse-overlayfs",
        };
        Union::of_layers(folder, vec![lower.to_owned()], name, kind, None)
    }

    /// Over several layers, the newest first.
    pub fn over(folder: &Path, lower: Vec<PathBuf>, kind: Kind) -> Option<Union> {
        let name = match kind {
            Kind::Kernel => "OverlayFS, layers",
            Kind::Helper => "fuse-overlayfs, layers",
        };
        Union::of_layers(folder, lower, name, kind, None)
    }

    /// OverlayFS over a copy of `lower` on XFS, which copies up by sharing.
    pub fn on_xfs(folder: &Path, lower: &Path, bytes: u64) -> Option<Union> {
        let image = Image::make(folder, "xfs", &["mkfs.xfs", "-q", "-m", "reflink=1"], bytes)?;
        let (mount, copy) = (image.mount.clone(), image.mount.join("lower"));
        fs::create_dir(&copy).unwrap();
        run(Command::new("cp").args(["-a", "--reflink=never"]).arg(lower.join(".")).arg(&copy));
        Union::of_layers(&mount, vec![copy], "OverlayFS on XFS", Kind::Kernel, Some(image))
    }

    fn of_layers(
        folder: &Path,
        lower: Vec<PathBuf>,
        name: &'static str,
        kind: Kind,
        image: Option<Image>,
    ) -> Option<Union> {
        let at = |part: &str| folder.join(format!("{}-{part}", name.replace([' ', ','], "-")));
        let directory = at("mount");
        fs::create_dir(&directory).unwrap();
        let (upper, work) = (at("upper"), at("work"));
        let union = Union { kind, name, lower, upper, work, directory, image };
        if union.try_mount() {
            union.unmount();
            return Some(union);
        }
        union.clear();
        None
    }

    fn try_mount(&self) -> bool {
        fs::create_dir(&self.upper).unwrap();
        fs::create_dir(&self.work).unwrap();
        // By name alone, seen from where they are: so a hundred fit into one option.
        let stand = self.lower[0].parent().unwrap();
        let names: Vec<_> =
            self.lower.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            names.join(":"),
            self.upper.display(),
            self.work.display()
        );
        let mut command = match self.kind {
            Kind::Kernel => Command::new("mount"),
            Kind::Helper => Command::new("fuse-overlayfs"),
        };
        if self.kind == Kind::Kernel {
            command.args(["-t", "overlay", "overlay"]);
        }
        command.current_dir(stand).arg("-o").arg(options).arg(&self.directory);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn clear(&self) {
        fs::remove_dir_all(&self.upper).unwrap();
        fs::remove_dir_all(&self.work).unwrap();
    }
}

impl Peer for Union {
    fn name(&self) -> &'static str {
        self.name
    }

    fn mount(&self) -> PathBuf {
        assert!(self.try_mount(), "{} mounts", self.name());
        self.directory.clone()
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(&self.directory));
        self.clear();
    }

    fn taken_bytes(&self) -> u64 {
        match &self.image {
            Some(image) => image.taken_bytes(),
            None => disk_bytes(&self.upper),
        }
    }
}
