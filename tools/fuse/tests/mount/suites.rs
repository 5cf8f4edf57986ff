//! Suites that others wrote for filesystems: long, so only where `SAPWOOD_MOUNT_FACTOR` is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sapwood::Annotations;

use crate::harness::{PLAIN_CARGO, Place, can_mount, factor, has_program, shell};

/// How many of the 398 cases ext4 skips.
const SKIPPED_MAX: u64 = 27;

/// The cases that no kernel of Linux can run are left to the suite to skip; two users are needed.
const PJDFSTEST: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utimensat = {}
utime_now = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// Every operation that the exerciser knows.
const FSX: &str = "
flen = 1048576
[weights]
close_open = 1
invalidate = 1
mapread = 1
mapwrite = 1
read = 1
write = 2
truncate = 1
fsync = 0.05
fdatasync = 0.05
posix_fallocate = 1
punch_hole = 1
sendfile = 1
posix_fadvise = 1
copy_file_range = 1
";
const FSX_OPERATIONS: u64 = 20_000;

#[test]
fn pjdfstest_fails_nowhere() {
    let test = "pjdfstest_fails_nowhere";
    if !can_mount(test) || factor(test) == 0 || !has_program(test, "pjdfstest") {
        return;
    }
    let place = Place::new();
    let served = place.serve(&["everybody", "devices", "suid"]);
    let settings = place.path("pjdfstest.toml");
    fs::write(&settings, PJDFSTEST).unwrap();
    let output = Command::new("pjdfstest")
        .args(["-c".as_ref(), settings.as_os_str(), "-p".as_ref(), served.directory.as_os_str()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let summary = said.lines().find(|line| line.starts_with("Summary:")).expect("a summary");
    println!("{summary}");
    let number = |what: &str| -> u64 {
        let before = summary.split(what).next().unwrap().trim_end();
        before.rsplit([' ', ':']).next().unwrap().parse().unwrap()
    };
    assert_eq!(number(" failed"), 0, "{said}");
    assert!(number(" skipped") <= SKIPPED_MAX, "{said}");
    assert_eq!(number(" total"), 398);
    served.unmount();
    place.check();
}

#[test]
fn fsx_reads_what_it_wrote() {
    let test = "fsx_reads_what_it_wrote";
    let factor = if can_mount(test) { factor(test) } else { 0 };
    if factor == 0 || !has_program(test, "fsx") {
        return;
    }
    let place = Place::new();
    let settings = place.path("fsx.toml");
    fs::write(&settings, FSX).unwrap();
    for seed in 1..=3 {
        let mut served = place.serve(&[]);
        let operations = FSX_OPERATIONS * factor;
        let (path, said) = (served.path(&format!("file-{seed}")), place.path("said"));
        let child = Command::new("fsx")
            .args(["-q", "-f"])
            .arg(&settings)
            .args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-P"])
            .arg(place.path(""))
            .arg(&path)
            .stderr(fs::File::create(&said).unwrap())
            .spawn();
        let mut child = child.unwrap();
        // Commits and snapshots beside it, and less and less in the kernel's cache.
        let mut asked = 0;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            match asked % 3 {
                0 => place.ask("web").flush().unwrap(),
                1 => drop(place.ask("web").snapshot(&Annotations::default()).unwrap()),
                _ => fs::write("/proc/sys/vm/drop_caches", "1").unwrap(),
            }
            asked += 1;
            std::thread::sleep(Duration::from_millis(200));
        };
        let said = fs::read_to_string(&said).unwrap();
        assert!(status.success(), "seed {seed}: {said}");
        println!(
            "seed {seed}: {operations} operations, {asked} commits, snapshots and so on beside"
        );
        let content = fs::read(&path).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        served.kill();
        drop(served);
        let served = place.serve(&[]);
        assert!(fs::read(&path).unwrap() == content, "seed {seed}: other content after a kill");
        served.unmount();
    }
    place.check();
}

/// Crates with a C compiler's and a procedural macro's work among them.
const MANIFEST: &str = r#"
[package]
name = "whole"
version = "0.1.0"
edition = "2024"
[dependencies]
blake3 = { version = "1", features = ["rayon"] }
crc32fast = "1"
thiserror = "2"
[workspace]
"#;
const CONFIGURATION: &str = r#"
[source.crates-io]
replace-with = "beside"
[source.beside]
directory = "vendor"
"#;
const PROGRAM: &str = r#"
#[derive(Debug, thiserror::Error)]
#[error("{0:08x}")]
struct Sum(u32);
fn main() {
    let bytes: Vec<u8> = (0..1 << 20).map(|at| (at / 7) as u8).collect();
    let digest = blake3::Hasher::new().update_rayon(&bytes).finalize();
    println!("{digest} {}", Sum(crc32fast::hash(&bytes)));
}
"#;

/// The sources of the crates that this workspace is built of, as far as this machine needs them:
/// the folder they are in, and their names there.
fn sources() -> (PathBuf, Vec<String>) {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cargo"));
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let mut lines = lock.lines();
    let mut crates = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("name = ") {
            let version = lines.next().and_then(|line| line.strip_prefix("version = "));
            crates.push(format!("{name}-{}", version.expect("a version")).replace('"', ""));
        }
    }
    let registries = fs::read_dir(home.join("registry/src")).unwrap();
    let mut registries: Vec<_> = registries
        .map(|registry| {
            let folder = registry.unwrap().path();
            let there = crates.iter().filter(|name| folder.join(name).is_dir()).cloned().collect();
            (folder, there)
        })
        .collect();
    registries.sort_by_key(|(_, there): &(PathBuf, Vec<String>)| there.len());
    registries.pop().expect("what this was built of")
}

/// Unpacks the sources into `directory` and builds a program of some of them; what it prints.
fn build(directory: &Path) -> String {
    let (folder, crates) = sources();
    for made in ["vendor", "src", ".cargo"] {
        fs::create_dir(directory.join(made)).unwrap();
    }
    let line = format!("tar -C {} -c {} | tar -C vendor -x", folder.display(), crates.join(" "));
    shell(directory, &line);
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    for name in &crates {
        write(&format!("vendor/{name}/.cargo-checksum.json"), "{\"files\":{}}");
    }
    write("Cargo.toml", MANIFEST);
    write(".cargo/config.toml", CONFIGURATION);
    write("src/main.rs", PROGRAM);
    let line =
        format!("{PLAIN_CARGO}; CARGO_INCREMENTAL=0 cargo build -q --offline; target/debug/whole");
    shell(directory, &line)
}

/// The same sources built at the same path, once beside the mount and once on it.
#[test]
fn a_build_on_the_mount_gives_the_same_program() {
    let test = "a_build_on_the_mount_gives_the_same_program";
    if !can_mount(test) || factor(test) == 0 || !has_program(test, "cargo") {
        return;
    }
    let place = Place::new();
    let directory = place.path("mnt");
    fs::create_dir(&directory).unwrap();
    let program = directory.join("target/debug/whole");
    let expected = (build(&directory), fs::read(&program).unwrap());
    fs::remove_dir_all(&directory).unwrap();

    let served = place.serve(&[]);
    let said = build(&directory);
    assert_eq!(said, expected.0);
    assert!(fs::read(&program).unwrap() == expected.1, "another program");
    served.unmount();
    let served = place.serve(&[]);
    assert!(fs::read(&program).unwrap() == expected.1, "another program after a remount");
    let again = shell(&directory, "target/debug/whole; find vendor -type f | wc -l");
    let files: u64 = again.lines().last().unwrap().trim().parse().unwrap();
    println!("built among {files} files");
    assert!(files > 1000, "only {files} files");
    shell(&directory, "rm -r vendor target");
    served.unmount();
    place.check();
}
