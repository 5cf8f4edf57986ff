//! What is done to a tree, made to fit what is there.

use std::collections::BTreeMap;

use super::model::{Body, Model};

/// An operation; `at`, `to` and so on choose among the paths that are there when its turn comes.
#[derive(Clone, Debug)]
pub enum Step {
    Make {
        at: usize,
        name: u8,
        kind: u8,
    },
    Write {
        at: usize,
        offset: u32,
        length: u32,
        value: u8,
    },
    Truncate {
        at: usize,
        size: u32,
    },
    Zero {
        at: usize,
        offset: u32,
        length: u32,
    },
    Copy {
        at: usize,
        from: u32,
        to_file: usize,
        to: u32,
        length: u32,
    },
    Link {
        at: usize,
        to: usize,
        name: u8,
    },
    Remove {
        at: usize,
    },
    Rename {
        at: usize,
        to: usize,
        name: u8,
        exchange: bool,
    },
    Attributes {
        at: usize,
        permissions: u16,
        owner: u32,
    },
    SetExtended {
        at: usize,
        name: u8,
        length: u32,
        value: u8,
    },
    RemoveExtended {
        at: usize,
        name: u8,
    },
    Flush,
    Snapshot,
    Reopen,
    /// The process dies: what was not flushed is gone.
    Crash,
}

/// The largest file of the model.
pub const SIZE_MAX: u32 = 40_000;

/// An operation on paths: what a tree and the model are both asked to do.
#[derive(Clone, Debug)]
pub enum Action {
    Make {
        directory: String,
        name: String,
        kind: u8,
    },
    Write {
        path: String,
        offset: u64,
        data: Vec<u8>,
    },
    Truncate {
        path: String,
        size: u64,
    },
    Zero {
        path: String,
        offset: u64,
        length: u64,
    },
    Copy {
        path: String,
        from: u64,
        to_path: String,
        to: u64,
        length: u64,
    },
    Link {
        path: String,
        directory: String,
        name: String,
    },
    Remove {
        path: String,
    },
    /// Removes the name of a file that somebody has open.
    RemoveOpen {
        path: String,
    },
    Rename {
        path: String,
        directory: String,
        name: String,
        exchange: bool,
    },
    Attributes {
        path: String,
        permissions: u16,
        owner: u32,
    },
    SetExtended {
        path: String,
        name: String,
        value: Vec<u8>,
    },
    RemoveExtended {
        path: String,
        name: String,
    },
    Attach {
        name: String,
        content: Vec<u8>,
    },
}

/// Bytes that tell where they belong.
pub fn pattern(value: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| if value == 0 { 0 } else { value ^ (at / 512) as u8 }).collect()
}

impl Step {
    /// What the step means now; `None` where nothing there fits it, and for the steps that are
    /// about the whole tree.
    pub fn resolve(&self, model: &Model) -> Option<Action> {
        let paths = model.paths();
        let any = |at: usize| &paths[at % paths.len()];
        let of = |at: usize, fits: &dyn Fn(u32) -> bool| {
            let fitting: Vec<_> = paths.iter().filter(|(_, number)| fits(*number)).collect();
            (!fitting.is_empty()).then(|| fitting[at % fitting.len()].clone())
        };
        let regular = |number: u32| matches!(model.nodes[&number].body, Body::Regular(_));
        let directory = |number: u32| model.is_directory(number);
        let name = |name: &u8| format!("n{name}");
        Some(match self {
            Step::Make { at, name: chosen, kind } => {
                Action::Make { directory: of(*at, &directory)?.0, name: name(chosen), kind: *kind }
            }
            Step::Write { at, offset, length, value } => {
                let length = (*length).min(SIZE_MAX - offset.min(&SIZE_MAX)) as usize;
                let data = pattern(*value, length);
                Action::Write { path: of(*at, &regular)?.0, offset: (*offset).into(), data }
            }
            Step::Truncate { at, size } => {
                Action::Truncate { path: of(*at, &regular)?.0, size: (*size).into() }
            }
            Step::Zero { at, offset, length } => {
                let (offset, length) = ((*offset).into(), (*length).max(1).into());
                Action::Zero { path: of(*at, &regular)?.0, offset, length }
            }
            Step::Copy { at, from, to_file, to, length } => {
                let (source, target) = (of(*at, &regular)?, of(*to_file, &regular)?);
                let (from, to, length) = ((*from).into(), (*to).into(), (*length).into());
                if source.1 == target.1 {
                    return None;
                }
                Action::Copy { path: source.0, from, to_path: target.0, to, length }
            }
            Step::Link { at, to, name: chosen } => {
                let path = of(*at, &|number| !directory(number))?.0;
                Action::Link { path, directory: of(*to, &directory)?.0, name: name(chosen) }
            }
            Step::Remove { at } => {
                let path = any(*at).0.clone();
                if path.is_empty() {
                    return None;
                }
                Action::Remove { path }
            }
            Step::Rename { at, to, name: chosen, exchange } => {
                let path = any(*at).0.clone();
                if path.is_empty() {
                    return None;
                }
                let (directory, name) = (of(*to, &directory)?.0, name(chosen));
                Action::Rename { path, directory, name, exchange: *exchange }
            }
            Step::Attributes { at, permissions, owner } => {
                let path =
                    of(*at, &|number| !matches!(model.nodes[&number].body, Body::Symlink(_)))?;
                Action::Attributes { path: path.0, permissions: *permissions, owner: *owner }
            }
            Step::SetExtended { at, name, length, value } => Action::SetExtended {
                path: any(*at).0.clone(),
                name: format!("user.{name}"),
                value: pattern(*value, *length as usize),
            },
            Step::RemoveExtended { at, name } => {
                Action::RemoveExtended { path: any(*at).0.clone(), name: format!("user.{name}") }
            }
            Step::Flush | Step::Snapshot | Step::Reopen | Step::Crash => return None,
        })
    }
}

impl Action {
    /// Does it to the model; whether it is allowed. What is not leaves the model as it is.
    pub fn apply(&self, model: &mut Model) -> bool {
        let number = |model: &Model, path: &str| {
            model.paths().into_iter().find(|(other, _)| other == path).expect("resolved").1
        };
        match self {
            Action::Make { directory, name, kind } => {
                let directory = number(model, directory);
                if model.names(directory).contains_key(name) {
                    return false;
                }
                model.make(directory, name, body(*kind, name));
            }
            Action::Write { path, offset, data } => {
                let content = content(model, path);
                let (start, end) = (*offset as usize, *offset as usize + data.len());
                if !data.is_empty() {
                    content.resize(content.len().max(end), 0);
                    content[start..end].copy_from_slice(data);
                }
            }
            Action::Truncate { path, size } => content(model, path).resize(*size as usize, 0),
            Action::Zero { path, offset, length } => {
                let content = content(model, path);
                let end = ((offset + length) as usize).min(content.len());
                let start = (*offset as usize).min(end);
                content[start..end].fill(0);
            }
            Action::Copy { path, from, to_path, to, length } => {
                let source = content(model, path).clone();
                let start = (*from as usize).min(source.len());
                let part = &source[start..(start + *length as usize).min(source.len())];
                if !part.is_empty() {
                    let target = content(model, to_path);
                    let end = *to as usize + part.len();
                    target.resize(target.len().max(end), 0);
                    target[*to as usize..end].copy_from_slice(part);
                }
            }
            Action::Link { path, directory, name } => {
                let (file, directory) = (number(model, path), number(model, directory));
                if model.names(directory).contains_key(name) {
                    return false;
                }
                model.names(directory).insert(name.clone(), file);
            }
            Action::Remove { path } | Action::RemoveOpen { path } => {
                let file = number(model, path);
                if model.is_directory(file) && !model.names(file).is_empty() {
                    return false;
                }
                let (directory, name) = split(path);
                let directory = number(model, directory);
                model.names(directory).remove(name);
            }
            Action::Rename { path, directory, name, exchange } => {
                return self.rename(model, path, directory, name, *exchange);
            }
            Action::Attributes { path, permissions, owner } => {
                let file = number(model, path);
                let node = model.node(file);
                (node.permissions, node.owner) = (*permissions, *owner);
            }
            Action::SetExtended { path, name, value } => {
                let file = number(model, path);
                model.node(file).extended.insert(name.clone(), value.clone());
            }
            Action::RemoveExtended { path, name } => {
                let file = number(model, path);
                return model.node(file).extended.remove(name).is_some();
            }
            Action::Attach { name, content } => {
                model.attachments.insert(name.clone(), content.clone());
            }
        }
        true
    }

    fn rename(&self, model: &mut Model, path: &str, to: &str, name: &str, exchange: bool) -> bool {
        let numbers: BTreeMap<String, u32> = model.paths().into_iter().collect();
        let (from, from_name) = split(path);
        let (file, from, to) = (numbers[path], numbers[from], numbers[to]);
        let target = model.names(to).get(name).copied();
        if model.is_directory(file) && model.is_below(to, file) {
            return false;
        }
        let Some(target) = target else {
            if exchange {
                return false;
            }
            model.names(from).remove(from_name);
            model.names(to).insert(name.to_owned(), file);
            return true;
        };
        if exchange {
            if model.is_directory(target) && model.is_below(from, target) {
                return false;
            }
            model.names(from).insert(from_name.to_owned(), target);
            model.names(to).insert(name.to_owned(), file);
            return true;
        }
        if target == file {
            return true;
        }
        let full = model.is_directory(target) && !model.names(target).is_empty();
        if full || model.is_directory(target) != model.is_directory(file) {
            return false;
        }
        model.names(from).remove(from_name);
        model.names(to).insert(name.to_owned(), file);
        true
    }
}

/// What is made of each kind.
pub fn body(kind: u8, name: &str) -> Body {
    match kind {
        0 | 1 => Body::Directory(BTreeMap::new()),
        2 => Body::Symlink(name.repeat(if name.len() == 2 { 1 } else { 800 }).into_bytes()),
        3 => Body::Fifo,
        _ => Body::Regular(Vec::new()),
    }
}

/// The directory and the name in it.
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn content<'a>(model: &'a mut Model, path: &str) -> &'a mut Vec<u8> {
    let number = model.paths().into_iter().find(|(other, _)| other == path).expect("resolved").1;
    match &mut model.node(number).body {
        Body::Regular(content) => content,
        other => panic!("{other:?} has no content"),
    }
}
