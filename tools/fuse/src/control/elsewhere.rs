//! Where else a filesystem is mounted: in other directories, and in what other processes see.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A place that keeps a mount alive which was taken away from its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    directory: PathBuf,
    /// Who sees it there, where this process does not.
    process: Option<u32>,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        match self.process {
            None => write!(f, "{directory}"),
            Some(process) => write!(f, "{directory}, as process {process} sees it"),
        }
    }
}

/// A place where the filesystem of that number is mounted, as far as this process may look.
pub fn find(filesystem: &str) -> Option<Elsewhere> {
    let here = fs::read("/proc/self/mountinfo").ok()?;
    if let Some(directory) = place(&here, filesystem) {
        return Some(Elsewhere { directory, process: None });
    }
    let own = fs::read_link("/proc/self/ns/mnt").ok()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let process: u32 = entry.file_name().to_str()?.parse().ok()?;
        // Processes end while they are looked at, and others may not be looked at.
        if fs::read_link(entry.path().join("ns/mnt")).ok()? == own {
            return None;
        }
        let seen = fs::read(entry.path().join("mountinfo")).ok()?;
        let directory = place(&seen, filesystem)?;
        Some(Elsewhere { directory, process: Some(process) })
    })
}

/// The directory that a list of mounts says a filesystem is on.
fn place(list: &[u8], filesystem: &str) -> Option<PathBuf> {
    list.split(|&byte| byte == b'\n').find_map(|line| {
        let mut words = line.split(|&byte| byte == b' ');
        (words.nth(2)? == filesystem.as_bytes()).then_some(())?;
        Some(unescaped(words.nth(1)?))
    })
}

/// A word of one of the kernel's lists of mounts, in which white space and backslashes are octal.
pub fn unescaped(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (byte, octal) {
            (b'\\', Some(octal)) => {
                bytes.push(octal);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_place_is_found_by_the_number_of_its_filesystem() {
        let list = b"24 1 0:22 / /proc rw - proc proc rw\n\
                     31 24 0:52 /docs /a\\040b\\134\xff rw,nosuid shared:1 - fuse.sapwood x rw\n";
        let found = place(list, "0:52").unwrap();
        assert_eq!(found.as_os_str().as_bytes(), b"/a b\\\xff");
        assert_eq!(place(list, "0:5"), None);
        assert_eq!(place(b"", "0:52"), None);
    }

    #[test]
    fn escapes_of_the_list_are_undone() {
        assert_eq!(unescaped(b"/a\\040b\\134"), Path::new("/a b\\"));
        assert_eq!(unescaped(b"/a\\04"), Path::new("/a\\04"));
        assert_eq!(unescaped(b"/plain"), Path::new("/plain"));
    }
}
