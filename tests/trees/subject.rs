//! The engine's tree as it is played with: opened, changed, seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use sapwood::files::{
    self, FileKind, Files, FilesOptions, FilesView, Inode, NewFile, Paths, ReadFiles, RenameMode,
    SetAttributes, SetMode, SizeChange, TreeFinding,
};
use sapwood::medium::Host;
use sapwood::{ErrorKind, Result, Snapshot, Store};

use super::model::{Body, Observed, Seen, attachment_path};
use super::options;
use super::step::{Action, body, split};

/// Bounds so small that a few files make pages go out before a commit.
fn files_options() -> FilesOptions {
    FilesOptions { changed_bytes_max: 8192, cache_bytes: 65_536, ..FilesOptions::default() }
}

/// A store with one tree, open for writing.
pub struct Tree {
    host: Arc<dyn Host>,
    pub store: Store,
    pub files: Files,
}

impl Tree {
    pub fn create(host: Arc<dyn Host>) -> Result<Tree> {
        let store = Store::create_on(host.clone(), &options())?;
        let files = Files::open(store.create_tree("tree")?, files_options())?;
        Ok(Tree { host, store, files })
    }

    pub fn open(host: Arc<dyn Host>) -> Result<Tree> {
        let store = Store::open_on(host.clone(), &options())?;
        let files = Files::open(store.open_volume("tree")?, files_options())?;
        Ok(Tree { host, store, files })
    }

    pub fn reopen(self) -> Result<Tree> {
        self.files.close()?;
        Tree::open(self.host)
    }

    /// A tree beside this one that goes on from a snapshot of it.
    pub fn fork(&self, snapshot: &Snapshot, name: &str) -> Result<Tree> {
        let files = Files::open(self.store.fork_snapshot(snapshot, name)?, files_options())?;
        Ok(Tree { host: self.host.clone(), store: self.store.clone(), files })
    }

    /// The process dies, and another one opens the tree.
    pub fn die(self) -> Result<Tree> {
        let Tree { host, store, files } = self;
        drop((store, files));
        Tree::open(host)
    }

    pub fn apply(&self, action: &Action) -> Result<()> {
        let (files, paths) = (&self.files, Paths::new(&self.files));
        let at = |path: &str| paths.resolve_link(format!("/{path}"));
        match action {
            Action::Make { directory, name, kind } => {
                let (directory, name_bytes) = (at(directory)?, name.as_bytes());
                let new = |kind| NewFile { kind, ..NewFile::regular(0o644) };
                match body(*kind, name) {
                    Body::Directory(_) => {
                        files.create(directory, name_bytes, &NewFile::directory(0o755))
                    }
                    Body::Symlink(target) => files.symlink(directory, name_bytes, &target, 0, 0),
                    Body::Fifo => files.create(directory, name_bytes, &new(FileKind::Fifo)),
                    Body::Regular(_) => {
                        files.create(directory, name_bytes, &new(FileKind::Regular))
                    }
                }?;
            }
            Action::Write { path, offset, data } => files.write(at(path)?, *offset, data)?,
            Action::Truncate { path, size } => {
                let set = SetAttributes { size: Some(*size), ..SetAttributes::default() };
                files.set_attributes(at(path)?, &set)?;
            }
            Action::Zero { path, offset, length } => {
                files.zero(at(path)?, *offset, *length, SizeChange::Keep)?;
            }
            Action::Copy { path, from, to_path, to, length } => {
                files.copy_range(at(path)?, *from, at(to_path)?, *to, *length)?;
            }
            Action::Link { path, directory, name } => {
                files.link(at(path)?, at(directory)?, name.as_bytes())?;
            }
            Action::Remove { path } => {
                let (directory, name) = split(path);
                match files.attributes(at(path)?)?.kind {
                    FileKind::Directory => {
                        files.remove_directory(at(directory)?, name.as_bytes())?
                    }
                    _ => files.unlink(at(directory)?, name.as_bytes())?,
                }
            }
            Action::RemoveOpen { path } => {
                let (directory, name) = split(path);
                files.hold(at(path)?);
                files.unlink(at(directory)?, name.as_bytes())?;
            }
            Action::Rename { path, directory, name, exchange } => {
                let (from, from_name) = split(path);
                let mode = if *exchange { RenameMode::Exchange } else { RenameMode::Replace };
                let (from, to) = (at(from)?, at(directory)?);
                files.rename(from, from_name.as_bytes(), to, name.as_bytes(), mode)?;
            }
            Action::Attributes { path, permissions, owner } => {
                let (permissions, owner) = (Some(*permissions), Some(*owner));
                let set = SetAttributes { permissions, owner, ..SetAttributes::default() };
                files.set_attributes(at(path)?, &set)?;
            }
            Action::SetExtended { path, name, value } => {
                let (name, mode) = (name.as_bytes(), SetMode::Any);
                files.set_extended_attribute(at(path)?, name, value, mode)?;
            }
            Action::RemoveExtended { path, name } => {
                files.remove_extended_attribute(at(path)?, name.as_bytes())?;
            }
            Action::Attach { name, content } => files.attach(name.as_bytes(), content)?,
        }
        Ok(())
    }
}

/// All that can be seen of a tree.
pub fn observe(files: &dyn ReadFiles) -> Result<Observed> {
    let mut observed = Observed::new();
    let mut first: BTreeMap<Inode, String> = BTreeMap::new();
    let mut found = Vec::new();
    Paths::new(files).walk("/", |path, attributes| {
        found.push((String::from_utf8_lossy(path).into_owned(), *attributes));
        Ok(std::ops::ControlFlow::Continue(()))
    })?;
    if let Some(directory) = files.attachments()? {
        let mut attachments = Vec::new();
        files.entries(directory, 0, &mut |entry| {
            attachments.push((String::from_utf8_lossy(entry.name).into_owned(), entry.inode));
            std::ops::ControlFlow::Continue(())
        })?;
        for (name, inode) in attachments {
            found.push((attachment_path(&name), files.attributes(inode)?));
        }
    }
    for (path, attributes) in found {
        let inode = attributes.inode;
        let body = match attributes.kind {
            FileKind::Directory => Body::Directory(BTreeMap::new()),
            FileKind::Symlink => Body::Symlink(files.read_link(inode)?),
            FileKind::Regular => {
                let mut content = vec![0; attributes.size as usize + 1];
                let length = files.read(inode, 0, &mut content)?;
                content.truncate(length);
                Body::Regular(content)
            }
            _ => Body::Fifo,
        };
        let mut extended = BTreeMap::new();
        for name in files.extended_attribute_names(inode)? {
            let value = files.extended_attribute(inode, &name)?;
            extended.insert(String::from_utf8_lossy(&name).into_owned(), value);
        }
        let seen = Seen {
            body,
            permissions: attributes.permissions,
            owner: attributes.owner,
            links: attributes.links,
            extended,
            same_as: first.entry(inode).or_insert_with(|| path.clone()).clone(),
        };
        observed.insert(path, seen);
    }
    Ok(observed)
}

/// What a reference shows, after everything about it was found to fit together; `None` where
/// nothing was ever committed.
pub fn observe_checked(
    store: &Store,
    reference: &str,
) -> std::result::Result<Option<Observed>, String> {
    let text = |error: sapwood::Error| error.to_string();
    let view = match store.snapshot_of(reference).and_then(FilesView::open) {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            return Ok(None);
        }
        view => view.map_err(text)?,
    };
    let report = files::check(&view).map_err(text)?;
    // What a write that failed half-way leaves past the end of its file means nothing.
    let harmless = |finding: &TreeFinding| finding.what.ends_with("past its end");
    if let Some(finding) = report.findings.iter().find(|finding| !harmless(finding)) {
        return Err(format!("{reference}: {finding:?}"));
    }
    observe(&view).map(Some).map_err(text)
}

/// How two trees differ, in a line.
pub fn difference(found: &Observed, expected: &Observed) -> String {
    for (path, seen) in expected {
        match found.get(path) {
            None => return format!("/{path} is missing"),
            Some(other) if other != seen => {
                let short = |seen: &Seen| match &seen.body {
                    Body::Regular(content) => format!(
                        "{} bytes, {:o} {} links {} same as {} attributes {:?}",
                        content.len(),
                        seen.permissions,
                        seen.owner,
                        seen.links,
                        seen.same_as,
                        seen.extended.keys()
                    ),
                    _ => format!("{seen:?}"),
                };
                return format!("/{path}: found {}, expected {}", short(other), short(seen));
            }
            _ => {}
        }
    }
    let more = found.keys().find(|path| !expected.contains_key(*path));
    format!("there is also {more:?}")
}
