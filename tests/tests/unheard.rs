//! Answers that are never heard: whoever asked finds out by itself, and nobody waits for what cannot come.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use node_core::{
    command::{Command, CommandResult, Failure, FailureCode, Outcome},
    event::{DeliveryState, EventKind},
};
use protocol::{
    Bounded,
    directory::{MailItem, Refusal, Reply, Request},
    limits::MAILBOX_RETENTION_MS,
};
use tests::table::{Seat, Table, named, password_of};

/// A day and a bit more, in milliseconds.
const DAY_MS: u64 = 25 * 3_600 * 1_000;

fn sign_in(table: &mut Table, seat: Seat, name: &str) -> CommandResult {
    table.command(seat, Command::SignIn { name: named(name), password: password_of(name) })
}

/// Revokes whatever other device there is.
fn revoke_other(table: &mut Table, seat: Seat, name: &str) -> CommandResult {
    let Outcome::Devices { devices } = table.command(seat, Command::Devices).unwrap() else { panic!("no devices") };
    let other = devices.iter().find(|device| !device.this).unwrap().device.clone();
    table.command(seat, Command::Revoke { device: other, password: password_of(name) })
}

#[test]
fn a_device_that_was_revoked_before_it_heard_that_it_was_one_comes_as_another() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let phone = table.sit();
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::UpdateDevices { .. } if seat == phone => Err(Refusal::Unavailable),
        _ => answer,
    }));
    sign_in(&mut table, phone, "alice").unwrap_err();
    table.be_honest();
    assert_eq!(revoke_other(&mut table, alice, "alice"), Ok(Outcome::Done));

    table.connect(phone);
    let Err(Failure { code, message, .. }) = sign_in(&mut table, phone, "alice") else { panic!("it is one") };
    assert_eq!(code, FailureCode::Auth);
    assert!(message.ends_with("its keys are dropped, and SIGNIN alice makes it a new one"), "{message}");
    let entered = Outcome::SignedIn { name: named("alice"), online: true, unread: 0 };
    assert_eq!(sign_in(&mut table, phone, "alice"), Ok(entered));
}

#[test]
fn what_was_for_an_own_device_that_is_gone_is_not_waited_for() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    let phone = table.sit();
    sign_in(&mut table, phone, "alice").unwrap();
    table.pass(10_000);
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    table.sleep(phone);

    // What was read at home is told to the phone, which nobody gets to before it is revoked.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Deposit { .. } if seat == alice => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.command(alice, Command::Read { target: named("bob") }).unwrap();
    table.pass(1_000);
    assert_eq!(table.command(alice, Command::WaitIdle).unwrap_err().code, FailureCode::Timeout);
    assert_eq!(revoke_other(&mut table, alice, "alice"), Ok(Outcome::Done));
    table.be_honest();
    assert_eq!(table.command(alice, Command::WaitIdle), Ok(Outcome::Done));
}

#[test]
fn a_device_from_which_a_commit_is_kept_comes_in_anew_once_its_own_is_refused() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "one").unwrap();
    let phone = table.sit();
    sign_in(&mut table, phone, "alice").unwrap();
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);

    // Bob's keys are a day old: his refresh comes to everybody but to one of alice's machines.
    let mut kept = None;
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == alice => {
            let mut is_kept = |(cursor, item): &(_, _)| {
                matches!(item, MailItem::Commit { .. }) && *kept.get_or_insert(*cursor) == *cursor
            };
            let items = items.into_iter().filter(|item| !is_kept(item)).collect();
            Ok(Reply::Mail { items: Bounded::new(items).unwrap(), more })
        }
        answer => answer,
    }));
    table.pass(DAY_MS);
    table.sleep(phone);
    assert_eq!(revoke_other(&mut table, alice, "alice"), Ok(Outcome::Done));
    table.send(bob, "alice", "three").unwrap();
    table.pass(10_000);
    let texts = ["one", "two", "three"].map(|text| ("bob".to_owned(), text.to_owned()));
    assert_eq!(table.texts(alice), texts);
    assert_eq!(table.misbehaviour(alice), ["a commit is missing"]);
}

#[test]
fn a_device_that_is_away_until_its_own_commit_has_expired_comes_in_anew() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    let phone = table.sit();
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::SubmitCommit(_) | Request::Drain { .. } if seat == phone => Err(Refusal::Unavailable),
        _ => answer,
    }));
    let entered = Outcome::SignedIn { name: named("alice"), online: false, unread: 0 };
    assert_eq!(sign_in(&mut table, phone, "alice"), Ok(entered));
    for seat in [alice, bob, phone] {
        table.sleep(seat);
    }
    table.pass(MAILBOX_RETENTION_MS + DAY_MS);
    table.be_honest();
    for seat in [alice, bob, phone] {
        table.wake(seat);
    }
    table.pass(10_000);
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(phone), [("bob".to_owned(), "two".to_owned())]);
}

#[test]
fn a_device_learns_of_a_conversation_that_only_a_lost_one_knew() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::PutBook { .. } if seat == alice => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.send(bob, "alice", "one").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(alice), [("bob".to_owned(), "one".to_owned())]);
    table.sleep(alice);
    table.be_honest();

    let phone = table.sit();
    sign_in(&mut table, phone, "alice").unwrap();
    assert_eq!(revoke_other(&mut table, phone, "alice"), Ok(Outcome::Done));
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(phone), [("bob".to_owned(), "two".to_owned())]);
    assert_eq!(table.command(bob, Command::WaitIdle), Ok(Outcome::Done));
}

#[test]
fn whoever_is_not_told_that_a_device_came_in_anew_hears_it_from_that_device() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.sleep(bob);
    table.send(alice, "bob", "one").unwrap();
    table.pass(10_000);
    // Bob never sees the Welcome, and alice never sees the commit by which he comes in without it.
    let mut kept = None;
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) => {
            let mut is_kept = |(cursor, item): &(_, _)| match item {
                MailItem::Welcome { .. } => seat == bob,
                MailItem::Commit { .. } => seat == alice && *kept.get_or_insert(*cursor) == *cursor,
                _ => false,
            };
            let items = items.into_iter().filter(|item| !is_kept(item)).collect();
            Ok(Reply::Mail { items: Bounded::new(items).unwrap(), more })
        }
        answer => answer,
    }));
    table.wake(bob);
    table.pass(10_000);
    assert_eq!(table.texts(bob), [("alice".to_owned(), "one".to_owned())]);
    assert_eq!(table.command(alice, Command::WaitIdle), Ok(Outcome::Done));
}

#[test]
fn a_receipt_for_what_the_original_sent_says_nothing_of_what_waits_with_a_copy() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(20_000);
    let copy = table.disk(alice).clone();
    // What bob has of the second one he can say to nobody yet, and the copy is not told how often its keys were used.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Deposit { .. } if seat == bob => Err(Refusal::Unavailable),
        Request::Announce { .. } if ![alice, bob].contains(&seat) => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.send(alice, "bob", "two").unwrap();
    table.pass(20_000);
    table.sleep(alice);
    let copied = table.sit_with(copy);
    table.send(copied, "bob", "three").unwrap();
    table.set_together(copied, bob);
    table.pass(1_000);
    let delivered = |kind: &EventKind| matches!(kind, EventKind::Receipt { state: DeliveryState::Delivered, .. });
    assert_eq!(table.events(copied).iter().filter(|kind| delivered(kind)).count(), 1, "the first one alone");
    assert_eq!(table.misbehaviour(copied), ["a receipt says that something has arrived that was never sent"]);
    table.be_honest();
    table.pass(20_000);
    sign_in(&mut table, copied, "alice").unwrap();
    table.pass(20_000);
    assert_eq!(table.texts(bob), ["one", "two", "three"].map(|text| ("alice".to_owned(), text.to_owned())));
}
