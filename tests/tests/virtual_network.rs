//! The real cores under a seeded scheduler: hundreds of seeds, each played twice, every invariant after every step.

use tests::{
    seeds::Runs,
    world::{
        coverage::{Case, LEAST},
        run::{Story, play},
    },
};

/// Seeds of one run of the test.
const SEEDS: u64 = 300;

#[test]
fn every_promise_holds_for_every_seed_and_every_seed_repeats_itself() {
    Runs { play, seeds: SEEDS, required: &Case::REQUIRED }.prove();
}

#[test]
fn stories_of_every_kind_are_played() {
    let count = |story| (0..SEEDS).filter(|seed| Story::of(*seed) == story).count() as u64;
    for story in [Story::Away, Story::Day, Story::Fortnight, Story::Storm] {
        assert!(count(story) >= LEAST, "{story:?}");
    }
}
