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

use fuser::{Errno, FileAttr, Generation, INodeNo, Request};
use sapwood::files::{Attributes, Inode};

use crate::attributes as convert;
use crate::errno::{errno, is_worth_a_report};
use crate::options::{Durability, MountOptions};
use crate::tree::Tree;
use recent::Recent;
use room::Room;

/// What a role answers.
pub type Answer<T> = Result<T, Errno>;

/// Answers the kernel, from as many threads as there are.
pub struct Server {
    tree: Tree,
    options: MountOptions,
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
    /// A server of `tree`.
    pub fn new(tree: Tree, options: MountOptions) -> Server {
        let block_bytes = u32::try_from(tree.reader().block_bytes()).expect("at most 64 KiB");
        let room = Room::new(options.quota_bytes, options.room_of.clone());
        Server { tree, options, room, recent: Recent::new(), block_bytes }
    }

    /// The number for an error of the engine, which is reported where the number says too little.
    fn fail(&self, error: &sapwood::Error) -> Errno {
        if is_worth_a_report(error) {
            (self.options.report)(&error.to_string());
        }
        errno(error)
    }

    fn engine<T>(&self, result: sapwood::Result<T>) -> Answer<T> {
        result.map_err(|error| self.fail(&error))
    }

    fn told(&self, attributes: &Attributes) -> Told {
        let MountOptions { users, groups, .. } = &self.options;
        Told {
            attributes: convert::to_kernel(attributes, users, groups, self.block_bytes),
            generation: Generation(attributes.generation.into()),
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

/// The file that the kernel means.
fn inode(number: INodeNo) -> Answer<Inode> {
    convert::inode(number).ok_or(Errno::ESTALE)
}
