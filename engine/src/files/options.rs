//! How the files of a volume are opened.

use std::time::Duration;

use crate::format::files::Time;

/// How a tree of files keeps its metadata, and what a new one begins with.
#[derive(Clone, Copy, Debug)]
pub struct FilesOptions {
    /// How much unchanged metadata is kept in memory, in bytes.
    pub cache_bytes: u64,
    /// How much changed metadata waits in memory for the next commit at most, in bytes; what is
    /// more goes into the volume's blocks, uncommitted.
    pub changed_bytes_max: usize,
    /// Owner and group of the root directory of a new tree.
    pub root_owner: (u32, u32),
    /// Permissions of the root directory of a new tree.
    pub root_permissions: u16,
    /// What time it is.
    pub clock: fn() -> Time,
    /// How long what was done may wait for a commit; none: until somebody flushes. Whoever drops the last
    /// handle then waits for a commit that is under way.
    pub commit_interval: Option<Duration>,
}

impl Default for FilesOptions {
    fn default() -> FilesOptions {
        FilesOptions {
            cache_bytes: 32 << 20,
            changed_bytes_max: 8 << 20,
            root_owner: (0, 0),
            root_permissions: 0o755,
            clock: Time::now,
            commit_interval: None,
        }
    }
}
