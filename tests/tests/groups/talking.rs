//! Coming in, talking, going.

use super::*;
use node_core::{
    command::{GroupView, ListWhat},
    event::DeliveryState::{Delivered, Queued, Sent},
    event::MemberChange::{Demoted, Invited, Joined, Left, Promoted, Removed},
};

#[test]
fn what_is_said_in_an_open_group_comes_to_all_who_are_in_it_and_to_nobody_else() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let dave = table.sign_up("dave");
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    let said = must(&mut table, alice, "SAY team hi all");
    assert_eq!(recipients(said), [("bob".to_owned(), Sent), ("carol".to_owned(), Sent)]);
    must(&mut table, carol, "SAY team hi alice");
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "hi all"), pair("carol", "hi alice")]);
    assert_eq!(heard(&table, carol), [pair("alice", "hi all")]);
    assert_eq!(heard(&table, alice), [pair("carol", "hi alice")]);
    assert_eq!(heard(&table, dave), []);
    let receipts: Vec<(String, DeliveryState)> = table
        .events(alice)
        .into_iter()
        .filter_map(|kind| match kind {
            EventKind::Receipt { to, state, group: Some(_), .. } => Some((to.to_string(), state)),
            _ => None,
        })
        .collect();
    for to in ["bob", "carol"] {
        let of: Vec<DeliveryState> = receipts.iter().filter(|(who, _)| who == to).map(|(_, state)| *state).collect();
        assert_eq!(of, [Sent, Delivered], "{to}");
    }
    for seat in [alice, bob, carol, dave] {
        assert_eq!(table.command(seat, Command::WaitIdle), Ok(Outcome::Done), "seat {seat}");
        assert_eq!(table.misbehaviour(seat), &[] as &[&str], "seat {seat}");
    }
}

#[test]
fn everybody_is_told_of_every_change_in_the_same_order() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let dave = table.sign_up("dave");
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    must(&mut table, bob, "INVITE team dave");
    must(&mut table, dave, "JOIN team");
    must(&mut table, alice, "PROMOTE team bob");
    must(&mut table, alice, "PROMOTE team bob");
    must(&mut table, bob, "DEMOTE team alice");
    must(&mut table, bob, "KICK team carol");
    must(&mut table, alice, "LEAVE team");
    table.pass(10_000);
    let all = [
        told("bob", "bob", Joined),
        told("carol", "carol", Joined),
        told("dave", "bob", Invited),
        told("dave", "dave", Joined),
        told("bob", "alice", Promoted),
        told("bob", "alice", Promoted),
        told("alice", "bob", Demoted),
        told("carol", "bob", Removed),
        told("alice", "alice", Left),
    ];
    assert_eq!(changes(&table, alice), all);
    assert_eq!(changes(&table, bob), all);
    assert_eq!(changes(&table, carol), all[1..8]);
    assert_eq!(changes(&table, dave), all[2..]);
    assert_eq!(members(&mut table, bob), [("bob".to_owned(), Role::Owner), ("dave".to_owned(), Role::Member)]);
    assert_eq!(must(&mut table, carol, "COUNT team"), Outcome::MemberCount(2));
    // The timeline has them in their places.
    let history = Command::History { with: Some(named("team")), count: 100 };
    let Ok(Outcome::History { messages }) = table.command(dave, history) else { panic!("no history") };
    let lines: Vec<MemberChange> = messages.iter().filter_map(|entry| Some(entry.member.as_ref()?.change)).collect();
    assert_eq!(lines, [Invited, Joined, Promoted, Promoted, Demoted, Removed, Left]);
}

#[test]
fn whoever_is_invited_while_away_comes_in_and_reads_what_was_said_since() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let bob = table.sign_up("bob");
    must(&mut table, alice, "CREATE team INVITE");
    must(&mut table, alice, "SAY team to myself");
    table.sleep(bob);
    must(&mut table, alice, "INVITE team bob");
    let said = must(&mut table, alice, "SAY team welcome");
    assert_eq!(recipients(said), [], "whoever is only invited is not counted");
    table.wake(bob);
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [], "not before they have joined");
    fails(&mut table, bob, "SAY team too early", FailureCode::Refused);
    must(&mut table, bob, "JOIN team");
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "welcome")]);
    must(&mut table, bob, "SAY team thanks");
    table.pass(5_000);
    assert_eq!(heard(&table, alice), [pair("bob", "thanks")]);
    assert_eq!(changes(&table, bob), [told("bob", "alice", Invited), told("bob", "bob", Joined)]);
    assert_eq!(changes(&table, alice), changes(&table, bob));
}

#[test]
fn one_recipient_who_is_away_holds_up_nobody_and_is_shown_so() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    table.hang_up(alice);
    let said = must(&mut table, alice, "SAY team later");
    assert_eq!(recipients(said), [("bob".to_owned(), Queued), ("carol".to_owned(), Queued)]);
    table.sleep(carol);
    table.connect(alice);
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "later")]);
    assert_eq!(table.command(alice, Command::WaitIdle), Ok(Outcome::Done));
    table.wake(carol);
    table.pass(5_000);
    assert_eq!(heard(&table, carol), [pair("alice", "later")]);
    let last = table.events(alice).into_iter().rev().find_map(|kind| match kind {
        EventKind::Receipt { to, state, .. } => Some((to.to_string(), state)),
        _ => None,
    });
    assert_eq!(last, Some(("carol".to_owned(), Delivered)));
}

#[test]
fn groups_are_listed_with_how_many_are_in_them_and_what_is_unread() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let carol = table.sign_up("carol");
    must(&mut table, carol, "CREATE secret INVITE");
    must(&mut table, seats[0], "SAY team one");
    table.pass(5_000);
    let list = |table: &mut Table, seat, what| match table.command(seat, Command::List { what }) {
        Ok(Outcome::People { groups, .. }) => groups,
        other => panic!("no list: {other:?}"),
    };
    let view = |name: &str, members, role, access, unread| GroupView {
        name: named(name),
        members,
        role,
        access,
        unread,
        muted: false,
    };
    let of_bob = [view("team", 2, Some(Role::Member), Access::Open, 1)];
    assert_eq!(list(&mut table, seats[1], ListWhat::Groups), of_bob);
    assert_eq!(list(&mut table, seats[1], ListWhat::Mine), of_bob);
    assert_eq!(list(&mut table, seats[1], ListWhat::Users), []);
    let of_carol = [view("secret", 1, Some(Role::Owner), Access::Invite, 0), view("team", 2, None, Access::Open, 0)];
    assert_eq!(list(&mut table, carol, ListWhat::All), of_carol);
    assert_eq!(list(&mut table, carol, ListWhat::Mine), of_carol[..1]);
    let unread = |table: &mut Table| match table.command(seats[1], Command::Unread) {
        Ok(Outcome::Unread { groups, .. }) => groups,
        other => panic!("no list: {other:?}"),
    };
    assert_eq!(unread(&mut table), [(named("team"), 1)]);
    table.command(seats[1], Command::Mute { target: named("team"), for_ms: None }).unwrap();
    table.command(seats[1], Command::Read { target: named("team") }).unwrap();
    assert_eq!(unread(&mut table), []);
    assert!(list(&mut table, seats[1], ListWhat::Mine)[0].muted);
}

#[test]
fn what_somebody_says_whom_one_has_blocked_is_not_shown_in_a_group_and_all_else_is() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.command(seats[0], Command::Block { user: named("bob"), blocked: true }).unwrap();
    must(&mut table, seats[1], "SAY team nonsense");
    must(&mut table, seats[2], "SAY team sense");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[0]), [pair("carol", "sense")]);
    assert_eq!(heard(&table, seats[2]), [pair("bob", "nonsense")]);
}

#[test]
fn what_a_message_costs_to_keep_does_not_grow_with_how_many_wait_for_somebody_who_is_away() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.sleep(seats[2]);
    let cost = |table: &mut Table| {
        let before = table.disk(seats[0]).written();
        must(table, seats[0], "SAY team hello");
        table.pass(5_000);
        table.disk(seats[0]).written() - before
    };
    let first = cost(&mut table);
    let last = (0..60).map(|_| cost(&mut table)).last().unwrap();
    assert!(last < 2 * first, "{first} bytes became {last}");
    assert_eq!(heard(&table, seats[1]).len(), 61);
}
