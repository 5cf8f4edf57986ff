//! A tar stream from its front to its end, member by member.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sapwood::files::Time;
use sapwood::{Error, Result};
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::extension::{Extension, SparseForm, check_global, text};
use super::member::{Member, MemberKind};
use super::number::{field, identity, unsigned};
use super::sparse::{MapLines, Segment, SparseMap, has_old_sparse};
use super::{EXTENSION_BYTES_MAX, OPERATION, RECORD_BYTES, malformed, no_tar, padding, shown};
use crate::options::{ArchiveEnd, ExtendedAttributes};

/// How much is read from the stream at once.
const BUFFER_BYTES: usize = 256 << 10;
/// The first size that eleven octal digits cannot say.
const OCTAL_SIZE_END: u64 = 1 << 33;

/// Reads a tar stream.
///
/// [`next_member`](TarReader::next_member) gives what stands before the content of a file,
/// [`next_chunk`](TarReader::next_chunk) its content, piece by piece; what is not read is passed
/// over. Memory is in proportion to one member's extensions and its map of holes.
pub struct TarReader<R> {
    input: BufReader<R>,
    /// Who is shown all bytes but the contents of files that are read; none: nobody.
    observer: Option<Observer>,
    /// Bytes of the stream that were read.
    position: u64,
    /// What is left of the content of the current member.
    content: Content,
    extended_attributes: ExtendedAttributes,
    end: ArchiveEnd,
    is_done: bool,
}

/// Takes bytes of the stream, in order.
pub type Observer = Box<dyn FnMut(&[u8]) -> Result<()>>;

/// A piece of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it belongs in the file, in bytes.
    pub offset: u64,
    /// How many bytes of the buffer it fills.
    pub length: usize,
}

#[derive(Default)]
struct Content {
    /// The ranges of the file that are still to come, the next one last.
    segments: Vec<Segment>,
    /// How many bytes of the stream follow the last of them up to the next header.
    padding: u64,
    /// The file has a map of holes: its content is shown to the observer too.
    is_sparse: bool,
}

impl<R: Read> TarReader<R> {
    /// A reader of the stream that begins with the next byte of `input`.
    pub fn new(input: R) -> TarReader<R> {
        TarReader {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            observer: None,
            position: 0,
            content: Content::default(),
            extended_attributes: ExtendedAttributes::Keep,
            end: ArchiveEnd::Marked,
            is_done: false,
        }
    }

    /// The same reader, which passes over what the stream says of extended attributes where they
    /// are not wanted: then it may say what could not be kept.
    pub fn with_attributes(self, extended_attributes: ExtendedAttributes) -> TarReader<R> {
        TarReader { extended_attributes, ..self }
    }

    /// The same reader, of an archive that ends so.
    pub fn with_end(self, end: ArchiveEnd) -> TarReader<R> {
        TarReader { end, ..self }
    }

    /// Shows `observer` all bytes of the stream from here on, but not what
    /// [`next_chunk`](TarReader::next_chunk) gives of files without holes.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Whether the bytes of the current member are those of its file, and only the file has them.
    pub fn is_content_apart(&self) -> bool {
        !self.content.is_sparse
    }

    /// How many bytes of the stream were read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next member, or none at the end of the archive.
    ///
    /// The end is a record of zeros with nothing but zeros behind it; a stream that just stops
    /// was cut off, unless it [may end so](TarReader::with_end).
    ///
    /// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) with the member's name, the
    /// offset of its header and the field; [`Unsupported`](sapwood::ErrorKind::Unsupported) for
    /// records that would change what the content is and are not known here; what the stream says.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        if self.is_done {
            return Ok(None);
        }
        self.skip_content()?;
        let mut extension = Extension::new(self.extended_attributes);
        loop {
            let start = self.position;
            let Some(header) = self.header()? else {
                if !extension.is_empty() {
                    return Err(malformed("archive", "its end", "the member of an extension"));
                }
                self.expect_nothing_more()?;
                self.is_done = true;
                return Ok(None);
            };
            let member = self.take_header(&header, &mut extension);
            if let Some(member) = member.map_err(|error| error.at_offset(start))? {
                return Ok(Some(member));
            }
        }
    }

    /// Reads on in the content of the current member; none at its end. Ranges that no chunk
    /// covers are holes.
    pub fn next_chunk(&mut self, buffer: &mut [u8]) -> Result<Option<Chunk>> {
        let chunk = self.chunk(buffer)?;
        match chunk {
            Some(chunk) if self.content.is_sparse => self.show(&buffer[..chunk.length])?,
            _ => {}
        }
        Ok(chunk)
    }

    fn chunk(&mut self, buffer: &mut [u8]) -> Result<Option<Chunk>> {
        let Some(segment) = self.content.segments.last_mut() else { return Ok(None) };
        let length = segment.length.min(buffer.len() as u64);
        let chunk = Chunk { offset: segment.offset, length: length as usize };
        segment.offset += length;
        segment.length -= length;
        if segment.length == 0 {
            self.content.segments.pop();
        }
        self.read_exact(&mut buffer[..chunk.length])?;
        Ok(Some(chunk))
    }

    /// Takes one header: an extension of the next member, or the member.
    fn take_header(
        &mut self,
        header: &Header,
        extension: &mut Extension,
    ) -> Result<Option<Member>> {
        let kind = header.entry_type();
        let is_old = header.as_ustar().is_none() && header.as_gnu().is_none();
        // All formats after the first have this magic; what version follows it changes what the
        // fields are.
        if is_old && &header.as_bytes()[257..262] == b"ustar" {
            let found = shown(&header.as_bytes()[257..265]);
            return Err(malformed("magic", found, "that of POSIX or of GNU tar"));
        }
        let is_extension = kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink();
        if !is_extension {
            if is_old && !extension.is_empty() {
                // GNU tar passes over some of what follows such a pair, and tells nobody.
                let expected = "one of POSIX or of GNU tar behind an extension";
                return Err(malformed("magic", "a header of the first format", expected));
            }
            let name = member_name(header, extension)?;
            let member = self.member(header, std::mem::take(extension), name.clone());
            return member.map(Some).map_err(|error| error.in_file(as_path(&name)));
        }
        if is_old {
            return Err(malformed("kind", kind_shown(kind), "a kind of the first format"));
        }
        let length = unsigned(field(&header.as_old().size, "size")?, "size")?;
        if length > EXTENSION_BYTES_MAX {
            let expected = format!("{EXTENSION_BYTES_MAX} bytes at most");
            return Err(malformed("size of an extension", length, expected));
        }
        let bytes = self.read_whole(length)?;
        match kind {
            EntryType::XHeader => extension.take_pax(&bytes)?,
            EntryType::XGlobalHeader => check_global(&bytes)?,
            EntryType::GNULongName => extension.take_gnu_name(bytes)?,
            _ => extension.take_gnu_target(bytes)?,
        }
        Ok(None)
    }

    /// Builds the member of a header and makes its content the current one.
    fn member(
        &mut self,
        header: &Header,
        mut extension: Extension,
        name: Vec<u8>,
    ) -> Result<Member> {
        let kind = member_kind(header, &mut extension, &name)?;
        let old = header.as_old();
        let mode = field(&old.mode, "mode")?;
        if !(0..=0o177_777).contains(&mode) {
            return Err(malformed("mode", format!("{mode:o}"), "16 bits"));
        }
        let owner = match extension.owner {
            Some(owner) => owner,
            None => identity(field(&old.uid, "uid")?, "uid")?,
        };
        let group = match extension.group {
            Some(group) => group,
            None => identity(field(&old.gid, "gid")?, "gid")?,
        };
        let modified = match extension.modified {
            Some(time) => time,
            None => {
                let seconds = field(&old.mtime, "mtime")?;
                let seconds = i64::try_from(seconds)
                    .map_err(|_| malformed("mtime", seconds, "a number of 64 bits"))?;
                Time { seconds, nanoseconds: 0 }
            }
        };
        let stored = stored_size(header, extension.size)?;
        let accessed = extension.accessed;
        let attributes = std::mem::take(&mut extension.attributes).into_iter().collect();
        let size = self.begin_content(header, &kind, extension, stored)?;
        Ok(Member {
            name,
            kind,
            permissions: (mode & 0o7777) as u16,
            owner,
            group,
            modified,
            accessed,
            attributes,
            size,
        })
    }

    /// Makes `stored` bytes the content that comes next; gives the size of the file.
    fn begin_content(
        &mut self,
        header: &Header,
        kind: &MemberKind,
        extension: Extension,
        stored: u64,
    ) -> Result<u64> {
        let form = extension.sparse.form()?;
        let is_old_sparse = header.entry_type().is_gnu_sparse();
        if !is_old_sparse && has_old_sparse(header) {
            // Some readers heed the map of GNU's headers in members of any kind.
            return Err(malformed("sparse map", "one", "none in a file of another kind"));
        }
        if *kind != MemberKind::File {
            if stored != 0 || form.is_some() {
                return Err(malformed("size", stored, format!("0 for a {}", kind.as_str())));
            }
            return Ok(0);
        }
        if form.is_some() && header.as_ustar().is_none() {
            // GNU tar looks for the next header elsewhere.
            return Err(malformed("sparse file", "records before a header of GNU", "one of POSIX"));
        }
        let padding = padding(stored);
        let is_sparse = is_old_sparse || form.is_some();
        let (map, size, stored) = match form {
            None if is_old_sparse => {
                let (map, size) = self.old_sparse(header)?;
                (map, size, stored)
            }
            None => {
                let mut map = SparseMap::default();
                map.push(0, stored)?;
                (map, stored, stored)
            }
            Some(_) if is_old_sparse => {
                return Err(malformed("sparse file", "two maps", "one"));
            }
            Some(SparseForm::Records { map, size }) => (map, size, stored),
            Some(SparseForm::Lines { size }) => {
                let (map, left) = self.sparse_lines(stored)?;
                (map, size, left)
            }
        };
        let mut segments = map.finish(size, stored)?;
        segments.reverse();
        self.content = Content { segments, padding, is_sparse };
        Ok(size)
    }

    /// The map in an old GNU header and the records behind it, and the size of the file.
    fn old_sparse(&mut self, header: &Header) -> Result<(SparseMap, u64)> {
        let gnu = header
            .as_gnu()
            .ok_or_else(|| malformed("kind", kind_shown(header.entry_type()), "a GNU header"))?;
        let size = unsigned(field(&gnu.realsize, "real size")?, "real size")?;
        let mut map = SparseMap::default();
        let mut is_full = map.push_old(&gnu.sparse)?;
        let mut goes_on = gnu.isextended[0];
        while goes_on != 0 {
            if goes_on != 1 || !is_full {
                return Err(malformed("sparse map", "more behind its end", "a whole map"));
            }
            let mut more = GnuExtSparseHeader::new();
            self.fill(more.as_mut_bytes())?;
            is_full = map.push_old(&more.sparse)?;
            goes_on = more.isextended[0];
        }
        Ok((map, size))
    }

    /// The map in lines before the content, and how many of `stored` bytes are left.
    fn sparse_lines(&mut self, stored: u64) -> Result<(SparseMap, u64)> {
        let mut lines = MapLines::default();
        let mut left = stored;
        while !lines.is_done() {
            left = left.checked_sub(RECORD_BYTES as u64).ok_or_else(|| {
                malformed("sparse map", format!("{stored} bytes"), "the whole map in them")
            })?;
            let mut record = [0; RECORD_BYTES];
            self.fill(&mut record)?;
            lines.take(&record)?;
        }
        Ok((lines.into_map(), left))
    }

    /// The next header, its checksum verified; none for a record of zeros, and at the end of a stream that
    /// needs none.
    fn header(&mut self) -> Result<Option<Header>> {
        let start = self.position;
        if self.end == ArchiveEnd::Anywhere && self.is_at_end()? {
            return Ok(None);
        }
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        let bytes = header.as_bytes();
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        // A damaged header of a tar is known by its magic, of all but the oldest writers.
        let is_no_tar = start == 0 && &bytes[257..262] != b"ustar";
        let found = field(&header.as_old().cksum, "checksum");
        let found = match found {
            Ok(found) => found,
            Err(_) if is_no_tar => return Err(no_tar()),
            Err(error) => return Err(error.at_offset(start)),
        };
        // The sum counts its own field as spaces. Some writers took bytes for signed.
        let summed = || bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]);
        let sum: i128 = summed().map(|&byte| i128::from(byte)).sum();
        let signed: i128 = summed().map(|&byte| i128::from(byte as i8)).sum();
        if found != sum && found != signed {
            return Err(match is_no_tar {
                true => no_tar(),
                false => malformed("checksum", found, sum).at_offset(start),
            });
        }
        Ok(Some(header))
    }

    /// After the first record of zeros: zeros up to the end of the stream.
    fn expect_nothing_more(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let read = match self.input.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(OPERATION, error).at_offset(self.position)),
            };
            if let Some(at) = buffer[..read].iter().position(|&byte| byte != 0) {
                let error = malformed("end of the archive", "more bytes behind it", "zeros only");
                return Err(error.at_offset(self.position + at as u64));
            }
            self.show(&buffer[..read])?;
            self.position += read as u64;
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn skip_content(&mut self) -> Result<()> {
        let mut scratch = [0; 8192];
        while let Some(chunk) = self.chunk(&mut scratch)? {
            self.show(&scratch[..chunk.length])?;
        }
        let padding = std::mem::take(&mut self.content.padding) as usize;
        self.fill(&mut scratch[..padding])
    }

    /// An extension of `length` bytes; memory follows what the stream has.
    fn read_whole(&mut self, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(length).read_to_end(&mut bytes);
        let read = read.map_err(|error| Error::io(OPERATION, error).at_offset(self.position))?;
        self.position += read as u64;
        if (read as u64) < length {
            return Err(self.cut_off());
        }
        self.show(&bytes)?;
        let mut rest = [0; RECORD_BYTES];
        self.fill(&mut rest[..padding(length) as usize])?;
        // Some readers take an extension to reach up to its first zero, whatever its size.
        if rest.iter().any(|&byte| byte != 0) {
            return Err(malformed("extension", "more bytes behind its end", "zeros only"));
        }
        Ok(bytes)
    }

    fn is_at_end(&mut self) -> Result<bool> {
        loop {
            match self.input.fill_buf() {
                Ok(ahead) => return Ok(ahead.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(OPERATION, error).at_offset(self.position)),
            }
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.read_exact(buffer)?;
        self.show(buffer)
    }

    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.observer {
            Some(observer) => observer(bytes),
            None => Ok(()),
        }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.position += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.cut_off()),
            Err(error) => Err(Error::io(OPERATION, error).at_offset(self.position)),
        }
    }

    fn cut_off(&self) -> Error {
        malformed("stream", "its end", "the end mark of an archive").at_offset(self.position)
    }
}

/// A name of an archive as a path, for errors.
pub fn as_path(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

fn member_name(header: &Header, extension: &mut Extension) -> Result<Vec<u8>> {
    match extension.take_name()? {
        Some(name) => Ok(name),
        // Joins the two fields of a POSIX header, and ends at the first NUL.
        None => text(&header.path_bytes(), "name"),
    }
}

fn member_kind(header: &Header, extension: &mut Extension, name: &[u8]) -> Result<MemberKind> {
    let kind = header.entry_type();
    let target = extension.take_target()?;
    let target = |expected: &'static str| match target {
        Some(target) => Ok(target),
        None => text(&header.link_name_bytes().unwrap_or_default(), expected),
    };
    let is_old = header.as_ustar().is_none() && header.as_gnu().is_none();
    Ok(match header.as_old().linkflag[0] {
        // Before there was a kind for directories, a slash said so. Later readers disagree.
        0 if name.ends_with(b"/") => MemberKind::Directory,
        b'0' | b'7' | b'S' if name.ends_with(b"/") => {
            return Err(malformed("name", shown(name), "no slash at the end of a file's name"));
        }
        0 | b'0' | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::HardLink(target("target of a hard link")?),
        b'2' => MemberKind::Symlink(target("target of a symlink")?),
        b'5' => MemberKind::Directory,
        b'3' | b'4' | b'6' if is_old => {
            return Err(malformed("kind", kind_shown(kind), "a kind of the first format"));
        }
        b'3' => {
            let (major, minor) = device(header, extension)?;
            MemberKind::CharDevice(major, minor)
        }
        b'4' => {
            let (major, minor) = device(header, extension)?;
            MemberKind::BlockDevice(major, minor)
        }
        b'6' => MemberKind::Fifo,
        _ => {
            let expected = "a file, link, device, directory or fifo";
            return Err(malformed("kind", kind_shown(kind), expected));
        }
    })
}

/// Both formats with devices have them at the same place.
fn device(header: &Header, extension: &Extension) -> Result<(u32, u32)> {
    let part = |known: Option<u32>, bytes: &[u8], name| match known {
        Some(number) => Ok(number),
        None => {
            let number = field(bytes, name)?;
            u32::try_from(number).map_err(|_| malformed(name, number, "below 2^32"))
        }
    };
    let bytes = header.as_bytes();
    Ok((
        part(extension.device_major, &bytes[329..337], "device major")?,
        part(extension.device_minor, &bytes[337..345], "device minor")?,
    ))
}

/// How many bytes of content the archive holds. Where the header can say it, it has to say what
/// the extension says: readers that heed only one of them would find the next header elsewhere.
fn stored_size(header: &Header, extension: Option<u64>) -> Result<u64> {
    let size = unsigned(field(&header.as_old().size, "size")?, "size")?;
    match extension {
        None => Ok(size),
        Some(extended) if extended == size => Ok(size),
        Some(extended)
            if extended >= OCTAL_SIZE_END && (size == 0 || size == OCTAL_SIZE_END - 1) =>
        {
            Ok(extended)
        }
        Some(extended) => {
            Err(malformed("size", size, format!("{extended} as the PAX header says")))
        }
    }
}

fn kind_shown(kind: EntryType) -> String {
    format!("'{}'", kind.as_byte().escape_ascii())
}
