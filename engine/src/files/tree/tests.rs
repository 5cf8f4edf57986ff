//! The tree against an ordered map, through transactions that fail, writes and reopening.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{PageCache, Tree};
use crate::error::{Error, ErrorKind};
use crate::files::blocks::Blocks;
use crate::format::files::{ItemKind, Key, Superblock};
use crate::medium::MemoryHost;
use crate::testing::Random;
use crate::volume::Volume;
use crate::{LayerId, Store, StoreOptions};

fn volume() -> Volume {
    let store =
        Store::create_on(Arc::new(MemoryHost::new()), &StoreOptions::default()).expect("a store");
    store.create_tree("tree").expect("a tree")
}

fn empty() -> Tree {
    let superblock = Superblock::of_new_tree(LayerId([1; 16]), [0; 32]);
    Tree::create(superblock, 4096)
}

type Model = BTreeMap<Key, Vec<u8>>;

fn expect_equal(tree: &Tree, cache: &PageCache, volume: &Volume, model: &Model) {
    let pages = tree.pages(cache, volume);
    let mut expected = model.iter();
    pages
        .scan(Key::MIN, Key::MAX, |key, value| {
            let (wanted, content) = expected.next().expect("as many items");
            assert_eq!((key, value), (*wanted, &content[..]));
            Ok(ControlFlow::Continue(()))
        })
        .expect("a sound tree");
    assert!(expected.next().is_none());
    for (key, value) in model.iter().step_by(7) {
        assert_eq!(pages.get(*key).expect("sound").as_deref(), Some(&value[..]));
    }
}

fn some_key(random: &mut Random) -> Key {
    let kind = ItemKind::ALL[random.below(3) as usize];
    Key::new(kind, random.below(40) as u32, random.below(60))
}

#[test]
fn the_tree_holds_what_an_ordered_map_does() {
    let volume = volume();
    let cache = PageCache::new(1 << 20);
    let mut tree = empty();
    let mut model = Model::new();
    let mut random = Random::new(7);
    let mut deepest = 0;
    for round in 0..300 {
        let fails = random.below(4) == 0;
        let before = (model.clone(), tree.superblock().clone());
        // Rounds of growth and of decay, so that pages split and join.
        let growth = if round / 50 % 2 == 0 { 90 } else { 15 };
        let done = tree.transaction(&cache, &volume, |change| {
            for _ in 0..random.below(60) {
                let key = some_key(&mut random);
                if random.below(100) < growth {
                    let value = vec![random.below(256) as u8; random.below(999) as usize];
                    change.put(key, &value)?;
                    model.insert(key, value);
                } else if random.below(10) == 0 {
                    let (first, last) = Key::range(ItemKind::Entry, key.inode());
                    let count = change.remove_range(first, last)?;
                    let gone: Vec<Key> = model.range(first..=last).map(|(key, _)| *key).collect();
                    assert_eq!(count, gone.len() as u64);
                    gone.iter().for_each(|key| drop(model.remove(key)));
                } else {
                    assert_eq!(change.remove(key)?, model.remove(&key).is_some());
                }
            }
            match fails {
                true => Err(Error::new(ErrorKind::Io, "fail on purpose")),
                false => Ok(()),
            }
        });
        assert_eq!(done.is_err(), fails);
        if fails {
            model = before.0;
            assert_eq!(*tree.superblock(), before.1);
        }
        deepest = deepest.max(tree.superblock().levels);
        if random.below(3) == 0 {
            tree.write_out(&volume.batch(), &cache).expect("room");
            assert!(!tree.is_changed());
            if random.below(3) == 0 {
                cache.clear();
                tree = Tree::new(tree.superblock().clone(), 4096);
            }
        }
        if round % 10 == 0 {
            expect_equal(&tree, &cache, &volume, &model);
        }
    }
    assert!(deepest >= 3, "{deepest} levels");
    let (first, last) = (Key::MIN, Key::MAX);
    tree.transaction(&cache, &volume, |change| change.remove_range(first, last)).expect("room");
    assert_eq!((tree.superblock().levels, tree.superblock().pages), (1, 2));
    tree.write_out(&volume.batch(), &cache).expect("room");
    let used: u64 = Blocks::extents(&volume, crate::BlockAddress(0), crate::BlockAddress(1 << 32))
        .map(|extent| extent.expect("sound"))
        .filter(|extent| matches!(extent.target, crate::ViewTarget::Data { .. }))
        .map(|extent| extent.length)
        .sum();
    assert_eq!(used, 2, "a freed page is discarded");
}

#[test]
fn items_put_in_order_fill_their_pages() {
    let volume = volume();
    let cache = PageCache::new(1 << 20);
    let mut tree = empty();
    for inode in 2..5000 {
        tree.transaction(&cache, &volume, |change| {
            change.put(Key::new(ItemKind::Inode, inode, 0), &[1; 76])?;
            change.put(Key::new(ItemKind::Content, inode, 0), &[2; 300])
        })
        .expect("room");
    }
    let least = 4998 * (76 + 300 + 2 * 17) / 4096;
    let pages = tree.superblock().pages;
    assert!(pages < least * 115 / 100, "{pages} pages for what {least} could hold");
}

#[test]
fn a_page_that_stands_in_two_places_is_refused() {
    let volume = volume();
    let cache = PageCache::new(1 << 20);
    let mut tree = empty();
    for number in 0..400 {
        tree.transaction(&cache, &volume, |change| {
            change.put(Key::new(ItemKind::Content, 1, number), &[1; 500])
        })
        .expect("room");
    }
    tree.write_out(&volume.batch(), &cache).expect("room");
    cache.clear();
    let root = tree.superblock().root;
    let mut page = (*tree.pages(&cache, &volume).page(root).expect("sound")).clone();
    page.set_child(3, page.child(2));
    volume.write_blocks(crate::BlockAddress(root.into()), 0, page.encode()).expect("room");
    cache.clear();
    let error = tree
        .pages(&cache, &volume)
        .scan(Key::MIN, Key::MAX, |_, _| Ok(ControlFlow::Continue(())))
        .expect_err("a made-up tree");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// Once the first page below an inner one was freed, what lies below the key of the next belongs
/// to that. Where it was split there, the half was named without regard to that key: out of order.
#[test]
fn a_page_is_split_below_the_first_key_of_the_page_above() {
    let volume = volume();
    let cache = PageCache::new(1 << 20);
    let mut tree = empty();
    let key = |number: u64| Key::new(ItemKind::Content, 1, number);
    let mut model = Model::new();
    let put = |tree: &mut Tree, model: &mut Model, numbers: std::ops::Range<u64>, step| {
        tree.transaction(&cache, &volume, |change| {
            numbers.clone().step_by(step).try_for_each(|number| {
                model.insert(key(number), vec![number as u8; 900]);
                change.put(key(number), &[number as u8; 900])
            })
        })
        .expect("room");
    };
    put(&mut tree, &mut model, 0..100_000, 10);
    assert_eq!(tree.superblock().levels, 3);
    // The first leaf below the second inner page.
    let pages = tree.pages(&cache, &volume);
    let root = pages.page(tree.superblock().root).expect("sound");
    let inner = pages.page(root.child(1)).expect("sound");
    let (first, second) = (inner.key(0), inner.key(1));
    tree.transaction(&cache, &volume, |change| {
        model.retain(|key, _| !(first..second).contains(key));
        change.remove_range(first, key(second.sub() - 1))
    })
    .expect("room");
    put(&mut tree, &mut model, first.sub()..second.sub(), 1);
    tree.write_out(&volume.batch(), &cache).expect("room");
    cache.clear();
    expect_equal(&tree, &cache, &volume, &model);
}
