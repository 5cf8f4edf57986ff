//! Layers of random changes, counted block by block.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::files::{Files, FilesOptions, NewFile, ReadFiles, SetAttributes};
use crate::medium::MemoryHost;
use crate::{Annotations, Store, StoreOptions};

const BLOCK: u64 = 4096;

fn files() -> Files {
    let store = Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).unwrap();
    Files::open(store.create_tree("tree").unwrap(), FilesOptions::default()).unwrap()
}

fn snapshot(files: &Files) -> FilesView {
    FilesView::open(files.snapshot(&Annotations::default()).unwrap()).unwrap()
}

fn make(files: &Files, name: &str) -> Inode {
    files.create(Inode::ROOT, name.as_bytes(), &NewFile::regular(0o644)).unwrap().inode
}

#[test]
fn what_later_layers_replace_or_remove_is_waste_where_it_came_from() {
    let files = files();
    let (large, small) = (make(&files, "large"), make(&files, "small"));
    files.write(large, 0, &vec![1; 1 << 20]).unwrap();
    files.write(small, 0, b"hello").unwrap();
    files.attach(b"beside", &vec![1; 1 << 16]).unwrap();
    let kept = make(&files, "kept");
    files.write(kept, 0, b"kept").unwrap();
    let first = snapshot(&files);
    files.write(large, 8192, &[2; 100]).unwrap();
    files.write(small, 0, b"other").unwrap();
    let gone = make(&files, "gone");
    files.write(gone, 0, &vec![3; 5000]).unwrap();
    let second = snapshot(&files);
    files.unlink(Inode::ROOT, b"gone").unwrap();
    files.set_attributes(large, &SetAttributes { owner: Some(7), ..Default::default() }).unwrap();
    let third = snapshot(&files);

    let found = contents_of_layers(&[first, second, third]).unwrap();
    let told = |index: usize| {
        let LayerContent { content_bytes, hidden_bytes, hidden, .. } = &found[index];
        let hidden: Vec<_> =
            hidden.iter().map(|file| (str::from_utf8(&file.path).unwrap(), file.bytes)).collect();
        (*content_bytes, *hidden_bytes, hidden)
    };
    assert_eq!(told(0), ((1 << 20) + 9, 4101, vec![("large", 4096), ("small", 5)]));
    assert_eq!(told(1), (4096 + 5 + 5000, 5000, vec![("gone", 5000)]));
    assert_eq!(told(2), (0, 0, vec![]));
}

#[derive(Clone, Debug)]
enum Step {
    Write { file: u8, block: u64, blocks: u64 },
    Small { file: u8, bytes: u8 },
    Copy { from: u8, to: u8, block: u64, at: u64, blocks: u64 },
    Cut { file: u8, size: u64 },
    Remove { file: u8 },
    Rename { from: u8, to: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let file = || 0..4_u8;
    prop_oneof![
        4 => (file(), 0..8_u64, 1..5_u64)
            .prop_map(|(file, block, blocks)| Step::Write { file, block, blocks }),
        2 => (file(), any::<u8>()).prop_map(|(file, bytes)| Step::Small { file, bytes }),
        2 => (file(), file(), 0..8_u64, 0..8_u64, 1..4_u64)
            .prop_map(|(from, to, block, at, blocks)| Step::Copy { from, to, block, at, blocks }),
        1 => (file(), 0..40_000_u64).prop_map(|(file, size)| Step::Cut { file, size }),
        2 => file().prop_map(|file| Step::Remove { file }),
        1 => (file(), file()).prop_map(|(from, to)| Step::Rename { from, to }),
    ]
}

fn perform(files: &Files, step: &Step) {
    let name = |file: u8| [b'a' + file];
    let find = |file: u8| {
        files
            .lookup(Inode::ROOT, &name(file))
            .unwrap_or_else(|_| make(files, str::from_utf8(&name(file)).unwrap()))
    };
    match *step {
        Step::Write { file, block, blocks } => {
            files.write(find(file), block * BLOCK, &vec![9; (blocks * BLOCK) as usize]).unwrap();
        }
        Step::Small { file, bytes } => {
            let inode = find(file);
            let empty = SetAttributes { size: Some(0), ..SetAttributes::default() };
            files.set_attributes(inode, &empty).unwrap();
            files.write(inode, 0, &vec![bytes; bytes.into()]).unwrap();
        }
        Step::Copy { from, to, block, at, blocks } if from != to => {
            let (from, to) = (find(from), find(to));
            files.copy_range(from, block * BLOCK, to, at * BLOCK, blocks * BLOCK).unwrap();
        }
        Step::Copy { .. } => {}
        Step::Cut { file, size } => {
            let size = SetAttributes { size: Some(size), ..SetAttributes::default() };
            files.set_attributes(find(file), &size).unwrap();
        }
        Step::Remove { file } => {
            find(file);
            files.unlink(Inode::ROOT, &name(file)).unwrap();
        }
        Step::Rename { from, to } => {
            find(from);
            let mode = crate::files::RenameMode::Replace;
            files.rename(Inode::ROOT, &name(from), Inode::ROOT, &name(to), mode).unwrap();
        }
    }
}

/// What a tree shows, by whole walks: bytes of each block, and of small contents.
type Shown = (HashMap<(LayerId, u64), u64>, HashMap<(Inode, u32, Vec<u8>), u64>);

fn shown(view: &FilesView) -> Shown {
    let (mut blocks, mut small) = Shown::default();
    let mut files: Vec<Inode> =
        (0..4_u8).filter_map(|file| view.lookup(Inode::ROOT, &[b'a' + file]).ok()).collect();
    // A block that ends several files counts as the first of them has it.
    files.sort();
    for inode in files {
        let record = view.record(inode).unwrap();
        if is_inline(&record) {
            let content = view.reader().content(inode, record.size).unwrap();
            small.insert((inode, record.generation, content), record.size);
            continue;
        }
        for block in 0..record.size.div_ceil(BLOCK) {
            let address = BlockAddress((u64::from(inode.0) << FILE_BLOCK_BITS) + block);
            let end = BlockAddress(address.0 + 1);
            let extent = view.snapshot().extents(address, end).next().unwrap().unwrap();
            if let ViewTarget::Data { owner, block: at, .. } = extent.target {
                blocks.entry((owner, at.0)).or_insert(BLOCK.min(record.size - block * BLOCK));
            }
        }
    }
    (blocks, small)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn layers_bring_and_hide_what_whole_walks_say(
        layers in prop::collection::vec(prop::collection::vec(step(), 0..10), 1..5),
    ) {
        let files = files();
        let mut views = Vec::new();
        for steps in &layers {
            steps.iter().for_each(|step| perform(&files, step));
            views.push(snapshot(&files));
        }
        let found = contents_of_layers(&views).unwrap();
        let (top_blocks, top_small) = shown(views.last().unwrap());
        let mut known = HashMap::new();
        let mut small_before = HashMap::new();
        for (view, found) in views.iter().zip(&found) {
            let (blocks, small) = shown(view);
            let (mut content_bytes, mut hidden_bytes) = (0, 0);
            for (block, bytes) in blocks {
                if known.insert(block, ()).is_none() {
                    content_bytes += bytes;
                    hidden_bytes += if top_blocks.contains_key(&block) { 0 } else { bytes };
                }
            }
            for (content, bytes) in &small {
                if !small_before.contains_key(content) {
                    content_bytes += bytes;
                    hidden_bytes += if top_small.contains_key(content) { 0 } else { *bytes };
                }
            }
            small_before = small;
            prop_assert_eq!((found.content_bytes, found.hidden_bytes), (content_bytes, hidden_bytes));
            let named: u64 = found.hidden.iter().map(|file| file.bytes).sum();
            prop_assert_eq!(named, hidden_bytes);
        }
    }
}
