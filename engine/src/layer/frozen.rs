//! A frozen layer: its header, runs and sources, verified, and its blocks.

use std::path::Path;
use std::sync::Arc;

use super::descriptors::{Descriptors, FileSource};
use super::file::LayerFile;
use super::pieces::{read_blob, read_run};
use super::policy::ReadPolicy;
use super::slots::read_header;
use crate::error::{Error, ErrorKind, Result};
use crate::extent::{Extent, Holes, Run, Span, merge};
use crate::format::{Annotations, Header, LayerRef, LayerState, PageKind, annotations, sources};
use crate::medium::Medium;
use crate::units::{BlockAddress, SourceIndex};

/// A layer whose blocks and map do not change any more.
#[derive(Debug)]
pub struct Layer {
    file: LayerFile,
    header: Header,
    runs: Vec<Arc<Run>>,
    sources: Vec<LayerRef>,
}

impl Layer {
    /// Opens the layer file at `path` of the host behind `descriptors`.
    ///
    /// Errors: [`ErrorKind::Corrupt`] where anything does not verify or the file has not exactly
    /// the length that its header says; [`ErrorKind::WrongParent`] where it is open: who recorded it
    /// recorded a frozen one.
    pub fn open(
        descriptors: &Arc<Descriptors>,
        path: &Path,
        policy: ReadPolicy,
    ) -> Result<Arc<Layer>> {
        Layer::open_file(descriptors, path, &descriptors.get(path)?, policy)
    }

    /// As [`open`](Layer::open), with the file at `path` open already.
    pub fn open_file(
        descriptors: &Arc<Descriptors>,
        path: &Path,
        medium: &Arc<dyn Medium>,
        policy: ReadPolicy,
    ) -> Result<Arc<Layer>> {
        let shown = descriptors.host().display_path(path);
        let facts =
            medium.facts().map_err(|error| Error::io("look at a layer", error).in_file(&shown))?;
        let header = read_header(&**medium, &shown)?.header;
        if header.state != LayerState::Frozen {
            return Err(Error::new(ErrorKind::WrongParent, "open a layer as a snapshot")
                .in_file(&shown)
                .about("state", "open", "frozen"));
        }
        expect_length(facts.length, &header, &shown)?;
        let source = FileSource::Pooled {
            descriptors: Arc::clone(descriptors),
            path: path.to_owned(),
            identity: facts.identity,
        };
        let file = LayerFile::new(
            source,
            &shown,
            header.layer,
            header.block_size,
            policy,
            Some(header.file_bytes),
        );
        let identity = (header.layer, header.block_size);
        let sources = match &header.sources {
            None => Vec::new(),
            Some(piece) => {
                let what = (PageKind::Sources, "table of sources");
                sources::decode(&read_blob(&**medium, &shown, what, identity, piece)?)?
            }
        };
        let runs =
            header.runs.iter().map(|piece| read_run(&file, piece)).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Layer { file, header, runs, sources }))
    }

    /// A layer put together by who has looked into an open one.
    pub(crate) fn from_parts(
        file: LayerFile,
        header: Header,
        runs: Vec<Arc<Run>>,
        sources: Vec<LayerRef>,
    ) -> Arc<Layer> {
        Arc::new(Layer { file, header, runs, sources })
    }

    /// The file.
    pub fn file(&self) -> &LayerFile {
        &self.file
    }

    /// The header as it was when the layer was opened.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How a child records the layer.
    pub fn reference(&self) -> LayerRef {
        self.header.layer_ref()
    }

    /// The layers whose blocks this one refers to besides its own, by source index less one.
    pub fn sources(&self) -> &[LayerRef] {
        &self.sources
    }

    /// The layer behind `source`, which is not [`SourceIndex::OWN`].
    ///
    /// Errors: [`ErrorKind::Corrupt`] where the table has no such entry.
    pub fn source(&self, source: SourceIndex) -> Result<&LayerRef> {
        let entry = source.0.checked_sub(1).and_then(|entry| self.sources.get(entry as usize));
        entry.ok_or_else(|| {
            let expected = format!("1 to {}", self.sources.len());
            Error::corrupt("look up a source of a layer", "source", source.0, expected)
                .in_file(self.file.path())
        })
    }

    /// The runs, newest first.
    pub fn runs(&self) -> &[Arc<Run>] {
        &self.runs
    }

    /// What the layer itself says about `address`; `None` and holes alike ask the parent.
    pub fn find(&self, address: BlockAddress) -> Result<Span> {
        find_in_runs(&self.runs, address)
    }

    /// The extents of the layer from `start` on, over all runs, without holes.
    pub fn extents_from(
        &self,
        start: BlockAddress,
    ) -> Result<Box<dyn Iterator<Item = Result<Extent>> + '_>> {
        let mut merged: Box<dyn Iterator<Item = Result<Extent>> + '_> =
            Box::new(std::iter::empty());
        for run in self.runs.iter().rev() {
            merged = Box::new(merge(run.extents_from(start)?, merged, Holes::Drop));
        }
        Ok(merged)
    }

    /// The checksum of the data block that the layer maps at `address`.
    pub fn checksum(&self, address: BlockAddress) -> Result<u32> {
        checksum_in_runs(&self.runs, address, &self.file)
    }

    /// Adds to `checksums` those of the `blocks` data blocks that the layer maps from `address` on.
    pub fn append_checksums(
        &self,
        address: BlockAddress,
        blocks: u64,
        checksums: &mut Vec<u32>,
    ) -> Result<()> {
        let end = address.0 + blocks;
        let mut at = address;
        while at.0 < end {
            let more = checksums_in_runs(&self.runs, at, end - at.0, &self.file)?;
            checksums.extend_from_slice(more);
            at = BlockAddress(at.0 + more.len() as u64);
        }
        Ok(())
    }

    /// What people say of the layer.
    pub fn annotations(&self) -> Result<Annotations> {
        let Some(piece) = &self.header.annotations else { return Ok(Annotations::default()) };
        let medium = self.file.medium()?;
        let body = read_blob(
            &*medium,
            self.file.path(),
            (PageKind::Annotations, "annotations"),
            (self.header.layer, self.header.block_size),
            piece,
        )?;
        annotations::Annotations::decode(&body).map_err(|error| error.in_file(self.file.path()))
    }
}

/// That the file of a frozen layer has exactly the length that its header says.
pub fn expect_length(found: u64, header: &Header, path: &Path) -> Result<()> {
    match found == header.file_bytes {
        true => Ok(()),
        false => Err(Error::corrupt("open a layer", "file length", found, header.file_bytes)
            .in_file(path)
            .at_offset(found.min(header.file_bytes))),
    }
}

/// What runs, newest first, say about `address`.
pub(crate) fn find_in_runs(runs: &[Arc<Run>], address: BlockAddress) -> Result<Span> {
    let mut end = BlockAddress(crate::units::ADDRESS_END);
    for run in runs {
        let span = run.find(address)?;
        end = end.min(span.end);
        if span.target.is_some() {
            return Ok(Span { target: span.target, end });
        }
    }
    Ok(Span { target: None, end })
}

/// The checksum of the data block that runs, newest first, map at `address`.
pub(crate) fn checksum_in_runs(
    runs: &[Arc<Run>],
    address: BlockAddress,
    file: &LayerFile,
) -> Result<u32> {
    Ok(checksums_in_runs(runs, address, 1, file)?[0])
}

/// The checksums of that block and of those behind it that the same extent maps, at most `blocks`.
fn checksums_in_runs<'a>(
    runs: &'a [Arc<Run>],
    address: BlockAddress,
    blocks: u64,
    file: &LayerFile,
) -> Result<&'a [u32]> {
    let mut end = BlockAddress(address.0 + blocks);
    for run in runs {
        let span = run.find(address)?;
        end = end.min(span.end);
        if span.target.is_some() {
            return run.checksums(address, end.0 - address.0);
        }
    }
    Err(Error::corrupt("look up a block checksum", "address", address, "a mapped address")
        .in_file(file.path()))
}
