//! Which members make one tree out of another, by image-layer rules.

use std::collections::{BTreeMap, BTreeSet};

use sapwood::files::{Attributes, ChangeKind, FileChange, FileKind, FilesView, Inode, ReadFiles};
use sapwood::{ErrorKind, Result};

use crate::listing::names_behind;

/// The members of a layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths of what is gone: hidden before anything else happens.
    pub whiteouts: BTreeSet<Vec<u8>>,
    /// What is there, by the path of a member: that of a directory has a slash at its end.
    pub members: BTreeMap<Vec<u8>, Inode>,
}

/// What has to be said so that `before` becomes `after`, where these `changes` are all there are.
///
/// A layer knows neither renames nor files that are one file with another of a lower layer, so
/// what was moved is said anew, and a file that is said is said under all of its names.
pub fn plan(before: &FilesView, after: &FilesView, changes: &[FileChange]) -> Result<Plan> {
    let mut planner = Planner { before, after, plan: Plan::default(), linked: BTreeSet::new() };
    for change in changes {
        if let ChangeKind::Renamed { from, .. } = &change.kind {
            planner.compare(from)?;
        }
        planner.compare(&change.path)?;
    }
    planner.add_further_names()?;
    planner.drop_hidden();
    Ok(planner.plan)
}

impl Plan {
    /// What has to be said so that the whole tree is there.
    pub fn of_all(tree: &FilesView) -> Result<Plan> {
        // Nothing is compared: all is said.
        let mut planner =
            Planner { before: tree, after: tree, plan: Plan::default(), linked: BTreeSet::new() };
        planner.say_all(b"", &tree.attributes(Inode::ROOT)?)?;
        Ok(planner.plan)
    }
}

struct Planner<'a> {
    before: &'a FilesView,
    after: &'a FilesView,
    plan: Plan,
    /// Files with several names of which one is said.
    linked: BTreeSet<Inode>,
}

impl Planner<'_> {
    /// Holds what stands at a path in both trees against each other.
    fn compare(&mut self, path: &[u8]) -> Result<()> {
        let old = find(self.before, path)?;
        let new = find(self.after, path)?;
        let Some(new) = new else {
            if old.is_some() {
                self.plan.whiteouts.insert(path.to_vec());
            }
            return Ok(());
        };
        if new.kind != FileKind::Directory {
            self.say(path, &new);
            return Ok(());
        }
        match old.filter(|old| old.kind == FileKind::Directory) {
            Some(old) if (old.inode, old.generation) == (new.inode, new.generation) => {
                let same = Attributes {
                    links: new.links,
                    accessed: new.accessed,
                    changed: new.changed,
                    created: new.created,
                    allocated_bytes: new.allocated_bytes,
                    ..old
                };
                if same != new || self.attributes_differ(&new)? {
                    self.say(path, &new);
                }
                Ok(())
            }
            // Another directory under the name: nothing of the old one shows through.
            Some(_) => {
                self.plan.whiteouts.insert(path.to_vec());
                self.say_all(path, &new)
            }
            None => self.say_all(path, &new),
        }
    }

    fn attributes_differ(&self, directory: &Attributes) -> Result<bool> {
        let all = |view: &FilesView| -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
            let names = view.extended_attribute_names(directory.inode)?;
            names
                .into_iter()
                .map(|name| {
                    let value = view.extended_attribute(directory.inode, &name)?;
                    Ok((name, value))
                })
                .collect()
        };
        Ok(all(self.before)? != all(self.after)?)
    }

    fn say(&mut self, path: &[u8], file: &Attributes) {
        let is_directory = file.kind == FileKind::Directory;
        if !is_directory && file.links > 1 {
            self.linked.insert(file.inode);
        }
        let path = match (path, is_directory) {
            (b"", _) => b"./".to_vec(),
            (path, true) => [path, b"/"].concat(),
            (path, false) => path.to_vec(),
        };
        self.plan.members.insert(path, file.inode);
    }

    /// Says a directory and all below it.
    fn say_all(&mut self, path: &[u8], directory: &Attributes) -> Result<()> {
        self.say(path, directory);
        let mut left = vec![(path.to_vec(), directory.inode)];
        while let Some((above, directory)) = left.pop() {
            let mut after = 0;
            loop {
                let names = names_behind(self.after, directory, after)?;
                let Some(last) = names.last() else { break };
                after = last.cookie;
                for name in names {
                    let path = joined(&above, &name.name);
                    self.say(&path, &self.after.attributes(name.inode)?);
                    if name.kind == FileKind::Directory {
                        left.push((path, name.inode));
                    }
                }
            }
        }
        Ok(())
    }

    fn add_further_names(&mut self) -> Result<()> {
        for inode in std::mem::take(&mut self.linked) {
            let file = self.after.attributes(inode)?;
            for path in self.after.paths_of(inode)? {
                self.say(&path, &file);
            }
        }
        Ok(())
    }

    /// Leaves out whiteouts below others, and below what is no directory any more.
    fn drop_hidden(&mut self) {
        let Plan { whiteouts, members } = &mut self.plan;
        let hides: BTreeSet<Vec<u8>> = whiteouts.clone();
        whiteouts.retain(|path| {
            let mut above = path.as_slice();
            while let Some(slash) = above.iter().rposition(|&byte| byte == b'/') {
                above = &above[..slash];
                if hides.contains(above) || members.contains_key(above) {
                    return false;
                }
            }
            true
        });
    }
}

/// What stands at a path, symlinks on it not followed: a change names the real way.
fn find(view: &FilesView, path: &[u8]) -> Result<Option<Attributes>> {
    let mut inode = Inode::ROOT;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        inode = match view.lookup(inode, name) {
            Ok(inode) => inode,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
    }
    view.attributes(inode).map(Some)
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    match above {
        b"" => name.to_vec(),
        above => [above, b"/", name].concat(),
    }
}
