//! The one error type of the engine: a small stable kind, the place it
//! happened, and what the host said.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What every fallible call of the engine returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`]: few, stable, and what callers decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The directory is not a store.
    NoStore,
    /// Somebody else holds the lock; the text names the holder.
    Locked,
    /// Stored bytes do not verify. Nothing of them was returned as data.
    Corrupt,
    /// The host cannot give what this one file holds: a bad sector, a mode that keeps us out, or
    /// something else in its place. Other files may be sound.
    Unreadable,
    /// A layer is not the parent that its child recorded (INV-04).
    WrongParent,
    /// The host has no room. Nothing committed is lost; the call can be tried again.
    NoSpace,
    /// No such name, layer or digest.
    NotFound,
    /// The name or layer is there already.
    AlreadyExists,
    /// An argument is outside what the call accepts.
    InvalidInput,
    /// A reference matches more than one layer.
    Ambiguous,
    /// An earlier write or sync of this volume failed; reopening recovers.
    Poisoned,
    /// The writer of a volume that is looked at from outside has moved on.
    Stale,
    /// The file, the host or the handle cannot do this.
    Unsupported,
    /// A directory was expected.
    NotADirectory,
    /// A directory is not what was expected.
    IsADirectory,
    /// A directory that should be removed or replaced holds names.
    NotEmpty,
    /// A name has more bytes than there is room for.
    NameTooLong,
    /// A path goes through more symlinks than are followed.
    SymlinkLoop,
    /// A file has as many names as can be counted.
    TooManyLinks,
    /// A file has no extended attribute of that name.
    NoAttribute,
    /// An offset past the end of the largest file.
    FileTooLarge,
    /// The kind of file, or the host, does not allow it.
    NotPermitted,
    /// The host reported another I/O error.
    Io,
}

impl ErrorKind {
    /// The kind in words, as the text of an error begins.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::NoStore => "no store",
            ErrorKind::Locked => "locked",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unreadable => "unreadable",
            ErrorKind::WrongParent => "wrong parent",
            ErrorKind::NoSpace => "no space",
            ErrorKind::NotFound => "not found",
            ErrorKind::AlreadyExists => "already exists",
            ErrorKind::InvalidInput => "invalid input",
            ErrorKind::Ambiguous => "ambiguous",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::Stale => "stale",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::NotADirectory => "not a directory",
            ErrorKind::IsADirectory => "is a directory",
            ErrorKind::NotEmpty => "not empty",
            ErrorKind::NameTooLong => "name too long",
            ErrorKind::SymlinkLoop => "too many symlinks",
            ErrorKind::TooManyLinks => "too many links",
            ErrorKind::NoAttribute => "no such attribute",
            ErrorKind::FileTooLarge => "file too large",
            ErrorKind::NotPermitted => "not permitted",
            ErrorKind::Io => "I/O error",
        }
    }
}

/// An error of the engine.
///
/// The text says the kind, the operation, path, byte offset and field, what
/// was found and what was expected, as far as each is known.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    context: Box<Context>,
    source: Option<io::Error>,
}

#[derive(Debug, Default)]
struct Context {
    operation: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    field: Option<&'static str>,
    found: Option<String>,
    expected: Option<String>,
    is_newer: bool,
}

impl Error {
    /// An error of `kind` while doing `operation`.
    pub fn new(kind: ErrorKind, operation: impl Into<String>) -> Error {
        Error {
            kind,
            context: Box::new(Context { operation: operation.into(), ..Context::default() }),
            source: None,
        }
    }

    /// A [`ErrorKind::Corrupt`] about `field`, with what was found and what was expected.
    pub fn corrupt(
        operation: impl Into<String>,
        field: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Error {
        Error::new(ErrorKind::Corrupt, operation).about(field, found, expected)
    }

    /// A [`ErrorKind::Unsupported`] about `field`, which a newer version of this software wrote: what was
    /// found, and what this one knows. Nothing is wrong with the file.
    pub fn newer(
        operation: impl Into<String>,
        field: &'static str,
        found: impl fmt::Display,
        known: impl fmt::Display,
    ) -> Error {
        let mut error = Error::new(ErrorKind::Unsupported, operation).about(field, found, known);
        error.context.is_newer = true;
        error
    }

    /// A [`ErrorKind::InvalidInput`] about an argument.
    pub fn invalid(
        operation: impl Into<String>,
        field: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Error {
        Error::new(ErrorKind::InvalidInput, operation).about(field, found, expected)
    }

    /// What the host said while doing `operation`, sorted into a kind.
    pub fn io(operation: impl Into<String>, source: io::Error) -> Error {
        let kind = match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => ErrorKind::NoSpace,
            _ => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
                io::ErrorKind::FileTooLarge => ErrorKind::NoSpace,
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
                io::ErrorKind::Unsupported => ErrorKind::Unsupported,
                _ => ErrorKind::Io,
            },
        };
        Error { source: Some(source), ..Error::new(kind, operation) }
    }

    /// As [`Error::io`], where `source` came of opening or reading a stored file: what it says of that
    /// file alone is [`ErrorKind::Unreadable`].
    pub(crate) fn of_reading(operation: impl Into<String>, source: io::Error) -> Error {
        let is_unreadable = is_about_one_file(&source);
        let error = Error::io(operation, source);
        if is_unreadable { error.with_kind(ErrorKind::Unreadable) } else { error }
    }

    /// Of a layer that something stands on: one that is not there is lost, not a name that nobody
    /// gave.
    #[must_use]
    pub(crate) fn into_lost(self) -> Error {
        match self.kind {
            ErrorKind::NotFound => self.with_kind(ErrorKind::Corrupt),
            _ => self,
        }
    }

    /// Names the field, what it held and what it should hold.
    #[must_use]
    pub fn about(
        mut self,
        field: &'static str,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Error {
        self.context.field = Some(field);
        self.context.found = Some(found.to_string());
        self.context.expected = Some(expected.to_string());
        self
    }

    /// Adds the file, unless one is named already.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Error {
        self.context.path.get_or_insert_with(|| path.as_ref().to_owned());
        self
    }

    /// Names the file by a name that says more than the one it has: where a tree is, and not only
    /// what is in it.
    #[must_use]
    pub fn with_file(mut self, path: impl AsRef<Path>) -> Error {
        self.context.path = Some(path.as_ref().to_owned());
        self
    }

    /// Adds the byte offset, unless one is named already.
    #[must_use]
    pub fn at_offset(mut self, offset: u64) -> Error {
        self.context.offset.get_or_insert(offset);
        self
    }

    /// Moves the offset by the place of the structure inside its file.
    ///
    /// Decoders in `format` know offsets inside the bytes they were given;
    /// their callers know where those bytes came from.
    #[must_use]
    pub fn shifted_by(mut self, base: u64) -> Error {
        self.context.offset = Some(self.context.offset.unwrap_or(0).saturating_add(base));
        self
    }

    /// The same error under another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.kind = kind;
        self
    }

    /// The kind: what callers decide on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether what is stored in one file does not verify or cannot be read.
    pub fn is_damage(&self) -> bool {
        matches!(self.kind, ErrorKind::Corrupt | ErrorKind::Unreadable)
    }

    /// Whether a newer version of this software made what was read. Nothing is wrong with that, so nothing
    /// that is done about damage is done about it.
    pub fn is_newer(&self) -> bool {
        self.context.is_newer
    }

    /// Whether this is [damage](Error::is_damage) or what a [newer version](Error::is_newer) made, either of
    /// which says nothing of any other file: who looks at many goes on.
    pub fn is_of_one_file(&self) -> bool {
        self.is_damage() || self.is_newer()
    }

    /// The operation that failed.
    pub fn operation(&self) -> &str {
        &self.context.operation
    }

    /// The file, where one is concerned.
    pub fn path(&self) -> Option<&Path> {
        self.context.path.as_deref()
    }

    /// The byte offset in that file, where one is known.
    pub fn offset(&self) -> Option<u64> {
        self.context.offset
    }

    /// The field that did not hold what it should, where one is known.
    pub fn field(&self) -> Option<&'static str> {
        self.context.field
    }

    /// What the field held, in words.
    pub fn found(&self) -> Option<&str> {
        self.context.found.as_deref()
    }

    /// What the field should hold, in words.
    pub fn expected(&self) -> Option<&str> {
        self.context.expected.as_deref()
    }

    /// Whether the process, or the host, could open no file more: nothing was asked of any file.
    pub(crate) fn is_for_want_of_descriptors(&self) -> bool {
        let code = self.source.as_ref().and_then(io::Error::raw_os_error);
        matches!(code, Some(libc::EMFILE | libc::ENFILE))
    }

    /// What the host said, where the host said something.
    pub fn io_source(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

/// Whether what the host said while it opened or read a file is about that file and no other.
///
/// Want of descriptors or memory (`EMFILE`, `ENFILE`, `ENOMEM`) would meet any file, and passes. That
/// permission is denied (`EACCES`) may be about the folder, which `failed_to_open` of the medium looks at.
fn is_about_one_file(source: &io::Error) -> bool {
    match source.raw_os_error() {
        // The device cannot read a sector, or notices itself that what it read is wrong.
        Some(libc::EIO | libc::EREMOTEIO | libc::EILSEQ | libc::ENODATA) => true,
        // The filesystem has found its own structures of the file damaged.
        Some(libc::EUCLEAN | libc::EBADMSG) => true,
        // Something else is in its place: a symlink, a directory, a socket, a device that is not there.
        Some(libc::ELOOP | libc::EISDIR | libc::ENXIO | libc::ENODEV) => true,
        Some(_) => false,
        // As the host of this engine calls what is no regular file.
        None => source.kind() == io::ErrorKind::InvalidData,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let context = &self.context;
        write!(f, "{}: {}", self.kind.as_str(), context.operation)?;
        if let Some(path) = &context.path {
            write!(f, ": {}", path.display())?;
        }
        if let Some(offset) = context.offset {
            write!(f, " at byte {offset}")?;
        }
        if context.is_newer {
            f.write_str(": made by a newer version")?;
        }
        if let Some(field) = context.field {
            write!(f, ": {field}")?;
        }
        if let (Some(found), Some(expected)) = (&context.found, &context.expected) {
            write!(f, ": {}", told(context.is_newer, found, expected))?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

/// What was found and what should be there, or of a newer version what is known here, in words.
pub(crate) fn told(is_newer: bool, found: &str, expected: &str) -> String {
    match is_newer {
        true => format!("found {found}, this one knows {expected}"),
        false => format!("found {found}, expected {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::{FileHost, Network};

    #[test]
    fn what_is_about_one_file_is_told_from_what_would_meet_any() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let host = FileHost::open_root(folder.path(), Network::Refuse).unwrap();
        let kind = |path: &str, code: i32| {
            let source = io::Error::from_raw_os_error(code);
            crate::medium::failed_to_open("open", &host, Path::new(path), source).kind()
        };
        for code in [libc::EIO, libc::ELOOP, libc::EISDIR, libc::ENXIO, libc::EUCLEAN] {
            assert_eq!(kind("file", code), ErrorKind::Unreadable, "{code}");
        }
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINTR] {
            assert_eq!(kind("file", code), ErrorKind::Io, "{code}");
        }
        // The mode of the file, and of its folder.
        assert_eq!(kind("file", libc::EACCES), ErrorKind::Unreadable);
        assert_eq!(kind("nowhere/file", libc::EACCES), ErrorKind::Io);
        assert_eq!(kind("file", libc::ENOENT), ErrorKind::NotFound);
        assert_eq!(
            Error::io("write", io::Error::from_raw_os_error(libc::EIO)).kind(),
            ErrorKind::Io
        );
    }
}
