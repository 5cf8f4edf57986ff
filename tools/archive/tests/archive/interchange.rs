//! Streams of other programs read here, and ours read by them.

use std::fs;
use std::path::Path;
use std::process::Command;

use sapwood::files::{Files, Inode, ReadFiles, Seek};
use sapwood_archive::{ExportOptions, ExtendedAttributes, Holes, ImportOptions, import_directory};

use crate::support::*;

/// Whether a program can be called; says so where it cannot.
pub fn has(program: &str) -> bool {
    let there =
        Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("skipped: there is no {program}");
    }
    there
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// A directory with names and sizes that need extensions.
fn fill(folder: &Path) {
    let long = folder.join("l".repeat(120)).join("m".repeat(150));
    fs::create_dir_all(&long).unwrap();
    fs::write(long.join("file"), "deep").unwrap();
    fs::write(folder.join("plain"), vec![3; 100_000]).unwrap();
    fs::hard_link(folder.join("plain"), folder.join("zz linked")).unwrap();
    std::os::unix::fs::symlink("s".repeat(200), folder.join("symlink")).unwrap();
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 4 << 20).unwrap();
    let name = "user.sapwood";
    let set =
        rustix::fs::setxattr(folder.join("plain"), name, b"a\nb", rustix::fs::XattrFlags::empty());
    if set.is_err() {
        eprintln!("skipped: the host keeps no attributes");
    }
}

fn imported(folder: &Path) -> Described {
    let files = tree();
    let options = sapwood_archive::ImportOptions::default();
    sapwood_archive::import_directory(&files, Inode::ROOT, folder, &options, &mut |_| {}).unwrap();
    describe(&files, Inode::ROOT)
}

/// What of a description every format keeps: times to the second, no attributes.
fn coarse(mut described: Described) -> Described {
    for file in described.values_mut() {
        file.modified.nanoseconds = 0;
        file.attributes.clear();
    }
    described
}

#[test]
fn gnu_tar_is_read_in_all_its_formats() {
    if !has("tar") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let expected = coarse(imported(folder.path()));
    let sparse = [
        &["--sparse"][..],
        &["--sparse", "--sparse-version=0.0"],
        &["--sparse", "--sparse-version=0.1"],
        &[],
    ];
    for (format, options) in [
        ("gnu", &sparse[..1]),
        ("gnu", &sparse[3..]),
        ("oldgnu", &sparse[..1]),
        ("pax", &sparse[..]),
    ] {
        for options in options {
            let bytes = run(Command::new("tar")
                .args(["--create", "--numeric-owner", &format!("--format={format}")])
                .args(*options)
                .arg("--directory")
                .arg(folder.path())
                .arg("."));
            let files = tree();
            import_tar(&files, &bytes).unwrap_or_else(|e| panic!("{format} {options:?}: {e}"));
            assert_same(&coarse(describe(&files, Inode::ROOT)), &expected);
            if !options.is_empty() {
                let inode = files.lookup(Inode::ROOT, b"sparse").unwrap();
                assert!(files.seek(inode, 0, Seek::Data).unwrap().unwrap() > 1 << 20);
            }
        }
    }
    let exact = run(Command::new("tar")
        .args(["--create", "--numeric-owner", "--format=pax", "--xattrs", "--directory"])
        .arg(folder.path())
        .arg("."));
    let files = tree();
    import_tar(&files, &exact).unwrap();
    assert_same(&describe(&files, Inode::ROOT), &imported(folder.path()));
}

#[test]
fn bsdtar_and_python_are_read() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let expected = coarse(imported(folder.path()));
    let check = |bytes: &[u8], who: &str| {
        let files = tree();
        import_tar(&files, bytes).unwrap_or_else(|error| panic!("{who}: {error}"));
        assert_same(&coarse(describe(&files, Inode::ROOT)), &expected);
    };
    if has("bsdtar") {
        for format in ["pax", "gnutar"] {
            let bytes = run(Command::new("bsdtar")
                .args(["--create", "--numeric-owner", "--format", format, "--directory"])
                .arg(folder.path())
                .arg("."));
            check(&bytes, &format!("bsdtar {format}"));
        }
    }
    if has("python3") {
        for format in ["PAX_FORMAT", "GNU_FORMAT"] {
            let script = format!(
                "import sys, tarfile\n\
                 t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format})\n\
                 t.add(sys.argv[1], arcname='.')\n\
                 t.close()"
            );
            let bytes = run(Command::new("python3").arg("-c").arg(script).arg(folder.path()));
            check(&bytes, format);
        }
    }
}

#[test]
fn ours_is_read_by_gnu_tar_bsdtar_and_python() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    fill(&from);
    let files = tree();
    let options = sapwood_archive::ImportOptions::default();
    sapwood_archive::import_directory(&files, Inode::ROOT, &from, &options, &mut |_| {}).unwrap();
    let expected = coarse(describe(&files, Inode::ROOT));
    for holes in [Holes::Expand, Holes::Keep] {
        let archive = folder.path().join("archive.tar");
        fs::write(
            &archive,
            export_tar(&files, &ExportOptions { holes, ..ExportOptions::default() }),
        )
        .unwrap();
        let extract = "import sys, tarfile\n\
                       tarfile.open(sys.argv[1]).extractall(sys.argv[2], numeric_owner=True)";
        let programs: [(&str, &[&str]); 3] = [
            ("tar", &["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs"]),
            ("bsdtar", &["--extract", "-p", "--numeric-owner"]),
            ("python3", &["-c", extract]),
        ];
        for (number, (program, arguments)) in programs.into_iter().enumerate() {
            if !has(program) {
                continue;
            }
            let to = folder.path().join(format!("{holes:?}-{number}"));
            fs::create_dir(&to).unwrap();
            let mut command = Command::new(program);
            command.args(arguments);
            match program {
                "python3" => command.arg(&archive).arg(&to),
                _ => command.arg("--file").arg(&archive).arg("--directory").arg(&to),
            };
            run(&mut command);
            let (mut found, mut expected) = (coarse(imported(&to)), expected.clone());
            // Python sets no times of symlinks, bsdtar none of the directory that it began in.
            let unset = match program {
                "python3" => "symlink",
                "bsdtar" => ".",
                _ => "",
            };
            for described in [&mut found, &mut expected] {
                described.retain(|path, _| path != unset);
            }
            eprintln!("{program}, holes: {holes:?}");
            assert_same(&found, &expected);
        }
    }
}

/// Lists that name users are not looked up on this host; who wants none gets the files all the same.
#[test]
fn lists_of_named_users_keep_out_only_who_wants_them() {
    let record = |text: &str| {
        let length =
            (text.len() + 1..).find(|&total| total == text.len() + total.to_string().len());
        format!("{}{text}", length.expect("some length"))
    };
    let list =
        record(" SCHILY.acl.access=user::rw-,user:lisa:r--,group::r--,mask::r--,other::r--\n");
    let archive = ended(&[
        raw_member(b"pax", b'x', list.as_bytes(), |_| {}),
        raw_member(b"file", b'0', b"content", |_| {}),
    ]);
    let error = import_tar(&tree(), &archive).unwrap_err().to_string();
    assert!(error.contains("user:lisa:r--") && error.contains("--numeric-owner"), "{error}");
    let files = tree();
    let options =
        ImportOptions { extended_attributes: ExtendedAttributes::Skip, ..ImportOptions::default() };
    sapwood_archive::import_tar(&files, Inode::ROOT, &mut &archive[..], &options, &mut |_| {})
        .unwrap();
    let file = files.lookup(Inode::ROOT, b"file").unwrap();
    assert!(files.extended_attribute_names(file).unwrap().is_empty());
}

/// What Python says of a stream: names, kinds and sizes, or that it is none.
fn python_reads(archive: &Path) -> Option<Vec<String>> {
    let script = "import sys, tarfile\n\
                  t = tarfile.open(sys.argv[1], mode='r:', errorlevel=2, ignore_zeros=False)\n\
                  for m in t: print(m.type.decode(), m.size, m.name.strip('/') or '.')";
    let output = Command::new("python3").arg("-c").arg(script).arg(archive).output();
    let output = output.expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().map(str::to_owned).collect())
}

/// The same by our reader.
fn we_read(bytes: &[u8]) -> Option<Vec<String>> {
    use sapwood_archive::tar::{MemberKind, TarReader};
    let mut reader = TarReader::new(bytes);
    let mut lines = Vec::new();
    while let Some(member) = reader.next_member().ok()? {
        let kind = match member.kind {
            MemberKind::File => 0,
            MemberKind::HardLink(_) => 1,
            MemberKind::Symlink(_) => 2,
            MemberKind::CharDevice(..) => 3,
            MemberKind::BlockDevice(..) => 4,
            MemberKind::Directory => 5,
            MemberKind::Fifo => 6,
            MemberKind::Socket => unreachable!("no stream has sockets"),
        };
        let name = String::from_utf8(member.name).expect("names of letters");
        let name = if name == "./" { "." } else { name.trim_matches('/') };
        lines.push(format!("{kind} {} {name}", member.size));
    }
    Some(lines)
}

/// Where readers see different members, checks are walked around: what we read others read as we do.
#[test]
fn what_we_read_python_reads_as_we_do() {
    if !has("python3") {
        return;
    }
    let hidden = ended(&[raw_member(b"hidden", b'0', b"x", |_| {})]);
    let length = hidden.len().to_string();
    let plain = |name: &[u8]| raw_member(name, b'0', b"content", |_| {});
    let archives = [
        ended(&[plain(b"a"), raw_member(b"d/", b'5', b"", |_| {}), plain(b"b")]),
        ended(&[raw_member(b"old/", 0, b"", |header| header[257..265].fill(0)), plain(b"a")]),
        ended(&[raw_pax(&[("path", b"long name")]), plain(b"short")]),
        ended(&[raw_pax(&[("size", length.as_bytes())]), raw_member(b"f", b'0', &hidden, |_| {})]),
        ended(&[
            raw_pax(&[("size", length.as_bytes())]),
            raw_member(b"f", b'0', &hidden, |header| header[124..135].fill(b'0')),
        ]),
        ended(&[raw_pax(&[("size", b"0")]), raw_member(b"f", b'0', &hidden, |_| {})]),
        ended(&[raw_member(b"L", b'L', b"gnu name\0", |_| {}), plain(b"short")]),
        ended(&[raw_pax(&[("path", b"one"), ("path", b"two")]), plain(b"short")]),
        ended(&[raw_member(b"link", b'1', &hidden, |header| header[157] = b't')]),
        ended(&[raw_member(b"dir/", b'5', &hidden, |_| {})]),
        ended(&[plain(b"slash/")]),
        [ended(&[plain(b"a")]), ended(&[plain(b"b")])].concat(),
        ended(&[raw_member(b"V", b'V', b"", |_| {}), plain(b"a")]),
        ended(&[raw_member(b"f", b'0', b"", |header| header[345..350].copy_from_slice(b"above"))]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive.tar");
    let (mut read, mut refused) = (0, 0);
    for bytes in archives {
        let Some(ours) = we_read(&bytes) else {
            refused += 1;
            continue;
        };
        fs::write(&archive, &bytes).unwrap();
        assert_eq!(Some(ours), python_reads(&archive));
        read += 1;
    }
    assert_eq!((read, refused), (6, 8));
}

/// Wraps layers into an image as tools for images keep it on disk.
const WRAP: &str = r#"
import hashlib, json, os, sys
to, layers = sys.argv[1], sys.argv[2:]
blobs = os.path.join(to, "blobs", "sha256")
os.makedirs(blobs)
def put(data):
    digest = hashlib.sha256(data).hexdigest()
    open(os.path.join(blobs, digest), "wb").write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
def described(data, kind):
    return dict(put(data), mediaType="application/vnd.oci.image." + kind)
parts = [described(open(path, "rb").read(), "layer.v1.tar") for path in layers]
config = {"architecture": "amd64", "os": "linux", "config": {},
          "rootfs": {"type": "layers", "diff_ids": [part["digest"] for part in parts]}}
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(json.dumps(config).encode(), "config.v1+json"), "layers": parts}
entry = described(json.dumps(manifest).encode(), "manifest.v1+json")
entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
json.dump({"schemaVersion": 2, "manifests": [entry]}, open(os.path.join(to, "index.json"), "w"))
json.dump({"imageLayoutVersion": "1.0.0"}, open(os.path.join(to, "oci-layout"), "w"))
"#;

#[test]
fn our_layers_are_unpacked_by_umoci_to_the_same_tree() {
    if !is_root() || !has("umoci") || !has("python3") {
        eprintln!("skipped: umoci keeps owners as root alone");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = tree();
    let snapshot = || {
        let snapshot = files.snapshot(&sapwood::Annotations::default()).unwrap();
        sapwood::files::FilesView::open(snapshot).unwrap()
    };
    let first = [
        directory("./"),
        directory("d/"),
        file("d/gone", "1"),
        file("d/same", "2"),
        directory("old/"),
        file("old/x", "3"),
        file("linked", "4"),
        hard_link("too", "linked"),
        symlink("way", "d/same"),
        directory("moved/"),
        file("moved/inside", "5"),
    ];
    import_tar(&files, &stream(&first)).unwrap();
    let base = snapshot();
    let second = [file("new", "6"), directory("old/"), file("linked", "7"), file("way", "8")];
    let d = files.lookup(Inode::ROOT, b"d").unwrap();
    files.unlink(d, b"gone").unwrap();
    let replace = sapwood::files::RenameMode::Replace;
    files.rename(Inode::ROOT, b"old", Inode::ROOT, b"older", replace).unwrap();
    files.rename(Inode::ROOT, b"moved", d, b"moved", replace).unwrap();
    import_tar(&files, &stream(&second)).unwrap();
    let after = snapshot();

    let options = ExportOptions::default();
    let layers = [
        export_tar(&base, &options),
        sapwood_archive::export_layer(Some(&base), &after, Vec::new(), &options, &mut |_| {})
            .unwrap()
            .1,
    ];
    let paths = ["base.tar", "change.tar"].map(|name| folder.path().join(name));
    for (path, layer) in paths.iter().zip(&layers) {
        fs::write(path, layer).unwrap();
    }
    let (image, bundle) = (folder.path().join("image"), folder.path().join("bundle"));
    run(Command::new("python3").arg("-c").arg(WRAP).arg(&image).args(&paths));
    let reference = format!("{}:latest", image.display());
    run(Command::new("umoci").args(["unpack", "--image", &reference]).arg(&bundle));
    let found = coarse(imported(&bundle.join("rootfs")));
    let expected = coarse(describe(&after, Inode::ROOT));
    assert_same(&found, &expected);
}

/// GNU tar and bsdtar keep two signs of names of attributes in other words, which were taken for names.
#[test]
fn names_of_attributes_are_those_that_gnu_tar_and_bsdtar_mean() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("in/file");
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(&file, "x").unwrap();
    let names = ["user.50%", "user.a=b", "user.a%3Db", "user.plain"];
    for name in names {
        let set = rustix::fs::setxattr(&file, name, b"value", rustix::fs::XattrFlags::empty());
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            return eprintln!("skipped: the host does not keep attributes");
        }
        set.unwrap();
    }
    let mut expected: Vec<_> = names.map(|name| name.as_bytes().to_vec()).into();
    expected.sort();
    let found = |files: &Files| {
        let inode = files.lookup(Inode::ROOT, b"file").unwrap();
        files.extended_attribute_names(inode).unwrap()
    };
    for (program, format) in [("tar", "posix"), ("bsdtar", "pax")] {
        if !has(program) {
            continue;
        }
        let bytes = run(Command::new(program)
            .args(["-c", "-f", "-", "--xattrs", &format!("--format={format}"), "-C"])
            .arg(folder.path().join("in"))
            .arg("file"));
        let files = tree();
        import_tar(&files, &bytes).unwrap();
        let mut names = found(&files);
        if program == "bsdtar" {
            // It writes each of them twice, the second time with all signs in other words.
            names.retain(|name| expected.contains(name));
        }
        assert_eq!(names, expected, "{program}");
    }
    if !has("tar") {
        return;
    }
    let files = tree();
    let options = &ImportOptions::default();
    import_directory(&files, Inode::ROOT, &folder.path().join("in"), options, &mut |_| {}).unwrap();
    let (archive, out) = (folder.path().join("ours.tar"), folder.path().join("out"));
    fs::write(&archive, export_tar(&files, &ExportOptions::default())).unwrap();
    fs::create_dir(&out).unwrap();
    run(Command::new("tar")
        .args(["-x", "--xattrs", "--xattrs-include=user.*", "-f"])
        .arg(&archive)
        .arg("-C")
        .arg(&out));
    let mut list = [0; 4096];
    let length = rustix::fs::listxattr(out.join("file"), &mut list).unwrap();
    let mut extracted: Vec<_> =
        list[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()).collect();
    extracted.sort();
    assert_eq!(extracted, expected);
}
