//! The plain truth about a tree: what its users see.

use std::collections::BTreeMap;

/// What a file is, with what only its kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Regular(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Directory(BTreeMap<String, u32>),
}

/// A file of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub body: Body,
    pub permissions: u16,
    pub owner: u32,
    pub extended: BTreeMap<String, Vec<u8>>,
}

/// What is seen of a file: all but its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub body: Body,
    pub permissions: u16,
    pub owner: u32,
    pub links: u32,
    pub extended: BTreeMap<String, Vec<u8>>,
    /// The first path that leads to the same file.
    pub same_as: String,
}

/// All paths with what is seen there. Names in directories are paths of their own.
pub type Observed = BTreeMap<String, Seen>;

/// The path under which an attachment is observed: none that a file can have.
pub fn attachment_path(name: &str) -> String {
    format!("//{name}")
}

/// The model: files by number, the root is 0.
#[derive(Clone, Debug)]
pub struct Model {
    pub nodes: BTreeMap<u32, Node>,
    pub attachments: BTreeMap<String, Vec<u8>>,
    next: u32,
}

impl Model {
    pub fn new() -> Model {
        let body = Body::Directory(BTreeMap::new());
        let root = Node { body, permissions: 0o755, owner: 0, extended: BTreeMap::new() };
        Model { nodes: BTreeMap::from([(0, root)]), attachments: BTreeMap::new(), next: 1 }
    }

    /// All paths, the root's (empty) first, with the files they lead to.
    pub fn paths(&self) -> Vec<(String, u32)> {
        let mut paths = Vec::new();
        let mut left = vec![(String::new(), 0)];
        while let Some((path, number)) = left.pop() {
            if let Body::Directory(names) = &self.nodes[&number].body {
                for (name, below) in names.iter().rev() {
                    let slash = if path.is_empty() { "" } else { "/" };
                    left.push((format!("{path}{slash}{name}"), *below));
                }
            }
            paths.push((path, number));
        }
        paths
    }

    pub fn observed(&self) -> Observed {
        let paths = self.paths();
        let mut first = BTreeMap::new();
        let mut names: BTreeMap<u32, u32> = BTreeMap::new();
        for (path, number) in &paths {
            first.entry(*number).or_insert_with(|| path.clone());
            *names.entry(*number).or_default() += 1;
        }
        let seen = |(path, number): &(String, u32)| {
            let node = &self.nodes[number];
            let links = match &node.body {
                Body::Directory(names) => {
                    let is_directory =
                        |below: &&u32| matches!(self.nodes[*below].body, Body::Directory(_));
                    2 + names.values().filter(is_directory).count() as u32
                }
                _ => names[number],
            };
            let seen = Seen {
                body: match &node.body {
                    Body::Directory(_) => Body::Directory(BTreeMap::new()),
                    body => body.clone(),
                },
                permissions: node.permissions,
                owner: node.owner,
                links,
                extended: node.extended.clone(),
                same_as: first[number].clone(),
            };
            (path.clone(), seen)
        };
        let attachment = |(name, content): (&String, &Vec<u8>)| {
            let path = attachment_path(name);
            let seen = Seen {
                body: Body::Regular(content.clone()),
                permissions: 0o600,
                owner: 0,
                links: 1,
                extended: BTreeMap::new(),
                same_as: path.clone(),
            };
            (path, seen)
        };
        paths.iter().map(seen).chain(self.attachments.iter().map(attachment)).collect()
    }

    pub fn node(&mut self, number: u32) -> &mut Node {
        self.nodes.get_mut(&number).expect("numbers come from paths that are there")
    }

    pub fn names(&mut self, directory: u32) -> &mut BTreeMap<String, u32> {
        match &mut self.node(directory).body {
            Body::Directory(names) => names,
            other => panic!("{other:?} is no directory"),
        }
    }

    pub fn is_directory(&self, number: u32) -> bool {
        matches!(self.nodes[&number].body, Body::Directory(_))
    }

    pub fn make(&mut self, directory: u32, name: &str, body: Body) {
        let permissions = match body {
            Body::Directory(_) => 0o755,
            Body::Symlink(_) => 0o777,
            _ => 0o644,
        };
        let node = Node { body, permissions, owner: 0, extended: BTreeMap::new() };
        self.nodes.insert(self.next, node);
        let number = self.next;
        self.names(directory).insert(name.to_owned(), number);
        self.next += 1;
    }

    /// Whether `below` is `above` or under it.
    pub fn is_below(&self, below: u32, above: u32) -> bool {
        let names = match &self.nodes[&above].body {
            Body::Directory(names) => names,
            _ => return below == above,
        };
        below == above || names.values().any(|&next| self.is_below(below, next))
    }
}
