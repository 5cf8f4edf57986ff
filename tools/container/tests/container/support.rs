//! A store with a small tree that has a shell, and ways to run something over it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sapwood::files::{Files, FilesOptions, FilesView, NewFile, Paths, ReadFiles, changes};
use sapwood::{Annotations, Replace, Snapshot, Store, StoreOptions};
use sapwood_container::{Error, Job, Place, Process, Runtime, Streams, run};
use tempfile::TempDir;

/// What every test tree is made of.
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 24] = [
    "cat", "chmod", "chown", "cp", "df", "echo", "env", "hostname", "id", "ip", "kill", "ls",
    "mkdir", "mount", "mv", "ps", "pwd", "rm", "sh", "sleep", "stat", "su", "test", "touch",
];

/// Whether this machine can run containers; where it cannot, the test says so loudly and ends.
pub fn can_run(test: &str) -> bool {
    let why = match () {
        () if !rustix::process::geteuid().is_root() => "not root",
        () if !Path::new("/dev/fuse").exists() => "no /dev/fuse",
        () if busybox().is_none() => "no busybox",
        () if find_runtime().is_err() => "no OCI runtime",
        () => return true,
    };
    // Past the capture of the test runner: a test that did nothing must be seen.
    let line = format!("SKIPPED {test}: {why}\n");
    match &mut std::fs::OpenOptions::new().append(true).open("/dev/stderr") {
        Ok(stderr) => drop(stderr.write_all(line.as_bytes())),
        Err(_) => eprint!("{line}"),
    }
    false
}

/// The runtime that these tests are about: `SAPWOOD_RUNTIME`, or the first that is installed.
pub fn find_runtime() -> sapwood::Result<Runtime> {
    Runtime::find(std::env::var("SAPWOOD_RUNTIME").ok().as_deref())
}

fn busybox() -> Option<Vec<u8>> {
    [BUSYBOX, "/usr/bin/busybox"].iter().find_map(|path| std::fs::read(path).ok())
}

/// A store with the tag `base:1`, a tree with a shell.
pub struct Stand {
    folder: TempDir,
    pub store: Store,
}

/// What ran, and the layer it made.
pub struct Ran {
    pub code: u8,
    pub output: String,
    pub before: Snapshot,
    pub after: Snapshot,
}

impl Stand {
    pub fn new() -> Stand {
        Stand::with(|_| {})
    }

    /// With more in the tree.
    pub fn with(more: impl FnOnce(&Files)) -> Stand {
        Stand::in_folder(tempfile::tempdir().unwrap(), more)
    }

    /// As [`Stand::with`], in a folder of its own.
    pub fn in_folder(folder: TempDir, more: impl FnOnce(&Files)) -> Stand {
        let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
        let files =
            Files::open(store.create_tree("base").unwrap(), FilesOptions::default()).unwrap();
        let paths = Paths::new(&files);
        let bin = paths.create_dir("/bin").unwrap().inode;
        let program = files.create(bin, b"busybox", &NewFile::regular(0o755)).unwrap().inode;
        files.write(program, 0, &busybox().expect("busybox")).unwrap();
        for applet in APPLETS {
            files.symlink(bin, applet.as_bytes(), b"busybox", 0, 0).unwrap();
        }
        paths.create_dir("/etc").unwrap();
        paths
            .write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nwww:x:33:34::/var/www:/bin/sh\n")
            .unwrap();
        paths.write("/etc/group", b"root:x:0:\nwww:x:34:\nweb:x:50:www\n").unwrap();
        more(&files);
        files.snapshot(&Annotations::default()).unwrap();
        files.close().unwrap();
        store.tag("base@1", "base:1", Replace::Refuse).unwrap();
        Stand { folder, store }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn place(&self) -> Place {
        Place::in_folder(self.path("place"))
    }

    /// A fork of the base.
    pub fn fork(&self, name: &str) -> Files {
        Files::open(self.store.fork("base:1", name).unwrap(), FilesOptions::default()).unwrap()
    }

    /// Runs a job over a fork of the base, and takes a snapshot of what came of it. What it wrote to
    /// both of its streams is the output.
    pub fn run(&self, name: &str, job: &Job) -> Result<Ran, Error> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let streams = Streams {
            stdin: Stdio::null(),
            stdout: writer.try_clone().unwrap().into(),
            stderr: writer.into(),
        };
        let runtime = find_runtime().unwrap();
        let ran = run(&runtime, self.fork(name), &self.place(), job, streams);
        assert_eq!(left_in(&self.path("place")), BTreeSet::new(), "nothing is left behind");
        let (code, files) = ran?;
        let mut output = String::new();
        reader.read_to_string(&mut output).unwrap();
        let after = files.snapshot(&Annotations::default()).unwrap();
        files.close().unwrap();
        let before = self.store.snapshot_of("base:1").unwrap();
        Ok(Ran { code, output, before, after })
    }

    /// Runs a line of shell.
    pub fn shell(&self, name: &str, line: &str) -> Ran {
        let job = Job { process: shell(line), ..Job::default() };
        self.run(name, &job).unwrap()
    }
}

impl Ran {
    /// What is different in the layer: letters and paths.
    pub fn changes(&self) -> Vec<String> {
        let (before, after) = (self.view(&self.before), self.view(&self.after));
        let changes = changes(&before, &after).unwrap();
        let line = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        changes.iter().map(|change| format!("{} {}", change.letter(), line(&change.path))).collect()
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> String {
        String::from_utf8(Paths::new(&self.view(&self.after)).read(path).unwrap()).unwrap()
    }

    fn view(&self, snapshot: &Snapshot) -> FilesView {
        FilesView::open(snapshot.clone()).unwrap()
    }
}

pub fn shell(line: &str) -> Process {
    Process { arguments: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Process::default() }
}

/// What is in a folder.
pub fn left_in(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The attributes of the root directory.
pub fn root_of(snapshot: &Snapshot) -> sapwood::files::Attributes {
    let view = FilesView::open(snapshot.clone()).unwrap();
    view.attributes(sapwood::files::Inode::ROOT).unwrap()
}
