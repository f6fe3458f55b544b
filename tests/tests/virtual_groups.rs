//! People in groups under a seeded scheduler: groups made, joined, left, kicked out of, invited to, talked in, all at once
//! and in every weather; every seed played twice, every promise checked after every step.
//!
//! A failing seed is named; `SEED=n cargo test -p tests --test virtual_groups` plays it alone and prints its trace,
//! `FROM=n` begins with another seed than the first.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "what a test is made of")]

use tests::{
    seeds::play_these,
    world::{
        coverage::{Case, Coverage, LEAST},
        groups::run::{Story, play},
    },
};

/// Seeds of one run of the test; `SEEDS` plays more or fewer. Beyond these there are a few after
/// which a device is not where its account is: in storms with a hostile directory, and after a month away.
const SEEDS: u64 = 120;
/// Seeds that have to meet every case.
const SEEDS_OF_ALL: u64 = 300;
/// Lines of a trace that are printed, the last ones.
const LINES_PRINTED: usize = 200_000;

#[test]
fn groups_come_to_agree_and_keep_every_promise_for_every_seed_twice() {
    if let Ok(seed) = std::env::var("SEED") {
        return replay(seed.parse().expect("SEED is a number"));
    }
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("SEEDS is a number"));
    let first = std::env::var("FROM").map_or(0, |first| first.parse().expect("FROM is a number"));
    let reports = play_these(first..first + seeds, |seed| play(seed, false));
    let mut coverage = Coverage::default();
    let mut broken = Vec::new();
    for (first, second) in &reports {
        coverage.add(&first.coverage);
        if let Some(violation) = &first.violation {
            broken.push(format!("SEED={} {:?}: {violation:?}", first.seed, first.story));
        }
        if first.hash != second.hash {
            broken.push(format!("SEED={} {:?}: two runs differ", first.seed, first.story));
        }
    }
    let messages: usize = reports.iter().map(|(first, _)| first.messages).sum();
    println!("{seeds} seeds, {messages} messages\n{coverage}");
    assert!(broken.is_empty(), "{} of {seeds} seeds failed:\n{}", broken.len(), broken.join("\n"));
    if seeds < SEEDS_OF_ALL {
        return;
    }
    assert_eq!(coverage.missing_of(&Case::REQUIRED_OF_GROUPS), [], "cases met fewer than {LEAST} times");
}

fn replay(seed: u64) {
    let report = play(seed, true);
    for line in &report.lines[report.lines.len().saturating_sub(LINES_PRINTED)..] {
        println!("{line}");
    }
    println!("SEED={seed} {:?}, {} messages\n{}", report.story, report.messages, report.coverage);
    assert_eq!(report.violation, None, "SEED={seed}");
    let again = play(seed, true);
    let differs = report.lines.iter().zip(&again.lines).find(|(one, other)| one != other);
    assert_eq!(differs, None, "SEED={seed}: two runs differ");
    assert_eq!(report.hash, again.hash, "SEED={seed}: two runs differ in bytes that no line shows");
}

#[test]
fn stories_of_every_kind_are_played() {
    let count = |story| (0..SEEDS_OF_ALL).filter(|seed| Story::of(*seed) == story).count() as u64;
    for story in [Story::Storm, Story::Day, Story::Month] {
        assert!(count(story) >= LEAST, "{story:?}");
    }
}
