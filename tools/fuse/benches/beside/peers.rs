//! Who is measured: each shows the tree on a directory, to be written over.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use sapwood::files::{Files, FilesOptions};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_fuse::{Mount, MountOptions, Unmount, detach};

use super::rows::run;
use super::tree::Tree;

const READY: &[u8] = b"ready\n";

/// Somebody who mounts trees.
pub trait Peer {
    fn name(&self) -> &'static str;

    /// Mounts the tree afresh, nothing written over it yet.
    fn mount(&self) -> PathBuf;

    /// Takes the mount away, with what was written over it.
    fn unmount(&self);
}

/// sapwood, and those of the others that the machine has.
pub fn all(folder: &Path, tree: &Tree) -> Vec<Box<dyn Peer>> {
    let mut peers: Vec<Box<dyn Peer>> = vec![Box::new(Sapwood::new(folder, tree))];
    let has_helper = Command::new("fuse-overlayfs").arg("--version").output().is_ok();
    if has_helper {
        peers.push(Box::new(Union::new(folder, tree, Kind::Helper)));
    } else {
        println!("SKIPPED: no fuse-overlayfs");
    }
    let kernel = Union::new(folder, tree, Kind::Kernel);
    if kernel.try_mount() {
        kernel.unmount();
        peers.push(Box::new(kernel));
    } else {
        println!("SKIPPED: OverlayFS does not mount here");
    }
    peers
}

/// A fork of the tree's snapshot for each mount, served by a process of its own.
struct Sapwood {
    store: PathBuf,
    directory: PathBuf,
    forks: AtomicU32,
    server: Mutex<Option<Child>>,
}

impl Sapwood {
    fn new(folder: &Path, tree: &Tree) -> Sapwood {
        let (store, directory) = (folder.join("store"), folder.join("sapwood"));
        fs::create_dir(&directory).unwrap();
        let made = Store::create(&store, &StoreOptions::default()).unwrap();
        made.create_tree("base").unwrap().close().unwrap();
        let peer = Sapwood { store, directory, forks: AtomicU32::new(0), server: Mutex::new(None) };
        peer.serve_name("base");
        run(Command::new("cp").arg("-a").arg(tree.path.join(".")).arg(&peer.directory));
        peer.end();
        let base = made.open_volume("base").unwrap();
        base.snapshot(&Annotations::default()).unwrap();
        base.close().unwrap();
        made.tag("base@1", "tree:1", Replace::Refuse).unwrap();
        peer
    }

    fn serve_name(&self, name: &str) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("serve")
            .args([self.store.as_os_str(), name.as_ref(), self.directory.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; READY.len()];
        child.stdout.take().unwrap().read_exact(&mut said).expect("the server mounts");
        assert_eq!(said, READY);
        *self.server.lock().unwrap() = Some(child);
    }

    fn end(&self) {
        detach(&self.directory, Unmount::WhenFree).expect("nobody is in it");
        let child = self.server.lock().unwrap().take();
        assert!(child.expect("it was served").wait().unwrap().success());
    }

    fn fork(&self) -> String {
        format!("fork-{}", self.forks.load(Ordering::Relaxed))
    }
}

impl Peer for Sapwood {
    fn name(&self) -> &'static str {
        "sapwood"
    }

    fn mount(&self) -> PathBuf {
        self.forks.fetch_add(1, Ordering::Relaxed);
        let store = Store::open(&self.store, &StoreOptions::default()).unwrap();
        store.fork("tree:1", &self.fork()).unwrap().close().unwrap();
        self.serve_name(&self.fork());
        self.directory.clone()
    }

    fn unmount(&self) {
        self.end();
        let store = Store::open(&self.store, &StoreOptions::default()).unwrap();
        store.remove(&self.fork()).unwrap();
    }
}

/// Serves a volume until it is unmounted.
pub fn serve(store: &str, name: &str, directory: &str) {
    let opened = Store::open(store, &StoreOptions::default()).unwrap();
    let volume = opened.open_volume(name).unwrap();
    let files = Files::open(volume, FilesOptions::default()).unwrap();
    let options = MountOptions { room_of: Some(store.into()), ..MountOptions::default() };
    let mount = Mount::writable(files, directory.as_ref(), options).unwrap();
    let mut stdout = std::io::stdout();
    std::io::Write::write_all(&mut stdout, READY).unwrap();
    std::io::Write::flush(&mut stdout).unwrap();
    mount.wait().unwrap();
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The kernel's own.
    Kernel,
    /// The one over FUSE.
    Helper,
}

/// Directories in layers.
struct Union {
    kind: Kind,
    lower: PathBuf,
    upper: PathBuf,
    work: PathBuf,
    directory: PathBuf,
}

impl Union {
    fn new(folder: &Path, tree: &Tree, kind: Kind) -> Union {
        let name = match kind {
            Kind::Kernel => "overlayfs",
            Kind::Helper => "fuse-overlayfs",
        };
        let at = |part: &str| folder.join(format!("{name}-{part}"));
        let directory = at("mount");
        fs::create_dir(&directory).unwrap();
        Union { kind, lower: tree.path.clone(), upper: at("upper"), work: at("work"), directory }
    }

    fn try_mount(&self) -> bool {
        fs::create_dir(&self.upper).unwrap();
        fs::create_dir(&self.work).unwrap();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.lower.display(),
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
        let done = command.arg("-o").arg(options).arg(&self.directory).stderr(Stdio::null());
        done.status().unwrap().success()
    }
}

impl Peer for Union {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Kernel => "OverlayFS",
            Kind::Helper => "fuse-overlayfs",
        }
    }

    fn mount(&self) -> PathBuf {
        assert!(self.try_mount(), "{} mounts", self.name());
        self.directory.clone()
    }

    fn unmount(&self) {
        // An attempt that did not mount leaves the folders only.
        let _ = Command::new("umount").arg(&self.directory).stderr(Stdio::null()).status();
        fs::remove_dir_all(&self.upper).unwrap();
        fs::remove_dir_all(&self.work).unwrap();
    }
}
