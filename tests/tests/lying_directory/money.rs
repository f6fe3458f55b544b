//! Lies about money: a ledger that is another one, shorter, or not the one that others see; entries left out, altered or
//! told to be somebody's. Each is noticed, nothing is paid meanwhile, and money moves again when the truth is proven.

use std::sync::Arc;

use directory::{
    core::ledger::Operation,
    ledger::{Book, Founder},
    store::memory::MemoryLedger,
};
use node_core::{
    command::{Command, CommandResult, FailureCode, MoneyCommand, MoneyOutcome, Outcome},
    event::{EventKind, LedgerState},
};
use protocol::{
    AccountId, Bounded, Timestamp,
    directory::{LedgerReply, LedgerRequest, OwnEntry, PaymentLimits, Refusal, Reply, Request},
    money::Amount,
};
use tests::table::{Seat, Table, named};

use crate::hoard::{Honest, assert_failed};

pub(crate) fn amount(units: u64) -> Amount {
    Amount::new(units).unwrap()
}

pub(crate) fn pay(table: &mut Table, seat: Seat, to: &str, amount: &str) -> CommandResult {
    let (to, amount, memo) = (named(to), amount.to_owned(), "for tea".to_owned());
    table.command(seat, Command::Money(MoneyCommand::Pay { payer: None, to, amount, memo, id: None }))
}

pub(crate) fn balance(table: &mut Table, seat: Seat) -> String {
    match table.command(seat, Command::Money(MoneyCommand::Balance)) {
        Ok(Outcome::Money(MoneyOutcome::Balance(view))) => view.available.to_string(),
        other => panic!("no balance: {other:?}"),
    }
}

/// What a node said of the ledger.
pub(crate) fn alarms(table: &Table, seat: Seat) -> Vec<LedgerState> {
    let state = |kind| match kind {
        EventKind::Ledger { state } => Some(state),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(state).collect()
}

/// Alice and Bob, who have talked, with 100.00 each, and a payment in the book.
pub(crate) fn stage() -> (Table, Seat, Seat) {
    let mut table = Table::with_money(amount(10_000), PaymentLimits::default());
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "hi").unwrap();
    table.send(bob, "alice", "hi").unwrap();
    pay(&mut table, alice, "bob", "1").unwrap();
    table.pass(10_000);
    (table, alice, bob)
}

/// The same directory's ledger with another past: the same keys, other entries.
fn other_past(seed: u8, entries: u8) -> Book {
    let root = tests::ledger::root();
    let founder = Founder { root, currency: None, limits: PaymentLimits::default(), seed: [seed; 32] };
    let book = Book::open(Arc::new(MemoryLedger::default()), founder).unwrap();
    for number in 0..entries {
        let open = Operation::Open { payee: AccountId([number; 32]), amount: amount(5) };
        book.perform(Timestamp(33_000_000_000_000), &[open]).unwrap();
    }
    book
}

/// From now on one seat is shown another book.
pub(crate) fn show(table: &mut Table, to: Seat, book: Book) {
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Ledger(request) if seat == to => Ok(Reply::Ledger(Box::new(match **request {
            LedgerRequest::Terms => book.terms(Timestamp(33_000_000_100_000)).unwrap(),
            LedgerRequest::Consistency { from, to } => match book.consistency(from, to).unwrap() {
                Some(proof) => proof,
                None => return Err(Refusal::Malformed(protocol::BoundedText::default())),
            },
            LedgerRequest::Entries { .. } => LedgerReply::Entries { entries: Bounded::default(), more: false },
            _ => return answer,
        }))),
        _ => answer,
    }));
}

/// From now on one seat's entries are bent.
fn bend_entries(table: &mut Table, to: Seat, bend: impl Fn(Vec<OwnEntry>) -> Vec<OwnEntry> + 'static) {
    table.serve(Box::new(move |seat, _, answer: Honest| match answer {
        Ok(Reply::Ledger(reply)) if seat == to => match *reply {
            LedgerReply::Entries { entries, more } => {
                let entries = Bounded::new(bend(entries.into_inner())).unwrap();
                Ok(Reply::Ledger(Box::new(LedgerReply::Entries { entries, more })))
            }
            reply => Ok(Reply::Ledger(Box::new(reply))),
        },
        answer => answer,
    }));
}

pub(crate) fn reconnect(table: &mut Table, seat: Seat) {
    table.hang_up(seat);
    table.connect(seat);
    table.pass(10_000);
}

/// The lie is noticed, stops all payments, and is over when the truth is proven.
pub(crate) fn assert_noticed(table: &mut Table, seat: Seat, state: LedgerState, words: &str) {
    assert_eq!(alarms(table, seat), [state]);
    assert_failed(pay(table, seat, "bob", "2"), FailureCode::Trust, words);
    let asked = MoneyCommand::Request { from: named("bob"), amount: "1".into(), memo: String::new() };
    assert_failed(table.command(seat, Command::Money(asked)), FailureCode::Trust, "directory audit");
    table.be_honest();
    reconnect(table, seat);
    assert_eq!(alarms(table, seat), [state, LedgerState::Proven]);
    pay(table, seat, "bob", "3").unwrap();
    assert_eq!(balance(table, seat), "96.00", "nothing was paid but the first and the last");
}

#[test]
fn another_ledger_is_noticed() {
    let (mut table, alice, _) = stage();
    show(&mut table, alice, other_past(9, 5));
    reconnect(&mut table, alice);
    assert_noticed(&mut table, alice, LedgerState::Changed, "another ledger than before");
}

#[test]
fn a_shorter_ledger_is_noticed() {
    let (mut table, alice, _) = stage();
    show(&mut table, alice, other_past(8, 2));
    reconnect(&mut table, alice);
    assert_noticed(&mut table, alice, LedgerState::Shrunk, "less of its ledger than it signed before");
}

#[test]
fn two_ledgers_of_one_size_are_noticed() {
    let (mut table, alice, _) = stage();
    show(&mut table, alice, other_past(8, 3));
    reconnect(&mut table, alice);
    assert_noticed(&mut table, alice, LedgerState::Forked, "cannot prove");
}

#[test]
fn a_longer_ledger_with_another_past_is_noticed() {
    let (mut table, alice, _) = stage();
    show(&mut table, alice, other_past(8, 20));
    reconnect(&mut table, alice);
    // The checkpoint that could not be proven is kept: as long as the directory has no proof of it, money stands still.
    assert_eq!(alarms(&table, alice), [LedgerState::Forked]);
    assert_failed(pay(&mut table, alice, "bob", "2"), FailureCode::Trust, "cannot prove");
    table.be_honest();
    reconnect(&mut table, alice);
    assert_eq!(alarms(&table, alice), [LedgerState::Forked]);
    assert_failed(pay(&mut table, alice, "bob", "2"), FailureCode::Trust, "directory audit");
}

#[test]
fn a_directory_without_proofs_is_noticed() {
    let (mut table, alice, bob) = stage();
    table.hang_up(alice);
    pay(&mut table, bob, "alice", "1").unwrap();
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Ledger(request) if seat == alice && matches!(**request, LedgerRequest::Consistency { .. }) => {
            Err(Refusal::Unknown)
        }
        _ => answer,
    }));
    reconnect(&mut table, alice);
    assert_eq!(alarms(&table, alice), [LedgerState::Forked]);
    table.be_honest();
    reconnect(&mut table, alice);
    assert_eq!(alarms(&table, alice), [LedgerState::Forked, LedgerState::Proven]);
    assert_eq!(balance(&mut table, alice), "100.00");
}

#[test]
fn people_who_are_shown_different_ledgers_notice_when_they_talk() {
    let mut table = Table::with_money(amount(10_000), PaymentLimits::default());
    show(&mut table, 0, other_past(8, 7));
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.pass(5_000);
    table.send(alice, "bob", "hi").unwrap();
    table.pass(5_000);
    assert_eq!(alarms(&table, alice), []);
    assert_eq!(alarms(&table, bob), [LedgerState::Forked]);
    assert_failed(pay(&mut table, bob, "alice", "1"), FailureCode::Trust, "compare BALANCE and PAYMENTS");
    // Whoever has noticed says what they were shown all the same: so the other notices, too.
    table.send(bob, "alice", "look at your balance").unwrap();
    table.pass(5_000);
    assert_eq!(alarms(&table, alice), [LedgerState::Forked]);
}

#[test]
fn an_entry_that_is_left_out_or_altered_is_noticed() {
    type Bend = fn(Vec<OwnEntry>) -> Vec<OwnEntry>;
    let rows: [(&str, Bend); 3] = [
        ("left out", |mut entries| {
            if entries.len() > 1 {
                entries.remove(0);
            }
            entries
        }),
        ("another balance", |mut entries| {
            for entry in &mut entries {
                entry.balance = entry.balance.checked_add(amount(1)).unwrap();
            }
            entries
        }),
        ("another place", |mut entries| {
            for entry in &mut entries {
                entry.entry.index += 1;
            }
            entries
        }),
    ];
    for (what, bend) in rows {
        let (mut table, alice, bob) = stage();
        table.hang_up(alice);
        pay(&mut table, bob, "alice", "1").unwrap();
        pay(&mut table, bob, "alice", "2").unwrap();
        bend_entries(&mut table, alice, bend);
        reconnect(&mut table, alice);
        assert_eq!(alarms(&table, alice), [LedgerState::Forged], "{what}");
        assert_failed(pay(&mut table, alice, "bob", "2"), FailureCode::Trust, "does not hold");
        table.be_honest();
        reconnect(&mut table, alice);
        assert_eq!(balance(&mut table, alice), "102.00", "{what}");
        assert_eq!(alarms(&table, alice), [LedgerState::Forged, LedgerState::Proven], "{what}");
    }
}

#[test]
fn a_receipt_of_another_order_is_no_receipt() {
    let (mut table, alice, bob) = stage();
    let mut kept: Option<Honest> = None;
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Ledger(request) if seat == alice && matches!(**request, LedgerRequest::Settle { .. }) => {
            kept.get_or_insert(answer).clone()
        }
        _ => answer,
    }));
    pay(&mut table, alice, "bob", "1").unwrap();
    assert_failed(pay(&mut table, alice, "bob", "2"), FailureCode::Trust, "does not hold");
    assert_eq!(alarms(&table, alice), [LedgerState::Forged]);
    table.be_honest();
    reconnect(&mut table, alice);
    // What the ledger had taken in all the same is certain now, and was not paid twice.
    assert_eq!(balance(&mut table, alice), "96.00");
    assert_eq!(balance(&mut table, bob), "104.00");
}
