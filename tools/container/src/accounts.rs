//! Users and groups of a tree, as its own `/etc/passwd` and `/etc/group` name them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use sapwood::files::{FileKind, Paths, ReadFiles};
use sapwood::{Error, ErrorKind, Result};

/// Longer files of accounts are refused: they are read whole.
const BYTES_MAX: u64 = 16 << 20;
/// The largest number of a user or group, as other tools take it.
const ID_MAX: u32 = i32::MAX as u32;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// The home directory; `/` where the tree says none.
    pub home: String,
}

impl Account {
    /// All groups of its processes, its own among them: else one that takes on another group would be out of
    /// its own, and past the permissions that keep that out.
    pub fn all_groups(&self) -> Vec<u32> {
        let further = self.groups.iter().copied().filter(|&group| group != self.group);
        std::iter::once(self.group).chain(further).collect()
    }
}

/// The accounts of a tree.
#[derive(Debug, Default)]
pub struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

impl Accounts {
    /// Those of a tree; none where it has no files of accounts.
    ///
    /// Errors: [`ErrorKind::InvalidInput`] where such a file is longer than 16 MiB or no file.
    pub fn of(files: &dyn ReadFiles) -> Result<Accounts> {
        Ok(Accounts { passwd: read(files, PASSWD)?, group: read(files, GROUP)? })
    }

    /// Those of a tree that is mounted at `root`. Symlinks are followed inside it.
    ///
    /// Errors: as [`Accounts::of`].
    pub fn below(root: &Path) -> Result<Accounts> {
        Ok(Accounts { passwd: read_below(root, PASSWD)?, group: read_below(root, GROUP)? })
    }

    /// The account that `USER[:GROUP]` means, each a name or a number: a user's own group, and the
    /// groups that list its name, unless a group is given. Nothing means root.
    ///
    /// Errors: [`ErrorKind::NotFound`] for a name that the tree does not have.
    pub fn find(&self, wanted: &str) -> Result<Account> {
        let (user_text, group_text) = match wanted.split_once(':') {
            Some((user, group)) => (user, group),
            None => (wanted, ""),
        };
        let number = match user_text {
            "" => Some(0),
            text => parse_id(text),
        };
        let named = lines(&self.passwd).find(|line| {
            line.first() == Some(&user_text.as_bytes()) || number.is_some() && id(line, 2) == number
        });
        let mut account = Account { user: 0, group: 0, groups: Vec::new(), home: "/".to_owned() };
        let mut name = None;
        match (named, number) {
            (Some(line), _) => {
                account.user = id(&line, 2).ok_or_else(|| missing("user", user_text, PASSWD))?;
                account.group = id(&line, 3).unwrap_or(0);
                let home = line.get(5).map(|home| String::from_utf8_lossy(home).into_owned());
                account.home =
                    home.filter(|home| home.starts_with('/')).unwrap_or_else(|| "/".to_owned());
                name = line.first().copied();
            }
            (None, Some(number)) => account.user = number,
            (None, None) => return Err(missing("user", user_text, PASSWD)),
        }
        if group_text.is_empty() {
            let lists_name = |line: &Vec<&[u8]>| {
                let members = line.get(3).copied().unwrap_or_default();
                members.split(|&byte| byte == b',').any(|member| Some(member) == name)
            };
            let groups = lines(&self.group).filter(lists_name).filter_map(|line| id(&line, 2));
            account.groups = groups.collect();
        } else {
            account.group = self.find_group(group_text)?;
        }
        Ok(account)
    }

    /// The number of the group that a name or a number means.
    ///
    /// Errors: [`ErrorKind::NotFound`] for a name that the tree does not have.
    pub fn find_group(&self, wanted: &str) -> Result<u32> {
        let named = lines(&self.group).find(|line| line.first() == Some(&wanted.as_bytes()));
        let named = named.and_then(|line| id(&line, 2));
        named.or_else(|| parse_id(wanted)).ok_or_else(|| missing("group", wanted, GROUP))
    }
}

/// The fields of each line.
fn lines(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let lines = file.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| line.split(|&byte| byte == b':').collect())
}

fn id(line: &[&[u8]], field: usize) -> Option<u32> {
    parse_id(std::str::from_utf8(line.get(field)?).ok()?)
}

fn parse_id(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| is_number && id <= ID_MAX)
}

fn missing(field: &'static str, name: &str, file: &str) -> Error {
    let expected = format!("a number, or a name in the tree's {file}");
    Error::new(ErrorKind::NotFound, "find an account").about(field, format!("{name:?}"), expected)
}

fn read(files: &dyn ReadFiles, path: &str) -> Result<Vec<u8>> {
    let paths = Paths::new(files);
    let found = match paths.metadata(path) {
        Err(error) if is_absence(error.kind()) => return Ok(Vec::new()),
        found => found?,
    };
    if found.kind != FileKind::Regular || found.size > BYTES_MAX {
        return Err(unfit(path, &format!("{:?} of {} bytes", found.kind, found.size)));
    }
    paths.read(path)
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::SymlinkLoop)
}

fn read_below(root: &Path, path: &str) -> Result<Vec<u8>> {
    let failed =
        |error: std::io::Error| Error::io("read accounts", error).in_file(root.join(&path[1..]));
    let root_file = File::open(root).map_err(failed)?;
    // A fifo of that name would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(&root_file, path, flags, Mode::empty(), resolve) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
        opened => File::from(opened.map_err(|error| failed(error.into()))?),
    };
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || found.len() > BYTES_MAX {
        return Err(unfit(path, &format!("{} bytes", found.len())));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn unfit(path: &str, found: &str) -> Error {
    let expected = format!("a regular file of at most {BYTES_MAX} bytes");
    Error::invalid("read accounts", "file", found, expected).in_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: b"root:x:0:0:root:/root:/bin/sh\n\nwww:x:33:33::/var/www:/bin/false\n\
                broken:x:no:1::/x:\n1000:x:7:8::relative:\nroot2:x:0:5::/r2:\n"
                .to_vec(),
            group: b"root:x:0:\nwww:x:33:\nweb:x:50:www,other\nmore:x:51:www\nbad:x:y:www\n"
                .to_vec(),
        }
    }

    #[test]
    fn users_and_groups_are_found_as_others_find_them() {
        let found = |wanted: &str| {
            let account = accounts().find(wanted).unwrap();
            (account.user, account.group, account.groups, account.home)
        };
        let is = |user, group, groups: &[u32], home: &str| {
            (user, group, groups.to_vec(), home.to_owned())
        };
        assert_eq!(found(""), is(0, 0, &[], "/root"));
        assert_eq!(found("www"), is(33, 33, &[50, 51], "/var/www"));
        assert_eq!(accounts().find("www").unwrap().all_groups(), [33, 50, 51]);
        assert_eq!(found("33"), is(33, 33, &[50, 51], "/var/www"));
        assert_eq!(found("www:web"), is(33, 50, &[], "/var/www"));
        assert_eq!(found("www:7"), is(33, 7, &[], "/var/www"));
        assert_eq!(found("4711"), is(4711, 0, &[], "/"));
        assert_eq!(found("4711:4712"), is(4711, 4712, &[], "/"));
        assert_eq!(found("1000"), is(7, 8, &[], "/"), "a name that looks like a number");
    }

    #[test]
    fn what_is_neither_a_name_nor_a_number_is_refused() {
        for bad in
            ["nobody", "broken", "-1", "+1", "2147483648", "ww\nw", "www:nogroup", "root\n", " 1"]
        {
            let error = accounts().find(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{bad:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
