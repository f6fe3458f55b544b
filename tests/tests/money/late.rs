//! What comes late, or in another order than it was said.

use super::{must, people, told};

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
