//! People with several devices under a seeded scheduler: machines bought, copied, wiped, revoked and found again, and
//! passwords changed, at random points of a storm; every seed played twice, every promise checked after every step.

use tests::{
    seeds::Runs,
    world::{coverage::Case, devices::run::play},
};

/// Seeds of one run of the test.
const SEEDS: u64 = 200;

#[test]
fn devices_come_and_go_and_every_promise_holds_for_every_seed_twice() {
    Runs { play, seeds: SEEDS, required: &Case::REQUIRED_OF_DEVICES }.prove();
}
