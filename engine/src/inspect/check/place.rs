//! Where the files of a store that is being checked are, and how a finding names them.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::inspect::report::{Finding, Severity, text_of};
use crate::medium::Host;
use crate::units::LayerId;

/// The folder that is being checked.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its host.
    pub host: &'a dyn Host,
    /// Its path there.
    pub root: &'a Path,
}

impl Place<'_> {
    /// The files of a folder of the store, in order; none where the folder is missing.
    pub fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.root.join(folder);
        match self.host.list(&path) {
            Ok(files) => {
                let mut files: Vec<String> =
                    files.into_iter().map(|file| file.to_string_lossy().into_owned()).collect();
                files.sort_unstable();
                Ok(files)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => {
                Err(Error::io("list a folder", error).in_file(self.host.display_path(&path)))
            }
        }
    }

    /// The path of a file in a folder of the store.
    pub fn path(&self, folder: &str, file: &str) -> PathBuf {
        self.root.join(folder).join(file)
    }

    /// The file of a layer.
    pub fn layer(&self, id: LayerId) -> PathBuf {
        self.path("layers", &format!("{id}.layer"))
    }

    /// A finding about a file of the store.
    pub fn finding(&self, severity: Severity, path: &Path, what: String) -> Finding {
        let path = self.host.display_path(path);
        Finding { severity, path, offset: None, layer: None, block: None, what }
    }

    /// What an error says, as a finding about `path`: as bad as given, where that is no newer version's.
    pub fn failed(&self, severity: Severity, path: &Path, error: &Error) -> Finding {
        let mut finding = self.finding(severity.of(error), path, text_of(error));
        finding.offset = error.offset();
        finding
    }
}
