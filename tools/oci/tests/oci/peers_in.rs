//! Images that other tools made are what those tools make of them: the same files, the same digests.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood::files::{FileKind, Files, FilesOptions, Inode, ReadFiles};
use sapwood::{Replace, Store};
use sapwood_archive::{ImportOptions, import_directory};
use sapwood_oci::{Image, Input, LoadOptions, Sha256};

use crate::load::load_as;
use crate::support::store;

/// All that is to be the same of the files of a tree, by path; links by the first of their names.
fn describe(files: &dyn ReadFiles) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::from([(String::new(), Inode::ROOT)]);
    let mut left = vec![(String::new(), Inode::ROOT)];
    while let Some((above, directory)) = left.pop() {
        let mut each = |entry: sapwood::files::Entry<'_>| {
            let path = format!("{above}/{}", entry.name.escape_ascii());
            if entry.kind == FileKind::Directory {
                left.push((path.clone(), entry.inode));
            }
            paths.insert(path, entry.inode);
            ControlFlow::Continue(())
        };
        files.entries(directory, 0, &mut each).unwrap();
    }
    let mut first = BTreeMap::new();
    let mut described = BTreeMap::new();
    for (path, inode) in paths {
        let same_as = first.entry(inode).or_insert_with(|| path.clone()).clone();
        let file = files.attributes(inode).unwrap();
        let content = match file.kind {
            FileKind::Regular => {
                let mut content = vec![0; file.size as usize];
                let read = files.read(inode, 0, &mut content).unwrap();
                assert_eq!(read, content.len());
                Sha256::of(&content).to_string()
            }
            FileKind::Symlink => files.read_link(inode).unwrap().escape_ascii().to_string(),
            _ => String::new(),
        };
        let mut attributes = Vec::new();
        for name in files.extended_attribute_names(inode).unwrap() {
            let value = files.extended_attribute(inode, &name).unwrap();
            attributes.push(format!("{}={}", name.escape_ascii(), value.escape_ascii()));
        }
        attributes.sort();
        let owner = (file.owner, file.group, file.device);
        // The root itself is in no layer of some tools.
        let modified = if path.is_empty() { None } else { Some(file.modified.seconds) };
        let line = format!(
            "{:?} {:o} {owner:?} {modified:?} {content} {attributes:?} {same_as}",
            file.kind, file.permissions
        );
        described.insert(path, line);
    }
    described
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    assert!(expected.len() > 5, "{expected:?}");
    for (path, line) in expected {
        assert_eq!(found.get(path), Some(line), "{path}");
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// A directory of the host, as a tree would have it.
fn describe_host(store: &Store, path: &Path) -> BTreeMap<String, String> {
    let name = format!("host-{}", store.names().unwrap().len());
    let files = Files::open(store.create_tree(&name).unwrap(), FilesOptions::default()).unwrap();
    import_directory(&files, Inode::ROOT, path, &ImportOptions::default(), &mut |_| {}).unwrap();
    describe(&files)
}

struct Peers {
    folder: tempfile::TempDir,
}

impl Peers {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn run(&self, words: &[&str]) {
        let mut command = Command::new(words[0]);
        let policy = self.at("policy.json");
        match words[0] {
            "skopeo" => command.arg("--insecure-policy"),
            "buildah" => command
                .args(["--storage-driver", "vfs", "--root"])
                .arg(self.at("storage"))
                .arg("--runroot")
                .arg(self.at("run")),
            _ => &mut command,
        };
        if words[0] == "buildah" && !policy.exists() {
            fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
        }
        let output = command.args(&words[1..]).current_dir(self.folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }

    /// What `umoci` makes of an image of a layout.
    fn unpacked(&self, store: &Store, image: &str) -> BTreeMap<String, String> {
        let bundle = format!("bundle-{}", image.replace(':', "-"));
        self.run(&["umoci", "unpack", "--image", image, &bundle]);
        describe_host(store, &self.at(&bundle).join("rootfs"))
    }
}

/// The tools, or why the test is skipped.
fn peers(test: &str, tools: &[&str]) -> Option<Peers> {
    let has = |tool: &&&str| !Path::new("/usr/bin").join(tool).exists();
    let missing: Vec<_> = tools.iter().filter(has).collect();
    if !missing.is_empty() || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {test} needs root, and {missing:?}, which are not there");
        return None;
    }
    Some(Peers { folder: tempfile::tempdir().unwrap() })
}

/// Files of every kind.
fn make_files(root: &Path) {
    let at = |name: &str| root.join(name);
    fs::create_dir_all(at("etc/deep/er")).unwrap();
    fs::write(at("etc/passwd"), "root:x:0:0\n").unwrap();
    fs::write(at("large"), crate::support::noise(3 << 20, 9)).unwrap();
    fs::write(at("etc/deep/er/set"), "#!").unwrap();
    chown(at("etc/deep/er/set"), Some(1000), Some(70_000)).unwrap();
    fs::set_permissions(at("etc/deep/er/set"), PermissionsExt::from_mode(0o6755)).unwrap();
    fs::hard_link(at("large"), at("etc/twin")).unwrap();
    symlink("../etc/passwd", at("etc/link")).unwrap();
    symlink("/nowhere", at("dangling")).unwrap();
    fs::write(at(&"n".repeat(200)), "long").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"no \xff text")), "bytes").unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    use rustix::fs::{CWD, FileType, mknodat};
    mknodat(CWD, at("pipe"), FileType::Fifo, 0o644.into(), 0).unwrap();
    mknodat(CWD, at("null"), FileType::CharacterDevice, 0o666.into(), rustix::fs::makedev(1, 3))
        .unwrap();
    let empty = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(at("large"), "user.note", b"kept", empty).unwrap();
    fs::create_dir(at("goes")).unwrap();
    fs::write(at("goes/inside"), "goes").unwrap();
}

/// Changes them, so that a layer with whiteouts comes of it.
fn change_files(root: &Path) {
    fs::remove_dir_all(root.join("goes")).unwrap();
    fs::remove_file(root.join("etc/link")).unwrap();
    fs::create_dir(root.join("etc/link")).unwrap();
    fs::write(root.join("etc/link/now a directory"), "yes").unwrap();
    fs::remove_dir_all(root.join("etc/deep")).unwrap();
    fs::write(root.join("etc/deep"), "now a file").unwrap();
    fs::write(root.join("etc/passwd"), "changed\n").unwrap();
    fs::set_permissions(root.join("pipe"), PermissionsExt::from_mode(0o600)).unwrap();
}

fn load_from(store: &Store, path: PathBuf, tag: Option<&str>) -> Vec<(Vec<String>, Image)> {
    let options = LoadOptions { replace: Replace::Move, ..LoadOptions::default() };
    load_as(store, Input::Path(path), None, tag, &options).unwrap()
}

#[test]
fn what_umoci_and_skopeo_write_is_what_umoci_reads() {
    let test = "what_umoci_and_skopeo_write_is_what_umoci_reads";
    let Some(peers) = peers(test, &["umoci", "skopeo"]) else { return };
    let (_folder, store) = store();
    peers.run(&["umoci", "init", "--layout", "layout"]);
    peers.run(&["umoci", "new", "--image", "layout:empty"]);
    peers.run(&["umoci", "unpack", "--image", "layout:empty", "work"]);
    make_files(&peers.at("work/rootfs"));
    peers.run(&["umoci", "repack", "--image", "layout:one", "work"]);
    peers.run(&["umoci", "unpack", "--image", "layout:one", "again"]);
    change_files(&peers.at("again/rootfs"));
    peers.run(&["umoci", "repack", "--image", "layout:two", "again"]);

    let loaded = load_from(&store, peers.at("layout"), None);
    let mut names: Vec<&str> = loaded.iter().map(|(names, _)| names[0].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["empty:latest", "one:latest", "two:latest"]);
    for name in ["one", "two"] {
        let image = Image::open(&store, name).unwrap();
        assert_same(&describe(image.view()), &peers.unpacked(&store, &format!("layout:{name}")));
    }
    let two = Image::open(&store, "two").unwrap();
    assert_eq!(two.layers(&store).unwrap().len(), 2);
    let expected = describe(two.view());

    // The same through every form, each into a store of its own, so that all is read.
    let (from, docker) = ("oci:layout:two", "docker-archive:docker.tar:two:1");
    peers.run(&["skopeo", "copy", from, "oci-archive:archive.tar:two:1"]);
    peers.run(&["skopeo", "copy", from, docker]);
    peers.run(&["skopeo", "copy", "--dest-compress-format", "zstd", from, "oci:zstd:two"]);
    for (path, id_is_kept) in [("archive.tar", true), ("docker.tar", false), ("zstd", true)] {
        let (_folder, store) = crate::support::store();
        load_from(&store, peers.at(path), Some("two:1"));
        let image = Image::open(&store, "two:1").unwrap();
        assert_same(&describe(image.view()), &expected);
        assert_eq!(image.configuration().diff_ids(), two.configuration().diff_ids(), "{path}");
        if id_is_kept {
            assert_eq!(image.configuration().digest(), two.configuration().digest(), "{path}");
        }
    }
}

#[test]
fn what_buildah_writes_is_what_umoci_reads() {
    let test = "what_buildah_writes_is_what_umoci_reads";
    let Some(peers) = peers(test, &["umoci", "skopeo", "buildah"]) else { return };
    let (_folder, store) = store();
    // A real root filesystem where there is one.
    let root = match std::env::var_os("SAPWOOD_TEST_ROOT") {
        Some(root) => PathBuf::from(root),
        None => {
            fs::create_dir(peers.at("files")).unwrap();
            make_files(&peers.at("files"));
            peers.at("files")
        }
    };
    let root = root.display().to_string();
    peers.run(&["buildah", "from", "--name", "work", "scratch"]);
    peers.run(&["buildah", "add", "work", &root, "/"]);
    peers.run(&["buildah", "config", "--cmd", "sh -c true", "--env", "a=b", "work"]);
    peers.run(&["buildah", "commit", "work", "oci-archive:built.tar:built:1"]);
    peers.run(&["buildah", "commit", "work", "docker-archive:docker.tar:built:2"]);
    peers.run(&["skopeo", "copy", "oci-archive:built.tar:built:1", "oci:layout:built"]);
    let expected = peers.unpacked(&store, "layout:built");
    for (path, tag) in [("built.tar", "built:1"), ("docker.tar", "built:2"), ("layout", "built")] {
        load_from(&store, peers.at(path), None);
        let image = Image::open(&store, tag).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_same(&describe(image.view()), &expected);
        let config = image.configuration().get().config().clone().unwrap();
        assert_eq!(config.cmd().as_deref().unwrap(), ["sh", "-c", "true"]);
    }
}
