//! What comes late, or in another order than it was said.

use node_core::command::{Command, MoneyOutcome};
use protocol::directory::{LedgerRequest, Refusal, Request};
use tests::table::{Seat, Table, named, password_of};

use super::{balance, must, people, table, told, typed};

/// From now on somebody's requests of one kind are done, and never answered.
fn never_answer(table: &mut Table, of: Seat, kind: fn(&LedgerRequest) -> bool) {
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Ledger(request) if seat == of && kind(request) => Err(Refusal::Unavailable),
        _ => answer,
    }));
}

fn reconnect(table: &mut Table, seat: Seat) {
    table.hang_up(seat);
    table.connect(seat);
    table.pass(10_000);
}

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

#[test]
fn a_request_that_only_the_list_of_changes_tells_of_is_told_with_its_words() {
    let (mut table, seats) = people(&["alice", "bob"]);
    never_answer(&mut table, seats[1], |request| matches!(request, LedgerRequest::OpenRequest { .. }));
    table.begin(seats[1], typed("REQUEST alice 5 lunch"));
    reconnect(&mut table, seats[1]);
    assert_eq!(told(&table, seats[0]), ["r1: bob asks 5.00 [lunch]"]);
    must(&mut table, seats[0], "ACCEPT r1");
    assert_eq!(balance(&mut table, seats[1]), "105.00");
}

#[test]
fn an_end_that_only_the_list_of_changes_tells_of_is_told_with_its_reason() {
    let (mut table, seats) = people(&["alice", "bob"]);
    must(&mut table, seats[1], "REQUEST alice 5 lunch");
    table.pass(5_000);
    never_answer(&mut table, seats[0], |request| matches!(request, LedgerRequest::CloseRequest { .. }));
    table.begin(seats[0], typed("DECLINE r1 not hungry"));
    reconnect(&mut table, seats[0]);
    assert_eq!(told(&table, seats[0])[1..], ["r1 declined: not hungry"]);
    assert_eq!(told(&table, seats[1]), ["r1 declined: not hungry"]);
}

#[test]
fn what_has_ended_does_not_begin_again_when_the_list_of_changes_comes_late() {
    let (mut table, seats) = people(&["alice", "bob"]);
    never_answer(&mut table, seats[1], |request| matches!(request, LedgerRequest::Requests { .. }));
    must(&mut table, seats[1], "REQUEST alice 5 lunch");
    must(&mut table, seats[1], "CANCEL r1 never mind");
    table.pass(10_000);
    assert_eq!(told(&table, seats[1]), ["r1 cancelled: never mind"]);
    // Now the list tells that it is open, and that it is not.
    table.be_honest();
    reconnect(&mut table, seats[1]);
    table.pass(20_000);
    assert_eq!(told(&table, seats[1]), ["r1 cancelled: never mind"]);
}

#[test]
fn why_a_request_was_ended_may_be_heard_before_the_request() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let (desk, bob, phone) = (seats[0], seats[1], table.sit());
    table.command(phone, Command::SignIn { name: named("alice"), password: password_of("alice") }).unwrap();
    table.pass(10_000);
    // The ledger has it, and the phone does not know and goes; Bob is not told by the ledger.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Ledger(request) if seat == phone && matches!(**request, LedgerRequest::OpenRequest { .. }) => {
            Err(Refusal::Unavailable)
        }
        Request::Ledger(_) if seat == bob => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.begin(phone, typed("REQUEST bob 5 lunch"));
    table.hang_up(phone);
    table.pass(5_000);
    must(&mut table, desk, "CANCEL r1 never mind");
    table.pass(5_000);
    table.be_honest();
    table.connect(phone);
    reconnect(&mut table, bob);
    let MoneyOutcome::Requests { requests } = must(&mut table, bob, "REQUESTS") else { panic!() };
    let words: Vec<_> = requests.iter().map(|request| (request.memo.clone(), request.reason.clone())).collect();
    assert_eq!(words, [(Some("lunch".to_owned()), Some("never mind".to_owned()))]);
    assert_eq!(told(&table, bob), [""; 0], "it was over before it could be shown");
}
