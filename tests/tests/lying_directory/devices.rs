//! Lies about devices: old lists, and a revocation that somebody is not told of.

use std::{cell::Cell, rc::Rc};

use node_core::{
    command::{Command, FailureCode, ListWhat, Outcome},
    event::{DeliveryState, DeviceChange, EventKind},
};
use protocol::directory::{Cursor, DepositResult, MailItem, Person, Refusal, Reply, Request};
use tests::table::{Seat, Table, named};

use crate::hoard::{
    Honest, Shared, assert_alarm, assert_failed, be_honest, bend_people, device, devices, lie, pair, revoke, second,
    sign_in, watched,
};

/// Alice and Bob have talked, and Alice's laptop was with her; then she revoked it.
struct Revoked {
    table: Table,
    hoard: Shared,
    alice: Seat,
    bob: Seat,
    laptop: Seat,
}

/// Up to just before the revocation.
fn talked() -> Revoked {
    let (mut table, hoard) = watched();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(10_000);
    let laptop = second(&mut table, "alice");
    Revoked { table, hoard, alice, bob, laptop }
}

fn revoked() -> Revoked {
    let Revoked { mut table, hoard, alice, bob, laptop } = talked();
    let lost = device(&mut table, laptop);
    revoke(&mut table, alice, &lost, "alice");
    table.pass(10_000);
    Revoked { table, hoard, alice, bob, laptop }
}

/// The list with the laptop, in whatever the directory says of Alice's devices at a seat.
fn with_old_list(table: &mut Table, hoard: &Shared, at: Seat, laptop: Seat) {
    let old = hoard.borrow().list(laptop, 0);
    lie(table, hoard, move |seat, _, answer| match answer {
        // What the members themselves say of their devices is kept back too.
        Ok(Reply::Mail { items, more }) if seat == at => {
            let mut items = items.into_inner();
            items.retain(|(_, item)| !matches!(item, MailItem::Message { .. }));
            Ok(Reply::Mail { items: items.try_into().unwrap(), more })
        }
        Ok(Reply::Account { seen, book_version, elsewhere, .. }) if seat == at => {
            Ok(Reply::Account { devices: old.clone(), seen, book_version, elsewhere })
        }
        Ok(Reply::SignedIn { account, root_backup, book, enrolled, .. }) if seat == at => {
            Ok(Reply::SignedIn { account, devices: old.clone(), root_backup, book, enrolled })
        }
        answer if seat == at => bend_people(answer, |person| match person.name.as_str() {
            "alice" => Person { devices: old.clone(), ..person },
            _ => person,
        }),
        answer => answer,
    });
}

fn told(table: &Table, seat: Seat) -> Vec<DeviceChange> {
    let change = |kind| match kind {
        EventKind::Device { change, .. } => Some(change),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(change).collect()
}

#[test]
fn an_old_list_of_a_peer_raises_an_alarm_and_nothing_is_sealed_before_the_new_one_is_seen() {
    let Revoked { mut table, hoard, bob, laptop, .. } = revoked();
    with_old_list(&mut table, &hoard, bob, laptop);
    // A new device comes into the conversation, and bob looks for the list that names it.
    let phone = second(&mut table, "alice");
    let before = hoard.borrow().said_by(bob);
    let Ok(Outcome::Sent { state, .. }) = table.send(bob, "alice", "two") else { panic!("not taken") };
    assert_eq!(state, DeliveryState::Queued);
    assert_alarm(&table, bob, "an older list of somebody's devices was shown than before");
    assert_eq!(hoard.borrow().said_by(bob), before);
    assert_eq!(told(&table, bob), [DeviceChange::Added, DeviceChange::Revoked]);
    be_honest(&mut table, &hoard);
    table.pass(300_000);
    assert_eq!(table.texts(phone), [pair("bob", "two")]);
    assert_eq!(table.texts(laptop), []);
}

#[test]
fn an_old_list_of_ones_own_devices_is_refused_and_the_newer_one_stays() {
    let Revoked { mut table, hoard, alice, laptop, .. } = revoked();
    let before = devices(&mut table, alice);
    assert_eq!(before.len(), 1);
    with_old_list(&mut table, &hoard, alice, laptop);
    assert_eq!(devices(&mut table, alice), before);
    assert_alarm(&table, alice, "the directory's word about this account does not hold");
    assert_failed(sign_in(&mut table, alice, "alice"), FailureCode::Trust, "an older list of this account's devices");
    assert_eq!(told(&table, alice), [DeviceChange::Added, DeviceChange::Revoked], "it is not told as a new device");
}

#[test]
fn a_new_machine_that_is_shown_an_old_list_brings_no_revoked_device_back() {
    let Revoked { mut table, hoard, alice, laptop, .. } = revoked();
    let before = devices(&mut table, alice);
    let new = table.sit();
    with_old_list(&mut table, &hoard, new, laptop);
    // An honest directory takes no list beside the present one.
    let refused = sign_in(&mut table, new, "alice");
    assert_failed(refused, FailureCode::Refused, "the directory shows an old list of them");
    assert_eq!(devices(&mut table, alice), before);
    // One that lies shows it to the others, who see that two lists have one number.
    let forked = hoard.borrow().list(new, 0);
    lie(&mut table, &hoard, move |seat, _, answer| match answer {
        Ok(Reply::Account { seen, book_version, elsewhere, .. }) if seat == alice => {
            Ok(Reply::Account { devices: forked.clone(), seen, book_version, elsewhere })
        }
        Ok(Reply::SignedIn { account, root_backup, book, enrolled, .. }) if seat == alice => {
            Ok(Reply::SignedIn { account, devices: forked.clone(), root_backup, book, enrolled })
        }
        answer => answer,
    });
    assert_eq!(devices(&mut table, alice), before);
    assert_alarm(&table, alice, "the directory's word about this account does not hold");
    assert_failed(sign_in(&mut table, alice, "alice"), FailureCode::Trust, "different devices of this account");
}

/// The directory serves the revoked laptop everything that anybody seals, and keeps from `victim` what waits for it.
fn serve_the_thief(table: &mut Table, hoard: &Shared, thief: Seat, victim: Seat) -> Rc<Cell<bool>> {
    let (keeps, kept) = (Rc::new(Cell::new(true)), hoard.clone());
    let told = keeps.clone();
    lie(table, hoard, move |seat, request, answer: Honest| match request {
        Request::Drain { after } if seat == thief => {
            let after = after.map_or(0, |Cursor(after)| after);
            let all = kept.borrow();
            // Above whatever the mailbox has given it before.
            let numbered = (1_000..).map(Cursor).zip(all.sealed.iter().filter(|(by, _)| *by == victim));
            let items = numbered
                .filter(|(at, _)| at.0 > after)
                .take(10)
                .map(|(at, (_, envelope))| (at, MailItem::Message { envelope: envelope.clone(), stranger: false }));
            let items: Vec<(Cursor, MailItem)> = items.collect();
            Ok(Reply::Mail { more: items.len() == 10, items: items.try_into().unwrap() })
        }
        Request::Announce { .. } if seat == thief => Ok(Reply::Announced {
            observed: ([10, 0, 0, 9], 7_000).into(),
            send_counter: 0,
            key_packages: 50,
            last_resort: true,
        }),
        Request::Remove { .. } if seat == thief => Ok(Reply::Done),
        _ if seat == thief => Err(Refusal::Unavailable),
        // Custody of what is not kept.
        Request::Deposit { items } if seat == victim && keeps.get() => {
            let taken: Vec<DepositResult> = items.iter().map(|_| DepositResult::Stored).collect();
            Ok(Reply::Deposited(taken.try_into().unwrap()))
        }
        Request::Drain { .. } if seat == victim && keeps.get() => {
            Ok(Reply::Mail { items: Vec::new().try_into().unwrap(), more: false })
        }
        _ => answer,
    });
    told
}

#[test]
fn a_revocation_that_is_kept_from_a_peer_ends_what_the_thief_reads_once_the_peer_learns_of_it() {
    let Revoked { mut table, hoard, alice, bob, laptop } = talked();
    let lost = device(&mut table, laptop);
    let keeps = serve_the_thief(&mut table, &hoard, laptop, bob);
    revoke(&mut table, alice, &lost, "alice");
    table.send(bob, "alice", "not known yet").unwrap();
    table.hang_up(laptop);
    table.connect(laptop);
    table.pass(10_000);
    assert_eq!(table.texts(laptop), [pair("bob", "not known yet")], "the thief reads what it can read");
    // Bob hears of it by another way than the conversation: he looks who is there.
    assert_eq!(told(&table, bob), [DeviceChange::Added]);
    table.command(bob, Command::List { what: ListWhat::Users }).unwrap();
    assert_eq!(told(&table, bob), [DeviceChange::Added, DeviceChange::Revoked]);
    let before = hoard.borrow().said_by(bob);
    let Ok(Outcome::Sent { state, .. }) = table.send(bob, "alice", "secret") else { panic!("not taken") };
    assert_eq!(state, DeliveryState::Queued);
    table.pass(20_000);
    assert_eq!(hoard.borrow().said_by(bob), before, "nothing is sealed while the device is in the conversation");
    // Whatever bob seals once he is told goes without it.
    keeps.set(false);
    table.hang_up(bob);
    table.connect(bob);
    table.pass(20_000);
    table.hang_up(laptop);
    table.connect(laptop);
    table.pass(20_000);
    assert!(hoard.borrow().said_by(bob) > before);
    assert_eq!(table.texts(laptop), [pair("bob", "not known yet")]);
    let history = Command::History { with: Some(named("bob")), count: 10 };
    let Ok(Outcome::History { messages }) = table.command(alice, history) else { panic!("no history") };
    let texts: Vec<&str> = messages.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(
        texts,
        ["one", "secret"],
        "what the directory said it had and did not keep is lost, as every mail can be"
    );
}
