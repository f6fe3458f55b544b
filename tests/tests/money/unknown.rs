//! What is not certain: kept, asked again with the same bytes, never made anew.

use node_core::command::{Command, FailureCode, MoneyOutcome};
use protocol::directory::{LedgerRequest, Request};
use tests::table::Table;

use super::{balance, fails, must, people, told, typed};

fn is_settle(request: &Request) -> bool {
    matches!(request, Request::Ledger(request) if matches!(**request, LedgerRequest::Settle { .. }))
}

fn unknown(table: &mut Table, seat: usize) -> usize {
    match table.command(seat, Command::Status) {
        Ok(node_core::command::Outcome::Status(status)) => status.unknown,
        other => panic!("no status: {other:?}"),
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_and_pays_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.lose_answer(is_settle);
    must(&mut table, seats[0], "PAY bob 5 once");
    table.pass(10_000);
    assert_eq!(told(&table, seats[0]), ["alice paid bob 5.00 [once] 95.00"]);
    assert_eq!(balance(&mut table, seats[1]), "105.00");
}

#[test]
fn a_payment_while_the_directory_is_away_is_unknown_and_settles_on_its_return() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.hang_up(seats[0]);
    let message = fails(&mut table, seats[0], "PAY bob 5 later", FailureCode::Unknown);
    assert!(message.contains("p2") && message.contains("PAYMENTS"), "{message}");
    assert_eq!(unknown(&mut table, seats[0]), 1);
    let idle = table.command(seats[0], Command::WaitIdle);
    assert!(idle.is_err(), "what is unknown is not idle: {idle:?}");
    let MoneyOutcome::Payments { payments } = must(&mut table, seats[0], "PAYMENTS bob") else { panic!() };
    assert_eq!(payments.iter().map(|payment| payment.state.word()).collect::<Vec<_>>(), ["unknown"]);
    table.connect(seats[0]);
    table.pass(10_000);
    assert_eq!(told(&table, seats[0]), ["alice paid bob 5.00 [later] 95.00"]);
    assert_eq!(told(&table, seats[1]), ["alice paid bob 5.00 [later] 105.00"]);
    assert_eq!(unknown(&mut table, seats[0]), 0);
    table.command(seats[0], Command::WaitIdle).unwrap();
}

#[test]
fn a_payer_who_dies_at_any_step_pays_once() {
    for lost in [false, true] {
        let (mut table, seats) = people(&["alice", "bob"]);
        if lost {
            table.lose_answer(is_settle);
        } else {
            table.hang_up(seats[0]);
        }
        table.begin(seats[0], typed("PAY bob 5 once"));
        table.sleep(seats[0]);
        table.pass(60_000);
        table.wake(seats[0]);
        table.pass(20_000);
        assert_eq!(told(&table, seats[0]), ["alice paid bob 5.00 [once] 95.00"], "lost: {lost}");
        assert_eq!(told(&table, seats[1]).len(), 1);
        assert_eq!(balance(&mut table, seats[0]), "95.00");
    }
}

#[test]
fn an_order_that_expired_before_the_directory_heard_of_it_is_not_paid() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.hang_up(seats[0]);
    fails(&mut table, seats[0], "PAY bob 5 too late", FailureCode::Unknown);
    table.now = table.now.plus_ms(25 * 3_600 * 1_000);
    table.pass(1_000);
    table.connect(seats[0]);
    table.pass(5_000);
    assert_eq!(unknown(&mut table, seats[0]), 0);
    assert_eq!(told(&table, seats[0]), [""; 0]);
    assert_eq!(balance(&mut table, seats[0]), "100.00");
}

#[test]
fn an_old_backup_of_a_node_never_pays_again_what_was_paid() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.hang_up(seats[0]);
    fails(&mut table, seats[0], "PAY bob 5 once", FailureCode::Unknown);
    let backup = table.disk(seats[0]).clone();
    table.connect(seats[0]);
    table.pass(10_000);
    must(&mut table, seats[0], "PAY bob 1 more");
    table.pass(10_000);
    table.sleep(seats[0]);
    // The restored profile hands the same order in again, and hears that it is settled.
    table.sit_with(backup);
    table.pass(30_000);
    assert_eq!(balance(&mut table, seats[1]), "106.00");
    assert_eq!(told(&table, seats[1]).len(), 2);
}

#[test]
fn an_acceptance_whose_answer_is_lost_pays_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    must(&mut table, seats[1], "REQUEST alice 5 tea");
    table.pass(5_000);
    table.lose_answer(is_settle);
    must(&mut table, seats[0], "ACCEPT r1");
    assert_eq!(balance(&mut table, seats[0]), "95.00");
}

#[test]
fn a_request_whose_answer_is_lost_is_asked_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.lose_answer(
        |request| matches!(request, Request::Ledger(request) if matches!(**request, LedgerRequest::OpenRequest { .. })),
    );
    must(&mut table, seats[1], "REQUEST alice 5 tea");
    table.pass(10_000);
    assert_eq!(told(&table, seats[0]), ["r1: bob asks 5.00 [tea]"]);
}

#[test]
fn an_order_that_is_handed_over_directly_is_settled_by_its_payee() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    table.set_together(alice, bob);
    table.hang_up(alice);
    table.begin(alice, typed("PAY bob 5 face to face"));
    table.pass(10_000);
    assert_eq!(told(&table, bob), ["alice paid bob 5.00 [face to face] 105.00"]);
    assert_eq!(balance(&mut table, bob), "105.00");
    assert_eq!(unknown(&mut table, alice), 1, "alice has not heard of it");
    table.connect(alice);
    table.pass(10_000);
    assert_eq!(told(&table, alice), ["alice paid bob 5.00 [face to face] 95.00"]);
    assert_eq!(told(&table, bob).len(), 1);
    assert_eq!(unknown(&mut table, alice), 0);
}

#[test]
fn an_order_that_both_ends_hand_in_is_settled_once() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    table.set_together(alice, bob);
    table.hang_up(alice);
    table.hang_up(bob);
    table.begin(alice, typed("PAY bob 5 twice"));
    table.pass(10_000);
    assert_eq!(told(&table, bob), [""; 0], "what the ledger has not said is no payment");
    // Whoever dies here has kept what it was handed.
    table.sleep(bob);
    table.pass(1_000);
    table.wake(bob);
    table.connect(alice);
    table.pass(10_000);
    assert_eq!(told(&table, alice), ["alice paid bob 5.00 [twice] 95.00"]);
    assert_eq!(told(&table, bob), ["alice paid bob 5.00 [twice] 105.00"]);
    assert_eq!(balance(&mut table, alice), "95.00");
}

#[test]
fn a_payment_whose_payer_says_nothing_is_told_without_words_which_may_come_later() {
    let (mut table, seats) = people(&["alice", "bob"]);
    table.lose_answer(is_settle);
    table.begin(seats[0], typed("PAY bob 5 tea"));
    table.sleep(seats[0]);
    table.pass(4_000);
    assert_eq!(told(&table, seats[1]), [""; 0]);
    table.pass(4_000);
    let expected = ["alice paid bob 5.00 [(untold)] 105.00"];
    assert_eq!(told(&table, seats[1]), expected);
    table.wake(seats[0]);
    table.pass(10_000);
    assert_eq!(told(&table, seats[1]), expected, "once");
    let MoneyOutcome::Payments { payments } = must(&mut table, seats[1], "PAYMENTS alice") else { panic!() };
    assert_eq!(payments.iter().map(|payment| payment.memo.as_deref()).collect::<Vec<_>>(), [Some("tea")]);
}
