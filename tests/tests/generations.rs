//! A direct conversation whose group nobody can come back into goes on in its next generation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{cell::RefCell, rc::Rc};

use node_core::command::{Command, Outcome};
use protocol::directory::{Deposit, MailItem, Reply, Request};
use tests::table::{Seat, Table, named};

/// A table at which two people have talked.
fn talked() -> (Table, Seat, Seat) {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(1_000);
    table.send(bob, "alice", "two").unwrap();
    table.pass(1_000);
    assert_eq!(table.texts(bob), [("alice".to_owned(), "one".to_owned())]);
    assert_eq!(table.texts(alice), [("bob".to_owned(), "two".to_owned())]);
    (table, alice, bob)
}

/// Keeps commits of a conversation from a node, and garbles what it could come back with.
fn spoil(table: &mut Table, victim: Seat) {
    let mut spoilt = None;
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (_, Ok(Reply::Mail { items, more })) if seat == victim => {
            let kept = items.into_inner().into_iter().map(|(cursor, item)| match item {
                MailItem::Commit { conversation, epoch, .. } => {
                    (cursor, MailItem::Commit { conversation, epoch, commit: vec![1].try_into().unwrap() })
                }
                item => (cursor, item),
            });
            Ok(Reply::Mail { items: kept.collect::<Vec<_>>().try_into().unwrap(), more })
        }
        (Request::Group { conversation }, Ok(Reply::Group { epoch, group_info, tree }))
            if *spoilt.get_or_insert(*conversation) == *conversation =>
        {
            let mut bytes = tree.into_inner();
            bytes.truncate(bytes.len() / 2);
            Ok(Reply::Group { epoch, group_info, tree: bytes.try_into().unwrap() })
        }
        (_, answer) => answer,
    }));
}

#[test]
fn what_nobody_can_come_back_into_goes_on_in_the_next_generation_and_nothing_is_lost_or_shown_twice() {
    let (mut table, alice, bob) = talked();
    spoil(&mut table, bob);
    // A day later alice's first message makes her refresh her keys: the commit that bob cannot read.
    table.pass(25 * 3_600 * 1_000);
    for text in ["three", "four"] {
        table.send(alice, "bob", text).unwrap();
        table.pass(60_000);
    }
    table.send(bob, "alice", "five").unwrap();
    table.pass(120_000);
    let told = ["one", "three", "four"].map(|text| ("alice".to_owned(), text.to_owned()));
    assert_eq!(table.texts(bob), told);
    assert_eq!(table.texts(alice), ["two", "five"].map(|text| ("bob".to_owned(), text.to_owned())));
    assert!(
        table
            .misbehaviour(bob)
            .contains(&"nobody can come back into a conversation with what the directory holds of it")
    );
    for seat in [alice, bob] {
        let Ok(Outcome::Status(status)) = table.command(seat, Command::Status) else { unreachable!() };
        assert_eq!((status.queued, status.sent, status.conversations), (0, 0, 1));
    }
    // It goes on after both were closed and opened, still in one conversation.
    table.be_honest();
    for seat in [alice, bob] {
        table.sleep(seat);
        table.wake(seat);
    }
    table.send(alice, "bob", "six").unwrap();
    table.pass(1_000);
    assert_eq!(table.texts(bob).last().unwrap().1, "six");
    let history = Command::History { with: Some(named("alice")), count: 10 };
    let Ok(Outcome::History { messages }) = table.command(bob, history) else { unreachable!() };
    let texts: Vec<&str> = messages.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["one", "two", "three", "four", "five", "six"]);
}

#[test]
fn whoever_joins_by_a_last_resort_package_seals_nothing_before_its_keys_are_fresh() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.pass(1_000);
    // The directory says that bob has only his last-resort package left.
    let (last_resort, sealed_in) = (Rc::new(RefCell::new(None)), Rc::new(RefCell::new(Vec::new())));
    let (told, epochs) = (last_resort.clone(), sealed_in.clone());
    table.serve(Box::new(move |seat, request, answer| {
        if let Request::PublishKeyPackages { last_resort: Some(package), .. } = request
            && seat == bob
        {
            told.replace(Some(package.clone()));
        }
        if let Request::Deposit { items } = request
            && seat == bob
        {
            let messages = items.iter().filter_map(|item| match item {
                Deposit::Message { envelope, .. } => Some(envelope.epoch),
                Deposit::Receipt { .. } => None,
            });
            epochs.borrow_mut().extend(messages);
        }
        match (request, answer) {
            (Request::TakeKeyPackages { .. }, Ok(Reply::KeyPackages(packages))) if seat == alice => {
                let last = told.borrow().clone();
                let given = packages
                    .into_inner()
                    .into_iter()
                    .map(|(device, package)| (device, last.clone().unwrap_or(package)));
                Ok(Reply::KeyPackages(given.collect::<Vec<_>>().try_into().unwrap()))
            }
            (_, answer) => answer,
        }
    }));
    // A week later bob replaces it, and so it is seen.
    table.pass(8 * 24 * 3_600 * 1_000);
    assert!(last_resort.borrow().is_some());
    table.hang_up(bob);
    table.send(alice, "bob", "one").unwrap();
    table.connect(bob);
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(alice), [("bob".to_owned(), "two".to_owned())]);
    assert!(!sealed_in.borrow().is_empty() && sealed_in.borrow().iter().all(|epoch| *epoch >= 2), "{sealed_in:?}");
}
