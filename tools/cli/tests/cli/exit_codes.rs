//! Every documented exit code, each met for real.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command as Process, Stdio};

use super::support::{Place, Said, files_in, pattern};

fn program() -> std::path::PathBuf {
    assert_cmd::cargo::cargo_bin("sapwood")
}

/// A shell in the folder of `place`, with `sapwood` as `$sapwood`.
fn shell(place: &Place, script: &str) -> Said {
    let output = Process::new("sh")
        .args(["-c", script])
        .current_dir(place.path(""))
        .env("SAPWOOD_STORE", place.store())
        .env("sapwood", program())
        .output()
        .unwrap();
    Said::of(output)
}

#[test]
fn done_is_0_and_no_is_1() {
    let place = Place::with_fork();
    assert_eq!(place.run(&["diff", "base:1", "base:1"]).code, 0);
    assert_eq!(place.run(&["diff", "base:1", "vm"]).code, 1);
    assert_eq!(place.run(&["check", "--data"]).code, 0);
    let layer = files_in(&place.store().join("layers"), ".layer").remove(0);
    let file = std::fs::OpenOptions::new().write(true).open(layer).unwrap();
    // One bad header slot of two is a crash's doing, both are damage.
    file.write_all_at(b"x", 100).unwrap();
    assert_eq!(place.run(&["check"]).code, 0);
    file.write_all_at(b"x", 4096 + 100).unwrap();
    assert_eq!(place.run(&["check"]).code, 1);
}

/// The last name was an argument that nobody expected.
#[test]
fn options_may_stand_between_names() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    std::fs::create_dir(place.path("dir")).unwrap();
    std::fs::write(place.path("dir/file"), "content").unwrap();
    place.ok(&["cp", "dir", "-r", "box:/dir"]);
    assert_eq!(place.ok(&["cat", "box:/dir/file"]), b"content");
    place.ok(&["commit", "box", "box:1"]);
    std::fs::write(place.path("out.tar"), "").unwrap();
    place.ok(&["save", "box:1", "--force", "out.tar"]);
    place.ok(&["save", "box:1", "--format", "oci", "out"]);
    assert!(place.path("out/index.json").exists());
}

#[test]
fn misuse_is_2() {
    let place = Place::with_fork();
    let misuses: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["fork", "base:1"],
        &["create", "x", "12Q"],
        &["create", "-x", "1M"],
        &["create", "x y", "1M"],
        &["init", "--block-size", "5000", "--store", "elsewhere"],
        &["resize", "vm", "4K"],
        &["read", "vm", "--offset", "2M"],
        &["read", "vm", "--offset", "1M", "--length", "1"],
        &["write", "base:1"],
        &["import", ".", "x", "--format", "raw"],
        &["show", "vm@x"],
        &["stop", "--signal", "NIX", "vm"],
        &["stop", "--signal", "65", "vm"],
        &["save", "base:1"],
        &["cp", "-r", "vm:/x"],
        // A file, which is told from a name by how it begins.
        &["dump", "vm.layer"],
    ];
    std::fs::write(place.path("vm.layer"), "").unwrap();
    let incomplete = place.run(&["fork", "base:1"]).stderr;
    assert!(incomplete.contains("Usage: sapwood fork <REF> <NAME>"), "{incomplete}");
    let incomplete = place.run(&["cp", "file"]).stderr;
    let usage = "Usage: sapwood cp [OPTIONS] <SOURCE>... <TARGET>";
    assert!(incomplete.contains(usage), "{incomplete}");
    for words in misuses {
        let said = place.run(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(!said.stderr.is_empty());
    }
    assert!(!place.path("elsewhere").exists());
}

#[test]
fn no_store_is_3_and_makes_none() {
    let place = Place::empty();
    let verbs: &[&[&str]] = &[
        &["ls"],
        &["fork", "a", "b"],
        &["snapshot", "a"],
        &["check"],
        &["gc"],
        &["df"],
        &["write", "a"],
    ];
    for words in verbs {
        let said = place.run(words);
        assert_eq!(said.code, 3, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("no store"), "{}", said.stderr);
        assert!(said.stderr.contains("`init` makes one"), "{}", said.stderr);
    }
    std::fs::create_dir(place.store()).unwrap();
    assert_eq!(place.run(&["ls"]).code, 3);
    assert_eq!(place.run(&["check"]).code, 3);
    // An empty variable names none.
    let said = shell(&place, "SAPWOOD_STORE= XDG_DATA_HOME=\"$PWD/data\" \"$sapwood\" ls");
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("data/sapwood"), "{}", said.stderr);
    // A path with a mistyped folder is no store for those who make stores, either.
    assert_eq!(place.run(&["create", "a", "1M", "--store", "mistyped/store"]).code, 3);
    assert!(!place.path("mistyped").exists());
}

#[test]
fn what_others_have_and_this_has_not_is_told_with_what_there_is() {
    let place = Place::with_fork();
    for (words, code, text) in [
        (&["volume", "ls"][..], 2, "`run -v HOST:DIR`"),
        (&["network", "ls"], 2, "`run --network`"),
        (&["kill", "vm"], 2, "`stop --signal KILL`"),
        (&["run", "-p", "80:80", "base:1"], 125, "ports are not published"),
        (&["run", "--publish", "80", "base:1"], 125, "ports are not published"),
    ] {
        let said = place.run(words);
        assert_eq!(said.code, code, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(text), "{words:?}: {}", said.stderr);
        assert!(!said.stderr.contains("similar"), "{words:?}: {}", said.stderr);
    }
    std::fs::create_dir(place.path("tree")).unwrap();
    place.ok(&["import", "tree", "tree:1"]);
    for words in [&["inspect", "tree:1"][..], &["save", "tree:1", "x.tar"]] {
        let said = place.run(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains("`build` makes one on any tree"), "{}", said.stderr);
    }
}

/// A line of a script that cleans up failed where there was nothing to clean up.
#[test]
fn what_is_not_there_is_left_out_by_force() {
    let place = Place::with_fork();
    assert_eq!(place.run(&["rm", "missing", "vm"]).code, 8);
    let said = place.run(&["rm", "-f", "missing", "vm"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(said.stdout, b"removed vm\n");
    assert!(
        said.stderr.contains("not found") && said.stderr.contains("missing"),
        "{}",
        said.stderr
    );
    let said = place.run(&["rm", "-f", "vm"]);
    assert_eq!((said.code, said.stdout.len()), (0, 0));
    assert_eq!(place.run(&["rm", "-f", "a b"]).code, 2, "what can be no name is a mistake");
}

#[test]
fn locked_is_4_and_names_the_holder() {
    let place = Place::with_fork();
    let mut holder = Process::new(program())
        .args(["write", "vm"])
        .env("SAPWOOD_STORE", place.store())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The holder has the volume open for as long as its input is, from when the lock names it.
    let locks = place.store().join("names.lock");
    let id = holder.id().to_string();
    while !String::from_utf8_lossy(&std::fs::read(&locks).unwrap()).contains(&format!(" {id} ")) {
        assert!(holder.try_wait().unwrap().is_none(), "the holder ended");
        std::thread::yield_now();
    }
    let said = place.feed(&["write", "vm"], b"");
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(said.stderr.contains(&id), "{}", said.stderr);
    assert_eq!(place.run(&["snapshot", "vm"]).code, 4);
    // Looking in needs no lock.
    for words in [&["map", "vm"][..], &["read", "vm"], &["check"], &["show", "vm"], &["ls"]] {
        let said = place.run(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
    }
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    assert_eq!(place.run(&["snapshot", "vm"]).code, 0);
}

#[test]
fn corrupt_is_5() {
    let place = Place::with_store();
    std::fs::write(place.path("base.img"), pattern(1, 1 << 20)).unwrap();
    place.ok(&["import", "base.img", "base"]);
    let needle = &pattern(1, 1 << 20)[40_000..40_016];
    let layer = files_in(&place.store().join("layers"), ".layer").remove(0);
    let bytes = std::fs::read(&layer).unwrap();
    let at = bytes.windows(16).position(|window| window == needle).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(layer).unwrap();
    file.write_all_at(&[!bytes[at]], at as u64).unwrap();

    let said = place.run(&["read", "base"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert_eq!(place.run(&["export", "base", "out.img"]).code, 5);
    assert!(!place.path("out.img").exists(), "a failed export leaves nothing");
    assert_eq!(files_in(&place.path(""), "").len(), 2, "only the store and the image stay");
    assert_eq!(place.run(&["check"]).code, 0, "its metadata is whole");
    assert_eq!(place.run(&["check", "--data"]).code, 1);
}

/// One damaged layer neither hides the others nor keeps their space for ever.
#[test]
fn what_is_damaged_can_be_removed_and_the_rest_is_told() {
    let place = Place::with_fork();
    place.ok(&["create", "other", "1M"]);
    place.ok(&["create", "garbage", "1M"]);
    place.feed(&["write", "garbage"], &pattern(7, 100_000));
    place.ok(&["snapshot", "garbage"]);
    place.ok(&["rm", "garbage"]);
    let layer = place.json(&["show", "base:1"], 0)["layer"].as_str().unwrap().to_owned();
    let file = place.store().join(format!("layers/{layer}.layer"));
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    for slot in [0, 4096] {
        file.write_all_at(b"x", slot + 100).unwrap();
    }

    let listed = place.run(&["ls"]);
    assert_eq!(listed.code, 5, "{}", listed.stderr);
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("base:1: corrupt: read header slot"), "{text}");
    let names = &place.json(&["ls"], 5)["names"];
    let of = |name| names.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(
        (&of("base:1")["layer"], &of("other")["size_bytes"]),
        (&layer.as_str().into(), &(1 << 20).into())
    );
    assert!(of("base:1")["damage"].is_string() && of("other").get("damage").is_none());
    let drawn = place.run(&["log", "other", "--graph"]);
    let text = String::from_utf8(drawn.stdout).unwrap();
    assert_eq!((drawn.code, text.contains("other"), text.contains(&layer[..12])), (5, true, true));
    assert_eq!(place.json(&["df"], 5)["lost_layers"], serde_json::json!([layer]));
    let checked = place.run(&["check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("without a header that verifies"), "{text}");

    assert_eq!(place.run(&["gc"]).code, 5, "who knows what it needs");
    assert_eq!(place.run(&["rm", "--damaged", &layer]).code, 2, "names lead to it");
    let removed = place.json(&["rm", "base:1", "vm", "vm:monday"], 0);
    assert_eq!(removed["removed"][0]["layers_lost"], serde_json::json!([layer]));
    assert_eq!(place.run(&["rm", "--damaged", "other"]).code, 2, "it can be read");
    assert_eq!(place.run(&["rm", "--damaged", "other:/file"]).code, 2);
    let given_up = place.json(&["rm", "--damaged", &layer[..8]], 0);
    assert_eq!(given_up["removed"][0]["layers_removed"], serde_json::json!([layer]));
    assert!(place.json(&["gc"], 0)["freed_bytes"].as_u64().unwrap() > 100_000);
    for words in [&["ls"][..], &["df"], &["du"], &["check", "--data"]] {
        assert_eq!(place.run(words).code, 0, "{words:?}");
    }
}

/// A damaged layer hides neither what others take nor which images there are.
#[test]
fn what_the_rest_takes_is_told_beside_damage() {
    let place = Place::with_store();
    super::life::images(&place);
    place.ok(&["create", "other", "1M"]);
    place.feed(&["write", "other"], &pattern(7, 100_000));
    std::fs::write(place.path("disk.img"), pattern(1, 100_000)).unwrap();
    place.ok(&["import", "disk.img", "disk:1"]);
    let rows = |words: &[&str], list: &str, code: i32| -> Vec<serde_json::Value> {
        place.json(words, code)[list].as_array().unwrap().clone()
    };
    let find = |rows: &[serde_json::Value], key: &str, name: &str| {
        rows.iter().find(|row| row[key] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    let other = find(&rows(&["du"], "usage", 0), "reference", "other");
    let image = find(&rows(&["images"], "images", 0), "tag", "app:1");
    for (name, listed) in [("disk:1", false), ("base:1", true)] {
        let layer = place.json(&["show", name], 0)["layer"].as_str().unwrap().to_owned();
        let file = place.store().join(format!("layers/{layer}.layer"));
        let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        for slot in [0, 4096] {
            file.write_all_at(b"x", slot + 100).unwrap();
        }

        let usage = rows(&["du"], "usage", 5);
        assert_eq!(find(&usage, "reference", "other"), other);
        assert_eq!(find(&usage, "reference", name)["layer"], layer.as_str());
        assert!(find(&usage, "reference", name).get("exclusive_bytes").is_none());
        let damaged = rows(&["du"], "damaged", 5);
        assert!(find(&damaged, "layer", &layer)["damage"].is_string());
        let text = String::from_utf8(place.run(&["du"]).stdout).unwrap();
        let said = format!("{}: corrupt: read header slot", &layer[..12]);
        assert!(text.contains(&said) && text.contains("damaged"), "{text}");
        assert_eq!(rows(&["du", "other"], "usage", 0), std::slice::from_ref(&other));
        assert_eq!(place.run(&["du", name]).code, 5);

        let images = rows(&["images"], "images", 5);
        assert_eq!(find(&images, "tag", "app:1")["bytes"], image["bytes"]);
        assert!(!images.iter().any(|row| row["tag"] == name));
        let damaged = rows(&["images"], "damaged", 5);
        assert_eq!(find(&damaged, "name", name)["layer"], layer.as_str());
        let text = String::from_utf8(place.run(&["images"]).stdout).unwrap();
        assert!(text.contains(&format!("{name}: corrupt: ")), "{text}");

        let verbose = place.json(&["df", "-v"], 5);
        let classes = verbose["classes"].as_array().unwrap();
        assert!(find(classes, "class", "unreadable")["bytes"].as_u64().unwrap() > 0);
        let sum: u64 = classes.iter().map(|class| class["bytes"].as_u64().unwrap()).sum();
        assert_eq!(verbose["total_bytes"], sum);
        let damaged = verbose["damaged"].as_array().unwrap();
        assert_eq!(find(damaged, "name", name)["layer"], layer.as_str());
        assert_eq!(damaged.iter().any(|row| row["name"] == "base:1"), listed);
        let text = String::from_utf8(place.run(&["df", "-v"]).stdout).unwrap();
        assert!(text.contains(&format!("{name}: corrupt: ")), "{text}");
    }
}

/// So does a damaged name, which is told in its place.
#[test]
fn what_the_rest_takes_is_told_beside_a_damaged_name() {
    let place = Place::with_store();
    super::life::images(&place);
    place.ok(&["create", "other", "1M"]);
    place.feed(&["write", "other"], &pattern(7, 100_000));
    let rows = |words: &[&str], list: &str, code: i32| -> Vec<serde_json::Value> {
        place.json(words, code)[list].as_array().unwrap().clone()
    };
    let without = |mut rows: Vec<serde_json::Value>, key: &str, name: &str| {
        rows.retain(|row| row[key] != name);
        rows
    };
    let keep = |rows: &[serde_json::Value], keys: &[&str]| -> Vec<Vec<String>> {
        rows.iter().map(|row| keys.iter().map(|key| row[key].to_string()).collect()).collect()
    };
    for (name, ending) in [("base:1", "tag"), ("other", "name")] {
        let sound = without(rows(&["du"], "usage", 0), "reference", name);
        // What the damaged one needs too counts as theirs alone.
        let sound = keep(&sound, &["reference", "allocated_bytes", "virtual_bytes"]);
        let images = without(rows(&["images"], "images", 0), "tag", name);
        let path = place.store().join(format!("names/{name}.{ending}"));
        let whole = std::fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let is_told = |rows: &[serde_json::Value]| {
            let row = rows.iter().find(|row| row["name"] == name).unwrap();
            assert!(row["layer"].is_null() && row["damage"].is_string(), "{row}");
        };

        let usage = place.json(&["du"], 5);
        let told = keep(
            usage["usage"].as_array().unwrap(),
            &["reference", "allocated_bytes", "virtual_bytes"],
        );
        assert_eq!(told, sound);
        is_told(usage["damaged"].as_array().unwrap());
        let listed = rows(&["ls"], "names", 5);
        is_told(&listed);
        assert_eq!(listed.iter().filter(|row| row.get("damage").is_some()).count(), 1);
        assert_eq!(place.json(&["df"], 5)["damaged_names"], serde_json::json!([name]));
        let verbose = place.json(&["df", "-v"], 5);
        is_told(verbose["damaged"].as_array().unwrap());
        let classes = verbose["classes"].as_array().unwrap();
        assert!(classes.iter().any(|row| row["class"] == "unreadable" && row["count"] == 1));
        let is_tag = ending == "tag";
        let told = place.json(&["images"], if is_tag { 5 } else { 0 });
        let tags = |rows: &[serde_json::Value]| -> Vec<String> {
            rows.iter().map(|row| row["tag"].to_string()).collect()
        };
        assert_eq!(tags(told["images"].as_array().unwrap()), tags(&images));
        if is_tag {
            is_told(told["damaged"].as_array().unwrap());
        }
        for words in [&["ls"][..], &["du"], &["df", "-v"]] {
            let text = String::from_utf8(place.run(words).stdout).unwrap();
            assert!(text.contains(&format!("{name}: corrupt: ")), "{words:?}: {text}");
        }
        let text = String::from_utf8(place.run(&["df"]).stdout).unwrap();
        assert!(text.contains("damaged name") && text.contains(name), "{text}");
        assert_eq!(place.run(&["du", name]).code, 5);
        assert_eq!(place.run(&["prune", "--all", "--containers"]).code, 5, "what it needs stays");
        assert_eq!(place.run(&["gc"]).code, 5);
        std::fs::write(&path, whole).unwrap();
    }
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn wrong_parent_is_6() {
    // A layer is frozen twice with different content, in a store and in a copy of it; then the
    // child of the one is given the other.
    let place = Place::with_store();
    place.ok(&["create", "vm", "1M"]);
    let copied = Process::new("cp").arg("-r").arg(place.store()).arg(place.path("copy")).status();
    assert!(copied.unwrap().success());
    place.feed(&["write", "vm"], &pattern(1, 4096));
    place.ok(&["snapshot", "vm", "-t", "one"]);
    place.feed(&["write", "vm", "--store", "copy"], &pattern(2, 9000));
    let other = place.json(&["snapshot", "vm", "--store", "copy"], 0);
    let file = format!("layers/{}.layer", other["layer"].as_str().unwrap());
    std::fs::copy(place.path("copy").join(&file), place.store().join(&file)).unwrap();
    let said = place.run(&["read", "vm"]);
    assert_eq!(said.code, 6, "{}", said.stderr);
}

#[test]
fn no_space_is_7() {
    let place = Place::with_store();
    std::fs::write(place.path("base.img"), pattern(1, 8 << 20)).unwrap();
    // A limit on the size of files is how a host without room is met without filling one.
    let said = shell(&place, "trap '' XFSZ; ulimit -f 2048; \"$sapwood\" import base.img base");
    assert_eq!(said.code, 7, "{}", said.stderr);
    assert_eq!(place.json(&["ls"], 0)["names"].as_array().unwrap().len(), 0);
    assert_eq!(place.run(&["check"]).code, 0);

    place.ok(&["import", "base.img", "base"]);
    let said = shell(&place, "\"$sapwood\" read base > /dev/full");
    assert_eq!(said.code, 7, "{}", said.stderr);
    let said = shell(&place, "trap '' XFSZ; ulimit -f 2048; \"$sapwood\" export base out.img");
    assert_eq!(said.code, 7, "{}", said.stderr);
    assert!(!place.path("out.img").exists());
}

#[test]
fn not_found_is_8_and_already_exists_is_9() {
    let place = Place::with_fork();
    let missing: &[&[&str]] = &[
        &["show", "nothing"],
        &["show", "vm@7"],
        &["show", "0123abcd"],
        &["fork", "nothing", "x"],
        &["write", "nothing"],
        &["rm", "vm", "nothing"],
        &["import", "nothing.img", "x"],
    ];
    for words in missing {
        let said = place.run(words);
        assert_eq!(said.code, 8, "{words:?}: {}", said.stderr);
    }
    place.ok(&["show", "vm"]);
    std::fs::write(place.path("there"), "precious").unwrap();
    let there: &[&[&str]] = &[
        &["init"],
        &["create", "vm", "1M"],
        &["create", "base:1", "1M"],
        &["fork", "base:1", "vm"],
        &["import", "base.img", "base:1"],
        &["tag", "vm:monday", "base:1"],
        &["snapshot", "vm", "-t", "base:1"],
        &["export", "vm", "there"],
    ];
    for words in there {
        let said = place.run(words);
        assert_eq!(said.code, 9, "{words:?}: {}", said.stderr);
    }
    assert_eq!(std::fs::read(place.path("there")).unwrap(), b"precious");
}

#[test]
fn any_other_failure_of_the_host_is_10() {
    let place = Place::with_store();
    let said = place.run(&["import", "/proc/self/mem", "x"]);
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stderr.contains("/proc/self/mem"), "{}", said.stderr);
}

#[test]
fn a_closed_pipe_is_quiet() {
    let place = Place::with_fork();
    let report = shell(&place, "\"$sapwood\" ls | true; \"$sapwood\" map vm | head -n 1 > map");
    assert_eq!((report.code, report.stderr.as_str()), (0, ""));
    // Data that did not arrive is not done, but needs no words either.
    let script = "{ \"$sapwood\" read base:1; echo $? > code; } | head -c 1 > byte; cat code";
    let data = shell(&place, script);
    assert_eq!((data.stdout.as_slice(), data.stderr.as_str()), (&b"10\n"[..], ""));
}

#[test]
fn errors_go_to_standard_error_and_answers_to_standard_output() {
    let place = Place::with_fork();
    let said = place.run(&["show", "nothing"]);
    assert!(said.stdout.is_empty() && said.stderr.starts_with("sapwood: not found"));
    let mut process = place.command();
    let said = Said::of(process.args(["show", "vm"]).output().unwrap());
    assert!(said.stderr.is_empty() && !said.stdout.is_empty());
    std::io::stdout().flush().unwrap();
}
