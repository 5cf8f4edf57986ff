//! Trees of files, reached into without a mount.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use sapwood::files::{Files, Paths};
use sapwood::{Store, StoreOptions};

use super::support::{Place, pattern};

/// A store with a tree `box`, its snapshot `box:1`, and changes above that.
fn place_with_tree() -> Place {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["mkdir", "-p", "box:/etc/ssl", "box:/usr/bin"]);
    place.feed(&["cp", "-", "box:/etc/hosts"], b"one\ntwo\nthree\n");
    place.feed(&["cp", "-", "box:/etc/old"], b"to be renamed by hand\n");
    place.feed(&["cp", "-", "box:/usr/bin/tool"], &pattern(1, 100_000));
    place.ok(&["ln", "-s", "/etc/hosts", "box:/link"]);
    place.ok(&["ln", "box:/usr/bin/tool", "box:/usr/bin/twin"]);
    place.ok(&["snapshot", "box", "-t", "box:1"]);
    place.feed(&["cp", "-", "box:/etc/hosts"], b"one\n2\nthree\n");
    place.feed(&["cp", "-", "box:/etc/new"], b"fresh\n");
    place.feed(&["cp", "-", "box:/usr/bin/tool"], &pattern(2, 100_000));
    place.ok(&["rm", "box:/etc/old"]);
    place
}

#[test]
fn files_are_made_listed_and_removed() {
    let place = place_with_tree();
    insta::assert_snapshot!(
        "files",
        place.transcript(&[
            &["create", "--tree", "other"],
            &["ls"],
            &["ls", "box:1:/etc"],
            &["ls", "box:1:/", "box:/link"],
            &["ls", "-l", "box:1:/", "--bytes"],
            &["ls", "-R", "box:/"],
            &["ls", "-lR", "box:/usr"],
            &["cat", "box:/link", "box:/etc/new"],
            &["stat", "box:/link"],
            &["stat", "box:/usr/bin/twin"],
            &["mkdir", "box:/a/b"],
            &["mkdir", "-m", "700", "box:/a"],
            &["ln", "box:/etc/hosts", "box:/a/hosts"],
            &["rm", "box:/a"],
            &["rm", "-r", "box:/a", "box:/link"],
            &["rm", "box:/etc/hosts", "box:/missing"],
            &["ls", "-R", "box:/etc"],
        ])
    );
}

#[test]
fn differences_of_files() {
    let place = place_with_tree();
    insta::assert_snapshot!(
        "differences",
        place.transcript(&[
            &["diff", "box:1", "box", "--files"],
            &["diff", "box:1", "box", "--patch"],
            &["diff", "box", "box", "--files"],
        ])
    );
    // Trees that never were one are compared as well.
    place.ok(&["create", "--tree", "other"]);
    let said = place.run(&["diff", "other", "box", "--files"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(String::from_utf8(said.stdout).unwrap().contains("A\tetc/new\n"));
    let document = place.json(&["diff", "box:1", "box", "--patch"], 1);
    let letters: Vec<_> = document["changes"].as_array().unwrap().iter().collect();
    let letter = |path: &str| {
        letters.iter().find(|row| row["path"] == path).map(|row| row["letter"].as_str().unwrap())
    };
    assert_eq!(letter("etc/hosts"), Some("M"));
    assert_eq!(letter("etc/new"), Some("A"));
    assert_eq!(letter("etc/old"), Some("D"));
    assert_eq!(letter("usr/bin/twin"), Some("M"), "another name of a file that changed");
    assert_eq!(letter("etc"), None, "only its names changed");
}

/// Has `git` apply the patch from `box:1` to `box` to the folder `a`, as far as `include` says; the patch.
/// `None` where there is no `git`.
fn apply_patch(place: &Place, include: &str) -> Option<String> {
    let patch = place.run(&["diff", "box:1", "box", "--patch"]);
    std::fs::write(place.path("patch"), &patch.stdout).unwrap();
    let applied = std::process::Command::new("git")
        .args(["apply", &format!("--include={include}"), "../patch"])
        .current_dir(place.path("a"))
        .output();
    let Ok(applied) = applied else {
        super::support::skip("a patch is applied", "no git here");
        return None;
    };
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    Some(String::from_utf8(patch.stdout).unwrap())
}

#[test]
fn a_patch_makes_the_one_tree_into_the_other() {
    let place = place_with_tree();
    place.ok(&["ln", "-s", "hosts", "box:/etc/link"]);
    for (reference, folder) in [("box:1", "a"), ("box", "b")] {
        std::fs::create_dir_all(place.path(folder).join("etc")).unwrap();
        for file in ["etc/hosts", "etc/old", "etc/new"] {
            let source = format!("{reference}:/{file}");
            let said = place.run(&["cp", &source, &format!("{folder}/{file}")]);
            assert!([0, 8].contains(&said.code), "{}", said.stderr);
        }
    }
    let Some(text) = apply_patch(&place, "etc/*") else { return };
    assert!(text.contains("+++ b/etc/link") && text.contains("new file mode 120000\n"), "{text}");
    for file in ["etc/hosts", "etc/new"] {
        let read = |folder: &str| std::fs::read(place.path(folder).join(file)).unwrap();
        assert_eq!(read("a"), read("b"), "{file}");
    }
    assert!(!place.path("a/etc/old").exists());
    let link = std::fs::read_link(place.path("a/etc/link")).unwrap();
    assert_eq!(link, std::path::Path::new("hosts"));
}

/// `patch -p1` made a file `with` of `with space "q"`, without a word.
#[test]
fn a_patch_quotes_names_as_git_does() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    let names = ["with space", "with space \"q\"", "back\\slash", "\u{e9}", "plain"];
    std::fs::create_dir_all(place.path("a/d")).unwrap();
    place.ok(&["mkdir", "box:/d"]);
    for name in names {
        place.feed(&["cp", "-", &format!("box:/d/{name}")], b"before\n");
        std::fs::write(place.path("a/d").join(name), "before\n").unwrap();
    }
    place.feed(&["cp", "-", "box:/d/from here"], b"same\n");
    std::fs::write(place.path("a/d/from here"), "same\n").unwrap();
    place.ok(&["snapshot", "box", "-t", "box:1"]);
    for name in names {
        place.feed(&["cp", "-", &format!("box:/d/{name}")], b"after\n");
    }
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let files = Files::open(store.open_volume("box").unwrap(), Default::default()).unwrap();
    Paths::new(&files).rename("d/from here", "d/to \"there\"").unwrap();
    files.close().unwrap();
    drop(store);
    let Some(text) = apply_patch(&place, "*") else { return };
    for line in [
        "diff --git a/d/with space b/d/with space\n",
        "--- a/d/with space\t\n",
        "+++ \"b/d/with space \\\"q\\\"\"\t\n",
        "--- \"a/d/back\\\\slash\"\n",
        "--- \"a/d/\\303\\251\"\n",
        "rename to \"d/to \\\"there\\\"\"\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    for name in names {
        assert_eq!(std::fs::read(place.path("a/d").join(name)).unwrap(), b"after\n", "{name}");
    }
    assert!(place.path("a/d/to \"there\"").exists());
}

/// What was in a directory that had moved was told nowhere, and what was different in it could not be
/// applied: it was not there yet.
#[test]
fn a_patch_moves_what_is_in_a_directory() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["mkdir", "box:/app", "box:/app/sub", "box:/app/sub/deep", "box:/else"]);
    for file in
        ["app/one", "app/two", "app/sub/three", "app/sub/deep/four", "app/gone", "else/five"]
    {
        place.feed(&["cp", "-", &format!("box:/{file}")], format!("{file}\n").as_bytes());
    }
    place.ok(&["snapshot", "box", "-t", "box:1"]);
    place.ok(&["cp", "-r", "box:1:/app", "box:1:/else", "."]);
    std::fs::create_dir(place.path("a")).unwrap();
    for folder in ["app", "else"] {
        std::fs::rename(place.path(folder), place.path("a").join(folder)).unwrap();
    }
    let store = Store::open(place.store(), &StoreOptions::default()).unwrap();
    let files = Files::open(store.open_volume("box").unwrap(), Default::default()).unwrap();
    let paths = Paths::new(&files);
    paths.rename("app", "app.old").unwrap();
    paths.rename("app.old/sub", "else/sub").unwrap();
    paths.create_dir("app").unwrap();
    paths.write("app/one", b"another\n").unwrap();
    paths.write("app.old/two", b"changed\n").unwrap();
    paths.remove_file("app.old/gone").unwrap();
    paths.remove_file("else/sub/deep/four").unwrap();
    paths.create_dir("else/sub/deep/four").unwrap();
    files.close().unwrap();

    let said = place.run(&["diff", "box:1", "box", "--files"]);
    let lines = "A\tapp\nR\tapp\tapp.old\nM\tapp.old/two\nD\tapp/gone\nA\tapp/one\n\
                 R\tapp/sub\telse/sub\nM\telse/sub/deep/four\n";
    assert_eq!(String::from_utf8(said.stdout).unwrap(), lines);
    if apply_patch(&place, "*").is_none() {
        return;
    }
    let read = |file: &str| std::fs::read_to_string(place.path("a").join(file)).unwrap();
    for (file, content) in [
        ("app/one", "another\n"),
        ("app.old/one", "app/one\n"),
        ("app.old/two", "changed\n"),
        ("else/sub/three", "app/sub/three\n"),
        ("else/five", "else/five\n"),
    ] {
        assert_eq!(read(file), content);
    }
    for file in ["app/two", "app/sub", "app/gone", "app.old/gone", "app.old/sub"] {
        assert!(!place.path("a").join(file).exists(), "{file}");
    }
    assert!(!place.path("a/else/sub/deep/four").is_file());
}

#[test]
fn files_go_in_and_out_as_they_are() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    let host = std::fs::File::create(place.path("sparse")).unwrap();
    host.set_len(40 << 20).unwrap();
    host.write_all_at(&pattern(1, 5000), 17 << 20).unwrap();
    std::fs::set_permissions(place.path("sparse"), PermissionsExt::from_mode(0o750)).unwrap();
    std::fs::write(place.path("empty"), "").unwrap();

    place.ok(&["cp", "sparse", "empty", "box:/"]);
    let told = place.json(&["stat", "box:/sparse"], 0);
    assert_eq!(told["permissions"], "0750");
    assert_eq!(told["size_bytes"], 40 << 20);
    assert!(told["allocated_bytes"].as_u64().unwrap() <= 256 << 10, "holes stay holes: {told}");
    assert_eq!(place.json(&["stat", "box:/empty"], 0)["size_bytes"], 0);

    place.ok(&["cp", "box:/sparse", "out"]);
    assert!(
        std::fs::read(place.path("out")).unwrap() == std::fs::read(place.path("sparse")).unwrap()
    );
    let facts = std::fs::metadata(place.path("out")).unwrap();
    assert_eq!(facts.mode() & 0o7777, 0o750);
    assert!(facts.blocks() * 512 <= 1 << 20);
    assert!(place.ok(&["cat", "box:/sparse"]) == std::fs::read(place.path("sparse")).unwrap());

    // Within a tree blocks are shared, and those of a snapshot with other trees; those of a volume
    // are copied into other trees.
    place.feed(&["cp", "-", "box:/large"], &pattern(2, 8 << 20));
    let size = |name| place.json(&["show", name], 0)["file_bytes"].as_u64().unwrap();
    let before = size("box");
    place.ok(&["cp", "box:/large", "box:/again"]);
    place.ok(&["mkdir", "box:/d"]);
    place.ok(&["cp", "box:/large", "box:/d/"]);
    place.ok(&["cp", "-r", "box:/d", "box:/d2"]);
    assert!(size("box") - before <= 1 << 20, "{before} bytes became {}", size("box"));
    place.ok(&["create", "--tree", "sharing"]);
    place.ok(&["snapshot", "box", "-t", "box:1"]);
    place.ok(&["cp", "-r", "box:1:/d", "sharing:/"]);
    place.ok(&["cp", "box:1:/large", "sharing:/"]);
    assert!(size("sharing") <= 1 << 20, "{}", size("sharing"));
    assert!(place.ok(&["cat", "sharing:/large"]) == pattern(2, 8 << 20));
    assert!(place.ok(&["cat", "sharing:/d/large"]) == pattern(2, 8 << 20));
    place.feed(&["write", "box:/again"], b"new");
    place.feed(&["write", "box:/again"], &pattern(2, 8 << 20));
    place.ok(&["create", "--tree", "other"]);
    place.ok(&["cp", "box:/again", "box:/sparse", "other:/"]);
    assert!(place.ok(&["cat", "other:/again"]) == pattern(2, 8 << 20));
    assert!(place.ok(&["cat", "other:/sparse"]) == std::fs::read(place.path("out")).unwrap());
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn ranges_of_files_are_read_and_written() {
    let place = place_with_tree();
    let said = place.feed(&["write", "box:/etc/hosts", "--offset", "4"], b"TWO\n");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(place.ok(&["cat", "box:/etc/hosts"]), b"one\nTWO\nree\n");
    assert_eq!(place.ok(&["read", "box:/link", "--offset", "4", "--length", "3"]), b"TWO");
    place.feed(&["write", "box:/usr/bin/tool", "--offset", "40000"], &pattern(3, 4096));
    let mut tool = pattern(2, 100_000);
    tool[40_000..44_096].copy_from_slice(&pattern(3, 4096));
    assert!(place.ok(&["cat", "box:/usr/bin/twin"]) == tool);
    assert_eq!(place.feed(&["write", "box:/missing"], b"x").code, 8);
    assert_eq!(place.feed(&["write", "box:1:/etc/hosts"], b"x").code, 2);
}

#[test]
fn names_are_bytes() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    let odd = std::ffi::OsStr::from_bytes(b"box:/a\xff\n");
    assert!(place.command().args(["mkdir".as_ref(), odd]).output().unwrap().status.success());
    assert_eq!(String::from_utf8(place.ok(&["ls", "box:/"])).unwrap(), "a\\xff\\n\n");
    let document = place.json(&["ls", "box:/"], 0);
    assert_eq!(document["entries"][0]["path_hex"], "2f61ff0a");
    assert_eq!(document["entries"][0]["path"], "/a\u{fffd}\n");
}

#[test]
fn a_verb_that_fails_changes_nothing() {
    let place = place_with_tree();
    let before = place.ok(&["ls", "-lR", "box:/", "--json"]);
    // The first of each could be done, the second cannot.
    let fails: &[(&[&str], i32)] = &[
        (&["mkdir", "box:/x", "box:/etc"], 9),
        (&["rm", "box:/etc/hosts", "box:/usr"], 2),
        (&["cp", "box:1:/etc/old", "missing", "box:/etc"], 8),
        (&["cp", "box:1:/etc/old", "box:/etc", "box:/usr"], 2),
    ];
    for (words, code) in fails {
        let said = place.run(words);
        assert_eq!(said.code, *code, "{words:?}: {}", said.stderr);
        assert_eq!(place.ok(&["ls", "-lR", "box:/", "--json"]), before, "{words:?}");
    }
}

#[test]
fn trees_are_forked_reset_and_pictured_as_disks_are() {
    let place = place_with_tree();
    place.ok(&["fork", "box:1", "twin"]);
    place.ok(&["mkdir", "twin:/only/here", "-p"]);
    place.ok(&["ls", "twin:/only"]);
    assert_eq!(place.run(&["ls", "box:/only"]).code, 8);
    place.ok(&["reset", "twin"]);
    assert_eq!(place.run(&["ls", "twin:/only"]).code, 8);
    assert_eq!(place.ok(&["ls", "-R", "twin:/"]), place.ok(&["ls", "-R", "box:1:/"]));

    let map = place.json(&["map", "box"], 0);
    let extents = map["extents"].as_array().unwrap();
    assert!(extents.iter().all(|extent| extent["state"] != "hole"), "{map}");
    let tool = place.json(&["stat", "box:/usr/bin/tool"], 0)["inode"].clone();
    let of_tool: u64 = extents
        .iter()
        .filter(|extent| extent["inode"] == tool)
        .map(|extent| extent["length_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(of_tool, 100_000_u64.next_multiple_of(4096));
    let text = String::from_utf8(place.ok(&["map", "box", "--width", "20"])).unwrap();
    assert!(text.contains("metadata"), "{text}");
    assert!(text.lines().next().unwrap().chars().count() <= 20, "{text}");
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn what_asks_for_a_disk_refuses_a_tree_and_the_other_way_round() {
    let place = place_with_tree();
    place.ok(&["create", "disk", "1M"]);
    let misuses: &[&[&str]] = &[
        &["read", "box"],
        &["read", "box:/etc"],
        &["read", "box:/etc/hosts", "--offset", "99"],
        &["write", "box:/etc"],
        &["write", "box"],
        &["resize", "box", "1G"],
        &["ls", "disk:/"],
        &["mkdir", "disk:/x"],
        &["diff", "disk", "disk", "--files"],
        &["create", "both", "1M", "--tree"],
        &["create", "neither"],
        &["ls", "box"],
        &["ls", "--long"],
        &["mkdir", "box:1:/x"],
        &["mkdir", "box@1:/x"],
        &["mkdir", "-m", "9", "box:/x"],
        &["cat", "box:/etc"],
        &["cat", "box:/etc/hosts/x"],
        &["cp", "a", "b"],
        &["cp", "box:/etc", "out"],
        &["cp", "box:/etc/hosts", "-"],
        &["cp", "-", "box:/etc"],
        &["ln", "elsewhere", "box:/x"],
        &["ln", "box:1:/etc/hosts", "box:/x"],
        &["ln", "box:/usr", "box:/x"],
        &["export", "box:1", "a-file"],
        &["rm", "box:/usr"],
        &["rm", "-r", "box:/"],
    ];
    std::fs::write(place.path("a-file"), "").unwrap();
    let before = place.ok(&["ls", "-R", "box:/"]);
    for words in misuses {
        let said = place.run(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.stderr);
        assert!(!said.stderr.is_empty());
    }
    let long = format!("box:/{}", "n".repeat(256));
    assert_eq!(place.run(&["mkdir", &long]).code, 2);
    place.ok(&["ln", "-s", "loop", "box:/loop"]);
    assert_eq!(place.run(&["cat", "box:/loop"]).code, 2);
    place.ok(&["rm", "box:/loop"]);
    assert_eq!(place.run(&["cat", "box:/etc/hosts", "box:/missing"]).code, 8);
    assert_eq!(place.run(&["ln", "-s", "x", "box:/etc"]).code, 9);
    // What is wrong is named as it was typed.
    for (original, code) in [("box:/missing", 8), ("box:/usr", 2)] {
        let said = place.run(&["ln", original, "box:/x"]);
        assert_eq!(said.code, code);
        assert!(said.stderr.trim_end().ends_with(original), "{}", said.stderr);
    }
    assert_eq!(place.ok(&["ls", "-R", "box:/"]), before);
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn looking_into_a_tree_changes_nothing() {
    let place = place_with_tree();
    let listing = || {
        let folders = ["", "layers", "names"].map(|folder| place.store().join(folder));
        let files = folders.iter().flat_map(|folder| super::support::files_in(folder, ""));
        let files = files.filter(|path| path.is_file());
        files.map(|path| (std::fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = listing();
    let looks: &[&[&str]] = &[
        &["ls", "-lR", "box:/", "box:1:/"],
        &["cat", "box:/link"],
        &["stat", "box:/link"],
        &["read", "box:/link"],
        &["cp", "-r", "box:/etc", "out"],
        &["export", "box", "folder", "--no-owners"],
        &["export", "--format", "tar", "box", "-"],
        &["export", "--format", "layer", "box", "-"],
        &["diff", "box:1", "box", "--patch"],
        &["blame", "box:/usr/bin/tool"],
        &["du", "box", "--layers"],
        &["map", "box"],
        &["dump", "box:1"],
        &["check", "--data"],
    ];
    for words in looks {
        let said = place.run(words);
        assert!(said.code <= 1, "{words:?}: {}", said.stderr);
        assert!(listing() == before, "{words:?} changed the store");
    }
    // What checks leaves not even an index behind.
    let index = place.store().join("index");
    super::support::files_in(&index, "")
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    let said = String::from_utf8(place.ok(&["check", "--data"])).unwrap();
    assert!(said.contains("2 trees of"), "{said}");
    assert!(super::support::files_in(&index, "").is_empty());
}

#[test]
fn nothing_leads_out_of_a_tree() {
    let place = Place::with_store();
    std::fs::write(place.path("secret"), "host").unwrap();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["ln", "-s", place.path("secret").to_str().unwrap(), "box:/out"]);
    assert_eq!(place.run(&["cat", "box:/out"]).code, 8);
    place.feed(&["cp", "-", "box:/../../inside"], b"x");
    assert_eq!(place.ok(&["cat", "box:/inside"]), b"x");
    assert_eq!(std::fs::read(place.path("secret")).unwrap(), b"host");
}

/// A copy of a file took away the directory that had its name, with all in it.
#[test]
fn no_copy_puts_a_file_in_place_of_a_directory_or_the_other_way_round() {
    let place = Place::with_store();
    for folder in ["target/conf/deep", "file", "below/above", "directory/lnk"] {
        std::fs::create_dir_all(place.path(folder)).unwrap();
    }
    std::fs::write(place.path("target/conf/deep/keep"), "keep").unwrap();
    std::fs::write(place.path("file/conf"), "new").unwrap();
    std::os::unix::fs::symlink("/elsewhere", place.path("below/above/conf")).unwrap();
    place.ok(&["import", "target", "target:1"]);
    place.ok(&["import", "file", "file:1"]);
    place.ok(&["fork", "target:1", "v"]);
    place.ok(&["mkdir", "v:/above", "v:/directory"]);
    place.ok(&["ln", "-s", "../conf", "v:/directory/lnk"]);
    place.ok(&["cp", "-r", "v:/conf", "v:/above"]);
    let before = place.ok(&["ls", "-R", "v:/"]);
    for words in [
        ["file/conf", "v:/"],
        ["file:1:/conf", "v:/"],
        ["file:1:/conf", "v:/above"],
        ["below/above", "v:/"],
        ["directory", "v:/"],
    ] {
        for option in ["-r", "-a"] {
            let said = place.run(&[&["cp", option], &words[..]].concat());
            assert_ne!(said.code, 0, "{words:?}");
            assert!(said.stderr.contains("directory"), "{words:?}: {}", said.stderr);
        }
    }
    assert_eq!(place.ok(&["ls", "-R", "v:/"]), before);

    // What leads to what is there, and would lead to itself.
    place.feed(&["cp", "-", "v:/data"], b"data");
    place.ok(&["ln", "-s", "data", "v:/name"]);
    let said = place.run(&["cp", "-r", "v:/name", "v:/data"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert_eq!(place.ok(&["cat", "v:/data"]), b"data");
    place.ok(&["cp", "-r", "v:/name", "v:/other"]);

    // Nor is what is on the host and no file.
    std::os::unix::fs::symlink("nowhere", place.path("link")).unwrap();
    std::process::Command::new("mkfifo").arg(place.path("pipe")).status().unwrap();
    for target in ["link", "pipe"] {
        for option in ["-r", "-a"] {
            let said = place.run(&["cp", option, "v:/data", target]);
            assert_eq!(said.code, 2, "{target}: {}", said.stderr);
        }
        assert!(!place.path(target).symlink_metadata().unwrap().is_file());
    }
}
