//! A tree of the store: a stage, or an image.

use std::ops::ControlFlow;
use std::sync::Arc;

use sapwood::files::{Attributes, FileKind, FilesView, Inode, ReadFiles};
use sapwood::{ErrorKind, Result};
use sapwood_archive::tar::{Attribute, MemberKind};
use sapwood_archive::{ExportOptions, member_of};

use super::{Found, join};

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The files of a snapshot.
#[derive(Clone, Debug)]
pub struct TreeOrigin {
    /// The snapshot's files.
    pub view: Arc<FilesView>,
}

impl TreeOrigin {
    pub(super) fn top(&self) -> Result<Found> {
        self.found(Vec::new(), Inode::ROOT)
    }

    pub(super) fn child(&self, directory: &Found, name: &[u8]) -> Result<Option<Found>> {
        match self.view.lookup(directory.inode, name) {
            Ok(inode) => self.found(join(&directory.path, name), inode).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn children(&self, directory: &Found) -> Result<Vec<Found>> {
        let mut names = Vec::new();
        self.view.entries(directory.inode, 0, &mut |entry| {
            if entry.kind != FileKind::Socket {
                names.push((entry.name.to_vec(), entry.inode));
            }
            ControlFlow::Continue(())
        })?;
        names.sort_unstable();
        names
            .into_iter()
            .map(|(name, inode)| self.found(join(&directory.path, &name), inode))
            .collect()
    }

    pub(super) fn read(
        &self,
        found: &Found,
        attributes: &mut dyn FnMut(&[Attribute]) -> Result<()>,
        bytes: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        attributes(&found.member.attributes)?;
        let size = found.member.size;
        let mut buffer = vec![0; CHUNK_BYTES.min(size as usize)];
        let mut at = 0;
        while at < size {
            let read = self.view.read(found.inode, at, &mut buffer)?;
            bytes(&buffer[..read])?;
            at += read as u64;
        }
        Ok(())
    }

    fn found(&self, path: Vec<u8>, inode: Inode) -> Result<Found> {
        let attributes: Attributes = self.view.attributes(inode)?;
        let member = member_of(&*self.view, &attributes, &ExportOptions::default())?;
        let has_several = attributes.links > 1 && member.kind != MemberKind::Directory;
        let identity = has_several.then(|| (0, u64::from(inode.0)));
        Ok(Found { path, member, identity, inode })
    }
}
