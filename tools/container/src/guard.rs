//! Sees to it that no container outlives the process that serves its tree.
//!
//! A process that is killed cannot clear up. So a shell waits for the end of a pipe whose other end
//! this process has: when that closes without a word, it ends the container and takes its mounts away.

use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use sapwood::{Error, Result};

use crate::place::Place;
use crate::runtime::Runtime;

/// What says that the container has ended.
const ENDED: &str = "ended";
/// The folder is `$0`, what ends the container `$@`. A runtime that is still making the container must
/// go first: it would go on in the bare folder that the tree was mounted on.
const SCRIPT: &str = r#"
    runtime=
    while read -r word; do
        [ "$word" = ended ] && exit
        runtime=$word
    done
    { [ -z "$runtime" ] || kill -9 "$runtime"; "$@"
    umount -l "$0"/rootfs "$0"/bundle "$0"/sources/* "$0"/trees/*; } >/dev/null 2>&1"#;

/// A shell that waits for this process to end.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
    word: PipeWriter,
}

impl Guard {
    /// Guards the container `id`.
    pub fn start(runtime: &Runtime, place: &Place, id: &str) -> Result<Guard> {
        let failed = |error| Error::io("guard a container", error);
        let (reader, word) = io::pipe().map_err(failed)?;
        let ending = runtime.delete(place, id);
        let shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg(&place.folder)
            .arg(ending.get_program())
            .args(ending.get_args())
            .current_dir("/")
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What stops this process must not stop that one.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        Ok(Guard { shell, word })
    }

    /// Tells it of the process that makes and runs the container.
    pub fn watch(&mut self, runtime: &Child) -> Result<()> {
        let failed = |error| Error::io("guard a container", error);
        self.word.write_all(format!("{}\n", runtime.id()).as_bytes()).map_err(failed)
    }

    /// Lets the guard go: the container has ended.
    pub fn dismiss(mut self) -> Result<()> {
        let failed = |error| Error::io("dismiss the guard of a container", error);
        self.word.write_all(format!("{ENDED}\n").as_bytes()).map_err(failed)?;
        self.shell.wait().map_err(failed)?;
        Ok(())
    }
}
