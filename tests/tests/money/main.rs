//! Money, played with real cores around a real directory and its ledger: what people can do with it, and what comes of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod asking;
mod devices;
mod history;
mod late;
mod paying;
mod refunding;
mod unknown;

use node_core::{
    command::{BalanceView, Command, CommandResult, FailureCode, MoneyCommand, MoneyOutcome, MoneyRef, Outcome},
    event::{EventKind, ShortId, request_word},
};
use protocol::{directory::PaymentLimits, money::Amount};
use tests::table::{Seat, Table, named};

/// A table where every new account has 100.00.
fn table() -> Table {
    Table::with_money(Amount::new(10_000).unwrap(), PaymentLimits::default())
}

/// A table with people who have talked to each other.
fn people(names: &[&str]) -> (Table, Vec<Seat>) {
    let mut table = table();
    let seats: Vec<Seat> = names.iter().map(|name| table.sign_up(name)).collect();
    for (seat, name) in seats.iter().zip(names) {
        for other in names.iter().filter(|other| *other != name) {
            table.send(*seat, other, "hi").unwrap();
        }
    }
    table.pass(5_000);
    (table, seats)
}

fn short(word: &str) -> MoneyRef {
    let number = word[1..].parse().unwrap();
    match &word[..1] {
        "r" => MoneyRef::Short(ShortId::Request(number)),
        "p" => MoneyRef::Short(ShortId::Payment(number)),
        other => panic!("no id {other}"),
    }
}

/// What is typed: a verb and its words.
fn typed(line: &str) -> Command {
    let words: Vec<&str> = line.split(' ').collect();
    let rest = |from: usize| words.get(from..).unwrap_or_default().join(" ");
    let word = |at: usize| words[at].to_owned();
    Command::Money(match words[0] {
        "PAY" => MoneyCommand::Pay { payer: None, to: named(words[1]), amount: word(2), memo: rest(3), id: None },
        "REQUEST" if words[1] == "GROUP" => {
            MoneyCommand::RequestGroup { group: named(words[2]), amount: word(3), memo: rest(4) }
        }
        "REQUEST" => MoneyCommand::Request { from: named(words[1]), amount: word(2), memo: rest(3) },
        "ACCEPT" => MoneyCommand::Accept { id: short(words[1]) },
        "DECLINE" => MoneyCommand::Decline { id: short(words[1]), reason: rest(2) },
        "CANCEL" => MoneyCommand::Cancel { id: short(words[1]), reason: rest(2) },
        "REFUND" => {
            MoneyCommand::Refund { id: short(words[1]), amount: words.get(2).map(|amount| (*amount).to_owned()) }
        }
        "BALANCE" => MoneyCommand::Balance,
        "REQUESTS" => MoneyCommand::Requests,
        "PAYMENTS" => MoneyCommand::Payments { with: words.get(1).map(|name| named(name)), count: 100 },
        verb => panic!("no verb {verb}"),
    })
}

fn run(table: &mut Table, seat: Seat, line: &str) -> CommandResult {
    table.command(seat, typed(line))
}

/// The same, where it must succeed.
fn must(table: &mut Table, seat: Seat, line: &str) -> MoneyOutcome {
    match run(table, seat, line) {
        Ok(Outcome::Money(outcome)) => outcome,
        other => panic!("{line}: {other:?}"),
    }
}

/// The same, where it must fail so.
fn fails(table: &mut Table, seat: Seat, line: &str, code: FailureCode) -> String {
    match run(table, seat, line) {
        Err(failure) => {
            assert_eq!(failure.code, code, "{line}: {failure}");
            failure.message
        }
        Ok(outcome) => panic!("{line} should have failed: {outcome:?}"),
    }
}

/// What somebody can spend, asked afresh.
fn balance(table: &mut Table, seat: Seat) -> String {
    match must(table, seat, "BALANCE") {
        MoneyOutcome::Balance(BalanceView { available, .. }) => available.to_string(),
        other => panic!("no balance: {other:?}"),
    }
}

/// What a node was told of money, in words.
fn told(table: &Table, seat: Seat) -> Vec<String> {
    let line = |kind| match kind {
        EventKind::Payment { from, to, amount, memo, balance, request, refund_of, .. } => {
            let name = |name: Option<protocol::Name>| name.map_or_else(|| "-".to_owned(), |name| name.to_string());
            let memo = memo.unwrap_or_else(|| "(untold)".to_owned());
            let answers = request.map_or_else(String::new, |id| format!(" for {id}"));
            let back = refund_of.map_or_else(String::new, |id| format!(" back {id}"));
            Some(format!("{} paid {} {amount} [{memo}] {balance}{answers}{back}", name(from), name(to)))
        }
        EventKind::Request { id, from, group, total, amount, memo, .. } => {
            let share = group.zip(total).map_or_else(String::new, |(group, total)| format!(" of {total} in {group}"));
            Some(format!("{id}: {from} asks {amount}{share} [{memo}]"))
        }
        EventKind::Closed { id, state, payment, reason, .. } => {
            let payment = payment.map_or_else(String::new, |id| format!(" by {id}"));
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            Some(format!("{id} {}{payment}{reason}", request_word(state)))
        }
        EventKind::Ledger { state } => Some(format!("ledger {}", state.word())),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(line).collect()
}
