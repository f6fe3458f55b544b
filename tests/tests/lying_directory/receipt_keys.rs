//! Lies about the key that signs for the ledger: another one for somebody, another one later, one whose time is over.

use std::sync::Arc;

use directory::{
    ledger::{Book, Founder},
    store::{
        ledger::{Founding, Head, LedgerStore as _},
        memory::MemoryLedger,
    },
};
use membership::signing::sign;
use node_core::{
    command::{Command, FailureCode},
    event::LedgerState,
};
use p256::ecdsa::SigningKey;
use protocol::{
    BoundedBytes, LedgerId, Timestamp,
    directory::{LedgerReply, PaymentLimits, Reply, Request},
    money::{Checkpoint, Currency, RECEIPT_KEY_LABEL, ReceiptKey, SignedReceiptKey},
};
use settlement::receipt;
use tests::table::{Table, named, password_of};

use crate::{
    hoard::assert_failed,
    money::{alarms, amount, assert_noticed, pay, reconnect, show, stage},
};

/// The same directory's ledger, by its id, with another key that signs for it; empty.
fn other_key() -> Book {
    let founder =
        || Founder { root: tests::ledger::root(), currency: None, limits: PaymentLimits::default(), seed: [8; 32] };
    let ledger: LedgerId = Book::open(Arc::new(MemoryLedger::default()), founder()).unwrap().rules().ledger;
    let secret = [0x2e; 32];
    let (era, size, time) = (0, 0, Timestamp::default());
    let checkpoint = Checkpoint { ledger, era, size, root: settlement::proof::empty_root(), time };
    let checkpoint = receipt::sign_checkpoint(&checkpoint, &SigningKey::from_slice(&secret).unwrap()).unwrap();
    let store = MemoryLedger::default();
    let founding = Founding { ledger, currency: Currency::default(), receipt_key: secret.to_vec() };
    store.found(&founding, &Head { era, size, time, changes: 0, checkpoint }).unwrap();
    Book::open(Arc::new(store), founder()).unwrap()
}

/// The directory's word for a key, altered and signed anew.
fn vouch_anew(signed: &SignedReceiptKey, alter: impl FnOnce(&mut ReceiptKey)) -> SignedReceiptKey {
    let mut key = signed.receipt_key().unwrap();
    alter(&mut key);
    let bytes = receipt::receipt_key_bytes(&key).unwrap();
    let signature = sign(&tests::ledger::root(), RECEIPT_KEY_LABEL, &bytes);
    SignedReceiptKey { receipt_key: BoundedBytes::new(bytes).unwrap(), signature }
}

#[test]
fn another_key_for_the_same_ledger_is_noticed() {
    let (mut table, alice, _) = stage();
    show(&mut table, alice, other_key());
    reconnect(&mut table, alice);
    assert_noticed(&mut table, alice, LedgerState::Changed, "another ledger than before");
}

#[test]
fn people_who_are_shown_different_keys_notice_when_they_talk() {
    let mut table = Table::with_money(amount(10_000), PaymentLimits::default());
    show(&mut table, 1, other_key());
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.pass(5_000);
    assert_eq!([alarms(&table, alice), alarms(&table, bob)], [[], []]);
    table.send(alice, "bob", "hi").unwrap();
    table.pass(5_000);
    assert_eq!(alarms(&table, bob), [LedgerState::Forked]);
    assert_failed(pay(&mut table, bob, "alice", "1"), FailureCode::Trust, "cannot prove");
    // No proof of the directory's can undo what it has signed.
    table.be_honest();
    reconnect(&mut table, bob);
    assert_failed(pay(&mut table, bob, "alice", "1"), FailureCode::Trust, "directory audit");
    assert!(!alarms(&table, bob).contains(&LedgerState::Proven), "{:?}", alarms(&table, bob));
}

#[test]
fn whoever_was_shown_the_truth_notices_what_others_were_shown() {
    let mut table = Table::with_money(amount(10_000), PaymentLimits::default());
    let alice = table.sign_up("alice");
    table.sign_up("bob");
    table.send(alice, "bob", "hi").unwrap();
    table.pass(5_000);
    // A third one is lied to from the first, and says something of it without knowing.
    show(&mut table, 2, with_entries(other_key()));
    let carol = table.sign_up("carol");
    table.pass(5_000);
    assert_eq!(alarms(&table, carol), []);
    table.send(carol, "alice", "hello").unwrap();
    table.pass(5_000);
    assert_eq!(alarms(&table, alice), [LedgerState::Forked]);
    assert_failed(pay(&mut table, alice, "bob", "1"), FailureCode::Trust, "cannot prove");
    // And the two that know tell whom they talk to.
    table.send(alice, "carol", "look").unwrap();
    table.pass(5_000);
    assert_eq!(alarms(&table, carol), [LedgerState::Forked]);
}

/// A checkpoint of nothing is told to nobody.
fn with_entries(book: Book) -> Book {
    let open = directory::core::ledger::Operation::Open { payee: protocol::AccountId([9; 32]), amount: amount(5) };
    book.perform(Timestamp(33_000_000_000_000), &[open]).unwrap();
    book
}

#[test]
fn a_new_device_knows_the_key_that_the_others_know() {
    let (mut table, alice, _) = stage();
    // What the book holds of the ledger goes along whenever it is written.
    table.send(alice, "bob", "once more").unwrap();
    table.pass(90_000_000);
    let phone = table.sit();
    show(&mut table, phone, other_key());
    table.command(phone, Command::SignIn { name: named("alice"), password: password_of("alice") }).unwrap();
    table.pass(10_000);
    assert_eq!(alarms(&table, phone), [LedgerState::Changed]);
}

#[test]
fn a_key_whose_time_is_over_counts_no_more() {
    let (mut table, alice, _) = stage();
    table.serve(Box::new(move |seat, request, answer| match (request, answer) {
        (Request::Ledger(_), Ok(Reply::Ledger(reply))) if seat == alice => Ok(Reply::Ledger(Box::new(match *reply {
            LedgerReply::Terms { key, limits, checkpoint } => {
                let key = vouch_anew(&key, |key| key.not_after = Timestamp(32_000_000_000_000));
                LedgerReply::Terms { key, limits, checkpoint }
            }
            reply => reply,
        }))),
        (_, answer) => answer,
    }));
    reconnect(&mut table, alice);
    assert_noticed(&mut table, alice, LedgerState::Forged, "does not hold");
}

#[test]
fn terms_are_asked_for_anew_in_a_connection_that_lasts() {
    let (mut table, alice, _) = stage();
    let asked = std::rc::Rc::new(std::cell::Cell::new(0));
    let counted = std::rc::Rc::clone(&asked);
    table.serve(Box::new(move |seat, request, answer| {
        let terms = matches!(request, Request::Ledger(of) if matches!(**of, protocol::directory::LedgerRequest::Terms));
        counted.set(counted.get() + u32::from(terms && seat == alice));
        answer
    }));
    table.pass(23 * 3_600 * 1_000);
    assert_eq!(asked.get(), 0);
    table.pass(2 * 3_600 * 1_000);
    assert_eq!(asked.get(), 1);
    assert_eq!(alarms(&table, alice), []);
    pay(&mut table, alice, "bob", "2").unwrap();
}
