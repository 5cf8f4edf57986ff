//! A filesystem of its own, in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{statvfs, syncfs};

/// What a filesystem takes for itself at most, in bytes; less is refused by `mkfs.xfs`.
const ROOM_BYTES: u64 = 512 << 20;

/// Mounted while it lives.
pub struct Image {
    pub mount: PathBuf,
}

impl Image {
    /// Makes one with room for `bytes` twice, by `mkfs`; `None` where the machine lacks that, or
    /// the kernel the filesystem.
    pub fn make(folder: &Path, name: &str, mkfs: &[&str], bytes: u64) -> Option<Image> {
        let (file, mount) = (folder.join(format!("{name}.image")), folder.join(name));
        File::create(&file).unwrap().set_len(2 * bytes + ROOM_BYTES).unwrap();
        fs::create_dir(&mount).unwrap();
        let mut command = Command::new(mkfs[0]);
        let made = quiet(command.args(&mkfs[1..]).arg(&file));
        let done = made && quiet(Command::new("mount").args(["-o", "loop"]).arg(&file).arg(&mount));
        done.then_some(Image { mount })
    }

    /// What is taken, once all that waits is written.
    pub fn taken_bytes(&self) -> u64 {
        syncfs(File::open(&self.mount).unwrap()).unwrap();
        let room = statvfs(&self.mount).unwrap();
        (room.f_blocks - room.f_bfree) * room.f_frsize
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        assert!(
            quiet(Command::new("umount").arg(&self.mount)),
            "{} unmounts",
            self.mount.display()
        );
    }
}

fn quiet(command: &mut Command) -> bool {
    let run = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
