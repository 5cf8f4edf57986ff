//! Random play against the model.

use proptest::prelude::*;

use super::play::play;
use super::step::{SIZE_MAX, Step};
use crate::harness::power_cut::factor;

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..1000_usize;
    let name = || 0..12_u8;
    let size = || prop_oneof![0..3000_u32, 0..SIZE_MAX];
    prop_oneof![
        6 => (at(), name(), 0..6_u8).prop_map(|(at, name, kind)| Step::Make { at, name, kind }),
        6 => (at(), size(), size(), any::<u8>())
            .prop_map(|(at, offset, length, value)| Step::Write { at, offset, length, value }),
        2 => (at(), size()).prop_map(|(at, size)| Step::Truncate { at, size }),
        2 => (at(), size(), size())
            .prop_map(|(at, offset, length)| Step::Zero { at, offset, length }),
        2 => (at(), 0..8_u32, at(), 0..8_u32, size()).prop_map(|(at, from, to_file, to, length)| {
            Step::Copy { at, from: from * 4096, to_file, to: to * 4096, length }
        }),
        1 => (at(), 0..9000_u32, at(), 0..9000_u32, size()).prop_map(
            |(at, from, to_file, to, length)| Step::Copy { at, from, to_file, to, length }
        ),
        2 => (at(), at(), name()).prop_map(|(at, to, name)| Step::Link { at, to, name }),
        3 => at().prop_map(|at| Step::Remove { at }),
        4 => (at(), at(), name(), any::<bool>())
            .prop_map(|(at, to, name, exchange)| Step::Rename { at, to, name, exchange }),
        // Without set-group-id, which directories give on.
        1 => (at(), 0..0o2000_u16, 0..5_u32).prop_map(|(at, permissions, owner)| {
            Step::Attributes { at, permissions, owner }
        }),
        2 => (at(), 0..3_u8, 0..5000_u32, any::<u8>()).prop_map(|(at, name, length, value)| {
            Step::SetExtended { at, name, length, value }
        }),
        1 => (at(), 0..3_u8).prop_map(|(at, name)| Step::RemoveExtended { at, name }),
        2 => Just(Step::Flush),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200 * factor() as u32, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_shows_what_the_model_shows(steps in prop::collection::vec(step(), 1..120)) {
        play(&steps).map_err(TestCaseError::fail)?;
    }
}
