//! What comes late, or in another order than it was said.

use protocol::directory::{Refusal, Request};

use super::{must, people, table, told};

#[test]
fn whoever_was_away_for_days_learns_what_a_payment_was_for() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.sleep(seats[1]);
    must(&mut table, seats[0], "PAY bob 5 lunch");
    table.pass(5_000);
    table.now = table.now.plus_ms(3 * 24 * 3_600 * 1_000);
    table.wake(seats[1]);
    table.pass(20_000);
    assert_eq!(told(&table, seats[1]), ["alice paid bob 5.00 [lunch] 105.00"]);
}

#[test]
fn nobodys_money_is_told_as_coming_from_nobody_while_the_directory_may_still_say_whose_it_is() {
    let mut table = table();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::LookUp { .. } if seat == alice => Err(Refusal::Unavailable),
        _ => answer,
    }));
    must(&mut table, bob, "PAY alice 5 for the bread");
    table.pass(120_000);
    assert_eq!(told(&table, alice), [""; 0]);
    table.be_honest();
    table.pass(120_000);
    assert_eq!(told(&table, alice), ["bob paid alice 5.00 [for the bread] 105.00"]);
}
