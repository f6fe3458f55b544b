//! What can't be: each with its class, its sentence and the next step.

use super::*;
use FailureCode::{Conflict, Refused};

#[test]
fn each_thing_that_cannot_be_is_refused_with_its_class_and_changes_nothing() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let dave = table.sign_up("dave");
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, dave, "CREATE secret INVITE");
    let rows = [
        // Unknown groups and people.
        (alice, "JOIN nowhere", Conflict),
        (alice, "LEAVE nowhere", Conflict),
        (alice, "SAY nowhere hi", Conflict),
        (alice, "MEMBERS nowhere", Conflict),
        (alice, "COUNT nowhere", Conflict),
        (alice, "KICK nowhere bob", Conflict),
        (alice, "INVITE team nobody", Conflict),
        (alice, "KICK team nobody", Conflict),
        // Names that are taken.
        (bob, "CREATE team", Conflict),
        (dave, "CREATE team", Conflict),
        (dave, "CREATE alice", Conflict),
        // People are no groups, and groups no people.
        (alice, "SEND team hi", Conflict),
        (alice, "SAY bob hi", Conflict),
        (alice, "JOIN bob", Conflict),
        // Already so, or not so.
        (bob, "JOIN team", Conflict),
        (alice, "INVITE team bob", Conflict),
        (alice, "KICK team dave", Conflict),
        (alice, "DEMOTE team bob", Conflict),
        (alice, "PROMOTE team dave", Conflict),
        // Not in it, and not allowed.
        (dave, "SAY team hi", Refused),
        (dave, "LEAVE team", Refused),
        (dave, "MEMBERS team", Refused),
        (alice, "JOIN secret", Refused),
        (bob, "KICK team alice", Refused),
        (bob, "KICK team carol", Refused),
        (bob, "PROMOTE team carol", Refused),
        (alice, "LEAVE team", Refused),
        (alice, "DEMOTE team alice", Refused),
        (alice, "INVITE team alice", Refused),
    ];
    for (seat, line, code) in rows {
        let message = fails(&mut table, seat, line, code);
        assert!(message.contains(' '), "{line}: {message}");
    }
    table.pass(5_000);
    let all = [("alice", Role::Owner), ("bob", Role::Member), ("carol", Role::Member)];
    assert_eq!(members(&mut table, bob), all.map(|(name, role)| (name.to_owned(), role)));
}

#[test]
fn whoever_was_kicked_reads_nothing_more_and_comes_back_by_an_invitation_only() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob) = (seats[0], seats[1]);
    must(&mut table, alice, "SAY team one");
    must(&mut table, alice, "KICK team bob");
    must(&mut table, alice, "SAY team two");
    table.pass(5_000);
    assert_eq!(heard(&table, bob), [pair("alice", "one")]);
    fails(&mut table, bob, "SAY team let me", Refused);
    fails(&mut table, bob, "JOIN team", Refused);
    // A plain member can't lift what an owner has set.
    fails(&mut table, seats[2], "INVITE team bob", Refused);
    must(&mut table, alice, "INVITE team bob");
    must(&mut table, alice, "SAY team three");
    must(&mut table, bob, "JOIN team");
    must(&mut table, bob, "SAY team back");
    table.pass(10_000);
    assert_eq!(heard(&table, bob), [pair("alice", "one"), pair("alice", "three")]);
    assert_eq!(heard(&table, seats[2]).last(), Some(&pair("bob", "back")));
    // What was said before is kept.
    let history = Command::History { with: Some(named("team")), count: 100 };
    let Ok(Outcome::History { messages }) = table.command(bob, history) else { panic!("no history") };
    let texts: Vec<&str> = messages.iter().filter(|entry| entry.member.is_none()).map(|e| e.text.as_str()).collect();
    assert_eq!(texts, ["one", "three", "back"]);
}

#[test]
fn the_last_owner_leaves_when_another_is_named_and_the_last_of_all_closes_the_group() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let (alice, bob) = (seats[0], seats[1]);
    fails(&mut table, alice, "LEAVE team", Refused);
    must(&mut table, alice, "PROMOTE team bob");
    must(&mut table, alice, "PROMOTE team bob");
    must(&mut table, alice, "LEAVE team");
    table.pass(5_000);
    assert_eq!(members(&mut table, bob), [("bob".to_owned(), Role::Owner)]);
    must(&mut table, bob, "LEAVE team");
    fails(&mut table, bob, "JOIN team", Conflict);
    fails(&mut table, bob, "COUNT team", Conflict);
    fails(&mut table, alice, "CREATE team", Conflict);
}

#[test]
fn an_invitation_can_be_declined() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    must(&mut table, alice, "CREATE team INVITE");
    must(&mut table, alice, "INVITE team bob");
    table.pass(1_000);
    must(&mut table, bob, "LEAVE team");
    table.pass(5_000);
    assert_eq!(changes(&table, alice).last(), Some(&told("bob", "bob", MemberChange::Left)));
    fails(&mut table, bob, "JOIN team", Refused);
    assert_eq!(members(&mut table, alice), [("alice".to_owned(), Role::Owner)]);
}
