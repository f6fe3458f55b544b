//! Fixed stories, of two people, of a group and of money, with one death at every commit of anybody, just before it and
//! just after it: each run must end healed with every promise kept.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "what a test is made of")]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tests::world::{
    coverage::Case,
    crash::{CrashPlan, Point},
    groups::sweep as groups,
    market::sweep as market,
    sweep::{Outcome, play},
};

#[test]
fn a_death_before_or_after_any_commit_breaks_no_promise() {
    if let Ok(plan) = std::env::var("CRASH") {
        return replay(play, &plan);
    }
    let calm = sweep(play);
    for case in [Case::FirstMessageRace, Case::DuplicateDelivery, Case::ExternalRejoin] {
        assert!(calm.coverage.count(case) > 0, "the story has no {case:?}");
    }
}

#[test]
fn a_death_before_or_after_any_commit_breaks_no_promise_of_groups() {
    if let Ok(plan) = std::env::var("CRASH") {
        return replay(groups::play, &plan);
    }
    let calm = sweep(groups::play);
    let cases = [Case::MemberJoined, Case::MemberInvited, Case::MemberRemoved, Case::MemberLeft, Case::KeptKeysShutOut];
    for case in cases {
        assert!(calm.coverage.count(case) > 0, "the story has no {case:?}");
    }
}

#[test]
fn a_death_before_or_after_any_commit_breaks_no_promise_about_money() {
    if let Ok(plan) = std::env::var("CRASH") {
        return replay(market::play, &plan);
    }
    let calm = sweep(market::play);
    let cases = [
        Case::ToldPaid,
        Case::ToldNotPaid,
        Case::PaymentRefunded,
        Case::RequestPaid,
        Case::RequestDeclined,
        Case::RequestCancelled,
        Case::DepositedByPayee,
    ];
    for case in cases {
        assert!(calm.coverage.count(case) > 0, "the story has no {case:?}");
    }
}

/// Plays a story without any death, and with one at each place; tells what the calm one was like.
fn sweep(play: fn(Option<CrashPlan>, bool) -> Outcome) -> Outcome {
    let calm = play(None, false);
    assert_eq!(calm.violation, None, "without any death");
    assert!(calm.commits > 100, "the story is too short to prove much: {} commits", calm.commits);
    let next = AtomicU64::new(0);
    let broken = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= calm.commits * 2 {
                        return;
                    }
                    let plan = plan_at(place);
                    if let Outcome { violation: Some(violation), .. } = play(Some(plan), false) {
                        let line = format!("CRASH={}{}: {violation:?}", plan.commit, letter(plan.point));
                        broken.lock().expect("no thread panics with the lock").push(line);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().expect("no thread panics with the lock");
    println!("{} commits, each died at before and after", calm.commits);
    assert!(broken.is_empty(), "{} deaths broke a promise:\n{}", broken.len(), broken.join("\n"));
    calm
}

fn plan_at(place: u64) -> CrashPlan {
    let point = if place.is_multiple_of(2) { Point::BeforeCommit } else { Point::AfterCommit };
    CrashPlan { commit: place / 2, point }
}

fn letter(point: Point) -> char {
    if point == Point::BeforeCommit { 'b' } else { 'a' }
}

/// `CRASH=17a` plays the death after commit 17 and prints its trace; name the test too, since each story has its own.
fn replay(play: fn(Option<CrashPlan>, bool) -> Outcome, plan: &str) {
    let (number, point) = plan.split_at(plan.len() - 1);
    let point = if point == "b" { Point::BeforeCommit } else { Point::AfterCommit };
    let plan = CrashPlan { commit: number.parse().expect("a number and a or b"), point };
    let outcome = play(Some(plan), true);
    for line in &outcome.lines {
        println!("{line}");
    }
    assert_eq!(outcome.violation, None, "{plan:?}");
}
