//! An invariant that never fails proves nothing: each of these faults must be caught, and by the promise that it breaks.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use tests::world::{
    fault::Fault,
    groups::run as groups,
    market::run as market,
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

/// The same among people in groups: some seed must break one of these promises.
fn assert_caught_in_groups(fault: Fault, expected: &[&str]) {
    let mut broken = Vec::new();
    for seed in (0..SEEDS).filter(|seed| groups::Story::of(*seed) == groups::Story::Storm) {
        broken.extend(groups::play_with(seed, false, Some(fault)).violation.map(|violation| violation.name()));
        if broken.last().is_some_and(|name| expected.contains(&name.as_str())) {
            return;
        }
    }
    panic!("{fault:?} broke {broken:?}");
}

#[test]
fn a_directory_that_delivers_to_whoever_has_gone_is_caught() {
    assert_caught_in_groups(Fault::ForgetsRemovals, &["DeliveredToOutsider"]);
}

#[test]
fn a_member_that_counts_a_change_twice_after_a_crash_is_caught() {
    assert_caught_in_groups(Fault::ForgetsCommits, &["Astray", "MemberChangeTold"]);
}

#[test]
fn a_member_that_lost_an_epoch_and_applies_its_own_commit_all_the_same_is_caught() {
    assert_caught_in_groups(Fault::BelievesItWon, &["Fork", "Astray"]);
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

/// The same for promises about money, with the fault planted in the ledger's store.
fn assert_caught_in_the_ledger(fault: Fault, expected: &[&str]) {
    let mut broken = Vec::new();
    for seed in 0..SEEDS {
        broken.extend(market::play_with(seed, false, Some(fault)).violation.map(|violation| violation.name()));
        if broken.last().is_some_and(|name| expected.contains(&name.as_str())) {
            return;
        }
    }
    panic!("{fault:?} broke {broken:?}");
}

#[test]
fn a_ledger_that_answers_before_its_batch_is_kept_is_caught() {
    assert_caught_in_the_ledger(Fault::SettlesEarly, &["ToldNotKept", "LedgerDoubted"]);
}

#[test]
fn a_ledger_that_settles_an_order_again_is_caught() {
    assert_caught_in_the_ledger(Fault::AppliesAgain, &["SettledTwice"]);
}

#[test]
fn a_ledger_that_forgets_that_a_request_was_paid_is_caught() {
    assert_caught_in_the_ledger(Fault::ForgetsPaid, &["RequestPaidTwice"]);
}
