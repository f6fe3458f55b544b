//! A device that had fallen out comes back: what it missed counts for what it had said before, too.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use node_core::event::MemberChange::{Invited, Joined, Left, Removed};

use protocol::{
    Bounded,
    directory::{MailItem, Reply, Request},
};

use super::*;

const HOUR_MS: u64 = 3_600_000;

/// How far a node was told that its messages in `team` have come towards somebody.
fn receipts(table: &Table, seat: Seat, to: &str) -> Vec<DeliveryState> {
    let state = |kind| match kind {
        EventKind::Receipt { to: user, state, group: Some(group), .. }
            if group == named("team") && user == named(to) =>
        {
            Some(state)
        }
        _ => None,
    };
    table.events(seat).into_iter().filter_map(state).collect()
}

/// Keeps commits from whichever seat the cell names, for good.
fn withhold_commits(table: &mut Table, from: Seat) -> Rc<Cell<Option<Seat>>> {
    let (from, withheld) = (Rc::new(Cell::new(Some(from))), RefCell::new(BTreeSet::new()));
    let named = Rc::clone(&from);
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) => {
            let is_commit = |item: &MailItem| named.get() == Some(seat) && matches!(item, MailItem::Commit { .. });
            let commits = items.iter().filter(|(_, item)| is_commit(item)).map(|(cursor, _)| (seat, *cursor));
            withheld.borrow_mut().extend(commits);
            let given = items.into_iter().filter(|(cursor, _)| !withheld.borrow().contains(&(seat, *cursor))).collect();
            Ok(Reply::Mail { items: Bounded::new(given).unwrap_or_default(), more })
        }
        answer => answer,
    }));
    from
}

/// Keeps whatever tells of a group's changes from one seat, while the cell says so; what was kept back never comes.
fn hide_a_group(table: &mut Table, from: Seat) -> Rc<Cell<bool>> {
    let (hidden, withheld) = (Rc::new(Cell::new(true)), RefCell::new(BTreeSet::new()));
    let hides = Rc::clone(&hidden);
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (_, Ok(Reply::Mail { items, more })) if seat == from => {
            if hides.get() {
                withheld.borrow_mut().extend(items.iter().map(|(cursor, _)| *cursor));
            }
            let given = items.into_iter().filter(|(cursor, _)| !withheld.borrow().contains(cursor)).collect();
            Ok(Reply::Mail { items: Bounded::new(given).unwrap_or_default(), more })
        }
        (Request::Epochs { groups }, Ok(Reply::Epochs(_))) if seat == from && hides.get() => {
            let believed = groups.iter().map(|(_, epoch)| Some(*epoch)).collect();
            Ok(Reply::Epochs(Bounded::new(believed).unwrap_or_default()))
        }
        (_, answer) => answer,
    }));
    hidden
}

/// Alice says something while carol is away; then carol is kicked, unseen by alice, from whom commits are kept back.
fn kicked_unseen(table: &mut Table) -> (Vec<Seat>, Rc<Cell<Option<Seat>>>) {
    let seats = team(table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    must(table, alice, "PROMOTE team bob");
    table.pass(5_000);
    table.sleep(carol);
    let said = must(table, alice, "SAY team are you there?");
    assert!(recipients(said).contains(&("carol".to_owned(), DeliveryState::Sent)));
    table.pass(5_000);
    let withholding = withhold_commits(table, alice);
    must(table, bob, "KICK team carol");
    table.pass(5_000);
    (seats, withholding)
}

#[test]
fn what_was_for_somebody_who_went_unseen_has_failed_for_whoever_comes_back() {
    let mut table = Table::new();
    let (seats, withholding) = kicked_unseen(&mut table);
    table.pass(5_000);
    withholding.set(None);
    must(&mut table, seats[1], "SAY team who is here?");
    table.pass(60_000);
    assert_eq!(heard(&table, seats[0]).last(), Some(&pair("bob", "who is here?")));
    assert_eq!(changes(&table, seats[0]).last(), Some(&told("carol", "carol", Removed)));
    assert_eq!(receipts(&table, seats[0], "carol").last(), Some(&DeliveryState::Failed));
}

#[test]
fn what_was_for_somebody_who_went_unseen_and_is_invited_again_has_failed_too() {
    let mut table = Table::new();
    let (seats, withholding) = kicked_unseen(&mut table);
    must(&mut table, seats[1], "INVITE team carol");
    table.pass(5_000);
    withholding.set(None);
    must(&mut table, seats[1], "SAY team who is here?");
    table.pass(60_000);
    let seen = changes(&table, seats[0]);
    assert_eq!(seen[seen.len() - 2..], [told("carol", "carol", Removed), told("carol", "carol", Invited)]);
    assert_eq!(receipts(&table, seats[0], "carol").last(), Some(&DeliveryState::Failed));
}

#[test]
fn a_request_to_leave_shows_that_a_commit_is_missing_and_is_granted_by_whoever_is_back() {
    let mut table = Table::new();
    let (seats, withholding) = kicked_unseen(&mut table);
    withholding.set(None);
    must(&mut table, seats[1], "LEAVE team");
    table.pass(60_000);
    assert_eq!(members(&mut table, seats[0]), [("alice".to_owned(), Role::Owner)]);
    let seen = changes(&table, seats[0]);
    assert_eq!(seen[seen.len() - 2..], [told("carol", "carol", Removed), told("bob", "bob", Left)]);
}

#[test]
fn whoever_is_only_invited_keeps_nothing_to_be_said_whatever_epoch_others_are_in() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "carol"]);
    let (alice, carol, bob) = (seats[0], seats[1], table.sign_up("bob"));
    must(&mut table, alice, "INVITE team bob");
    table.pass(5_000);
    let withholding = withhold_commits(&mut table, bob);
    must(&mut table, alice, "PROMOTE team carol");
    table.pass(5_000);
    withholding.set(Some(alice));
    must(&mut table, carol, "SAY team this leads bob in anew");
    table.pass(5_000);
    must(&mut table, alice, "SAY team in an epoch that is over");
    table.pass(5_000);
    assert!(table.misbehaviour(bob).contains(&"a message cannot be opened"), "{:?}", table.misbehaviour(bob));
    let idle = table.command(bob, Command::WaitIdle);
    assert!(idle.is_ok(), "{idle:?}");
}

#[test]
fn whoever_has_no_place_any_more_and_is_told_nothing_finds_out_within_an_hour() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    let hidden = hide_a_group(&mut table, carol);
    must(&mut table, alice, "KICK team carol");
    must(&mut table, alice, "INVITE team carol");
    table.pass(HOUR_MS);
    must(&mut table, bob, "SAY team carol hears nothing of this");
    table.pass(5_000);
    assert_eq!(changes(&table, carol), [told("carol", "carol", Joined)]);
    hidden.set(false);
    table.pass(HOUR_MS);
    let seen = [told("carol", "carol", Joined), told("carol", "carol", Removed), told("carol", "carol", Invited)];
    assert_eq!(changes(&table, carol), seen);
    must(&mut table, carol, "JOIN team");
    must(&mut table, bob, "SAY team and of this?");
    table.pass(5_000);
    assert_eq!(heard(&table, carol).last(), Some(&pair("bob", "and of this?")));
}

#[test]
fn whoever_was_kicked_or_missed_a_change_while_away_for_a_month_finds_out_though_nobody_talks() {
    const MONTH_MS: u64 = 31 * 24 * 3_600 * 1_000;
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.sleep(seats[1]);
    table.sleep(seats[2]);
    must(&mut table, seats[0], "KICK team carol");
    table.pass(MONTH_MS);
    table.wake(seats[1]);
    table.wake(seats[2]);
    table.pass(120_000);
    assert_eq!(changes(&table, seats[1]).last(), Some(&told("carol", "carol", Removed)));
    assert_eq!(changes(&table, seats[2]).last(), Some(&told("carol", "carol", Removed)));
}
