//! Suites that others wrote for filesystems: long, so only where `SAPWOOD_MOUNT_FACTOR` is set.

use std::fs;
use std::process::Command;

use crate::harness::{Place, can_mount, factor, has_program};

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
        let served = place.serve(&[]);
        let operations = FSX_OPERATIONS * factor;
        let output = Command::new("fsx")
            .args(["-q", "-f"])
            .arg(&settings)
            .args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-P"])
            .arg(place.path(""))
            .arg(served.path(&format!("file-{seed}")))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "seed {seed}: {said}");
        println!("seed {seed}: {operations} operations");
        served.unmount();
    }
    place.check();
}
