//! A store against the plain model, through random sequences of everything that a user
//! can do, crashes in between.

use proptest::prelude::*;

use crate::harness::action::action;
use crate::harness::play::play;
use crate::harness::power_cut::factor;
use crate::harness::store::StoreSubject;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256 * factor() as u32, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_shows_what_the_model_shows(actions in prop::collection::vec(action(), 1..60)) {
        play::<StoreSubject>(&actions).map_err(TestCaseError::fail)?;
    }
}
