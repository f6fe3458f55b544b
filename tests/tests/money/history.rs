//! Payments and requests stand in the history of a conversation, between the words that were said there.

use node_core::{
    command::{Command, HistoryEntry, MoneyLine, Outcome},
    event::request_word,
};
use tests::table::{Seat, Table, named, password_of};

use super::{must, people};

/// A line of a history, in words.
fn line(entry: &HistoryEntry) -> String {
    let HistoryEntry { from, to, text, .. } = entry;
    match &entry.money {
        None => format!("{from}: {text}"),
        Some(MoneyLine::Payment { id, amount, request, refund_of }) => {
            let answers = request.map_or_else(String::new, |request| format!(" for {request}"));
            let back = refund_of.map_or_else(String::new, |payment| format!(" back from {payment}"));
            format!("{id} {from} paid {to} {amount}{answers}{back} [{text}]")
        }
        Some(MoneyLine::Request { id, amount, group, state, .. }) => {
            let group = group.as_ref().map_or_else(String::new, |group| format!(" in {group}"));
            let state = state.map_or("forgotten", request_word);
            format!("{id} {from} asks {to} for {amount}{group} [{text}] {state}")
        }
        Some(MoneyLine::Closed { id, state }) => format!("{id} {from} to {to}: {} [{text}]", request_word(*state)),
    }
}

fn lines(table: &mut Table, seat: Seat, command: Command) -> Vec<String> {
    match table.command(seat, command) {
        Ok(Outcome::History { messages } | Outcome::Found { messages, .. }) => messages.iter().map(line).collect(),
        other => panic!("no history: {other:?}"),
    }
}

fn history(table: &mut Table, seat: Seat, with: &str) -> Vec<String> {
    lines(table, seat, Command::History { with: Some(named(with)), count: 100 })
}

#[test]
fn both_see_payments_and_requests_where_they_were_told() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let say = |table: &mut Table, seat: Seat, to: &str, text: &str| {
        table.send(seat, to, text).unwrap();
        table.pass(5_000);
    };
    let pay = |table: &mut Table, seat: Seat, line: &str| {
        must(table, seat, line);
        table.pass(10_000);
    };
    pay(&mut table, seats[0], "PAY bob 5 lunch");
    say(&mut table, seats[1], "alice", "thanks");
    pay(&mut table, seats[1], "REQUEST alice 2.50 coffee");
    pay(&mut table, seats[0], "ACCEPT r1");
    pay(&mut table, seats[1], "REQUEST alice 99 a car");
    say(&mut table, seats[0], "bob", "no way");
    pay(&mut table, seats[0], "DECLINE r2 too much");
    pay(&mut table, seats[1], "REFUND p3 1");
    pay(&mut table, seats[1], "REQUEST alice 3 tea");
    let common = |paid: [&str; 3]| {
        vec![
            format!("{} alice paid bob 5.00 [lunch]", paid[0]),
            "bob: thanks".to_owned(),
            "r1 bob asks alice for 2.50 [coffee] paid".to_owned(),
            format!("{} alice paid bob 2.50 for r1 [coffee]", paid[1]),
            "r2 bob asks alice for 99.00 [a car] declined".to_owned(),
            "alice: no way".to_owned(),
            "r2 alice to bob: declined [too much]".to_owned(),
            format!("{} bob paid alice 1.00 back from {} []", paid[2], paid[1]),
            "r3 bob asks alice for 3.00 [tea] requested".to_owned(),
        ]
    };
    assert_eq!(history(&mut table, seats[0], "bob")[2..], common(["p2", "p3", "p4"]));
    assert_eq!(history(&mut table, seats[1], "alice")[2..], common(["p2", "p3", "p4"]));
    // What is open is so until it is not.
    pay(&mut table, seats[1], "CANCEL r3 never mind");
    let last = |lines: Vec<String>| lines[lines.len() - 2..].to_vec();
    let ended = ["r3 bob asks alice for 3.00 [tea] cancelled", "r3 bob to alice: cancelled [never mind]"];
    assert_eq!(last(history(&mut table, seats[0], "bob")), ended);
    assert_eq!(last(history(&mut table, seats[1], "alice")), ended);
    let search = |with: &str| Command::Search { text: "coffee".into(), with: Some(named(with)), since: None };
    for (seat, with) in [(seats[0], "bob"), (seats[1], "alice")] {
        let found = ["r1 bob asks alice for 2.50 [coffee] paid", "p3 alice paid bob 2.50 for r1 [coffee]"];
        assert_eq!(lines(&mut table, seat, search(with)), found);
    }
}

#[test]
fn each_device_has_them_and_the_operators_money_is_no_conversation() {
    let (mut table, seats) = people(&["alice", "bob"]);
    let phone = table.sit();
    table.command(phone, Command::SignIn { name: named("alice"), password: password_of("alice") }).unwrap();
    table.pass(10_000);
    must(&mut table, seats[0], "PAY bob 1 from the desk");
    table.pass(10_000);
    must(&mut table, phone, "REQUEST bob 2 from the phone");
    table.pass(10_000);
    for seat in [seats[0], phone] {
        let told = history(&mut table, seat, "bob");
        let money: Vec<&String> = told.iter().filter(|line| line.contains('[')).collect();
        assert_eq!(
            money,
            ["p2 alice paid bob 1.00 [from the desk]", "r1 alice asks bob for 2.00 [from the phone] requested"]
        );
    }
    assert!(
        lines(&mut table, phone, Command::History { with: None, count: 100 })
            .iter()
            .all(|line| !line.contains("100.00"))
    );
}

#[test]
fn what_a_line_about_money_is_called_is_no_message() {
    let (mut table, seats) = people(&["alice", "bob"]);
    must(&mut table, seats[0], "PAY bob 5 lunch");
    table.pass(10_000);
    let Ok(Outcome::History { messages }) =
        table.command(seats[0], Command::History { with: Some(named("bob")), count: 1 })
    else {
        panic!()
    };
    let again = Command::Resend { id: node_core::command::MessageRef::Full(messages[0].uid) };
    let failure = table.command(seats[0], again).unwrap_err();
    assert!(failure.message.contains("no such message"), "{failure}");
}
