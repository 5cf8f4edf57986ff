//! A directory of the host: a context.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use sapwood::files::Inode;
use sapwood::{Error, ErrorKind, Result};
use sapwood_archive::tar::{Attribute, MemberKind};
use sapwood_archive::{HostDirectory, HostFile, Identity};

use super::{Found, Ignored, join};
use crate::patterns::Ignore;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// The extended attributes that belong to a file; others say how this host treats it.
const OWN_ATTRIBUTES: [&[u8]; 2] = [b"user.", b"security.capability"];

/// A directory of the host, and what of it counts.
#[derive(Clone, Debug)]
pub struct HostOrigin {
    top: Arc<HostDirectory>,
    ignore: Arc<Ignore>,
}

impl HostOrigin {
    /// The directory at `path`, without what is ignored.
    pub fn open(path: &Path, ignore: Ignore) -> Result<HostOrigin> {
        Ok(HostOrigin { top: Arc::new(HostDirectory::open(path)?), ignore: Arc::new(ignore) })
    }

    pub(super) fn top(&self) -> Result<Found> {
        let HostFile { member, .. } = self.top.file()?;
        Ok(Found { path: Vec::new(), member, identity: None, inode: Inode(0) })
    }

    pub(super) fn child(&self, directory: &Found, name: &[u8]) -> Result<Option<Found>> {
        let Ok(name) = CString::new(name) else { return Ok(None) };
        let opened = self.open_directory(&directory.path)?;
        match opened.look(&name) {
            Ok(file) => self.found(&directory.path, &opened, &name, file).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn children(&self, directory: &Found) -> Result<Vec<Found>> {
        let opened = self.open_directory(&directory.path)?;
        let mut children = Vec::new();
        for name in opened.names()? {
            let file = opened.look(&name)?;
            if file.member.kind != MemberKind::Socket {
                children.push(self.found(&directory.path, &opened, &name, file)?);
            }
        }
        Ok(children)
    }

    pub(super) fn read(
        &self,
        found: &Found,
        attributes: &mut dyn FnMut(&[Attribute]) -> Result<()>,
        bytes: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (above, name) = match found.path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&found.path[..slash], &found.path[slash + 1..]),
            None => (&[][..], &found.path[..]),
        };
        let directory = self.open_directory(above)?;
        let name = CString::new(name).map_err(|_| no_name(&found.path))?;
        let (device, inode) = found.identity.unwrap_or_default();
        let (fd, file) = directory.open_file(&name, Identity { device, inode })?;
        attributes(&of_the_file(file.member.attributes))?;
        let path = directory.path_of(&name);
        let mut file = File::from(fd);
        let mut buffer = vec![0; CHUNK_BYTES.min(found.member.size as usize + 1)];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => bytes(&buffer[..read])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read a file", error).in_file(path)),
            }
        }
    }

    pub(super) fn ignores(&self, path: &[u8]) -> Ignored {
        match self.ignore.ignores(path) {
            false => Ignored::No,
            true if self.ignore.may_take_in() => Ignored::Itself,
            true => Ignored::Whole,
        }
    }

    fn open_directory(&self, path: &[u8]) -> Result<HostDirectory> {
        self.top.below(Path::new(OsStr::from_bytes(path)))
    }

    fn found(
        &self,
        above: &[u8],
        directory: &HostDirectory,
        name: &std::ffi::CStr,
        file: HostFile,
    ) -> Result<Found> {
        let HostFile { mut member, identity, .. } = file;
        if member.kind == MemberKind::Directory {
            member.attributes = directory.enter(name)?.file()?.member.attributes;
        }
        member.attributes = of_the_file(member.attributes);
        let identity = Some((identity.device, identity.inode));
        Ok(Found { path: join(above, name.to_bytes()), member, identity, inode: Inode(0) })
    }
}

fn of_the_file(mut attributes: Vec<Attribute>) -> Vec<Attribute> {
    attributes.retain(|(name, _)| OWN_ATTRIBUTES.iter().any(|own| name.starts_with(own)));
    attributes
}

fn no_name(path: &[u8]) -> Error {
    let found = format!("\"{}\"", path.escape_ascii());
    Error::invalid("read a file", "path", found, "one without a NUL")
}
