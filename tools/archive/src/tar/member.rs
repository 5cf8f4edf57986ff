//! What a tar stream says of one file.

use sapwood::files::Time;

/// An extended attribute: its full name, and its value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file; its content follows.
    File,
    /// A further name of the member with this one.
    HardLink(Vec<u8>),
    /// A symlink with this target.
    Symlink(Vec<u8>),
    /// A character device: major and minor number.
    CharDevice(u32, u32),
    /// A block device: major and minor number.
    BlockDevice(u32, u32),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A Unix socket, of which a tar stream cannot speak.
    Socket,
}

impl MemberKind {
    /// The kind as a word, for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            MemberKind::File => "file",
            MemberKind::HardLink(_) => "hard link",
            MemberKind::Symlink(_) => "symlink",
            MemberKind::CharDevice(..) => "character device",
            MemberKind::BlockDevice(..) => "block device",
            MemberKind::Directory => "directory",
            MemberKind::Fifo => "fifo",
            MemberKind::Socket => "socket",
        }
    }
}

/// One member of a tar stream: all that stands before its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as it stands in the archive: any bytes but NUL.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// The lower twelve bits of the mode.
    pub permissions: u16,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// When its content was last changed.
    pub modified: Time,
    /// When it was last read, where the archive says so.
    pub accessed: Option<Time>,
    /// Its extended attributes, each name once, in the order of the archive.
    pub attributes: Vec<Attribute>,
    /// The size of the file in bytes, its holes included; 0 for all else.
    pub size: u64,
}

impl Member {
    /// A member without times or attributes, owned by root.
    pub fn new(name: impl Into<Vec<u8>>, kind: MemberKind, permissions: u16) -> Member {
        Member {
            name: name.into(),
            kind,
            permissions,
            owner: 0,
            group: 0,
            modified: Time { seconds: 0, nanoseconds: 0 },
            accessed: None,
            attributes: Vec::new(),
            size: 0,
        }
    }
}
