//! Trees in memory, their description entry by entry, and tar streams made by hand.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use sapwood::files::{Attributes, FileKind, Files, FilesOptions, Inode, ReadFiles, Time};
use sapwood::medium::MemoryHost;
use sapwood::{Error, Result, Store, StoreOptions};
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_archive::{ExportOptions, ImportOptions, Report};

/// An empty tree in memory.
pub fn tree() -> Files {
    tree_in(&store(), "tree")
}

/// An empty store in memory.
pub fn store() -> Store {
    let host = Arc::new(MemoryHost::new());
    Store::create_on(host, &StoreOptions::default()).expect("a store")
}

/// An empty tree of a store.
pub fn tree_in(store: &Store, name: &str) -> Files {
    let volume = store.create_tree(name).expect("a tree");
    // Always the same time, so that what nobody sets is the same too.
    let clock = || Time { seconds: 1_000_000_000, nanoseconds: 0 };
    Files::open(volume, FilesOptions { clock, ..FilesOptions::default() }).expect("its files")
}

/// All that is to be the same of a file wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub kind: FileKind,
    pub permissions: u16,
    pub owner: u32,
    pub group: u32,
    pub device: u32,
    pub modified: Time,
    /// Content of a file, target of a symlink.
    pub content: Vec<u8>,
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same file.
    pub same_as: String,
}

/// A tree by path; the root is `.`.
pub type Described = BTreeMap<String, Description>;

/// Describes all that is below `root`.
pub fn describe(files: &dyn ReadFiles, root: Inode) -> Described {
    let mut paths = BTreeMap::from([(".".to_owned(), root)]);
    let mut left = vec![(String::new(), root)];
    while let Some((above, directory)) = left.pop() {
        let each = &mut |entry: sapwood::files::Entry<'_>| {
            let path = format!("{above}{}", entry.name.escape_ascii());
            if entry.kind == FileKind::Directory {
                left.push((format!("{path}/"), entry.inode));
            }
            paths.insert(path, entry.inode);
            ControlFlow::Continue(())
        };
        files.entries(directory, 0, each).expect("names");
    }
    let mut first: HashMap<Inode, String> = HashMap::new();
    let mut described = Described::new();
    for (path, inode) in paths {
        let same_as = first.entry(inode).or_insert_with(|| path.clone()).clone();
        described.insert(path, describe_one(files, inode, same_as));
    }
    described
}

fn describe_one(files: &dyn ReadFiles, inode: Inode, same_as: String) -> Description {
    let attributes = files.attributes(inode).expect("attributes");
    let content = match attributes.kind {
        FileKind::Regular => content(files, &attributes),
        FileKind::Symlink => files.read_link(inode).expect("a target"),
        _ => Vec::new(),
    };
    let names = files.extended_attribute_names(inode).expect("names of attributes");
    let value = |name: Vec<u8>| {
        let value = files.extended_attribute(inode, &name).expect("an attribute");
        (name, value)
    };
    Description {
        kind: attributes.kind,
        permissions: attributes.permissions,
        owner: attributes.owner,
        group: attributes.group,
        device: attributes.device,
        modified: attributes.modified,
        content,
        attributes: names.into_iter().map(value).collect(),
        same_as,
    }
}

fn content(files: &dyn ReadFiles, attributes: &Attributes) -> Vec<u8> {
    let mut content = vec![0; attributes.size as usize];
    let mut at = 0;
    while at < content.len() {
        let read = files.read(attributes.inode, at as u64, &mut content[at..]).expect("content");
        assert!(read > 0, "a file ends before its size");
        at += read;
    }
    content
}

/// Asserts that two trees are the same, and says which entry is not.
#[track_caller]
pub fn assert_same(found: &Described, expected: &Described) {
    for (path, wanted) in expected {
        let there = found.get(path);
        // Contents are long: they are not shown.
        let content = there.map(|file| file.content.as_slice());
        assert!(content == Some(&wanted.content), "another content: {path}");
        assert_eq!(there, Some(wanted), "{path}");
    }
    let more: Vec<_> = found.keys().filter(|path| !expected.contains_key(*path)).collect();
    assert!(more.is_empty(), "more than expected: {more:?}");
}

/// The content of a file, by its path.
pub fn read(files: &Files, path: &str) -> Vec<u8> {
    describe(files, Inode::ROOT).get(path).expect("a file").content.clone()
}

/// The paths of a tree.
pub fn paths(files: &Files) -> Vec<String> {
    describe(files, Inode::ROOT).into_keys().filter(|path| path != ".").collect()
}

/// A file of a stream with content.
pub fn file(name: &str, content: &str) -> (Member, Vec<u8>) {
    let mut member = Member::new(name, MemberKind::File, 0o644);
    member.size = content.len() as u64;
    (member, content.as_bytes().to_vec())
}

/// A member of a stream without content.
pub fn member(name: &str, kind: MemberKind) -> (Member, Vec<u8>) {
    (Member::new(name, kind, 0o755), Vec::new())
}

pub fn directory(name: &str) -> (Member, Vec<u8>) {
    member(name, MemberKind::Directory)
}

pub fn symlink(name: &str, target: &str) -> (Member, Vec<u8>) {
    member(name, MemberKind::Symlink(target.into()))
}

pub fn hard_link(name: &str, target: &str) -> (Member, Vec<u8>) {
    member(name, MemberKind::HardLink(target.into()))
}

/// A tar stream of members.
pub fn stream(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (member, content) in members {
        writer.begin(member).expect("memory takes all");
        writer.write(content).expect("as much as announced");
    }
    writer.finish().expect("memory takes all")
}

/// A header of 512 bytes with its checksum, and the content behind it, filled up.
pub fn raw_member(
    name: &[u8],
    kind: u8,
    content: &[u8],
    change: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[156] = kind;
    change(header.as_mut_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A PAX header of these records.
pub fn raw_pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| rest + length.to_string().len() == *length);
        content.extend(format!("{} {key}=", length.expect("a length")).bytes());
        content.extend(*value);
        content.push(b'\n');
    }
    raw_member(b"././@PaxHeader", b'x', &content, |_| {})
}

/// The end of an archive behind these pieces.
pub fn ended(pieces: &[Vec<u8>]) -> Vec<u8> {
    [&pieces.concat()[..], &[0; 1024]].concat()
}

pub fn import_tar(files: &Files, bytes: &[u8]) -> Result<Report> {
    import_tar_with(files, bytes, &ImportOptions::default())
}

pub fn import_tar_with(files: &Files, bytes: &[u8], options: &ImportOptions) -> Result<Report> {
    sapwood_archive::import_tar(files, Inode::ROOT, &mut &bytes[..], options, &mut |_| {})
}

pub fn import_layer(files: &Files, bytes: &[u8]) -> Result<Report> {
    let options = ImportOptions::default();
    sapwood_archive::import_layer(files, &mut &bytes[..], &options, &mut |_| {})
}

pub fn export_tar(files: &dyn ReadFiles, options: &ExportOptions) -> Vec<u8> {
    try_export_tar(files, options).expect("an export into memory")
}

pub fn try_export_tar(files: &dyn ReadFiles, options: &ExportOptions) -> Result<Vec<u8>, Error> {
    let to = Vec::new();
    Ok(sapwood_archive::export_tar(files, Inode::ROOT, to, options, &mut |_| {})?.1)
}

/// Whether this process may make devices and give files away.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
