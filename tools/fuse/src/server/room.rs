//! How much room there is, and how much of it the volume may take.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::Errno;
use sapwood::files::Files;

use super::{Answer, Server};
use crate::tree::Tree;

/// What `df` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub blocks: u64,
    pub blocks_free: u64,
    pub files: u64,
    pub files_free: u64,
}

/// The bounds of a mount.
#[derive(Debug)]
pub(super) struct Room {
    quota_bytes: Option<u64>,
    folder: Option<PathBuf>,
    /// Something was removed since what is free was last told with a commit.
    may_have_grown: AtomicBool,
}

impl Room {
    pub(super) fn new(quota_bytes: Option<u64>, folder: Option<PathBuf>) -> Room {
        Room { quota_bytes, folder, may_have_grown: AtomicBool::new(true) }
    }

    /// Something was removed: what it took comes back with the next commit.
    pub(super) fn may_have_grown(&self) {
        if self.quota_bytes.is_some() {
            self.may_have_grown.store(true, Ordering::Relaxed);
        }
    }
}

impl Server {
    /// Does what takes `bytes` at most, unless the quota has no room for them.
    pub(super) fn with_room<T>(
        &self,
        bytes: u64,
        take: impl FnOnce() -> sapwood::Result<T>,
    ) -> Answer<T> {
        if let (Some(quota_bytes), Tree::Live(files)) = (self.room.quota_bytes, &self.tree) {
            let has_room = || files.occupied_bytes().saturating_add(bytes) <= quota_bytes;
            if !has_room() {
                // What was dropped or replaced counts until the commit that does so. Where nothing was, this
                // is no commit.
                self.engine(files.flush())?;
                if !has_room() {
                    return Err(Errno::ENOSPC);
                }
            }
        }
        self.engine(take())
    }

    /// What was removed is free when the commit that removed it is durable; one commit for
    /// each time that something was removed, not one for each time that somebody asks what is free.
    fn free_what_was_removed(&self, files: &Files) -> Answer<()> {
        match self.room.may_have_grown.swap(false, Ordering::Relaxed) {
            true => self.engine(files.flush()),
            false => Ok(()),
        }
    }

    /// What `df` shows: the quota, or else the room of the host around what the volume takes.
    pub(super) fn statistics(&self) -> Answer<Shown> {
        let taken = match &self.tree {
            Tree::View(_) => 0,
            Tree::Live(files) => {
                // Programs that look at the room before they write would else give up.
                if self.room.quota_bytes.is_some() {
                    self.free_what_was_removed(files)?;
                }
                files.occupied_bytes()
            }
        };
        let (total, free) = match (self.room.quota_bytes, &self.room.folder) {
            (Some(quota_bytes), _) => (quota_bytes, quota_bytes.saturating_sub(taken)),
            (None, Some(folder)) => {
                let host = rustix::fs::statvfs(folder)
                    .map_err(|error| Errno::from_i32(error.raw_os_error()))?;
                let free = host.f_bavail.saturating_mul(host.f_frsize);
                (taken.saturating_add(free), free)
            }
            (None, None) => (taken, 0),
        };
        let inodes = self.engine(self.tree.reader().statistics())?.inodes;
        let free = if matches!(self.tree, Tree::View(_)) { 0 } else { free };
        let block_bytes = u64::from(self.block_bytes);
        Ok(Shown {
            blocks: total / block_bytes,
            blocks_free: free / block_bytes,
            files: u64::from(u32::MAX),
            files_free: u64::from(u32::MAX).saturating_sub(inodes),
        })
    }
}
