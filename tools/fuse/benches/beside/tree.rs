//! The tree that is mounted.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
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

/// How much of everything there is.
pub struct Sizes {
    /// Entries past which a tree gets no further part.
    pub entries: usize,
    /// The large file of a tree.
    pub large_bytes: u64,
    /// The large file that stands alone.
    pub alone_bytes: u64,
    /// Layers that others can have too.
    pub layers: usize,
    /// Layers that only sapwood has.
    pub layers_deep: usize,
}

pub const WHOLE: Sizes = Sizes {
    entries: 7000,
    large_bytes: 256 << 20,
    alone_bytes: 1 << 30,
    layers: 128,
    layers_deep: 4000,
};
pub const QUICK: Sizes = Sizes {
    entries: 1500,
    large_bytes: 32 << 20,
    alone_bytes: 32 << 20,
    layers: 32,
    layers_deep: 100,
};

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
pub fn make(folder: &Path, sizes: &Sizes) -> Tree {
    let path = folder.join("tree");
    fs::create_dir(&path).unwrap();
    match std::env::var_os("SAPWOOD_BENCH_TREE") {
        Some(given) => copy(Path::new(&given), &path),
        None => {
            for part in PARTS {
                let count = walk(&path).len();
                if count < sizes.entries && Path::new(part).is_dir() {
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
    write_large(&path, sizes.large_bytes);
    Tree { entries: all.len(), path, tar, bytes, files, large_bytes: sizes.large_bytes }
}

/// A tree of the large file alone.
pub fn make_large(folder: &Path, sizes: &Sizes) -> Tree {
    let path = folder.join("tree");
    fs::create_dir(&path).unwrap();
    write_large(&path, sizes.alone_bytes);
    let (tar, files, large_bytes) = (PathBuf::new(), Vec::new(), sizes.alone_bytes);
    Tree { path, tar, entries: 1, bytes: 0, files, large_bytes }
}

/// No two blocks of it are the same, and none is of zeros.
fn write_large(folder: &Path, bytes: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(folder.join(LARGE)).unwrap());
    for word in 0..bytes / 8 {
        file.write_all(&word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
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
