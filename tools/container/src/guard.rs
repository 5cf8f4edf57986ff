//! Sees to it that no container outlives the process that serves its tree.
//!
//! A process that is killed cannot clear up. So a shell waits for the end of a pipe whose other end
//! this process has: when that closes without a word, it ends the container and takes its mounts away.

use std::fs;
use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use sapwood::{Error, Result};

use crate::place::Place;
use crate::runtime::Runtime;

/// What says that the container has ended.
const ENDED: &str = "ended";
/// The folder is `$0`, what ends the container `$@`. A runtime that is still making the container must
/// go first: it would go on in the bare folder that the tree was mounted on. Numbers of processes are
/// given again, so it is known by when it began, too.
const SCRIPT: &str = r#"
    runtime= began=
    while read -r word more; do
        [ "$word" = ended ] && exit
        runtime=$word began=$more
    done
    is_runtime() {
        read -r facts && set -- ${facts##*) } && [ "${20}" = "$began" ]
    }
    { is_runtime <"/proc/$runtime/stat" && kill -9 "$runtime"; "$@"
    umount -l "$0"/rootfs "$0"/bundle "$0"/sources/* "$0"/trees/*; } >/dev/null 2>&1"#;
/// Which of the facts after a process's name it is, when it began.
const BEGAN: usize = 20;

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
        let told = began(runtime).and_then(|began| self.tell(runtime, &began));
        told.map_err(|error| Error::io("guard a container", error))
    }

    fn tell(&mut self, runtime: &Child, began: &str) -> io::Result<()> {
        self.word.write_all(format!("{} {began}\n", runtime.id()).as_bytes())
    }

    /// Lets the guard go: the container has ended.
    pub fn dismiss(mut self) -> Result<()> {
        let failed = |error| Error::io("dismiss the guard of a container", error);
        self.word.write_all(format!("{ENDED}\n").as_bytes()).map_err(failed)?;
        self.shell.wait().map_err(failed)?;
        Ok(())
    }
}

/// When a process that was not waited for began, as the kernel counts.
fn began(process: &Child) -> io::Result<String> {
    let facts = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let after_name = facts.rsplit_once(") ").map_or("", |(_, facts)| facts);
    let began = after_name.split_ascii_whitespace().nth(BEGAN - 1);
    began.map(str::to_owned).ok_or_else(|| io::Error::other("the kernel tells no such fact"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// A runtime had ended, and its number was another process's when the server was killed.
    #[test]
    fn who_has_the_number_of_a_runtime_that_ended_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/bin/true", folder.path().join("runc")).unwrap();
        let runtime = Runtime::find_in(Some("runc"), folder.path().as_os_str()).unwrap();
        let place = Place::in_folder(folder.path());
        let mut process = Command::new("sleep").arg("1000").spawn().unwrap();
        let began = began(&process).unwrap();
        let killed_server = |process: &Child, began: &str| {
            let mut guard = Guard::start(&runtime, &place, "id").unwrap();
            guard.tell(process, began).unwrap();
            let Guard { mut shell, word } = guard;
            drop(word);
            shell.wait().unwrap();
        };
        killed_server(&process, "1");
        assert!(process.try_wait().unwrap().is_none());
        killed_server(&process, &began);
        assert_eq!(process.wait().unwrap().signal(), Some(9));
    }
}
