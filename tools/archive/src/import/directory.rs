//! A directory of the host into a tree.
//!
//! One thread walks and looks, some read, and the caller's puts into the tree: directory by
//! directory, all names of one before those of the next, sorted. So the files of a directory get
//! numbers beside each other, and equal directories get the same numbers.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sapwood::files::{Files, Inode};
use sapwood::{Error, ErrorKind, Result};

use super::host::{HostDirectory, HostFile, Identity, State};
use super::reading::{self, Awaited, Jobs, OpenedFile, Readers, queue};
use super::target::{Pieces, Target};
use crate::options::ImportOptions;
use crate::report::{Meter, Progress, Report};
use crate::tar::{Member, MemberKind};

/// How many files are looked at ahead of where they are needed: with the size up to which they
/// are read ahead as a whole this bounds memory to 32 MiB.
const AHEAD_FILES_MAX: usize = 256;
/// More threads that read do not help: one thread takes what they bring.
const READERS_MAX: usize = 4;

/// Puts what a directory of the host holds, and its own attributes, into the directory `into`.
///
/// Nothing is followed: symlinks are taken over. Hard links stay links, holes stay holes, times
/// keep their nanoseconds, access times too. Other filesystems that are mounted below `from` are
/// gone into. What the tree holds already is replaced as in [`import_tar`](super::import_tar), and
/// stays where `from` has nothing of its name. Nothing is flushed.
///
/// Errors: [`Stale`](ErrorKind::Stale) for a file that changed while it was read, and for a directory
/// that changed between its turn and the end, as a name may have moved past the walk then;
/// [`NotPermitted`](ErrorKind::NotPermitted) for kinds that the options refuse; what the host
/// says, with the path; those of [`Files`].
pub fn import_directory(
    files: &Files,
    into: Inode,
    from: &Path,
    options: &ImportOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report> {
    let root = HostDirectory::open(from)?;
    let target = Target::new(files, into, options, Meter::new(progress));
    let (readers, jobs) = queue();
    let (found, finds) = sync_channel(AHEAD_FILES_MAX);
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(1, READERS_MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            let jobs: &Jobs = &jobs;
            scope.spawn(move || jobs.work());
        }
        scope.spawn(move || {
            let mut walk = Walk { found, readers, links: HashMap::new(), seen: Vec::new() };
            if let Err(Stop::Failed(error)) = walk.all(root) {
                // Where nobody listens, another error was first.
                let _ = walk.found.send(Find::Failed(error));
            }
        });
        // Taken along: where it ends early, the walk hears that nobody listens any more.
        put_all(target, into, finds)
    })
}

/// Puts the file `from` of the host, any but a directory, into the directory `into` under the name
/// `name`, in place of what is there: as [`import_directory`] does with one that it finds.
///
/// Errors: [`IsADirectory`](ErrorKind::IsADirectory); as [`import_directory`].
pub fn import_file(
    files: &Files,
    into: Inode,
    name: &[u8],
    from: &Path,
    options: &ImportOptions,
) -> Result<Report> {
    let (Some(above), Some(last)) = (from.parent(), from.file_name()) else {
        return Err(Error::new(ErrorKind::IsADirectory, "import a file").in_file(from));
    };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let directory = HostDirectory::open(above)?;
    let last = CString::new(last.as_bytes()).map_err(|_| {
        Error::invalid("import a file", "name", last.as_bytes().escape_ascii(), "no NUL in it")
    })?;
    let file = directory.look(&last)?;
    let nothing = &mut |_| {};
    let mut target = Target::new(files, into, options, Meter::new(nothing));
    match file.member.kind {
        MemberKind::Directory => {
            return Err(Error::new(ErrorKind::IsADirectory, "import a file").in_file(from));
        }
        MemberKind::File => {
            let OpenedFile { member, mut content } =
                reading::open(&directory, &last, file.identity)?;
            target.put_file(into, name, &member, &mut content)?;
            target.count_entry();
        }
        _ => {
            put_other(&mut target, into, name, &file.member)?;
        }
    }
    target.finish()
}

/// What the walk tells, in the order in which it is put into the tree.
enum Find {
    /// A directory that was announced is gone through from here on: what it is itself.
    Enter { directory: usize, member: Box<Member> },
    /// A directory in another one; it is entered later.
    Directory { above: usize, name: CString, directory: usize, path: PathBuf },
    /// A regular file; it is being read.
    File { above: usize, name: CString, awaited: Awaited, linked: Option<Identity> },
    /// A further name of a file that was told before.
    Link { above: usize, name: CString, identity: Identity, is_last: bool, path: PathBuf },
    /// A symlink, device, pipe or socket.
    Other { above: usize, member: Box<Member>, linked: Option<Identity>, path: PathBuf },
    /// No more names of this directory come.
    Leave { directory: usize },
    /// It could not go on.
    Failed(Error),
}

/// Why the walk ends early.
enum Stop {
    /// Nobody listens any more.
    Unheard,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

struct Walk {
    found: SyncSender<Find>,
    readers: Readers,
    /// Files with further names that are still to come, and how many.
    links: HashMap<Identity, u64>,
    /// All directories, by number.
    seen: Vec<Seen>,
}

/// A directory as it was in its turn.
#[derive(Default)]
struct Seen {
    /// Which it was and its state; `None` before.
    state: Option<(Identity, State)>,
    directories: Vec<(CString, usize)>,
}

/// Directories that are still to come, each named in one that is held open.
type Left = Vec<(Arc<HostDirectory>, CString, usize)>;

impl Walk {
    /// Goes through all directories, and once more to see that none has changed.
    fn all(&mut self, root: HostDirectory) -> Result<(), Stop> {
        self.seen.push(Seen::default());
        let root = Arc::new(root);
        self.each(&root, |walk, directory, number, left| walk.one(directory, number, left))?;
        self.each(&root, |walk, directory, number, left| walk.again(directory, number, left))
    }

    fn each(
        &mut self,
        root: &Arc<HostDirectory>,
        mut visit: impl FnMut(&mut Walk, Arc<HostDirectory>, usize, &mut Left) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut left = Left::new();
        visit(self, Arc::clone(root), 0, &mut left)?;
        while let Some((above, name, number)) = left.pop() {
            let directory = Arc::new(above.enter(&name)?);
            drop(above);
            visit(self, directory, number, &mut left)?;
        }
        Ok(())
    }

    /// That a directory is as it was in its turn. Only once all are listed that says something: a name
    /// that moves from one that comes later changes one that was listed before.
    fn again(
        &mut self,
        directory: Arc<HostDirectory>,
        number: usize,
        left: &mut Left,
    ) -> Result<(), Stop> {
        let Seen { state, directories } = std::mem::take(&mut self.seen[number]);
        directory.expect_unchanged(state.expect("it had its turn"))?;
        let below = directories.into_iter().rev();
        left.extend(below.map(|(name, number)| (Arc::clone(&directory), name, number)));
        Ok(())
    }

    /// Tells all names of a directory; its directories are left for later, the first on top.
    fn one(
        &mut self,
        directory: Arc<HostDirectory>,
        number: usize,
        left: &mut Left,
    ) -> Result<(), Stop> {
        let HostFile { member, identity, state, .. } = directory.file()?;
        self.seen[number].state = Some((identity, state));
        self.tell(Find::Enter { directory: number, member: Box::new(member) })?;
        for name in directory.names()? {
            let file = directory.look(&name)?;
            let path = directory.path_of(&name);
            let above = number;
            let linked = match self.note_link(&file.member.kind, file.identity, file.links) {
                Link::Further { is_last } => {
                    let identity = file.identity;
                    self.tell(Find::Link { above, name, identity, is_last, path })?;
                    continue;
                }
                Link::First => Some(file.identity),
                Link::Only => None,
            };
            match file.member.kind {
                MemberKind::Directory => {
                    let below = self.seen.len();
                    self.seen.push(Seen::default());
                    self.seen[number].directories.push((name.clone(), below));
                    self.tell(Find::Directory { above, name, directory: below, path })?;
                }
                MemberKind::File => {
                    let awaited = self.readers.ask(&directory, name.clone(), file.identity);
                    self.tell(Find::File { above, name, awaited, linked })?;
                }
                _ => {
                    self.tell(Find::Other { above, member: Box::new(file.member), linked, path })?
                }
            }
        }
        let below = self.seen[number].directories.iter().rev();
        left.extend(below.map(|(name, below)| (Arc::clone(&directory), name.clone(), *below)));
        self.tell(Find::Leave { directory: number })
    }

    fn note_link(&mut self, kind: &MemberKind, identity: Identity, links: u64) -> Link {
        if links < 2 || *kind == MemberKind::Directory {
            return Link::Only;
        }
        match self.links.get_mut(&identity) {
            None => {
                self.links.insert(identity, links - 1);
                Link::First
            }
            Some(left) => {
                *left = left.saturating_sub(1);
                let is_last = *left == 0;
                if is_last {
                    self.links.remove(&identity);
                }
                Link::Further { is_last }
            }
        }
    }

    fn tell(&self, find: Find) -> Result<(), Stop> {
        self.found.send(find).map_err(|_| Stop::Unheard)
    }
}

/// How many names of a file there are.
enum Link {
    Only,
    First,
    Further { is_last: bool },
}

/// Puts what the walk tells into the tree.
fn put_all(mut target: Target<'_>, into: Inode, finds: Receiver<Find>) -> Result<Report> {
    let mut directories = HashMap::from([(0, into)]);
    let mut linked_files = HashMap::new();
    // The walk says each directory before the names in it.
    let inode_of = |directories: &HashMap<usize, Inode>, number: &usize| directories[number];
    for find in finds {
        match find {
            Find::Enter { directory, member } => {
                target.set_directory(inode_of(&directories, &directory), &member)?;
                target.count_entry();
            }
            Find::Directory { above, name, directory, path } => {
                let above = inode_of(&directories, &above);
                let made = target.enter_directory(above, name.to_bytes());
                directories.insert(directory, made.map_err(|error| error.in_file(path))?);
            }
            Find::File { above, name, awaited, linked } => {
                let above = inode_of(&directories, &above);
                let OpenedFile { member, mut content } =
                    awaited.recv().map_err(|_| reader_gone())??;
                let put = target.put_file(above, name.to_bytes(), &member, &mut content);
                let inode = put.map_err(|error| error.in_file(&content.path))?;
                target.count_entry();
                linked_files.extend(linked.map(|identity| (identity, Some(inode))));
            }
            Find::Link { above, name, identity, is_last, path } => {
                let above = inode_of(&directories, &above);
                let inode = match is_last {
                    true => linked_files.remove(&identity),
                    false => linked_files.get(&identity).copied(),
                };
                if let Some(inode) = inode.flatten() {
                    let linked = target.link(inode, above, name.to_bytes());
                    linked.map_err(|error| error.in_file(path))?;
                    target.count_entry();
                }
            }
            Find::Other { above, member, linked, path } => {
                let above = inode_of(&directories, &above);
                let put = put_other(&mut target, above, &member.name, &member);
                let inode = put.map_err(|error| error.in_file(path))?;
                linked_files.extend(linked.map(|identity| (identity, inode)));
            }
            Find::Leave { directory } => {
                directories.remove(&directory);
            }
            Find::Failed(error) => return Err(error),
        }
    }
    target.finish()
}

/// None where it is left out.
fn put_other(
    target: &mut Target<'_>,
    above: Inode,
    name: &[u8],
    member: &Member,
) -> Result<Option<Inode>> {
    if !target.takes(&member.kind)? {
        return Ok(None);
    }
    let inode = target.put_file(above, name, member, &mut NoContent)?;
    target.count_entry();
    Ok(Some(inode))
}

struct NoContent;

impl Pieces for NoContent {
    fn write_to(&mut self, _: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

/// A reader that panicked took the answer with it.
fn reader_gone() -> Error {
    Error::new(ErrorKind::Io, "import a directory: a reading thread ended early")
}
