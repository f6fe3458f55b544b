//! REQUEST, ACCEPT, DECLINE, CANCEL, and shares of a group.

use node_core::command::{Command, FailureCode, MoneyOutcome};
use protocol::{directory::RequestState, policy::Access};
use tests::table::{Table, named};

use super::{balance, fails, must, people, told};

#[test]
fn a_request_is_told_accepted_and_paid_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, bob, "REQUEST alice 12.50 lunch");
    table.pass(5_000);
    assert_eq!(told(&table, alice), ["r1: bob asks 12.50 [lunch]"]);
    must(&mut table, alice, "ACCEPT r1");
    table.pass(10_000);
    assert_eq!(
        told(&table, alice),
        ["r1: bob asks 12.50 [lunch]", "alice paid bob 12.50 [lunch] 87.50 for r1", "r1 paid by p2"]
    );
    assert_eq!(told(&table, bob), ["alice paid bob 12.50 [lunch] 112.50 for r1", "r1 paid by p2"]);
    let over = fails(&mut table, alice, "ACCEPT r1", FailureCode::Refused);
    assert_eq!(over, "r1 is paid already; PAYMENTS shows it");
    fails(&mut table, alice, "DECLINE r1", FailureCode::Refused);
    fails(&mut table, bob, "CANCEL r1", FailureCode::Refused);
    fails(&mut table, alice, "ACCEPT r9", FailureCode::Conflict);
    assert_eq!(balance(&mut table, alice), "87.50");
}

#[test]
fn a_declined_request_and_a_cancelled_one_say_why() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, bob, "REQUEST alice 1 one");
    must(&mut table, bob, "REQUEST alice 2 two");
    table.pass(5_000);
    assert!(fails(&mut table, bob, "ACCEPT r1", FailureCode::Refused).contains("CANCEL r1"));
    assert!(fails(&mut table, alice, "CANCEL r1", FailureCode::Refused).contains("DECLINE r1"));
    let MoneyOutcome::Closed { state, count, .. } = must(&mut table, alice, "DECLINE r1 no money") else { panic!() };
    assert_eq!((state, count), (RequestState::Declined, 1));
    must(&mut table, bob, "CANCEL r2 my mistake");
    table.pass(10_000);
    let ends = ["r1 declined: no money", "r2 cancelled: my mistake"];
    assert_eq!(told(&table, alice)[2..], ends);
    assert_eq!(told(&table, bob), ends);
    fails(&mut table, alice, "ACCEPT r1", FailureCode::Refused);
    fails(&mut table, alice, "ACCEPT r2", FailureCode::Refused);
    assert_eq!(balance(&mut table, alice), "100.00");
}

#[test]
fn a_request_expires() {
    let (mut table, seats) = people(&["alice", "bob"]);
    must(&mut table, seats[1], "REQUEST alice 1 one");
    table.pass(5_000);
    table.sleep(seats[0]);
    table.sleep(seats[1]);
    table.now = table.now.plus_ms(31 * 24 * 3_600 * 1_000);
    table.pass(5_000);
    for seat in &seats {
        table.wake(*seat);
    }
    table.pass(120_000);
    assert!(fails(&mut table, seats[0], "ACCEPT r1", FailureCode::Refused).contains("expired"));
    for seat in seats {
        assert_eq!(told(&table, seat).last().map(String::as_str), Some("r1 expired"));
    }
}

#[test]
fn a_stranger_can_not_ask() {
    let mut table = super::table();
    let (alice, _bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let refused = fails(&mut table, alice, "REQUEST bob 1", FailureCode::Refused);
    assert!(refused.contains("bob has not accepted you yet"), "{refused}");
    let MoneyOutcome::Requests { requests } = must(&mut table, alice, "REQUESTS") else { panic!() };
    assert_eq!(requests, []);
}

fn team(table: &mut Table, seats: &[usize]) {
    table.command(seats[0], Command::CreateGroup { group: named("team"), access: Access::Open }).unwrap();
    for seat in &seats[1..] {
        table.command(*seat, Command::Join { group: named("team") }).unwrap();
    }
    table.pass(5_000);
}

#[test]
fn a_sum_is_split_over_a_group_and_cancelled_as_a_whole() {
    let (mut table, seats) = people(&["alice", "bob", "carol"]);
    team(&mut table, &seats);
    let MoneyOutcome::RequestedGroup { id, shares, total, .. } =
        must(&mut table, seats[1], "REQUEST GROUP team 10.01 pizza")
    else {
        panic!()
    };
    // By name the first get the larger shares: alice and bob 3.34, carol 3.33; bob's own is not asked for.
    let shares: Vec<_> = shares.into_iter().map(|share| (share.from.to_string(), share.amount.to_string())).collect();
    assert_eq!(shares, [("alice".into(), "3.34".into()), ("carol".into(), "3.33".into())] as [(String, String); 2]);
    assert_eq!((total.to_string(), id.to_string()), ("10.01".into(), "r1".into()));
    table.pass(5_000);
    assert_eq!(told(&table, seats[0]), ["r1: bob asks 3.34 of 10.01 in team [pizza]"]);
    must(&mut table, seats[2], "ACCEPT r1");
    let MoneyOutcome::Closed { count, .. } = must(&mut table, seats[1], "CANCEL r1 enough") else { panic!() };
    assert_eq!(count, 1, "the one that was still open");
    table.pass(10_000);
    assert_eq!(told(&table, seats[0]).last().map(String::as_str), Some("r1 cancelled: enough"));
    assert_eq!(told(&table, seats[2]).last().map(String::as_str), Some("r1 paid by p2"));
    assert_eq!(balance(&mut table, seats[1]), "103.33");
    fails(&mut table, seats[1], "CANCEL r1", FailureCode::Refused);
}
