//! An invariant that never fails proves nothing: each of these faults must be caught, and by the promise that it breaks.

use tests::world::{
    fault::Fault,
    run::{Story, play_with},
};

/// Seeds that a fault may need before it shows.
const SEEDS: u64 = 120;

/// The promises that seeds break with this fault planted in one node, by name.
fn broken_by(fault: Fault) -> Vec<String> {
    let seeds = (0..SEEDS).filter(|seed| Story::of(*seed) == Story::Storm);
    let mut names: Vec<String> =
        seeds.filter_map(|seed| play_with(seed, false, Some(fault)).violation).map(|broken| broken.name()).collect();
    names.sort();
    names.dedup();
    names
}

fn assert_caught(fault: Fault, expected: &[&str]) {
    let broken = broken_by(fault);
    assert!(broken.iter().any(|name| expected.contains(&name.as_str())), "{fault:?} broke {broken:?}");
}

#[test]
fn a_store_that_acknowledges_before_it_commits_is_caught() {
    assert_caught(Fault::AcknowledgesEarly, &["Lost", "DeliveredNotDurable", "KeyReuse", "ShownTwice"]);
}

#[test]
fn a_driver_that_performs_effects_before_it_commits_is_caught() {
    assert_caught(Fault::PerformsFirst, &["ShownNotDurable", "AcknowledgedNotDurable", "KeyReuse"]);
}

#[test]
fn a_record_of_what_was_taken_in_that_forgets_is_caught() {
    // What it forgets is both the ids and the sequence: a message comes twice, or out of its place without a word, or is
    // gone although its sender was told that it had arrived.
    assert_caught(Fault::ForgetsSeen, &["ShownTwice", "HiddenGap", "DeliveredNotDurable"]);
}
