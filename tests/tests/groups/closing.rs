//! CLOSE ACCOUNT, as far as groups are concerned.

use super::*;
use node_core::command::{GroupView, ListWhat};
use protocol::directory::Request;
use tests::table::password_of;

fn close(table: &mut Table, seat: Seat, name: &str) -> CommandResult {
    table.command(seat, Command::CloseAccount { password: password_of(name) })
}

fn groups(table: &mut Table, seat: Seat) -> Vec<(String, u32)> {
    let Ok(Outcome::People { groups, .. }) = table.command(seat, Command::List { what: ListWhat::Groups }) else {
        panic!("no list")
    };
    groups.into_iter().map(|GroupView { name, members, .. }| (name.to_string(), members)).collect()
}

#[test]
fn whoever_closes_an_account_has_left_every_group_and_everybody_in_them_sees_it() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    must(&mut table, bob, "CREATE lonely");
    must(&mut table, alice, "CREATE club INVITE");
    must(&mut table, alice, "INVITE club bob");
    must(&mut table, bob, "SAY team goodbye");
    table.pass(1_000);
    assert_eq!(close(&mut table, bob, "bob"), Ok(Outcome::Done));
    table.pass(10_000);
    assert_eq!(heard(&table, carol), [pair("bob", "goodbye")]);
    for seat in [alice, carol] {
        assert_eq!(changes(&table, seat).last(), Some(&told("bob", "bob", MemberChange::Left)), "seat {seat}");
        assert_eq!(members(&mut table, seat), [("alice", Role::Owner), ("carol", Role::Member)].map(owned));
        assert_eq!(table.misbehaviour(seat), &[] as &[&str], "seat {seat}");
    }
    let expected = [("club", 1), ("team", 2)].map(|(name, members)| (name.to_owned(), members));
    assert_eq!(groups(&mut table, alice), expected, "nobody else had joined the lonely one");
    must(&mut table, alice, "SAY team onwards");
    table.pass(1_000);
    assert_eq!(heard(&table, carol).last(), Some(&pair("alice", "onwards")));
}

fn owned((name, role): (&str, Role)) -> (String, Role) {
    (name.to_owned(), role)
}

#[test]
fn the_owner_whom_a_group_needs_names_another_one_before_the_account_is_closed() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, alice, "CREATE aside");
    let failure = close(&mut table, alice, "alice").unwrap_err();
    assert_eq!(failure.code, FailureCode::Refused);
    assert!(failure.message.contains("PROMOTE team NAME"), "{failure}");
    assert_eq!(groups(&mut table, alice), [("aside".to_owned(), 1), ("team".to_owned(), 2)], "nothing has happened");
    must(&mut table, alice, "PROMOTE team bob");
    must(&mut table, alice, "PROMOTE team bob");
    assert_eq!(close(&mut table, alice, "alice"), Ok(Outcome::Done));
    table.pass(10_000);
    assert_eq!(members(&mut table, bob), [owned(("bob", Role::Owner))]);
    assert_eq!(close(&mut table, bob, "bob"), Ok(Outcome::Done));
    let dave = table.sign_up("dave");
    assert_eq!(groups(&mut table, dave), []);
    fails(&mut table, dave, "CREATE team", FailureCode::Conflict);
}

#[test]
fn an_account_is_closed_although_answers_on_the_way_are_lost() {
    let of: [fn(&Request) -> bool; 2] =
        [|request| matches!(request, Request::Leave { .. }), |request| matches!(request, Request::CloseAccount)];
    for lost in of {
        let mut table = Table::new();
        let seats = team(&mut table, &["alice", "bob", "carol"]);
        table.lose_answer(lost);
        assert_eq!(close(&mut table, seats[1], "bob"), Ok(Outcome::Done));
        table.pass(10_000);
        assert_eq!(members(&mut table, seats[2]), [("alice", Role::Owner), ("carol", Role::Member)].map(owned));
        assert_eq!(groups(&mut table, seats[2]), [("team".to_owned(), 2)]);
    }
}

#[test]
fn a_wrong_password_leaves_no_group() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let failure = close(&mut table, seats[1], "alice").unwrap_err();
    assert_eq!(failure.code, FailureCode::Auth);
    assert_eq!(members(&mut table, seats[0]), [("alice", Role::Owner), ("bob", Role::Member)].map(owned));
}
