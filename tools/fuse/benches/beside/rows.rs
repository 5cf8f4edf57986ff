//! What is measured.

use std::fs::Permissions;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::peers::Peer;
use super::table::{Figure, Row};
use super::tree::{LARGE, Tree, walk};

/// Small files, names and writes for the rows that tell a time for one.
const MANY: u64 = 2000;
/// Writes that are each synced.
const SYNCED: u64 = 200;
/// The size of a write.
const BLOCK: usize = 4096;
/// The largest of the small files.
const SMALL_BYTES: u64 = 16 << 10;

/// One fresh mount.
pub struct Site<'a> {
    /// When it began to be made.
    pub began: Instant,
    pub mount: &'a Path,
    pub tree: &'a Tree,
    pub peer: &'a dyn Peer,
}

/// What is done in one fresh mount.
pub struct Visit {
    pub name: &'static str,
    pub run: fn(&Site<'_>) -> Vec<Row>,
}

/// Those in a tree, in the order of the table.
pub const OF_TREES: &[Visit] = &[
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
    Visit { name: "chown", run: change_owners },
];

/// Those over one large file.
pub const OF_A_LARGE_FILE: &[Visit] =
    &[Visit { name: "first-write", run: first_write }, Visit { name: "chmod", run: change_mode }];

/// Those over many layers, and over more than others have.
pub const OF_LAYERS: &[Visit] = &[Visit { name: "layers", run: missing }];
pub const OF_DEEP_TREES: &[Visit] = &[
    Visit { name: "depth-ls", run: first_listing },
    Visit { name: "depth-names", run: look_around },
];

fn first_write(site: &Site<'_>) -> Vec<Row> {
    let before = site.peer.taken_bytes();
    let mut file = None;
    // Opening belongs to it: that is where some copy the file.
    let written = timed(|| {
        let opened = File::options().write(true).open(site.mount.join(LARGE)).unwrap();
        opened.write_all_at(&[1; BLOCK], 1 << 20).unwrap();
        file = Some(opened);
    });
    let synced = timed(|| file.expect("opened").sync_all().unwrap());
    vec![
        row("first 4 KiB write into a parent's file", written),
        row("the fsync after it", synced),
        taken("new on the disk then", site, before),
    ]
}

fn change_mode(site: &Site<'_>) -> Vec<Row> {
    let (of_parent, of_top) = (site.mount.join(LARGE), site.mount.join("of-the-top"));
    let before = site.peer.taken_bytes();
    let change = |path: &Path| {
        fs::metadata(path).unwrap();
        timed(|| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap())
    };
    let parent = change(&of_parent);
    File::open(site.mount).unwrap().sync_all().unwrap();
    let taken = taken("new on the disk then", site, before);
    fs::write(&of_top, [1; BLOCK]).unwrap();
    let top = change(&of_top);
    vec![row("chmod of a parent's file", parent), taken, row("chmod of a file of the top", top)]
}

fn change_owners(site: &Site<'_>) -> Vec<Row> {
    let before = site.peer.taken_bytes();
    let time = timed(|| {
        run(Command::new("chown").args(["-R", "-h", "4711:4712"]).arg(site.mount));
    });
    File::open(site.mount).unwrap().sync_all().unwrap();
    let bytes = site.peer.taken_bytes().saturating_sub(before);
    let each = Figure::Bytes(bytes / site.tree.entries as u64);
    vec![row("chown -R", time), Row { name: "new on the disk then, an entry", figure: each }]
}

/// From before the mount to the first listing, and what finding names costs.
fn look_around(site: &Site<'_>) -> Vec<Row> {
    let found = timed(|| {
        for name in &site.tree.files {
            fs::symlink_metadata(site.mount.join(name)).unwrap();
        }
    });
    let mut rows = vec![row("look up a name, cold", found / site.tree.files.len() as u32)];
    rows.extend(missing(site));
    rows
}

/// From before the mount to the first listing.
fn first_listing(site: &Site<'_>) -> Vec<Row> {
    let count = fs::read_dir(site.mount).unwrap().count();
    let listed = site.began.elapsed();
    assert_eq!(count, site.tree.files.len());
    vec![row("from before the mount to the first ls", listed)]
}

fn find(site: &Site<'_>) -> Vec<Row> {
    let mount = site.mount;
    let cold = timed(|| drop(walk(mount)));
    vec![row("find, cold", cold), row("find, warm", timed(|| drop(walk(mount))))]
}

fn find_and_stat(site: &Site<'_>) -> Vec<Row> {
    let mount = site.mount;
    let stat = || {
        for path in walk(mount) {
            fs::symlink_metadata(path).unwrap();
        }
    };
    vec![row("find and stat, cold", timed(stat)), row("find and stat, warm", timed(stat))]
}

fn open_read_close(site: &Site<'_>) -> Vec<Row> {
    let (mount, tree) = (site.mount, site.tree);
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

fn read_all(site: &Site<'_>) -> Vec<Row> {
    let (mount, tree) = (site.mount, site.tree);
    let read = || {
        for file in &tree.files {
            fs::read(mount.join(file)).unwrap();
        }
    };
    vec![row("read all files, cold", timed(read)), row("read all files, warm", timed(read))]
}

fn sequential(site: &Site<'_>) -> Vec<Row> {
    let (mount, tree) = (site.mount, site.tree);
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

fn missing(site: &Site<'_>) -> Vec<Row> {
    let mount = site.mount;
    let look = || {
        for n in 0..MANY {
            assert!(fs::symlink_metadata(mount.join(format!("missing-{n}"))).is_err());
        }
    };
    let each = |time: Duration| time / MANY as u32;
    let fresh = each(timed(look));
    vec![row("missing name, fresh", fresh), row("missing name, again", each(timed(look)))]
}

fn writes(site: &Site<'_>) -> Vec<Row> {
    let (mount, tree) = (site.mount, site.tree);
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

fn small_files(site: &Site<'_>) -> Vec<Row> {
    let mount = site.mount;
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

fn trees(site: &Site<'_>) -> Vec<Row> {
    let (mount, tree) = (site.mount, site.tree);
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

fn two_processes(site: &Site<'_>) -> Vec<Row> {
    let mount = site.mount;
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
    Row { name, figure: Figure::Time(time) }
}

/// What the disk holds more than `before`.
fn taken(name: &'static str, site: &Site<'_>, before: u64) -> Row {
    Row { name, figure: Figure::Bytes(site.peer.taken_bytes().saturating_sub(before)) }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}
