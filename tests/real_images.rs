//! Real disk images: an ext4 filesystem made of this machine's files, forked a hundred times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sapwood::store::{GcOptions, Replace, Store, StoreOptions};
use sapwood::testing::Random;
use sapwood::volume::Volume;

const FORKS: usize = 100;
const IMAGE_BYTES: u64 = 64 << 20;
const CONTENT_BYTES: u64 = 24 << 20;
const BLOCK: usize = 4096;

/// The blocks of a fork that are not as in the base image.
type Changes = BTreeMap<u64, Vec<u8>>;

#[test]
fn a_hundred_forks_of_a_real_filesystem_stay_whole() {
    let tools = ["mkfs.ext4", "debugfs", "e2fsck"].map(tool);
    let [Some(mkfs), Some(debugfs), Some(e2fsck)] = tools else {
        eprintln!("skipped: e2fsprogs is not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("base.img");
    let content = folder.path().join("content");
    let files = gather(Path::new("/usr/share"), &content);
    assert!(files > 50, "only {files} files under /usr/share");
    File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
    run(Command::new(mkfs).args(["-q", "-F", "-b", "4096", "-d"]).arg(&content).arg(&image));
    let base = fs::read(&image).unwrap();

    let store = Store::create(folder.path().join("store"), &StoreOptions::default()).unwrap();
    let volume = store.create_volume("import", IMAGE_BYTES).unwrap();
    import(&volume, &image);
    volume.snapshot(&Default::default()).unwrap();
    volume.close().unwrap();
    store.tag("import@1", "base:1", Replace::Refuse).unwrap();

    let mut random = Random::new(1);
    let mut forks: Vec<(String, Changes)> = Vec::new();
    for number in 0..FORKS {
        let name = format!("fork{number}");
        let volume = store.fork("base:1", &name).unwrap();
        let mut changes = Changes::new();
        if number % 4 == 0 {
            for round in 0..3 {
                let copy = folder.path().join("edited.img");
                export(&volume, &copy);
                let letter = folder.path().join("letter");
                let text = format!("fork {number}, round {round}\n")
                    .repeat(1 + random.below(400) as usize);
                fs::write(&letter, text).unwrap();
                let commands = folder.path().join("commands");
                let edit = format!("write {} letter{round}\nmkdir made{round}\n", letter.display());
                fs::write(&commands, edit).unwrap();
                run(Command::new(&debugfs).arg("-w").arg("-f").arg(&commands).arg(&copy));
                write_back(&volume, &copy, &base, &mut changes);
                volume.flush().unwrap();
                volume.snapshot(&Default::default()).unwrap();
            }
        }
        volume.close().unwrap();
        forks.push((name, changes));
    }
    assert!(forks.iter().any(|(_, changes)| changes.len() > 5));

    // Middle snapshots go, and their space with them.
    for (name, changes) in &forks {
        if !changes.is_empty() {
            store.remove(&format!("{name}@2")).unwrap();
        }
    }
    store.remove("import").unwrap();
    store.collect(&GcOptions::default()).unwrap();

    for (name, changes) in &forks {
        let volume = store.open_volume(name).unwrap();
        let copy = folder.path().join("export.img");
        export(&volume, &copy);
        let found = fs::read(&copy).unwrap();
        for (number, block) in (0..).zip(found.chunks(BLOCK)) {
            let original = &base[number as usize * BLOCK..][..BLOCK];
            let expected = changes.get(&number).map_or(original, |block| block);
            assert!(block == expected, "block {number} of {name}");
        }
        run(Command::new(&e2fsck).arg("-fn").arg(&copy));
    }
}

/// A program, also where only root has it in its path.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {said}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Copies regular files below `from` until there are enough bytes; how many it copied.
fn gather(from: &Path, to: &Path) -> usize {
    let (mut bytes, mut files) = (0, 0);
    let mut folders = vec![from.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let Ok(facts) = fs::symlink_metadata(&path) else { continue };
            if facts.is_dir() {
                folders.push(path);
            } else if facts.is_file() && bytes + facts.len() <= CONTENT_BYTES {
                let target = to.join(path.strip_prefix(from).unwrap());
                fs::create_dir_all(target.parent().unwrap()).unwrap();
                if fs::copy(&path, &target).is_ok() {
                    bytes += facts.len();
                    files += 1;
                }
            }
        }
        if bytes > CONTENT_BYTES / 2 {
            break;
        }
    }
    files
}

fn import(volume: &Volume, image: &Path) {
    let bytes = fs::read(image).unwrap();
    for (at, chunk) in (0..).step_by(1 << 20).zip(bytes.chunks(1 << 20)) {
        volume.write_at(at, chunk).unwrap();
    }
    volume.flush().unwrap();
}

fn export(volume: &Volume, path: &Path) {
    let file = File::create(path).unwrap();
    let mut chunk = vec![0; 1 << 20];
    for at in (0..volume.size_bytes()).step_by(1 << 20) {
        volume.read_at(at, &mut chunk).unwrap();
        file.write_all_at(&chunk, at).unwrap();
    }
}

/// Writes what an edited copy has changed into the volume, block by block.
fn write_back(volume: &Volume, edited: &Path, base: &[u8], changes: &mut Changes) {
    let bytes = fs::read(edited).unwrap();
    for (number, block) in (0u64..).zip(bytes.chunks(BLOCK)) {
        let original = &base[number as usize * BLOCK..][..BLOCK];
        let before = changes.get(&number).map_or(original, |block| block);
        if block != before {
            volume.write_at(number * BLOCK as u64, block).unwrap();
            changes.insert(number, block.to_vec());
        }
    }
}
