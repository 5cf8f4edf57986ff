//! What a mount can be told.

use std::path::PathBuf;
use std::sync::Arc;

use sapwood::files::FileKind;

use crate::ids::IdMap;

/// Worker threads: two are best, as one message costs about 10 us of which nearly all is the
/// switch between caller and server; more only switch more.
pub const THREADS_DEFAULT: usize = 2;

/// When reads note their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTimes {
    /// When the time noted is older than the last change, or than a day.
    #[default]
    Relative,
    /// Never.
    Off,
}

/// How durable what is written becomes before the unmount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// `fsync` commits.
    #[default]
    OnSync,
    /// `fsync` does nothing; the unmount commits. For work that may be lost.
    OnUnmount,
}

/// Who may use the mount besides the user who mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Nobody, not even root.
    #[default]
    Owner,
    /// Everybody, as far as the permissions of the files go.
    Everybody,
}

/// Receives one line for each failure that the tree's users only see as an errno.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// Something to mount on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Where it is in the tree. Symlinks are followed, inside the tree.
    pub path: PathBuf,
    /// A directory, or anything else for a file.
    pub kind: FileKind,
}

/// How a tree is served. The default is right for one user and a durable volume.
#[derive(Clone)]
pub struct MountOptions {
    /// What `/proc/mounts` names as the source; by custom the store and the reference.
    pub source: String,
    /// Who may use it.
    pub audience: Audience,
    /// Users: of the host, and of the tree.
    pub users: IdMap,
    /// Groups: of the host, and of the tree.
    pub groups: IdMap,
    /// How many bytes the volume's own layer may take; past it, writes fail with `ENOSPC`.
    ///
    /// With a quota, writes reach the server one by one, so that the write that does not fit
    /// is the one that fails.
    pub quota_bytes: Option<u64>,
    /// What `fsync` does.
    pub durability: Durability,
    /// Whether reads note their time.
    pub access_times: AccessTimes,
    /// Whether the kernel asks for and enforces POSIX access control lists.
    ///
    /// It then asks for the list of each inode it checks, one message each.
    pub access_control_lists: bool,
    /// Whether set-user-id bits count.
    pub set_user_id: bool,
    /// Whether device nodes can be opened.
    pub devices: bool,
    /// What others mount on inside the mount: where the tree has no such names, they are shown,
    /// empty and root's, and the tree stays without them.
    pub mount_points: Vec<MountPoint>,
    /// A folder on the filesystem that holds the store: its free space is what `df` shows.
    pub room_of: Option<PathBuf>,
    /// Worker threads.
    pub threads: usize,
    /// Where failures are told.
    pub report: Reporter,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions {
            source: "sapwood".to_owned(),
            audience: Audience::default(),
            users: IdMap::default(),
            groups: IdMap::default(),
            quota_bytes: None,
            durability: Durability::default(),
            access_times: AccessTimes::default(),
            access_control_lists: false,
            set_user_id: false,
            devices: false,
            mount_points: Vec::new(),
            room_of: None,
            threads: THREADS_DEFAULT,
            report: Arc::new(|_| {}),
        }
    }
}
