//! What becomes of levels and index files.

use super::*;

#[test]
fn a_long_chain_keeps_few_levels_and_writes_its_indexes() {
    let chain = Chain::of(&(0..1000).map(one_block).collect::<Vec<_>>());
    let view = chain.open();
    assert!(view.levels().len() <= 4, "{} levels", view.levels().len());
    assert!(view.index_counters().written >= 1);
    chain.compare(&view);
    // The next one opens no more layers than the stretches ask for.
    chain.layers.forget();
    let again = chain.open();
    assert!(chain.layers.open_layers() <= 64, "{} layers", chain.layers.open_layers());
    chain.compare(&again);
}

#[test]
fn a_stretch_is_worth_a_file_from_so_many_layers_or_extents_on() {
    let expect_files = |chain: &Chain, files: usize| {
        let view = chain.open();
        assert_eq!(view.levels().len(), 1);
        assert_eq!(
            (view.index_counters().written, chain.index_files().len()),
            (files as u64, files)
        );
    };
    for (layers, files) in [(31, 0), (32, 1)] {
        expect_files(&Chain::of(&(0..layers).map(one_block).collect::<Vec<_>>()), files);
    }
    // One more is below: a layer by itself is used through its own runs.
    for (extents, files) in [(16_382, 0), (16_383, 1)] {
        let mut chain = Chain::of(&[one_block(1)]);
        chain.push_with(|builder| {
            (0..extents).for_each(|at| builder.hollow(BlockAddress(at * 2), 1));
        });
        expect_files(&chain, files);
    }
}

#[test]
fn snapshots_on_top_are_merged_beside_their_path() {
    let mut chain = Chain::of(&[one_block(0)]);
    let mut view = chain.open();
    for number in 1..400 {
        chain.push(&one_block(number * 5));
        view = view.on_top(chain.layers.layer(chain.tip()).unwrap()).unwrap();
    }
    view.wait_for_merges();
    assert!(view.current().levels().len() <= 12, "{} levels", view.current().levels().len());
    assert!(view.index_counters().written >= 1);
    assert_eq!(view.index_counters().merge_failures, 0);
    chain.compare(&view);
}

#[test]
fn an_index_that_is_damaged_where_opening_does_not_look_is_made_anew_in_use() {
    let extents = 20_000;
    let mut chain = Chain::new(ReadPolicy::default());
    chain.push_with(|builder| {
        (0..extents).for_each(|at| builder.hollow(BlockAddress(at * 2), 1));
    });
    chain.open().persist_index().unwrap();
    let path = &chain.index_files()[0];
    let medium = chain.host.open(path, OpenMode::ReadWrite).unwrap();
    let length = medium.facts().unwrap().length;
    // The last page that holds more than what fills it up: payload of the last extents.
    let mut last = vec![0; 8192];
    medium.read_at(length - 8192, &mut last).unwrap();
    let at = last.iter().rposition(|&byte| byte != 0).unwrap();
    medium.write_at(length - 8192 + at as u64, &[last[at] ^ 4]).unwrap();
    let view = chain.open();
    assert_eq!((view.index_counters().unusable, view.index_counters().rebuilt), (0, 0));
    for address in (0..extents * 2).rev() {
        let data = matches!(
            view.find(BlockAddress(address)).unwrap().target,
            ViewTarget::Data { block, .. } if block.0 == 2 + address / 2
        );
        assert_eq!(data, address % 2 == 0, "{address}");
    }
    assert_eq!(view.index_counters().rebuilt, 1);
    // What took its place is whole.
    let again = chain.open();
    assert_eq!(again.extents(BlockAddress(0), BlockAddress(extents * 2)).count(), 40_000);
    assert_eq!((again.index_counters().unusable, again.index_counters().rebuilt), (0, 0));
}

#[test]
fn views_are_read_while_they_are_replaced() {
    let mut chain = Chain::of(&[one_block(0)]);
    let mut view = chain.open();
    let latest = parking_lot::Mutex::new((Arc::clone(&view), vec![0_u8; BLOCKS as usize]));
    latest.lock().1[0] = 1;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut whole = vec![0; BLOCKS as usize * SIZE];
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let (view, expected) = latest.lock().clone();
                    view.read(BlockAddress(0), 0, &mut whole).unwrap();
                    for (block, byte) in whole.chunks(SIZE).zip(expected) {
                        assert!(block.iter().all(|&found| found == byte));
                    }
                }
            });
        }
        for number in 1..300_u64 {
            chain.push(&one_block(number * 5));
            view = view.on_top(chain.layers.layer(chain.tip()).unwrap()).unwrap();
            let mut latest = latest.lock();
            latest.0 = Arc::clone(&view);
            latest.1[(number * 5 % BLOCKS) as usize] = (number * 31 + 1) as u8;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    view.wait_for_merges();
    chain.compare(&view);
}

#[test]
fn an_index_whose_table_of_layers_is_damaged_is_not_trusted() {
    let chain = Chain::of(&[one_block(1), one_block(2), one_block(3)]);
    chain.open().persist_index().unwrap();
    let medium = chain.host.open(&chain.index_files()[0], OpenMode::ReadWrite).unwrap();
    let mut byte = [0];
    for at in [4096, 4096 + 40, 4096 + 100] {
        medium.read_at(at, &mut byte).unwrap();
        medium.write_at(at, &[byte[0] ^ 1]).unwrap();
        let view = chain.open();
        assert_eq!(view.index_counters().unusable, 1, "byte {at}");
        chain.compare(&view);
        medium.write_at(at, &byte).unwrap();
    }
    assert_eq!(chain.open().index_counters().unusable, 0);
}

#[test]
fn an_index_of_another_chain_is_not_trusted() {
    let steps: Vec<_> = (0..40).map(one_block).collect();
    let chain = Chain::of(&steps);
    chain.open().persist_index().unwrap();
    // A chain whose tip has the same id and other content finds the index of the first.
    let index = chain.layers.index_path(chain.tip().id);
    let mut other_steps = steps.clone();
    other_steps[39].push(Step::Zero { start: 0, length: 3 });
    let other = Chain::of(&other_steps);
    assert_eq!(other.tip().id, chain.tip().id);
    let bytes = {
        let medium = chain.host.open(&index, OpenMode::Read).unwrap();
        let mut bytes = vec![0; medium.facts().unwrap().length as usize];
        medium.read_at(0, &mut bytes).unwrap();
        bytes
    };
    other.host.open(&index, OpenMode::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    let view = other.open();
    assert_eq!(view.index_counters().unusable, 1);
    other.compare(&view);
}

#[test]
fn layers_that_an_index_names_and_that_went_away_are_looked_for_anew() {
    let chain = Chain::of(&[one_block(1), one_block(2), one_block(3)]);
    chain.open().persist_index().unwrap();
    chain.host.remove(&FolderLayers::layer_path(chain.refs[0].id)).unwrap();
    let layers = FolderLayers::new(chain.host.clone(), ReadPolicy::default(), 8);
    let view = View::open(Arc::new(layers), chain.tip()).unwrap();
    let mut block = vec![0; SIZE];
    view.read(BlockAddress(2), 0, &mut block).unwrap();
    let error = view.read(BlockAddress(1), 0, &mut block).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(view.index_counters().rebuilt, 1);
}

#[test]
fn a_store_that_takes_no_index_is_read_all_the_same() {
    let chain = Chain::of(&(0..100).map(one_block).collect::<Vec<_>>());
    let full = CapacityHost::new(chain.host.clone(), 0);
    let layers = Arc::new(FolderLayers::new(full, ReadPolicy::default(), 8));
    let view = View::open(layers, chain.tip()).unwrap();
    assert_eq!((view.index_counters().written, view.index_counters().write_failures), (0, 1));
    assert_eq!(view.persist_index().unwrap_err().kind(), ErrorKind::NoSpace);
    chain.compare(&view);
    assert!(chain.index_files().is_empty());
}
