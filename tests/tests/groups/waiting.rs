//! Changes that are asked for while the directory is away, and what is known of people by the groups that they share.

use std::{cell::Cell, rc::Rc};

use super::*;
use node_core::{command::ListWhat, event::Trust};
use protocol::{
    Bounded,
    directory::{Refusal, Reply, Request},
};

#[test]
fn whoever_asks_for_a_change_without_a_connection_waits_for_one_until_time_is_up() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.sign_up("dave");
    let alice = seats[0];
    must(&mut table, alice, "CREATE other");
    let before = members(&mut table, seats[1]);
    table.hang_up(alice);
    for line in [
        "CREATE new",
        "JOIN unheard",
        "LEAVE other",
        "INVITE team dave",
        "KICK team bob",
        "PROMOTE team bob",
        "MEMBERS unheard",
        "COUNT team",
    ] {
        let asked = table.now;
        fails(&mut table, alice, line, FailureCode::Unreachable);
        assert!(table.now.ms_since(asked) >= 30_000, "{line} waited");
    }
    // What can't be in any case is said at once.
    let asked = table.now;
    for (line, code) in [
        ("KICK bob carol", FailureCode::Conflict),
        ("JOIN team", FailureCode::Conflict),
        ("LEAVE team", FailureCode::Refused),
    ] {
        fails(&mut table, alice, line, code);
    }
    assert_eq!(table.now, asked);
    table.connect(alice);
    table.pass(10_000);
    assert_eq!(members(&mut table, seats[1]), before, "what was given up does not happen later");
    must(&mut table, alice, "LEAVE other");
}

#[test]
fn a_change_that_waited_happens_on_the_next_connection() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let alice = seats[0];
    table.hang_up(alice);
    table.begin(alice, Command::Promote { group: named("team"), user: named("bob") });
    table.begin(alice, Command::Kick { group: named("team"), user: named("carol") });
    table.pass(5_000);
    assert_eq!(members(&mut table, seats[1]).len(), 3);
    table.connect(alice);
    table.pass(10_000);
    let expected = [("alice", Role::Owner), ("bob", Role::Admin)].map(|(name, role)| (name.to_owned(), role));
    assert_eq!(members(&mut table, seats[1]), expected);
}

#[test]
fn what_is_known_of_a_key_is_the_same_wherever_it_is_shown() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let dave = table.sign_up("dave");
    table.send(dave, "alice", "you don't know me").unwrap();
    table.send(seats[1], "alice", "you do know me").unwrap();
    table.pass(5_000);
    let Outcome::Members { members, .. } = must(&mut table, seats[0], "MEMBERS team") else { panic!("no members") };
    let in_group: Vec<Trust> = members.iter().filter(|member| !member.this).map(|member| member.trust).collect();
    assert_eq!(in_group, [Trust::Pinned]);
    let Ok(Outcome::People { people, .. }) = table.command(seats[0], Command::List { what: ListWhat::Users }) else {
        panic!("no list")
    };
    let listed: Vec<(&str, bool, Trust)> =
        people.iter().map(|person| (person.name.as_str(), person.contact, person.trust)).collect();
    assert_eq!(listed, [("bob", true, Trust::Pinned), ("dave", false, Trust::Stranger)]);
    let said = table.events(seats[0]).into_iter().filter_map(|kind| match kind {
        EventKind::Message { from, trust, .. } => Some((from.to_string(), trust)),
        _ => None,
    });
    let expected = [("dave".to_owned(), Trust::Stranger), ("bob".to_owned(), Trust::Pinned)];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn whoever_is_invited_while_a_join_is_under_way_is_told_of_both() {
    let mut table = Table::new();
    let (alice, carol) = (table.sign_up("alice"), table.sign_up("carol"));
    must(&mut table, alice, "CREATE team");
    table.pass(5_000);
    // What leads into an open group does not come, and the Welcome comes late.
    let late = Rc::new(Cell::new(true));
    let is_late = Rc::clone(&late);
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (Request::Group { .. }, _) if seat == carol => Err(Refusal::Unavailable),
        (_, Ok(Reply::Mail { .. })) if seat == carol && is_late.get() => {
            Ok(Reply::Mail { items: Bounded::default(), more: false })
        }
        (_, answer) => answer,
    }));
    table.begin(carol, Command::Join { group: named("team") });
    must(&mut table, alice, "INVITE team carol");
    late.set(false);
    table.pass(120_000);
    let seen = [told("carol", "alice", MemberChange::Invited), told("carol", "carol", MemberChange::Joined)];
    assert_eq!(changes(&table, carol), seen);
    assert_eq!(changes(&table, alice), seen);
}
