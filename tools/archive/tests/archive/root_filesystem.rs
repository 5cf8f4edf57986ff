//! A real root filesystem in, forked, changed, and out again, compared entry by entry.
//!
//! `.ci/debian-root DIR` makes one; `SAPWOOD_TEST_ROOT` says where it is.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sapwood::files::{
    FileKind, Files, FilesOptions, FilesView, Inode, NewFile, Paths, ReadFiles, RenameMode,
    SetAttributes, SetMode, Time,
};
use sapwood::store::Replace;
use sapwood::{Store, StoreOptions};
use sapwood_archive::{ExportOptions, ImportOptions, export_directory, import_directory};

use crate::support::{
    Described, Description, assert_same, describe, export_tar, import_tar, is_root, tree,
};

const FORKS: u32 = 10;

/// The real tree, where there is one; else the test says so loudly.
fn root(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("SAPWOOD_TEST_ROOT").map(PathBuf::from);
    let why = match &found {
        Some(_) if !is_root() => "devices and owners take root",
        Some(_) => return found,
        None => "SAPWOOD_TEST_ROOT is not set",
    };
    // Past the capture of the test runner: a test that did nothing must be seen.
    let line = format!("SKIPPED {test}: {why}\n");
    let stderr = fs::OpenOptions::new().append(true).open("/dev/stderr");
    stderr.and_then(|mut stderr| stderr.write_all(line.as_bytes())).expect("standard error");
    None
}

/// Describes a directory of the host, as [`describe`] does a tree.
fn describe_host(root: &Path) -> Described {
    let mut found = BTreeMap::from([(".".to_owned(), root.to_owned())]);
    let mut left = vec![(String::new(), root.to_owned())];
    while let Some((above, directory)) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{above}{}", entry.file_name().as_bytes().escape_ascii());
            if entry.file_type().unwrap().is_dir() {
                left.push((format!("{path}/"), entry.path()));
            }
            found.insert(path, entry.path());
        }
    }
    let mut first = HashMap::new();
    let describe = |(path, place): (String, PathBuf)| {
        let metadata = fs::symlink_metadata(&place).unwrap();
        let same_as = first.entry(metadata.ino()).or_insert_with(|| path.clone()).clone();
        let described = describe_one(&place, &metadata, same_as);
        (path, described)
    };
    found.into_iter().map(describe).collect()
}

fn describe_one(place: &Path, metadata: &fs::Metadata, same_as: String) -> Description {
    let kind = metadata.file_type();
    let (kind, content) = match () {
        () if kind.is_dir() => (FileKind::Directory, Vec::new()),
        () if kind.is_file() => (FileKind::Regular, fs::read(place).unwrap()),
        () if kind.is_symlink() => {
            let target = fs::read_link(place).unwrap();
            (FileKind::Symlink, target.as_os_str().as_bytes().to_vec())
        }
        () if kind.is_char_device() => (FileKind::CharDevice, Vec::new()),
        () if kind.is_block_device() => (FileKind::BlockDevice, Vec::new()),
        () if kind.is_fifo() => (FileKind::Fifo, Vec::new()),
        () => (FileKind::Socket, Vec::new()),
    };
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    Description {
        kind,
        permissions: (metadata.mode() & 0o7777) as u16,
        owner: metadata.uid(),
        group: metadata.gid(),
        device: minor & 0xff | major << 8 | (minor & !0xff) << 12,
        modified: Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 },
        content,
        attributes: extended_attributes(place),
        same_as,
    }
}

fn extended_attributes(place: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65_536];
    let length = rustix::fs::llistxattr(place, &mut names[..]).unwrap();
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut attributes: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 65_536];
            let length = rustix::fs::lgetxattr(place, name, &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect();
    attributes.sort();
    attributes
}

/// Times of access of all files; taken before an import, which must not change them.
fn accesses(root: &Path, described: &Described) -> BTreeMap<String, i64> {
    let plain = described.keys().filter(|path| !path.contains('\\'));
    let access = |path: &String| (path.clone(), fs::symlink_metadata(root.join(path)));
    plain.map(access).map(|(path, found)| (path, found.unwrap().atime())).collect()
}

fn import(files: &Files, from: &Path) {
    import_directory(files, Inode::ROOT, from, &ImportOptions::default(), &mut |_| {}).unwrap();
}

fn export(files: &dyn ReadFiles, to: &Path) {
    export_directory(files, Inode::ROOT, to, &ExportOptions::default(), &mut |_| {}).unwrap();
}

/// What one fork has that the others have not, and what all have: done to the tree, and said of
/// its description.
fn change(files: &Files, number: u32, expected: &mut Described) {
    let now = Time { seconds: 1_700_000_000, nanoseconds: number };
    let paths = Paths::new(files);
    let at = |path: &str| paths.resolve_link(path).unwrap();
    let stamp = |inode, expected: &mut Described, path: &str| {
        let set = SetAttributes { modified: Some(now), ..SetAttributes::default() };
        files.set_attributes(inode, &set).unwrap();
        let same_as = expected[path].same_as.clone();
        for file in expected.values_mut().filter(|file| file.same_as == same_as) {
            file.modified = now;
        }
    };

    // A new file with an attribute, a device and a symlink in a new directory.
    let home = files.create(at("/"), b"fork", &NewFile::directory(0o2750)).unwrap().inode;
    let file = files.create(home, b"number", &NewFile::regular(0o640)).unwrap().inode;
    let content = number.to_string().repeat(5000).into_bytes();
    files.write(file, 0, &content).unwrap();
    files.set_extended_attribute(file, b"user.fork", &content[..9], SetMode::Create).unwrap();
    let device = NewFile { kind: FileKind::BlockDevice, device: 0x1234, ..NewFile::regular(0o600) };
    let device = files.create(home, b"device", &device).unwrap().inode;
    let link = files.symlink(home, b"link", b"../etc", 0, 0).unwrap().inode;
    let new = |kind, permissions, content: &[u8], device, attributes, path: &str| Description {
        kind,
        permissions,
        owner: 0,
        group: 0,
        device,
        modified: now,
        content: content.to_vec(),
        attributes,
        same_as: path.to_owned(),
    };
    let attribute = (b"user.fork".to_vec(), content[..9].to_vec());
    for (path, kind, permissions, content, device, attributes) in [
        ("fork", FileKind::Directory, 0o2750, &b""[..], 0, vec![]),
        ("fork/number", FileKind::Regular, 0o640, &content, 0, vec![attribute]),
        ("fork/device", FileKind::BlockDevice, 0o600, b"", 0x1234, vec![]),
        ("fork/link", FileKind::Symlink, 0o777, b"../etc", 0, vec![]),
    ] {
        let described = new(kind, permissions, content, device, attributes, path);
        expected.insert(path.to_owned(), described);
    }
    for (inode, path) in
        [(home, "fork"), (file, "fork/number"), (device, "fork/device"), (link, "fork/link")]
    {
        stamp(inode, expected, path);
    }
    stamp(at("/"), expected, ".");

    // Part of the largest file is overwritten; each further name of it shows it.
    let largest = expected.iter().max_by_key(|(_, file)| file.content.len()).unwrap().0.clone();
    let inode = at(&format!("/{largest}"));
    files.write(inode, 12_345, &content).unwrap();
    let same_as = expected[&largest].same_as.clone();
    for file in expected.values_mut().filter(|file| file.same_as == same_as) {
        file.content[12_345..12_345 + content.len()].copy_from_slice(&content);
    }
    stamp(inode, expected, &largest);

    // Everything below a directory gets another owner.
    let below = |path: &str, above: &str| path.starts_with(&format!("{above}/"));
    let owned: Vec<String> = expected
        .keys()
        .filter(|path| below(path, "etc") && !path.contains('\\'))
        .cloned()
        .collect();
    for path in owned {
        let set = SetAttributes { owner: Some(7000 + number), ..SetAttributes::default() };
        files.set_attributes(at(&format!("/{path}")), &set).unwrap();
        let same_as = expected[&path].same_as.clone();
        for file in expected.values_mut().filter(|file| file.same_as == same_as) {
            file.owner = 7000 + number;
        }
    }

    // A directory goes elsewhere, with all that is in it.
    files.rename(at("/usr/share"), b"doc", home, b"doc", RenameMode::NoReplace).unwrap();
    let moved: Vec<String> =
        expected.keys().filter(|path| below(path, "usr/share/doc")).cloned().collect();
    let renamed = |path: &str| path.replacen("usr/share/doc", "fork/doc", 1);
    for path in moved.into_iter().chain(["usr/share/doc".to_owned()]) {
        let mut file = expected.remove(&path).unwrap();
        file.same_as = renamed(&file.same_as);
        expected.insert(renamed(&path), file);
    }
    stamp(home, expected, "fork");
    stamp(at("/usr/share"), expected, "usr/share");
}

#[test]
fn a_root_filesystem_is_forked_changed_and_comes_out_as_it_went_in() {
    let test = "a_root_filesystem_is_forked_changed_and_comes_out_as_it_went_in";
    let Some(root) = root(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let original = describe_host(&root);
    assert!(original.len() > 1000, "{} is no root filesystem", root.display());
    let accessed = accesses(&root, &original);

    let options = FilesOptions::default;
    let files = Files::open(store.create_tree("import").unwrap(), options()).unwrap();
    import(&files, &root);
    files.snapshot(&Default::default()).unwrap();
    files.close().unwrap();
    store.tag("import@1", "root:1", Replace::Refuse).unwrap();
    let base = || FilesView::open(store.snapshot_of("root:1").unwrap()).unwrap();
    assert_same(&describe(&base(), Inode::ROOT), &original);
    let view = base();
    let paths = Paths::new(&view);
    for (path, accessed) in &accessed {
        let inode = paths.resolve_link(format!("/{path}")).unwrap();
        assert_eq!(view.attributes(inode).unwrap().accessed.seconds, *accessed, "{path}");
    }
    assert_eq!(accesses(&root, &original), accessed, "an import is no access");

    for number in 0..FORKS {
        let name = format!("fork-{number}");
        let files = Files::open(store.fork("root:1", &name).unwrap(), options()).unwrap();
        let mut expected = original.clone();
        change(&files, number, &mut expected);
        assert_same(&describe(&files, Inode::ROOT), &expected);
        files.close().unwrap();
        let view = FilesView::open(store.snapshot_of(&name).unwrap()).unwrap();
        assert_eq!(sapwood::files::check(&view).unwrap().findings, []);
        // Hosts take their time to make thousands of files, so most go out as a stream.
        if number == 0 {
            let exported = folder.path().join("exported");
            export(&view, &exported);
            assert_same(&describe_host(&exported), &expected);
        } else {
            let again = tree();
            import_tar(&again, &export_tar(&view, &ExportOptions::default())).unwrap();
            assert_same(&describe(&again, Inode::ROOT), &expected);
        }
        let own = store.usage_of(&name).unwrap().exclusive_bytes;
        assert!(own < 4 << 20, "a fork took {own} bytes");
    }
    assert_same(&describe(&base(), Inode::ROOT), &original);
}
