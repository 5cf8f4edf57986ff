//! Where the files of a store lie: all paths are relative to its folder.

use std::path::{Path, PathBuf};

use super::name::Name;
use crate::format::NameKind;
use crate::units::{Digest, LayerId};

/// The store's own file: its identity and its block size.
pub const STORE: &str = "store";
/// The lock of the store: shared while a name or a layer is added, exclusive while one is taken away.
pub const LOCK: &str = "lock";
/// The locks of names: a byte for each, and who holds it. Nobody takes this file away.
pub const NAME_LOCKS: &str = "names.lock";
/// Layer files, and marks of layers that are being made or were released.
pub const LAYERS: &str = "layers";
/// Name files.
pub const NAMES: &str = "names";
/// Merged indexes: derived, may be deleted at any time.
pub const INDEX: &str = "index";
/// Digests to ids, as names of empty files: derived, may be deleted at any time.
pub const DIGESTS: &str = "digests";
/// What a filesystem of its own has beside a store: it is nobody's but the filesystem's.
pub const LOST_AND_FOUND: &str = "lost+found";

/// All folders, in the order in which a new store makes them.
pub const FOLDERS: [&str; 4] = [LAYERS, NAMES, INDEX, DIGESTS];

const LAYER_ENDING: &str = ".layer";
const MAKING_ENDING: &str = ".making";
const RELEASED_ENDING: &str = ".released";
const INDEX_ENDING: &str = ".index";
/// How a file is called while it is written aside.
const ASIDE_ENDING: &str = ".tmp";

/// The file of a layer.
pub fn layer(id: LayerId) -> PathBuf {
    Path::new(LAYERS).join(format!("{id}{LAYER_ENDING}"))
}

/// The mark of a layer that is being made: while nobody holds the layer and no
/// name leads to it, the layer is an orphan, even where it is frozen.
pub fn making(id: LayerId) -> PathBuf {
    Path::new(LAYERS).join(format!("{id}{MAKING_ENDING}"))
}

/// The mark of a snapshot whose name was removed while it was not known whether another name needs it.
pub fn released(id: LayerId) -> PathBuf {
    Path::new(LAYERS).join(format!("{id}{RELEASED_ENDING}"))
}

/// The files that a name may have, the one that counts first where a crash left several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameFile {
    /// That of a tag.
    Tag,
    /// That of a volume, durable.
    Volume,
    /// What a volume has of which nothing was synced yet: a second name of the file of its top.
    /// After a power cut it may hold anything, and then the name was never there.
    Fresh,
}

impl NameFile {
    /// All of them, in their order.
    pub const ALL: [NameFile; 3] = [NameFile::Tag, NameFile::Volume, NameFile::Fresh];

    /// The durable file of what a name stands for.
    pub fn of(kind: NameKind) -> NameFile {
        match kind {
            NameKind::Tag => NameFile::Tag,
            NameKind::Volume => NameFile::Volume,
        }
    }

    /// What a name of such a file stands for.
    pub fn kind(self) -> NameKind {
        match self {
            NameFile::Tag => NameKind::Tag,
            NameFile::Volume | NameFile::Fresh => NameKind::Volume,
        }
    }

    fn ending(self) -> &'static str {
        match self {
            NameFile::Tag => ".tag",
            NameFile::Volume => ".name",
            NameFile::Fresh => ".fresh",
        }
    }
}

/// A file of a name.
pub fn name(file: NameFile, name: &Name) -> PathBuf {
    name_of_escaped(file, &name.escaped())
}

/// As [`name`], of its escaped form.
pub fn name_of_escaped(file: NameFile, escaped: &str) -> PathBuf {
    Path::new(NAMES).join(format!("{escaped}{}", file.ending()))
}

/// A file beside the name files for one that is being written.
pub fn name_aside(name: &Name, random: LayerId) -> PathBuf {
    let random = &random.to_string()[..8];
    Path::new(NAMES).join(format!(".{}.{random}{ASIDE_ENDING}", name.escaped()))
}

/// The merged index whose newest layer is `tip`.
pub fn index(tip: LayerId) -> PathBuf {
    Path::new(INDEX).join(format!("{tip}{INDEX_ENDING}"))
}

/// The file whose name says that the layer `id` has this digest.
pub fn digest(digest: Digest, id: LayerId) -> PathBuf {
    Path::new(DIGESTS).join(format!("{digest}-{id}"))
}

/// What an entry of [`LAYERS`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayersEntry {
    /// A layer file.
    Layer(LayerId),
    /// The mark of a layer that is being made.
    Making(LayerId),
    /// The mark of a snapshot that was released.
    Released(LayerId),
    /// A layer file under a name that is no id: a copy of another one, put here by hand.
    Misnamed,
}

/// Reads the name of an entry of [`LAYERS`]; `None` for files that are not ours.
pub fn parse_layers_entry(file: &str) -> Option<LayersEntry> {
    if let Some(id) = file.strip_suffix(LAYER_ENDING) {
        return Some(id.parse().map_or(LayersEntry::Misnamed, LayersEntry::Layer));
    }
    if let Some(id) = file.strip_suffix(RELEASED_ENDING) {
        return id.parse().ok().map(LayersEntry::Released);
    }
    file.strip_suffix(MAKING_ENDING)?.parse().ok().map(LayersEntry::Making)
}

/// What an entry of [`NAMES`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamesEntry<'a> {
    /// A file of a name, and the escaped form of that.
    Name(NameFile, &'a str),
    /// A file that was being written.
    Aside,
}

/// Reads the name of an entry of [`NAMES`]; `None` for files that are not ours.
pub fn parse_names_entry(file: &str) -> Option<NamesEntry<'_>> {
    if file.starts_with('.') {
        return file.ends_with(ASIDE_ENDING).then_some(NamesEntry::Aside);
    }
    let of_name = |kind: NameFile| Some((kind, file.strip_suffix(kind.ending())?));
    NameFile::ALL
        .into_iter()
        .find_map(of_name)
        .map(|(kind, escaped)| NamesEntry::Name(kind, escaped))
}

/// The tip of the merged index that a file of [`INDEX`] is.
pub fn parse_index_entry(file: &str) -> Option<LayerId> {
    file.strip_suffix(INDEX_ENDING)?.parse().ok()
}

/// Whether a file was being written aside when somebody stopped.
pub fn is_aside(file: &str) -> bool {
    file.ends_with(ASIDE_ENDING)
}

/// The digest and the id that a file of [`DIGESTS`] tells.
pub fn parse_digests_entry(file: &str) -> Option<(Digest, LayerId)> {
    let (digest, id) = file.split_once('-')?;
    Some((digest.parse().ok()?, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_name(path: &Path) -> &str {
        path.file_name().unwrap().to_str().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let id = LayerId([0xab; 16]);
        let sum = Digest([0x5c; 32]);
        let debian = Name::new("team/debian:12").unwrap();
        assert_eq!(parse_layers_entry(file_name(&layer(id))), Some(LayersEntry::Layer(id)));
        assert_eq!(parse_layers_entry(file_name(&making(id))), Some(LayersEntry::Making(id)));
        let mark = released(id);
        assert_eq!(parse_layers_entry(file_name(&mark)), Some(LayersEntry::Released(id)));
        let escaped = debian.escaped();
        for kind in NameFile::ALL {
            let file = name(kind, &debian);
            let parsed = parse_names_entry(file_name(&file));
            assert_eq!(parsed, Some(NamesEntry::Name(kind, escaped.as_str())));
        }
        let aside = name_aside(&debian, id);
        assert_eq!(parse_names_entry(file_name(&aside)), Some(NamesEntry::Aside));
        assert!(is_aside(file_name(&aside)));
        assert_eq!(parse_index_entry(file_name(&index(id))), Some(id));
        assert_eq!(parse_digests_entry(file_name(&digest(sum, id))), Some((sum, id)));
    }

    #[test]
    fn other_files_are_not_ours() {
        assert_eq!(parse_layers_entry("x.layer"), Some(LayersEntry::Misnamed));
        for file in ["", "layer", "lost+found", "README", ".hidden", "a.name~"] {
            assert_eq!(parse_layers_entry(file), None, "{file}");
            assert_eq!(parse_names_entry(file), None, "{file}");
            assert_eq!(parse_index_entry(file), None, "{file}");
            assert_eq!(parse_digests_entry(file), None, "{file}");
        }
    }
}
