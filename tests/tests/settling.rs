//! A command that changes who is in a conversation is done when whoever is connected has applied the change.

use node_core::command::{Command, Outcome};
use protocol::directory::{Refusal, Request};
use tests::table::{Table, named, password_of};

#[test]
fn a_sign_in_on_a_new_machine_is_done_when_whoever_is_connected_knows_of_it_but_at_most_two_seconds_later() {
    for deaf in [false, true] {
        let mut table = Table::new();
        let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
        table.send(alice, "bob", "one").unwrap();
        table.send(bob, "alice", "two").unwrap();
        table.pass(10_000);
        table.serve(Box::new(move |seat, request, answer| match request {
            Request::Drain { .. } if deaf && seat == bob => Err(Refusal::Unavailable),
            _ => answer,
        }));
        let before = table.now;
        let phone = table.sit();
        let sign_in = Command::SignIn { name: named("alice"), password: password_of("alice") };
        let signed_in = Outcome::SignedIn { name: named("alice"), online: true, unread: 0 };
        assert_eq!(table.command(phone, sign_in), Ok(signed_in));
        let took = table.now.ms_since(before);
        assert_eq!(took >= 2_000, deaf, "it took {took} ms");
        assert!(took < 2_500, "it took {took} ms");
        table.be_honest();
        table.pass(if deaf { 60_000 } else { 0 });
        table.send(bob, "alice", "three").unwrap();
        table.pass(10_000);
        assert_eq!(table.texts(phone), [("bob".to_owned(), "three".to_owned())]);
    }
}
