//! Several devices of one account: each is told of new payments once, and a new one of old ones not at all.

use node_core::command::{Command, MoneyOutcome};
use tests::table::{named, password_of};

use super::{balance, must, people, told};

#[test]
fn each_device_is_told_once_and_a_new_one_reads_the_past_in_silence() {
    let (mut table, seats) = people(&["alice", "bob"]);
    must(&mut table, seats[1], "PAY alice 5 before");
    table.pass(10_000);
    let phone = table.sit();
    table.command(phone, Command::SignIn { name: named("alice"), password: password_of("alice") }).unwrap();
    table.pass(10_000);
    assert_eq!(told(&table, phone), [""; 0]);
    let MoneyOutcome::Payments { payments } = must(&mut table, phone, "PAYMENTS") else { panic!() };
    assert!(payments.iter().all(|payment| payment.history) && payments.len() == 2, "{payments:?}");
    must(&mut table, seats[0], "PAY bob 1 from the desk");
    must(&mut table, phone, "PAY bob 2 from the phone");
    must(&mut table, seats[1], "PAY alice 3 to both");
    table.pass(15_000);
    let expected = [
        "alice paid bob 1.00 [from the desk] 104.00",
        "alice paid bob 2.00 [from the phone] 102.00",
        "bob paid alice 3.00 [to both] 105.00",
    ];
    assert_eq!(told(&table, phone), expected);
    assert_eq!(told(&table, seats[0])[1..], expected);
    assert_eq!(balance(&mut table, phone), "105.00");
    assert_eq!(table.misbehaviour(phone), [""; 0]);
}
