//! Images in one file: OCI's layout, or what `docker save` makes, as a tar stream.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

use oci_spec::distribution::Reference;
use sapwood::{Error, Result, Store};
use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use serde_json::{Value, json};

use super::layout::{
    BLOBS_FOLDER, INDEX_FILE, LAYOUT, LAYOUT_FILE, document, empty_index, index_entry,
};
use super::write::{Blob, Save, SavedImage, Written, digest_of, write_images};
use crate::blob::Compression;

/// How much of a blob is copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What every error begins with.
const OPERATION: &str = "save an archive of images";

/// Saves images as the tar stream of an OCI layout. Blobs that several images have are there once.
///
/// The same images give the same bytes: members stand in a fixed order, without times and owners.
/// The blobs are written into files without a name in the folder `scratch` first.
///
/// Errors: those of [`OutgoingLayer::write`](super::OutgoingLayer::write); what the output says.
pub fn save_oci_archive(
    store: &Store,
    saves: &[Save<'_>],
    output: &mut dyn Write,
    scratch: &Path,
    compression: Compression,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<SavedImage>> {
    let Written { images, blobs } = write(store, saves, scratch, compression, tell)?;
    let mut archive = TarWriter::new(output);
    for folder in ["blobs/".to_owned(), format!("{BLOBS_FOLDER}/")] {
        archive.begin(&Member::new(folder, MemberKind::Directory, 0o755))?;
    }
    for (digest, mut blob) in blobs {
        put(&mut archive, &format!("{BLOBS_FOLDER}/{}", digest.to_hex()), &mut blob)?;
    }
    let mut index = empty_index();
    index["manifests"] = images.iter().map(index_entry).collect::<Result<Value>>()?;
    put(&mut archive, INDEX_FILE, &mut Blob::Document(document(&index)?))?;
    put(&mut archive, LAYOUT_FILE, &mut Blob::Document(LAYOUT.to_vec()))?;
    archive.finish()?;
    Ok(images)
}

/// Saves images as `docker save` does, with uncompressed layers, each of them once. As
/// [`save_oci_archive`] in all else; a name without a tag gets `:latest`.
///
/// Errors: those of [`save_oci_archive`]; [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for a
/// name that Docker does not take.
pub fn save_docker_archive(
    store: &Store,
    saves: &[Save<'_>],
    output: &mut dyn Write,
    scratch: &Path,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<SavedImage>> {
    let tags = saves.iter().map(|save| save.name.map(docker_tag).transpose());
    let tags = tags.collect::<Result<Vec<_>>>()?;
    let Written { images, mut blobs } = write(store, saves, scratch, Compression::None, tell)?;
    let mut archive = TarWriter::new(output);
    // One entry for each image, with all its names.
    let mut manifest: Vec<Value> = Vec::new();
    for (image, tag) in images.iter().zip(tags) {
        let configuration = image.configuration.digest();
        let mut layers = Vec::new();
        for layer in &image.layers {
            let name = format!("{}.tar", layer.diff_id.to_hex());
            if let Some(mut blob) = blobs.remove(&digest_of(&layer.descriptor)?) {
                put(&mut archive, &name, &mut blob)?;
            }
            layers.push(name);
        }
        let name = format!("{}.json", configuration.to_hex());
        let known = manifest.iter_mut().find(|entry| entry["Config"] == name);
        match (known, tag) {
            (None, tag) => {
                if let Some(mut blob) = blobs.remove(&configuration) {
                    put(&mut archive, &name, &mut blob)?;
                }
                let tags: Vec<String> = tag.into_iter().collect();
                manifest.push(json!({ "Config": name, "RepoTags": tags, "Layers": layers }));
            }
            (Some(known), Some(tag)) => {
                known["RepoTags"].as_array_mut().expect("it was made so").push(tag.into());
            }
            (Some(_), None) => {}
        }
    }
    let mut manifest = Blob::Document(document(&manifest.into())?);
    put(&mut archive, "manifest.json", &mut manifest)?;
    archive.finish()?;
    Ok(images)
}

fn write(
    store: &Store,
    saves: &[Save<'_>],
    scratch: &Path,
    compression: Compression,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Written<File>> {
    let make = || {
        let file = tempfile::tempfile_in(scratch);
        file.map_err(|error| Error::io(OPERATION, error).in_file(scratch))
    };
    write_images(store, saves, compression, &make, tell)
}

fn put(archive: &mut TarWriter<&mut dyn Write>, name: &str, blob: &mut Blob<File>) -> Result<()> {
    let failed = |error| Error::io(OPERATION, error);
    let mut member = Member::new(name, MemberKind::File, 0o644);
    match blob {
        Blob::Document(bytes) => {
            member.size = bytes.len() as u64;
            archive.begin(&member)?;
            archive.write(bytes)
        }
        Blob::File(file) => {
            member.size = file.stream_position().map_err(failed)?;
            file.rewind().map_err(failed)?;
            archive.begin(&member)?;
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match file.read(&mut chunk).map_err(failed)? {
                    0 => return Ok(()),
                    read => archive.write(&chunk[..read])?,
                }
            }
        }
    }
}

/// A name as Docker's archives have it.
fn docker_tag(name: &str) -> Result<String> {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    let tag = if last.contains(':') { name.to_owned() } else { format!("{name}:latest") };
    match tag.parse::<Reference>() {
        Ok(_) => Ok(tag),
        Err(error) => {
            let found = format!("{name}: {error}");
            Err(Error::invalid(OPERATION, "name", found, "one that Docker takes: NAME:TAG"))
        }
    }
}
