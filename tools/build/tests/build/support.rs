//! A store, a context, and what a build made of them.

#[path = "../../../oci/tests/oci/programs.rs"]
mod programs;

use std::fs;
use std::path::PathBuf;

use sapwood::files::{FileKind, FilesView, Paths, ReadFiles};
use sapwood::{Store, StoreOptions};
use sapwood_build::{CacheUse, Error, Ignore, Options, Outcome, Report, build, silent};
use sapwood_oci::Platform;
use tempfile::TempDir;

pub use programs::can_run;

/// A store and a context of its own.
pub struct Bench {
    pub folder: TempDir,
    pub store: Store,
}

impl Bench {
    pub fn new() -> Bench {
        let folder = TempDir::new().expect("a folder");
        let store = Store::create(folder.path().join("store"), &StoreOptions::default());
        fs::create_dir(folder.path().join("context")).expect("a context");
        Bench { store: store.expect("a store"), folder }
    }

    pub fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    /// Writes a file of the context, with the directories above it.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.context().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("make directories");
        fs::write(path, content).expect("write a file");
    }

    pub fn options(&self, containerfile: &str) -> Options {
        Options {
            file: PathBuf::from("Containerfile"),
            containerfile: containerfile.as_bytes().to_vec(),
            context: Some(self.context()),
            ignore: Ignore::default(),
            contexts: Vec::new(),
            tags: Vec::new(),
            target: None,
            arguments: Vec::new(),
            labels: Vec::new(),
            secrets: Vec::new(),
            platform: Platform::of_the_machine(),
            source_date_epoch: None,
            cache: CacheUse::Use,
            cache_from: Vec::new(),
            explain: true,
            runtime: None,
        }
    }

    pub fn try_build(&self, containerfile: &str) -> Result<Report, Error> {
        build(&self.store, &self.options(containerfile), &silent)
    }

    pub fn build(&self, containerfile: &str) -> Report {
        self.try_build(containerfile).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn view(&self, report: &Report) -> FilesView {
        let layer = report.layer.expect("a layer").to_string();
        FilesView::open(self.store.snapshot_of(&layer).expect("a snapshot")).expect("a tree")
    }

    /// All files, a line each: path, permissions, owner, and what is in them.
    pub fn tree(&self, report: &Report) -> Vec<String> {
        let view = self.view(report);
        let paths = Paths::new(&view);
        let mut lines = Vec::new();
        let walked = paths.walk("/", |path, file| {
            let at = format!("/{}", String::from_utf8_lossy(path));
            let what = match file.kind {
                FileKind::Directory => "/".to_owned(),
                FileKind::Symlink => {
                    format!(" -> {}", String::from_utf8_lossy(&view.read_link(file.inode).unwrap()))
                }
                FileKind::Regular => {
                    let mut content = vec![0; file.size.min(64) as usize];
                    let read = view.read(file.inode, 0, &mut content).unwrap();
                    format!(" {:?}", String::from_utf8_lossy(&content[..read]))
                }
                other => format!(" {other:?}"),
            };
            let (permissions, owner, group) = (file.permissions, file.owner, file.group);
            lines.push(format!("{permissions:04o} {owner}:{group} {at}{what}"));
            Ok(std::ops::ControlFlow::Continue(()))
        });
        walked.expect("a walk");
        lines
    }
}

/// How the steps ended, those of the configuration left out.
pub fn outcomes(report: &Report) -> Vec<(String, Outcome)> {
    let steps = report.steps.iter().filter(|(_, step)| step.outcome != Outcome::Configured);
    steps.map(|(step, report)| (step.instruction.clone(), report.outcome)).collect()
}

/// Why steps were not made before.
pub fn reasons(report: &Report) -> Vec<String> {
    report.steps.iter().filter_map(|(_, step)| step.reason.clone()).collect()
}
