//! Keys in groups: of last resort, changed, refreshed, and of somebody who has left.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use directory::store::AccountChanges as _;
use protocol::{
    Bounded,
    directory::{Cursor, MailItem, Reply, Request},
};
use tests::table::password_of;

use super::*;

#[test]
fn whoever_is_invited_by_a_last_resort_package_has_new_keys_before_anything_is_said() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let (bob, kept, refreshed) = (alice + 1, Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    let (last_resort, commits) = (kept.clone(), refreshed.clone());
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (Request::PublishKeyPackages { last_resort: Some(package), .. }, answer) if seat == bob => {
            *last_resort.borrow_mut() = Some(package.clone());
            answer
        }
        // As if all others were used up.
        (Request::TakeKeyPackages { .. }, Ok(Reply::KeyPackages(packages))) => {
            let package = last_resort.borrow().clone().unwrap();
            let given = packages.into_iter().map(|(device, _)| (device, package.clone())).collect();
            Ok(Reply::KeyPackages(Bounded::new(given).unwrap()))
        }
        (Request::SubmitCommit(_), Ok(Reply::CommitAccepted)) if seat == bob => {
            commits.set(commits.get() + 1);
            Ok(Reply::CommitAccepted)
        }
        (_, answer) => answer,
    }));
    assert_eq!(table.sign_up("bob"), bob);
    must(&mut table, alice, "CREATE team INVITE");
    must(&mut table, alice, "INVITE team bob");
    table.pass(5_000);
    assert!(kept.borrow().is_some());
    assert_eq!(refreshed.get(), 1, "bob's keys are others now, and nobody asked bob");
    must(&mut table, bob, "JOIN team");
    must(&mut table, bob, "SAY team here I am");
    must(&mut table, alice, "SAY team welcome");
    table.pass(5_000);
    assert_eq!(heard(&table, alice), [pair("bob", "here I am")]);
    assert_eq!(heard(&table, bob), [pair("alice", "welcome")]);
    assert_eq!(refreshed.get(), 2, "the refresh and the JOIN");
}

#[test]
fn a_member_with_another_key_than_before_is_taken_in_and_stops_what_is_said_until_that_is_resolved() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, carol) = (seats[0], seats[2]);
    assert!(table.directory.store().offer_reset(&named("bob"), "code").unwrap());
    let bob = table.sit();
    let (name, password, invite) = (named("bob"), password_of("another"), Some("code".to_owned()));
    assert!(table.command(bob, Command::SignUp { name, password, invite }).is_ok());
    must(&mut table, bob, "JOIN team");
    table.pass(30_000);
    must(&mut table, bob, "SAY team it is me");
    table.pass(5_000);
    // Nobody's pins decide about a commit: for all of them bob is in, and the account before is not.
    assert_eq!(must(&mut table, alice, "COUNT team"), Outcome::MemberCount(3));
    for seat in [alice, carol] {
        let alarms = table.events(seat).into_iter().filter(|kind| matches!(kind, EventKind::KeyChanged { .. })).count();
        assert_eq!(alarms, 1, "seat {seat}");
        let said = fails(&mut table, seat, "SAY team who is that", FailureCode::Trust);
        assert!(said.contains("TRUST bob CODE"), "{said}");
        assert_eq!(heard(&table, seat), [], "whose words they are is not certain");
    }
    let verify = Command::Verify { user: named("alice"), code: None, picture: false };
    let Ok(Outcome::SafetyNumber { number, .. }) = table.command(bob, verify) else { panic!("no number") };
    let trust = Command::Trust { user: named("bob"), code: number };
    assert_eq!(table.command(alice, trust), Ok(Outcome::Verified { user: named("bob") }));
    must(&mut table, alice, "SAY team welcome back");
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "welcome back")]);
    assert_eq!(heard(&table, alice), [pair("bob", "it is me")]);
    assert_eq!(heard(&table, carol), [pair("alice", "welcome back")]);
    fails(&mut table, carol, "SAY team who is that", FailureCode::Trust);
}

#[test]
fn many_who_have_said_much_refresh_the_keys_of_a_group_once_in_a_minute() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    must(&mut table, seats[0], "PROMOTE team bob");
    let accepted = Rc::new(Cell::new(0));
    let commits = accepted.clone();
    table.serve(Box::new(move |_, _, answer| {
        commits.set(commits.get() + u32::from(answer == Ok(Reply::CommitAccepted)));
        answer
    }));
    for number in 0..510 {
        for seat in [seats[0], seats[1]] {
            table.begin(seat, Command::SendGroup { group: named("team"), text: format!("{number}") });
        }
        if number % 50 == 0 {
            table.pass(1_000);
        }
    }
    table.pass(10_000);
    assert_eq!(heard(&table, seats[2]).len(), 1_020);
    assert_eq!(accepted.get(), 0, "within a minute of the last commit nobody refreshes");
    table.pass(120_000);
    assert_eq!(accepted.get(), 1, "one refresh serves both");
    must(&mut table, seats[1], "SAY team on we go");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[2]).last(), Some(&pair("bob", "on we go")));
}

#[test]
fn a_receipt_of_somebody_who_has_left_meanwhile_says_nothing_any_more() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    // The directory keeps the receipt of whoever answers first, which is bob, and gives it after bob has left.
    let (kept, late) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(false)));
    let (receipts, released) = (kept.clone(), late.clone());
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == alice => {
            let mut items = items.into_inner();
            if released.get() {
                let mut cursor = items.last().map_or(0, |(cursor, _)| cursor.0);
                for receipt in receipts.borrow_mut().drain(..) {
                    cursor += 1;
                    items.push((Cursor(cursor), receipt));
                }
            } else {
                items.retain(|(_, item)| {
                    let held = matches!(item, MailItem::Receipt(_));
                    if held {
                        receipts.borrow_mut().push(item.clone());
                    }
                    !held
                });
            }
            Ok(Reply::Mail { items: Bounded::new(items).unwrap(), more })
        }
        answer => answer,
    }));
    table.sleep(carol);
    must(&mut table, alice, "SAY team did you get that?");
    table.pass(5_000);
    assert_eq!(kept.borrow().len(), 1, "bob's receipt");
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    late.set(true);
    table.wake(carol);
    table.pass(10_000);
    assert!(kept.borrow().is_empty(), "it was given");
    let of = |who: &str| -> Vec<DeliveryState> {
        let states = table.events(alice).into_iter().filter_map(|kind| match kind {
            EventKind::Receipt { to, state, .. } if to == named(who) => Some(state),
            _ => None,
        });
        states.collect()
    };
    assert_eq!(of("bob"), [DeliveryState::Sent, DeliveryState::Failed]);
    assert_eq!(of("carol"), [DeliveryState::Sent, DeliveryState::Delivered]);
    // Bob repeated it until he left, since nobody had confirmed it.
    let refused = table.misbehaviour(alice);
    let expected = "a receipt is not signed by a member's device";
    assert!(!refused.is_empty() && refused.iter().all(|what| *what == expected), "{refused:?}");
    assert_eq!(table.command(alice, Command::WaitIdle), Ok(Outcome::Done));
}
