//! An image to a registry: only what is not there goes.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use oci_spec::image::{Descriptor, MediaType};
use parking_lot::Mutex;
use sapwood::{Error, Result, Store};

use super::client::{Access, Repository};
use super::known::KnownBlob;
use super::upload::BlobBytes;
use super::{RegistryOptions, RemoteReference};
use crate::Sha256;
use crate::blob::Compression;
use crate::image::Image;
use crate::parallel::in_parallel;
use crate::save::{OutgoingImage, OutgoingLayer};

/// How many layers are on their way at once.
const LAYERS_AT_ONCE: usize = 4;
/// How much of a blob is collected before it goes into its file.
const BUFFER_BYTES: usize = 1 << 20;

/// How an image is pushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushOptions {
    /// How layers are compressed that the registry does not have in the form in which they came.
    pub compression: Compression,
    /// How the registry is spoken to.
    pub registry: RegistryOptions,
}

/// What happens to a layer on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStep {
    /// So many bytes of its tar are compressed.
    Compressing {
        /// The bytes.
        tar_bytes: u64,
    },
    /// So many bytes of its blob are sent.
    Sending {
        /// The bytes.
        sent_bytes: u64,
        /// How many it has.
        size_bytes: u64,
    },
    /// The registry has it.
    Done(Way),
}

/// How a registry came to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It had it.
    Present,
    /// It took it from another of its repositories.
    Mounted,
    /// It was sent.
    Sent,
}

/// A layer that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedLayer {
    /// Its blob: media type, digest, size.
    pub descriptor: Descriptor,
    /// How it came there.
    pub way: Way,
}

/// An image that a registry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of its manifest.
    pub digest: Sha256,
    /// Its layers, lowest first.
    pub layers: Vec<PushedLayer>,
    /// The bytes of blobs that were sent.
    pub sent_bytes: u64,
}

/// Pushes the image that `image` means to a registry, where it gets the reference's tag. `tell` hears,
/// from several threads, what happens to which layer.
///
/// A layer that came from a registry is looked for in the form in which it came: neither compressed
/// nor sent where the registry has it. Another one is compressed into a file without a name in the
/// store's folder, as its digest has to be known before the first byte is sent.
///
/// Errors: [`InvalidInput`](sapwood::ErrorKind::InvalidInput) for a reference with a digest, which
/// nobody can choose; [`NotFound`](sapwood::ErrorKind::NotFound) and
/// [`NotPermitted`](sapwood::ErrorKind::NotPermitted) as the registry says; what saving says.
pub fn push(
    store: &Store,
    image: &str,
    reference: &RemoteReference,
    options: &PushOptions,
    tell: &(dyn Fn(usize, PushStep) + Sync),
) -> Result<Pushed> {
    let Some(tag) = reference.tag().filter(|_| reference.digest().is_none()) else {
        let expected = "a tag: the digest follows from the image";
        return Err(Error::invalid("push an image", "reference", reference, expected));
    };
    let image = Image::open(store, image)?;
    let outgoing = OutgoingImage::new(store, &image)?;
    let known = KnownBlob::of_layers(store, outgoing.layers())?;
    let mut from: Vec<String> =
        known.iter().flatten().filter_map(|blob| blob.repository_of(reference)).collect();
    from.sort();
    from.dedup();
    let access = Access::Push { from };
    let repository = Repository::new(reference, &access, &options.registry)?;
    let pusher = Pusher { store, repository: &repository, reference, options, tell };
    let layers = pusher.push_layers(outgoing.layers(), &known)?;

    let diff_ids: Vec<Sha256> = layers.iter().map(|(_, diff_id)| *diff_id).collect();
    let layers: Vec<PushedLayer> = layers.into_iter().map(|(layer, _)| layer).collect();
    let configuration = outgoing.configuration(&diff_ids)?;
    let (json, digest) = (configuration.json(), configuration.digest());
    let size = json.len() as u64;
    let sent = layers.iter().filter(|layer| layer.way == Way::Sent);
    let mut sent_bytes: u64 = sent.map(|layer| layer.descriptor.size()).sum();
    if !repository.has_blob(digest, size)? {
        repository.write_blob(digest, size, &InMemory(json), &|_| {})?;
        sent_bytes += size;
    }
    let descriptors = layers.iter().map(|layer| layer.descriptor.clone()).collect();
    let manifest = outgoing.manifest(&configuration, descriptors)?;
    let media_type = MediaType::ImageManifest.to_string();
    if repository.manifest_digest(tag)? != Some(Sha256::of(&manifest)) {
        repository.write_manifest(tag, &media_type, &manifest)?;
    }
    Ok(Pushed { digest: Sha256::of(&manifest), layers, sent_bytes })
}

struct Pusher<'a> {
    store: &'a Store,
    repository: &'a Repository,
    reference: &'a RemoteReference,
    options: &'a PushOptions,
    tell: &'a (dyn Fn(usize, PushStep) + Sync),
}

impl Pusher<'_> {
    /// Pushes layers, some at once, and gives them with their diffIDs; the first error is the answer.
    fn push_layers(
        &self,
        layers: &[OutgoingLayer],
        known: &[Option<KnownBlob>],
    ) -> Result<Vec<(PushedLayer, Sha256)>> {
        in_parallel(layers, LAYERS_AT_ONCE, |index, layer| {
            self.push_layer(index, layer, known[index].as_ref())
        })
    }

    fn push_layer(
        &self,
        index: usize,
        layer: &OutgoingLayer,
        known: Option<&KnownBlob>,
    ) -> Result<(PushedLayer, Sha256)> {
        let from = known.and_then(|blob| blob.repository_of(self.reference));
        if let (Some(blob), Some(diff_id)) = (known, layer.diff_id())
            && let Some(way) = self.find(blob.digest, blob.size_bytes, from.as_deref())?
        {
            (self.tell)(index, PushStep::Done(way));
            return Ok((PushedLayer { descriptor: blob.descriptor(), way }, diff_id));
        }
        let file = tempfile::tempfile_in(self.store.path()).map_err(|error| {
            Error::io("make a file for a layer", error).in_file(self.store.path())
        })?;
        let tar_bytes = Mutex::new(0);
        let written = {
            let mut output = BufWriter::with_capacity(BUFFER_BYTES, &file);
            let written = layer.write(&mut output, self.options.compression, &|bytes| {
                let mut total = tar_bytes.lock();
                *total += bytes;
                (self.tell)(index, PushStep::Compressing { tar_bytes: *total });
            })?;
            output.flush().map_err(|error| Error::io("write a layer", error))?;
            written
        };
        let digest: Sha256 = written.descriptor.digest().to_string().parse()?;
        let size_bytes = written.descriptor.size();
        let way = match self.find(digest, size_bytes, None)? {
            Some(way) => way,
            None => {
                let sent = |sent_bytes| {
                    (self.tell)(index, PushStep::Sending { sent_bytes, size_bytes });
                };
                self.repository.write_blob(digest, size_bytes, &InFile(&file), &sent)?;
                Way::Sent
            }
        };
        (self.tell)(index, PushStep::Done(way));
        Ok((PushedLayer { descriptor: written.descriptor, way }, written.diff_id))
    }

    /// Has the registry find a blob, in its repository or in another one.
    fn find(&self, digest: Sha256, size_bytes: u64, from: Option<&str>) -> Result<Option<Way>> {
        if self.repository.has_blob(digest, size_bytes)? {
            return Ok(Some(Way::Present));
        }
        Ok(match from {
            Some(from) => self.repository.mount_blob(digest, from)?.then_some(Way::Mounted),
            None => None,
        })
    }
}

struct InMemory<'a>(&'a [u8]);

impl BlobBytes for InMemory<'_> {
    fn from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        Ok(Box::new(self.0.get(offset..).ok_or(io::ErrorKind::UnexpectedEof)?))
    }
}

struct InFile<'a>(&'a File);

impl BlobBytes for InFile<'_> {
    fn from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(FromFile { file: self.0, offset }))
    }
}

struct FromFile<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FromFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
