//! Images in: from OCI layouts, docker archives and tars of root filesystems, or from anything else
//! that gives their blobs.

mod archive;
mod coming;
mod docker;
pub mod document;
mod input;
mod install;
mod layout;
mod names;
mod partial;
pub mod platform;
mod root;
mod select;
pub mod source;
mod stream;

use oci_spec::image::ImageManifest;
use sapwood::{Error, ErrorKind, Replace, Result, Store};

use archive::{Archive, TarFile};
use docker::DockerArchive;
use input::Opened;
use layout::Layout;
use root::RootTar;

pub use input::Input;
pub use install::{LoadOptions, Progress, install};
pub use platform::Platform;
pub use select::select_manifest;
pub use source::ImageSource;

use crate::image::{Image, list};
use crate::own_names::OwnNames;

/// The file by which a folder of skopeo's own form is known.
const DIRECTORY_VERSION: &str = "version";

/// What an image comes in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveForm {
    /// A folder that is an OCI layout.
    Layout,
    /// A tar of an OCI layout.
    LayoutTar,
    /// A tar as `docker save` writes it.
    Docker,
    /// A tar of a whole root filesystem.
    Root,
}

/// An archive with images in it.
pub trait ImageArchive: ImageSource {
    /// The images that are in it.
    fn images(&self) -> Vec<Listed>;

    /// The manifest of an image, for a platform where there is a choice.
    fn manifest(&self, at: usize, wanted: Option<&Platform>) -> Result<ImageManifest>;
}

/// An image of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What it is called there.
    pub names: Vec<String>,
}

/// Opens an archive of images. What it is it says by what is in it; a tar of a root filesystem
/// is one only where the caller says so, since every tar could be.
///
/// Errors: [`InvalidInput`](ErrorKind::InvalidInput) for what is none.
pub fn open_archive(
    store: &Store,
    input: Input,
    form: Option<ArchiveForm>,
    options: &LoadOptions,
) -> Result<Box<dyn ImageArchive>> {
    let form_is = |one| form.is_none_or(|form| form == one);
    match input::open(store, input, options.unpacked_bytes_max)? {
        Opened::Folder(folder) if form_is(ArchiveForm::Layout) => {
            if folder.open(layout::LAYOUT)?.is_none() {
                let found = match folder.open(DIRECTORY_VERSION)?.is_some() {
                    true => "a folder as skopeo's `dir:` makes it, not as its `oci:` does",
                    false => "a folder without \"oci-layout\"",
                };
                return Err(unknown(folder.path(), found));
            }
            Ok(Box::new(Layout::open(folder)?))
        }
        Opened::Folder(folder) => Err(unknown(folder.path(), "a folder")),
        Opened::Tar(file, path) if form == Some(ArchiveForm::Root) => {
            Ok(Box::new(RootTar::open(file, &path, options.platform.as_ref())?))
        }
        Opened::Tar(_, path) if form == Some(ArchiveForm::Layout) => {
            Err(unknown(&path, "a file, and no folder"))
        }
        Opened::Tar(file, path) => {
            let tar = TarFile::open(file, &path)?;
            let has = |name| Ok::<_, Error>(tar.open(name)?.is_some());
            // Newer archives of Docker are both, and the layout says more.
            if form_is(ArchiveForm::LayoutTar) && has(layout::LAYOUT)? && has(layout::INDEX)? {
                Ok(Box::new(Layout::open(tar)?))
            } else if form_is(ArchiveForm::Docker) && has(docker::MANIFEST)? {
                Ok(Box::new(DockerArchive::open(tar)?))
            } else {
                Err(unknown(&path, "a tar without \"oci-layout\" and without \"manifest.json\""))
            }
        }
    }
}

/// Takes in the images of an archive, each as [`install`] does, under the names that they have
/// there: all of them, or the one that `only` names. Where there is one, `tag` can be another name for it.
/// Gives the tags, and what they are.
///
/// Errors: [`InvalidInput`](ErrorKind::InvalidInput) where there is no name, or one for several;
/// [`NotFound`](ErrorKind::NotFound) for an image that is not in it; those of [`install`].
pub fn load(
    store: &Store,
    archive: &dyn ImageArchive,
    only: Option<&str>,
    tag: Option<&str>,
    options: &LoadOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<(Vec<String>, Image)>> {
    let mut loaded = Vec::new();
    for (at, names) in wanted(&archive.images(), only, tag)? {
        let manifest = archive.manifest(at, options.platform.as_ref())?;
        let image = install(store, archive, &manifest, &names[0], options, progress)?;
        for name in &names[1..] {
            tag_further(store, &image, name, options.replace)?;
        }
        loaded.push((names, image));
    }
    Ok(loaded)
}

/// Gives an image another tag; where that is this image already, nothing is done.
fn tag_further(store: &Store, image: &Image, name: &str, replace: Replace) -> Result<()> {
    if list(store)?.contains(&(name.to_owned(), image.configuration().digest())) {
        return Ok(());
    }
    store.tag(&image.snapshot().layer_id().to_string(), name, replace)
}

/// The images that are asked for, with the names that they get.
fn wanted(
    images: &[Listed],
    only: Option<&str>,
    tag: Option<&str>,
) -> Result<Vec<(usize, Vec<String>)>> {
    let operation = "load an image";
    let called = || {
        let names: Vec<&str> =
            images.iter().flat_map(|image| &image.names).take(20).map(String::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let mut wanted = Vec::new();
    for (at, image) in images.iter().enumerate() {
        match only {
            None => wanted.push((at, image.names.clone())),
            Some(only) => {
                let only = names::given_by_archive(only);
                if image.names.contains(&only) {
                    wanted.push((at, vec![only]));
                }
            }
        }
    }
    match (&mut wanted[..], tag) {
        ([], _) => {
            let expected = only.unwrap_or("an image");
            let error = Error::new(ErrorKind::NotFound, operation);
            return Err(error.about("images of the archive", called(), expected));
        }
        ([(_, names)], Some(tag)) => *names = vec![tag.to_owned()],
        (_, Some(_)) => {
            let expected = "one for the tag: say which";
            return Err(Error::invalid(operation, "images of the archive", called(), expected));
        }
        (_, None) => {}
    }
    if wanted.iter().any(|(_, names)| names.is_empty()) {
        let expected = "a tag: the archive has no name for the image";
        return Err(Error::invalid(operation, "tag", "none", expected));
    }
    let is_own = |name: &&String| OwnNames::any_looks_like(name);
    if let Some(name) = wanted.iter().flat_map(|(_, names)| names).find(is_own) {
        let expected = "another tag: this one is of those that are made and removed unasked";
        return Err(Error::invalid(operation, "tag", format!("{name:?}"), expected));
    }
    Ok(wanted)
}

fn unknown(path: &std::path::Path, found: &str) -> Error {
    let expected = "an OCI layout or a docker archive; a root filesystem if its form is given";
    Error::invalid("open an image", "archive", found, expected).in_file(path)
}
