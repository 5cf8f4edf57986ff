//! POSIX access control lists, as the kernel stores them in extended attributes.
//!
//! Where the kernel enforces lists, the filesystem keeps list and mode in step: a new file
//! inherits its directory's default list, `chmod` changes the list, and setting a list changes
//! the mode. The rules are those of POSIX 1003.1e draft 17, as `acl(5)` tells them.

use sapwood::files::FileKind;

use crate::ids::IdMap;

/// The list that decides who may use a file.
pub const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that files made in a directory begin with.
pub const DEFAULT: &[u8] = b"system.posix_acl_default";

/// The version that stands before the entries.
const VERSION: u32 = 2;
/// Tag and permissions of 16 bits each, id of 32.
const ENTRY_BYTES: usize = 8;

const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// A list, as it was set and validated by the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    entries: Vec<Entry>,
}

/// Which way ids are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToHost,
    ToTree,
}

impl List {
    /// The list in the bytes of an extended attribute; `None` where they are none.
    pub fn decode(bytes: &[u8]) -> Option<List> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY_BYTES != 0 {
            return None;
        }
        let entries: Vec<_> = entries
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| Entry {
                tag: u16::from_le_bytes([entry[0], entry[1]]),
                permissions: u16::from_le_bytes([entry[2], entry[3]]),
                id: u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]),
            })
            .collect();
        let known = USER_OBJECT | USER | GROUP_OBJECT | GROUP | MASK | OTHER;
        let is_known = |entry: &Entry| entry.tag.is_power_of_two() && entry.tag & known != 0;
        entries.iter().all(is_known).then_some(List { entries })
    }

    /// The bytes of the extended attribute.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.permissions.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    /// The nine permission bits that the list stands for, and whether they say all of it.
    pub fn mode(&self) -> (u16, bool) {
        let mode = (self.get(USER_OBJECT) << 6) | (self.group_class() << 3) | self.get(OTHER);
        let is_all = self.entries.iter().all(|entry| entry.tag & (USER | GROUP | MASK) == 0);
        (mode, is_all)
    }

    /// The list after `chmod`: the group's bits of a mode are those of the mask, where one is.
    pub fn with_mode(mut self, mode: u16) -> List {
        let class = if self.has(MASK) { MASK } else { GROUP_OBJECT };
        for entry in &mut self.entries {
            match entry.tag {
                USER_OBJECT => entry.permissions = mode >> 6 & 7,
                OTHER => entry.permissions = mode & 7,
                tag if tag == class => entry.permissions = mode >> 3 & 7,
                _ => {}
            }
        }
        self
    }

    /// The list of a new file that asked for `mode` in a directory with this default list.
    pub fn inherited(mut self, mode: u16) -> List {
        let class = if self.has(MASK) { MASK } else { GROUP_OBJECT };
        for entry in &mut self.entries {
            match entry.tag {
                USER_OBJECT => entry.permissions &= mode >> 6 & 7,
                OTHER => entry.permissions &= mode & 7,
                tag if tag == class => entry.permissions &= mode >> 3 & 7,
                _ => {}
            }
        }
        self
    }

    /// The list with its users and groups as the other side numbers them; `None` where a
    /// number has no counterpart.
    pub fn translated(
        mut self,
        users: &IdMap,
        groups: &IdMap,
        direction: Direction,
    ) -> Option<List> {
        for entry in &mut self.entries {
            let map = match entry.tag {
                USER => users,
                GROUP => groups,
                _ => continue,
            };
            entry.id = match direction {
                Direction::ToHost => map.to_host(entry.id),
                Direction::ToTree => map.to_tree(entry.id)?,
            };
        }
        Some(self)
    }

    fn has(&self, tag: u16) -> bool {
        self.entries.iter().any(|entry| entry.tag == tag)
    }

    fn get(&self, tag: u16) -> u16 {
        self.entries.iter().find(|entry| entry.tag == tag).map_or(0, |entry| entry.permissions & 7)
    }

    fn group_class(&self) -> u16 {
        if self.has(MASK) { self.get(MASK) } else { self.get(GROUP_OBJECT) }
    }
}

/// What a new file of `kind` begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Its permissions.
    pub permissions: u16,
    /// Its access list, where the permissions do not say all.
    pub access: Option<Vec<u8>>,
    /// Its own default list.
    pub default: Option<Vec<u8>>,
}

/// What a new file begins with that asked for `permissions` under `umask`, in a directory whose
/// default list is `default`. A default list takes the place of the umask.
pub fn beginning(
    kind: FileKind,
    permissions: u16,
    umask: u16,
    default: Option<&[u8]>,
) -> Beginning {
    let Some((bytes, list)) = default.and_then(|bytes| Some((bytes, List::decode(bytes)?))) else {
        return Beginning { permissions: permissions & !umask, access: None, default: None };
    };
    let access = list.inherited(permissions);
    let (mode, is_all) = access.mode();
    Beginning {
        permissions: permissions & !0o777 | mode,
        access: (!is_all).then(|| access.encode()),
        default: (kind == FileKind::Directory).then(|| bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdRange;

    fn list(entries: &[(u16, u16, u32)]) -> List {
        let entry = |&(tag, permissions, id)| Entry { tag, permissions, id };
        List { entries: entries.iter().map(entry).collect() }
    }

    fn wide() -> List {
        let no = u32::MAX;
        list(&[
            (USER_OBJECT, 7, no),
            (USER, 6, 1000),
            (GROUP_OBJECT, 5, no),
            (GROUP, 7, 50),
            (MASK, 6, no),
            (OTHER, 1, no),
        ])
    }

    #[test]
    fn bytes_go_there_and_back_and_others_are_refused() {
        let bytes = wide().encode();
        assert_eq!(List::decode(&bytes), Some(wide()));
        assert_eq!(List::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(List::decode(&[]), None);
        assert_eq!(List::decode(&[1, 0, 0, 0]), None);
        assert_eq!(List::decode(&list(&[(0x40, 7, 0)]).encode()), None);
        assert_eq!(List::decode(&list(&[(0x03, 7, 0)]).encode()), None);
    }

    #[test]
    fn the_mask_is_what_a_mode_shows_of_the_group() {
        assert_eq!(wide().mode(), (0o761, false));
        let narrow = list(&[(USER_OBJECT, 6, 0), (GROUP_OBJECT, 4, 0), (OTHER, 0, 0)]);
        assert_eq!(narrow.mode(), (0o640, true));
        let changed = wide().with_mode(0o4750);
        assert_eq!(changed.mode(), (0o750, false));
        assert_eq!(changed.get(GROUP_OBJECT), 5);
        assert_eq!(changed.get(MASK), 5);
    }

    #[test]
    fn a_default_list_takes_the_place_of_the_umask() {
        let default = wide().encode();
        let file = beginning(FileKind::Regular, 0o666, 0o077, Some(&default));
        assert_eq!(file.permissions, 0o660);
        assert_eq!(List::decode(&file.access.unwrap()).unwrap().get(MASK), 6);
        assert_eq!(file.default, None);
        let folder = beginning(FileKind::Directory, 0o2777, 0o077, Some(&default));
        assert_eq!((folder.permissions, folder.default), (0o2761, Some(default)));
        let plain = beginning(FileKind::Regular, 0o666, 0o027, None);
        assert_eq!((plain.permissions, plain.access), (0o640, None));
    }

    #[test]
    fn only_named_users_and_groups_are_translated() {
        let users = IdMap::new(vec![IdRange { host: 101_000, tree: 1000, count: 1 }]).unwrap();
        let groups = IdMap::new(vec![IdRange { host: 100_050, tree: 50, count: 1 }]).unwrap();
        let host = wide().translated(&users, &groups, Direction::ToHost).unwrap();
        assert_eq!((host.entries[1].id, host.entries[3].id), (101_000, 100_050));
        assert_eq!(host.entries[0].id, u32::MAX);
        assert_eq!(host.clone().translated(&users, &groups, Direction::ToTree), Some(wide()));
        assert_eq!(wide().translated(&users, &groups, Direction::ToTree), None);
    }
}
