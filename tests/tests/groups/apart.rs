//! An account goes and comes while one of its devices is away, or out of step: each device finds out how things stand, and
//! none undoes what another did.

use std::{cell::Cell, rc::Rc};

use node_core::event::MemberChange::{Invited, Joined, Left};
use protocol::{
    Bounded,
    directory::{MailItem, Refusal, Reply, Request},
};
use tests::table::password_of;

use super::*;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Alice and bob in `team`, and bob's phone.
fn with_phone(table: &mut Table) -> (Seat, Seat, Seat) {
    let seats = team(table, &["alice", "bob"]);
    let phone = table.sit();
    let command = Command::SignIn { name: named("bob"), password: password_of("bob") };
    assert!(table.command(phone, command).is_ok(), "bob signs in on the phone");
    table.pass(10_000);
    (seats[0], seats[1], phone)
}

/// Keeps some of the mail from a seat, for good.
fn withhold(table: &mut Table, from: Seat, which: fn(&MailItem) -> bool) {
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == from => {
            let given = items.into_iter().filter(|(_, item)| !which(item)).collect();
            Ok(Reply::Mail { items: Bounded::new(given).unwrap_or_default(), more })
        }
        answer => answer,
    }));
}

#[test]
fn what_is_said_when_nobody_is_there_is_for_nobody_who_joins_later() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let bob = table.sign_up("bob");
    must(&mut table, alice, "CREATE team");
    let phone = table.sit();
    let command = Command::SignIn { name: named("alice"), password: password_of("alice") };
    assert!(table.command(phone, command).is_ok());
    table.pass(10_000);
    table.sleep(phone);
    table.hang_up(alice);
    must(&mut table, alice, "SAY team to myself");
    must(&mut table, bob, "JOIN team");
    table.connect(alice);
    table.pass(20_000);
    table.wake(phone);
    table.pass(20_000);
    assert_eq!(heard(&table, bob), []);
    assert_eq!(heard(&table, phone), [pair("alice", "to myself")]);
}

#[test]
fn a_request_to_leave_is_not_taken_back_by_another_device_that_comes_in_by_itself() {
    let mut table = Table::new();
    let (alice, bob, phone) = with_phone(&mut table);
    table.sleep(phone);
    table.sleep(alice);
    must(&mut table, bob, "LEAVE team");
    // The phone learns nothing of it by the book; what it says nobody takes.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Book if seat == phone => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.wake(phone);
    run(&mut table, phone, "SAY team am I in?").ok();
    table.pass(60_000);
    table.be_honest();
    table.wake(alice);
    table.pass(60_000);
    assert_eq!(members(&mut table, alice), [("alice".to_owned(), Role::Owner)]);
    assert_eq!(changes(&table, alice).last(), Some(&told("bob", "bob", Left)));
    assert_eq!(changes(&table, phone).last(), Some(&told("bob", "bob", Left)));
    assert_eq!(heard(&table, alice), []);
    fails(&mut table, phone, "SAY team and now?", FailureCode::Refused);
}

#[test]
fn a_device_that_slept_while_its_account_left_and_was_invited_anew_is_invited() {
    let mut table = Table::new();
    let (alice, bob, phone) = with_phone(&mut table);
    table.sleep(phone);
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    must(&mut table, alice, "INVITE team bob");
    must(&mut table, alice, "SAY team come back");
    table.wake(phone);
    table.pass(30_000);
    assert_eq!(changes(&table, phone).last().map(|(.., change)| *change), Some(Invited));
    assert_eq!(heard(&table, phone), []);
    must(&mut table, phone, "JOIN team");
    table.pass(10_000);
    assert_eq!(changes(&table, phone).last().map(|(.., change)| *change), Some(Joined));
    must(&mut table, phone, "SAY team here I am");
    table.pass(10_000);
    assert_eq!(heard(&table, phone), [pair("alice", "come back")]);
    assert_eq!(heard(&table, bob), [pair("alice", "come back"), pair("bob", "here I am")]);
    assert_eq!(heard(&table, alice), [pair("bob", "here I am")]);
}

#[test]
fn a_device_that_slept_while_its_account_left_and_joined_again_hears_what_is_said_since() {
    let mut table = Table::new();
    let (alice, bob, phone) = with_phone(&mut table);
    table.sleep(phone);
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    must(&mut table, bob, "JOIN team");
    table.pass(10_000);
    table.wake(phone);
    table.pass(30_000);
    must(&mut table, alice, "SAY team all of you");
    table.pass(10_000);
    assert_eq!(heard(&table, bob), [pair("alice", "all of you")]);
    assert_eq!(heard(&table, phone), [pair("alice", "all of you")]);
}

#[test]
fn what_waited_on_a_device_when_its_account_left_is_not_said_when_it_is_invited_anew() {
    let mut table = Table::new();
    let (alice, bob, phone) = with_phone(&mut table);
    table.hang_up(phone);
    must(&mut table, phone, "SAY team too late");
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    must(&mut table, alice, "INVITE team bob");
    table.connect(phone);
    table.pass(30_000);
    assert_eq!(table.command(phone, Command::WaitIdle), Ok(Outcome::Done), "nothing waits for ever");
    must(&mut table, phone, "JOIN team");
    table.pass(30_000);
    assert_eq!(heard(&table, alice), []);
}

#[test]
fn whoever_was_kicked_and_never_heard_so_finds_out_by_joining() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let carol = table.sign_up("carol");
    must(&mut table, seats[0], "INVITE team carol");
    table.pass(5_000);
    withhold(&mut table, carol, |item| matches!(item, MailItem::Commit { .. }));
    must(&mut table, seats[0], "KICK team carol");
    fails(&mut table, carol, "JOIN team", FailureCode::Refused);
    table.pass(10_000);
    fails(&mut table, carol, "MEMBERS team", FailureCode::Refused);
    assert_eq!(members(&mut table, seats[0]).len(), 2);
}

#[test]
fn whoever_comes_in_by_themselves_where_they_are_invited_joins_and_their_devices_agree_on_it() {
    let mut table = Table::new();
    let (alice, bob, phone) = with_phone(&mut table);
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    table.sleep(phone);
    // The Welcome never comes.
    withhold(&mut table, bob, |item| matches!(item, MailItem::Welcome { .. }));
    must(&mut table, alice, "INVITE team bob");
    must(&mut table, bob, "JOIN team");
    table.be_honest();
    table.wake(phone);
    table.pass(30_000);
    let written = Rc::new(Cell::new(0));
    let count = Rc::clone(&written);
    table.serve(Box::new(move |_, request, answer| {
        count.set(count.get() + u32::from(matches!(request, Request::PutBook { .. })));
        answer
    }));
    table.pass(120_000);
    assert_eq!(written.get(), 0, "the devices write the book against each other");
    must(&mut table, alice, "SAY team both of you");
    table.pass(10_000);
    assert_eq!(heard(&table, bob), [pair("alice", "both of you")]);
    assert_eq!(heard(&table, phone), [pair("alice", "both of you")]);
}

#[test]
fn whoever_leaves_and_comes_back_is_not_shown_again_what_they_have_read() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, alice, "PROMOTE team carol");
    must(&mut table, alice, "PROMOTE team carol");
    table.sleep(bob);
    must(&mut table, alice, "SAY team once");
    // Alice never hears that it has arrived: the word of it expires before she is back.
    table.sleep(alice);
    table.wake(bob);
    table.pass(10_000);
    assert_eq!(heard(&table, bob), [pair("alice", "once")]);
    table.pass(DAY_MS * 16);
    must(&mut table, bob, "LEAVE team");
    table.pass(10_000);
    must(&mut table, bob, "JOIN team");
    table.pass(10_000);
    table.wake(alice);
    table.pass(60_000);
    assert_eq!(heard(&table, bob), [pair("alice", "once")]);
    must(&mut table, alice, "SAY team twice");
    table.pass(30_000);
    assert_eq!(heard(&table, bob), [pair("alice", "once"), pair("alice", "twice")]);
}
