//! Writes what the fuzz targets begin with: real files of a small store, into `corpus/`.
//!
//! Ids are random, so the files differ from one time to the next; those that are
//! committed stay until the format changes.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sapwood::format::Annotations;
use sapwood::format::page::MAGIC;
use sapwood::medium::{Host, MemoryHost, OpenMode};
use sapwood::store::{Replace, Store};
use sapwood::units::PAGE_BYTES;
use sapwood::volume::CloneSource;
use sapwood_fuzz::world::{BLOCK, options};
use sapwood_fuzz::{archive, images};

const PAGE: usize = PAGE_BYTES as usize;

fn main() -> Result<(), Box<dyn Error>> {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    fill(&Store::create_on(Arc::clone(&host), &options())?)?;
    for (name, stream) in archive::seeds() {
        for target in ["tar_import", "layer_import"] {
            write(target, name, &[&[1][..], &stream].concat())?;
        }
    }
    for (name, layout) in images::seeds() {
        write("oci_load", name, &layout)?;
    }
    // A header of five bytes, and then what the fifth file has.
    let frames = [&[11, 0, 0, 0][..], b"heads", &[6, 0, 0, 0], b"end"].concat();
    let contents = [&2_u32.to_le_bytes()[..], &5000_u64.to_le_bytes()].concat();
    write("residue", "one", &[&[1, contents.len() as u8], &contents[..], &frames].concat())?;
    let mut pages = Vec::new();
    for (folder, how) in [("layers", 1), ("index", 2), ("names", 3)] {
        let mut files = host.list(Path::new(folder))?;
        files.sort();
        for (number, file) in files.iter().enumerate() {
            let bytes = read(&*host, &Path::new(folder).join(file))?;
            let seed = [&[how][..], &bytes].concat();
            if folder == "layers" {
                write("layer_open", &format!("layer-{number}"), &seed)?;
            }
            write("dump_check", &format!("{folder}-{number}"), &seed)?;
            let ours = bytes.chunks_exact(PAGE).filter(|page| page[..4] == MAGIC.to_le_bytes());
            pages.extend(ours.map(<[u8]>::to_vec));
        }
    }
    // The decoder of each kind of page, by the order of the target.
    let decoder = |kind: u8| match kind {
        1..=3 => Some(kind - 1),
        7..=9 => Some(kind - 4),
        _ => None,
    };
    for (number, page) in pages.iter().enumerate() {
        if let Some(which) = decoder(page[4]) {
            let used = page[..PAGE - 4].iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1);
            let seed = [&[which][..], &page[..used]].concat();
            write("format_decoders", &format!("page-{number}"), &seed)?;
        }
    }
    // Operations are drawn from bytes: any will do to begin with.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for number in 0..8 {
        let bytes: Vec<u8> = (0..64 << (number % 4))
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        write("operations", &format!("drawn-{number}"), &bytes)?;
        write("crash_sequences", &format!("drawn-{number}"), &bytes)?;
        write("tree_operations", &format!("drawn-{number}"), &bytes)?;
        write("tree_pages", &format!("drawn-{number}"), &bytes)?;
    }
    Ok(())
}

/// A store with a layer of each kind: open with a journal, open and closed, frozen, sealed,
/// with sources, with annotations, with more than one run.
fn fill(store: &Store) -> sapwood::Result<()> {
    let base = store.create_volume("base", 24 * BLOCK)?;
    for block in 0..8 {
        base.write_at(block * 2 * BLOCK, &[block as u8 + 1; BLOCK as usize])?;
    }
    base.flush()?;
    base.checkpoint()?;
    base.write_at(BLOCK, &[9; 2 * BLOCK as usize])?;
    base.discard(4 * BLOCK, BLOCK)?;
    let annotations = Annotations { comment: Some("a base".to_owned()), ..Annotations::default() };
    let snapshot = base.snapshot(&annotations)?;
    store.tag("base@1", "base:1", Replace::Refuse)?;
    base.write_at(0, &[10; 100])?;
    base.flush()?;
    base.close()?;

    let other = store.create_volume("other", 24 * BLOCK)?;
    other.clone_range(CloneSource::Snapshot(&snapshot), 0, 8 * BLOCK, 8 * BLOCK)?;
    other.write_at(0, &[11; 3 * BLOCK as usize])?;
    other.snapshot(&Annotations::default())?;
    store.seal("other@1")?;

    let fork = store.fork("base:1", "fork")?;
    for round in 1..4 {
        fork.write_at(round * BLOCK, &[round as u8; BLOCK as usize])?;
        fork.clone_range(CloneSource::Own, BLOCK, 12 * BLOCK, BLOCK)?;
        fork.flush()?;
    }
    Ok(())
}

fn read(host: &dyn Host, path: &Path) -> std::io::Result<Vec<u8>> {
    let file = host.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; file.facts()?.length as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn write(target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("seed-{name}")), bytes)
}
