//! What containers cost in time and on the disk: whole commands beside `buildah` with its overlay storage,
//! `runc` on a plain directory and OverlayFS itself, in turns, on the filesystem of the temporary
//! directory.
//!
//! Root, `busybox`, `runc` and `buildah` are needed; what one of them lacks is left out with a
//! message. `--quick` takes small sizes and few rounds.

#[path = "shared/measure.rs"]
mod measure;
#[path = "shared/noise.rs"]
mod noise;
#[path = "shared/programs.rs"]
mod programs;

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use measure::{median, timed};
use noise::write_noise;
use programs::has;
use sapwood::{Store, StoreOptions};
use sapwood_container::{NewContainer, Settings, create};

/// Containers whose disk space is added up.
const FORKS: u64 = 10;

struct Sizes {
    files: usize,
    file_bytes: usize,
    large_bytes: u64,
    rounds: usize,
}

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let sizes = match is_quick {
        true => Sizes { files: 200, file_bytes: 16 << 10, large_bytes: 64 << 20, rounds: 3 },
        false => Sizes { files: 4000, file_bytes: 16 << 10, large_bytes: 1 << 30, rounds: 11 },
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = Place::new(folder.path(), &sizes);
    println!("whole commands, medians of {}, an image of {} files", sizes.rounds, sizes.files);
    println!("{:<52}{:>12}{:>12}{:>9}", "", "sapwood", "peer", "x");
    forks(&place, &sizes);
    commits(&place, &sizes);
    runs(&place, &sizes);
    large_file(&place, &sizes);
    shared_base(&place);
}

/// A store and a storage of buildah's with the same image, `base:1`.
struct Place {
    folder: PathBuf,
    has_buildah: bool,
    can_run: bool,
}

impl Place {
    fn new(folder: &Path, sizes: &Sizes) -> Place {
        let is_root = rustix::process::geteuid().is_root();
        let place = Place {
            folder: folder.to_owned(),
            has_buildah: is_root && has("buildah"),
            can_run: is_root && has("runc") && has("busybox") && Path::new("/dev/fuse").exists(),
        };
        if !place.has_buildah {
            println!("SKIPPED: buildah with overlay storage, which needs root and buildah");
        }
        if !place.can_run {
            println!("SKIPPED: running, which needs root, /dev/fuse, runc and busybox");
        }
        let tree = place.path("tree");
        make_tree(&tree, sizes);
        run(&mut place.sapwood(&["init"]));
        run(place.sapwood(&["import"]).arg(&tree).arg("base:1"));
        if place.has_buildah {
            let made = said(&mut place.buildah(&["from", "scratch"]));
            run(place.buildah(&["copy", "-q", &made]).arg(&tree).arg("/"));
            run(&mut place.buildah(&["commit", "-q", "--rm", &made, "base:1"]));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn sapwood(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sapwood"));
        command.arg("--store").arg(self.path("store")).arg("-q").args(words);
        command
    }

    fn buildah(&self, words: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(self.path("storage")).arg("--runroot").arg(self.path("running"));
        command.args(["--storage-driver", "overlay"]).args(words);
        command
    }

    fn taken(&self) -> u64 {
        allocated(&self.path("store"))
    }
}

/// A container of an image: durable, not yet durable, and made by the library, where a program
/// makes many.
fn forks(place: &Place, sizes: &Sizes) {
    let [mut ours, mut unsynced, mut inside, mut theirs] = [const { Vec::new() }; 4];
    let mut taken = 0;
    for round in 0..=sizes.rounds {
        let name = format!("fork-{round}");
        let before = place.taken();
        ours.push(timed(&mut place.sapwood(&["fork", "base:1", &name])));
        taken += place.taken() - before;
        let light = format!("light-{round}");
        unsynced.push(timed(&mut place.sapwood(&["fork", "--no-sync", "base:1", &light])));
        inside.push(created(place, &format!("made-{round}")));
        if place.has_buildah {
            theirs.push(timed(&mut place.buildah(&["from", "--name", &name, "base:1"])));
        }
    }
    row("a container of an image, beside `buildah from`", ours, theirs.clone());
    println!("{:<52}{:>12}", "  on the disk", size(taken / (sizes.rounds as u64 + 1)));
    row("  with --no-sync", unsynced, theirs.clone());
    row("  by the library, with its record", inside, theirs);
}

/// How long a process that has the image open takes to make a container.
fn created(place: &Place, name: &str) -> Duration {
    let store = Store::open(place.path("store"), &StoreOptions::default()).expect("a store");
    let snapshot = store.snapshot_of("base:1").expect("the image");
    let settings = Settings { command: vec!["true".to_owned()], ..Settings::default() };
    let new = NewContainer {
        name: Some(name),
        image: "base:1",
        snapshot: &snapshot,
        configuration: None,
        settings: &settings,
    };
    let began = Instant::now();
    let made = create(&store, &new).expect("a container");
    let took = began.elapsed();
    drop(made);
    took
}

/// A small change as a layer that is named by its digest.
fn commits(place: &Place, sizes: &Sizes) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let change = place.path("change");
    for round in 0..=sizes.rounds {
        let (name, tag) = (format!("fork-{round}"), format!("changed:{round}"));
        fs::write(&change, format!("round {round}\n")).unwrap();
        run(place.sapwood(&["cp"]).arg(&change).arg(format!("{name}:/change")));
        ours.push(timed(&mut place.sapwood(&["commit", &name, &tag])));
        if place.has_buildah {
            run(place.buildah(&["copy", "-q", &name]).arg(&change).arg("/change"));
            theirs.push(timed(&mut place.buildah(&["commit", "-q", &name, &tag])));
        }
    }
    row("a small change, sealed, beside `buildah commit`", ours, theirs);
}

/// `true` over a fork that goes, from start to end, beside what the runtime alone takes.
fn runs(place: &Place, sizes: &Sizes) {
    if !place.can_run {
        return;
    }
    let bundle = place.path("bundle");
    fs::create_dir(&bundle).unwrap();
    run(Command::new("runc").arg("spec").current_dir(&bundle));
    let config = bundle.join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let tree = place.path("tree").display().to_string();
    let text = text.replace("\"terminal\": true", "\"terminal\": false");
    let text = text.replace("\"sh\"", "\"true\"").replace("\"rootfs\"", &format!("\"{tree}\""));
    fs::write(&config, text).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=sizes.rounds {
        let words = ["run", "--rm", "--runtime", "runc", "base:1", "true"];
        ours.push(timed(&mut place.sapwood(&words)));
        let id = format!("sapwood-bench-{}-{round}", std::process::id());
        theirs.push(timed(Command::new("runc").args(["run", &id]).current_dir(&bundle)));
    }
    row("`run --rm` of `true`, beside `runc run` alone", ours, theirs);
}

/// One block changed in a large file of the image, in each of ten containers.
fn large_file(place: &Place, sizes: &Sizes) {
    let tree = place.path("large");
    fs::create_dir(&tree).unwrap();
    write_noise(&tree.join("large"), sizes.large_bytes);
    run(place.sapwood(&["import"]).arg(&tree).arg("large:1"));
    let before = place.taken();
    let change = vec![7; 4096];
    for fork in 0..FORKS {
        let name = format!("large-{fork}");
        run(&mut place.sapwood(&["fork", "large:1", &name]));
        let offset = (sizes.large_bytes / FORKS * fork) & !4095;
        let words = ["write", &format!("{name}:/large"), "--offset", &offset.to_string()];
        fed(&mut place.sapwood(&words), &change);
    }
    let ours = place.taken() - before;
    let what = format!("{FORKS} forks, 4 KiB of {} each", size(sizes.large_bytes));
    let theirs = overlay_copy(place, &tree, sizes.large_bytes / 2, &change);
    let theirs = theirs.map_or("-".to_owned(), |bytes| size(bytes * FORKS));
    println!("{what:<52}{:>12}{theirs:>12}  OverlayFS, {FORKS} times one", size(ours));
}

/// What OverlayFS takes for the same change in one fork.
fn overlay_copy(place: &Place, lower: &Path, offset: u64, change: &[u8]) -> Option<u64> {
    let [upper, work, merged] = ["upper", "work", "merged"].map(|name| place.path(name));
    [&upper, &work, &merged].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged);
    if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("SKIPPED: OverlayFS, which cannot be mounted here");
        return None;
    }
    let mut file = File::options().write(true).open(merged.join("large")).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(change).unwrap();
    file.sync_all().unwrap();
    drop(file);
    run(Command::new("umount").arg(&merged));
    Some(allocated(&upper))
}

/// What `df` says in all, beside what the host has allocated.
fn shared_base(place: &Place) {
    let told = said(&mut place.sapwood(&["df", "-v", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&told).expect("a document");
    let told = told["total_bytes"].as_u64().expect("bytes");
    let found = place.taken();
    let off = (told as f64 - found as f64).abs() / found as f64 * 100.0;
    println!(
        "{:<52}{:>12}{:>12}  {off:.2} % apart",
        "images on one base: `df -v` in all, beside `du`",
        size(told),
        size(found)
    );
}

/// A small root filesystem: a shell, and files unlike each other.
fn make_tree(tree: &Path, sizes: &Sizes) {
    fs::create_dir_all(tree.join("bin")).unwrap();
    for folder in ["proc", "dev", "sys", "etc", "files"] {
        fs::create_dir(tree.join(folder)).unwrap();
    }
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| fs::exists(path).unwrap());
    if let Some(busybox) = busybox {
        fs::copy(busybox, tree.join("bin/busybox")).unwrap();
        symlink("busybox", tree.join("bin/true")).unwrap();
    }
    for number in 0..sizes.files {
        let folder = tree.join("files").join((number / 100).to_string());
        fs::create_dir_all(&folder).unwrap();
        let content = format!("{number:>16}").repeat(sizes.file_bytes / 16);
        fs::write(folder.join(number.to_string()), content).unwrap();
    }
}

/// What the host has allocated for all that is in a folder, each file once.
fn allocated(folder: &Path) -> u64 {
    let output = Command::new("du").args(["-s", "-B1", "-x"]).arg(folder).output().expect("du");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split_whitespace().next().expect("a number").parse().expect("a number")
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().expect("to start");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn run(command: &mut Command) {
    said(command);
}

fn fed(command: &mut Command, input: &[u8]) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("to start");
    child.stdin.take().expect("piped").write_all(input).expect("to be read");
    assert!(child.wait().expect("its end").success(), "{command:?}");
}

/// The medians, without the first round, which warms up.
fn row(name: &str, ours: Vec<Duration>, theirs: Vec<Duration>) {
    let usual = |times: Vec<Duration>| median(times[1..].to_vec());
    let ours = usual(ours);
    match Some(theirs).filter(|times| !times.is_empty()).map(usual) {
        Some(theirs) => {
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            println!("{name:<52}{:>12}{:>12}{ratio:>9.2}", shown(ours), shown(theirs));
        }
        None => println!("{name:<52}{:>12}{:>12}", shown(ours), "-"),
    }
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
