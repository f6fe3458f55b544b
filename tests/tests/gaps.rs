//! What is missing before a message is told with it, and nothing else is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use node_core::{
    command::{Command, Outcome},
    event::{DeviceChange, EventKind},
};
use protocol::{
    Bounded,
    directory::{MailItem, Reply},
};
use tests::table::{Seat, Table, named, password_of};

/// A new machine of somebody who has an account.
fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    table.command(seat, Command::SignIn { name: named(name), password: password_of(name) }).unwrap();
    seat
}

/// The texts that a node was shown, and which of them say that something before them is missing.
fn gaps(table: &Table, seat: Seat) -> Vec<(String, bool)> {
    let message = |kind| match kind {
        EventKind::Message { text, gap, .. } => Some((text, gap)),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(message).collect()
}

#[test]
fn what_is_missing_before_something_that_is_for_nodes_alone_is_told_by_the_next_text() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    second(&mut table, "alice");
    table.send(alice, "bob", "one").unwrap();
    table.pass(10_000);
    // The directory keeps the next message that comes for bob to itself.
    let mut kept = None;
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == bob => {
            let mut items = items.into_inner();
            items.retain(|(_, item)| match item {
                MailItem::Message { envelope, .. } => *kept.get_or_insert(envelope.id) != envelope.id,
                _ => true,
            });
            Ok(Reply::Mail { items: Bounded::new(items).unwrap(), more })
        }
        answer => answer,
    }));
    table.send(alice, "bob", "two").unwrap();
    table.pass(10_000);
    // The list of alice's devices, which no person sees, is what follows the text that never comes.
    let Outcome::Devices { devices } = table.command(alice, Command::Devices).unwrap() else { panic!("no devices") };
    let phone = devices.into_iter().find(|device| !device.this).unwrap().device;
    table.command(alice, Command::Revoke { device: phone, password: password_of("alice") }).unwrap();
    table.pass(10_000);
    let revoked = |kind: &EventKind| matches!(kind, EventKind::Device { change: DeviceChange::Revoked, .. });
    assert!(table.events(bob).iter().any(revoked), "the list has come");
    for text in ["three", "four"] {
        table.send(alice, "bob", text).unwrap();
    }
    table.pass(10_000);
    let told = [("one", false), ("three", true), ("four", false)];
    assert_eq!(gaps(&table, bob), told.map(|(text, gap)| (text.to_owned(), gap)));
}

#[test]
fn what_is_for_ones_own_devices_alone_is_missed_by_nobody_else() {
    let mut table = Table::new();
    let (_, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let phone = second(&mut table, "alice");
    for (text, answer) in [("one", "two"), ("three", "four")] {
        table.send(bob, "alice", text).unwrap();
        table.pass(10_000);
        // What was read is told before the first answer and after each.
        table.command(phone, Command::Read { target: named("bob") }).unwrap();
        table.send(phone, "bob", answer).unwrap();
    }
    table.send(phone, "bob", "five").unwrap();
    assert_eq!(gaps(&table, bob), ["two", "four", "five"].map(|text| (text.to_owned(), false)), "without any wait");
    let delivered = table.command(phone, Command::WaitIdle);
    assert_eq!(delivered, Ok(Outcome::Done), "everybody has confirmed everything");
}

#[test]
fn what_is_missing_after_something_that_was_welcome_late_is_told_by_the_next_text() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "zero").unwrap();
    table.pass(10_000);
    table.sleep(alice);
    for text in ["one", "two", "three"] {
        table.send(bob, "alice", text).unwrap();
    }
    table.pass(10_000);
    // The machine that comes instead gets the third before the first, and the second not at all.
    let phone: Seat = 2;
    table.serve(Box::new(move |seat, _, answer| match answer {
        Ok(Reply::Mail { items, more }) if seat == phone => {
            let mut items = items.into_inner();
            let messages: Vec<usize> =
                (0..items.len()).filter(|at| matches!(items[*at].1, MailItem::Message { .. })).collect();
            if let [first, second, third] = messages[..] {
                let (cursor, last) = (items[first].0, items[third].1.clone());
                items[second].1 = items[first].1.clone();
                items[first] = (cursor, last);
                items.remove(third);
            }
            Ok(Reply::Mail { items: Bounded::new(items).unwrap(), more })
        }
        answer => answer,
    }));
    assert_eq!(second(&mut table, "alice"), phone);
    table.pass(10_000);
    table.send(bob, "alice", "four").unwrap();
    table.pass(10_000);
    let told = [("three", false), ("one", true), ("four", true)];
    assert_eq!(gaps(&table, phone), told.map(|(text, gap)| (text.to_owned(), gap)));
}
