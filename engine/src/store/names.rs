//! Name files: what a name stands for, made durable by writing aside and renaming.
//!
//! A name that nothing was synced of yet (a fork before its first flush) is a file of another
//! ending: a second name of the file of its top, whose header says all that a name file would, so
//! that a fork makes one file. After a power cut it may hold anything: what does not verify there
//! was never promised to anybody, while a `.name` file that does not verify is damage.

use std::collections::HashMap;
use std::io::ErrorKind::{AlreadyExists, NotFound, Unsupported};
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::name::Name;
use super::paths::{self, NamesEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{NameEntry, NameKind};
use crate::layer::read_header;
use crate::medium::{Host, Medium, OpenMode};
use crate::units::{LayerId, PAGE_BYTES};

/// How many names are worth asking other threads for.
const FILES_MANY: usize = 256;

/// What a name file says, and whether that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundName {
    /// What the file says.
    pub entry: NameEntry,
    /// The name is durable.
    pub durable: bool,
}

/// What a name stands for; `None` where nobody has taken it.
pub fn read(host: &dyn Host, name: &Name) -> Result<Option<FoundName>> {
    let durable = paths::name(name);
    if let Some(entry) = read_durable(host, &durable, Some(name))? {
        return Ok(Some(FoundName { entry, durable: true }));
    }
    if let Some(entry) = read_fresh(host, &paths::fresh_name(name), Some(name))? {
        return Ok(Some(FoundName { entry, durable: false }));
    }
    // It may have become durable between the two looks.
    let entry = read_durable(host, &durable, Some(name))?;
    Ok(entry.map(|entry| FoundName { entry, durable: true }))
}

/// All names, in order of their names.
pub fn list(host: &dyn Host) -> Result<Vec<FoundName>> {
    read_all(host, files(host)?)
}

/// Those of [`list`] that are durable. A name that is not is a volume whose top is open: no tag, and
/// not the name of anything frozen.
pub fn list_durable(host: &dyn Host) -> Result<Vec<FoundName>> {
    let mut durable = files(host)?;
    durable.retain(|_, is_durable| *is_durable);
    read_all(host, durable)
}

/// All names in any order, each read when it is its turn: for those who may have seen enough before
/// the last.
pub fn each(host: &dyn Host) -> Result<impl Iterator<Item = Result<FoundName>>> {
    let read = |(escaped, is_durable): (String, bool)| read_file(host, &escaped, is_durable);
    Ok(files(host)?.into_iter().filter_map(move |file| read(file).transpose()))
}

/// What is read on all cores, each file for itself: thousands of names are thousands of calls.
fn read_all(host: &dyn Host, files: HashMap<String, bool>) -> Result<Vec<FoundName>> {
    let files: Vec<_> = files.into_iter().collect();
    let read = |(escaped, is_durable): &(String, bool)| read_file(host, escaped, *is_durable);
    let found: Result<Vec<_>> = match files.len() {
        0..FILES_MANY => files.iter().map(read).collect(),
        _ => files.par_iter().map(read).collect(),
    };
    let mut found: Vec<_> = found?.into_iter().flatten().collect();
    found.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    Ok(found)
}

/// The names in their escaped forms, and whether each is durable.
fn files(host: &dyn Host) -> Result<HashMap<String, bool>> {
    let mut is_durable: HashMap<String, bool> = HashMap::new();
    for file in list_folder(host, paths::NAMES.as_ref())? {
        match paths::parse_names_entry(&file) {
            // Where a crash left both files of a name, the durable one counts.
            Some(NamesEntry::Name(escaped)) => drop(is_durable.insert(escaped.to_owned(), true)),
            Some(NamesEntry::Fresh(escaped)) => {
                is_durable.entry(escaped.to_owned()).or_insert(false);
            }
            Some(NamesEntry::Aside) | None => {}
        }
    }
    Ok(is_durable)
}

fn read_file(host: &dyn Host, escaped: &str, is_durable: bool) -> Result<Option<FoundName>> {
    let fresh = paths::fresh_name_of_escaped(escaped);
    if !is_durable && let Some(entry) = read_fresh(host, &fresh, None)? {
        return Ok(Some(FoundName { entry, durable: false }));
    }
    // One that was fresh may have become durable since the folder was listed.
    let entry = read_durable(host, &paths::name_of_escaped(escaped), None)?;
    Ok(entry.map(|entry| FoundName { entry, durable: true }))
}

/// Makes the name stand for `entry`, durably, whatever it stood for before.
///
/// The caller holds the name's lock, and the store's shared.
pub fn write(host: &dyn Host, name: &Name, entry: &NameEntry) -> Result<()> {
    write_aside(host, name, entry, Sync::First, &paths::name(name))?;
    let fresh = paths::fresh_name(name);
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
    let fresh = paths::fresh_name(name);
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
    // Were the durable one gone first, a power cut could leave the other one alone.
    for path in [paths::fresh_name(name), paths::name(name)] {
        match host.remove(&path) {
            Ok(()) => {
                sync_folder(host, paths::NAMES.as_ref())?;
                removed = true;
            }
            Err(error) if error.kind() == NotFound => {}
            Err(error) => return Err(failed(host, "remove the name file", &path)(error)),
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
    let names = host.list(folder).map_err(failed(host, "list the folder", folder))?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
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
    let written = (|| {
        let medium = host.open(&aside, OpenMode::CreateNew)?;
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

fn read_durable(host: &dyn Host, path: &Path, name: Option<&Name>) -> Result<Option<NameEntry>> {
    match open(host, path)? {
        Some((medium, length)) => read_page(host, &*medium, length, path, name).map(Some),
        None => Ok(None),
    }
}

/// What a fresh name says: its top's header, or a page where the two could not be one file.
fn read_fresh(host: &dyn Host, path: &Path, name: Option<&Name>) -> Result<Option<NameEntry>> {
    let Some((medium, length)) = open(host, path)? else { return Ok(None) };
    let read = match length {
        PAGE_BYTES => read_page(host, &*medium, length, path, name).map(Some),
        _ => read_top(host, &*medium, path),
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
        Err(error) => return Err(failed(host, operation, path)(error)),
    };
    let length = medium.facts().map_err(failed(host, operation, path))?.length;
    Ok(Some((medium, length)))
}

fn read_page(
    host: &dyn Host,
    medium: &dyn Medium,
    length: u64,
    path: &Path,
    name: Option<&Name>,
) -> Result<NameEntry> {
    let operation = "read the name file";
    if length != PAGE_BYTES {
        let wrong = Error::corrupt(operation, "length", length, PAGE_BYTES);
        return Err(wrong.in_file(host.display_path(path)));
    }
    let mut page = [0; PAGE_BYTES as usize];
    medium.read_at(0, &mut page).map_err(failed(host, operation, path))?;
    let entry = NameEntry::decode(&page).map_err(|error| error.in_file(host.display_path(path)))?;
    // A file under another's name, or a name that no one could have given.
    let own = Name::new(entry.name.as_str()).ok().filter(|own| {
        let file = path.file_name();
        [paths::name(own), paths::fresh_name(own)].iter().any(|path| path.file_name() == file)
            && name.is_none_or(|name| name == own)
    });
    match own {
        Some(_) => Ok(entry),
        None => Err(Error::corrupt(operation, "name", format!("{:?}", entry.name), "the file's")
            .in_file(host.display_path(path))),
    }
}

fn read_top(host: &dyn Host, medium: &dyn Medium, path: &Path) -> Result<Option<NameEntry>> {
    let file = path.file_name().and_then(|file| file.to_str());
    let Some(NamesEntry::Fresh(escaped)) = file.and_then(paths::parse_names_entry) else {
        return Ok(None);
    };
    let Some(name) = Name::from_escaped(escaped) else { return Ok(None) };
    let header = read_header(medium, &host.display_path(path))?.header;
    Ok(Some(NameEntry {
        name: name.to_string(),
        kind: NameKind::Volume,
        top: header.layer,
        parent: header.parent,
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::NameKind;
    use crate::medium::MemoryHost;
    use crate::testing::LayerBuilder;
    use crate::units::BlockSize;

    fn entry(name: &Name, top: u8) -> NameEntry {
        let (name, kind) = (name.to_string(), NameKind::Volume);
        NameEntry { name, kind, top: LayerId([top; 16]), parent: None }
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
        let fresh = FoundName { entry: entry(&name, 1), durable: false };
        assert_eq!(read(&host, &name).unwrap(), Some(fresh.clone()));
        assert_eq!(list(&host).unwrap(), [fresh]);
        assert_eq!(list_durable(&host).unwrap(), []);
        write(&host, &name, &entry(&name, 2)).unwrap();
        let durable = FoundName { entry: entry(&name, 2), durable: true };
        assert_eq!(read(&host, &name).unwrap(), Some(durable.clone()));
        assert_eq!(list(&host).unwrap(), std::slice::from_ref(&durable));
        assert_eq!(list_durable(&host).unwrap(), std::slice::from_ref(&durable));
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

    #[test]
    fn a_fresh_name_is_its_top_and_one_whose_file_cannot_tell_it_is_a_page() {
        let host = host();
        for (name, is_top) in [("a".repeat(200), true), ("ä".repeat(100), false)] {
            let name = Name::new(name).unwrap();
            write_fresh(&host, &name, &entry(&name, 1)).unwrap();
            let fresh = FoundName { entry: entry(&name, 1), durable: false };
            assert_eq!(read(&host, &name).unwrap(), Some(fresh.clone()));
            assert_eq!(list(&host).unwrap(), [fresh]);
            let named = host.facts(&paths::fresh_name(&name)).unwrap();
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
        let durable = FoundName { entry: entry(&name, 1), durable: true };
        assert_eq!(all.collect::<Result<Vec<_>>>().unwrap(), [durable]);
    }

    #[test]
    fn a_torn_fresh_name_was_never_there_and_may_be_taken_again() {
        for torn in [vec![0; 8192], vec![0; 100], Vec::new()] {
            let host = host();
            let name = Name::new("web").unwrap();
            let fresh = paths::fresh_name(&name);
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
            let fresh = paths::fresh_name(&name);
            write_aside(&host, &name, &entry(&name, 1), Sync::Later, &fresh).unwrap();
            let torn = host.open(&fresh, OpenMode::ReadWrite).unwrap();
            torn.write_at(cut, &vec![0; (PAGE_BYTES - cut) as usize]).unwrap();
            assert_eq!(read(&host, &name).unwrap(), None, "{cut}");
            assert_eq!(list(&host).unwrap(), [], "{cut}");
            host.rename(&fresh, &paths::name(&name)).unwrap();
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
        host.rename(&paths::name(&web), &paths::name(&data)).unwrap();
        assert_eq!(read(&host, &data).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&host, &web).unwrap(), None);
    }
}
