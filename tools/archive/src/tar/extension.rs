//! What stands before a member and belongs to it: PAX records and GNU's long names, taken together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sapwood::files::Time;
use sapwood::{Error, ErrorKind, Result};

use super::number::{decimal, identity};
use super::pax::{self, PaxRecord};
use super::sparse::SparseMap;
use super::{acl, encoding, malformed, shown};
use crate::options::ExtendedAttributes;

/// All that the extensions of one member say.
#[derive(Debug, Default)]
pub struct Extension {
    wanted_attributes: ExtendedAttributes,
    /// Whether a PAX header was there: a second one has no defined meaning.
    pax_seen: bool,
    gnu_name: Option<Vec<u8>>,
    gnu_target: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    link_path: Option<Vec<u8>>,
    /// How many bytes the archive holds of it.
    pub size: Option<u64>,
    /// The owner's number.
    pub owner: Option<u32>,
    /// The group's number.
    pub group: Option<u32>,
    /// Last changed.
    pub modified: Option<Time>,
    /// Last read.
    pub accessed: Option<Time>,
    /// The major number of a device.
    pub device_major: Option<u32>,
    /// The minor number of a device.
    pub device_minor: Option<u32>,
    /// What makes it a sparse file.
    pub sparse: SparseRecords,
    /// Extended attributes by name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The records of GNU tar that describe a sparse file.
#[derive(Debug, Default)]
pub struct SparseRecords {
    major: Option<u64>,
    minor: Option<u64>,
    name: Option<Vec<u8>>,
    /// The size with its holes, of form 1.0.
    real_size: Option<u64>,
    /// The same, of the forms before.
    size: Option<u64>,
    ranges: Option<u64>,
    /// The offset whose length comes next, of form 0.0.
    offset: Option<u64>,
    ranges_read: u64,
    pairs: Option<SparseMap>,
    list: Option<SparseMap>,
}

/// Where the map of a sparse file is.
#[derive(Debug, PartialEq, Eq)]
pub enum SparseForm {
    /// In the records.
    Records {
        /// The ranges.
        map: SparseMap,
        /// The size with its holes.
        size: u64,
    },
    /// In lines before the content.
    Lines {
        /// The size with its holes.
        size: u64,
    },
}

impl Extension {
    /// Nothing yet. Records of extended attributes that are not wanted are passed over, whatever
    /// they say.
    pub fn new(wanted_attributes: ExtendedAttributes) -> Extension {
        Extension { wanted_attributes, ..Extension::default() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        !self.pax_seen && self.gnu_name.is_none() && self.gnu_target.is_none()
    }

    /// Takes GNU's long name of the next member.
    pub fn take_gnu_name(&mut self, bytes: Vec<u8>) -> Result<()> {
        put(&mut self.gnu_name, "GNU long name", without_end(bytes, "GNU long name")?)
    }

    /// Takes GNU's long target of the next member.
    pub fn take_gnu_target(&mut self, bytes: Vec<u8>) -> Result<()> {
        put(&mut self.gnu_target, "GNU long link", without_end(bytes, "GNU long link")?)
    }

    /// Takes the PAX header of the next member.
    pub fn take_pax(&mut self, bytes: &[u8]) -> Result<()> {
        if self.pax_seen {
            return Err(malformed("PAX header", "a second one", "one for each member"));
        }
        self.pax_seen = true;
        pax::records(bytes)?.into_iter().try_for_each(|record| self.take_record(&record))
    }

    fn take_record(&mut self, record: &PaxRecord<'_>) -> Result<()> {
        let value = record.value;
        if self.wanted_attributes == ExtendedAttributes::Skip && is_of_attributes(record.key) {
            return Ok(());
        }
        match record.key {
            b"path" => put(&mut self.path, "path", text(value, "path")?),
            b"linkpath" => put(&mut self.link_path, "linkpath", text(value, "linkpath")?),
            b"size" => put(&mut self.size, "size", size(value)?),
            b"uid" => put(&mut self.owner, "uid", identity(decimal(value, "uid")?.into(), "uid")?),
            b"gid" => put(&mut self.group, "gid", identity(decimal(value, "gid")?.into(), "gid")?),
            b"mtime" => put(&mut self.modified, "mtime", time(value, "mtime")?),
            b"atime" => put(&mut self.accessed, "atime", time(value, "atime")?),
            b"hdrcharset" => match value {
                b"BINARY" | b"ISO-IR 10646 2000 UTF-8" => Ok(()),
                _ => Err(malformed("hdrcharset", shown(value), "BINARY or UTF-8")),
            },
            b"SCHILY.devmajor" => put(&mut self.device_major, "devmajor", device(value)?),
            b"SCHILY.devminor" => put(&mut self.device_minor, "devminor", device(value)?),
            b"SCHILY.acl.access" => {
                self.take_attribute(b"system.posix_acl_access", acl::from_text(value)?)
            }
            b"SCHILY.acl.default" => {
                self.take_attribute(b"system.posix_acl_default", acl::from_text(value)?)
            }
            b"RHT.security.selinux" => self.take_attribute(b"security.selinux", value.to_vec()),
            b"SCHILY.realsize" | b"SCHILY.acl.ace" => Err(not_known(record.key)),
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.take_attribute(&encoding::from_key(name), value.to_vec())
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let name = encoding::from_percent(name)?;
                    self.take_attribute(&name, encoding::from_base64(value)?)
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(key, value)
                } else {
                    // What is left changes nothing that a tree keeps, as POSIX wants of keys
                    // that a reader does not know: comments, names of users, file flags.
                    Ok(())
                }
            }
        }
    }

    /// Some archives give an attribute twice, in two encodings.
    fn take_attribute(&mut self, name: &[u8], value: Vec<u8>) -> Result<()> {
        if name.is_empty() || name.contains(&0) {
            return Err(malformed("name of an attribute", shown(name), "bytes without NUL"));
        }
        match self.attributes.entry(name.to_vec()) {
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                Ok(())
            }
            Entry::Occupied(there) if *there.get() == value => Ok(()),
            Entry::Occupied(there) => {
                Err(malformed("attribute", shown(there.key()), "one value for each name"))
            }
        }
    }

    /// The name that goes before that of the header.
    pub fn take_name(&mut self) -> Result<Option<Vec<u8>>> {
        let name = one_of("path", self.path.take(), self.gnu_name.take())?;
        match self.sparse.name.take() {
            // The other one leads to a place for readers that do not know sparse files.
            Some(sparse) if self.sparse.is_used() => Ok(Some(sparse)),
            Some(sparse) => Err(malformed("GNU.sparse.name", shown(&sparse), "a sparse file")),
            None => Ok(name),
        }
    }

    /// The target that goes before that of the header.
    pub fn take_target(&mut self) -> Result<Option<Vec<u8>>> {
        one_of("linkpath", self.link_path.take(), self.gnu_target.take())
    }
}

/// Whether a record says something of extended attributes, and of nothing else.
fn is_of_attributes(key: &[u8]) -> bool {
    [&b"SCHILY.acl."[..], b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"RHT.security."]
        .iter()
        .any(|of_attributes| key.starts_with(of_attributes))
}

/// Refuses records of a global header that would change the members behind it: some readers heed
/// them and some do not.
pub fn check_global(bytes: &[u8]) -> Result<()> {
    for record in pax::records(bytes)? {
        let is_harmless = match record.key {
            b"path"
            | b"linkpath"
            | b"size"
            | b"uid"
            | b"gid"
            | b"uname"
            | b"gname"
            | b"mtime"
            | b"atime"
            | b"RHT.security.selinux" => false,
            key => !["GNU.sparse.", "SCHILY.", "LIBARCHIVE.xattr."]
                .iter()
                .any(|prefix| key.starts_with(prefix.as_bytes())),
        };
        if !is_harmless {
            let expected = "nothing that changes members";
            return Err(malformed("global PAX header", shown(record.key), expected));
        }
    }
    Ok(())
}

impl SparseRecords {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let number = || decimal(value, "sparse map");
        match key {
            b"major" => put(&mut self.major, "GNU.sparse.major", number()?),
            b"minor" => put(&mut self.minor, "GNU.sparse.minor", number()?),
            b"name" => put(&mut self.name, "GNU.sparse.name", text(value, "GNU.sparse.name")?),
            b"realsize" => put(&mut self.real_size, "GNU.sparse.realsize", size(value)?),
            b"size" => put(&mut self.size, "GNU.sparse.size", size(value)?),
            b"numblocks" => put(&mut self.ranges, "GNU.sparse.numblocks", number()?),
            b"map" => put(&mut self.list, "GNU.sparse.map", SparseMap::from_list(value)?),
            b"offset" => put(&mut self.offset, "GNU.sparse.offset", number()?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(|| {
                    malformed("GNU.sparse.numbytes", shown(value), "an offset before it")
                })?;
                self.ranges_read += 1;
                self.pairs.get_or_insert_default().push(offset, number()?)
            }
            _ => Err(not_known(&[b"GNU.sparse.", key].concat())),
        }
    }

    /// Whether the member is a sparse file by its records.
    pub fn is_used(&self) -> bool {
        self.major.is_some()
            || self.minor.is_some()
            || self.real_size.is_some()
            || self.size.is_some()
            || self.ranges.is_some()
            || self.offset.is_some()
            || self.pairs.is_some()
            || self.list.is_some()
    }

    /// Which of the forms the records are; none where there are none.
    pub fn form(self) -> Result<Option<SparseForm>> {
        if !self.is_used() {
            return Ok(None);
        }
        let bad = |found| malformed("sparse file", found, "one of the forms 0.0, 0.1 and 1.0");
        let is_listed = self.list.is_some();
        let form = match (self.major, self.minor) {
            (Some(1), Some(0)) => 10,
            (Some(0), Some(1)) => 1,
            (Some(0), Some(0)) => 0,
            (None, None) if is_listed => 1,
            (None, None) => 0,
            _ => return Err(bad("another version")),
        };
        let has_records = self.size.is_some() || self.ranges.is_some() || self.pairs.is_some();
        if self.offset.is_some() {
            return Err(bad("an offset without its length"));
        }
        if form == 10 {
            let size = self.real_size.ok_or_else(|| bad("no size"))?;
            if has_records || is_listed {
                return Err(bad("two maps"));
            }
            return Ok(Some(SparseForm::Lines { size }));
        }
        let size = self.size.ok_or_else(|| bad("no size"))?;
        let ranges = self.ranges.ok_or_else(|| bad("no count of ranges"))?;
        let map = match (form, self.pairs, self.list) {
            (0, pairs, None) if ranges == self.ranges_read => pairs.unwrap_or_default(),
            (1, None, Some(list)) if ranges == list.pushed() => list,
            _ => return Err(bad("a map that is not what is announced")),
        };
        if self.real_size.is_some_and(|real| real != size) {
            return Err(bad("two sizes"));
        }
        Ok(Some(SparseForm::Records { map, size }))
    }
}

fn put<T>(slot: &mut Option<T>, field: &'static str, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(malformed(field, "a second one", "one for each member")),
    }
}

/// Two ways to say the same thing have to say the same.
fn one_of(
    field: &'static str,
    pax: Option<Vec<u8>>,
    gnu: Option<Vec<u8>>,
) -> Result<Option<Vec<u8>>> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => {
            Err(malformed(field, shown(&pax), format!("{} as GNU's header says", shown(&gnu))))
        }
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}

/// A name: not empty, without NUL.
pub fn text(bytes: &[u8], field: &'static str) -> Result<Vec<u8>> {
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(malformed(field, shown(bytes), "bytes without NUL"));
    }
    Ok(bytes.to_vec())
}

/// A long name ends with a NUL, mostly.
fn without_end(mut bytes: Vec<u8>, field: &'static str) -> Result<Vec<u8>> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    text(&bytes, field)
}

fn size(value: &[u8]) -> Result<u64> {
    super::number::unsigned(decimal(value, "size")?.into(), "size")
}

fn device(value: &[u8]) -> Result<u32> {
    let number = decimal(value, "device")?;
    u32::try_from(number).map_err(|_| malformed("device", number, "below 2^32"))
}

/// Seconds with a fraction, before 1970 with a sign. What is finer than a nanosecond is cut off.
fn time(value: &[u8], field: &'static str) -> Result<Time> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let whole = decimal(parts.next().unwrap_or_default(), field)?;
    let fraction = parts.next().unwrap_or(b"0");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(malformed(field, shown(value), "seconds and a fraction"));
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |&byte| u32::from(byte - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, place| sum * 10 + digit(place));
    let seconds = i64::try_from(whole).map_err(|_| malformed(field, whole, "below 2^63"))?;
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

fn not_known(key: &[u8]) -> Error {
    malformed("PAX record", shown(key), "a key whose meaning is known here")
        .with_kind(ErrorKind::Unsupported)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(records: &[(&str, &[u8])]) -> Result<Extension> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            pax::push_record(&mut bytes, key.as_bytes(), value);
        }
        let mut extension = Extension::default();
        extension.take_pax(&bytes).map(|()| extension)
    }

    #[test]
    fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("1.0000000019", 1, 1),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
            ("-1.5", -2, 500_000_000),
            ("7.", 7, 0),
        ] {
            assert_eq!(time(text.as_bytes(), "mtime").unwrap(), Time { seconds, nanoseconds });
        }
        for text in ["", "-", ".5", "1.5.5", "1e3", "9223372036854775808", "--1", "+1"] {
            assert!(time(text.as_bytes(), "mtime").is_err(), "{text}");
        }
    }

    #[test]
    fn what_comes_twice_or_disagrees_is_refused() {
        assert!(with(&[("size", b"1"), ("size", b"1")]).is_err());
        assert!(with(&[("path", b"a\0b")]).is_err());
        assert!(with(&[("path", b"")]).is_err());
        let mut extension = with(&[("path", b"one")]).unwrap();
        extension.take_gnu_name(b"two\0".to_vec()).unwrap();
        assert!(extension.take_name().is_err());
        let twice = [("SCHILY.xattr.user.a", &b"f"[..]), ("LIBARCHIVE.xattr.user.a", b"Zg")];
        assert_eq!(with(&twice).unwrap().attributes.len(), 1);
        let other = [("SCHILY.xattr.user.a", &b"g"[..]), ("LIBARCHIVE.xattr.user.a", b"Zg")];
        assert!(with(&other).is_err());
        assert_eq!(with(&[("GNU.sparse.x", b"")]).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn global_headers_may_comment_and_nothing_else() {
        let global = |key: &[u8]| {
            let mut bytes = Vec::new();
            pax::push_record(&mut bytes, key, b"1");
            check_global(&bytes)
        };
        global(b"comment").unwrap();
        for key in ["path", "size", "mtime", "SCHILY.xattr.user.a", "GNU.sparse.major"] {
            assert_eq!(global(key.as_bytes()).unwrap_err().field(), Some("global PAX header"));
        }
    }
}
