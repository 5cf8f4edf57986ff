//! A folder of images in OCI's layout.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sapwood::{Error, ErrorKind, Replace, Result, Store};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::write::{Blob, Save, SavedImage, Written, write_images};
use crate::Sha256;
use crate::blob::Compression;

/// The file that says that a folder is a layout, and of which version.
pub(super) const LAYOUT_FILE: &str = "oci-layout";
/// What it says.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the images.
pub(super) const INDEX_FILE: &str = "index.json";
/// Where the blobs are.
pub(super) const BLOBS_FOLDER: &str = "blobs/sha256";
/// The annotation in the index that names an image.
pub(super) const NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// How names of what is not done yet begin.
const ASIDE_PREFIX: &str = ".sapwood-";
/// The longest index that is read: it stands in memory as a whole.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// What every error begins with.
const OPERATION: &str = "save into an OCI layout";

/// Saves images into a folder, as a layout of OCI: one that is empty, or one to which they are added.
/// Blobs that several images have are there once.
///
/// Each file is made in `scratch`, a folder of the same filesystem that may stand in this one, and
/// renamed once it is durable; the index last. So the layout is whole at each moment, and after an
/// error it lists what it did. A save that was killed before there was an index is begun again, and what
/// one was making goes. While it is written others who do the same are refused.
///
/// Errors: [`AlreadyExists`](ErrorKind::AlreadyExists) where an image of a name is there and is not to
/// be replaced; [`NotEmpty`](ErrorKind::NotEmpty) for a folder that holds something else;
/// [`Unsupported`](ErrorKind::Unsupported) for another version, and for what a layer cannot say;
/// [`Locked`](ErrorKind::Locked); those of [`OutgoingLayer::write`](super::OutgoingLayer::write).
pub fn save_layout(
    store: &Store,
    saves: &[Save<'_>],
    folder: &Path,
    scratch: &Path,
    compression: Compression,
    replace: Replace,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<SavedImage>> {
    let layout = Layout::open(folder, scratch)?;
    let mut index = layout.index()?;
    for name in saves.iter().filter_map(|save| save.name) {
        if replace == Replace::Refuse && manifests(&mut index).iter().any(|at| is_named(at, name)) {
            let error = Error::new(ErrorKind::AlreadyExists, OPERATION).in_file(folder);
            return Err(error.about("image", name, "a name that is free, or leave to replace it"));
        }
    }
    let make = || layout.file();
    let Written { images, blobs } = write_images(store, saves, compression, &make, tell)?;
    for (digest, blob) in blobs {
        layout.put_blob(digest, blob)?;
    }
    for image in &images {
        add(manifests(&mut index), image)?;
    }
    layout.finish(&index)?;
    Ok(images)
}

/// The entry of an index for an image.
pub(super) fn index_entry(image: &SavedImage) -> Result<Value> {
    let mut entry = serde_json::to_value(&image.manifest).map_err(io::Error::from);
    if let (Ok(entry), Some(name)) = (&mut entry, &image.name) {
        entry["annotations"] = json!({ NAME_ANNOTATION: name });
    }
    entry.map_err(|error| Error::io(OPERATION, error))
}

/// An index that lists nothing.
pub(super) fn empty_index() -> Value {
    json!({
        "schemaVersion": oci_spec::image::SCHEMA_VERSION,
        "mediaType": oci_spec::image::MediaType::ImageIndex.to_string(),
        "manifests": [],
    })
}

/// A document as it is written.
pub(super) fn document(value: &Value) -> Result<Vec<u8>> {
    let written = serde_json::to_vec(value).map_err(io::Error::from);
    written.map_err(|error| Error::io(OPERATION, error))
}

fn manifests(index: &mut Value) -> &mut Vec<Value> {
    index["manifests"].as_array_mut().expect("that was looked at where the index was read")
}

fn is_named(entry: &Value, name: &str) -> bool {
    entry["annotations"][NAME_ANNOTATION] == name
}

/// Lists an image in place of one that has its name, or that is the same without a name.
fn add(manifests: &mut Vec<Value>, image: &SavedImage) -> Result<()> {
    let entry = index_entry(image)?;
    match &image.name {
        Some(name) => manifests.retain(|old| !is_named(old, name)),
        None => manifests.retain(|old| *old != entry),
    }
    manifests.push(entry);
    Ok(())
}

/// A folder that images are written into.
struct Layout<'a> {
    path: &'a Path,
    scratch: &'a Path,
    is_new: bool,
    /// Open for its lock.
    _locked: File,
}

impl<'a> Layout<'a> {
    fn open(path: &'a Path, scratch: &'a Path) -> Result<Layout<'a>> {
        let locked = File::open(path).map_err(failed(path))?;
        match rustix::fs::flock(&locked, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::new(ErrorKind::Locked, OPERATION).in_file(path));
            }
            locked => locked.map_err(|errno| failed(path)(errno.into()))?,
        }
        let is_new = match read(&path.join(LAYOUT_FILE)) {
            // One that was cut off before its index lists nothing so far.
            Ok(layout) => expect_version(&layout).and_then(|()| {
                let index = path.join(INDEX_FILE);
                index.try_exists().map(|is_there| !is_there).map_err(failed(&index))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut others = fs::read_dir(path).map_err(failed(path))?.filter(|entry| {
                    let is_ours = |name: &OsStr| is_cut_off(name) || scratch.ends_with(name);
                    !entry.as_ref().is_ok_and(|entry| is_ours(&entry.file_name()))
                });
                match others.next() {
                    None => Ok(true),
                    Some(Ok(_)) => Err(Error::new(ErrorKind::NotEmpty, OPERATION)),
                    Some(Err(error)) => Err(Error::io(OPERATION, error)),
                }
            }
            Err(error) => Err(error),
        };
        let is_new = is_new.map_err(|error| error.in_file(path))?;
        remove_left(path, scratch)?;
        let blobs = path.join(BLOBS_FOLDER);
        fs::create_dir_all(&blobs).map_err(failed(&blobs))?;
        Ok(Layout { path, scratch, is_new, _locked: locked })
    }

    fn index(&self) -> Result<Value> {
        if self.is_new {
            return Ok(empty_index());
        }
        let path = self.path.join(INDEX_FILE);
        let index: Value = serde_json::from_slice(&read(&path)?)
            .map_err(|error| Error::invalid(OPERATION, "index", error, "JSON").in_file(&path))?;
        match index["manifests"].is_array() {
            true => Ok(index),
            false => {
                Err(Error::invalid(OPERATION, "index", "none", "a list of manifests")
                    .in_file(&path))
            }
        }
    }

    /// A file that has no name in the layout so far.
    fn file(&self) -> Result<NamedTempFile> {
        let made = tempfile::Builder::new()
            .prefix(ASIDE_PREFIX)
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(self.scratch);
        made.map_err(failed(self.scratch))
    }

    fn put_blob(&self, digest: Sha256, blob: Blob<NamedTempFile>) -> Result<()> {
        let path = PathBuf::from(BLOBS_FOLDER).join(digest.to_hex());
        match blob {
            Blob::File(file) => self.put(file, &path),
            Blob::Document(bytes) => self.put_document(&bytes, &path),
        }
    }

    fn put_document(&self, bytes: &[u8], path: &Path) -> Result<()> {
        let mut file = self.file()?;
        file.write_all(bytes).map_err(failed(path))?;
        self.put(file, path)
    }

    /// Gives a file its name. Who has the folder may read it: the umask has its say, as always.
    fn put(&self, file: NamedTempFile, path: &Path) -> Result<()> {
        let path = self.path.join(path);
        file.as_file().sync_all().map_err(failed(&path))?;
        file.persist(&path).map(drop).map_err(|error| failed(&path)(error.error))
    }

    /// Lists what is there, once all of it is durable.
    fn finish(&self, index: &Value) -> Result<()> {
        self.sync(&[BLOBS_FOLDER, "blobs", ""])?;
        if self.is_new {
            self.put_document(LAYOUT, Path::new(LAYOUT_FILE))?;
        }
        self.put_document(&document(index)?, Path::new(INDEX_FILE))?;
        self.sync(&[""])
    }

    fn sync(&self, folders: &[&str]) -> Result<()> {
        folders.iter().try_for_each(|folder| {
            let path = self.path.join(folder);
            File::open(&path).and_then(|folder| folder.sync_all()).map_err(failed(&path))
        })
    }
}

/// Removes what saves were making that were killed. Nobody else makes anything in a layout that is
/// locked.
fn remove_left(path: &Path, scratch: &Path) -> Result<()> {
    for entry in fs::read_dir(path).map_err(failed(path))? {
        let entry = entry.map_err(failed(path))?;
        let (name, left) = (entry.file_name(), entry.path());
        if !name.as_encoded_bytes().starts_with(ASIDE_PREFIX.as_bytes()) || scratch.ends_with(&name)
        {
            continue;
        }
        let removed = match entry.file_type().map_err(failed(&left))?.is_dir() {
            true => fs::remove_dir_all(&left),
            false => fs::remove_file(&left),
        };
        match removed {
            // Whoever was refused takes its own away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(failed(&left))?,
        }
    }
    Ok(())
}

/// What a new layout has before it is one, and what stays of a save that was killed.
fn is_cut_off(name: &OsStr) -> bool {
    name == "blobs" || name.as_encoded_bytes().starts_with(ASIDE_PREFIX.as_bytes())
}

fn expect_version(layout: &[u8]) -> Result<()> {
    let layout: Value = serde_json::from_slice(layout)
        .map_err(|error| Error::invalid(OPERATION, "layout", error, "JSON"))?;
    let (found, expected) = (&layout["imageLayoutVersion"], "\"1.0.0\"");
    match found.as_str() {
        Some("1.0.0") => Ok(()),
        _ => Err(Error::invalid(OPERATION, "version of the layout", found, expected)
            .with_kind(ErrorKind::Unsupported)),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed(path))?;
    file.take(INDEX_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    match bytes.len() as u64 > INDEX_BYTES_MAX {
        true => Err(Error::invalid(OPERATION, "length", "more", "at most 64 MiB").in_file(path)),
        false => Ok(bytes),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::io(OPERATION, error).in_file(&path)
}
