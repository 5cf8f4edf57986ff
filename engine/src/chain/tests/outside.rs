//! Open layers that were looked into, on top of a view.

use super::*;
use crate::format::LayerState;
use crate::layer::{Elsewhere, FileSource, Layer, LayerFile};

/// Nobody writes.
#[derive(Debug)]
struct AtRest;

impl Elsewhere for AtRest {
    fn has_moved_on(&self) -> bool {
        false
    }
}

/// An open layer on the tip of `chain` as somebody outside sees it: blocks of one byte each.
fn look(chain: &Chain, blocks: &[(u64, u8)]) -> Arc<Layer> {
    let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
    let id = LayerId([0x0e; 16]);
    let path = FolderLayers::layer_path(id);
    let geometry = (BlockSize::DEFAULT, BLOCKS * SIZE as u64);
    let mut builder =
        LayerBuilder::create(&*host, &path, id, geometry, Some(*chain.tip())).unwrap();
    for &(address, byte) in blocks {
        builder.data(BlockAddress(address), &[byte; SIZE]).unwrap();
    }
    let reference = builder.finish().unwrap();
    let frozen = FolderLayers::new(Arc::clone(&host), ReadPolicy::default(), 1);
    let frozen = frozen.layer(&reference).unwrap();
    let source = FileSource::Held(host.open(&path, OpenMode::Read).unwrap());
    let (size, policy) = (BlockSize::DEFAULT, ReadPolicy::OUTSIDE);
    let file = LayerFile::new(source, &path, id, size, policy, None).outside(Arc::new(AtRest));
    let mut header = frozen.header().clone();
    header.state = LayerState::Open;
    header.freeze_generation = 0;
    Layer::from_parts(file, header, frozen.runs().to_vec(), Vec::new())
}

#[test]
fn an_open_layer_stays_apart_and_enters_no_index() {
    let chain = Chain::of(&[one_block(1), one_block(2)]);
    let view = chain.open().on_top(look(&chain, &[(2, 9), (7, 8)])).unwrap();
    view.persist_index().unwrap();
    assert!(chain.index_files().is_empty());
    let mut block = [0; SIZE];
    for (address, byte) in [(1, 1), (2, 9), (3, 0), (7, 8)] {
        view.read(BlockAddress(address), 0, &mut block).unwrap();
        assert_eq!(block, [byte; SIZE], "{address}");
    }
    assert_eq!(view.depth(), 3);
}

#[test]
fn an_open_layer_seen_twice_is_compared_by_what_its_blocks_hold() {
    let chain = Chain::of(&[one_block(1), one_block(2)]);
    let base = chain.open();
    // Between the two looks, the block that held address 2 was written anew.
    let before = base.on_top(look(&chain, &[(2, 9), (7, 8)])).unwrap();
    let after = base.on_top(look(&chain, &[(2, 5), (7, 8)])).unwrap();
    let found: Vec<_> = changes(&before, &after).unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].start.0, found[0].length), (2, 1));
    assert_eq!(changes(&before, &before).unwrap().count(), 0);
    let since_base: Vec<_> =
        changes(&base, &after).unwrap().map(|change| change.unwrap().start.0).collect();
    assert_eq!(since_base, [2, 7]);
}
