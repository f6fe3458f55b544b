//! People in groups under a seeded scheduler: groups made, joined, left, kicked out of, invited to, talked in, all at once
//! and in every weather; every seed played twice, every promise checked after every step.

use tests::{
    seeds::Runs,
    world::{
        coverage::{Case, LEAST},
        groups::run::{Story, play},
    },
};

/// Seeds of one run of the test.
const SEEDS: u64 = 300;

#[test]
fn groups_come_to_agree_and_keep_every_promise_for_every_seed_twice() {
    Runs { play, seeds: SEEDS, required: &Case::REQUIRED_OF_GROUPS }.prove();
}

#[test]
fn stories_of_every_kind_are_played() {
    let count = |story| (0..SEEDS).filter(|seed| Story::of(*seed) == story).count() as u64;
    for story in [Story::Storm, Story::Day, Story::Month] {
        assert!(count(story) >= LEAST, "{story:?}");
    }
}
