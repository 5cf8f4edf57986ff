//! What a build costs that has nothing to do: the whole command, beside `buildah bud --layers` on
//! the same file and context, in turns.
//!
//! Without root, `runc`, `busybox` and `buildah` only what needs none of them is measured; it says so.
//! `--quick` takes a small context and few rounds.

#[path = "shared/measure.rs"]
mod measure;
#[path = "shared/programs.rs"]
mod programs;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use measure::{median, timed};
use programs::has;

/// Instructions that make layers in the file of many steps.
const STEPS: usize = 20;
/// Files in a directory of the large context.
const FILES_A_DIRECTORY: usize = 100;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let (files, rounds) = if is_quick { (2_000, 3) } else { (20_000, 9) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = Place::new(folder.path());
    println!("a build that was made before, from start to end, medians of {rounds}");
    println!("{:<44}{:>12}{:>12}{:>8}", "", "sapwood", "buildah", "x");
    if place.runs {
        let (file, context) = steps(folder.path());
        place.row(&format!("{STEPS} steps"), &file, &context, rounds);
    }
    let (file, context) = large_context(folder.path(), files);
    let name = format!("COPY of a context of {files} files");
    place.row(&name, &file, &context, rounds);
    let read = median((0..rounds).map(|_| read_all(&context)).collect());
    println!("{:<44}{:>12}", "  all of that read by `cat`", shown(read));
}

/// Where both build.
struct Place {
    folder: PathBuf,
    /// Whether programs can be run.
    runs: bool,
    /// Whether `buildah` is there.
    has_peer: bool,
}

impl Place {
    fn new(folder: &Path) -> Place {
        let is_root = rustix::process::geteuid().is_root();
        let runs = is_root && has("runc") && Path::new("/bin/busybox").exists();
        let has_peer = is_root && has("buildah");
        if !runs {
            println!("SKIPPED: steps that run programs need root, runc and busybox");
        }
        if !has_peer {
            println!("SKIPPED: no buildah to compare with");
        }
        Place { folder: folder.to_owned(), runs, has_peer }
    }

    /// Builds once, and then again and again.
    fn row(&self, name: &str, file: &Path, context: &Path, rounds: usize) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let our_time = timed(&mut self.sapwood(file, context));
            let their_time = self.has_peer.then(|| timed(&mut self.buildah(file, context)));
            // The first round makes all of it.
            if round > 0 {
                ours.push(our_time);
                theirs.extend(their_time);
            }
        }
        let ours = median(ours);
        print!("{name:<44}{:>12}", shown(ours));
        match theirs.is_empty() {
            true => println!(),
            false => {
                let theirs = median(theirs);
                let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
                println!("{:>12}{ratio:>8.1}", shown(theirs));
            }
        }
    }

    fn sapwood(&self, file: &Path, context: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
        command
            .arg("--store")
            .arg(self.folder.join("store"))
            .args(["build", "-t", "built:1", "-f"]);
        command.args([file, context]);
        command
    }

    fn buildah(&self, file: &Path, context: &Path) -> Command {
        let mut command = Command::new("buildah");
        let root = self.folder.join("buildah");
        command.arg("--root").arg(root.join("root")).arg("--runroot").arg(root.join("run"));
        command.args(["bud", "--layers", "--isolation", "chroot", "-t", "built:1", "-f"]);
        command.args([file, context]);
        command
    }
}

/// A file of many steps on a small tree with a shell.
fn steps(folder: &Path) -> (PathBuf, PathBuf) {
    let context = folder.join("steps");
    fs::create_dir_all(context.join("root/bin")).unwrap();
    for directory in ["dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir(context.join("root").join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", context.join("root/bin/busybox")).unwrap();
    symlink("busybox", context.join("root/bin/sh")).unwrap();
    let mut text = "FROM scratch\nCOPY root /\nENV A=b\n".to_owned();
    for step in 2..=STEPS {
        match step % 2 {
            0 => text += &format!("RUN echo {step} > /made-{step}\n"),
            _ => {
                fs::write(context.join(format!("file-{step}")), format!("{step}\n")).unwrap();
                text += &format!("COPY file-{step} /copied/\n");
            }
        }
    }
    text += "CMD [\"sh\"]\n";
    let file = folder.join("steps.containerfile");
    fs::write(&file, text).unwrap();
    (file, context)
}

/// A context of many small files, copied whole.
fn large_context(folder: &Path, files: usize) -> (PathBuf, PathBuf) {
    let context = folder.join("large");
    for number in 0..files {
        let directory = context.join(format!("d{}", number / FILES_A_DIRECTORY));
        fs::create_dir_all(&directory).unwrap();
        let content = format!("{number}\n").repeat(100 + number % 1000);
        fs::write(directory.join(format!("f{number}")), content).unwrap();
    }
    let file = folder.join("large.containerfile");
    fs::write(&file, "FROM scratch\nCOPY . /all/\n").unwrap();
    (file, context)
}

fn read_all(context: &Path) -> Duration {
    let script = "find \"$0\" -type f -print0 | xargs -0 cat";
    timed(Command::new("sh").args(["-c", script]).arg(context))
}

fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
