//! What groups of many cost whoever is in them: it grows with what is done, and not with how many are there.

use std::{cell::Cell, rc::Rc};

use node_core::event::{DeliveryState::*, EventKind};
use protocol::{
    directory::Request,
    limits::LOOK_UP_MAX,
    policy::{Access, GroupPolicy},
};
use tests::{
    crowd, fixture,
    table::{Seat, Table, named},
    world::CHEAP_STRETCH,
};

use crate::{heard, must, pair, recipients};

/// A table with a group `team` of so many, of whom nobody is there.
fn full(many: usize) -> Table {
    let mut table = Table::new();
    // The certificates of the fixture's accounts are of today.
    table.now = fixture::now();
    let accounts = fixture::fill(&table.directory, many, CHEAP_STRETCH).unwrap();
    let policy = GroupPolicy::founded(named("team"), accounts[0].id, [7; 16], Access::Open);
    let crowd = crowd::gather(table.now, &accounts, &policy).unwrap();
    crowd::settle(&table.directory, table.now, &accounts, &policy, &crowd.first).unwrap();
    table
}

fn join(table: &mut Table, name: &str) -> Seat {
    let seat = table.sign_up(name);
    must(table, seat, "JOIN team");
    table.pass(30_000);
    seat
}

#[test]
fn whoever_joins_many_asks_for_them_in_pages_and_puts_the_book_up_when_all_are_known() {
    let mut table = full(3 * LOOK_UP_MAX);
    let bob = table.sign_up("bob");
    let asked = Rc::new(Cell::new((0, 0)));
    let count = Rc::clone(&asked);
    table.serve(Box::new(move |_, request, answer| {
        let (pages, books) = count.get();
        match request {
            Request::LookUp { .. } => count.set((pages + 1, books)),
            // One that says that bob is in the group, at most, and one with everybody.
            Request::PutBook { .. } => count.set((pages, books + 1)),
            _ => {}
        }
        answer
    }));
    must(&mut table, bob, "JOIN team");
    table.pass(30_000);
    let (pages, books) = asked.get();
    assert!(pages >= 3 && (1..=2).contains(&books), "{pages} pages, {books} books");
    // And everybody is in it: a second device knows them all, and asks for nobody.
    asked.set((0, 0));
    table.sleep(bob);
    table.wake(bob);
    table.pass(30_000);
    assert_eq!(asked.get(), (0, 0), "nothing was left to be asked or to be put up");
}

/// What a message costs its sender in bytes written, the group having been written to before.
fn written_for_one(many: usize) -> usize {
    let mut table = full(many);
    let alice = join(&mut table, "alice");
    must(&mut table, alice, "SAY team the first");
    table.pass(5_000);
    let before = table.disk(alice).written();
    must(&mut table, alice, "SAY team the second");
    table.pass(5_000);
    table.disk(alice).written() - before
}

#[test]
fn what_a_message_writes_hardly_grows_with_how_many_it_is_for() {
    let (few, many) = (written_for_one(20), written_for_one(220));
    assert!(many < few + 200 * 20, "{few} bytes for 20 people, {many} for 220");
}

#[test]
fn a_message_to_many_is_remembered_with_everybody_whom_it_has_reached() {
    let mut table = full(40);
    let (alice, bob, carol) = (join(&mut table, "alice"), join(&mut table, "bob"), join(&mut table, "carol"));
    table.sleep(carol);
    let said = recipients(must(&mut table, alice, "SAY team hello all"));
    assert_eq!(said.len(), 42);
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "hello all")]);
    // Whoever sent it is started anew, twice: what was read is written again as it was.
    for _ in 0..2 {
        table.sleep(alice);
        table.wake(alice);
        table.pass(5_000);
    }
    table.wake(carol);
    table.pass(5_000);
    assert_eq!(heard(&table, carol), [pair("alice", "hello all")]);
    assert_eq!(heard(&table, bob), [pair("alice", "hello all")]);
    let told = |who: &str| -> Vec<_> {
        let state = |kind| match kind {
            EventKind::Receipt { to, state, .. } if to == named(who) => Some(state),
            _ => None,
        };
        table.events(alice).into_iter().filter_map(state).collect()
    };
    assert_eq!((told("bob"), told("carol")), (vec![Sent, Delivered], vec![Sent, Delivered]));
    assert_eq!(told(said[0].0.as_str()), [Sent]);
    assert!(table.misbehaviour(alice).is_empty());
}
