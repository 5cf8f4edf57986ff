//! sapwood itself.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use sapwood::files::{Files, FilesOptions};
use sapwood::{Annotations, Replace, Store, StoreOptions};
use sapwood_fuse::{Mount, MountOptions, Unmount, detach};

use super::{Peer, disk_bytes};
use crate::rows::run;

const READY: &[u8] = b"ready\n";

/// A fork of a snapshot for each mount, served by a process of its own.
pub struct Sapwood {
    store: PathBuf,
    base: String,
    directory: PathBuf,
    name: &'static str,
    forks: AtomicU32,
    server: Mutex<Option<Child>>,
}

impl Sapwood {
    /// Over what is in `lower`, brought in through a mount.
    pub fn new(folder: &Path, lower: &Path) -> Sapwood {
        let store = folder.join("store");
        let made = Store::create(&store, &StoreOptions::default()).unwrap();
        made.create_tree("base").unwrap().close().unwrap();
        let peer = Sapwood::of_store(&store, "tree:1", &folder.join("sapwood"), "sapwood");
        peer.serve_name("base");
        run(Command::new("cp").arg("-a").arg(lower.join(".")).arg(&peer.directory));
        peer.end();
        let base = made.open_volume("base").unwrap();
        base.snapshot(&Annotations::default()).unwrap();
        base.close().unwrap();
        made.tag("base@1", &peer.base, Replace::Refuse).unwrap();
        peer
    }

    /// Over a snapshot that a store has.
    pub fn of_store(store: &Path, base: &str, directory: &Path, name: &'static str) -> Sapwood {
        fs::create_dir(directory).unwrap();
        Sapwood {
            store: store.to_owned(),
            base: base.to_owned(),
            directory: directory.to_owned(),
            name,
            forks: AtomicU32::new(0),
            server: Mutex::new(None),
        }
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
        self.name
    }

    fn mount(&self) -> PathBuf {
        self.forks.fetch_add(1, Ordering::Relaxed);
        let store = Store::open(&self.store, &StoreOptions::default()).unwrap();
        store.fork(&self.base, &self.fork()).unwrap().close().unwrap();
        self.serve_name(&self.fork());
        self.directory.clone()
    }

    fn unmount(&self) {
        self.end();
        let store = Store::open(&self.store, &StoreOptions::default()).unwrap();
        store.remove(&self.fork()).unwrap();
    }

    fn taken_bytes(&self) -> u64 {
        disk_bytes(&self.store)
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
    stdout.write_all(READY).unwrap();
    stdout.flush().unwrap();
    mount.wait().unwrap();
}
