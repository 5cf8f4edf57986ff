//! Mount points that a tree lacks: shown by the mount, and in no tree.
//!
//! What is to be mounted on (`/proc`, `/etc/resolv.conf`) has to be there, and where it is not, making it
//! would change the tree. So it is shown only. A directory that somebody makes something in becomes
//! a real one at that moment, under the number that the kernel knows it by.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use fuser::INodeNo;
use parking_lot::{Mutex, RwLock};
use sapwood::files::{Attributes, FileKind, Files, Inode, NewFile, ReadFiles, Time};
use sapwood::{Error, ErrorKind, Result};

use crate::options::MountPoint;

/// Those in one directory: listings have so many places before that of a tree's first name.
const IN_DIRECTORY_MAX: usize = 200;
/// As many symlinks as the kernel follows.
const SYMLINKS_MAX: usize = 40;
/// The numbers of a tree end here.
const FIRST_NUMBER: u64 = 1 << 32;

/// The mount points of a mount that its tree lacks.
#[derive(Debug)]
pub struct Points {
    points: Vec<Point>,
    names: HashMap<(INodeNo, Vec<u8>), usize>,
    /// Those that became real, by their number in the tree.
    made: RwLock<HashMap<Inode, usize>>,
    /// Held while one becomes real.
    making: Mutex<()>,
    since: Time,
}

/// One of them.
#[derive(Debug)]
struct Point {
    parent: INodeNo,
    name: Vec<u8>,
    kind: FileKind,
    made: OnceLock<Inode>,
}

/// A place in a tree, on the way to a mount point.
#[derive(Clone, Copy)]
enum Place {
    Real(Inode),
    Shown(usize),
}

impl Points {
    /// Those of `wanted` that `tree` lacks, with the directories that lead to them. Symlinks of
    /// the tree are followed inside it.
    ///
    /// Errors: [`ErrorKind::NotADirectory`], [`ErrorKind::IsADirectory`] where something else is
    /// there; [`ErrorKind::SymlinkLoop`]; [`ErrorKind::InvalidInput`] for too many.
    pub fn find(tree: &dyn ReadFiles, wanted: &[MountPoint]) -> Result<Points> {
        let mut points = Points {
            points: Vec::new(),
            names: HashMap::new(),
            made: RwLock::default(),
            making: Mutex::default(),
            since: Time::now(),
        };
        for MountPoint { path, kind } in wanted {
            let added = points.add(tree, path, *kind);
            added.map_err(|error| error.in_file(path))?;
        }
        Ok(points)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The number by which the kernel knows a file of the tree.
    pub fn number(&self, inode: Inode) -> INodeNo {
        if !self.is_empty()
            && let Some(&place) = self.made.read().get(&inode)
        {
            return number_of(place);
        }
        INodeNo(inode.0.into())
    }

    /// The file of the tree that a number of ours became.
    pub fn made(&self, number: INodeNo) -> Option<Inode> {
        self.point(number)?.made.get().copied()
    }

    /// The attributes of one that is only shown.
    pub fn shown(&self, number: INodeNo) -> Option<Attributes> {
        let point = self.point(number).filter(|point| point.made.get().is_none())?;
        let (permissions, links) = match point.kind {
            FileKind::Directory => (0o755, 2),
            _ => (0o644, 1),
        };
        Some(Attributes {
            inode: Inode(0),
            generation: 0,
            kind: point.kind,
            permissions,
            owner: 0,
            group: 0,
            links,
            size: 0,
            allocated_bytes: 0,
            device: 0,
            accessed: self.since,
            modified: self.since,
            changed: self.since,
            created: self.since,
        })
    }

    /// What is only shown under this name.
    pub fn lookup(&self, directory: INodeNo, name: &[u8]) -> Option<INodeNo> {
        if self.is_empty() {
            return None;
        }
        let place = *self.names.get(&(directory, name.to_vec()))?;
        self.points[place].made.get().is_none().then(|| number_of(place))
    }

    /// The directory in which one of ours is.
    pub fn parent(&self, number: INodeNo) -> Option<INodeNo> {
        self.point(number).map(|point| point.parent)
    }

    /// What is only shown in a directory: name and number, each with its place among all of ours
    /// there, which it keeps.
    pub fn in_directory(&self, directory: INodeNo) -> impl Iterator<Item = (u64, &[u8], INodeNo)> {
        let points = self.points.iter().enumerate();
        let ours = (0..).zip(points.filter(move |(_, point)| point.parent == directory));
        let shown = ours.filter(|(_, (_, point))| point.made.get().is_none());
        shown.map(|(rank, (place, point))| (rank, &*point.name, number_of(place)))
    }

    /// Makes one of ours real, and those that lead to it; its file in the tree. It is held for as
    /// long as the mount is there.
    pub fn make(&self, files: &Files, number: INodeNo) -> Result<Option<Inode>> {
        let Some(place) = place_of(number).filter(|&place| place < self.points.len()) else {
            return Ok(None);
        };
        let _making = self.making.lock();
        self.make_at(files, place).map(Some)
    }

    fn make_at(&self, files: &Files, place: usize) -> Result<Inode> {
        let point = &self.points[place];
        if let Some(made) = point.made.get() {
            return Ok(*made);
        }
        let directory = match place_of(point.parent) {
            Some(parent) => self.make_at(files, parent)?,
            None => Inode(u32::try_from(point.parent.0).expect("a number of the tree")),
        };
        let new = match point.kind {
            FileKind::Directory => NewFile::directory(0o755),
            _ => NewFile::regular(0o644),
        };
        // Whoever finds the name in the tree asks for the number by which the kernel knows it.
        let mut known = self.made.write();
        let made = files.create(directory, &point.name, &new)?.inode;
        files.hold(made);
        known.insert(made, place);
        Ok(*point.made.get_or_init(|| made))
    }

    fn point(&self, number: INodeNo) -> Option<&Point> {
        self.points.get(place_of(number)?)
    }

    fn add(&mut self, tree: &dyn ReadFiles, path: &Path, kind: FileKind) -> Result<()> {
        let refused = |kind, found: FileKind, expected| {
            let error = Error::new(kind, "look for a mount point");
            Err(error.about("file", format!("{found:?}"), expected))
        };
        let mut place = Place::Real(Inode::ROOT);
        let mut left: Vec<Vec<u8>> = components(path.as_os_str());
        let mut symlinks = 0;
        while let Some(name) = left.pop() {
            let here = self.kind(tree, place)?;
            if here != FileKind::Directory {
                return refused(ErrorKind::NotADirectory, here, "a directory");
            }
            match self.step(tree, place, &name)? {
                Some(Place::Real(found)) if tree.attributes(found)?.kind == FileKind::Symlink => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(Error::new(ErrorKind::SymlinkLoop, "look for a mount point"));
                    }
                    let target = tree.read_link(found)?;
                    if target.starts_with(b"/") {
                        place = Place::Real(Inode::ROOT);
                    }
                    left.extend(components(OsStr::from_bytes(&target)));
                }
                Some(found) => place = found,
                None => {
                    let kind = if left.is_empty() { kind } else { FileKind::Directory };
                    place = self.show(place, name, kind)?;
                }
            }
        }
        match (self.kind(tree, place)?, kind) {
            (FileKind::Directory, FileKind::Directory) => Ok(()),
            (FileKind::Directory, _) => {
                refused(ErrorKind::IsADirectory, FileKind::Directory, "a file")
            }
            (found, FileKind::Directory) => refused(ErrorKind::NotADirectory, found, "a directory"),
            _ => Ok(()),
        }
    }

    /// From a directory to what is under a name in it.
    fn step(&self, tree: &dyn ReadFiles, place: Place, name: &[u8]) -> Result<Option<Place>> {
        let here = match place {
            Place::Shown(at) if name == b".." => return Ok(Some(place_at(self.points[at].parent))),
            Place::Shown(at) => number_of(at),
            Place::Real(directory) => match tree.lookup(directory, name) {
                Ok(found) => return Ok(Some(Place::Real(found))),
                Err(error) if error.kind() == ErrorKind::NotFound => INodeNo(directory.0.into()),
                Err(error) => return Err(error),
            },
        };
        Ok(self.names.get(&(here, name.to_vec())).map(|&at| Place::Shown(at)))
    }

    fn show(&mut self, place: Place, name: Vec<u8>, kind: FileKind) -> Result<Place> {
        let parent = match place {
            Place::Real(directory) => INodeNo(directory.0.into()),
            Place::Shown(at) => number_of(at),
        };
        if self.in_directory(parent).count() >= IN_DIRECTORY_MAX {
            let expected = format!("at most {IN_DIRECTORY_MAX} in a directory");
            let operation = "show mount points";
            return Err(Error::invalid(operation, "mount points", "more", expected));
        }
        let at = self.points.len();
        self.names.insert((parent, name.clone()), at);
        self.points.push(Point { parent, name, kind, made: OnceLock::new() });
        Ok(Place::Shown(at))
    }

    fn kind(&self, tree: &dyn ReadFiles, place: Place) -> Result<FileKind> {
        match place {
            Place::Real(inode) => Ok(tree.attributes(inode)?.kind),
            Place::Shown(at) => Ok(self.points[at].kind),
        }
    }
}

/// The names of a path, the first one last.
fn components(path: &OsStr) -> Vec<Vec<u8>> {
    let names = path.as_bytes().split(|&byte| byte == b'/');
    names.rev().filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec).collect()
}

fn number_of(place: usize) -> INodeNo {
    INodeNo(FIRST_NUMBER + place as u64)
}

fn place_of(number: INodeNo) -> Option<usize> {
    number.0.checked_sub(FIRST_NUMBER).and_then(|place| usize::try_from(place).ok())
}

fn place_at(number: INodeNo) -> Place {
    match place_of(number) {
        Some(at) => Place::Shown(at),
        None => Place::Real(Inode(u32::try_from(number.0).expect("a number of the tree"))),
    }
}
