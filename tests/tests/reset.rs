//! The operator's last resort: somebody who has lost everything gets their name back, and everybody sees it.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use directory::store::AccountChanges as _;
use node_core::{
    command::{Command, CommandResult, FailureCode, MessageRef, Outcome},
    event::{DeliveryState, EventKind},
};
use tests::table::{Seat, Table, named, password_of};

/// A new node that signs up under a name with the operator's code.
fn sign_up_again(table: &mut Table, name: &str, code: &str) -> (Seat, CommandResult) {
    let (seat, name, password) = (table.sit(), named(name), password_of("another"));
    let result = table.command(seat, Command::SignUp { name, password, invite: Some(code.to_owned()) });
    (seat, result)
}

fn number(table: &mut Table, seat: Seat, user: &str) -> String {
    match table.command(seat, Command::Verify { user: named(user), code: None, picture: false }) {
        Ok(Outcome::SafetyNumber { number, .. }) => number,
        other => panic!("no number: {other:?}"),
    }
}

fn changes(table: &Table, seat: Seat) -> usize {
    table.events(seat).iter().filter(|event| matches!(event, EventKind::KeyChanged { .. })).count()
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

#[test]
fn a_reset_shuts_the_old_devices_out_shows_everybody_a_changed_key_and_resend_brings_what_had_failed() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(bob, "alice", "one").unwrap();
    table.send(alice, "bob", "two").unwrap();
    table.pass(10_000);
    assert!(table.directory.store().offer_reset(&named("alice"), "earlier").unwrap());
    assert!(table.directory.store().offer_reset(&named("alice"), "code").unwrap());
    for wrong in ["wrong", "earlier"] {
        assert_eq!(sign_up_again(&mut table, "alice", wrong).1.unwrap_err().code, FailureCode::Conflict, "{wrong}");
    }
    table.send(alice, "bob", "three").unwrap();
    assert_eq!(changes(&table, bob), 0, "nothing has changed before the code is used");

    let (new, result) = sign_up_again(&mut table, "alice", "code");
    assert!(matches!(result, Ok(Outcome::SignedUp { .. })), "{result:?}");
    // The old device is out at once, and whatever password it shows leads nowhere.
    table.connect(alice);
    assert_eq!(table.send(alice, "bob", "it is me").unwrap_err().code, FailureCode::Auth);
    for (password, code) in [(password_of("alice"), FailureCode::Auth), (password_of("another"), FailureCode::Trust)] {
        let failure = table.command(alice, Command::SignIn { name: named("alice"), password }).unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
    }

    // Bob's next message finds that nobody is there any more, and then who has the name.
    let Ok(Outcome::Sent { id, state, .. }) = table.send(bob, "alice", "four") else { panic!("not taken") };
    assert_eq!(state, DeliveryState::Queued);
    table.pass(60_000);
    assert_eq!(changes(&table, bob), 1);
    let blocked = table.send(bob, "alice", "five").unwrap_err();
    assert_eq!(blocked.code, FailureCode::Trust);
    assert!(blocked.message.contains("TRUST alice CODE accepts it"), "{blocked}");
    let code = number(&mut table, new, "bob");
    assert_eq!(number(&mut table, bob, "alice"), code, "both see the new number");
    let trust = Command::Trust { user: named("alice"), code };
    assert_eq!(table.command(bob, trust), Ok(Outcome::Verified { user: named("alice") }));
    let failed = |kind: &EventKind| {
        matches!(kind, EventKind::Receipt { id: of, state: DeliveryState::Failed, reason: Some(reason), .. }
            if *of == id && reason.contains("RESEND"))
    };
    assert!(table.events(bob).iter().any(failed), "{:?}", table.events(bob));

    let Ok(Outcome::Sent { .. }) = table.command(bob, Command::Resend { id: MessageRef::Short(id) }) else {
        panic!("not sent again")
    };
    table.pass(60_000);
    assert_eq!(table.texts(new), [pair("bob", "four")]);
    table.send(new, "bob", "six").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(bob).last(), Some(&pair("alice", "six")));
    assert_eq!(changes(&table, bob), 1, "one change, told once");
    assert_eq!(table.texts(alice), [pair("bob", "one")]);
    assert_eq!(sign_up_again(&mut table, "alice", "code").1.unwrap_err().code, FailureCode::Conflict, "good once");
}
