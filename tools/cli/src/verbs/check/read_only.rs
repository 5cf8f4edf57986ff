//! A host that changes nothing, whoever uses it: what checks must not even leave an index behind.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::medium::{FileFacts, Host, Medium, OpenMode};

/// What a host holds, to be read.
#[derive(Debug)]
pub struct ReadOnly(pub Arc<dyn Host>);

impl Host for ReadOnly {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn Medium>> {
        match mode {
            OpenMode::Read => self.0.open(path, mode),
            OpenMode::ReadWrite | OpenMode::CreateNew | OpenMode::OpenOrCreate => refused(),
        }
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.0.list(path)
    }

    fn facts(&self, path: &Path) -> io::Result<FileFacts> {
        self.0.facts(path)
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        self.0.display_path(path)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

#[cfg(test)]
mod tests {
    use sapwood::medium::MemoryHost;

    use super::*;

    #[test]
    fn what_is_there_is_read_and_nothing_comes_or_goes() {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::default());
        let file = Path::new("file");
        host.open(file, OpenMode::CreateNew).unwrap().write_at(0, b"bytes").unwrap();
        let read_only = ReadOnly(Arc::clone(&host));
        let mut bytes = [0; 5];
        read_only.open(file, OpenMode::Read).unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"bytes");
        let other = Path::new("other");
        for mode in [OpenMode::ReadWrite, OpenMode::CreateNew, OpenMode::OpenOrCreate] {
            assert!(read_only.open(other, mode).is_err());
        }
        assert!(read_only.create_folder(other).is_err());
        assert!(read_only.rename(file, other).is_err());
        assert!(read_only.rename_new(file, other).is_err());
        assert!(read_only.link(file, other).is_err());
        assert!(read_only.remove(file).is_err());
        assert_eq!(host.list(Path::new("")).unwrap(), ["file"]);
    }
}
