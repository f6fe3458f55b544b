//! What the mailbox gives up: a message has failed with its latest copy, and with no other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use node_core::event::{DeliveryState, EventKind};
use protocol::{
    Bounded,
    directory::{DepositResult, Refusal, Reply, Request},
};
use tests::table::{Seat, Table};

/// A day, in milliseconds.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// What a node was told of its messages.
fn states(table: &Table, seat: Seat) -> Vec<DeliveryState> {
    let state = |kind| match kind {
        EventKind::Receipt { state, .. } => Some(state),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(state).collect()
}

/// Two people who have met; the second one has gone away since.
fn met() -> (Table, Seat, Seat) {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "one").unwrap();
    table.send(alice, "bob", "two").unwrap();
    table.pass(10_000);
    table.sleep(alice);
    (table, alice, bob)
}

/// Alice is away; bob writes to her and, ten days later, has to come into the conversation anew and seals it again.
fn sealed_twice() -> (Table, Seat, Seat) {
    let (mut table, alice, bob) = met();
    table.send(bob, "alice", "three").unwrap();
    table.pass(10 * DAY_MS);
    let mut refused = false;
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Deposit { items } if seat == bob && !std::mem::replace(&mut refused, true) => {
            let refusal = DepositResult::Refused(Refusal::NotMember);
            Ok(Reply::Deposited(Bounded::new(vec![refusal; items.len()]).unwrap()))
        }
        _ => answer,
    }));
    table.send(bob, "alice", "four").unwrap();
    table.pass(5 * DAY_MS);
    (table, alice, bob)
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

#[test]
fn the_end_of_a_copy_that_was_sealed_anew_since_says_nothing_of_the_message() {
    use DeliveryState::{Delivered, Sent};

    let (mut table, alice, bob) = sealed_twice();
    assert_eq!(states(&table, bob), [Sent, Delivered, Sent, Sent]);
    table.wake(alice);
    table.pass(10_000);
    assert_eq!(table.texts(alice), ["one", "three", "four"].map(|text| pair("bob", text)));
    assert_eq!(states(&table, bob), [Sent, Delivered, Sent, Sent, Delivered, Delivered]);
}

#[test]
fn a_message_that_was_sealed_anew_fails_in_the_end_if_nobody_comes_for_it() {
    use DeliveryState::{Delivered, Failed, Sent};

    let (mut table, _, bob) = sealed_twice();
    table.pass(30 * DAY_MS);
    assert_eq!(states(&table, bob), [Sent, Delivered, Sent, Sent, Failed, Failed]);
}

#[test]
fn the_end_of_a_copy_whose_deposit_was_not_answered_says_nothing_of_the_next_one() {
    use DeliveryState::{Delivered, Sent};

    let (mut table, alice, bob) = met();
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::Deposit { .. } if seat == bob => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.send(bob, "alice", "three").unwrap();
    table.sleep(bob);
    table.pass(20 * DAY_MS);
    table.be_honest();
    table.wake(bob);
    table.pass(10_000);
    table.wake(alice);
    table.pass(10_000);
    assert_eq!(table.texts(alice), ["one", "three"].map(|text| pair("bob", text)));
    assert_eq!(states(&table, bob), [Sent, Delivered, Sent, Delivered]);
}
