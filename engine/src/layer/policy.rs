//! How stored blocks are reached and how often they are verified.

use std::io;

use crate::raw::install_guard;

/// How blocks are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapPolicy {
    /// Through maps. A device error or a file cut by a third party ends the process (`SIGBUS`), unless
    /// that has installed the guard itself ([`install_guard`]).
    #[default]
    Map,
    /// Through maps, with the guard: such a fault is an error of that read. The first map installs it,
    /// for the whole process; who has handlers of `SIGBUS` installs those before, and it hands on to them.
    Guarded,
    /// By positioned reads only.
    Read,
}

impl MapPolicy {
    /// Whether files are to be mapped, with the guard in place where it is wanted.
    pub(crate) fn prepare_to_map(self) -> io::Result<bool> {
        match self {
            MapPolicy::Map => Ok(true),
            MapPolicy::Guarded => install_guard().map(|()| true),
            MapPolicy::Read => Ok(false),
        }
    }
}

/// How often a block is compared with its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyPolicy {
    /// The first time that this handle touches it. What a device gives later, of a page that was let go
    /// meanwhile, is not looked at again but by a seal, a flatten and a check.
    #[default]
    FirstTouch,
    /// On every read.
    EveryRead,
}

/// Both policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPolicy {
    /// How blocks are reached.
    pub map: MapPolicy,
    /// How often they are verified.
    pub verify: VerifyPolicy,
}

impl ReadPolicy {
    /// For a file that another process writes: private copies, verified every time.
    pub const OUTSIDE: ReadPolicy =
        ReadPolicy { map: MapPolicy::Read, verify: VerifyPolicy::EveryRead };
}
