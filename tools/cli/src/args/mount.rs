//! The words of the verbs for mounts.

use std::path::PathBuf;

use clap::Args;
use sapwood_fuse::IdRange;

use crate::output::size::parse_size;

/// What is asked of other filesystems by other names, and examples.
const DURABILITY: &str = "\
`fsync` commits, and so do `sapwood flush`, `sapwood snapshot` and the unmount.
`sync`, `sync -f` and `syncfs` do not: the kernel does not hand them to a
filesystem that a process serves.

On a full host `sapwood umount` fails, and the mount stays. What `umount`,
`fusermount3` or a signal took away is held until there is room: `sapwood flush`
says whether there is.

Examples:
  sapwood mount web mnt
  sapwood mount --temporary web:1 try
  sapwood mount web mnt --commit-every 5";

#[derive(Args, Debug)]
#[command(after_help = DURABILITY)]
pub struct MountArgs {
    /// What to mount: a volume, to read and write; of all else the frozen files
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The directory it is shown on
    pub directory: PathBuf,
    /// Mount a fork of the snapshot, which goes with the unmount
    #[arg(long, conflicts_with = "read_only")]
    pub temporary: bool,
    /// Mount the last commit of a volume, to be read only
    #[arg(long)]
    pub read_only: bool,
    /// Stay, and serve in this process
    #[arg(short, long)]
    pub foreground: bool,
    /// Commit at the unmount only: `fsync` does nothing, and what is written may be lost
    #[arg(long)]
    pub volatile: bool,
    /// Commit at least so often, though nobody asks for it
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "volatile")]
    pub commit_every: Option<u64>,
    /// What the volume's own layer may take
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub quota: Option<u64>,
    /// Let other users in, as far as the files' permissions go: without it nobody else gets in, and not
    /// even root can `flush`, `snapshot` or `commit` what another user has mounted
    #[arg(long)]
    pub allow_other: bool,
    /// Show users of the tree as others of the host, as often as needed
    #[arg(long = "map-users", value_name = "HOST:TREE:COUNT")]
    pub map_users: Vec<IdRange>,
    /// Show groups of the tree as others of the host, as often as needed
    #[arg(long = "map-groups", value_name = "HOST:TREE:COUNT")]
    pub map_groups: Vec<IdRange>,
    /// Enforce POSIX access control lists
    #[arg(long)]
    pub acl: bool,
    /// Let set-user-id bits count, where root mounts
    #[arg(long)]
    pub suid: bool,
    /// Let device nodes be opened, where root mounts
    #[arg(long)]
    pub dev: bool,
    /// Do not note when files are read
    #[arg(long = "no-atime")]
    pub no_access_times: bool,
    /// Where failures are told that users only see as an error number
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Say when the mount is there, to the process that started this one
    #[arg(long, hide = true, requires = "foreground")]
    pub ready: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sapwood umount mnt")]
pub struct UmountArgs {
    /// The directory
    pub directory: PathBuf,
    /// Let it go from its directory though somebody is in it; what was written so far is committed
    #[arg(long)]
    pub lazy: bool,
}
