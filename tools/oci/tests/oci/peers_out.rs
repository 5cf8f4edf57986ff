//! What other tools say of the images that are saved here: skopeo, umoci, buildah, and those who
//! unpack gzip and zstd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood::files::{
    FileKind, Files, FilesOptions, FilesView, Inode, NewFile, Paths, ReadFiles, SetAttributes,
    SetMode, Time, compare,
};
use sapwood::{Annotations, Replace, Store};
use sapwood_archive::{ImportOptions, import_directory};
use sapwood_oci::{
    Compression, Image, Input, LoadOptions, Save, SavedImage, save_docker_archive, save_layout,
    save_oci_archive,
};
use serde_json::Value;

use crate::load::{load_all, load_as};
use crate::support::*;

/// Runs a program, and gives what it says.
fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// An image of three layers with all that a tree can hold, and much of what a layer can say.
fn rich(store: &Store, tag: &str) {
    build(
        store,
        None,
        tag,
        &[
            ("ADD rootfs", &|files| {
                write(files, "usr/lib/large", &noise(5 << 20, 1));
                write(files, "usr/lib/zeros", &vec![0; 3 << 20]);
                write(files, "etc/passwd", b"root:x:0:0::/:/bin/sh\n");
                let long = format!("{}/{}", "directory".repeat(20), "name".repeat(50));
                write(files, &long, b"long");
                for at in 0..200 {
                    write(files, &format!("many/{at:03}"), &noise(at * 7, at as u8));
                }
                write(files, "old/a", b"a");
                write(files, "old/b", b"b");
                write(files, "gone", b"gone");
                let paths = Paths::new(files);
                paths.symlink("../lib/large", "usr/link").unwrap();
                paths.hard_link("etc/passwd", "usr/passwd").unwrap();
                let of = |kind, device| NewFile { kind, device, ..NewFile::regular(0o620) };
                files.create(Inode::ROOT, b"pipe", &of(FileKind::Fifo, 0)).unwrap();
                files.create(Inode::ROOT, b"null", &of(FileKind::CharDevice, 0x103)).unwrap();
                files.create(Inode::ROOT, b"disk", &of(FileKind::BlockDevice, 0x801)).unwrap();
                let odd = files.create(Inode::ROOT, b"odd\xff\n", &NewFile::regular(0o4755));
                let odd = odd.unwrap().inode;
                let set = SetAttributes {
                    owner: Some(70_000),
                    group: Some(5),
                    modified: Some(Time { seconds: 1_234_567, nanoseconds: 890 }),
                    ..SetAttributes::default()
                };
                files.set_attributes(odd, &set).unwrap();
                for (name, value) in [
                    (&b"user.note"[..], &b"a\nb=\0c"[..]),
                    // cap_net_raw, permitted and effective.
                    (b"security.capability", b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
                ] {
                    let program = paths.resolve("usr/lib/large").unwrap();
                    files.set_extended_attribute(program, name, value, SetMode::Any).unwrap();
                }
            }),
            ("RUN change", &|files| {
                let paths = Paths::new(files);
                paths.remove_file("gone").unwrap();
                paths.remove_dir_all("old").unwrap();
                write(files, "old/c", b"c");
                write(files, "many/100", b"changed");
                paths.rename("many/101", "moved").unwrap();
                paths.remove_file("pipe").unwrap();
                paths.create_dir("pipe").unwrap();
                paths.hard_link("usr/passwd", "again").unwrap();
                let large = paths.resolve("usr/lib/large").unwrap();
                files.write(large, 1 << 20, &[9; 5000]).unwrap();
            }),
            ("RUN touch", &|files| write(files, "etc/motd", b"hello")),
        ],
    );
}

fn views_equal(one: &FilesView, other: &FilesView, what: &str) {
    assert_eq!(compare(one, other).unwrap(), [], "{what}");
    for (path, _) in listing(one).into_iter().filter(|(path, _)| !path.is_empty()) {
        let path = unescaped(&path);
        let links = |view: &FilesView| {
            let inode = Paths::new(view).resolve_link(&path).unwrap();
            let file = view.attributes(inode).unwrap();
            if file.kind == FileKind::Directory { 0 } else { file.links }
        };
        assert_eq!(links(one), links(other), "{what}: {path:?}");
    }
}

fn unescaped(path: &str) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let bytes = path.replace("\\xff", "\u{1}").replace("\\n", "\n").into_bytes();
    let bytes: Vec<u8> = bytes.into_iter().map(|b| if b == 1 { 0xff } else { b }).collect();
    std::ffi::OsStr::from_bytes(&bytes).into()
}

/// A folder of the host as a tree.
fn tree_of(store: &Store, name: &str, folder: &Path) -> FilesView {
    let files = Files::open(store.create_tree(name).unwrap(), FilesOptions::default()).unwrap();
    let options = ImportOptions::default();
    import_directory(&files, Inode::ROOT, folder, &options, &mut |_| {}).unwrap();
    FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap()
}

struct Form {
    name: &'static str,
    compression: Compression,
    /// As skopeo calls it.
    transport: &'static str,
}

const FORMS: [Form; 6] = [
    Form { name: "plain", compression: Compression::None, transport: "oci" },
    Form { name: "gzip", compression: Compression::Gzip, transport: "oci" },
    Form { name: "zstd", compression: Compression::Zstd, transport: "oci" },
    Form { name: "gzip.tar", compression: Compression::Gzip, transport: "oci-archive" },
    Form { name: "zstd.tar", compression: Compression::Zstd, transport: "oci-archive" },
    Form { name: "docker.tar", compression: Compression::None, transport: "docker-archive" },
];

fn save(store: &Store, tag: &str, form: &Form, path: &Path) -> SavedImage {
    let image = Image::open(store, tag).unwrap();
    let saves = [Save { image: &image, name: Some(tag) }];
    let (compression, scratch) = (form.compression, path.parent().unwrap());
    let tell = |_| {};
    let saved = match form.transport {
        "oci" => {
            fs::create_dir(path).unwrap();
            save_layout(store, &saves, path, path, compression, Replace::Refuse, &tell)
        }
        other => {
            let mut file = fs::File::create(path).unwrap();
            match other {
                "oci-archive" => {
                    save_oci_archive(store, &saves, &mut file, scratch, compression, &tell)
                }
                _ => save_docker_archive(store, &saves, &mut file, scratch, &tell),
            }
        }
    };
    saved.unwrap().remove(0)
}

#[test]
fn skopeo_reads_each_form_and_umoci_makes_the_same_tree() {
    let test = "skopeo_reads_each_form_and_umoci_makes_the_same_tree";
    if !can_run(test, &["skopeo", "umoci"]) {
        return;
    }
    let (folder, store) = store();
    rich(&store, "rich:1");
    let expected = Image::open(&store, "rich:1").unwrap();
    for form in &FORMS {
        let path = folder.path().join(form.name);
        let saved = save(&store, "rich:1", form, &path);
        let source = format!("{}:{}:rich:1", form.transport, path.display());

        let configuration: Value =
            serde_json::from_str(&run("skopeo", &["inspect", "--config", &source])).unwrap();
        let told: Vec<_> = saved.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
        assert_eq!(configuration["rootfs"]["diff_ids"], serde_json::json!(told), "{}", form.name);
        if form.transport != "docker-archive" {
            let manifest = run("skopeo", &["inspect", "--raw", &source]);
            let digest = sapwood_oci::Sha256::of(manifest.as_bytes()).to_string();
            assert_eq!(saved.manifest.digest().to_string(), digest);
        }

        let copy = folder.path().join(format!("{}-copy", form.name));
        let target = format!("oci:{}:rich:1", copy.display());
        run("skopeo", &["copy", &source, &target]);
        if form.name == "gzip" {
            for layer in &saved.layers {
                let digest = layer.descriptor.digest().to_string().replace(':', "/");
                let blob = |layout: &Path| fs::read(layout.join("blobs").join(&digest)).unwrap();
                assert!(blob(&path) == blob(&copy), "skopeo copies the blob as it is");
            }
        }
        // umoci does not read zstd; buildah does, below.
        if form.compression == Compression::Zstd {
            continue;
        }
        let bundle = folder.path().join(format!("{}-bundle", form.name));
        let image = format!("{}:rich:1", copy.display());
        run("umoci", &["unpack", "--image", &image, bundle.to_str().unwrap()]);
        let unpacked = tree_of(&store, form.name, &bundle.join("rootfs"));
        views_equal(expected.view(), &unpacked, form.name);
    }
}

#[test]
fn everybody_unpacks_members_and_frames_that_follow_each_other() {
    let test = "everybody_unpacks_members_and_frames_that_follow_each_other";
    if !can_run(test, &["gzip", "zstd", "python3", "sha256sum"]) {
        return;
    }
    let (folder, store) = store();
    build(&store, None, "long", &[("ADD", &|files| write(files, "f", &noise(5 << 20, 3)))]);
    for form in &FORMS[1..3] {
        let layout = folder.path().join(form.name);
        let layer = save(&store, "long", form, &layout).layers.remove(0);
        let digest = layer.descriptor.digest().to_string().replace(':', "/");
        let blob = layout.join("blobs").join(digest).display().to_string();
        let python = "import gzip,sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())";
        let python = format!("python3 -c '{python}' {blob}");
        let readers = match form.compression {
            Compression::Gzip => vec![format!("gzip -dc < {blob}"), python],
            _ => vec![format!("zstd -dc < {blob}")],
        };
        for reader in readers {
            let digest = run("sh", &["-c", &format!("{reader} | sha256sum")]);
            assert_eq!(format!("sha256:{}", &digest[..64]), layer.diff_id.to_string(), "{reader}");
        }
    }
}

/// Images and containers of buildah in a folder.
struct Buildah {
    folder: PathBuf,
}

impl Buildah {
    fn run(&self, words: &[&str]) -> String {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let (root, run_root) = (at("root"), at("run"));
        let place = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
        run("buildah", &[&place, words].concat()).trim().to_owned()
    }
}

#[test]
fn buildah_runs_what_is_saved() {
    if !can_run("buildah_runs_what_is_saved", &["buildah", "busybox", "runc"]) {
        return;
    }
    let busybox = run("sh", &["-c", "command -v busybox"]);
    let busybox = fs::read(busybox.trim()).unwrap();
    let (folder, store) = store();
    build(
        &store,
        None,
        "busy:1",
        &[
            ("ADD busybox", &|files| {
                write(files, "bin/busybox", &busybox);
                let program = Paths::new(files).resolve("bin/busybox").unwrap();
                let set = SetAttributes { permissions: Some(0o755), ..SetAttributes::default() };
                files.set_attributes(program, &set).unwrap();
                Paths::new(files).symlink("busybox", "bin/sh").unwrap();
                write(files, "etc/motd", b"lower");
                write(files, "gone", b"gone");
            }),
            ("RUN change", &|files| {
                write(files, "etc/motd", b"hello from below");
                Paths::new(files).remove_file("gone").unwrap();
            }),
        ],
    );
    let buildah = Buildah { folder: folder.path().join("buildah") };
    for form in &FORMS[3..] {
        let path = folder.path().join(form.name);
        save(&store, "busy:1", form, &path);
        let source = format!("{}:{}", form.transport, path.display());
        let container = buildah.run(&["from", &source]);
        let script = "busybox cat /etc/motd; test -e /gone || echo; echo done";
        let words = ["run", "--isolation", "chroot", &container, "--", "/bin/sh", "-c", script];
        assert_eq!(buildah.run(&words), "hello from below\ndone", "{}", form.name);
        buildah.run(&["rm", &container]);
    }
}

/// The configuration and the diffIDs of the only image in a layout.
fn told(layout: &Path) -> (String, Value) {
    let source = format!("oci:{}", layout.display());
    let manifest: Value =
        serde_json::from_str(&run("skopeo", &["inspect", "--raw", &source])).unwrap();
    let digest = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let blob = layout.join("blobs").join(digest.replace(':', "/"));
    let configuration: Value = serde_json::from_slice(&fs::read(blob).unwrap()).unwrap();
    (digest, configuration["rootfs"]["diff_ids"].clone())
}

#[test]
fn images_of_others_go_out_with_the_digests_that_they_came_with() {
    let test = "images_of_others_go_out_with_the_digests_that_they_came_with";
    if !can_run(test, &["skopeo", "umoci", "buildah", "tar"]) {
        return;
    }
    let (folder, store) = store();
    let at = |name: &str| folder.path().join(name);
    // By umoci, with a second layer that it makes.
    let layout = at("by-umoci");
    let image = format!("{}:made", layout.display());
    run("umoci", &["init", "--layout", layout.to_str().unwrap()]);
    run("umoci", &["new", "--image", &image]);
    for step in ["one", "two"] {
        let bundle = at(&format!("bundle-{step}"));
        let bundle = bundle.to_str().unwrap();
        run("umoci", &["unpack", "--image", &image, bundle]);
        let script = format!(
            "cd {bundle}/rootfs && mkdir -p d && rm -f d/one && echo {step} > d/{step} && \
             ln -f d/{step} hard && mknod -m 600 null-{step} c 1 3 && touch -d @1000000.5 d"
        );
        run("sh", &["-c", &script]);
        run("umoci", &["repack", "--image", &image, bundle]);
    }
    // By buildah, of files that GNU tar packed its own way.
    let buildah = Buildah { folder: at("buildah") };
    let files = at("files");
    let script = format!(
        "mkdir -p {0}/a/b && cd {0} && head -c 300000 /dev/urandom > a/b/noise && \
         ln a/b/noise again && ln -s a/b link && chmod 4711 again",
        files.display()
    );
    run("sh", &["-c", &script]);
    let container = buildah.run(&["from", "scratch"]);
    buildah.run(&["copy", &container, files.to_str().unwrap(), "/"]);
    buildah.run(&["config", "--env", "A=<b>&\u{e9}", "--cmd", "[\"/x\"]", &container]);
    let layout = at("by-buildah");
    buildah.run(&["commit", &container, &format!("oci:{}:made", layout.display())]);

    for by in ["by-umoci", "by-buildah"] {
        let (id, diff_ids) = told(&at(by));
        load_as(&store, Input::Path(at(by)), None, Some(by), &LoadOptions::default()).unwrap();
        for form in &FORMS {
            let path = at(&format!("{by}-{}", form.name));
            let saved = save(&store, by, form, &path);
            assert_eq!(saved.configuration.digest().to_string(), id, "{by}, {}", form.name);
            let ids = saved.layers.iter().map(|layer| layer.diff_id.to_string());
            assert_eq!(diff_ids, ids.collect::<Value>(), "{by}, {}", form.name);
            if form.transport == "oci" {
                assert_eq!(told(&path), (id.clone(), diff_ids.clone()));
            }
        }
    }
}

#[test]
fn what_is_saved_is_the_same_image_in_another_store() {
    let (folder, store) = store();
    rich(&store, "rich:1");
    let here = Image::open(&store, "rich:1").unwrap();
    let mut archives = Vec::new();
    for form in &FORMS {
        let path = folder.path().join(form.name);
        let saved = save(&store, "rich:1", form, &path);
        let (_other_folder, other) = crate::support::store();
        let loaded = load_all(&other, Input::Path(path.clone())).unwrap();
        let [(tags, there)] = &loaded[..] else { panic!("{} images", loaded.len()) };
        assert_eq!(tags[..], ["rich:1"]);
        views_equal(here.view(), there.view(), form.name);
        assert_eq!(there.configuration().json(), saved.configuration.json());
        let diff_ids: Vec<_> = saved.layers.iter().map(|layer| layer.diff_id).collect();
        assert_eq!(there.configuration().diff_ids(), diff_ids);
        if path.is_file() {
            let again = folder.path().join(format!("{}-again", form.name));
            save(&other, "rich:1", form, &again);
            let (one, other) = (fs::read(&path).unwrap(), fs::read(again).unwrap());
            assert!(one == other, "{}: the bytes of a second trip", form.name);
            archives.push(one);
        }
    }
    assert_eq!(archives.len(), 3);
}
