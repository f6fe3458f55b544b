//! SEARCH: what is found of what was said, and what is not.

use super::*;

fn search(table: &mut Table, seat: Seat, text: &str, with: Option<&str>) -> (Vec<String>, bool) {
    let command = Command::Search { text: text.to_owned(), with: with.map(named), since: None };
    match table.command(seat, command) {
        Ok(Outcome::Found { messages, more }) => (messages.into_iter().map(|entry| entry.text).collect(), more),
        other => panic!("nothing was looked for: {other:?}"),
    }
}

#[test]
fn only_what_the_history_shows_is_found_and_looking_reads_nothing() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let dave = table.sign_up("dave");
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    table.command(carol, Command::Block { user: named("bob"), blocked: true }).unwrap();
    must(&mut table, alice, "INVITE team dave");
    must(&mut table, bob, "SAY team tea for all");
    must(&mut table, alice, "SAY team more tea");
    must(&mut table, alice, "SEND bob tea for two");
    table.pass(5_000);
    assert_eq!(search(&mut table, bob, "tea", None).0, ["tea for all", "more tea", "tea for two"]);
    assert_eq!(search(&mut table, bob, "tea", Some("team")).0, ["tea for all", "more tea"]);
    assert_eq!(search(&mut table, bob, "tea", Some("alice")).0, ["tea for two"]);
    assert_eq!(search(&mut table, carol, "tea", None).0, ["more tea"], "what a blocked person says is hidden");
    assert_eq!(search(&mut table, dave, "tea", None).0, Vec::<String>::new(), "an invitation shows nothing yet");
    must(&mut table, dave, "JOIN team");
    table.pass(5_000);
    assert_eq!(search(&mut table, dave, "tea", None).0, ["tea for all", "more tea"]);
    let unread = Outcome::Unread { people: vec![(named("alice"), 1)], groups: vec![(named("team"), 1)] };
    assert_eq!(table.command(bob, Command::Unread), Ok(unread));
}

#[test]
fn a_search_shows_the_latest_hundred_and_says_that_there_are_more() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    // Whoever was written to is no stranger, who may say less.
    must(&mut table, bob, "SEND alice hello");
    let say = |table: &mut Table, number: usize| must(table, alice, &format!("SEND bob word {number}"));
    for number in 0..100 {
        say(&mut table, number);
    }
    table.pass(5_000);
    let (found, more) = search(&mut table, bob, "word", None);
    assert_eq!((found.len(), more), (100, false));
    say(&mut table, 100);
    table.pass(5_000);
    let (found, more) = search(&mut table, bob, "word", None);
    assert_eq!(found, (1..=100).map(|number| format!("word {number}")).collect::<Vec<_>>());
    assert!(more);
    let endless = Command::Search { text: "word ".repeat(33), with: None, since: None };
    let failure = table.command(bob, endless).unwrap_err();
    assert_eq!(failure.code, FailureCode::Usage, "{failure}");
}
