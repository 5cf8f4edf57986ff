//! What it costs to take an image in, beside `umoci unpack`, `skopeo copy` into its storage, and
//! `tar x`, in turns, in one run, on the filesystem of the temporary directory.
//!
//! The image is one layer with the root filesystem in `SAPWOOD_TEST_ROOT`, or parts of this machine's.
//! Its files are in the host's cache. What sapwood takes in is durable when it is done; `tar x` is
//! followed by a sync, the others by none. A peer that the machine lacks is left out, with a message;
//! root is needed for them. `--quick` takes one round.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sapwood::{Store, StoreOptions};
use sapwood_oci::spec::MediaType;
use sapwood_oci::{ArchiveForm, Compression, Input, LoadOptions, Sha256, load, open_archive};
use serde_json::json;

const ROUNDS: usize = 5;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let rounds = if is_quick { 1 } else { ROUNDS };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let plain = at("root.tar");
    pack(&plain);
    let tar = fs::read(&plain).expect("the tar");
    let gzip = write_layout(&at("gzip"), &tar, Compression::Gzip);
    write_layout(&at("plain"), &tar, Compression::None);
    println!("a root filesystem, {} MiB as a tar, {} MiB with gzip", tar.len() >> 20, gzip >> 20);
    drop(tar);

    let peers = has_root() && has("umoci") && has("skopeo");
    if !peers {
        println!("SKIPPED: umoci and skopeo need root, and to be there");
    }
    let mut gzipped = Row::new("image with gzip");
    let mut uncompressed = Row::new("image, not compressed");
    let mut root = Row::new("tar of a root filesystem");
    for round in 0..rounds {
        let fresh = |name: &str| {
            let path = at(&format!("{name}-{round}"));
            fs::create_dir(&path).expect("a fresh folder");
            path
        };
        gzipped.add("sapwood load", ours(&fresh("ours-gzip"), &at("gzip"), None));
        if peers {
            gzipped.add("umoci unpack", umoci(&fresh("umoci"), &at("gzip")));
            gzipped.add("skopeo copy", skopeo(&fresh("skopeo"), &at("gzip")));
        }
        uncompressed.add("sapwood load", ours(&fresh("ours-plain"), &at("plain"), None));
        uncompressed.add("tar x and sync", untar(&fresh("tar"), &plain));
        let form = Some(ArchiveForm::Root);
        root.add("sapwood load", ours(&fresh("ours-root"), &plain, form));
        root.add("tar x and sync", untar(&fresh("tar-again"), &plain));
    }
    for row in [&mut gzipped, &mut uncompressed, &mut root] {
        row.print();
    }
}

/// Takes the image in into a store of its own, durably.
fn ours(folder: &Path, image: &Path, form: Option<ArchiveForm>) -> Duration {
    let store = folder.join("store");
    let took = timed(|| {
        let store = Store::create(&store, &StoreOptions::default()).expect("a store");
        let options = LoadOptions::default();
        let input = Input::Path(image.to_owned());
        let archive = open_archive(&store, input, form, &options).expect("an image");
        load(&store, &*archive, None, Some("image:1"), &options, &|_| {}).expect("it is right");
    });
    clear(folder);
    took
}

fn umoci(folder: &Path, image: &Path) -> Duration {
    let image = format!("{}:image", image.display());
    let bundle = folder.join("bundle");
    let took =
        timed(|| run(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle)));
    clear(folder);
    took
}

fn skopeo(folder: &Path, image: &Path) -> Duration {
    let from = format!("oci:{}:image", image.display());
    let storage = |name: &str| folder.join(name).display().to_string();
    let to = format!("containers-storage:[overlay@{}+{}]image:1", storage("root"), storage("run"));
    let policy = folder.join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("a policy");
    let took = timed(|| {
        run(Command::new("skopeo").arg("--policy").arg(&policy).args(["copy", &from, &to]));
    });
    // The storage stays mounted on itself.
    let _ = Command::new("umount").arg(folder.join("root/overlay")).status();
    clear(folder);
    took
}

fn untar(folder: &Path, tar: &Path) -> Duration {
    let took = timed(|| {
        run(Command::new("tar").arg("-xf").arg(tar).arg("-C").arg(folder));
        run(Command::new("sync").arg("-f").arg(folder));
    });
    clear(folder);
    took
}

/// Takes away what a round made, and waits until the host is done with it.
fn clear(folder: &Path) {
    fs::remove_dir_all(folder).expect("what was made goes");
    run(Command::new("sync").arg("-f").arg(folder.parent().expect("a folder above")));
}

/// A tar of a root filesystem.
fn pack(tar: &Path) {
    let mut command = Command::new("tar");
    command.args(["--numeric-owner", "--xattrs", "-cf"]).arg(tar);
    match std::env::var_os("SAPWOOD_TEST_ROOT").map(PathBuf::from) {
        Some(root) => run(command.arg("-C").arg(root).arg(".")),
        None => run(command.args(["-C", "/", "etc", "usr/bin", "usr/share/doc"])),
    }
}

/// A layout with one image of one layer; gives the size of its blob.
fn write_layout(folder: &Path, tar: &[u8], compression: Compression) -> usize {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    let blob = match compression {
        Compression::Gzip => {
            // One stream, as other tools write it.
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(tar).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }
        _ => tar.to_vec(),
    };
    let put = |bytes: &[u8], media_type: MediaType| {
        let digest = Sha256::of(bytes);
        fs::write(blobs.join(digest.to_hex()), bytes).expect("a blob");
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
    };
    let configuration = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [Sha256::of(tar).to_string()] },
        "history": [{ "created_by": "bench" }],
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": put(configuration.to_string().as_bytes(), MediaType::ImageConfig),
        "layers": [put(&blob, compression.media_type())],
    });
    let mut entry = put(manifest.to_string().as_bytes(), MediaType::ImageManifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "image" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] });
    fs::write(folder.join("index.json"), index.to_string()).expect("an index");
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a header");
    blob.len()
}

/// What was measured of the same work, ours first.
struct Row {
    name: &'static str,
    times: Vec<(&'static str, Vec<Duration>)>,
}

impl Row {
    fn new(name: &'static str) -> Row {
        Row { name, times: Vec::new() }
    }

    fn add(&mut self, who: &'static str, time: Duration) {
        match self.times.iter_mut().find(|(name, _)| *name == who) {
            Some((_, times)) => times.push(time),
            None => self.times.push((who, vec![time])),
        }
    }

    /// Prints the medians, and how many times the speed of the others ours is.
    fn print(&mut self) {
        println!("{}", self.name);
        let mut ours = None;
        for (who, times) in &mut self.times {
            times.sort_unstable();
            let median = times[times.len() / 2].as_secs_f64();
            print!("  {who:<24}{:>10.1} ms", median * 1e3);
            match ours {
                None => ours = Some(median),
                Some(ours) => print!("{:>8.2} x", median / ours),
            }
            println!();
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn has_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn has(program: &str) -> bool {
    let look = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    look.is_ok_and(|output| output.status.success())
}
