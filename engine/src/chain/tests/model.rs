//! Random chains.

use proptest::prelude::*;

use super::*;

fn chains() -> impl Strategy<Value = Vec<Vec<Step>>> {
    prop::collection::vec(prop::collection::vec(step(), 0..8), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_view_says_what_a_walk_of_the_chain_says(
        steps in chains(),
        persisted in any::<u16>(),
        deleted in any::<u16>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0..8u8), 0..6),
    ) {
        let mut chain = Chain::new(ReadPolicy::default());
        // Grown snapshot by snapshot, now and then with an index of all below.
        let mut view = View::empty(chain.layers.clone(), BlockSize::DEFAULT);
        for (number, steps) in steps.iter().enumerate() {
            chain.push(steps);
            let layer = chain.layers.layer(chain.tip()).unwrap();
            view = view.on_top(layer).unwrap();
            if persisted >> (number % 16) & 1 == 1 {
                view.persist_index().unwrap();
            }
        }
        chain.compare(&view);
        chain.compare(&chain.open());
        // Deleted and damaged indexes change nothing (INV-07).
        for (number, path) in chain.index_files().into_iter().enumerate() {
            if deleted >> (number % 16) & 1 == 1 {
                chain.host.remove(&path).unwrap();
            }
        }
        chain.compare(&chain.open());
        for (which, offset, bit) in flips {
            let files = chain.index_files();
            if files.is_empty() {
                break;
            }
            let medium = chain.host.open(&files[which.index(files.len())], OpenMode::ReadWrite).unwrap();
            let length = medium.facts().unwrap().length;
            let mut byte = [0];
            let offset = u64::from(offset) % length;
            medium.read_at(offset, &mut byte).unwrap();
            medium.write_at(offset, &[byte[0] ^ 1 << bit]).unwrap();
        }
        let damaged = chain.open();
        chain.compare(&damaged);
        damaged.persist_index().unwrap();
        chain.compare(&damaged);
        chain.compare(&chain.open());
    }

    #[test]
    fn changes_are_exact_between_any_two_views(steps in chains(), fork in any::<prop::sample::Index>()) {
        let chain = Chain::of(&steps);
        let other = fork.index(chain.refs.len());
        let before = View::open(chain.layers.clone(), &chain.refs[other]).unwrap();
        let after = chain.open();
        for (before, after, numbers) in [
            (&before, &after, (other, chain.refs.len() - 1)),
            (&after, &before, (chain.refs.len() - 1, other)),
        ] {
            let mut found = vec![None; BLOCKS as usize];
            let mut end = 0;
            for change in changes(before, after).unwrap() {
                let change = change.unwrap();
                assert!(change.start.0 >= end && change.length > 0);
                end = change.start.0 + change.length;
                for into in 0..change.length {
                    found[(change.start.0 + into) as usize] =
                        Some((change.before.advanced(into), change.after.advanced(into)));
                }
            }
            for address in 0..BLOCKS {
                let source = |held| match held {
                    Held::Data(owner, _, block, _) => Some((owner, block)),
                    _ => None,
                };
                let (old, new) = (chain.held(numbers.0, address), chain.held(numbers.1, address));
                let differs = match (old, new) {
                    (Held::Data(..), Held::Data(..)) => source(old) != source(new),
                    _ => old != new,
                };
                assert_eq!(found[address as usize].is_some(), differs, "{address}: {old:?} {new:?}");
                if let Some((told_old, told_new)) = found[address as usize] {
                    assert_eq!(told_old, before.find(BlockAddress(address)).unwrap().target);
                    assert_eq!(told_new, after.find(BlockAddress(address)).unwrap().target);
                }
            }
        }
    }
}
