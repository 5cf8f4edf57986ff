//! The engine's errors as the numbers that system calls return.

use fuser::Errno;
use sapwood::{Error, ErrorKind};

use crate::options::Reporter;

/// What the caller of a system call is told.
fn errno(error: &Error) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::NotEmpty => Errno::ENOTEMPTY,
        ErrorKind::NameTooLong => Errno::ENAMETOOLONG,
        ErrorKind::TooManyLinks => Errno::EMLINK,
        ErrorKind::SymlinkLoop => Errno::ELOOP,
        ErrorKind::NoAttribute => Errno::ENODATA,
        ErrorKind::FileTooLarge => Errno::EFBIG,
        ErrorKind::NotPermitted => Errno::EPERM,
        ErrorKind::InvalidInput => Errno::EINVAL,
        ErrorKind::NoSpace => Errno::ENOSPC,
        ErrorKind::Unsupported => Errno::EOPNOTSUPP,
        ErrorKind::Stale => Errno::ESTALE,
        ErrorKind::Locked => Errno::EBUSY,
        _ => Errno::EIO,
    }
}

/// The number for an error, which is reported where the number says too little.
pub fn told(error: &Error, report: &Reporter) -> Errno {
    if is_worth_a_report(error) {
        report(&error.to_string());
    }
    errno(error)
}

/// Whether the number alone would hide what happened, so that the text should be kept.
fn is_worth_a_report(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt
            | ErrorKind::Unreadable
            | ErrorKind::WrongParent
            | ErrorKind::Poisoned
            | ErrorKind::Stale
            | ErrorKind::NoSpace
            | ErrorKind::Io
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_an_io_error_and_is_told() {
        for kind in [
            ErrorKind::Corrupt,
            ErrorKind::Unreadable,
            ErrorKind::Poisoned,
            ErrorKind::WrongParent,
            ErrorKind::Io,
        ] {
            let error = Error::new(kind, "read");
            assert_eq!(errno(&error).code(), 5, "{kind:?}");
            assert!(is_worth_a_report(&error), "{kind:?}");
        }
    }

    #[test]
    fn everyday_answers_are_not_told() {
        for (kind, code) in [
            (ErrorKind::NotFound, 2),
            (ErrorKind::AlreadyExists, 17),
            (ErrorKind::NotEmpty, 39),
            (ErrorKind::NoAttribute, 61),
        ] {
            let error = Error::new(kind, "look up");
            assert_eq!(errno(&error).code(), code, "{kind:?}");
            assert!(!is_worth_a_report(&error), "{kind:?}");
        }
    }
}
