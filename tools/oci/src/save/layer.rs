//! A layer on its way out.

use std::io::Write;
use std::sync::Arc;

use oci_spec::image::Descriptor;
use sapwood::files::FilesView;
use sapwood::{Error, LayerId, Result};
use sapwood_archive::{ExportOptions, SpecialFiles, export_layer, export_residue};

use crate::Sha256;
use crate::blob::{Compression, Digesting, compress};
use crate::image::ImageLayer;

/// A filesystem layer on its way out: what made its tree of the tree below it.
pub struct OutgoingLayer {
    view: Arc<FilesView>,
    below: Option<Arc<FilesView>>,
    diff_id: Option<Sha256>,
    from_tar: bool,
}

/// A layer that was written as a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenLayer {
    /// The digest of its uncompressed tar.
    pub diff_id: Sha256,
    /// Media type, digest and size of the blob.
    pub descriptor: Descriptor,
    /// How many sockets are not in it.
    pub sockets_left_out: u64,
}

impl OutgoingLayer {
    /// The layer whose tree is `view`, on the tree below it, and what is known of it.
    pub(crate) fn new(
        view: Arc<FilesView>,
        below: Option<Arc<FilesView>>,
        known: &ImageLayer,
    ) -> OutgoingLayer {
        let ImageLayer { diff_id, from_tar, .. } = *known;
        OutgoingLayer { view, below, diff_id, from_tar }
    }

    /// The snapshot.
    pub fn id(&self) -> LayerId {
        self.view.snapshot().layer_id()
    }

    /// The digest of its uncompressed tar, where that is known: it goes out as that, or not at all.
    pub fn diff_id(&self) -> Option<Sha256> {
        self.diff_id
    }

    /// Which layer it is, over which: what is equal in this goes out as the same bytes.
    pub(super) fn key(&self) -> (Option<LayerId>, LayerId) {
        (self.below.as_ref().map(|below| below.snapshot().layer_id()), self.id())
    }

    /// Writes it as a blob, on all cores, in bounded memory. Bytes of the tar are told as they are
    /// written.
    ///
    /// A layer that came from an archive is the very same tar again; one that was made here follows
    /// from the two trees alone. Sockets are left out: a tar cannot say them, and without the process
    /// that made them they are nothing.
    ///
    /// Errors: [`Unsupported`](sapwood::ErrorKind::Unsupported) for what a layer cannot say, as names
    /// that begin with `.wh.`; [`Corrupt`](sapwood::ErrorKind::Corrupt) where what comes out has not
    /// the digest that is known of the layer; what the output says.
    pub fn write(
        &self,
        output: &mut (dyn Write + Send),
        compression: Compression,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<WrittenLayer> {
        let mut blob = Digesting::new(output);
        let (diff_id, sockets_left_out) = compress(compression, &mut blob, |stream| {
            let mut stream = Telling { output: stream, tell };
            // Uncompressed, the blob is the tar, and is hashed as that.
            if compression == Compression::None {
                return Ok((None, self.write_tar(&mut stream)?));
            }
            let mut tar = Digesting::new(stream);
            let sockets_left_out = self.write_tar(&mut tar)?;
            Ok((Some(tar.finish().0), sockets_left_out))
        })?;
        let (digest, size) = blob.finish();
        let diff_id = diff_id.unwrap_or(digest);
        self.expect(diff_id)?;
        let descriptor = digest.descriptor(compression.media_type(), size);
        Ok(WrittenLayer { diff_id, descriptor, sockets_left_out })
    }

    /// The digest of its uncompressed tar: known, or computed.
    ///
    /// Errors: as [`OutgoingLayer::write`].
    pub fn compute_diff_id(&self) -> Result<Sha256> {
        match self.diff_id {
            Some(known) => Ok(known),
            None => {
                let mut tar = Digesting::new(std::io::sink());
                self.write_tar(&mut tar)?;
                Ok(tar.finish().0)
            }
        }
    }

    /// Gives the number of sockets that are not in it.
    fn write_tar(&self, output: &mut dyn Write) -> Result<u64> {
        if self.from_tar && export_residue(&self.view, output)? {
            return Ok(0);
        }
        let special_files = SpecialFiles::SkipSockets;
        let options = ExportOptions { special_files, ..ExportOptions::default() };
        let below = self.below.as_deref();
        Ok(export_layer(below, &self.view, output, &options, &mut |_| {})?.0.skipped)
    }

    /// That what was written is what is known of the layer.
    fn expect(&self, written: Sha256) -> Result<()> {
        match self.diff_id {
            Some(known) if known != written => {
                let operation = format!("write the layer {} as what it is known to be", self.id());
                Err(Error::corrupt(operation, "digest of its tar", written, known))
            }
            _ => Ok(()),
        }
    }
}

/// An output that tells how many bytes went into it.
struct Telling<'a, W> {
    output: W,
    tell: &'a (dyn Fn(u64) + Sync),
}

impl<W: Write> Write for Telling<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.output.write(bytes)?;
        (self.tell)(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}
