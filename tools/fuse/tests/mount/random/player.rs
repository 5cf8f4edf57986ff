//! A program that changes a tree: what it draws, does through the mount, and sees there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown,
    symlink,
};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags};
use sapwood::testing::Random;

use super::model::{Body, Model, Observed, Seen};
use super::step::{Action, SIZE_MAX, Step, body};

/// Above so many paths more is removed than made.
const PATHS_MAX: usize = 120;
/// Files that are kept open, whatever becomes of their names.
const HELD_MAX: usize = 6;
/// The model's attributes are any file's; those of users are no symlink's and no pipe's.
const USERS: &str = "user.";
const TRUSTED: &str = "trusted.";

/// What changes one directory of a mount, and the model of what is there.
pub struct Player {
    name: String,
    random: Random,
    pub model: Model,
    pub steps: u64,
    /// Open files with their numbers in the model, which keeps what has no name any more.
    held: Vec<(File, u32)>,
    /// Files that were changed since the last commit.
    changed: BTreeSet<u32>,
}

impl Player {
    pub fn new(seed: u64, number: u64) -> Player {
        Player {
            name: format!("player-{number}"),
            random: Random::new(seed << 8 | number),
            model: Model::new(),
            steps: 0,
            held: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    pub fn root(&self, mount: &Path) -> PathBuf {
        mount.join(&self.name)
    }

    /// Makes the directory that it plays in.
    pub fn begin(&self, mount: &Path) {
        fs::DirBuilder::new().mode(0o755).create(self.root(mount)).unwrap();
    }

    /// What it did since `model` is gone.
    pub fn go_back(&mut self, model: &Model) {
        self.model = model.clone();
        self.changed.clear();
    }

    /// Closes what it has open.
    pub fn let_go(&mut self) {
        self.held.clear();
    }

    /// Syncs what it changed since it was last asked to.
    pub fn sync(&mut self, mount: &Path) {
        let changed = std::mem::take(&mut self.changed);
        for (path, number) in self.model.paths() {
            if changed.contains(&number) {
                File::open(self.root(mount).join(path)).unwrap().sync_data().unwrap();
            }
        }
        // One commit has all names, whatever directory is synced.
        File::open(self.root(mount)).unwrap().sync_all().unwrap();
    }

    /// Does some things, each on the mount and on the model.
    pub fn play(&mut self, mount: &Path, steps: u64) -> Result<(), String> {
        let root = self.root(mount);
        for _ in 0..steps {
            self.steps += 1;
            if self.random.one_in(5) {
                self.use_held(&root)?;
                continue;
            }
            let step = self.draw();
            let Some(action) = step.resolve(&self.model) else { continue };
            if let Action::Write { path, .. }
            | Action::Truncate { path, .. }
            | Action::Zero { path, .. }
            | Action::Copy { to_path: path, .. } = &action
            {
                let number = self.number(path);
                self.changed.insert(number);
            }
            let is_allowed = action.apply(&mut self.model);
            let past_cache = self.random.one_in(6);
            let done = apply(&action, &root, past_cache);
            if done.is_ok() != is_allowed {
                return Err(format!("{action:?}: {done:?}, allowed: {is_allowed}"));
            }
        }
        Ok(())
    }

    fn number(&self, path: &str) -> u32 {
        let paths = self.model.paths();
        paths.into_iter().find(|(other, _)| other == path).expect("resolved").1
    }

    /// Opens a file to keep it, or reads or writes one that was kept.
    fn use_held(&mut self, root: &Path) -> Result<(), String> {
        let chosen = self.random.below(HELD_MAX as u64) as usize;
        let Some((file, number)) = self.held.get(chosen) else {
            return self.hold(root);
        };
        let Body::Regular(content) = &mut self.model.node(*number).body else {
            return Err(format!("{number} is open and no file"));
        };
        match self.random.below(4) {
            0 => drop(self.held.swap_remove(chosen)),
            1 => {
                let at = self.random.below(SIZE_MAX.into()) as usize;
                let length = 1 + self.random.below(5000) as usize;
                let data = super::step::pattern(self.random.bits() as u8, length);
                file.write_all_at(&data, at as u64).map_err(|error| error.to_string())?;
                content.resize(content.len().max(at + length), 0);
                content[at..at + length].copy_from_slice(&data);
                self.changed.insert(*number);
            }
            _ => {
                let at = self.random.below(content.len() as u64 + 1) as usize;
                let mut bytes = vec![0; 9000.min(content.len() - at)];
                file.read_exact_at(&mut bytes, at as u64).map_err(|error| error.to_string())?;
                if bytes != content[at..at + bytes.len()] {
                    return Err(format!("an open file has other content behind {at}"));
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self, root: &Path) -> Result<(), String> {
        let is_regular = |number: &u32| matches!(self.model.nodes[number].body, Body::Regular(_));
        let files: Vec<_> =
            self.model.paths().into_iter().filter(|(_, number)| is_regular(number)).collect();
        if files.is_empty() {
            return Ok(());
        }
        let (path, number) = self.random.pick(&files);
        let file = OpenOptions::new().read(true).write(true).open(root.join(path));
        self.held.push((file.map_err(|error| format!("{path}: {error}"))?, *number));
        Ok(())
    }

    fn draw(&mut self) -> Step {
        let is_crowded = self.model.paths().len() > PATHS_MAX;
        let random = &mut self.random;
        let at = random.below(1000) as usize;
        let to = random.below(1000) as usize;
        let name = random.below(12) as u8;
        let value = random.bits() as u8;
        let size = |random: &mut Random| {
            let bound = if random.one_in(2) { 3000 } else { SIZE_MAX };
            random.below(bound.into()) as u32
        };
        match random.below(30) {
            0..=5 if is_crowded => Step::Remove { at },
            0..=5 => Step::Make { at, name, kind: random.below(6) as u8 },
            6..=11 => Step::Write { at, offset: size(random), length: size(random), value },
            12 | 13 => Step::Truncate { at, size: size(random) },
            14 | 15 => Step::Zero { at, offset: size(random), length: size(random) },
            16..=18 => {
                // Blocks are shared only where both sides begin at the same place in one.
                let unit = if random.one_in(2) { 4096 } else { 1001 };
                let mut place = || random.below(8) as u32 * unit;
                let (from, to_offset) = (place(), place());
                Step::Copy { at, from, to_file: to, to: to_offset, length: size(random) }
            }
            19 | 20 => Step::Link { at, to, name },
            21..=23 => Step::Remove { at },
            24..=26 => Step::Rename { at, to, name, exchange: random.one_in(2) },
            27 => {
                // Without set-group-id, which directories give on.
                let permissions = random.below(0o2000) as u16;
                Step::Attributes { at, permissions, owner: random.below(5) as u32 }
            }
            28 => {
                let (name, length) = (random.below(3) as u8, random.below(5000) as u32);
                Step::SetExtended { at, name, length, value }
            }
            _ => Step::RemoveExtended { at, name: random.below(3) as u8 },
        }
    }
}

/// Does it to the mount.
fn apply(action: &Action, root: &Path, past_cache: bool) -> io::Result<()> {
    let at = |path: &str| if path.is_empty() { root.to_owned() } else { root.join(path) };
    let trusted = |name: &str| name.replacen(USERS, TRUSTED, 1);
    match action {
        Action::Make { directory, name, kind } => {
            make(&at(directory).join(name), &body(*kind, name))
        }
        Action::Write { path, offset, data } => {
            let flags = if past_cache { OFlags::DIRECT } else { OFlags::empty() };
            let flags = i32::try_from(flags.bits()).expect("a flag of open");
            let file = OpenOptions::new().write(true).custom_flags(flags).open(at(path))?;
            file.write_all_at(data, *offset)
        }
        Action::Truncate { path, size } => {
            OpenOptions::new().write(true).open(at(path))?.set_len(*size)
        }
        Action::Zero { path, offset, length } => {
            let file = OpenOptions::new().write(true).open(at(path))?;
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            Ok(rustix::fs::fallocate(file, flags, *offset, *length)?)
        }
        Action::Copy { path, from, to_path, to, length } => {
            copy(&at(path), *from, &at(to_path), *to, *length)
        }
        Action::Link { path, directory, name } => fs::hard_link(at(path), at(directory).join(name)),
        Action::Remove { path } => match fs::symlink_metadata(at(path))?.is_dir() {
            true => fs::remove_dir(at(path)),
            false => fs::remove_file(at(path)),
        },
        Action::Rename { path, directory, name, exchange } => {
            let flags = if *exchange { RenameFlags::EXCHANGE } else { RenameFlags::empty() };
            let (from, to) = (at(path), at(directory).join(name));
            Ok(rustix::fs::renameat_with(CWD, from, CWD, to, flags)?)
        }
        Action::Attributes { path, permissions, owner } => {
            lchown(at(path), Some(*owner), None)?;
            fs::set_permissions(at(path), fs::Permissions::from_mode((*permissions).into()))
        }
        Action::SetExtended { path, name, value } => {
            Ok(rustix::fs::lsetxattr(at(path), trusted(name), value, XattrFlags::empty())?)
        }
        Action::RemoveExtended { path, name } => {
            Ok(rustix::fs::lremovexattr(at(path), trusted(name))?)
        }
        // What stands in no directory a mount does not show; open files are held by the player.
        // What stands in no directory a mount does not show; the player holds files open itself.
        Action::Attach { .. } | Action::RemoveOpen { .. } => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn make(path: &Path, body: &Body) -> io::Result<()> {
    match body {
        Body::Directory(_) => fs::DirBuilder::new().mode(0o755).create(path),
        Body::Symlink(target) => {
            symlink(std::str::from_utf8(target).expect("made of a name"), path)
        }
        Body::Fifo => Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from(0o644), 0)?),
        Body::Regular(_) => {
            OpenOptions::new().create_new(true).write(true).mode(0o644).open(path).map(drop)
        }
    }
}

fn copy(from: &Path, from_offset: u64, to: &Path, to_offset: u64, length: u64) -> io::Result<()> {
    let (from, to) = (File::open(from)?, OpenOptions::new().write(true).open(to)?);
    let (mut from_offset, mut to_offset, mut left) = (from_offset, to_offset, length);
    while left > 0 {
        let (from_at, to_at) = (Some(&mut from_offset), Some(&mut to_offset));
        let copied = rustix::fs::copy_file_range(&from, from_at, &to, to_at, left as usize)?;
        if copied == 0 {
            break;
        }
        left -= copied as u64;
    }
    Ok(())
}

/// All that can be seen below a directory.
pub fn observe(root: &Path) -> io::Result<Observed> {
    let mut found = BTreeMap::from([(String::new(), root.to_owned())]);
    let mut left = vec![(String::new(), root.to_owned())];
    while let Some((above, directory)) = left.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().into_string().expect("a name of the model");
            let path = if above.is_empty() { name } else { format!("{above}/{name}") };
            if entry.file_type()?.is_dir() {
                left.push((path.clone(), entry.path()));
            }
            found.insert(path, entry.path());
        }
    }
    // In the order of the model, which goes into a directory before it goes on behind it.
    let mut paths: Vec<_> = found.into_iter().collect();
    paths.sort_by(|(one, _), (other, _)| one.split('/').cmp(other.split('/')));
    let mut first = BTreeMap::new();
    let mut observed = Observed::new();
    for (path, place) in paths {
        let inode = fs::symlink_metadata(&place)?.ino();
        let same_as = first.entry(inode).or_insert_with(|| path.clone()).clone();
        observed.insert(path, observe_one(&place, same_as)?);
    }
    Ok(observed)
}

fn observe_one(path: &Path, same_as: String) -> io::Result<Seen> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let body = match () {
        () if kind.is_dir() => Body::Directory(BTreeMap::new()),
        () if kind.is_symlink() => {
            Body::Symlink(fs::read_link(path)?.into_os_string().into_encoded_bytes())
        }
        () if kind.is_fifo() => Body::Fifo,
        () => Body::Regular(fs::read(path)?),
    };
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..])?;
    let mut extended = BTreeMap::new();
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 8192];
        let length = rustix::fs::lgetxattr(path, &name, &mut value[..])?;
        value.truncate(length);
        extended.insert(name.replacen(TRUSTED, USERS, 1), value);
    }
    Ok(Seen {
        body,
        permissions: (metadata.mode() & 0o7777) as u16,
        owner: metadata.uid(),
        links: metadata.nlink() as u32,
        extended,
        same_as,
    })
}

/// How two trees differ, in a line.
pub fn difference(found: &Observed, expected: &Observed) -> String {
    for (path, seen) in expected {
        match found.get(path) {
            None => return format!("/{path} is missing"),
            Some(other) if other == seen => {}
            Some(other) => return format!("/{path}: {}", difference_of_one(other, seen)),
        }
    }
    let more = found.keys().find(|path| !expected.contains_key(*path));
    format!("there is also {more:?}")
}

fn difference_of_one(found: &Seen, expected: &Seen) -> String {
    if let (Body::Regular(found), Body::Regular(expected)) = (&found.body, &expected.body)
        && found != expected
    {
        let at = found.iter().zip(expected).position(|(one, other)| one != other);
        let (found, expected) = (found.len(), expected.len());
        return format!("{found} bytes for {expected}, the first other one at {at:?}");
    }
    if found.extended != expected.extended {
        let names = |seen: &Seen| format!("{:?}", seen.extended.keys());
        return format!("attributes {} for {}", names(found), names(expected));
    }
    let without_content =
        |seen: &Seen| Seen { body: Body::Fifo, extended: BTreeMap::new(), ..seen.clone() };
    format!("found {:?}, expected {:?}", without_content(found), without_content(expected))
}
