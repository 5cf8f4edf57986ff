//! How stored blocks are reached and how often they are verified.

/// How blocks are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapPolicy {
    /// Through maps. A device error or a file cut by a third party ends the process (`SIGBUS`).
    #[default]
    Map,
    /// Through maps, with the signal guard installed: such a fault is an error of that read.
    Guarded,
    /// By positioned reads only.
    Read,
}

/// How often a block is compared with its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyPolicy {
    /// The first time that this handle touches it.
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
