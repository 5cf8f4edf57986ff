//! What is measured.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::tree::{LARGE, Tree, walk};

/// Small files, names and writes for the rows that tell a time for one.
const MANY: u64 = 2000;
/// Writes that are each synced.
const SYNCED: u64 = 200;
/// The size of a write.
const BLOCK: usize = 4096;
/// The largest of the small files.
const SMALL_BYTES: u64 = 16 << 10;

/// A time, under a name.
pub struct Row {
    pub name: &'static str,
    pub time: Duration,
}

/// What is done in one fresh mount.
pub struct Visit {
    pub name: &'static str,
    pub run: fn(&Path, &Tree) -> Vec<Row>,
}

/// All of them, in the order of the table.
pub const VISITS: &[Visit] = &[
    Visit { name: "first-write", run: first_write },
    Visit { name: "find", run: find },
    Visit { name: "stat", run: find_and_stat },
    Visit { name: "open", run: open_read_close },
    Visit { name: "read-all", run: read_all },
    Visit { name: "sequential", run: sequential },
    Visit { name: "missing", run: missing },
    Visit { name: "write", run: writes },
    Visit { name: "small", run: small_files },
    Visit { name: "trees", run: trees },
    Visit { name: "two", run: two_processes },
];

fn first_write(mount: &Path, _: &Tree) -> Vec<Row> {
    let time = timed(|| {
        let file = File::options().write(true).open(mount.join(LARGE)).unwrap();
        file.write_all_at(&[1; BLOCK], 1 << 20).unwrap();
    });
    vec![row("first 4 KiB write into the large file", time)]
}

fn find(mount: &Path, _: &Tree) -> Vec<Row> {
    let cold = timed(|| drop(walk(mount)));
    vec![row("find, cold", cold), row("find, warm", timed(|| drop(walk(mount))))]
}

fn find_and_stat(mount: &Path, _: &Tree) -> Vec<Row> {
    let stat = || {
        for path in walk(mount) {
            fs::symlink_metadata(path).unwrap();
        }
    };
    vec![row("find and stat, cold", timed(stat)), row("find and stat, warm", timed(stat))]
}

fn open_read_close(mount: &Path, tree: &Tree) -> Vec<Row> {
    let is_small =
        |file: &&PathBuf| fs::metadata(tree.path.join(file)).unwrap().len() <= SMALL_BYTES;
    let files: Vec<_> = tree.files.iter().filter(is_small).map(|file| mount.join(file)).collect();
    // These three calls and no other: with write-back the kernel asks for attributes anew after
    // each close, so one that looks at them costs a message.
    let mut buffer = vec![0; SMALL_BYTES as usize + 1];
    let mut read = || {
        for file in &files {
            let length = File::open(file).unwrap().read(&mut buffer).unwrap();
            assert!(length as u64 <= SMALL_BYTES);
        }
    };
    let each = |time: Duration| time / files.len() as u32;
    let cold = each(timed(&mut read));
    let warm = each(timed(&mut read));
    vec![row("open, read, close, cold", cold), row("open, read, close, warm", warm)]
}

fn read_all(mount: &Path, tree: &Tree) -> Vec<Row> {
    let read = || {
        for file in &tree.files {
            fs::read(mount.join(file)).unwrap();
        }
    };
    vec![row("read all files, cold", timed(read)), row("read all files, warm", timed(read))]
}

fn sequential(mount: &Path, tree: &Tree) -> Vec<Row> {
    let read = || {
        let mut file = File::open(mount.join(LARGE)).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        loop {
            match file.read(&mut buffer).unwrap() {
                0 => break,
                length => total += length as u64,
            }
        }
        assert_eq!(total, tree.large_bytes);
    };
    vec![row("sequential read, cold", timed(read)), row("sequential read, warm", timed(read))]
}

fn missing(mount: &Path, _: &Tree) -> Vec<Row> {
    let look = || {
        for n in 0..MANY {
            assert!(fs::symlink_metadata(mount.join(format!("missing-{n}"))).is_err());
        }
    };
    let each = |time: Duration| time / MANY as u32;
    let fresh = each(timed(look));
    vec![row("missing name, fresh", fresh), row("missing name, again", each(timed(look)))]
}

fn writes(mount: &Path, tree: &Tree) -> Vec<Row> {
    let path = mount.join("written");
    let file = File::create_new(&path).unwrap();
    file.set_len(tree.large_bytes).unwrap();
    let blocks = tree.large_bytes / BLOCK as u64;
    let write = |n: u64| {
        let block = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % blocks;
        file.write_all_at(&[n as u8; BLOCK], block * BLOCK as u64).unwrap();
    };
    let plain = timed(|| (0..MANY * 10).for_each(write)) / (MANY * 10) as u32;
    file.sync_all().unwrap();
    let synced = timed(|| {
        for n in 0..SYNCED {
            write(n * 7);
            file.sync_data().unwrap();
        }
    }) / SYNCED as u32;
    vec![row("4 KiB random write", plain), row("4 KiB write and fsync", synced)]
}

fn small_files(mount: &Path, _: &Tree) -> Vec<Row> {
    let folder = mount.join("small");
    fs::create_dir(&folder).unwrap();
    let path = |n: u64| folder.join(format!("file-{n}"));
    let created = timed(|| {
        for n in 0..MANY {
            fs::write(path(n), [n as u8; 100]).unwrap();
        }
    }) / MANY as u32;
    let removed = timed(|| (0..MANY).for_each(|n| fs::remove_file(path(n)).unwrap())) / MANY as u32;
    vec![row("create a small file", created), row("unlink a small file", removed)]
}

fn trees(mount: &Path, tree: &Tree) -> Vec<Row> {
    let (from_tar, copied) = (mount.join("from-tar"), mount.join("copied"));
    fs::create_dir(&from_tar).unwrap();
    fs::create_dir(&copied).unwrap();
    let untar =
        timed(|| run(Command::new("tar").arg("-xf").arg(&tree.tar).arg("-C").arg(&from_tar)));
    // Without the large file, which is not in the tar either.
    let entries = fs::read_dir(&tree.path).unwrap().map(|entry| entry.unwrap().path());
    let entries: Vec<_> = entries.filter(|path| !path.ends_with(LARGE)).collect();
    let copy = timed(|| run(Command::new("cp").arg("-a").args(&entries).arg(&copied)));
    let remove = timed(|| run(Command::new("rm").arg("-rf").arg(&from_tar)));
    vec![row("untar", untar), row("cp -a into the mount", copy), row("rm -rf", remove)]
}

fn two_processes(mount: &Path, _: &Tree) -> Vec<Row> {
    let both = |what: &str| {
        timed(|| {
            let start = |number: &str| {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.arg("work").arg(what).arg(mount).arg(number).stdin(Stdio::null());
                command.spawn().unwrap()
            };
            for mut child in ["0", "1"].map(start) {
                assert!(child.wait().unwrap().success());
            }
        })
    };
    vec![
        row("two processes: cold reads", both("read")),
        row("two processes: creates", both("create")),
    ]
}

/// What one of two processes does.
pub fn work(what: &str, mount: &str, number: &str) {
    let mount = Path::new(mount);
    match what {
        "create" => {
            for n in 0..MANY {
                fs::write(mount.join(format!("of-{number}-{n}")), b"small").unwrap();
            }
        }
        "read" => {
            let mine: usize = number.parse().unwrap();
            for (n, path) in walk(mount).into_iter().enumerate() {
                if n % 2 == mine && path.is_file() && !path.ends_with(LARGE) {
                    fs::read(path).unwrap();
                }
            }
        }
        what => panic!("{what}"),
    }
}

/// Runs a program, which must end well.
pub fn run(command: &mut Command) {
    assert!(command.stdin(Stdio::null()).status().unwrap().success(), "{command:?}");
}

fn row(name: &'static str, time: Duration) -> Row {
    Row { name, time }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
