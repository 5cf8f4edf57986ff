//! Which members make one tree out of another, by image-layer rules.

use std::collections::{BTreeMap, BTreeSet};

use sapwood::Result;
use sapwood::files::{
    Attributes, ChangeKind, Difference, FileChange, FileKind, FilesView, Inode, ReadFiles,
    difference,
};

use super::member::takes;
use crate::listing::{Name, attributes_at, names_behind};
use crate::options::ExportOptions;

/// The members of a layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Paths of what is gone: hidden before anything else happens.
    pub whiteouts: BTreeSet<Vec<u8>>,
    /// What is there, by the path of a member: that of a directory has a slash at its end.
    pub members: BTreeMap<Vec<u8>, Inode>,
}

/// What is said of a directory that was made anew under the name of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeAnew {
    /// What is different in it.
    Compared,
    /// All of it, over what is hidden: whatever else stands in the one of that name goes.
    Whole,
}

/// What has to be said so that `before` becomes `after`, where these `changes` are all there are.
///
/// It follows from the two trees alone: what is the same under the same name is not said, whatever
/// became of it in between. A layer knows neither renames nor files that are one file with another
/// of a lower layer, so what was moved is said anew, and a file that is said is said under all of
/// its names. What the options leave out is a member too, and hides what stood there.
pub fn plan(
    before: &FilesView,
    after: &FilesView,
    changes: &[FileChange],
    made_anew: MadeAnew,
    options: &ExportOptions,
) -> Result<Plan> {
    let mut planner = Planner { made_anew, ..Planner::new(before, after, options) };
    for change in changes {
        if let ChangeKind::Renamed { from, .. } = &change.kind {
            planner.left.push(from.clone());
        }
        planner.left.push(change.path.clone());
    }
    planner.compare_all()?;
    planner.add_further_names()?;
    planner.drop_hidden();
    Ok(planner.plan)
}

impl Plan {
    /// What has to be said so that the whole tree is there.
    pub fn of_all(tree: &FilesView, options: &ExportOptions) -> Result<Plan> {
        // Nothing is compared: all is said.
        let mut planner = Planner::new(tree, tree, options);
        planner.say_all(b"", &tree.attributes(Inode::ROOT)?)?;
        Ok(planner.plan)
    }
}

struct Planner<'a> {
    before: &'a FilesView,
    after: &'a FilesView,
    options: &'a ExportOptions,
    made_anew: MadeAnew,
    plan: Plan,
    /// Files with several names of which one is said.
    linked: BTreeSet<Inode>,
    /// Paths that are still to be held against each other.
    left: Vec<Vec<u8>>,
    /// Paths that were.
    seen: BTreeSet<Vec<u8>>,
}

impl<'a> Planner<'a> {
    fn new(before: &'a FilesView, after: &'a FilesView, options: &'a ExportOptions) -> Planner<'a> {
        let (plan, linked, left, seen) = Default::default();
        let made_anew = MadeAnew::Compared;
        Planner { before, after, options, made_anew, plan, linked, left, seen }
    }

    fn compare_all(&mut self) -> Result<()> {
        while let Some(path) = self.left.pop() {
            if !self.seen.contains(&path) {
                self.compare(&path)?;
                self.seen.insert(path);
            }
        }
        Ok(())
    }

    /// Holds what stands at a path in both trees against each other.
    fn compare(&mut self, path: &[u8]) -> Result<()> {
        let old = attributes_at(self.before, path)?;
        let new = attributes_at(self.after, path)?;
        // What those who refuse a kind get is their error, where it is written.
        let is_left_out = |new: &Attributes| matches!(takes(new.kind, self.options), Ok(false));
        if old.is_some() && new.as_ref().is_none_or(is_left_out) {
            self.plan.whiteouts.insert(path.to_vec());
        }
        let Some(new) = new else { return Ok(()) };
        let is_directory = new.kind == FileKind::Directory;
        match old.filter(|old| old.kind == new.kind) {
            None if is_directory => self.say_all(path, &new),
            None => {
                self.say(path, &new);
                Ok(())
            }
            Some(old) => {
                let is_other = (old.inode, old.generation) != (new.inode, new.generation);
                if is_directory && is_other && self.made_anew == MadeAnew::Whole {
                    self.plan.whiteouts.insert(path.to_vec());
                    return self.say_all(path, &new);
                }
                if is_directory && is_other {
                    // Another one under the name: the changes do not tell what is in both.
                    self.compare_names(path, (self.before, old.inode))?;
                    self.compare_names(path, (self.after, new.inode))?;
                }
                if !self.is_same(&old, &new)? || !is_directory && self.is_linked_anew(&old, &new)? {
                    self.say(path, &new);
                }
                Ok(())
            }
        }
    }

    fn compare_names(&mut self, path: &[u8], (view, directory): (&FilesView, Inode)) -> Result<()> {
        each_name(view, directory, &mut |name| {
            self.left.push(joined(path, &name.name));
            Ok(())
        })
    }

    /// Whether two files are the same as far as a layer tells, their names aside.
    fn is_same(&self, old: &Attributes, new: &Attributes) -> Result<bool> {
        let alike = Attributes {
            inode: new.inode,
            generation: new.generation,
            links: new.links,
            accessed: new.accessed,
            changed: new.changed,
            created: new.created,
            allocated_bytes: new.allocated_bytes,
            ..*old
        };
        // Content is read last: most of what changed has another time.
        Ok(alike == *new && difference(self.before, old, self.after, new)? == Difference::default())
    }

    /// Whether a file that else is the same has a name that it had not, or lost one to a file that
    /// is the same again.
    fn is_linked_anew(&mut self, old: &Attributes, new: &Attributes) -> Result<bool> {
        if old.links == 1 && new.links == 1 {
            return Ok(false);
        }
        let (were, are) = (self.before.paths_of(old.inode)?, self.after.paths_of(new.inode)?);
        let mut is_anew = are.iter().any(|name| were.binary_search(name).is_err());
        for name in were.into_iter().filter(|name| are.binary_search(name).is_err()) {
            if let Some(other) = attributes_at(self.after, &name)?
                && self.is_same(old, &other)?
            {
                is_anew = true;
                self.left.push(name);
            }
        }
        Ok(is_anew)
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
            each_name(self.after, directory, &mut |name| {
                let path = joined(&above, &name.name);
                self.say(&path, &self.after.attributes(name.inode)?);
                if name.kind == FileKind::Directory {
                    left.push((path, name.inode));
                }
                Ok(())
            })?;
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

fn each_name(
    view: &FilesView,
    directory: Inode,
    each: &mut dyn FnMut(Name) -> Result<()>,
) -> Result<()> {
    let mut after = 0;
    loop {
        let names = names_behind(view, directory, after)?;
        let Some(last) = names.last() else { return Ok(()) };
        after = last.cookie;
        names.into_iter().try_for_each(&mut *each)?;
    }
}

fn joined(above: &[u8], name: &[u8]) -> Vec<u8> {
    match above {
        b"" => name.to_vec(),
        above => [above, b"/", name].concat(),
    }
}
