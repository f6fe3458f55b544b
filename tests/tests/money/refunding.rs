//! REFUND: whole or in part, never more than was paid.

use node_core::command::FailureCode;

use super::{balance, fails, must, people, told};

#[test]
fn a_payment_is_given_back_in_parts_and_not_beyond() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, alice, "PAY bob 10 shoes");
    table.pass(10_000);
    // The opening balance is p1.
    must(&mut table, bob, "REFUND p2 4");
    assert!(fails(&mut table, bob, "REFUND p2 6.01", FailureCode::Refused).contains("only 6.00"));
    must(&mut table, bob, "REFUND p2");
    fails(&mut table, bob, "REFUND p2", FailureCode::Refused);
    fails(&mut table, alice, "REFUND p2", FailureCode::Refused);
    fails(&mut table, bob, "REFUND p1", FailureCode::Refused);
    fails(&mut table, bob, "REFUND p77", FailureCode::Conflict);
    table.pass(10_000);
    assert_eq!(
        told(&table, alice),
        [
            "alice paid bob 10.00 [shoes] 90.00",
            "bob paid alice 4.00 [] 94.00 back p2",
            "bob paid alice 6.00 [] 100.00 back p2"
        ]
    );
    assert_eq!(balance(&mut table, bob), "100.00");
}

#[test]
fn a_request_that_was_given_back_whole_is_refunded() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, bob, "REQUEST alice 7 tea");
    table.pass(5_000);
    must(&mut table, alice, "ACCEPT r1");
    table.pass(10_000);
    must(&mut table, bob, "REFUND p2");
    table.pass(10_000);
    for seat in seats {
        assert_eq!(told(&table, seat).last().map(String::as_str), Some("r1 refunded by p3"));
    }
    assert_eq!(balance(&mut table, alice), "100.00");
}
