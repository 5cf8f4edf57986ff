//! What a disk holds, as names and bytes, and the operations that change it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::medium::names::NameTree;
use crate::medium::sparse::{Page, SPARSE_PAGE_BYTES, SparseBytes, mix, pieces};
use crate::medium::{Host, OpenMode};

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileNumber(pub(super) u64);

/// The bytes of a write, cut at pages, whole pages ready to be shared.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) offset: u64,
    pub(super) length: u64,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Page(u64, Arc<Page>),
    Part(u64, Arc<[u8]>),
}

/// The unit in which a write tears, in bytes: a sector goes to the medium whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

impl Written {
    pub(super) fn new(offset: u64, bytes: &[u8]) -> Written {
        let pieces = pieces(offset, bytes.len()).map(|(number, within, range)| {
            match bytes[range.clone()].try_into() {
                Ok(whole) => Piece::Page(number, Arc::new(Page::new(whole))),
                Err(_) => {
                    let at = number * SPARSE_PAGE_BYTES as u64 + within as u64;
                    Piece::Part(at, bytes[range].into())
                }
            }
        });
        Written { offset, length: bytes.len() as u64, pieces: pieces.collect() }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// How many sectors it touches.
    pub(super) fn sectors(&self) -> u64 {
        match self.length {
            0 => 0,
            _ => (self.end() - 1) / SECTOR_BYTES - self.offset / SECTOR_BYTES + 1,
        }
    }

    /// Writes all of it.
    pub(super) fn put(&self, content: &mut SparseBytes) -> io::Result<()> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Page(number, page) => {
                content.put_page(*number, page.clone());
                Ok(())
            }
            Piece::Part(offset, bytes) => content.write(*offset, bytes),
        })
    }

    /// Writes those sectors, counted from the first one, that `arrived` says.
    pub(super) fn put_sectors(
        &self,
        content: &mut SparseBytes,
        mut arrived: impl FnMut(u64) -> bool,
    ) -> io::Result<()> {
        let first = self.offset / SECTOR_BYTES;
        let mut put = |at: u64, bytes: &[u8]| {
            let mut done = 0;
            while done < bytes.len() {
                let sector = (at + done as u64) / SECTOR_BYTES;
                let left = (sector + 1) * SECTOR_BYTES - (at + done as u64);
                let end = bytes.len().min(done + left as usize);
                if arrived(sector - first) {
                    content.write(at + done as u64, &bytes[done..end])?;
                }
                done = end;
            }
            Ok(())
        };
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Page(number, page) => put(number * SPARSE_PAGE_BYTES as u64, page.bytes()),
            Piece::Part(offset, bytes) => put(*offset, bytes),
        })
    }
}

/// A change of one file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(Written),
    SetLength(u64),
    Allocate { offset: u64, length: u64 },
    Punch { offset: u64, length: u64 },
}

impl Change {
    pub(super) fn apply(&self, content: &mut SparseBytes) -> io::Result<()> {
        match self {
            Change::Write(written) => written.put(content),
            Change::SetLength(length) => content.set_length(*length),
            Change::Allocate { offset, length } => content.allocate(*offset, *length),
            Change::Punch { offset, length } => content.punch(*offset, *length),
        }
    }
}

/// A change of the names. Each carries the file, since it may arrive without those before it.
#[derive(Clone, Debug)]
pub(super) enum Naming {
    Create { path: PathBuf, file: FileNumber },
    CreateFolder { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf, file: FileNumber },
    Remove { path: PathBuf, file: FileNumber },
}

impl Naming {
    /// The folder whose sync makes it durable; for a rename that of the new name.
    pub(super) fn folder(&self) -> &Path {
        let (Naming::Create { path, .. }
        | Naming::CreateFolder { path }
        | Naming::Rename { to: path, .. }
        | Naming::Remove { path, .. }) = self;
        path.parent().unwrap_or(Path::new(""))
    }
}

/// One entry of the log of a disk.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Change(FileNumber, Change),
    Naming(Naming),
    /// All changes of the file before are durable.
    Sync(FileNumber),
    /// A sync of the file failed: the host dropped what was not durable yet, and forgot about it.
    LoseUnsynced(FileNumber),
    /// The cache of the file is gone: reads see what the device holds.
    DropCache(FileNumber),
    /// All names in the folder are durable.
    SyncFolder(PathBuf),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Change(file, change) => match change {
                Change::Write(w) => {
                    write!(f, "write {} +{} of file {}", w.offset, w.length, file.0)
                }
                Change::SetLength(length) => write!(f, "set length {length} of file {}", file.0),
                Change::Allocate { offset, length } => {
                    write!(f, "allocate {offset} +{length} of file {}", file.0)
                }
                Change::Punch { offset, length } => {
                    write!(f, "punch {offset} +{length} of file {}", file.0)
                }
            },
            Operation::Naming(naming) => match naming {
                Naming::Create { path, file } => {
                    write!(f, "name {} file {}", path.display(), file.0)
                }
                Naming::CreateFolder { path } => write!(f, "create folder {}", path.display()),
                Naming::Rename { from, to, file } => {
                    write!(f, "rename {} to {}, file {}", from.display(), to.display(), file.0)
                }
                Naming::Remove { path, file } => {
                    write!(f, "remove {}, file {}", path.display(), file.0)
                }
            },
            Operation::Sync(file) => write!(f, "sync file {}", file.0),
            Operation::LoseUnsynced(file) => write!(f, "failed sync of file {}", file.0),
            Operation::DropCache(file) => write!(f, "drop the cache of file {}", file.0),
            Operation::SyncFolder(path) => write!(f, "sync folder {:?}", path.display()),
        }
    }
}

/// Names and files at one moment. A clone shares what neither side changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) names: NameTree<FileNumber>,
    pub(super) files: BTreeMap<FileNumber, Arc<SparseBytes>>,
}

impl Image {
    /// The content of a file; one that was never written is empty.
    pub(super) fn content(&mut self, file: FileNumber) -> &mut SparseBytes {
        Arc::make_mut(self.files.entry(file).or_default())
    }

    /// The content of a file, for looking at.
    pub(super) fn view(&self, file: FileNumber) -> &SparseBytes {
        static EMPTY: SparseBytes = SparseBytes::new();
        self.files.get(&file).map_or(&EMPTY, |content| content)
    }

    /// How many names a file has.
    pub(super) fn links(&self, file: FileNumber) -> u64 {
        self.names.files().filter(|(_, other)| **other == file).count() as u64
    }

    /// Does what a naming says as far as the names that are there allow: others of the
    /// same folder may have been lost.
    pub(super) fn name(&mut self, naming: &Naming) {
        match naming {
            Naming::Create { path, file } => self.names.put(path, *file),
            Naming::CreateFolder { path } => self.names.put_folder(path),
            Naming::Rename { from, to, file } => {
                if self.names.file(from).ok() == Some(file) {
                    self.names.take(from);
                }
                self.names.put(to, *file);
            }
            Naming::Remove { path, file } => {
                if self.names.file(path).ok() == Some(file) {
                    self.names.take(path);
                }
            }
        }
    }

    /// Takes away what no name leads to: names in folders that are not there, files without a name.
    pub(super) fn forget_unreachable(&mut self) {
        self.names.drop_orphans();
        let named: std::collections::BTreeSet<FileNumber> =
            self.names.files().map(|(_, file)| *file).collect();
        self.files.retain(|file, _| named.contains(file));
    }

    /// Makes all of it on a host that holds nothing: holes stay holes, and a file with several
    /// names is one.
    pub(super) fn write_to(&self, host: &dyn Host) -> io::Result<()> {
        // A folder comes before what is in it.
        for path in self.names.folders().filter(|path| !path.as_os_str().is_empty()) {
            host.create_folder(path)?;
        }
        let mut made: BTreeMap<FileNumber, &Path> = BTreeMap::new();
        for (path, number) in self.names.files() {
            if let Some(first) = made.get(number) {
                host.link(first, path)?;
                continue;
            }
            let file = host.open(path, OpenMode::CreateNew)?;
            let content = self.view(*number);
            file.set_length(content.length())?;
            let mut at = 0;
            while let Some((start, end)) = content.next_data(at) {
                let mut bytes = vec![0; (end - start) as usize];
                content.read(start, &mut bytes)?;
                file.write_at(start, &bytes)?;
                at = end;
            }
            made.insert(*number, path);
        }
        Ok(())
    }

    /// 64 bits that stand for all names and all bytes under them.
    pub(super) fn fingerprint(&self) -> u64 {
        let hash = |path: &Path| {
            let mut hasher = DefaultHasher::new();
            hasher.write(path.as_os_str().as_bytes());
            hasher.finish()
        };
        let folders = self.names.folders().fold(0, |sum, path| mix(sum ^ hash(path)));
        self.names.files().fold(folders, |sum, (path, file)| {
            let content = self.view(*file).fingerprint();
            mix(sum ^ mix(hash(path) ^ content))
        })
    }
}
