//! What is agreed with the kernel when a mount begins.
//!
//! One message costs about 10 us, nearly all of it the switch between two processes, so what
//! counts is how many there are. sapwood is the only writer of a mounted tree: whatever the
//! kernel has learned stays true until the kernel itself changes it, and may be kept for as long
//! as there is memory.

use std::io;
use std::path::Path;
use std::time::Duration;

use fuser::{InitFlags, KernelConfig};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::device::FilesystemNumber;

/// How long names, their absence and attributes may be kept: for ever, as far as a mount goes.
pub const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the kernel has to ask for each time.
pub const NOT_KEPT: Duration = Duration::ZERO;

/// The largest read or write in bytes: 256 pages, the most that kernels take unasked.
const TRANSFER_BYTES_MAX: u32 = 1 << 20;

/// What the kernel reads ahead, in KiB: as much as one message carries. A mount begins with 128,
/// which no message can raise.
const READ_AHEAD_KIB: &str = "1024";

/// Messages that may be under way in the background: read-ahead and write-back.
const BACKGROUND_MAX: u16 = 64;

/// How many of them there may be before the kernel leaves out of a write-back what nobody waits for, and
/// `syncfs` is such a one: more than it ever has.
const CONGESTED_FROM: u16 = u16::MAX;

/// What a mount wants of the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Writes are gathered in the page cache, and the kernel keeps size and times meanwhile.
    pub write_back: bool,
    /// The kernel asks for access control lists and enforces them.
    pub access_control_lists: bool,
}

/// Has the kernel read ahead on a mount as far as one message carries, once the
/// first message is answered. Worth speed alone: where nobody but the machine's root may ask
/// for it, it stays as it is.
pub fn read_ahead(number: FilesystemNumber) {
    let _ = std::fs::write(format!("/sys/class/bdi/{number}/read_ahead_kb"), READ_AHEAD_KIB);
}

/// Looks at a mount as the first program in it would: the kernel has the attributes of its root then, and
/// the workers the memory that their first message takes, before anybody waits for either.
pub fn look_once(directory: &Path) {
    let _ = statx(CWD, directory, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
}

/// Asks the kernel for everything that saves messages, and takes what it has.
///
/// Not asked for, each for a reason: `ATOMIC_O_TRUNC`, since with opens that need no message
/// nobody would see the truncation; `AUTO_INVAL_DATA`, since nothing changes behind the kernel's
/// back; locks, since those of the kernel are as good for one machine.
pub fn agree(config: &mut KernelConfig, wishes: Wishes) -> io::Result<()> {
    let mut wanted = InitFlags::FUSE_ASYNC_READ
        | InitFlags::FUSE_ASYNC_DIO
        | InitFlags::FUSE_PARALLEL_DIROPS
        | InitFlags::FUSE_DO_READDIRPLUS
        | InitFlags::FUSE_CACHE_SYMLINKS
        | InitFlags::FUSE_EXPLICIT_INVAL_DATA
        | InitFlags::FUSE_HANDLE_KILLPRIV_V2
        | InitFlags::FUSE_EXPORT_SUPPORT
        | InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP
        | InitFlags::FUSE_NO_OPEN_SUPPORT
        | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
    if wishes.write_back {
        wanted |= InitFlags::FUSE_WRITEBACK_CACHE;
    }
    let there = wanted & config.capabilities();
    config.add_capabilities(there).expect("only what the kernel has is asked for");
    if wishes.access_control_lists {
        let lists = InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_DONT_MASK;
        config.add_capabilities(lists).map_err(|_| {
            io::Error::new(io::ErrorKind::Unsupported, "this kernel has no access control lists")
        })?;
    }
    // Each of these answers with the nearest value that it takes.
    if let Err(nearest) = config.set_max_write(TRANSFER_BYTES_MAX) {
        config.set_max_write(nearest).expect("the nearest value is taken");
    }
    if let Err(nearest) = config.set_max_readahead(TRANSFER_BYTES_MAX) {
        config.set_max_readahead(nearest).expect("the nearest value is taken");
    }
    config.set_max_background(BACKGROUND_MAX).expect("more than none");
    config.set_congestion_threshold(CONGESTED_FROM).expect("more than none");
    Ok(())
}
