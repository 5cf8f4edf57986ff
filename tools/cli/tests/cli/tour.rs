//! The tour, from end to end.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::support::Place;

/// What it was given was there for everybody to read while it ran.
#[test]
fn what_a_tour_is_given_stays_private() {
    let place = Place::empty();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    std::fs::write(place.path("disk.img"), super::support::pattern(1, 1 << 20)).unwrap();
    let mut tour = Command::new(env!("CARGO_BIN_EXE_sapwood"))
        .env("TMPDIR", &temporary)
        .current_dir(place.path("."))
        .args(["tour", "disk.img", "--forks", "5"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let made = loop {
        let made = std::fs::read_dir(&temporary).unwrap().flatten().next();
        match made.map(|made| made.metadata()) {
            Some(Ok(facts)) => break facts,
            _ => assert!(tour.try_wait().unwrap().is_none(), "nothing was made"),
        }
    };
    assert_eq!(made.permissions().mode() & 0o777, 0o700);
    assert!(tour.wait().unwrap().success());
}

#[test]
fn the_tour_ends_well_on_a_directory_and_leaves_nothing() {
    let place = Place::empty();
    let files = place.path("files");
    std::fs::create_dir_all(files.join("a/b")).unwrap();
    std::fs::write(files.join("a/b/it's"), "text").unwrap();
    std::fs::write(files.join("large"), super::support::pattern(1, 3 << 20)).unwrap();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let output = place
        .command()
        .env("TMPDIR", &temporary)
        .args(["tour", "files", "--forks", "5", "--json"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    super::json::expect_document(&document, "tour");
    let steps = document["steps"].as_array().unwrap();
    let commands: Vec<_> = steps.iter().map(|step| step["command"].as_str().unwrap()).collect();
    for verb in [
        "import", "seal", "fork", "write", "snapshot", "map", "log", "diff", "du", "rm", "gc",
        "check", "cp", "blame", "ls",
    ] {
        let ran = commands.iter().any(|command| command.contains(&format!("sapwood {verb}")))
            || commands.iter().any(|command| command.contains(&format!("sapwood -q {verb}")));
        assert!(ran, "no {verb} in {commands:?}");
    }
    // The space of the middle snapshot comes back: all that the round after it overwrote.
    let freed = steps.iter().filter(|step| step["command"] == "sapwood gc");
    let freed: u64 = freed.map(|step| step["documents"][0]["freed_bytes"].as_u64().unwrap()).sum();
    assert!(freed >= 8 << 20, "{freed} bytes came back");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    assert!(!place.store().exists(), "the tour keeps to its own store");
}

/// A command that finds no `mkfs.ext4`, wherever it looks; `None` where it cannot be hidden.
fn without_mkfs(place: &Place) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/sbin", "/usr/sbin"].map(PathBuf::from));
    let mut script = "set -e; ".to_owned();
    for program in folders.map(|folder| folder.join("mkfs.ext4")).filter(|path| path.exists()) {
        let program = program.display();
        // Hidden by one bind, the same folder under another name has none left to hide.
        write!(script, "[ ! -f {program} ] || mount --bind /dev/null {program}; ").unwrap();
    }
    let hidden = |then: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{script}{then}")]);
        command
    };
    let tried = hidden("true").output();
    tried.is_ok_and(|output| output.status.success()).then(|| {
        let mut command = hidden("exec \"$0\" \"$@\"");
        command.arg(env!("CARGO_BIN_EXE_sapwood")).arg("--store").arg(place.store());
        command.current_dir(place.path("."));
        command
    })
}

#[test]
fn the_tour_shows_the_same_without_mkfs() {
    let place = Place::empty();
    std::fs::create_dir(place.path("files")).unwrap();
    std::fs::write(place.path("files/large"), super::support::pattern(1, 3 << 20)).unwrap();
    let Some(mut command) = without_mkfs(&place) else {
        eprintln!("skipped: mkfs.ext4 is hidden by a mount of this process, which takes root");
        return;
    };
    let output = command.args(["tour", "files", "--forks", "3"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for shown in [
        "There is no mkfs.ext4 here",
        "| sapwood import - base:1",
        "$ sapwood map vm-1",
        "$ sapwood log vm-1 --graph",
        "$ sapwood diff vm-1@2 vm-1",
        "$ sapwood du vm-1",
        "only here",
        "blocks punched, the rest stays",
        "$ sapwood check --data",
        "$ sapwood blame box:2:/large",
    ] {
        assert!(text.contains(shown), "{shown} is missing in: {text}");
    }
    assert!(!text.contains("$ mkfs.ext4"), "{text}");
}

#[test]
fn the_tour_takes_an_image() {
    let place = Place::empty();
    std::fs::write(place.path("disk.img"), super::support::pattern(5, (2 << 20) + 99)).unwrap();
    let said = place.run(&["tour", "disk.img", "--forks", "3"]);
    let text = String::from_utf8_lossy(&said.stdout);
    assert_eq!(said.code, 0, "{text}{}", said.stderr);
    assert!(text.contains("$ sapwood check --data"), "{text}");
    assert!(text.contains("only here"), "{text}");
    assert_eq!(place.run(&["tour", "missing"]).code, 8);
}
