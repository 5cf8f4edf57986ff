//! What others put into a store, or brought with it, leads nowhere out of it, and nothing of it is run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{expect, left_of, place, run_folder, status, text};
use crate::support::Place;

const NOBODY: u32 = 65534;

/// A tree outside of a store, with what is to be in it.
struct Canary {
    folder: PathBuf,
    before: Vec<String>,
}

impl Canary {
    fn new(place: &Place) -> Canary {
        let folder = place.path("canary");
        for (path, content) in [
            ("alice/docs/thesis", "years"),
            ("alice/0", "zero"),
            ("bob/state/x/file", "state"),
            ("web/control", "socket"),
            ("file", "precious\n"),
        ] {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir(folder.join("empty")).unwrap();
        let before = described(&folder);
        Canary { folder, before }
    }

    fn expect_unchanged(&self, after: &str) {
        assert_eq!(described(&self.folder), self.before, "after {after}");
    }
}

fn described(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let content = match found.is_dir() {
            true => String::new(),
            false => fs::read_to_string(&path).unwrap(),
        };
        lines.push(format!("{} {:o} {} {content}", path.display(), found.mode(), found.uid()));
        if found.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    lines.sort();
    lines
}

fn write_context(place: &Place) {
    fs::create_dir(place.path("context")).unwrap();
    let text = "FROM base:1\nUSER 0\nRUN --mount=type=cache,target=/kept echo > /kept/file\n\
        COPY file /file\n";
    fs::write(place.path("context/Containerfile"), text).unwrap();
    fs::write(place.path("context/file"), "").unwrap();
}

/// What runc remembers of a container that runs, as a document to be changed.
fn remembered(place: &Place, name: &str) -> Option<Value> {
    let state = run_folder(place).join("containers").join(name).join("state/runc");
    let container = fs::read_dir(state).ok()?.next()?.unwrap().path();
    let bytes = fs::read(container.join("state.json")).unwrap();
    Some(serde_json::from_slice(&bytes).unwrap())
}

/// Puts into a folder what runc would remember of a container that ended, and of a program to run then, which
/// makes the file `mark`.
fn put_state(mut state: Value, folder: &Path, mark: &Path) {
    let state_of = folder.join("state/runc/evil");
    fs::create_dir_all(&state_of).unwrap();
    state["id"] = "evil".into();
    state["init_process_pid"] = 999_999.into();
    state["init_process_start"] = 1.into();
    state["config"]["rootfs"] = state_of.to_str().into();
    state["config"]["Hooks"] = json!({ "poststop": [{ "path": "/bin/sh", "env": null, "dir": "",
        "args": ["sh", "-c", format!("echo > {}", mark.display())], "timeout": null }] });
    fs::write(state_of.join("state.json"), state.to_string()).unwrap();
}

/// A store that had come from elsewhere had `prune`, `build`, `rm` and `start` run programs as root.
#[test]
fn what_a_store_says_that_a_runtime_remembers_is_not_believed() {
    let test = "what_a_store_says_that_a_runtime_remembers_is_not_believed";
    let Some(place) = place(test) else { return };
    write_context(&place);
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "1000"]);
    let state = remembered(&place, "web");
    place.ok(&["stop", "-t", "0", "web"]);
    // Other runtimes remember in other words: then this is about the folders alone.
    let state = state.unwrap_or_else(|| json!({ "config": {} }));
    let mark = place.path("mark");
    for (folder, words) in [
        ("building/0123", &["prune"][..]),
        ("building/0123", &["build", "-q", "-t", "made:1", "context"]),
        ("steps/0123", &["prune"]),
        ("containers/gone", &["prune"]),
        ("containers/web", &["prune"]),
        ("containers/web", &["start", "-d", "web"]),
        ("containers/web", &["stop", "-t", "0", "web"]),
        ("containers/web", &["rm", "web"]),
    ] {
        put_state(state.clone(), &place.store().join(folder), &mark);
        place.ok(words);
        assert!(!mark.exists(), "{words:?} ran what lay in {folder}");
    }
    if find_runc() {
        // Where what runs has its own it is believed, or all this would show nothing.
        put_state(state, &run_folder(&place).join("steps/0123"), &mark);
        place.ok(&["prune"]);
        assert!(mark.exists());
    }
    assert_eq!(left_of(&place), [] as [String; 0]);
}

fn find_runc() -> bool {
    super::runtime().is_ok_and(|runtime| runtime.name() == "runc")
}

/// All directories went of what a link in a store led to.
#[test]
fn links_in_a_store_lead_nowhere() {
    let Some(place) = place("links_in_a_store_lead_nowhere") else { return };
    write_context(&place);
    let canary = Canary::new(&place);
    place.ok(&["fork", "base:1", "alice"]);
    place.ok(&["fork", "base:1", "web"]);
    let build = ["build", "-q", "-t", "made:1", "--no-cache", "context"];
    let refusal = "a link or a file, expected a folder";
    for (name, target, words, code) in [
        ("containers", "", &["prune", "-a", "--containers"][..], 2),
        ("containers", "", &["rm", "alice"], 2),
        ("containers", "", &["run", "--name", "new", "base:1", "true"], 125),
        ("containers", "", &["start", "alice"], 125),
        ("containers", "", &["ps", "-a"], 2),
        ("containers/new", "alice", &["run", "--name", "new", "base:1", "true"], 125),
        ("containers/alice", "alice", &["rm", "alice"], 2),
        ("build-caches", "", &["prune"], 2),
        ("build-caches", "", &build, 2),
        ("building", "", &build, 0),
        ("building", "", &["prune"], 0),
        ("steps", "", &["prune"], 0),
        ("mounts", "", &["prune"], 2),
        ("mounts", "", &["rm", "web"], 2),
        ("mounts/web", "web", &["rm", "web"], 2),
    ] {
        let link = place.store().join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = fs::remove_dir_all(&link);
        symlink(canary.folder.join(target), &link).unwrap();
        let said = place.run(words);
        canary.expect_unchanged(&format!("{words:?} with a link {name}"));
        assert_eq!(said.code, code, "{words:?} with a link {name}: {}", said.stderr);
        assert!(code == 0 || said.stderr.contains(refusal), "{words:?}: {}", said.stderr);
        fs::remove_file(&link).unwrap();
    }
    // What lies in a folder of the caller's own, too.
    place.ok(&["rm", "alice"]);
    fs::create_dir_all(place.store().join("containers/new")).unwrap();
    for name in ["record.tmp", "record.json.tmp", "output", "log", "rootfs", "bundle"] {
        let link = place.store().join("containers/new").join(name);
        symlink(canary.folder.join("file"), link).unwrap();
    }
    place.ok(&["run", "-d", "--name", "new", "base:1", "sleep", "1000"]);
    canary.expect_unchanged("a run");
    place.ok(&["stop", "-t", "0", "new"]);
    place.ok(&["rm", "new"]);
    canary.expect_unchanged("rm");
    fs::remove_file(place.store().join("diff-ids")).unwrap();
    symlink(canary.folder.join("file"), place.store().join("diff-ids")).unwrap();
    expect(&place.run(&build), 2, "diff-ids: file: found a link, expected a regular file");
    expect(&place.run(&["prune"]), 2, "diff-ids");
    canary.expect_unchanged("a build with a link diff-ids");
    assert_eq!(left_of(&place), [] as [String; 0]);
}

/// Who shares a store made the folder in which root then mounted trees, and ran set-user-id programs of
/// his own image.
#[test]
fn folders_of_others_are_refused_and_nobody_has_a_way_to_mounted_trees() {
    let test = "folders_of_others_are_refused_and_nobody_has_a_way_to_mounted_trees";
    let Some(place) = place(test) else { return };
    write_context(&place);
    let store = place.store();
    let build = ["build", "-q", "-t", "made:1", "context"];
    for (name, owner, permissions) in [
        ("containers", NOBODY, 0o700),
        ("containers", 0, 0o770),
        ("containers/web", NOBODY, 0o755),
        ("containers/web", 0, 0o777),
        ("build-caches", NOBODY, 0o755),
        ("build-caches", 0, 0o777),
    ] {
        let folder = store.join(name);
        fs::create_dir_all(&folder).unwrap();
        chown(&folder, Some(owner), None).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(permissions)).unwrap();
        let told = format!("found user {owner}'s with permissions {permissions:04o}, expected");
        match name {
            "build-caches" => expect(&place.run(&build), 2, &told),
            _ => expect(&place.run(&["run", "-d", "--name", "web", "base:1", "true"]), 125, &told),
        }
        assert_eq!(left_of(&place), [] as [String; 0]);
        fs::remove_dir(&folder).unwrap();
    }
    assert!(!text(place.ok(&["ls"])).contains("web "));
    // Whatever the store's folder allows.
    fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).unwrap();
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "1000"]);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let on = mounts.lines().map(|line| line.split(' ').nth(1).unwrap());
    assert_eq!(on.filter(|on| Path::new(on).starts_with(&store)).count(), 0, "{mounts}");
    let program = run_folder(&place).join("containers/web/rootfs/bin/busybox");
    assert!(program.exists());
    let (user, line) = (NOBODY.to_string(), format!("{} true", program.display()));
    // By a shell: what `setpriv` calls itself it still finds with root's rights.
    let words = ["--reuid", &user, "--regid", &user, "--clear-groups", "sh", "-c", &line];
    let said = Command::new("setpriv").args(words).output().unwrap();
    let told = text(said.stderr);
    assert!(told.contains("Permission denied") && !said.status.success(), "{told}");
    place.ok(&["rm", "-f", "web"]);
}

/// In a copy of a store `prune`, `rm` and `start` killed what ran in the original, and then failed for ever.
#[test]
fn a_copy_of_a_store_has_no_say_over_what_runs_in_the_original() {
    let test = "a_copy_of_a_store_has_no_say_over_what_runs_in_the_original";
    let Some(place) = place(test) else { return };
    place.ok(&["run", "-d", "--name", "web", "base:1", "sleep", "1000"]);
    for words in [&["prune"][..], &["start", "web"], &["rm", "web"], &["prune", "--containers"]] {
        let paths = [place.store(), place.path("copy")];
        assert!(Command::new("cp").arg("-a").args(paths).status().unwrap().success());
        match words {
            ["start", _] => {
                place.ok(&["--store", "copy", "start", "-d", "web"]);
                place.ok(&["--store", "copy", "stop", "-t", "0", "web"]);
            }
            words => drop(place.ok(&[&["--store", "copy"], words].concat())),
        }
        assert_eq!(status(&place, "web"), "running", "after {words:?}");
        place.ok(&["exec", "web", "true"]);
        fs::remove_dir_all(place.path("copy")).unwrap();
    }
    place.ok(&["rm", "-f", "web"]);
    assert_eq!(left_of(&place), [] as [String; 0]);
}
