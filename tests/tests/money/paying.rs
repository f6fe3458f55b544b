//! PAY: settled, told on both sides, refused with what to do next.

use node_core::command::{Command, FailureCode, MoneyCommand, MoneyOutcome, OwnLimit};
use protocol::{OrderId, directory::PaymentLimits, money::Amount};
use tests::table::{Table, named};

use super::{balance, fails, must, people, run, told};

#[test]
fn a_payment_is_settled_and_both_are_told_with_their_balance() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let MoneyOutcome::Paid { amount, balance: left, to, .. } = must(&mut table, seats[0], "PAY bob 12.5 for lunch")
    else {
        panic!("not paid");
    };
    assert_eq!((amount.to_string(), left.to_string(), to), ("12.50".into(), "87.50".into(), named("bob")));
    table.pass(10_000);
    assert_eq!(told(&table, seats[0]), ["alice paid bob 12.50 [for lunch] 87.50"]);
    assert_eq!(told(&table, seats[1]), ["alice paid bob 12.50 [for lunch] 112.50"]);
    assert_eq!(balance(&mut table, seats[0]), "87.50");
    assert_eq!(balance(&mut table, seats[1]), "112.50");
    assert_eq!(table.misbehaviour(seats[0]), [""; 0]);
    assert_eq!(table.misbehaviour(seats[1]), [""; 0]);
}

#[test]
fn somebody_never_written_to_can_be_paid_and_is_a_contact_then() {
    let mut table = super::table();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    must(&mut table, alice, "PAY bob 1 hello");
    table.pass(10_000);
    assert_eq!(told(&table, bob), ["alice paid bob 1.00 [hello] 101.00"]);
    // A contact may ask back.
    must(&mut table, bob, "REQUEST alice 2 more");
    table.pass(5_000);
    assert_eq!(told(&table, alice).last().map(String::as_str), Some("r1: bob asks 2.00 [more]"));
}

#[test]
fn whoever_was_away_hears_of_it_on_return() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.sleep(seats[1]);
    must(&mut table, seats[0], "PAY bob 3 later");
    table.pass(60_000);
    table.wake(seats[1]);
    table.pass(10_000);
    assert_eq!(told(&table, seats[1]), ["alice paid bob 3.00 [later] 103.00"]);
}

#[test]
fn what_cannot_be_paid_is_refused_with_what_to_do_next() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let alice = seats[0];
    let refused = fails(&mut table, alice, "PAY bob 9999", FailureCode::Refused);
    assert_eq!(refused, "insufficient funds: you have 100.00; BALANCE shows it");
    assert!(fails(&mut table, alice, "PAY alice 1", FailureCode::Refused).contains("that is you"));
    assert!(fails(&mut table, alice, "PAY nobody 1", FailureCode::Conflict).contains("LIST"));
    for amount in ["0", "-1", "1e3", "1,5", "1.234", "٣", "9223372036854775808", ".5", "5."] {
        fails(&mut table, alice, &format!("PAY bob {amount}"), FailureCode::Usage);
    }
    let foreign = MoneyCommand::Pay {
        payer: Some(named("bob")),
        to: named("alice"),
        amount: "1".into(),
        memo: String::new(),
        id: None,
    };
    let failure = table.command(alice, Command::Money(foreign)).unwrap_err();
    assert_eq!(failure.code, FailureCode::Refused);
    table.command(alice, Command::Block { user: named("bob"), blocked: true }).unwrap();
    assert!(fails(&mut table, alice, "PAY bob 1", FailureCode::Refused).contains("UNBLOCK bob"));
    table.pass(10_000);
    assert_eq!(told(&table, alice), [""; 0]);
    assert_eq!(balance(&mut table, alice), "100.00");
}

#[test]
fn the_callers_own_id_pays_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let pay = |amount: &str| {
        let id = Some(OrderId([9; 16]));
        let (amount, memo) = (amount.to_owned(), "once".to_owned());
        Command::Money(MoneyCommand::Pay { payer: None, to: named("bob"), amount, memo, id })
    };
    let first = table.command(seats[0], pay("5")).unwrap();
    assert_eq!(table.command(seats[0], pay("5")).unwrap(), first);
    table.pass(60_000);
    assert_eq!(table.command(seats[0], pay("5")).unwrap(), first, "also when the order is done with");
    assert_eq!(table.command(seats[0], pay("6")).unwrap_err().code, FailureCode::Conflict);
    assert_eq!(balance(&mut table, seats[0]), "95.00");
}

#[test]
fn the_persons_own_limits_are_looked_at_before_anything_is_signed() {
    let (mut table, seats) = people(&["alice", "bob", "carol"]);
    let mut limit = |limit, amount: &str| {
        let amount = Some(amount.to_owned());
        table.command(seats[0], Command::Money(MoneyCommand::SetLimit { limit, amount })).unwrap();
    };
    limit(OwnLimit::Payment, "20");
    limit(OwnLimit::Peer, "25");
    limit(OwnLimit::Day, "30");
    assert!(fails(&mut table, seats[0], "PAY bob 20.01", FailureCode::Refused).contains("SET limit.payment"));
    must(&mut table, seats[0], "PAY bob 20");
    assert!(fails(&mut table, seats[0], "PAY bob 5.01", FailureCode::Refused).contains("SET limit.peer"));
    must(&mut table, seats[0], "PAY carol 10");
    assert!(fails(&mut table, seats[0], "PAY carol 0.01", FailureCode::Refused).contains("SET limit.day"));
    assert_eq!(balance(&mut table, seats[0]), "70.00");
}

#[test]
fn the_limit_of_a_day_begins_anew_at_midnight_and_counts_what_is_unknown() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let (mut table, seats) = people(&["alice", "bob"]);
    let limit = MoneyCommand::SetLimit { limit: OwnLimit::Day, amount: Some("10".to_owned()) };
    table.command(seats[0], Command::Money(limit)).unwrap();
    // Half a minute before the day of UTC is over.
    let left = DAY_MS - table.now.0 % DAY_MS;
    table.pass(left - 60_000);
    must(&mut table, seats[0], "PAY bob 7");
    fails(&mut table, seats[0], "PAY bob 3.01", FailureCode::Refused);
    table.hang_up(seats[0]);
    // It may have been paid: so it counts.
    table.begin(seats[0], super::typed("PAY bob 3"));
    fails(&mut table, seats[0], "PAY bob 0.01", FailureCode::Refused);
    table.connect(seats[0]);
    table.pass(10_000);
    assert!(table.now.0 % DAY_MS > DAY_MS / 2, "it is still the same day");
    fails(&mut table, seats[0], "PAY bob 0.01", FailureCode::Refused);
    let left = DAY_MS - table.now.0 % DAY_MS;
    table.pass(left);
    must(&mut table, seats[0], "PAY bob 10");
    fails(&mut table, seats[0], "PAY bob 0.01", FailureCode::Refused);
    assert_eq!(balance(&mut table, seats[1]), "120.00");
}

#[test]
fn the_operators_limit_is_named() {
    let limits = PaymentLimits { payment: Amount::new(500), ..PaymentLimits::default() };
    let mut table = Table::with_money(Amount::new(10_000).unwrap(), limits);
    let (alice, _bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let refused = fails(&mut table, alice, "PAY bob 5.01", FailureCode::Refused);
    assert_eq!(refused, "that is above the operator's limit for one payment, 5.00; pay less");
    must(&mut table, alice, "PAY bob 5");
}

#[test]
fn an_account_with_money_is_not_closed() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let close = || Command::CloseAccount { password: tests::table::password_of("alice") };
    let failure = table.command(seats[0], close()).unwrap_err();
    assert!(failure.message.contains("100.00") && failure.message.contains("PAY"), "{failure}");
    must(&mut table, seats[0], "PAY bob 100 all of it");
    table.pass(5_000);
    table.command(seats[0], close()).unwrap();
    table.pass(5_000);
    assert_eq!(told(&table, seats[1]), ["alice paid bob 100.00 [all of it] 200.00"]);
    assert!(run(&mut table, seats[1], "PAY alice 1").is_err());
    assert_eq!(balance(&mut table, seats[1]), "200.00");
}
