//! Trees of files: a directory in, forked, changed, compared, and mounted where that is allowed.

use std::fs::OpenOptions;
use std::path::Path;

use super::shell::{Shell, quoted};
use crate::error::Result;

/// Shows what a tree made of `folder` can do.
pub fn show(folder: &Path, shell: &mut Shell<'_>) -> Result<()> {
    shell.say("A tree of files works the same way: a directory goes in, without mount or root.")?;
    shell.run(&format!("sapwood import {} tree:1", quoted(folder)))?;
    shell.run("sapwood fork tree:1 box")?;
    shell.run("head -c 64M /dev/urandom > large && sapwood cp large box:/large")?;
    shell.run("sapwood snapshot box --tag box:1")?;

    shell.say(
        "4 KiB of a file of 64 MiB change, and some names: the layer holds no more than that.",
    )?;
    shell.run("head -c 4096 /dev/urandom | sapwood write box:/large --offset 8M")?;
    shell.run("sapwood mkdir -p box:/srv/www")?;
    shell.run("echo hello | sapwood cp - box:/srv/www/index.html")?;
    shell.run("sapwood snapshot box --tag box:2")?;
    shell.run("sapwood du box:2 --layers")?;
    shell.run("sapwood blame box:2:/large")?;
    shell.run_expecting("sapwood diff box:1 box:2 --files", 1)?;
    shell.run("sapwood ls -l box:2:/srv/www")?;
    mounted(shell)?;
    shell.run("sapwood check")
}

/// A snapshot of a mount while a process writes there.
fn mounted(shell: &mut Shell<'_>) -> Result<()> {
    if !may_mount(shell) {
        return shell
            .say("Nothing is mounted here: that takes /dev/fuse, and root or fusermount3.");
    }
    shell.say("The tree is mounted, and a snapshot taken while a process writes into it.")?;
    if !shell.attempt("mkdir mnt && sapwood mount box mnt")? {
        return shell.say("This machine does not allow it.");
    }
    shell.run("echo begun > mnt/log")?;
    shell.run(
        "(until [ -e done ]; do echo line >> mnt/log || exit; done; echo end >> mnt/log) & \
         sapwood snapshot box --tag box:3; code=$?; touch done; wait; exit $code",
    )?;
    shell.run("sapwood umount mnt")?;
    shell.run("sapwood ls -l box:3:/log box:/log")?;
    shell.run_expecting("sapwood diff box:3 box --files", 1)
}

fn may_mount(shell: &Shell<'_>) -> bool {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    device.is_ok() && (rustix::process::geteuid().is_root() || shell.has("fusermount3"))
}
