//! What the caller of an import or export decides.

use crate::tar::{Member, MemberKind};

/// The bits that have a file run as its owner and its group.
const SET_ID: u16 = 0o6000;

/// Whose the files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// The same numbers as in the source. On a host that takes privileges.
    #[default]
    Keep,
    /// All belong to this user and group.
    Fixed {
        /// The owner's number.
        owner: u32,
        /// The group's number.
        group: u32,
    },
    /// Nothing is said about it: in a tree user and group 0, on a host who exports. Files lose what has
    /// them run as their owner.
    Default,
}

/// What becomes of devices, pipes and sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpecialFiles {
    /// They are made. On a host devices take privileges; a tar stream has no sockets.
    #[default]
    Make,
    /// They are left out, and counted.
    Skip,
    /// Sockets alone are left out, and counted: without the process that made them they are nothing.
    SkipSockets,
    /// They are an error.
    Refuse,
}

/// Whether extended attributes are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtendedAttributes {
    /// All of them. On a host some take privileges.
    #[default]
    Keep,
    /// None.
    Skip,
}

/// What may take the place of a file that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replacement {
    /// A file of any kind.
    #[default]
    Anything,
    /// What is a directory if that is one, and only then: no more goes than what is named.
    SameKind,
}

/// How an archive ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveEnd {
    /// With its end mark: a stream that just stops was cut off.
    #[default]
    Marked,
    /// Behind any whole member, for streams of which a digest says that they are whole: some writers leave the
    /// mark out.
    Anywhere,
}

/// How holes are written into a tar stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// As the zeros that they read as: every reader understands it, and equal content gives equal
    /// bytes wherever the holes are.
    #[default]
    Expand,
    /// Left out, in the sparse form of GNU tar: small, for readers that know it.
    Keep,
}

/// What an import takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whose the files are.
    pub ownership: Ownership,
    /// What becomes of devices, pipes and sockets.
    pub special_files: SpecialFiles,
    /// Whether extended attributes are taken over.
    pub extended_attributes: ExtendedAttributes,
    /// How a tar stream ends.
    pub end: ArchiveEnd,
    /// What may take the place of what is there.
    pub replacement: Replacement,
}

/// What an export writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Whose the files are.
    pub ownership: Ownership,
    /// What becomes of devices, pipes and sockets.
    pub special_files: SpecialFiles,
    /// Whether extended attributes are written.
    pub extended_attributes: ExtendedAttributes,
    /// How holes are written into a tar stream. Directories of the host get holes always.
    pub holes: Holes,
}

impl Ownership {
    /// The owner and group that a file gets, whose own are given; none where the host decides.
    pub fn of(self, owner: u32, group: u32) -> Option<(u32, u32)> {
        match self {
            Ownership::Keep => Some((owner, group)),
            Ownership::Fixed { owner, group } => Some((owner, group)),
            Ownership::Default => None,
        }
    }

    /// The permissions that a file gets. Without its owner it does not get those that have it run as that
    /// owner: it would run as whoever has it then, for everybody.
    pub(crate) fn permissions_of(self, member: &Member) -> u16 {
        match self {
            Ownership::Default if member.kind != MemberKind::Directory => {
                member.permissions & !SET_ID
            }
            _ => member.permissions,
        }
    }

    /// Whether a file gets this extended attribute, where it gets any. One that lets whoever runs it do
    /// what root may is lost with its owner.
    pub(crate) fn takes_attribute(self, name: &[u8]) -> bool {
        self != Ownership::Default || name != b"security.capability"
    }
}
