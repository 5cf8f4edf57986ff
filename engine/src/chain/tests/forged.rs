//! Indexes that verify and are wrong: what somebody may put into a store.

use std::path::Path;

use super::*;
use crate::chain::index::write_index;
use crate::chain::level::Level;
use crate::chain::merge::merge_levels;
use crate::chain::slots::Slots;
use crate::extent::{Extent, RunBuilder, RunOrigin};
use crate::format::index::run_page;
use crate::format::page::Prelude;
use crate::format::{IndexHead, PageKind};
use crate::raw::AlignedBytes;

/// Writes an index of all from `tip` down whose extents `change` has changed; those without a length go.
pub(crate) fn forge(layers: &Arc<dyn Layers>, tip: &LayerRef, change: impl FnOnce(&mut [Extent])) {
    let view = View::open(Arc::clone(layers), tip).unwrap();
    let right = merge_levels(view.current().levels(), view.block_size()).unwrap();
    let (head, table, run) = right.unwritten_index().unwrap();
    let mut extents: Vec<Extent> = run.extents().collect::<Result<_>>().unwrap();
    change(&mut extents);
    let mut builder = RunBuilder::without_checksums();
    extents.retain(|extent| extent.length > 0);
    extents.into_iter().for_each(|extent| builder.push(extent).unwrap());
    let encoded = builder
        .finish(&Prelude {
            kind: PageKind::Index,
            layer: head.tip.id,
            generation: head.tip.freeze_generation,
            place: run_page(head.slots),
        })
        .unwrap();
    let head = IndexHead { run: encoded.piece, ..*head };
    let origin = RunOrigin { path: Path::new("(forged)").into(), offset: 0 };
    let run = encoded.open(PageKind::Index, head.tip.id, origin).unwrap();
    let slots = Slots::of_index(&head, AlignedBytes::copy_of(table).unwrap().into());
    write_index(&**layers, &Level::of_index(head, slots, run, false, Vec::new())).unwrap();
}

/// Blocks 0 to 3 in the lowest layer, one more in each of 39 others.
fn chain() -> Chain {
    let mut steps = vec![vec![Step::Data { start: 0, length: 4 }]];
    steps.extend((4..43).map(one_block));
    Chain::of(&steps)
}

fn layers(chain: &Chain) -> Arc<dyn Layers> {
    chain.layers.clone()
}

fn first_block(extents: &mut [Extent]) -> &mut FileBlock {
    let Target::Data { block, .. } = &mut extents[0].target else { panic!("data") };
    block
}

/// Each read of such an address once failed for good.
#[test]
fn an_index_that_contradicts_the_layer_it_names_is_made_anew_in_use() {
    let changes: [fn(&mut [Extent]); 3] = [
        // Another block of the same layer, one past its file, and a layer that says nothing there.
        |extents| first_block(extents).0 += 1,
        |extents| first_block(extents).0 += 1 << 20,
        |extents| extents[0].target = extents[1].target,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        type Read = fn(&View, &mut [u8]) -> Result<()>;
        let reads: [Read; 4] = [
            |view, whole| view.read(BlockAddress(0), 0, whole),
            |view, whole| {
                let request =
                    ReadRequest { address: BlockAddress(0), offset: 1, buffer: &mut whole[1..] };
                view.read_many(&mut [request])
            },
            |view, _| view.source_of(BlockAddress(0)).map(drop),
            |view, _| view.share(BlockAddress(0)).map(drop),
        ];
        for (way, read) in reads.into_iter().enumerate() {
            // Where nothing is compared with a checksum, nothing can be found out.
            if way == 2 && number < 2 || way == 3 && number == 1 {
                continue;
            }
            let chain = chain();
            forge(&layers(&chain), chain.tip(), change);
            let view = chain.open();
            assert_eq!((view.index_counters().unusable, view.index_counters().rebuilt), (0, 0));
            let read = read(&view, &mut vec![0; 4 * SIZE]);
            if way == 3 && view.index_counters().rebuilt == 0 {
                // Here nothing is mapped.
                continue;
            }
            read.unwrap_or_else(|error| panic!("{number}, {way}: {error}"));
            assert_eq!(view.index_counters().rebuilt, 1, "{number}, {way}");
            chain.compare(&view);
            // What took its place is right.
            let again = chain.open();
            chain.compare(&again);
            assert_eq!((again.index_counters().unusable, again.index_counters().rebuilt), (0, 0));
        }
    }
}

/// A block that rots is no fault of the index, which stays.
#[test]
fn an_index_over_a_damaged_block_is_kept() {
    let chain = chain();
    chain.open().persist_index().unwrap();
    let path = FolderLayers::layer_path(chain.refs[0].id);
    let medium = chain.host.open(&path, OpenMode::ReadWrite).unwrap();
    medium.write_at(2 * SIZE as u64, b"rot").unwrap();
    let view = chain.open();
    let error = view.read(BlockAddress(0), 0, &mut vec![0; 4 * SIZE]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(view.index_counters().rebuilt, 0);
    assert_eq!(chain.index_files().len(), 1);
}
