//! `run`, `start`, `exec`, `ps`, `stop`, `logs`, `commit`, and `diff` of a container.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use sapwood::{Store, StoreOptions};
use sapwood_oci::Image;
use serde_json::{Value, json};

use super::{expect, left_of, place, spawn, status, text, wait_for};
use crate::json::expect_document;
use crate::support::{Place, Said};

#[test]
fn a_run_is_what_the_image_says_unless_told_otherwise() {
    let Some(place) = place("a_run_is_what_the_image_says_unless_told_otherwise") else { return };
    let before = place.ok(&["ls"]);
    assert_eq!(text(place.ok(&["run", "--rm", "base:1"])), "of the image\n33\n");
    assert_eq!(place.ok(&["ls"]), before, "--rm leaves nothing");
    fs::write(place.path("variables"), "# none\nB=file\nC=file\n").unwrap();
    let words = [
        "run",
        "--rm",
        "-e",
        "C=word",
        "-e",
        "NOT_SET",
        "--env-file",
        "variables",
        "-w",
        "/new",
        "-u",
        "0",
        "base:1",
        "sh",
        "-c",
        "echo $A $B $C $NOT_SET; pwd; id -u; exit 7",
    ];
    let said = place.run(&words);
    assert_eq!((said.code, text(said.stdout).as_str()), (7, "image file word\n/new\n0\n"));
    let said = place.run(&["run", "--rm", "--entrypoint", "echo", "base:1", "-n", "x"]);
    assert_eq!((said.code, text(said.stdout).as_str()), (0, "x"));
    expect(&place.run(&["run", "--rm", "base:1", "nothing"]), 127, "nothing");
    expect(&place.run(&["run", "--rm", "base:1", "/etc/passwd"]), 126, "ermission denied");
    expect(&place.run(&["run", "--rm", "nowhere:1"]), 125, "nowhere:1");
    expect(&place.run(&["run", "--rm", "-u", "no\nbody", "base:1"]), 125, "no\\nbody");
    expect(&place.run(&["run", "--rm", "--runtime", "docker", "base:1"]), 125, "runc, crun, youki");
    // What can never run is told before there is a container that would have to be removed.
    expect(&place.run(&["run", "base:1", ""]), 125, "command");
    expect(&place.run(&["run", "-e", "=x", "base:1"]), 125, "=x");
    let left = text(place.run(&["ps", "-a", "--json"]).stdout);
    assert!(left.contains("\"containers\":[]"), "{left}");
    let fed = |words: &[&str]| place.feed(words, b"through\nand through").stdout;
    assert_eq!(fed(&["run", "--rm", "-i", "base:1", "cat"]), b"through\nand through");
    assert_eq!(fed(&["run", "--rm", "base:1", "cat"]), b"", "it is for who reads next");

    fs::create_dir(place.path("host")).unwrap();
    fs::write(place.path("host/file"), "host").unwrap();
    let volume = format!("{}:/data/here", place.path("host").display());
    let line = "cat /data/here/file; echo out > /data/here/out";
    let run = |volume: &str| {
        place.run(&["run", "--rm", "-u", "0", "-v", volume, "base:1", "sh", "-c", line])
    };
    assert_eq!(run(&format!("{volume}:ro")).code, 1);
    assert_eq!(run(&volume).code, 0);
    assert_eq!(fs::read_to_string(place.path("host/out")).unwrap(), "out\n");
    let words = ["run", "--rm", "--network=none", "base:1", "ls", "/sys/class/net"];
    assert_eq!(text(place.ok(&words)), "lo\n");
    assert_eq!(place.ok(&["ls"]), before);
    place.ok(&["check", "--data"]);
}

#[test]
fn a_container_stays_is_listed_compared_committed_and_started_again() {
    let test = "a_container_stays_is_listed_compared_committed_and_started_again";
    let Some(place) = place(test) else { return };
    let line = "cd /etc; mkdir made; echo new > made/file; rm -r old; echo more >> passwd; mv passwd moved; exit 3";
    let said = place.run(&["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    expect(&place.run(&["run", "--name", "web", "base:1"]), 125, "web");
    let listed = text(place.ok(&["ps", "-a"]));
    assert!(listed.contains("web") && listed.contains("exited (3)"), "{listed}");
    assert!(!text(place.ok(&["ps"])).contains("web"));
    assert_eq!(text(place.ok(&["ps", "-aq"])), "web\n");
    assert_eq!(text(place.ok(&["ps", "-q"])), "");
    assert_eq!(text(place.ok(&["images", "-q"])), "base:1\n");

    let said = place.run(&["diff", "web"]);
    let expected =
        "C /etc\nA /etc/made\nA /etc/made/file\nA /etc/moved\nD /etc/old\nD /etc/passwd\n";
    assert_eq!((said.code, text(said.stdout).as_str()), (1, expected));
    expect(&place.run(&["diff", "base:1"]), 8, "no record");

    let words = [
        "commit",
        "web",
        "web:2",
        "-c",
        "CMD [\"cat\", \"/etc/made/file\"]",
        "-c",
        "USER 0",
        "-m",
        "with a file",
        "-a",
        "somebody",
    ];
    place.ok(&words);
    expect(&place.run(&["commit", "web", "web:2"]), 9, "web:2");
    expect(&place.run(&["commit", "web", "web:3", "-c", "RUN x"]), 2, "RUN");
    assert_eq!(text(place.ok(&["run", "--rm", "web:2"])), "new\n");
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let image = Image::open(&store, "web:2").unwrap();
    let value = image.configuration().to_value();
    assert_eq!(
        (&value["config"]["Env"], &value["author"]),
        (&json!(["A=image"]), &json!("somebody"))
    );
    // A step for the layer of the image, which has no history, and one for the container's.
    let steps = value["history"].as_array().unwrap();
    let [_, step] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((&step["comment"], &step["author"]), (&json!("with a file"), &json!("somebody")));
    assert_eq!(image.layers(&store).unwrap().len(), 2);
    for layer in image.layers(&store).unwrap() {
        assert!(store.layer(layer.id).unwrap().digest.is_some(), "sealed");
    }

    // What cannot be an image leaves no layer: a tag does not take the place of a volume.
    let snapshots = store.kept_snapshots().unwrap().len();
    expect(&place.run(&["commit", "web", "web", "--force"]), 9, "web");
    assert_eq!(store.kept_snapshots().unwrap().len(), snapshots);

    // What is in a container is still there when it runs again.
    let again = place.run(&["start", "web"]);
    assert_eq!((again.code, again.stderr.contains("made")), (3, true), "{}", again.stderr);
    place.ok(&["rm", "web"]);
    assert_eq!(status(&place, "web"), "none");
    assert!(!place.store().join("containers/web").exists());
    place.ok(&["check", "--data"]);
}

#[test]
fn what_a_container_became_runs_in_another_store() {
    let Some(place) = place("what_a_container_became_runs_in_another_store") else { return };
    let line = "cd /etc; echo new > file; chmod 4750 file; chown 7:8 file; ln file linked; ln -s file symlink; \
                rm -r old; mkdir old; mkfifo old/fifo; mknod null c 1 3; touch -d @7 old";
    place.ok(&["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    let change = "CMD [\"cat\", \"/etc/linked\"]";
    place.ok(&["commit", "web", "web:1", "-c", change, "-c", "USER 0", "-m", "by hand"]);
    let tree = |place: &Place| place.ok(&["export", "web:1", "-", "--format", "tar"]);
    for format in ["oci-archive", "docker-archive"] {
        place.ok(&["save", "web:1", format, "--format", format]);
        let other = Place::empty();
        other.ok(&["load", place.path(format).to_str().unwrap()]);
        assert!(tree(&place) == tree(&other), "{format}");
        let told = |place: &Place| place.json(&["inspect", "web:1"], 0);
        let (here, there) = (told(&place), told(&other));
        for field in ["architecture", "config", "created", "history", "os"] {
            let [here, there] = [&here, &there].map(|told| &told["configuration"][field]);
            assert_eq!((here, here.is_null()), (there, false), "{format} {field}");
        }
        assert_eq!(text(other.ok(&["run", "--rm", "web:1"])), "new\n");
        assert_eq!(other.run(&["run", "--rm", "web:1", "test", "-p", "/etc/old/fifo"]).code, 0);
        other.ok(&["check", "--data"]);
    }
}

#[test]
fn a_detached_container_is_reached_and_stopped() {
    let Some(place) = place("a_detached_container_is_reached_and_stopped") else { return };
    let line =
        "trap 'echo asked; exit 4' INT; echo ready; : > /tmp-file; while :; do sleep 0.05; done";
    let words =
        ["run", "-d", "-u", "0", "-e", "B=run", "--name", "web", "base:1", "sh", "-c", line];
    assert_eq!(text(place.ok(&words)), "web\n");
    assert!(text(place.ok(&["ps"])).contains("running"));
    let said = place.run(&[
        "exec",
        "-e",
        "C=exec",
        "-w",
        "/etc",
        "web",
        "sh",
        "-c",
        "echo $A $B $C; pwd; exit 6",
    ]);
    assert_eq!(
        (said.code, text(said.stdout).as_str()),
        (6, "image run exec\n/etc\n"),
        "{}",
        said.stderr
    );
    assert_eq!(text(place.ok(&["exec", "-u", "www", "web", "id", "-u"])), "33\n");
    expect(&place.run(&["exec", "web", "nothing"]), 127, "nothing");
    wait_for("the file", || place.run(&["exec", "web", "test", "-e", "/tmp-file"]).code == 0);
    assert_eq!(text(place.run(&["diff", "web"]).stdout), "A /tmp-file\n", "while it runs");
    place.ok(&["commit", "web", "web:2"]);
    assert_eq!(place.run(&["run", "--rm", "web:2", "test", "-e", "/tmp-file"]).code, 0);
    expect(&place.run(&["rm", "web"]), 4, "which runs");
    expect(&place.run(&["start", "web"]), 125, "which runs");
    place.ok(&["stop", "web"]);
    assert_eq!(text(place.ok(&["logs", "web"])), "ready\nasked\n");
    assert!(text(place.ok(&["ps", "-a"])).contains("exited (4)"));
    expect(&place.run(&["exec", "web", "true"]), 125, "does not run");
    place.ok(&["stop", "web"]);
    expect(&place.run(&["stop", "web", "missing"]), 8, "missing");
    // What does not come to run is told to whoever asked.
    expect(&place.run(&["run", "-d", "base:1", "nothing"]), 127, "nothing");
    place.ok(&["rm", "web"]);
    place.ok(&["check", "--data"]);
}

#[test]
fn signals_reach_the_process() {
    let Some(place) = place("signals_reach_the_process") else { return };
    let line = "trap 'exit 9' TERM; : > /ready; while :; do sleep 0.05; done";
    let mut child = spawn(&place, &["run", "-u", "0", "--name", "web", "base:1", "sh", "-c", line]);
    wait_for("the start", || place.run(&["exec", "web", "test", "-e", "/ready"]).code == 0);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// A tree that is no image has layers that no step tells of: each gets its own.
#[test]
fn an_image_of_a_plain_tree_has_a_step_for_each_layer() {
    let Some(place) = place("an_image_of_a_plain_tree_has_a_step_for_each_layer") else { return };
    fs::create_dir_all(place.path("tree")).unwrap();
    fs::write(place.path("tree/file"), "first").unwrap();
    place.ok(&["import", "tree", "tree:1"]);
    place.ok(&["fork", "tree:1", "web"]);
    place.ok(&["cp", "tree/file", "web:/second"]);
    place.ok(&["commit", "web", "image:1", "-m", "the second"]);
    let told = place.json(&["history", "image:1"], 0);
    let steps = told["history"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{told}");
    assert_eq!((&steps[0]["comment"], steps[1]["comment"].is_null()), (&json!("the second"), true));
    assert_ne!(steps[0]["layer"], steps[1]["layer"]);

    // The container goes on from there, and its tree still is no image.
    place.ok(&["rm", "web:/second"]);
    place.ok(&["commit", "web", "image:2", "-m", "the third"]);
    let told = place.json(&["history", "image:2"], 0);
    let comments: Vec<_> =
        told["history"].as_array().unwrap().iter().map(|step| &step["comment"]).collect();
    assert_eq!(comments, [&json!("the third"), &json!("the second"), &Value::Null]);
}

/// Where a process speaks for itself, the document is beside what it says.
#[test]
fn containers_speak_json() {
    let Some(place) = place("containers_speak_json") else { return };
    // What comes after the image is the process's.
    let started = place.ok(&["run", "-d", "--json", "--name", "web", "base:1", "sleep", "1000"]);
    let started = serde_json::from_slice(&started).unwrap();
    expect_document(&started, "run");
    let stopped = place.json(&["stop", "-t", "0", "web"], 0);
    expect_document(&stopped, "stop");
    let started = place.json(&["start", "-d", "web"], 0);
    expect_document(&started, "start");
    let words = ["exec", "--json", "web", "sh", "-c", "echo in; exit 5"];
    let said = place.run(&words);
    assert_eq!((said.code, &*said.stdout), (5, b"in\n".as_slice()), "{}", said.stderr);
    let ended: Value = serde_json::from_str(&said.stderr).unwrap();
    expect_document(&ended, "exec");
    let said = place.run(&["logs", "--json", "web"]);
    let logged: Value = serde_json::from_str(&said.stderr).unwrap();
    expect_document(&logged, "logs");
    assert_eq!((&logged["bytes"], &logged["is_running"]), (&json!(0), &json!(true)));
    place.ok(&["stop", "-t", "0", "web"]);
    let said =
        place.run(&["run", "--json", "--name", "once", "base:1", "sh", "-c", "echo x; exit 3"]);
    assert_eq!((said.code, &*said.stdout), (3, b"x\n".as_slice()), "{}", said.stderr);
    let ended: Value = serde_json::from_str(&said.stderr).unwrap();
    expect_document(&ended, "run");
    assert_eq!((&ended["name"], &ended["exit_code"]), (&json!("once"), &json!(3)));
}

/// Another user than root was told of an operation that was not permitted, and a container stayed behind.
#[test]
fn who_is_not_root_is_told_so_before_anything_is_made() {
    let test = "who_is_not_root_is_told_so_before_anything_is_made";
    let Some(place) = place(test) else { return };
    let (program, folder) = (place.path("sapwood"), place.path(""));
    fs::copy(assert_cmd::cargo::cargo_bin("sapwood"), &program).unwrap();
    fs::create_dir(place.path("context")).unwrap();
    fs::write(place.path("context/Containerfile"), "FROM base:1\nCOPY . /x\nRUN true\n").unwrap();
    let nobody = "65534";
    let chown = Command::new("chown").args(["-R", nobody]).arg(&folder).status().unwrap();
    assert!(chown.success());
    let run = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", nobody, "--regid", nobody, "--clear-groups"]).arg(&program);
        command.args(words).current_dir(&folder).env("SAPWOOD_STORE", place.store());
        Said::of(command.output().unwrap())
    };
    let told = "user: found number 65534, expected root";
    for words in [&["run", "--rm", "base:1"][..], &["run", "-d", "--name", "x", "base:1"]] {
        expect(&run(words), 125, told);
    }
    expect(&run(&["build", "context"]), 2, told);
    let listed = text(run(&["ls"]).stdout);
    assert!(!listed.contains("container") && !listed.contains(" volume "), "{listed}");
    assert_eq!(left_of(&place), [] as [String; 0]);
    fs::write(place.path("context/Containerfile"), "FROM base:1\nCOPY --chown=3:4 . /x\n").unwrap();
    assert_eq!(run(&["build", "-t", "made:1", "context"]).code, 0);
    // It was told as a directory that could not be read.
    let private = place.path("context/private");
    fs::write(&private, "").unwrap();
    fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    expect(&run(&["build", "context"]), 10, "read a file: context/private: Permission denied");
    place.ok(&["run", "--name", "x", "base:1"]);
    expect(&run(&["start", "x"]), 125, told);
    // It made an image without what had run.
    expect(&run(&["commit", "x", "x:1"]), 2, "not permitted: open a folder beside a store's files");
    expect(&run(&["commit", "x", "x:1"]), 2, "containers: owner: found user 0's with permissions");
    expect(&run(&["ps", "-a"]), 2, "not permitted");
    expect(&run(&["cat", "x:1:/etc/motd"]), 8, "x:1");
    assert_eq!(status(&place, "x"), "exited");
}

/// Any other code may be the process's own.
#[test]
fn a_wrong_command_line_of_a_run_is_no_process_that_ended() {
    let place = Place::with_store();
    for words in [&["run", "--nothing", "base:1"][..], &["exec"], &["start", "a", "b"], &["run"]] {
        let said = place.run(words);
        assert!(said.code == 125 && !said.stderr.is_empty(), "{words:?}: {}", said.code);
    }
    assert_eq!(place.run(&["fork", "--nothing", "run"]).code, 2);
}

#[test]
fn a_terminal_is_asked_for_where_there_is_one() {
    let Some(place) = place("a_terminal_is_asked_for_where_there_is_one") else { return };
    let before = place.ok(&["ls"]);
    expect(
        &place.run(&["run", "-it", "base:1"]),
        125,
        "none of the standard streams is a terminal",
    );
    assert_eq!(place.ok(&["ls"]), before);
}

#[test]
fn a_detached_container_goes_by_itself_where_that_is_wanted() {
    let test = "a_detached_container_goes_by_itself_where_that_is_wanted";
    let Some(place) = place(test) else { return };
    let before = place.ok(&["ls"]);
    place.ok(&[
        "run",
        "-d",
        "--rm",
        "--name",
        "web",
        "base:1",
        "sh",
        "-c",
        "while :; do sleep 1; done",
    ]);
    assert_eq!(status(&place, "web"), "running");
    place.ok(&["stop", "-t", "0", "web"]);
    wait_for("the end of the container", || status(&place, "web") == "none");
    wait_for("the end of its volume", || place.ok(&["ls"]) == before);
    expect(&place.run(&["run", "-d", "--rm", "base:1", "nothing"]), 127, "nothing");
    assert_eq!(place.ok(&["ls"]), before);
    assert!(fs::read_dir(place.store().join("containers")).unwrap().next().is_none());
}

/// What ran over a tree that is no image was no container to `df` and `prune`.
#[test]
fn a_container_is_one_whatever_it_stands_on() {
    let Some(place) = place("a_container_is_one_whatever_it_stands_on") else { return };
    place.ok(&["export", "base:1", "tree.tar", "--format", "tar"]);
    place.ok(&["import", "tree.tar", "tree:1", "--format", "tar"]);
    place.ok(&["run", "--name", "ended", "tree:1", "true"]);
    place.ok(&["run", "-d", "--name", "running", "tree:1", "sleep", "100"]);
    let count = || {
        let told = place.json(&["df", "-v"], 0);
        let classes = told["classes"].as_array().unwrap().clone();
        let found = classes.into_iter().find(|class| class["class"] == "containers").unwrap();
        (found["count"].clone(), found["active"].clone())
    };
    assert_eq!(count(), (json!(2), json!(1)));
    let pruned = place.json(&["prune", "--containers"], 0);
    assert_eq!(pruned["containers"]["removed"], json!(["ended"]));
    assert_eq!(count(), (json!(1), json!(1)));
    place.ok(&["rm", "-f", "running"]);
}
