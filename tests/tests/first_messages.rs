//! The first messages of a conversation, while its making is not certain yet.

use protocol::directory::{Refusal, Request};
use tests::table::Table;

#[test]
fn an_answer_that_overtakes_the_directorys_word_about_the_conversation_is_not_lost() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.pass(1_000);
    // The directory takes the conversation, and its word to alice is lost again and again.
    table.serve(Box::new(move |seat, request, answer| match request {
        Request::CreateConversation(_) if seat == alice => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.send(alice, "bob", "one").unwrap();
    // Bob was let in meanwhile, and writes first.
    table.send(bob, "alice", "two").unwrap();
    table.pass(5_000);
    let text = |from: &str, text: &str| [(from.to_owned(), text.to_owned())];
    assert_eq!(table.texts(alice), text("bob", "two"));
    assert_eq!(table.texts(bob), text("alice", "one"));
}
