//! Files of trees, as several verbs report them.

use std::io::{self, Write};

use sapwood::files::{Attributes, FileKind, ReadFiles, Time};
use serde::Serialize;

use crate::error::Result;
use crate::output::time::utc_seconds;
use crate::output::{Text, printable_bytes};

/// A path, which is bytes, in a document of text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathReport {
    pub path: String,
    /// Its bytes, where they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

impl PathReport {
    /// A path.
    pub fn new(path: &[u8]) -> PathReport {
        match std::str::from_utf8(path) {
            Ok(path) => PathReport { path: path.to_owned(), path_hex: None },
            Err(_) => PathReport {
                path: String::from_utf8_lossy(path).into_owned(),
                path_hex: Some(hex(path)),
            },
        }
    }
}

/// The attributes of a file.
#[derive(Clone, Debug, Serialize)]
pub struct AttributesReport {
    pub kind: &'static str,
    pub inode: u32,
    pub generation: u32,
    /// In octal, as people write them.
    pub permissions: String,
    pub links: u32,
    pub owner: u32,
    pub group: u32,
    pub size_bytes: u64,
    pub allocated_bytes: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// In nanoseconds since 1970 UTC, as are the others.
    pub accessed: i128,
    pub modified: i128,
    pub changed: i128,
    pub created: i128,
}

impl AttributesReport {
    /// What a tree says of a file.
    pub fn new(attributes: &Attributes) -> AttributesReport {
        AttributesReport {
            kind: kind_word(attributes.kind),
            inode: attributes.inode.0,
            generation: attributes.generation,
            permissions: format!("{:04o}", attributes.permissions),
            links: attributes.links,
            owner: attributes.owner,
            group: attributes.group,
            size_bytes: attributes.size,
            allocated_bytes: attributes.allocated_bytes,
            device: device_numbers(attributes),
            accessed: nanoseconds(attributes.accessed),
            modified: nanoseconds(attributes.modified),
            changed: nanoseconds(attributes.changed),
            created: nanoseconds(attributes.created),
        }
    }
}

/// A file with its place.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    pub reference: String,
    #[serde(flatten)]
    pub path: PathReport,
    #[serde(flatten)]
    pub attributes: AttributesReport,
    /// Where a symlink leads.
    pub target: Option<PathReport>,
    #[serde(skip)]
    shown: Shown,
}

/// What the text is made of.
#[derive(Clone, Debug)]
struct Shown {
    name: String,
    target: Option<String>,
    attributes: Attributes,
}

impl FileReport {
    /// The file at `path` of `reference`; people are shown it as `name`.
    pub fn new(
        reference: &str,
        path: &[u8],
        name: &[u8],
        attributes: &Attributes,
        files: &impl ReadFiles,
    ) -> Result<FileReport> {
        let target = match attributes.kind {
            FileKind::Symlink => Some(files.read_link(attributes.inode)?),
            _ => None,
        };
        Ok(FileReport {
            reference: reference.to_owned(),
            path: PathReport::new(path),
            attributes: AttributesReport::new(attributes),
            target: target.as_deref().map(PathReport::new),
            shown: Shown {
                name: printable_bytes(name),
                target: target.as_deref().map(printable_bytes),
                attributes: *attributes,
            },
        })
    }

    /// Where a symlink leads, as people are shown it.
    pub fn target_text(&self) -> Option<&str> {
        self.shown.target.as_deref()
    }

    /// Writes the name, and nothing else.
    pub fn write_name(&self, text: &mut Text<'_>) -> io::Result<()> {
        writeln!(text, "{}", self.shown.name)
    }

    /// Writes a line as `ls -l` has it. The columns have a fixed width: there may be more lines
    /// than memory holds.
    pub fn write_line(&self, text: &mut Text<'_>) -> io::Result<()> {
        let Shown { name, target, attributes } = &self.shown;
        let size = match device_numbers(attributes) {
            Some((major, minor)) => format!("{major}, {minor}"),
            None => text.units.size(attributes.size),
        };
        write!(
            text,
            "{} {:>3} {:>5} {:>5} {size:>10}  {}  {name}",
            mode_text(attributes),
            attributes.links,
            attributes.owner,
            attributes.group,
            utc_seconds(attributes.modified.seconds),
        )?;
        match target {
            Some(target) => writeln!(text, " -> {target}"),
            None => writeln!(text),
        }
    }
}

/// Kind and permissions as `ls -l` writes them.
pub fn mode_text(attributes: &Attributes) -> String {
    let kind = match attributes.kind {
        FileKind::Fifo => 'p',
        FileKind::CharDevice => 'c',
        FileKind::Directory => 'd',
        FileKind::BlockDevice => 'b',
        FileKind::Regular => '-',
        FileKind::Symlink => 'l',
        FileKind::Socket => 's',
    };
    let bits = attributes.permissions;
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits_of_class = bits >> shift;
        text.push(if bits_of_class & 4 != 0 { 'r' } else { '-' });
        text.push(if bits_of_class & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & special != 0, bits_of_class & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// The kind of a file, in a word.
pub fn kind_word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Fifo => "fifo",
        FileKind::CharDevice => "char device",
        FileKind::Directory => "directory",
        FileKind::BlockDevice => "block device",
        FileKind::Regular => "file",
        FileKind::Symlink => "symlink",
        FileKind::Socket => "socket",
    }
}

/// Bytes as digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The numbers of a device, unpacked as Linux packs them into 32 bits.
fn device_numbers(attributes: &Attributes) -> Option<(u32, u32)> {
    let packed = attributes.device;
    let numbers = (packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xfff00);
    matches!(attributes.kind, FileKind::CharDevice | FileKind::BlockDevice).then_some(numbers)
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

#[cfg(test)]
mod tests {
    use sapwood::files::Inode;

    use super::*;

    fn attributes(kind: FileKind, permissions: u16, device: u32) -> Attributes {
        let time = Time { seconds: 1, nanoseconds: 5 };
        Attributes {
            inode: Inode(2),
            generation: 1,
            kind,
            permissions,
            links: 1,
            owner: 0,
            group: 0,
            device,
            size: 0,
            allocated_bytes: 0,
            accessed: time,
            modified: time,
            changed: time,
            created: time,
        }
    }

    #[test]
    fn modes_are_written_as_ls_has_them() {
        let text = |kind, permissions| mode_text(&attributes(kind, permissions, 0));
        assert_eq!(text(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(text(FileKind::Regular, 0o6644), "-rwSr-Sr--");
        assert_eq!(text(FileKind::Regular, 0o4755), "-rwsr-xr-x");
        assert_eq!(text(FileKind::Symlink, 0o777), "lrwxrwxrwx");
    }

    #[test]
    fn devices_have_their_numbers_and_times_their_nanoseconds() {
        let report = AttributesReport::new(&attributes(FileKind::CharDevice, 0o600, 0x10_0503));
        assert_eq!(report.device, Some((5, 0x103)));
        assert_eq!(report.modified, 1_000_000_005);
        assert_eq!(AttributesReport::new(&attributes(FileKind::Fifo, 0, 0)).device, None);
    }

    #[test]
    fn paths_that_are_no_text_keep_their_bytes() {
        assert_eq!(PathReport::new("ä".as_bytes()).path_hex, None);
        let odd = PathReport::new(b"a\xff");
        assert_eq!((odd.path.as_str(), odd.path_hex.as_deref()), ("a\u{fffd}", Some("61ff")));
    }
}
