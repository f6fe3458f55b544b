//! People with money under a seeded scheduler: they pay, ask, answer and give back, all at once and in every weather; every
//! seed played twice, every promise checked against the ledger's own entries.

use tests::{
    seeds::Runs,
    world::{
        coverage::{Case, LEAST},
        market::run::{Story, play},
    },
};

/// Seeds of one run of the test.
const SEEDS: u64 = 300;

#[test]
fn every_payment_is_settled_once_and_told_as_the_ledger_has_it_for_every_seed_twice() {
    Runs { play, seeds: SEEDS, required: &Case::REQUIRED_OF_MONEY }.prove();
}

#[test]
fn stories_of_every_kind_are_played() {
    let count = |story| (0..SEEDS).filter(|seed| Story::of(*seed) == story).count() as u64;
    for story in [Story::Storm, Story::Day, Story::Week, Story::Month] {
        assert!(count(story) >= LEAST, "{story:?}");
    }
}
