//! Whoever was away, or has another device: it comes in by itself.

use std::{cell::Cell, rc::Rc};

use node_core::{
    command::MessageRef,
    event::{
        MemberChange::{Invited, Left, Promoted},
        ShortId,
    },
};
use protocol::{
    AccountId, Bounded, DeviceId, Signature,
    directory::{Cursor, MailItem, Refusal, Reply, Request},
    policy::{Leave, SignedLeave},
};
use tests::table::password_of;

use super::*;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    let command = Command::SignIn { name: named(name), password: password_of(name) };
    assert!(table.command(seat, command).is_ok(), "{name} signs in");
    seat
}

#[test]
fn a_new_machine_is_in_the_groups_of_its_account_and_leaves_with_it() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let phone = second(&mut table, "bob");
    table.pass(10_000);
    must(&mut table, seats[0], "SAY team for both");
    must(&mut table, phone, "SAY team from the phone");
    table.pass(5_000);
    assert_eq!(heard(&table, phone), [pair("alice", "for both")]);
    assert_eq!(heard(&table, seats[1]), [pair("alice", "for both"), pair("bob", "from the phone")]);
    let joined = changes(&table, seats[0]);
    assert_eq!(joined.len(), 1, "a further device is nobody new: {joined:?}");
    let Outcome::Members { members: views, .. } = must(&mut table, seats[0], "MEMBERS team") else { panic!("none") };
    let devices: Vec<usize> = views.iter().map(|view| view.devices).collect();
    assert_eq!(devices, [1, 2]);

    must(&mut table, phone, "LEAVE team");
    table.pass(10_000);
    must(&mut table, seats[0], "SAY team without bob");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[1]).len(), 2);
    assert_eq!(changes(&table, seats[1]).last(), Some(&told("bob", "bob", Left)));
    fails(&mut table, seats[1], "SAY team am I in?", FailureCode::Refused);
    assert_eq!(members(&mut table, seats[0]), [("alice".to_owned(), Role::Owner)]);
}

#[test]
fn what_a_machine_says_before_it_is_in_a_group_has_failed_if_its_account_is_merely_invited_by_then() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let (alice, phone) = (seats[0], seats.len());
    let barred = Rc::new(Cell::new(true));
    let bars = Rc::clone(&barred);
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Group { .. } if seat == phone && bars.get() => Err(Refusal::RateLimited { retry_after_ms: 1_000 }),
        _ => answer,
    }));
    assert_eq!(second(&mut table, "bob"), phone);
    let text = "said too early".to_owned();
    table.begin(phone, Command::SendGroup { group: named("team"), text });
    table.pass(1_000);
    table.sleep(phone);
    must(&mut table, alice, "KICK team bob");
    must(&mut table, alice, "INVITE team bob");
    table.pass(5_000);
    barred.set(false);
    table.wake(phone);
    table.pass(60_000);
    assert_eq!(changes(&table, phone), [told("bob", "alice", Invited)]);
    assert!(table.command(phone, Command::WaitIdle).is_ok());
    let state = Command::AskState { id: MessageRef::Short(ShortId::Message(1)) };
    assert_eq!(table.command(phone, state), Ok(Outcome::State(DeliveryState::Failed)));
    must(&mut table, phone, "JOIN team");
    table.pass(5_000);
    assert_eq!(heard(&table, alice), []);
}

#[test]
fn whoever_was_away_for_a_month_comes_back_and_talks() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    must(&mut table, alice, "SAY team hello");
    table.pass(5_000);
    table.sleep(carol);
    must(&mut table, alice, "SAY team lost on carol");
    table.pass(DAY_MS * 2);
    must(&mut table, bob, "SAY team too");
    must(&mut table, alice, "PROMOTE team bob");
    table.pass(DAY_MS * 30);
    table.wake(carol);
    table.pass(60_000);
    must(&mut table, alice, "SAY team welcome back");
    table.pass(120_000);
    must(&mut table, carol, "SAY team where was I");
    table.pass(60_000);
    assert_eq!(heard(&table, carol).last(), Some(&pair("alice", "welcome back")));
    assert_eq!(heard(&table, bob).last(), Some(&pair("carol", "where was I")));
    assert_eq!(members(&mut table, carol), members(&mut table, alice));
    // Who did it nobody can tell carol any more.
    assert_eq!(changes(&table, carol).last(), Some(&told("bob", "bob", Promoted)));
    let gap = table.events(carol).into_iter().any(|kind| matches!(kind, EventKind::Message { gap: true, .. }));
    assert!(gap, "what could not be read is told");
}

#[test]
fn a_request_to_leave_is_granted_by_whoever_comes_first() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.sleep(seats[0]);
    table.sleep(seats[1]);
    must(&mut table, seats[2], "LEAVE team");
    table.pass(DAY_MS);
    table.wake(seats[1]);
    table.pass(60_000);
    assert_eq!(members(&mut table, seats[1]).len(), 2);
    table.wake(seats[0]);
    table.pass(60_000);
    assert_eq!(changes(&table, seats[0]).last(), Some(&told("carol", "carol", Left)));
    must(&mut table, seats[0], "SAY team two of us");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[1]), [pair("alice", "two of us")]);
    assert_eq!(heard(&table, seats[2]), []);
}

#[test]
fn a_profile_that_was_copied_never_speaks_with_its_old_keys_in_a_group() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let old = table.disk(seats[1]).clone();
    must(&mut table, seats[1], "SAY team one");
    // Until the directory has heard how much was sealed.
    table.pass(30_000);
    table.sleep(seats[1]);
    let copy = table.sit_with(old);
    table.pass(10_000);
    let again = run(&mut table, copy, "SAY team again");
    assert!(again.is_err(), "{again:?}");
    let command = Command::SignIn { name: named("bob"), password: password_of("bob") };
    table.command(copy, command).unwrap();
    table.pass(10_000);
    must(&mut table, copy, "SAY team two");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[0]), [pair("bob", "one"), pair("bob", "two")]);
}

#[test]
fn whoever_does_not_get_a_commit_comes_back_by_itself_and_misses_nothing_that_was_said_since() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    // The directory keeps a commit from carol, for good.
    let (carol, mut kept_back) = (seats[2], None);
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == carol => {
            let given = items.into_iter().filter(|(_, item)| match item {
                MailItem::Commit { epoch, .. } => *kept_back.get_or_insert(*epoch) != *epoch,
                _ => true,
            });
            Ok(Reply::Mail { items: Bounded::new(given.collect()).unwrap_or_default(), more })
        }
        answer => answer,
    }));
    must(&mut table, seats[0], "PROMOTE team bob");
    must(&mut table, seats[1], "SAY team can you read this");
    table.pass(30_000);
    assert_eq!(heard(&table, carol), [pair("bob", "can you read this")]);
    assert_eq!(changes(&table, carol).last(), Some(&told("bob", "bob", Promoted)));
    must(&mut table, carol, "SAY team I can");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[0]).last(), Some(&pair("carol", "I can")));
}

#[test]
fn nobody_is_let_go_who_did_not_ask_to_leave() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let Ok(Outcome::WhoAmI { account, device, .. }) = table.command(seats[1], Command::WhoAmI) else {
        panic!("nobody")
    };
    let (account, device) = (AccountId(bytes(&account)), DeviceId(bytes(&device)));
    // The directory writes bob's request to leave itself.
    let (alice, mut forge) = (seats[0], true);
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == alice && forge => {
            let mut items = items.into_inner();
            let message = items.iter().find_map(|(cursor, item)| match item {
                MailItem::Message { envelope, .. } => Some((cursor.0, envelope.conversation, envelope.epoch)),
                _ => None,
            });
            if let Some((cursor, conversation, epoch)) = message {
                forge = false;
                let leave = Leave { conversation, account, device, epoch };
                let leave = SignedLeave { leave: SignedLeave::bytes(&leave).unwrap(), signature: Signature([7; 64]) };
                items.push((Cursor(cursor + 1), MailItem::Leave { conversation, leave }));
            }
            Ok(Reply::Mail { items: Bounded::new(items).unwrap_or_default(), more })
        }
        answer => answer,
    }));
    must(&mut table, seats[1], "SAY team here I am");
    table.pass(30_000);
    assert_eq!(table.misbehaviour(alice), ["a request to leave is not signed by a member's device"]);
    table.be_honest();
    assert_eq!(members(&mut table, alice).len(), 2);
    assert_eq!(heard(&table, alice), [pair("bob", "here I am")]);
}

/// What a hexadecimal id stands for.
fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}
