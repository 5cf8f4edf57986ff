//! A real tree brought in, beside a plain copy of it.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use sapwood::files::{FileKind, Inode, Paths, ReadFiles};
use sapwood_archive::{ImportOptions, import_directory};

use crate::{Place, table};

/// Where a tree of real files is on most hosts.
const REAL: &str = "/usr/share";

pub fn import(place: &Place, folder: &Path, quick: bool) {
    let from = Path::new(if quick { env!("CARGO_MANIFEST_DIR") } else { REAL });
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..if quick { 1 } else { 3 } {
        let copy = place.host.join(format!("copy-{round}"));
        let start = Instant::now();
        let done = Command::new("cp").args(["-a", "--reflink=never"]).arg(from).arg(&copy).status();
        assert!(done.unwrap().success());
        rustix::fs::syncfs(File::open(&copy).unwrap()).unwrap();
        theirs.push(start.elapsed());
        let name = format!("import-{round}");
        let files = place.tree(&name);
        let start = Instant::now();
        let options = ImportOptions::default();
        import_directory(&files, Inode::ROOT, from, &options, &mut |_| {}).unwrap();
        files.flush().unwrap();
        ours.push(start.elapsed());
        if round == 0 {
            sizes(&files, &folder.join("store"));
        }
        drop(files);
        place.store.remove(&name).unwrap();
        std::fs::remove_dir_all(copy).unwrap();
    }
    let what = format!("import {}, made durable", from.file_name().unwrap().display());
    table::times(&what, 1, ours, theirs, "1.0 x cp -a and sync");
}

/// What an imported tree takes.
fn sizes(files: &sapwood::files::Files, store: &Path) {
    let (mut entries, mut names, mut content, mut inline) = (0, 0, 0, 0);
    Paths::new(files)
        .walk("/", |path, attributes| {
            entries += 1;
            names += path.rsplit(|&byte| byte == b'/').next().map_or(0, <[u8]>::len) as u64;
            let is_stored = matches!(attributes.kind, FileKind::Regular | FileKind::Symlink);
            if is_stored && attributes.links == 1 {
                content += attributes.size;
                if attributes.allocated_bytes == 0 {
                    inline += attributes.size;
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    let metadata = files.statistics().unwrap().metadata_bytes;
    let each = (metadata - inline - names) / entries;
    let what = format!("metadata of an entry besides name and content ({entries})");
    table::figure(&what, &format!("{each} B"), "200 B");
    let layer = store.join(format!("layers/{}.layer", files.volume().layer_id()));
    let stored = std::os::unix::fs::MetadataExt::blocks(&layer.metadata().unwrap()) * 512;
    let ratio = format!("{:.2} x", content as f64 / stored as f64);
    let bytes = |bytes: u64| format!("{} KiB", bytes >> 10);
    let what = "size of the layer, beside the sum of its files";
    table::line(what, &bytes(stored), &bytes(content), &ratio, "");
}
