//! Groups, played with real cores around a real directory: whatever a person can do in one, and what comes of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod agreeing;
mod apart;
mod away;
mod closing;
mod keys;
mod many;
mod refused;
mod returning;
mod searching;
mod talking;
mod waiting;

use node_core::{
    command::{Command, CommandResult, FailureCode, MemberView, Outcome},
    event::{DeliveryState, EventKind, MemberChange},
};
use protocol::policy::{Access, Role};
use tests::table::{Seat, Table, named};

/// What is typed: a verb and its words.
fn run(table: &mut Table, seat: Seat, line: &str) -> CommandResult {
    let words: Vec<&str> = line.split(' ').collect();
    let group = || named(words[1]);
    let user = || named(words[2]);
    let command = match words[0] {
        "CREATE" if words.get(2) == Some(&"INVITE") => Command::CreateGroup { group: group(), access: Access::Invite },
        "CREATE" => Command::CreateGroup { group: group(), access: Access::Open },
        "JOIN" => Command::Join { group: group() },
        "LEAVE" => Command::Leave { group: group() },
        "INVITE" => Command::Invite { group: group(), user: user() },
        "KICK" => Command::Kick { group: group(), user: user() },
        "PROMOTE" => Command::Promote { group: group(), user: user() },
        "DEMOTE" => Command::Demote { group: group(), user: user() },
        "MEMBERS" => Command::Members { group: group() },
        "COUNT" => Command::AskMembers { group: group() },
        "SAY" => Command::SendGroup { group: group(), text: words[2..].join(" ") },
        "SEND" => Command::Send { to: group(), text: words[2..].join(" ") },
        verb => panic!("no verb {verb}"),
    };
    table.command(seat, command)
}

/// The same, where it must succeed.
fn must(table: &mut Table, seat: Seat, line: &str) -> Outcome {
    run(table, seat, line).unwrap_or_else(|failure| panic!("{line}: {failure:?}"))
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

/// A group `team` that the first of these made and the others joined.
fn team(table: &mut Table, names: &[&str]) -> Vec<Seat> {
    let seats: Vec<Seat> = names.iter().map(|name| table.sign_up(name)).collect();
    must(table, seats[0], "CREATE team");
    for seat in &seats[1..] {
        must(table, *seat, "JOIN team");
    }
    table.pass(5_000);
    seats
}

/// Who is in `team`, as a node shows it.
fn members(table: &mut Table, seat: Seat) -> Vec<(String, Role)> {
    let Outcome::Members { members, .. } = must(table, seat, "MEMBERS team") else { panic!("no members") };
    members.into_iter().map(|member: MemberView| (member.name.to_string(), member.role)).collect()
}

/// What a node was told of who is in `team`: who, by whom, and what.
fn changes(table: &Table, seat: Seat) -> Vec<(String, String, MemberChange)> {
    let change = |kind| match kind {
        EventKind::Member { group, user, by, change } if group == named("team") => {
            Some((user.to_string(), by.to_string(), change))
        }
        _ => None,
    };
    table.events(seat).into_iter().filter_map(change).collect()
}

/// What a node was shown in `team`.
fn heard(table: &Table, seat: Seat) -> Vec<(String, String)> {
    let text = |kind| match kind {
        EventKind::Message { from, text, group: Some(group), .. } if group == named("team") => {
            Some((from.to_string(), text))
        }
        _ => None,
    };
    table.events(seat).into_iter().filter_map(text).collect()
}

/// How far a message has come, person by person.
fn recipients(outcome: Outcome) -> Vec<(String, DeliveryState)> {
    let Outcome::SentGroup { recipients, .. } = outcome else { panic!("not sent: {outcome:?}") };
    recipients.into_iter().map(|(name, state)| (name.to_string(), state)).collect()
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

fn told(user: &str, by: &str, change: MemberChange) -> (String, String, MemberChange) {
    (user.to_owned(), by.to_owned(), change)
}
