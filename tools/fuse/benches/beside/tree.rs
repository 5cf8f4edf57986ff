//! The tree that is mounted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands in for a root filesystem, until it has as many entries as one has.
const PARTS: [&str; 6] = [
    "/etc",
    "/usr/share/perl",
    "/usr/lib/python3",
    "/usr/lib/git-core",
    "/usr/share/zoneinfo",
    "/usr/bin",
];
const ENTRIES_MAX: usize = 7000;

/// The size of the one large file.
const LARGE_BYTES: u64 = 256 << 20;
const LARGE_BYTES_QUICK: u64 = 32 << 20;

/// The name of the large file.
pub const LARGE: &str = "large";

/// A tree, and what is in it.
pub struct Tree {
    pub path: PathBuf,
    pub tar: PathBuf,
    pub entries: usize,
    pub bytes: u64,
    /// Regular files but the large one, relative to the tree.
    pub files: Vec<PathBuf>,
    pub large_bytes: u64,
}

/// Copies the parts, and makes a tar of them.
pub fn make(folder: &Path, is_quick: bool) -> Tree {
    let path = folder.join("tree");
    fs::create_dir(&path).unwrap();
    match std::env::var_os("SAPWOOD_BENCH_TREE") {
        Some(given) => copy(Path::new(&given), &path),
        None => {
            for part in PARTS {
                let count = walk(&path).len();
                if count < ENTRIES_MAX && Path::new(part).is_dir() {
                    copy(
                        Path::new(part),
                        &path.join(part.trim_start_matches('/').replace('/', "-")),
                    );
                }
            }
        }
    }
    let tar = folder.join("tree.tar");
    super::rows::run(Command::new("tar").args(["-cf"]).arg(&tar).arg("-C").arg(&path).arg("."));
    let all = walk(&path);
    let files: Vec<PathBuf> = all
        .iter()
        .filter(|path| path.is_file() && !path.is_symlink())
        .map(|found| found.strip_prefix(&path).unwrap().to_owned())
        .collect();
    let bytes = files.iter().map(|file| path.join(file).metadata().unwrap().len()).sum();
    let large_bytes = if is_quick { LARGE_BYTES_QUICK } else { LARGE_BYTES };
    let pattern: Vec<u8> = (0..large_bytes).map(|n| ((n * 2_654_435_761) >> 13) as u8).collect();
    fs::write(path.join(LARGE), pattern).unwrap();
    Tree { entries: all.len(), path, tar, bytes, files, large_bytes }
}

fn copy(from: &Path, to: &Path) {
    super::rows::run(Command::new("cp").arg("-a").arg(from).arg(to));
}

/// Every path below a directory.
pub fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}
