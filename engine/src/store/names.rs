//! Name files: what a name stands for, made durable by writing aside and renaming.
//!
//! A tag and a volume have files of different endings, so that who looks for tags need not read
//! what may be thousands of forks. That a name is one or the other is by its lock: under it the
//! name is looked for before it is taken. A removal that died before its sync may still come to
//! nothing in a power cut, after something else took the name: then both are there, neither the
//! removal nor what came after it was acknowledged, and the tag counts.
//!
//! A name that nothing was synced of yet (a fork before its first flush) is a file of a third
//! ending: a second name of the file of its top, whose header says all that a name file would, so
//! that a fork makes one file. After a power cut it may hold anything: what does not verify there
//! was never promised to anybody, while a durable name file that does not verify is damage.

use std::collections::HashMap;
use std::io::ErrorKind::{
    AlreadyExists, NotFound, PermissionDenied, ReadOnlyFilesystem, Unsupported,
};
use std::path::Path;
use std::sync::Arc;

use super::name::Name;
use super::paths::{self, NameFile, NamesEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{NameEntry, NameKind};
use crate::layer::read_header;
use crate::medium::{Host, Medium, OpenMode};
use crate::threads;
use crate::units::{LayerId, PAGE_BYTES};

/// What a name stands for, and by which of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundName {
    /// What the file says.
    pub entry: NameEntry,
    /// The file.
    pub file: NameFile,
}

impl FoundName {
    /// Whether the name is durable.
    pub fn is_durable(&self) -> bool {
        self.file != NameFile::Fresh
    }
}

/// A name of which the file does not verify, or is of a newer version: what it stands for is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedName {
    /// The name, as its file is called; of one that is too long for that `%%` and a hash.
    pub name: String,
    /// Tag or volume, by the same.
    pub kind: NameKind,
    /// What is wrong with the file.
    pub damage: String,
    /// Nothing is: a newer version made it.
    pub is_newer: bool,
}

/// What a name stands for; `None` where nobody has taken it.
pub fn read(host: &dyn Host, name: &Name) -> Result<Option<FoundName>> {
    let escaped = name.escaped();
    match read_durable(host, NameFile::Tag, &escaped)? {
        None => read_volume(host, &escaped),
        tag => Ok(tag),
    }
}

/// All names, in order of their names.
pub fn list(host: &dyn Host) -> Result<Vec<FoundName>> {
    read_all(files(host)?, |escaped, file| read_listed(host, file, escaped)).map(sorted)
}

/// The tags among [`list`].
pub fn list_tags(host: &dyn Host) -> Result<Vec<NameEntry>> {
    let tags = read_all(tag_files(host)?, |escaped, file| read_listed(host, file, escaped));
    Ok(sorted(tags?).into_iter().map(|found| found.entry).collect())
}

/// As [`list`], with the names that do not verify set aside: for those who only look.
pub fn list_what_is_left(host: &dyn Host) -> Result<(Vec<FoundName>, Vec<DamagedName>)> {
    read_what_is_left(host, files(host)?)
}

/// The tags among [`list_what_is_left`].
pub fn list_tags_left(host: &dyn Host) -> Result<(Vec<FoundName>, Vec<DamagedName>)> {
    read_what_is_left(host, tag_files(host)?)
}

/// All names in any order, each read when it is its turn: for those who may have seen enough before
/// the last.
pub fn each(host: &dyn Host) -> Result<impl Iterator<Item = Result<FoundName>>> {
    let read = |(escaped, file): (String, NameFile)| read_listed(host, file, &escaped);
    Ok(files(host)?.into_iter().filter_map(move |file| read(file).transpose()))
}

fn read_what_is_left(
    host: &dyn Host,
    files: HashMap<String, NameFile>,
) -> Result<(Vec<FoundName>, Vec<DamagedName>)> {
    let read = |escaped: &str, file: NameFile| match read_listed(host, file, escaped) {
        Err(error) if error.is_of_one_file() => {
            let name = Name::from_escaped(escaped);
            let name = name.map_or_else(|| escaped.to_owned(), |name| name.to_string());
            let (damage, is_newer) = (error.to_string(), error.is_newer());
            Ok(Some(Err(DamagedName { name, kind: file.kind(), damage, is_newer })))
        }
        found => Ok(found?.map(Ok)),
    };
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    for name in read_all(files, read)? {
        match name {
            Ok(name) => found.push(name),
            Err(name) => damaged.push(name),
        }
    }
    damaged.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((sorted(found), damaged))
}

fn read_all<T: Send>(
    files: HashMap<String, NameFile>,
    read: impl Fn(&str, NameFile) -> Result<Option<T>> + std::marker::Sync,
) -> Result<Vec<T>> {
    let files: Vec<_> = files.into_iter().collect();
    let read = |(escaped, file): &(String, NameFile)| read(escaped, *file);
    Ok(threads::try_map_files(&files, read)?.into_iter().flatten().collect())
}

fn sorted(mut found: Vec<FoundName>) -> Vec<FoundName> {
    found.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    found
}

fn tag_files(host: &dyn Host) -> Result<HashMap<String, NameFile>> {
    let mut tags = files(host)?;
    tags.retain(|_, file| *file == NameFile::Tag);
    Ok(tags)
}

/// The names in their escaped forms, and which file of each counts.
fn files(host: &dyn Host) -> Result<HashMap<String, NameFile>> {
    let mut files: HashMap<String, NameFile> = HashMap::new();
    for entry in list_folder(host, paths::NAMES.as_ref())? {
        if let Some(NamesEntry::Name(file, escaped)) = paths::parse_names_entry(&entry) {
            let counts = files.entry(escaped.to_owned()).or_insert(file);
            *counts = file.min(*counts);
        }
    }
    Ok(files)
}

fn read_listed(host: &dyn Host, file: NameFile, escaped: &str) -> Result<Option<FoundName>> {
    if file != NameFile::Fresh {
        return read_durable(host, file, escaped);
    }
    match read_fresh(host, escaped)? {
        // It may have become durable since the folder was listed.
        None => read_durable(host, NameFile::Volume, escaped),
        fresh => Ok(fresh),
    }
}

/// Looks for the fresh file first: it goes only once the durable one is there, which counts.
fn read_volume(host: &dyn Host, escaped: &str) -> Result<Option<FoundName>> {
    let fresh = read_fresh(host, escaped)?;
    Ok(read_durable(host, NameFile::Volume, escaped)?.or(fresh))
}

/// Makes the name stand for `entry`, durably, whatever it stood for before.
///
/// The caller holds the name's lock, and the store's shared.
pub fn write(host: &dyn Host, name: &Name, entry: &NameEntry) -> Result<()> {
    write_aside(host, name, entry, Sync::First, &paths::name(NameFile::of(entry.kind), name))?;
    let fresh = paths::name(NameFile::Fresh, name);
    match host.remove(&fresh) {
        Err(error) if error.kind() != NotFound => {
            Err(failed(host, "remove the name file", &fresh)(error))
        }
        _ => sync_folder(host, paths::NAMES.as_ref()),
    }
}

/// Makes a new name stand for `entry`, whose top is there with its header; nothing is durable yet.
///
/// The caller holds the name's lock, and the store's shared.
pub fn write_fresh(host: &dyn Host, name: &Name, entry: &NameEntry) -> Result<()> {
    let fresh = paths::name(NameFile::Fresh, name);
    if !name.is_told_by_its_file() {
        return write_aside(host, name, entry, Sync::Later, &fresh);
    }
    let top = paths::layer(entry.top);
    let link = || host.link(&top, &fresh);
    let linked = match link() {
        // A torn one: whoever could read it would have found the name taken.
        Err(error) if error.kind() == AlreadyExists => host.remove(&fresh).and_then(|()| link()),
        other => other,
    };
    match linked {
        Err(error) if error.kind() == Unsupported => {
            write_aside(host, name, entry, Sync::Later, &fresh)
        }
        other => other.map_err(failed(host, "name a layer", &fresh)),
    }
}

/// Makes the name stand for nothing, durably. The caller holds the name's lock, and
/// the store's alone.
pub fn remove(host: &dyn Host, name: &Name) -> Result<()> {
    let mut removed = false;
    // Were the one that counts gone first, a power cut could leave another one alone.
    for path in NameFile::ALL.map(|file| paths::name(file, name)).iter().rev() {
        match host.remove(path) {
            Ok(()) => {
                sync_folder(host, paths::NAMES.as_ref())?;
                removed = true;
            }
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(failed(host, "remove the name file", path)(error)),
        }
    }
    match removed {
        true => Ok(()),
        false => Err(missing(name)),
    }
}

/// Nobody has taken this name.
pub fn missing(name: &Name) -> Error {
    Error::new(crate::ErrorKind::NotFound, format!("look up {name}")).about(
        "name",
        "nothing of this name",
        "a tag or a volume",
    )
}

/// The names in a folder of the store, as far as they are UTF-8: all of ours are.
pub fn list_folder(host: &dyn Host, folder: &Path) -> Result<Vec<String>> {
    let names = host.list(folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::corrupt("list the folder", FOLDER, "none", FOLDER_EXPECTED)
                .in_file(host.display_path(folder))
        }
        _ => failed(host, "list the folder", folder)(error),
    })?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

/// What an error is about where a folder of the store is missing that [mending](super::Store::mend) makes.
pub const FOLDER: &str = "folder of the store";
const FOLDER_EXPECTED: &str = "one, empty or not";

/// As [`list_folder`], of a folder that is derived: where a copy of the store has left it out, nothing is
/// in it.
pub fn list_derived(host: &dyn Host, folder: &Path) -> Result<Vec<String>> {
    match host.list(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => list_folder(host, folder),
    }
}

enum Sync {
    First,
    Later,
}

fn write_aside(
    host: &dyn Host,
    name: &Name,
    entry: &NameEntry,
    sync: Sync,
    to: &Path,
) -> Result<()> {
    debug_assert_eq!(name.as_str(), entry.name);
    let aside = paths::name_aside(name, LayerId::random()?);
    let made = host.open(&aside, OpenMode::CreateNew);
    let medium = made.map_err(failed_to_make(host, "write the name file", to))?;
    let written = (|| {
        medium.write_at(0, &entry.encode())?;
        if let Sync::First = sync {
            medium.sync()?;
        }
        host.rename(&aside, to)
    })();
    written.map_err(|error| {
        // What is left of it is garbage anyway, and the first error is the one to tell.
        let _ = host.remove(&aside);
        failed(host, "write the name file", to)(error)
    })
}

fn read_durable(host: &dyn Host, file: NameFile, escaped: &str) -> Result<Option<FoundName>> {
    let path = paths::name_of_escaped(file, escaped);
    match open(host, &path)? {
        Some((medium, length)) => read_page(host, &*medium, length, &path, file).map(Some),
        None => Ok(None),
    }
}

/// What a fresh name says: its top's header, or a page where the two could not be one file.
fn read_fresh(host: &dyn Host, escaped: &str) -> Result<Option<FoundName>> {
    let path = paths::name_of_escaped(NameFile::Fresh, escaped);
    let Some((medium, length)) = open(host, &path)? else { return Ok(None) };
    let read = match length {
        PAGE_BYTES => read_page(host, &*medium, length, &path, NameFile::Fresh).map(Some),
        _ => read_top(host, &*medium, &path, escaped),
    };
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
        other => other,
    }
}

fn open(host: &dyn Host, path: &Path) -> Result<Option<(Arc<dyn Medium>, u64)>> {
    let operation = "read the name file";
    let medium = match host.open(path, OpenMode::Read) {
        Ok(medium) => medium,
        Err(error) if error.kind() == NotFound => return Ok(None),
        Err(error) => return Err(crate::medium::failed_to_open(operation, host, path, error)),
    };
    let length = medium.facts().map_err(failed(host, operation, path))?.length;
    Ok(Some((medium, length)))
}

fn read_page(
    host: &dyn Host,
    medium: &dyn Medium,
    length: u64,
    path: &Path,
    file: NameFile,
) -> Result<FoundName> {
    let operation = "read the name file";
    let wrong = |field, found: String, expected: String| {
        Err(Error::corrupt(operation, field, found, expected).in_file(host.display_path(path)))
    };
    if length != PAGE_BYTES {
        return wrong("length", length.to_string(), PAGE_BYTES.to_string());
    }
    let mut page = [0; PAGE_BYTES as usize];
    medium
        .read_at(0, &mut page)
        .map_err(|error| Error::of_reading(operation, error).in_file(host.display_path(path)))?;
    let entry = NameEntry::decode(&page).map_err(|error| error.in_file(host.display_path(path)))?;
    if entry.kind != file.kind() {
        return wrong("kind", entry.kind.to_string(), file.kind().to_string());
    }
    // A file under another's name, or a name that no one could have given.
    match Name::new(entry.name.as_str()) {
        Ok(own) if paths::name(file, &own) == path => Ok(FoundName { entry, file }),
        _ => wrong("name", format!("{:?}", entry.name), "the file's".to_owned()),
    }
}

fn read_top(
    host: &dyn Host,
    medium: &dyn Medium,
    path: &Path,
    escaped: &str,
) -> Result<Option<FoundName>> {
    let Some(name) = Name::from_escaped(escaped) else { return Ok(None) };
    let header = read_header(medium, &host.display_path(path))?.header;
    let entry = NameEntry {
        name: name.to_string(),
        kind: NameKind::Volume,
        top: header.layer,
        parent: header.parent,
    };
    Ok(Some(FoundName { entry, file: NameFile::Fresh }))
}

/// Makes durable which files a folder holds.
pub fn sync_folder(host: &dyn Host, folder: &Path) -> Result<()> {
    host.sync_folder(folder).map_err(|error| {
        let error = failed(host, "sync the folder", folder)(error);
        match error.kind() {
            // The next sync says less than the truth: a lack of room here is not one that goes away.
            ErrorKind::NoSpace => error.with_kind(ErrorKind::Io),
            _ => error,
        }
    })
}

/// Turns what the host says into an error that names the operation and the file.
pub fn failed<'a>(
    host: &'a dyn Host,
    operation: &'a str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| Error::io(operation, error).in_file(host.display_path(path))
}

/// As [`failed`], of a file that is to be made: where the host does not permit it, nothing happened, and where
/// nothing is that it could be in, a copy has left that folder out.
pub fn failed_to_make<'a>(
    host: &'a dyn Host,
    operation: &'a str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |error| {
        let kind = error.kind();
        let error = failed(host, operation, path)(error);
        match kind {
            PermissionDenied | ReadOnlyFilesystem => error.with_kind(ErrorKind::NotPermitted),
            // Of the folder that it is to be made in.
            NotFound => error.with_kind(ErrorKind::Corrupt).about(FOLDER, "none", FOLDER_EXPECTED),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::MemoryHost;
    use crate::testing::LayerBuilder;
    use crate::units::BlockSize;

    fn entry(name: &Name, top: u8) -> NameEntry {
        let (name, kind) = (name.to_string(), NameKind::Volume);
        NameEntry { name, kind, top: LayerId([top; 16]), parent: None }
    }

    fn tag(name: &Name, top: u8) -> NameEntry {
        NameEntry { kind: NameKind::Tag, ..entry(name, top) }
    }

    fn host() -> MemoryHost {
        let host = MemoryHost::new();
        for folder in [paths::NAMES, paths::LAYERS] {
            host.create_folder(folder.as_ref()).unwrap();
        }
        for top in [1, 2] {
            let id = LayerId([top; 16]);
            let geometry = (BlockSize::DEFAULT, 1 << 20);
            LayerBuilder::create(&host, &paths::layer(id), id, geometry, None)
                .unwrap()
                .finish()
                .unwrap();
        }
        host
    }

    #[test]
    fn a_name_is_fresh_then_durable_then_gone() {
        let host = host();
        let name = Name::new("team/web").unwrap();
        assert_eq!(read(&host, &name).unwrap(), None);
        write_fresh(&host, &name, &entry(&name, 1)).unwrap();
        let fresh = FoundName { entry: entry(&name, 1), file: NameFile::Fresh };
        assert_eq!(read(&host, &name).unwrap(), Some(fresh.clone()));
        assert_eq!(list(&host).unwrap(), [fresh]);
        write(&host, &name, &entry(&name, 2)).unwrap();
        let durable = FoundName { entry: entry(&name, 2), file: NameFile::Volume };
        assert_eq!(read(&host, &name).unwrap(), Some(durable.clone()));
        assert_eq!(list(&host).unwrap(), std::slice::from_ref(&durable));
        assert_eq!(host.list(paths::NAMES.as_ref()).unwrap().len(), 1, "one file is left");
        // A crash between the two steps of becoming durable leaves both: the durable one counts.
        write_fresh(&host, &name, &entry(&name, 1)).unwrap();
        assert_eq!(read(&host, &name).unwrap(), Some(durable.clone()));
        assert_eq!(list(&host).unwrap(), [durable]);
        remove(&host, &name).unwrap();
        assert_eq!(read(&host, &name).unwrap(), None);
        assert_eq!(remove(&host, &name).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(host.list(paths::NAMES.as_ref()).unwrap().is_empty());
    }

    /// As a power cut leaves it that undoes a removal and keeps what took the name after it.
    #[test]
    fn where_a_tag_and_a_volume_of_one_name_are_there_the_tag_counts_and_both_go_with_it() {
        let host = host();
        let name = Name::new("web").unwrap();
        write(&host, &name, &tag(&name, 1)).unwrap();
        let found = FoundName { entry: tag(&name, 1), file: NameFile::Tag };
        for make in [write, write_fresh] {
            make(&host, &name, &entry(&name, 2)).unwrap();
            assert_eq!(read(&host, &name).unwrap(), Some(found.clone()));
            assert_eq!(list(&host).unwrap(), std::slice::from_ref(&found));
            assert_eq!(list_tags(&host).unwrap(), [tag(&name, 1)]);
        }
        assert_eq!(host.list(paths::NAMES.as_ref()).unwrap().len(), 3);
        remove(&host, &name).unwrap();
        assert_eq!(read(&host, &name).unwrap(), None);
        assert!(host.list(paths::NAMES.as_ref()).unwrap().is_empty());
    }

    #[test]
    fn a_file_whose_ending_tells_another_kind_than_it_holds_is_damage() {
        let host = host();
        let name = Name::new("web").unwrap();
        let (of_tag, of_volume) = (NameFile::Tag, NameFile::Volume);
        for (entry, from, to) in
            [(tag(&name, 1), of_tag, of_volume), (entry(&name, 1), of_volume, of_tag)]
        {
            write(&host, &name, &entry).unwrap();
            host.rename(&paths::name(from, &name), &paths::name(to, &name)).unwrap();
            for error in [read(&host, &name).unwrap_err(), list(&host).unwrap_err()] {
                let told = format!("kind: found {}, expected {}", from.kind(), to.kind());
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains(&told), "{error}");
            }
            remove(&host, &name).unwrap();
        }
    }

    #[test]
    fn who_looks_for_tags_reads_no_volume() {
        let host = host();
        for (name, entry) in [("a", entry as fn(&Name, u8) -> NameEntry), ("b", tag), ("c", tag)] {
            let name = Name::new(name).unwrap();
            write(&host, &name, &entry(&name, 1)).unwrap();
        }
        let volume = paths::name(NameFile::Volume, &Name::new("a").unwrap());
        host.open(&volume, OpenMode::ReadWrite).unwrap().write_at(100, &[7]).unwrap();
        let tags = list_tags(&host).unwrap();
        assert_eq!(tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(list(&host).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_fresh_name_is_its_top_and_one_whose_file_cannot_tell_it_is_a_page() {
        let host = host();
        for (name, is_top) in [("a".repeat(200), true), ("ä".repeat(100), false)] {
            let name = Name::new(name).unwrap();
            write_fresh(&host, &name, &entry(&name, 1)).unwrap();
            let fresh = FoundName { entry: entry(&name, 1), file: NameFile::Fresh };
            assert_eq!(read(&host, &name).unwrap(), Some(fresh.clone()));
            assert_eq!(list(&host).unwrap(), [fresh]);
            let named = host.facts(&paths::name(NameFile::Fresh, &name)).unwrap();
            let top = host.facts(&paths::layer(LayerId([1; 16]))).unwrap();
            assert_eq!(named.identity == top.identity, is_top);
            remove(&host, &name).unwrap();
        }
    }

    /// Such a name was once told by neither of its files: the one was listed, the other there.
    #[test]
    fn a_name_that_becomes_durable_while_all_are_read_is_among_them() {
        let host = host();
        let name = Name::new("web").unwrap();
        write_fresh(&host, &name, &entry(&name, 1)).unwrap();
        let all = each(&host).unwrap();
        write(&host, &name, &entry(&name, 1)).unwrap();
        let durable = FoundName { entry: entry(&name, 1), file: NameFile::Volume };
        assert_eq!(all.collect::<Result<Vec<_>>>().unwrap(), [durable]);
    }

    #[test]
    fn a_torn_fresh_name_was_never_there_and_may_be_taken_again() {
        for torn in [vec![0; 8192], vec![0; 100], Vec::new()] {
            let host = host();
            let name = Name::new("web").unwrap();
            let fresh = paths::name(NameFile::Fresh, &name);
            host.open(&fresh, OpenMode::CreateNew).unwrap().write_at(0, &torn).unwrap();
            assert_eq!(read(&host, &name).unwrap(), None);
            assert_eq!(list(&host).unwrap(), []);
            write_fresh(&host, &name, &entry(&name, 2)).unwrap();
            assert_eq!(read(&host, &name).unwrap().unwrap().entry, entry(&name, 2));
        }
    }

    #[test]
    fn a_torn_fresh_page_was_never_there_and_a_torn_durable_one_is_damage() {
        let host = host();
        let name = Name::new("web").unwrap();
        for cut in [0, 1, 512, 4095] {
            let fresh = paths::name(NameFile::Fresh, &name);
            write_aside(&host, &name, &entry(&name, 1), Sync::Later, &fresh).unwrap();
            let torn = host.open(&fresh, OpenMode::ReadWrite).unwrap();
            torn.write_at(cut, &vec![0; (PAGE_BYTES - cut) as usize]).unwrap();
            assert_eq!(read(&host, &name).unwrap(), None, "{cut}");
            assert_eq!(list(&host).unwrap(), [], "{cut}");
            host.rename(&fresh, &paths::name(NameFile::Volume, &name)).unwrap();
            assert_eq!(read(&host, &name).unwrap_err().kind(), ErrorKind::Corrupt, "{cut}");
            assert_eq!(list(&host).unwrap_err().kind(), ErrorKind::Corrupt, "{cut}");
            remove(&host, &name).unwrap();
        }
    }

    #[test]
    fn a_file_under_the_name_of_another_is_damage() {
        let host = host();
        let (web, data) = (Name::new("web").unwrap(), Name::new("data").unwrap());
        write(&host, &web, &entry(&web, 1)).unwrap();
        host.rename(&paths::name(NameFile::Volume, &web), &paths::name(NameFile::Volume, &data))
            .unwrap();
        assert_eq!(read(&host, &data).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&host, &web).unwrap(), None);
    }
}
