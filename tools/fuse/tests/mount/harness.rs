//! A store, its volumes, and the processes that serve them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sapwood::files::{FileKind, Files, FilesOptions, FilesView};
use sapwood::store::Name;
use sapwood::{Annotations, ErrorKind, Store, StoreOptions};
use sapwood_fuse::{
    AccessTimes, Audience, Durability, IdMap, Mount, MountOptions, MountPoint, RunningMount,
    Unmount, control_folder, detach,
};
use tempfile::TempDir;

/// What the process that serves is to do: words, one a line.
const ORDERS: &str = "SAPWOOD_TEST_SERVE";
/// What it says when the mount is there.
const READY: &str = "the mount is there";

/// Shell that takes away the variables of the test's own build, of which none may reach a build
/// under test.
pub const PLAIN_CARGO: &str =
    "for name in $(env | sed -n 's/^\\(CARGO[A-Z_]*\\|RUST[A-Z_]*\\)=.*/\\1/p')
     do case $name in CARGO_HOME|RUSTUP_HOME|RUSTUP_TOOLCHAIN) ;; *) unset $name;; esac; done";

/// Whether this machine can mount; where it cannot, the test says so loudly and ends.
pub fn can_mount(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    let has_device = Path::new("/dev/fuse").exists();
    if is_root && has_device {
        return true;
    }
    skip(test, if has_device { "not root" } else { "no /dev/fuse" });
    false
}

/// Whether a program is there; where it is not, the test says so loudly and ends.
pub fn has_program(test: &str, program: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {program}")).output();
    if found.expect("a shell").status.success() {
        return true;
    }
    skip(test, &format!("no {program}"));
    false
}

/// How many times longer than by default the long tests run; 0 leaves them out.
pub fn factor(test: &str) -> u64 {
    let factor = std::env::var("SAPWOOD_MOUNT_FACTOR").ok().and_then(|text| text.parse().ok());
    if factor.is_none() {
        skip(test, "SAPWOOD_MOUNT_FACTOR is not set");
    }
    factor.unwrap_or(0)
}

/// Says loudly that a test does nothing, and why.
pub fn skip(test: &str, why: &str) {
    // Past the capture of the test runner: a test that did nothing must be seen.
    let mut stderr = std::fs::OpenOptions::new().append(true).open("/dev/stderr");
    let line = format!("SKIPPED {test}: {why}\n");
    match &mut stderr {
        Ok(stderr) => drop(stderr.write_all(line.as_bytes())),
        Err(_) => eprint!("{line}"),
    }
}

/// A folder with a store and room for mounts.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        Store::create(place.store_path(), &StoreOptions::default()).expect("a store");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn store_path(&self) -> PathBuf {
        self.path("store")
    }

    pub fn store(&self) -> Store {
        Store::open(self.store_path(), &StoreOptions::default()).expect("the store")
    }

    /// The running mount of a volume.
    pub fn ask(&self, name: &str) -> RunningMount {
        let folder = control_folder(&self.store_path(), &Name::new(name).expect("a name"));
        RunningMount::find(&folder).expect("a look").expect("a mount")
    }

    /// Serves the volume `web`, which is made where it is missing.
    pub fn serve(&self, words: &[&str]) -> Served {
        self.serve_as("web", "mnt", words)
    }

    /// Serves a volume on a folder of this place.
    pub fn serve_as(&self, name: &str, folder: &str, words: &[&str]) -> Served {
        Served::start(&self.store_path(), name, &self.path(folder), words).expect("a mount")
    }

    /// Nothing that was left behind is damaged.
    pub fn check(&self) {
        use sapwood::inspect::{CheckOptions, check};
        use sapwood::medium::{FileHost, Host, Network};
        let host: Arc<dyn Host> =
            Arc::new(FileHost::open_root(self.store_path(), Network::Refuse).expect("the store"));
        let options = CheckOptions { data: true };
        let report = check(&host, Path::new(""), &options, &mut |_| {}).expect("a check");
        assert!(report.is_sound(), "{:?}", report.findings);
    }
}

/// A process that serves a mount.
pub struct Served {
    child: Child,
    /// Kept open: the test runner in that process goes on printing.
    _stdout: ChildStdout,
    pub directory: PathBuf,
    /// Until it is unmounted here: what is on the directory then is not its own.
    is_mounted: bool,
}

impl Served {
    /// Starts one; what it said, where it did not come to mount.
    pub fn start(
        store: &Path,
        name: &str,
        directory: &Path,
        words: &[&str],
    ) -> Result<Served, String> {
        if !words.contains(&"dead") {
            std::fs::create_dir_all(directory).expect("a folder to mount on");
        }
        let mut orders =
            vec![store.to_str().expect("text"), name, directory.to_str().expect("text")];
        orders.extend(words);
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["harness::serve", "--exact", "--nocapture"])
            .env(ORDERS, orders.join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut stdout = child.stdout.take().expect("piped");
        let mut said = String::new();
        let mut bytes = [0; 4096];
        while !said.contains(READY) {
            let length = stdout.read(&mut bytes).expect("its output");
            if length == 0 {
                child.wait().expect("its end");
                return Err(said);
            }
            said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        Ok(Served { child, _stdout: stdout, directory: directory.to_owned(), is_mounted: true })
    }

    /// A path in the mount.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The process, for those who send signals.
    pub fn process(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Ends it as a power cut of the process would; its mount stays, dead.
    pub fn kill(&mut self) {
        self.child.kill().expect("to kill it");
        self.child.wait().expect("its end");
    }

    /// Unmounts; the process must end well.
    pub fn unmount(mut self) {
        // A program that another test is just starting still has what this process had open here.
        wait_for("the unmount", || match detach(&self.directory, Unmount::WhenFree) {
            Err(error) if error.kind() == ErrorKind::Locked => false,
            done => done.map(|()| true).expect("to unmount"),
        });
        self.is_mounted = false;
        self.expect_good_end();
    }

    /// Waits for the process to end well by itself.
    pub fn expect_good_end(&mut self) {
        let status = self.child.wait().expect("its end");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let has_ended = matches!(self.child.try_wait(), Ok(Some(_)));
        // After a panic the mount may be in use, and after a kill it is dead.
        let is_detached = !self.is_mounted || detach(&self.directory, Unmount::Detach).is_ok();
        if !has_ended {
            if !is_detached {
                drop(self.child.kill());
            }
            drop(self.child.wait());
        }
    }
}

/// The process that serves; not a test, and without orders nothing at all.
#[test]
fn serve() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Vec<_> = orders.split('\n').collect();
    let &[store, name, directory, ref words @ ..] = orders.as_slice() else { panic!("{orders:?}") };
    if let Err(error) = serve_as_ordered(store.as_ref(), name, directory.as_ref(), words) {
        println!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn serve_as_ordered(
    store: &Path,
    name: &str,
    directory: &Path,
    words: &[&str],
) -> sapwood::Result<()> {
    let mut options = MountOptions {
        source: format!("{}:{name}", store.display()),
        report: Arc::new(|text| eprintln!("server: {text}")),
        room_of: Some(store.to_owned()),
        ..MountOptions::default()
    };
    let mut is_view = false;
    let point = |path: &str, kind| MountPoint { path: path.into(), kind };
    let points = &mut options.mount_points;
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let map = |value: &str| IdMap::new(vec![value.parse().expect("a range")]).expect("a map");
        match key {
            "everybody" => options.audience = Audience::Everybody,
            "lists" => options.access_control_lists = true,
            "devices" => options.devices = true,
            "suid" => options.set_user_id = true,
            "no-access-times" => options.access_times = AccessTimes::Off,
            "volatile" => options.durability = Durability::OnUnmount,
            "threads" => options.threads = value.parse().expect("a number"),
            "quota" => options.quota_bytes = Some(value.parse().expect("a number")),
            "users" => options.users = map(value),
            "groups" => options.groups = map(value),
            "directory-at" => points.push(point(value, FileKind::Directory)),
            "file-at" => points.push(point(value, FileKind::Regular)),
            "view" => is_view = true,
            "dead" => {}
            _ => panic!("{word}"),
        }
    }
    let opened = Store::open(store, &StoreOptions::default())?;
    let mount = if is_view {
        let view = FilesView::open(opened.snapshot_of(name)?)?;
        Mount::read_only(Arc::new(view), directory, options)?
    } else {
        let volume = match opened.open_volume(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => opened.create_tree(name)?,
            volume => volume?,
        };
        let files = Files::open(volume, FilesOptions::default())?;
        let folder = control_folder(store, &Name::new(name)?);
        Mount::writable(files, directory, options)?.listening_in(&folder)?
    };
    println!("{READY}");
    mount.wait()
}

/// Runs a program, which must end well, and gives what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("to start a program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complained}", output.status);
    said
}

/// Runs a line of shell in a directory.
pub fn shell(directory: &Path, line: &str) -> String {
    run(Command::new("sh").arg("-ec").arg(line).current_dir(directory))
}

/// Waits until something is so, which it must become in time.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not happen in 30 s");
}

/// Takes a snapshot of a volume that nobody has open.
pub fn snapshot(place: &Place, name: &str) {
    let volume = place.store().open_volume(name).expect("the volume");
    volume.snapshot(&Annotations::default()).expect("a snapshot");
    volume.close().expect("to close it");
}
