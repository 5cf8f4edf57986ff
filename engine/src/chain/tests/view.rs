//! What views refuse, and what they give back.

use super::*;
use crate::chain::level::Level;
use crate::layer::{FileSource, Layer, LayerFile};

#[test]
fn changes_over_more_layers_than_are_worth_a_look_are_exact_too() {
    let chain = Chain::of(&(0..300).map(|at| one_block(at * 7)).collect::<Vec<_>>());
    let view_of = |number: usize| View::open(chain.layers.clone(), &chain.refs[number]).unwrap();
    let (before, after) = (view_of(10), view_of(299));
    let mut changed = vec![false; BLOCKS as usize];
    for change in changes(&before, &after).unwrap() {
        let change = change.unwrap();
        let range = change.start.0 as usize..(change.start.0 + change.length) as usize;
        changed[range].fill(true);
    }
    // Each block was written again since, in one of the last 48 layers.
    assert!(changed.iter().all(|&changed| changed));
    assert_eq!(changes(&after, &after).unwrap().count(), 0);
    assert_eq!(changes(&after, &view_of(299)).unwrap().count(), 0);
}

#[test]
fn a_parent_that_is_not_the_one_recorded_is_refused() {
    let chain = Chain::of(&[one_block(1), one_block(2), one_block(3)]);
    let other = Chain::of(&[one_block(1), one_block(9), one_block(3)]);
    let path = FolderLayers::layer_path(chain.refs[1].id);
    let medium = other.host.open(&path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; medium.facts().unwrap().length as usize];
    medium.read_at(0, &mut bytes).unwrap();
    chain.host.remove(&path).unwrap();
    chain.host.open(&path, OpenMode::CreateNew).unwrap().write_at(0, &bytes).unwrap();
    let error = View::open(chain.layers.clone(), chain.tip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongParent, "{error}");
}

#[test]
fn a_layer_goes_only_on_the_view_that_it_was_made_on() {
    let chain = Chain::of(&[one_block(1), one_block(2)]);
    let base = View::open(chain.layers.clone(), &chain.refs[0]).unwrap();
    let [own, root] = [1, 0].map(|number| chain.layers.layer(&chain.refs[number]).unwrap());
    // Its parent has the same id and other content.
    let other = Chain::of(&[one_block(3), one_block(4)]);
    let foreign = other.layers.layer(other.tip()).unwrap();
    let empty = |size| View::empty(chain.layers.clone(), size);
    for (view, layer) in [
        (&base, foreign),
        (&base, Arc::clone(&root)),
        (&empty(BlockSize::DEFAULT), Arc::clone(&own)),
        (&empty(BlockSize::MAX), Arc::clone(&root)),
    ] {
        let error = view.on_top(layer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongParent, "{error}");
    }
    base.on_top(own).unwrap();
    empty(BlockSize::DEFAULT).on_top(root).unwrap();
}

#[test]
fn a_parent_of_another_block_size_is_refused() {
    let chain = Chain::new(ReadPolicy::default());
    let make = |number: u8, size, parent| {
        let (id, geometry) = (LayerId([number; 16]), (size, 1 << 20));
        let path = FolderLayers::layer_path(id);
        let mut builder = LayerBuilder::create(&*chain.host, &path, id, geometry, parent).unwrap();
        builder.blank(BlockAddress(number.into()), 1, Target::Zero);
        builder.finish().unwrap()
    };
    let parent = make(1, BlockSize::MAX, None);
    let child = make(2, BlockSize::DEFAULT, Some(parent));
    let error = View::open(chain.layers.clone(), &child).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::WrongParent, Some("block size")));
}

#[test]
fn a_chain_that_comes_back_to_itself_is_an_error() {
    let chain = Chain::of(&[one_block(1), one_block(2)]);
    // The parent is in the header and not in what the map checksum covers.
    let path = FolderLayers::layer_path(chain.refs[0].id);
    let medium = chain.host.open(&path, OpenMode::ReadWrite).unwrap();
    let mut header = crate::layer::read_header(&*medium, &path).unwrap().header;
    header.parent = Some(chain.refs[1]);
    for slot in 0..2 {
        medium.write_at(slot * 4096, &header.encode(slot)).unwrap();
    }
    let error = View::open(chain.layers.clone(), chain.tip()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn ranges_past_the_address_space_and_past_a_disk_are_refused() {
    let chain = Chain::of(&[one_block(1)]);
    let view = chain.open();
    let mut two = vec![1; 2 * SIZE];
    let last = BlockAddress(ADDRESS_END - 1);
    assert_eq!(view.read(last, 0, &mut two).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(view.read(last, 1, &mut two[..SIZE]).unwrap_err().kind(), ErrorKind::InvalidInput);
    view.read(last, 0, &mut two[..SIZE]).unwrap();
    assert!(two[..SIZE].iter().all(|&byte| byte == 0));
    let snapshot = Snapshot::new(view, None).unwrap();
    let size = snapshot.size_bytes();
    assert_eq!(size, BLOCKS * SIZE as u64);
    snapshot.read_at(size - 10, &mut two[..10]).unwrap();
    for (offset, length) in [(size - 10, 11), (size + 1, 0), (u64::MAX, 2)] {
        let error = snapshot.read_at(offset, &mut two[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{offset} {length}");
    }
    snapshot.read_at(size, &mut []).unwrap();
}

#[test]
fn damaged_data_is_an_error_and_not_data() {
    for chain in [Chain::new(ReadPolicy::default()), Chain::in_files()] {
        let chain = chain.grown(&[one_block(1), one_block(2)]);
        let path = FolderLayers::layer_path(chain.refs[0].id);
        let medium = chain.host.open(&path, OpenMode::ReadWrite).unwrap();
        medium.write_at(2 * SIZE as u64 + 77, &[0xff]).unwrap();
        let view = chain.open();
        let mut block = vec![0; SIZE];
        for _ in 0..2 {
            let error = view.read(BlockAddress(1), 0, &mut block).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(!matches!(view.borrow(BlockAddress(1)), Ok(Borrowed::Block(_))));
        }
        assert_eq!(view.index_counters().rebuilt, 0);
        view.read(BlockAddress(2), 0, &mut block).unwrap();
    }
}

#[test]
fn mapped_and_unmapped_files_and_every_policy_say_the_same() {
    let steps: Vec<_> = (0..60)
        .map(|at| {
            let mut steps = one_block(at * 7);
            steps.push(Step::Clone {
                start: at * 11 % BLOCKS,
                layer: at as usize,
                from: at * 3 % BLOCKS,
            });
            steps.push(Step::Zero { start: at * 13 % BLOCKS, length: 1 });
            steps
        })
        .collect();
    Chain::in_files().grown(&steps).compare_opened();
    for map in [MapPolicy::Map, MapPolicy::Read] {
        for verify in [VerifyPolicy::FirstTouch, VerifyPolicy::EveryRead] {
            Chain::new(ReadPolicy { map, verify }).grown(&steps).compare_opened();
        }
    }
}

#[test]
fn a_map_that_names_a_source_its_table_lacks_is_an_error_and_no_panic() {
    let mut chain = Chain::of(&[one_block(1), one_block(2)]);
    let base = chain.open();
    let clone = Step::Clone { start: 5, layer: 0, from: 1 };
    chain.push(&[clone]);
    let whole = chain.layers.layer(chain.tip()).unwrap();
    let medium = whole.file().medium().unwrap();
    let path = FolderLayers::layer_path(chain.tip().id);
    let source = FileSource::Held(medium);
    let header = whole.header().clone();
    let (size, policy) = (header.block_size, ReadPolicy::default());
    let file = LayerFile::new(source, &path, header.layer, size, policy, Some(header.file_bytes));
    let broken = Layer::from_parts(file, header, whole.runs().to_vec(), Vec::new());

    // Merged into what lies below, it would lead to the layers of others.
    assert_eq!(base.on_top(Arc::clone(&broken)).unwrap_err().kind(), ErrorKind::Corrupt);
    let alone = Level::of_layer(Arc::clone(&broken));
    assert!(alone.slots().held_owner(1).is_none());
    for error in [
        alone.slots().owner(1, &*chain.layers).err().unwrap(),
        alone.slots().get(1).unwrap_err(),
        alone.slots().get(u32::MAX).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert!(base.on_top(whole).is_ok());
}
