//! Trees in and out: directories, tar streams, image layers.

use std::fs;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::support::{Place, files_in, pattern};

/// A directory with what trees are made of, as far as everybody may make it.
fn make_files(root: &Path) {
    fs::create_dir_all(root.join("etc/deep/er")).unwrap();
    fs::write(root.join("etc/hosts"), "127.0.0.1 here\n").unwrap();
    fs::write(root.join("large"), pattern(1, 1 << 20)).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(16 << 20).unwrap();
    fs::write(root.join("etc/deep/er/program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("etc/deep/er/program"), PermissionsExt::from_mode(0o4755))
        .unwrap();
    fs::hard_link(root.join("large"), root.join("etc/twin")).unwrap();
    symlink("../etc/hosts", root.join("etc/link")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
}

/// What a directory holds, in a form that can be compared: links by what they share.
fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            let content = if facts.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if facts.is_file() {
                let mut sum = 0_u64;
                for byte in fs::read(&path).unwrap() {
                    sum = sum.wrapping_mul(31).wrapping_add(byte.into());
                }
                format!("{} bytes, {sum:x}, {} names", facts.len(), facts.nlink())
            } else {
                folders.push(path.clone());
                String::new()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let time = (facts.mtime(), facts.mtime_nsec());
            lines.push(format!("{name} {:o} {time:?} {content}", facts.mode()));
        }
    }
    lines.sort();
    lines
}

fn place_with_files() -> Place {
    let place = Place::with_store();
    fs::create_dir(place.path("files")).unwrap();
    make_files(&place.path("files"));
    place
}

/// The checksum of a header was said to be wrong; a tar that was to be a tree became a disk without a word.
#[test]
fn a_tar_stream_may_be_compressed_and_is_not_taken_for_a_disk_in_silence() {
    let place = place_with_files();
    place.ok(&["import", "files", "files:1"]);
    place.ok(&["export", "files:1", "files.tar", "--format", "tar"]);
    let tar = fs::read(place.path("files.tar")).unwrap();
    let zipped = Command::new("gzip").arg("-c").arg(place.path("files.tar")).output().unwrap();
    assert!(zipped.status.success());
    fs::write(place.path("files.tar.gz"), &zipped.stdout).unwrap();
    place.ok(&["import", "files.tar.gz", "zipped:1", "--format", "tar"]);
    assert_eq!(place.ok(&["export", "zipped:1", "-", "--format", "tar"]), tar);
    let said = place.feed(&["import", "-", "layer:1", "--format", "layer"], &zipped.stdout);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(place.ok(&["export", "layer:1", "-", "--format", "tar"]), tar);
    let cut = &zipped.stdout[..zipped.stdout.len() - 4];
    assert_eq!(place.feed(&["import", "-", "cut:1", "--format", "tar"], cut).code, 10);

    for file in ["files.tar", "files.tar.gz"] {
        let disk = place.run(&["import", file, &format!("{file}:1")]);
        assert_eq!(disk.code, 0, "{}", disk.stderr);
        assert!(disk.stderr.contains("--format tar makes a tree"), "{}", disk.stderr);
        let told = place.run(&["import", file, &format!("{file}:2"), "--format", "raw"]);
        assert_eq!((told.code, told.stderr.as_str()), (0, ""));
    }
    // Its first bytes were told as the sum of a header.
    fs::write(place.path("page"), pattern(7, 4096)).unwrap();
    let said = place.run(&["import", "page", "page:1", "--format", "tar"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("found something else, expected a tar"), "{}", said.stderr);
    let disk = place.run(&["import", "files/large", "large:1"]);
    assert_eq!((disk.code, disk.stderr.as_str()), (0, ""));
}

#[test]
fn a_directory_goes_in_and_comes_out_the_same() {
    let place = place_with_files();
    let said = place.json(&["import", "files", "base:1", "--label", "k=v"], 0);
    assert_eq!(said["entries"], 11);
    assert_eq!(place.json(&["show", "base:1"], 0)["labels"]["k"], "v");
    place.ok(&["export", "base:1", "out"]);
    assert_eq!(listing(&place.path("out")), listing(&place.path("files")));
    assert!(fs::metadata(place.path("out/sparse")).unwrap().blocks() * 512 <= 1 << 20);
    // Nobody's files are written over.
    assert_eq!(place.run(&["export", "base:1", "out"]).code, 2);
    assert_eq!(place.run(&["import", "files", "base:1"]).code, 9);
    let sound = String::from_utf8(place.ok(&["check", "--data"])).unwrap();
    assert!(sound.contains("1 tree of 10 files"), "{sound}");
}

#[test]
fn equal_trees_give_equal_streams() {
    let place = place_with_files();
    place.ok(&["import", "files", "base:1"]);
    place.ok(&["export", "--format", "tar", "base:1", "base.tar"]);
    let stream = place.ok(&["export", "--format", "tar", "base:1", "-"]);
    assert_eq!(fs::read(place.path("base.tar")).unwrap(), stream);
    let said = place.feed(&["import", "--format", "tar", "-", "again"], &stream);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(place.ok(&["export", "--format", "tar", "again", "-"]), stream);
    // Other programs read it too.
    let names =
        std::process::Command::new("tar").arg("-tf").arg(place.path("base.tar")).output().unwrap();
    assert!(names.status.success());
    assert!(
        String::from_utf8(names.stdout).unwrap().lines().any(|name| name.ends_with("etc/twin"))
    );
}

#[test]
fn layers_take_away_what_they_hide() {
    let place = place_with_files();
    place.ok(&["import", "files", "base:1"]);
    place.ok(&["fork", "base:1", "web"]);
    place.ok(&["rm", "-r", "web:/etc/deep", "web:/dangling"]);
    place.feed(&["cp", "-", "web:/etc/hosts"], b"other\n");
    place.ok(&["mkdir", "web:/srv"]);
    place.ok(&["snapshot", "web", "-t", "web:1"]);
    place.ok(&["export", "--format", "layer", "web:1", "web.layer"]);
    place.ok(&["import", "--format", "layer", "web.layer", "web:2", "--parent", "base:1"]);
    let stream = |reference: &str| place.ok(&["export", "--format", "tar", reference, "-"]);
    assert!(stream("web:1") == stream("web:2"));
    let log = place.json(&["log", "web:2"], 0);
    assert_eq!(log["layers"].as_array().unwrap().len(), 2);
    assert_eq!(log["layers"][0]["parent"], log["layers"][1]["layer"]);
    // The lowest layer is the whole tree; as a plain tar, the marks are files like others.
    place.ok(&["export", "--format", "layer", "base:1", "base.layer"]);
    place.ok(&["import", "--format", "layer", "base.layer", "base:2"]);
    assert_eq!(place.ok(&["ls", "-R", "base:2:/"]), place.ok(&["ls", "-R", "base:1:/"]));
    place.ok(&["import", "--format", "tar", "web.layer", "plain"]);
    place.ok(&["stat", "plain:/.wh.dangling"]);
    let since = |reference: &'static str, file: &'static str| {
        ["export", "--format", "layer", "--since", reference, "web:1", file]
    };
    assert_eq!(place.json(&since("base:1", "x"), 0)["since"], "base:1");
    assert!(fs::read(place.path("x")).unwrap() == fs::read(place.path("web.layer")).unwrap());
    assert_eq!(place.run(&since("base:2", "y")).code, 2, "not from one tree");
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn directories_are_copied_in_out_and_across() {
    let place = place_with_files();
    place.ok(&["create", "--tree", "box"]);
    assert_eq!(place.run(&["cp", "files", "box:/"]).code, 2);
    place.ok(&["cp", "-a", "files", "box:/"]);
    place.ok(&["cp", "-r", "files", "box:/copy"]);
    assert_eq!(place.json(&["stat", "box:/copy/etc/link"], 0)["target"]["path"], "../etc/hosts");
    assert_eq!(place.json(&["stat", "box:/files/large"], 0)["links"], 2);
    // Without its owner a program runs as nobody in particular.
    let mode = |path: &str| place.json(&["stat", path], 0)["permissions"].clone();
    let programs = ["files", "copy"].map(|copy| mode(&format!("box:/{copy}/etc/deep/er/program")));
    assert_eq!(programs, ["4755", "0755"]);
    place.ok(&["cp", "-a", "box:/files", "out"]);
    assert_eq!(listing(&place.path("out")), listing(&place.path("files")));

    place.ok(&["create", "--tree", "other"]);
    place.ok(&["cp", "-a", "box:/files", "other:/"]);
    place.ok(&["cp", "-r", "other:/files/etc", "other:/files/within"]);
    place.ok(&["cp", "-a", "other:/files", "again"]);
    fs::remove_dir_all(place.path("again/within")).unwrap();
    fs::File::open(place.path("again"))
        .unwrap()
        .set_modified(fs::metadata(place.path("files")).unwrap().modified().unwrap())
        .unwrap();
    assert_eq!(listing(&place.path("again")), listing(&place.path("files")));
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

/// Once each was followed, or refused, where it was named itself and not found in a directory.
#[test]
fn what_is_named_by_itself_is_copied_as_what_it_is() {
    let place = place_with_files();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 5);
    let large = fs::File::options().write(true).open(place.path("files/large")).unwrap();
    large.set_modified(old).unwrap();
    fs::set_permissions(place.path("files/large"), PermissionsExt::from_mode(0o4711)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("files/socket")).unwrap();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["cp", "-a", "files/dangling", "files/large", "files/socket", "box:/"]);
    place.ok(&["cp", "-a", "files/etc/link", "box:/named"]);
    place.ok(&["cp", "-a", "files/etc/link", "box:/large-too"]);
    place.ok(&["cp", "-a", "files/large", "box:/large-too"]);
    place.ok(&["snapshot", "box", "-t", "box:1"]);
    place.ok(&["create", "--tree", "other"]);
    let all = ["dangling", "large", "large-too", "named", "socket"];
    let words = |tree: &str| all.map(|name| format!("{tree}:/{name}"));
    let copy = |tree: &str, target: &str| {
        let words = words(tree);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        place.ok(&[&["cp", "-a"][..], &words, &[target]].concat());
    };
    copy("box:1", "other:/");
    place.ok(&["mkdir", "other:/in"]);
    copy("other", "other:/in");
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("out/named"), "in the way").unwrap();
    copy("other", "out");
    for folder in ["box:", "other:", "other:/in"] {
        let stat = |name: &str| place.json(&["stat", &format!("{folder}/{name}")], 0);
        assert_eq!(stat("named")["target"]["path"], "../etc/hosts");
        assert_eq!(stat("socket")["kind"], "socket");
        assert_eq!(stat("large-too")["permissions"], "4711", "in place of a symlink");
    }
    let [from, to] = ["files", "out"].map(|folder| place.path(folder).join("large"));
    assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), old);
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o7777, 0o4711);
    assert!(fs::read(from).unwrap() == fs::read(to).unwrap());
    assert_eq!(fs::read_link(place.path("out/named")).unwrap(), Path::new("../etc/hosts"));
    assert!(fs::symlink_metadata(place.path("out/socket")).unwrap().file_type().is_socket());
    let names = fs::read_dir(place.path("out")).unwrap().count();
    assert_eq!(names, all.len(), "nothing stays that was made aside");
    // Without -a and -r the content is copied, of what has one.
    assert_eq!(place.run(&["cp", "files/dangling", "box:/x"]).code, 8);
    assert_eq!(place.run(&["cp", "-a", "files/missing", "box:/x"]).code, 8);
    assert_eq!(place.run(&["cp", "-a", "files/large", "box:/missing/x"]).code, 8);
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn sockets_and_holes_are_left_out_of_a_tar_where_it_is_asked_for() {
    let place = place_with_files();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("files/socket")).unwrap();
    place.ok(&["import", "files", "base:1"]);
    let export = |words: &[&str]| {
        place.run(&[&["export", "--format", "tar", "--force", "base:1", "out.tar"], words].concat())
    };
    let length = || fs::metadata(place.path("out.tar")).unwrap().len();
    let said = export(&[]);
    assert_eq!(said.code, 10);
    assert!(said.stderr.contains("socket"), "{}", said.stderr);
    assert_eq!(export(&["--no-sockets"]).code, 0);
    assert!(length() > 16 << 20);
    assert_eq!(export(&["--no-sockets", "--sparse"]).code, 0);
    assert!(length() < 2 << 20);
    place.ok(&["import", "--format", "tar", "out.tar", "again:1"]);
    assert_eq!(place.ok(&["diff", "base:1", "base:1", "--files"]), b"");
    let difference = place.run(&["diff", "base:1", "again:1", "--files"]);
    assert_eq!((difference.code, difference.stdout), (1, b"D\tsocket\n".to_vec()));
    // From tree to tree they come along.
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["cp", "-a", "base:1:/", "box:/all"]);
    assert_eq!(place.json(&["stat", "box:/all/socket"], 0)["kind"], "socket");
}

#[test]
fn an_export_that_fails_takes_the_directory_that_it_made_away() {
    let place = place_with_files();
    place.ok(&["import", "files", "base:1"]);
    place.ok(&["fork", "base:1", "web"]);
    let needle = &pattern(1, 1 << 20)[40_000..40_016];
    let layer = files_in(&place.store().join("layers"), ".layer").into_iter().find_map(|layer| {
        let at = fs::read(&layer).unwrap().windows(16).position(|window| window == needle);
        at.map(|at| (layer, at))
    });
    let (layer, at) = layer.expect("the content of a file");
    let file = fs::File::options().write(true).open(layer).unwrap();
    file.write_all_at(&[!needle[0]], at as u64).unwrap();
    for words in [&["export", "base:1", "out"][..], &["cp", "-a", "web:/", "out"]] {
        assert_eq!(place.run(words).code, 5);
        assert!(!place.path("out").exists());
    }
    fs::create_dir(place.path("out")).unwrap();
    assert_eq!(place.run(&["export", "base:1", "out"]).code, 5);
    assert!(place.path("out").exists(), "it was there");
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_nothing() {
    let place = place_with_files();
    fs::write(place.path("disk.img"), pattern(1, 8192)).unwrap();
    place.ok(&["import", "disk.img", "disk"]);
    place.ok(&["import", "files", "base:1"]);
    place.ok(&["export", "--format", "tar", "base:1", "base.tar"]);
    let before = place.ok(&["ls"]);
    let layers = || fs::read_dir(place.store().join("layers")).unwrap().count();
    let layers_before = layers();
    let cut = fs::read(place.path("base.tar")).unwrap();
    fs::write(place.path("cut.tar"), &cut[..cut.len() / 2]).unwrap();
    let misuses: &[(&[&str], i32)] = &[
        (&["import", "disk.img", "x", "--parent", "base:1"], 2),
        (&["import", "disk.img", "x", "--no-owners"], 2),
        (&["import", "--format", "raw", "files", "x"], 2),
        (&["import", "--format", "tar", "files", "x"], 2),
        (&["import", "--format", "tar", "missing", "x"], 8),
        (&["import", "files", "x", "--parent", "missing"], 8),
        (&["import", "files", "x", "--parent", "disk"], 2),
        (&["import", "--format", "tar", "cut.tar", "x"], 2),
        (&["export", "disk", "x", "--format", "tar"], 2),
        (&["export", "disk", "x", "--no-owners"], 2),
        (&["export", "base:1", "x", "--format", "raw"], 2),
        (&["export", "base:1", "-"], 2),
        (&["export", "base:1", "x", "--force"], 2),
        (&["export", "base:1", "x", "--since", "base:1"], 2),
        (&["export", "base:1", "base.tar", "--format", "tar"], 9),
        (&["export", "base:1", "x", "--sparse"], 2),
        (&["export", "disk", "x", "--sparse"], 2),
        (&["blame", "base:1:/etc"], 2),
        (&["blame", "base:1:/missing"], 8),
        (&["du", "disk", "--layers"], 2),
    ];
    for (words, code) in misuses {
        let said = place.run(words);
        assert_eq!(said.code, *code, "{words:?}: {}", said.stderr);
    }
    assert_eq!(place.ok(&["ls"]), before);
    assert!(!place.path("x").exists());
    assert_eq!(layers(), layers_before, "what could not be made whole is no file");
    assert_eq!(place.run(&["check", "--data"]).code, 0);
}

#[test]
fn blame_and_shares_name_the_layers() {
    let place = place_with_files();
    place.ok(&["import", "files", "base:1", "--comment", "the base"]);
    place.ok(&["fork", "base:1", "web"]);
    place.ok(&["cp", "web:/large", "large.out"]);
    let mut large = fs::read(place.path("large.out")).unwrap();
    large.extend(pattern(9, 4096));
    fs::write(place.path("large.out"), &large).unwrap();
    place.ok(&["cp", "large.out", "web:/new"]);
    place.ok(&["snapshot", "web", "-t", "web:1", "--comment", "longer"]);
    let ids = |reference: &str| place.json(&["show", reference], 0)["layer"].clone();

    let old = place.json(&["blame", "web:1:/large"], 0);
    assert_eq!(old["ranges"].as_array().unwrap().len(), 1);
    assert_eq!(old["ranges"][0]["layer"], ids("base:1"));
    assert_eq!(old["ranges"][0]["length_bytes"], 1 << 20);
    assert_eq!(old["ranges"][0]["comment"], "the base");
    let new = place.json(&["blame", "web:1:/new"], 0);
    assert_eq!(new["ranges"][0]["layer"], ids("web:1"));
    let text = String::from_utf8(place.ok(&["blame", "web:1:/new"])).unwrap();
    assert!(text.contains("longer") && text.contains("web:1"), "{text}");

    let shares = place.json(&["du", "web:1", "--layers"], 0);
    let layers = shares["layers"].as_array().unwrap();
    assert_eq!((&layers[0]["layer"], &layers[1]["layer"]), (&ids("web:1"), &ids("base:1")));
    assert_eq!(layers[0]["content_bytes"], (1 << 20) + 4096);
    assert_eq!(layers[1]["content_bytes"], 1 << 20);
    assert_eq!(shares["directories"], 4);
    place.ok(&["du", "web:1", "--layers"]);
}

#[test]
fn a_tree_that_stands_on_nothing_is_reset_to_its_root() {
    let place = Place::with_store();
    place.ok(&["create", "--tree", "box"]);
    place.ok(&["mkdir", "box:/etc"]);
    place.ok(&["reset", "box"]);
    assert_eq!(place.ok(&["ls", "-R", "box:/"]), b"/\n");
    place.ok(&["mkdir", "box:/usr"]);
    assert_eq!(place.run(&["check"]).code, 0);
}
