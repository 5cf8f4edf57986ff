//! The server: answers the kernel's messages from a tree.
//!
//! One file a role; [`filesystem`] has the protocol's methods, which only unpack, ask a role and
//! reply. A role returns the number that the caller of the system call will see.

mod attributes;
mod buffer;
mod extended;
mod filesystem;
mod links;
mod names;
mod read;
mod recent;
mod room;
mod write;

use std::sync::Arc;

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo, Request};
use sapwood::files::{Attributes, Inode};

use crate::attributes as convert;
use crate::awake::Awake;
use crate::barrier::Barrier;
use crate::errno;
use crate::held_back::HeldBack;
use crate::options::{Durability, MountOptions};
use crate::points::Points;
use crate::tree::Tree;
use recent::Recent;
use room::Room;

/// Mount points that the tree lacks never come again under another meaning.
const GENERATION_OF_POINTS: Generation = Generation(0);

/// Archivers take a file of some size and no room for one large hole and do not look: so none is told to
/// take none, neither one whose content is kept beside its attributes, nor one that the kernel may hold
/// back the first pages of.
const SECTORS_MIN: u64 = 1;

/// What a role answers.
pub type Answer<T> = Result<T, Errno>;

/// Answers the kernel, from as many threads as there are.
pub struct Server {
    tree: Tree,
    options: MountOptions,
    points: Points,
    barrier: Barrier,
    held_back: Arc<HeldBack>,
    awake: Arc<Awake>,
    room: Room,
    recent: Recent,
    block_bytes: u32,
}

/// A file as the kernel is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub attributes: FileAttr,
    pub generation: Generation,
}

impl Server {
    /// A server of `tree`, whose workers are kept by `awake`, and which gets what is `held_back`.
    ///
    /// Errors: where a mount point cannot be shown.
    pub fn new(
        tree: Tree,
        options: MountOptions,
        awake: Arc<Awake>,
        held_back: Arc<HeldBack>,
    ) -> sapwood::Result<Server> {
        let points = Points::find(tree.reader(), &options.mount_points)?;
        let block_bytes = u32::try_from(tree.reader().block_bytes()).expect("at most 64 KiB");
        let room = Room::new(options.quota_bytes, options.room_of.clone());
        let barrier = Barrier::new(options.threads);
        let recent = Recent::new();
        Ok(Server { tree, options, points, barrier, held_back, awake, room, recent, block_bytes })
    }

    /// The number for an error of the engine, which is reported where the number says too little.
    fn fail(&self, error: &sapwood::Error) -> Errno {
        errno::told(error, &self.options.report)
    }

    fn engine<T>(&self, result: sapwood::Result<T>) -> Answer<T> {
        result.map_err(|error| self.fail(&error))
    }

    fn told(&self, attributes: &Attributes) -> Told {
        let number = self.points.number(attributes.inode);
        let generation = match self.points.made(number) {
            // As it was when it was only shown.
            Some(_) => GENERATION_OF_POINTS,
            None => Generation(attributes.generation.into()),
        };
        self.told_as(attributes, number, generation)
    }

    fn told_as(&self, attributes: &Attributes, number: INodeNo, generation: Generation) -> Told {
        let MountOptions { users, groups, .. } = &self.options;
        let mut attributes = convert::to_kernel(attributes, users, groups, self.block_bytes);
        attributes.ino = number;
        if attributes.kind == FileType::RegularFile
            && (attributes.size > 0 || matches!(self.tree, Tree::Live(_)))
        {
            attributes.blocks = attributes.blocks.max(SECTORS_MIN);
        }
        Told { attributes, generation }
    }

    /// A mount point that the tree lacks.
    fn shown(&self, number: INodeNo) -> Option<Told> {
        let attributes = self.points.shown(number)?;
        Some(self.told_as(&attributes, number, GENERATION_OF_POINTS))
    }

    /// The file of the tree that the kernel means.
    fn inode(&self, number: INodeNo) -> Answer<Inode> {
        let found = convert::inode(number).or_else(|| self.points.made(number));
        found.ok_or(Errno::ESTALE)
    }

    /// As [`Server::inode`], for those who change it: a mount point that was only shown becomes
    /// a file of the tree.
    fn inode_to_change(&self, number: INodeNo) -> Answer<Inode> {
        match convert::inode(number) {
            Some(inode) => Ok(inode),
            None => {
                let made = self.points.make(self.tree.writer()?, number);
                self.engine(made)?.ok_or(Errno::ESTALE)
            }
        }
    }

    /// The owner and the group that what `request` makes gets.
    fn maker(&self, request: &Request) -> Answer<(u32, u32)> {
        let user = self.options.users.to_tree(request.uid()).ok_or(Errno::EOVERFLOW)?;
        let group = self.options.groups.to_tree(request.gid()).ok_or(Errno::EOVERFLOW)?;
        Ok((user, group))
    }

    fn commits_on_sync(&self) -> bool {
        self.options.durability == Durability::OnSync
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("tree", &self.tree).finish_non_exhaustive()
    }
}
