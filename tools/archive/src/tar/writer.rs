//! A tar stream in one fixed form, so that equal members give equal bytes.
//!
//! A POSIX header, numbers only for owners, and before it a PAX header with what does not fit:
//! names past 100 bytes, nanoseconds, large numbers, attributes (in the order of their names).
//! Access and change times are left out, as they change by looking.

use std::io::Write;

use sapwood::files::Time;
use sapwood::{Error, ErrorKind, Result};
use tar::Header;

use super::encoding::to_key;
use super::member::{Member, MemberKind};
use super::pax::push_record;
use super::reader::as_path;
use super::sparse::{Segment, map_lines};
use super::{RECORD_BYTES, padding};

/// What every error of a stream that cannot be written begins with.
const OPERATION: &str = "write a tar stream";
/// The longest name that a header itself holds.
const NAME_BYTES_MAX: usize = 100;
/// The first number that seven octal digits cannot say.
const OCTAL_NUMBER_END: u64 = 1 << 21;
/// The first size or time that eleven octal digits cannot say.
const OCTAL_SIZE_END: u64 = 1 << 33;
/// The name of all PAX headers; readers that know them do not look at it.
const PAX_NAME: &[u8] = b"././@PaxHeader";
/// The folder in which readers that do not know sparse files put the pieces of one.
const SPARSE_FOLDER: &[u8] = b"GNUSparseFile.0/";

/// Writes a tar stream.
///
/// After [`begin`](TarWriter::begin) comes exactly the announced content by
/// [`write`](TarWriter::write), and [`finish`](TarWriter::finish) ends the archive.
pub struct TarWriter<W> {
    output: W,
    /// How much of the current content is still to be written, in bytes.
    left: u64,
    /// How many bytes fill its last record.
    padding: u64,
}

impl<W: Write> TarWriter<W> {
    /// A writer of an archive that begins with the next byte of `output`.
    pub fn new(output: W) -> TarWriter<W> {
        TarWriter { output, left: 0, padding: 0 }
    }

    /// Writes what stands before the content of `member`, `member.size` bytes of a file.
    ///
    /// Errors: [`Unsupported`](ErrorKind::Unsupported) for a socket; what the output says.
    pub fn begin(&mut self, member: &Member) -> Result<()> {
        self.begin_stored(member, None)
    }

    /// The same for a file with holes, of which only `segments` are written. The form is that of
    /// GNU tar, version 1.0.
    ///
    /// Each segment but the last has a multiple of 512 bytes.
    pub fn begin_sparse(&mut self, member: &Member, segments: &[Segment]) -> Result<()> {
        self.begin_stored(member, Some(segments))
    }

    /// Writes the next bytes of the content.
    ///
    /// Errors: [`InvalidInput`](ErrorKind::InvalidInput) where there are more than announced.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.left = self.left.checked_sub(length).ok_or_else(|| {
            Error::invalid(OPERATION, "content", format!("{length} bytes"), self.left)
        })?;
        self.put(bytes)
    }

    /// Ends the archive and gives back its output, flushed.
    pub fn finish(mut self) -> Result<W> {
        self.end_member()?;
        self.put(&[0; 2 * RECORD_BYTES])?;
        self.output.flush().map_err(|error| Error::io(OPERATION, error))?;
        Ok(self.output)
    }

    fn begin_stored(&mut self, member: &Member, segments: Option<&[Segment]>) -> Result<()> {
        self.end_member()?;
        let map = segments.map(|segments| map_lines(segments, member.size)).unwrap_or_default();
        let stored = match segments {
            Some(segments) => segments.iter().map(|segment| segment.length).sum(),
            None => member.size,
        };
        let size = stored + map.len() as u64;
        let kind = kind_byte(&member.kind).map_err(|error| error.in_file(as_path(&member.name)))?;
        let records = pax_records(member, segments.is_some(), size);
        if !records.is_empty() {
            let mut pax = Member::new(PAX_NAME, MemberKind::File, 0o644);
            pax.size = records.len() as u64;
            self.put(header(&pax, PAX_NAME, b'x', pax.size).as_bytes())?;
            self.put(&records)?;
            self.fill(padding(pax.size))?;
        }
        let name = match segments {
            Some(_) => [SPARSE_FOLDER, &member.name].concat(),
            None => member.name.clone(),
        };
        self.put(header(member, &name, kind, size).as_bytes())?;
        self.put(&map)?;
        self.left = stored;
        self.padding = padding(size);
        Ok(())
    }

    fn end_member(&mut self) -> Result<()> {
        if self.left > 0 {
            let found = format!("{} bytes less", self.left);
            return Err(Error::invalid(OPERATION, "content", found, "what was announced"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.fill(padding)
    }

    /// Zeros up to the next record.
    fn fill(&mut self, length: u64) -> Result<()> {
        self.put(&[0; RECORD_BYTES][..length as usize])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write_all(bytes).map_err(|error| Error::io(OPERATION, error))
    }
}

/// What the header cannot say, in a fixed order.
fn pax_records(member: &Member, is_sparse: bool, stored: u64) -> Vec<u8> {
    let mut names: Vec<(&[u8], &[u8])> = Vec::new();
    if !is_sparse && member.name.len() > NAME_BYTES_MAX {
        names.push((b"path", &member.name));
    }
    if let Some(target) = target(&member.kind).filter(|target| target.len() > NAME_BYTES_MAX) {
        names.push((b"linkpath", target));
    }
    if is_sparse {
        names.push((b"GNU.sparse.major", b"1"));
        names.push((b"GNU.sparse.minor", b"0"));
        names.push((b"GNU.sparse.name", &member.name));
    }
    let mut records = Vec::new();
    if names.iter().any(|(_, name)| std::str::from_utf8(name).is_err()) {
        push_record(&mut records, b"hdrcharset", b"BINARY");
    }
    for (key, value) in names {
        push_record(&mut records, key, value);
    }
    let mut number = |key: &str, value: u64| {
        push_record(&mut records, key.as_bytes(), value.to_string().as_bytes());
    };
    if is_sparse {
        number("GNU.sparse.realsize", member.size);
    }
    if stored >= OCTAL_SIZE_END {
        number("size", stored);
    }
    if u64::from(member.owner) >= OCTAL_NUMBER_END {
        number("uid", member.owner.into());
    }
    if u64::from(member.group) >= OCTAL_NUMBER_END {
        number("gid", member.group.into());
    }
    let Time { seconds, nanoseconds } = member.modified;
    if nanoseconds != 0 || octal_seconds(seconds).is_none() {
        push_record(&mut records, b"mtime", time_text(member.modified).as_bytes());
    }
    let mut attributes: Vec<_> = member.attributes.iter().collect();
    attributes.sort();
    for (name, value) in attributes {
        push_record(&mut records, &[b"SCHILY.xattr.", &to_key(name)[..]].concat(), value);
    }
    records
}

/// Seconds with a fraction without zeros at its end.
fn time_text(Time { seconds, nanoseconds }: Time) -> String {
    let (sign, whole, nanoseconds) = match seconds {
        0.. => ("", seconds.unsigned_abs(), nanoseconds),
        _ if nanoseconds == 0 => ("-", seconds.unsigned_abs(), 0),
        _ => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
    };
    if nanoseconds == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

fn octal_seconds(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok().filter(|&seconds| seconds < OCTAL_SIZE_END)
}

fn header(member: &Member, name: &[u8], kind: u8, stored: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(member.permissions.into());
    header.set_uid(member.owner.into());
    header.set_gid(member.group.into());
    header.set_size(stored);
    header.set_mtime(octal_seconds(member.modified.seconds).unwrap_or(0));
    let fields = header.as_ustar_mut().expect("it was made as one");
    let name = &name[..name.len().min(NAME_BYTES_MAX)];
    fields.name[..name.len()].copy_from_slice(name);
    fields.typeflag = [kind];
    if let Some(target) = target(&member.kind) {
        let target = &target[..target.len().min(NAME_BYTES_MAX)];
        fields.linkname[..target.len()].copy_from_slice(target);
    }
    let (major, minor) = match member.kind {
        MemberKind::CharDevice(major, minor) | MemberKind::BlockDevice(major, minor) => {
            (major, minor)
        }
        _ => (0, 0),
    };
    fields.set_device_major(major);
    fields.set_device_minor(minor);
    header.set_cksum();
    header
}

fn target(kind: &MemberKind) -> Option<&[u8]> {
    match kind {
        MemberKind::HardLink(target) | MemberKind::Symlink(target) => Some(target),
        _ => None,
    }
}

fn kind_byte(kind: &MemberKind) -> Result<u8> {
    Ok(match kind {
        MemberKind::File => b'0',
        MemberKind::HardLink(_) => b'1',
        MemberKind::Symlink(_) => b'2',
        MemberKind::CharDevice(..) => b'3',
        MemberKind::BlockDevice(..) => b'4',
        MemberKind::Directory => b'5',
        MemberKind::Fifo => b'6',
        MemberKind::Socket => {
            let expected = "a kind that a tar stream has";
            let error = Error::invalid(OPERATION, "kind", "a socket", expected);
            return Err(error.with_kind(ErrorKind::Unsupported));
        }
    })
}
