//! Ways down a tree, with the symlinks on them, that never leave it.

use sapwood::files::{FileKind, Files, Inode, NewFile, ReadFiles, SetAttributes, Time};
use sapwood::{Error, ErrorKind, Result};

/// As many symlinks as the host follows on one way.
const SYMLINKS_MAX: u32 = 40;

/// Who made the directories on a way known to the caller.
pub trait OnTheWay {
    /// The way leads through the directory `name` of `directory`.
    fn passes(&mut self, directory: Inode, name: &[u8]);
    /// The directory was not there and is made.
    fn makes(&mut self, directory: Inode, name: &[u8], made: Inode) -> Result<()>;
    /// Something is about to be added to `directory`.
    fn adds_to(&mut self, directory: Inode) -> Result<()>;
}

/// Follows `components` down from `root` to a directory, making those that are missing.
///
/// Symlinks are followed inside the tree: an absolute one from `root`, and `..` stops there.
///
/// Errors: [`NotADirectory`](ErrorKind::NotADirectory) where another file is on the way;
/// [`NotFound`](ErrorKind::NotFound) where a symlink leads to nothing;
/// [`SymlinkLoop`](ErrorKind::SymlinkLoop).
pub fn make_directory(
    files: &Files,
    root: Inode,
    components: &[&[u8]],
    on_the_way: &mut dyn OnTheWay,
) -> Result<Inode> {
    let mut way = Way::new(root, components);
    while let Some(step) = way.step(files)? {
        match step {
            Step::Into { directory, name } => on_the_way.passes(directory, &name),
            Step::Missing { directory, name, is_named: true } => {
                on_the_way.adds_to(directory)?;
                let made = make_unnamed_parent(files, directory, &name)?;
                on_the_way.makes(directory, &name, made)?;
                way.above.push(made);
            }
            Step::Missing { name, .. } => {
                let found = format!("\"{}\"", name.escape_ascii());
                let error = Error::new(ErrorKind::NotFound, "follow a symlink");
                return Err(error.about("target", found, "a directory of the tree"));
            }
            Step::Other { name } => {
                let found = format!("\"{}\"", name.escape_ascii());
                let error = Error::new(ErrorKind::NotADirectory, "go down a tree");
                return Err(error.about("name", found, "a directory"));
            }
        }
    }
    Ok(way.here())
}

/// The same, where nothing is made: none where the way ends early.
pub fn find_directory(
    files: &dyn ReadFiles,
    root: Inode,
    components: &[&[u8]],
) -> Result<Option<Inode>> {
    let mut way = Way::new(root, components);
    while let Some(step) = way.step(files)? {
        if let Step::Missing { .. } | Step::Other { .. } = step {
            return Ok(None);
        }
    }
    Ok(Some(way.here()))
}

/// What a directory is that no member speaks of.
fn make_unnamed_parent(files: &Files, directory: Inode, name: &[u8]) -> Result<Inode> {
    let made = files.create(directory, name, &NewFile::directory(0o755))?;
    files.set_attributes(made.inode, &unnamed_directory())?;
    Ok(made.inode)
}

/// The attributes of a directory that no member speaks of: always the same ones.
pub fn unnamed_directory() -> SetAttributes {
    let time = Some(Time { seconds: 0, nanoseconds: 0 });
    SetAttributes {
        permissions: Some(0o755),
        owner: Some(0),
        group: Some(0),
        accessed: time,
        modified: time,
        ..SetAttributes::default()
    }
}

/// A way that is being followed.
struct Way {
    /// The directories from the root down to where we are.
    above: Vec<Inode>,
    /// What is still to follow, the next name last; and whether the caller named it, or a symlink.
    ahead: Vec<(Vec<u8>, bool)>,
    symlinks: u32,
}

enum Step {
    /// Into a directory by its own name.
    Into { directory: Inode, name: Vec<u8> },
    /// There is no such name.
    Missing { directory: Inode, name: Vec<u8>, is_named: bool },
    /// It is neither directory nor symlink.
    Other { name: Vec<u8> },
}

impl Way {
    fn new(root: Inode, components: &[&[u8]]) -> Way {
        let ahead = components.iter().rev().map(|name| (name.to_vec(), true)).collect();
        Way { above: vec![root], ahead, symlinks: 0 }
    }

    fn here(&self) -> Inode {
        *self.above.last().expect("the root stays")
    }

    /// Goes on until there is something to say; none at the end.
    fn step(&mut self, files: &dyn ReadFiles) -> Result<Option<Step>> {
        while let Some((name, is_named)) = self.ahead.pop() {
            if name == b".." {
                // Only symlinks say it. At the root it leads to the root.
                self.above.truncate(self.above.len().saturating_sub(1).max(1));
                continue;
            }
            let directory = self.here();
            let inode = match files.lookup(directory, &name) {
                Ok(inode) => inode,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Ok(Some(Step::Missing { directory, name, is_named }));
                }
                Err(error) => return Err(error),
            };
            match files.attributes(inode)?.kind {
                FileKind::Directory => {
                    self.above.push(inode);
                    return Ok(Some(Step::Into { directory, name }));
                }
                FileKind::Symlink => self.follow(&files.read_link(inode)?)?,
                _ => return Ok(Some(Step::Other { name })),
            }
        }
        Ok(None)
    }

    fn follow(&mut self, target: &[u8]) -> Result<()> {
        self.symlinks += 1;
        if self.symlinks > SYMLINKS_MAX {
            let found = format!("more than {SYMLINKS_MAX}");
            let error = Error::new(ErrorKind::SymlinkLoop, "follow symlinks");
            return Err(error.about("symlinks", found, "a way with an end"));
        }
        if target.starts_with(b"/") {
            self.above.truncate(1);
        }
        let names = target.rsplit(|&byte| byte == b'/');
        let names = names.filter(|name| !matches!(*name, b"" | b"."));
        self.ahead.extend(names.map(|name| (name.to_vec(), false)));
        Ok(())
    }
}
