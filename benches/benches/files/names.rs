//! Small files: made, looked up, read, listed, removed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, OFlags, statat};
use sapwood::files::{Files, FilesOptions, Inode, NewFile, Paths, ReadFiles};
use sapwood::format::Annotations;
use sapwood_benches::Random;

use crate::{Place, table};

/// How many files a directory has.
const FILES_EACH: usize = 100;

/// How long each thing took in each round.
#[derive(Default)]
struct Times {
    make: Vec<Duration>,
    read: Vec<Duration>,
    walk: Vec<Duration>,
    remove: Vec<Duration>,
}

pub fn small_files(place: &Place, count: usize, rounds: usize) {
    for bytes in [4096, 100] {
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for round in 0..rounds {
            let name = format!("small-{bytes}-{round}");
            let files = place.tree(&name);
            in_tree(&files, count, bytes, &mut ours);
            drop(files);
            place.store.remove(&name).unwrap();
            on_host(&place.host.join(&name), count, bytes, &mut theirs);
        }
        let row = |what: &str, ours, theirs, bar| {
            table::times(&format!("{what}, {bytes} B each"), count, ours, theirs, bar);
        };
        row("make small files, not synced", ours.make, theirs.make, "1.0 x");
        row("look up, open and read whole", ours.read, theirs.read, "1.0 x");
        row("list and stat a tree", ours.walk, theirs.walk, "1.0 x");
        row("remove files", ours.remove, theirs.remove, "1.0 x");
    }
}

fn in_tree(files: &Files, count: usize, bytes: usize, times: &mut Times) {
    let mut random = Random::new(11);
    let mut content = vec![0; bytes];
    let mut directories = Vec::new();
    times.make.push(timed(|| {
        for number in 0..count {
            if number % FILES_EACH == 0 {
                let name = format!("directory-{number}");
                let new = NewFile::directory(0o755);
                directories.push(files.create(Inode::ROOT, name.as_bytes(), &new).unwrap().inode);
            }
            random.fill(&mut content);
            let name = format!("file-{number}");
            let directory = directories[number / FILES_EACH];
            let made = files.create(directory, name.as_bytes(), &NewFile::regular(0o644)).unwrap();
            files.write(made.inode, 0, &content).unwrap();
        }
    }));
    files.flush().unwrap();
    let mut buffer = vec![0; bytes + 1];
    times.read.push(timed(|| {
        for number in 0..count {
            let name = format!("file-{number}");
            let inode = files.lookup(directories[number / FILES_EACH], name.as_bytes()).unwrap();
            assert_eq!(files.read(inode, 0, &mut buffer).unwrap(), bytes);
        }
    }));
    let mut seen = 0;
    times.walk.push(timed(|| {
        let each = |_: &[u8], _: &_| {
            seen += 1;
            Ok(ControlFlow::Continue(()))
        };
        Paths::new(files).walk("/", each).unwrap();
    }));
    assert_eq!(seen, 1 + directories.len() + count);
    times.remove.push(timed(|| {
        for number in 0..count {
            let name = format!("file-{number}");
            files.unlink(directories[number / FILES_EACH], name.as_bytes()).unwrap();
        }
    }));
}

fn on_host(root: &Path, count: usize, bytes: usize, times: &mut Times) {
    let mut random = Random::new(11);
    let mut content = vec![0; bytes];
    fs::create_dir(root).unwrap();
    let mut directories = Vec::new();
    times.make.push(timed(|| {
        for number in 0..count {
            if number % FILES_EACH == 0 {
                let path = root.join(format!("directory-{number}"));
                fs::create_dir(&path).unwrap();
                directories.push(path);
            }
            random.fill(&mut content);
            let path = directories[number / FILES_EACH].join(format!("file-{number}"));
            File::create_new(path).unwrap().write_all(&content).unwrap();
        }
    }));
    rustix::fs::syncfs(File::open(root).unwrap()).unwrap();
    let mut buffer = vec![0; bytes + 1];
    times.read.push(timed(|| {
        for number in 0..count {
            let path = directories[number / FILES_EACH].join(format!("file-{number}"));
            assert_eq!(File::open(path).unwrap().read(&mut buffer).unwrap(), bytes);
        }
    }));
    let mut seen = 0;
    times.walk.push(timed(|| seen = walk(root)));
    assert_eq!(seen, 1 + directories.len() + count);
    times.remove.push(timed(|| {
        for number in 0..count {
            let path = directories[number / FILES_EACH].join(format!("file-{number}"));
            fs::remove_file(path).unwrap();
        }
    }));
    fs::remove_dir_all(root).unwrap();
}

/// Lists and stats a directory of the host and all below it; how many there are.
pub fn walk(path: &Path) -> usize {
    let mut count = 1;
    path.symlink_metadata().unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            count += walk(&entry.path());
        } else {
            entry.metadata().unwrap();
            count += 1;
        }
    }
    count
}

/// Looking up names that are not there, each another one, in the first layer and in the last.
pub fn missing(place: &Place, layers: usize, count: usize) {
    let host = place.host.join("missing");
    fs::create_dir(&host).unwrap();
    let volume = place.store.create_tree("missing").unwrap();
    let mut files = Files::open(volume, FilesOptions::default()).unwrap();
    for layer in 1..=layers {
        for number in 0..50 {
            let name = format!("file-{layer}-{number}");
            files.create(Inode::ROOT, name.as_bytes(), &NewFile::regular(0o644)).unwrap();
            File::create_new(host.join(name)).unwrap();
        }
        if layer == 1 || layer == layers {
            files.flush().unwrap();
            // As it is found by whoever opens it, with no page in memory.
            files.close().unwrap();
            let volume = place.store.open_volume("missing").unwrap();
            files = Files::open(volume, FilesOptions::default()).unwrap();
            missing_at(&files, &host, layer, count);
        }
        files.snapshot(&Annotations::default()).unwrap();
    }
}

fn missing_at(files: &Files, host: &Path, layer: usize, count: usize) {
    let directory = rustix::fs::open(host, OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..5 {
        let names: Vec<String> = (0..count).map(|n| format!("no-{layer}-{round}-{n}")).collect();
        ours.push(timed(|| {
            for name in &names {
                assert!(files.lookup(Inode::ROOT, name.as_bytes()).is_err());
            }
        }));
        theirs.push(timed(|| {
            for name in &names {
                assert!(statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_err());
            }
        }));
    }
    let what = format!("look up a missing name, {layer} layers deep");
    table::times(&what, count, ours, theirs, "1.0 x");
}

pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
