//! Many want something at once, answers are lost, nodes stop where they are: all come to agree.

use node_core::event::MemberChange::{Invited, Joined, Left, Promoted};
use protocol::directory::{Refusal, Request};

use super::*;

#[test]
fn what_many_want_at_once_is_so_in_the_end_and_all_have_seen_the_same() {
    let mut table = Table::new();
    let names = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let seats: Vec<Seat> = names.iter().map(|name| table.sign_up(name)).collect();
    must(&mut table, seats[0], "CREATE team");
    let joins = seats[1..].iter().map(|seat| (*seat, Command::Join { group: named("team") })).collect();
    assert_eq!(table.commands(joins), vec![Ok(Outcome::Done); 5]);
    table.pass(5_000);
    for _ in 0..2 {
        let up = |user: &str| Command::Promote { group: named("team"), user: named(user) };
        let all = vec![(seats[0], up("bob")), (seats[0], up("carol"))];
        assert_eq!(table.commands(all), vec![Ok(Outcome::Done); 2]);
    }
    let (group, say) = (named("team"), |text: &str| Command::SendGroup { group: named("team"), text: text.to_owned() });
    let all = vec![
        (seats[0], Command::Promote { group: group.clone(), user: named("frank") }),
        (seats[1], Command::Demote { group: group.clone(), user: named("carol") }),
        (seats[2], say("from carol")),
        (seats[3], Command::Leave { group: group.clone() }),
        (seats[4], say("from erin")),
        (seats[5], say("from frank")),
    ];
    let ended: Vec<bool> = table.commands(all).iter().map(Result::is_ok).collect();
    assert_eq!(ended, [true; 6]);
    table.pass(20_000);
    let seen = changes(&table, seats[0]);
    assert_eq!(seen.iter().filter(|(.., change)| *change == Joined).count(), 5);
    assert_eq!(seen.iter().filter(|(.., change)| *change == Left).count(), 1);
    let roles = members(&mut table, seats[0]);
    for seat in [1, 2, 4, 5] {
        let own = changes(&table, seats[seat]);
        assert!(seen.ends_with(&own), "{}: {own:?} is no end of {seen:?}", names[seat]);
        assert_eq!(members(&mut table, seats[seat]), roles, "{}", names[seat]);
    }
    let who: Vec<&str> = roles.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(who, ["alice", "bob", "carol", "frank", "erin"]);
    for text in ["from carol", "from erin", "from frank"] {
        assert!(heard(&table, seats[1]).iter().any(|(_, heard)| heard == text), "{text}");
    }
}

#[test]
fn a_change_whose_answer_was_lost_happens_once() {
    let commits: [fn(&Request) -> bool; 2] = [
        |request| matches!(request, Request::SubmitCommit(_)),
        |request| matches!(request, Request::TakeKeyPackages { .. }),
    ];
    for lost in commits {
        let mut table = Table::new();
        let seats = team(&mut table, &["alice", "bob"]);
        let carol = table.sign_up("carol");
        table.lose_answer(lost);
        must(&mut table, seats[0], "INVITE team carol");
        must(&mut table, carol, "JOIN team");
        table.pass(5_000);
        let seen = changes(&table, seats[1]);
        assert_eq!(seen.iter().filter(|(user, ..)| user == "carol").count(), 2, "{seen:?}");
    }
}

#[test]
fn a_group_whose_creation_was_not_answered_is_made_once() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.lose_answer(|request| matches!(request, Request::CreateConversation(_)));
    must(&mut table, alice, "CREATE team");
    must(&mut table, bob, "JOIN team");
    table.pass(5_000);
    assert_eq!(members(&mut table, alice).len(), 2);
}

#[test]
fn whoever_asked_to_leave_and_was_not_answered_is_out_all_the_same() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    table.lose_answer(|request| matches!(request, Request::Leave { .. }));
    must(&mut table, seats[1], "LEAVE team");
    table.pass(10_000);
    assert_eq!(members(&mut table, seats[0]), [("alice".to_owned(), Role::Owner)]);
    must(&mut table, seats[1], "JOIN team");
    table.pass(10_000);
    assert_eq!(members(&mut table, seats[0]).len(), 2);
}

#[test]
fn who_stops_in_the_middle_of_a_change_finds_it_done_when_it_goes_on() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let carol = table.sign_up("carol");
    let (alice, bob) = (seats[0], seats[1]);
    // The directory takes it, and the node stops before it hears so in any way.
    table.lose_answer(|request| matches!(request, Request::SubmitCommit(_)));
    table.serve(Box::new(|_, request, answer| match request {
        Request::Drain { .. } => Err(Refusal::Unavailable),
        _ => answer,
    }));
    table.begin(alice, Command::Invite { group: named("team"), user: named("carol") });
    table.sleep(alice);
    table.be_honest();
    table.pass(1_000);
    table.wake(alice);
    table.pass(5_000);
    must(&mut table, carol, "JOIN team");
    table.pass(5_000);
    assert_eq!(members(&mut table, alice).len(), 3);
    assert_eq!(members(&mut table, alice), members(&mut table, bob));
}

#[test]
fn what_is_wanted_while_the_directory_is_away_is_so_when_it_is_back() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    table.sign_up("carol");
    let (alice, bob, group) = (seats[0], seats[1], named("team"));
    table.hang_up(alice);
    let wanted = [
        Command::Promote { group: group.clone(), user: named("bob") },
        Command::Invite { group: group.clone(), user: named("carol") },
    ];
    for command in wanted {
        let _ = table.begin(alice, command);
    }
    table.pass(5_000);
    // Who carol is gets lost on the way, with the connection.
    table.lose_answer(|request| matches!(request, Request::LookUp { .. }));
    table.connect(alice);
    table.hang_up(alice);
    table.connect(alice);
    table.pass(5_000);
    let mut seen = changes(&table, bob).split_off(1);
    seen.sort();
    assert_eq!(seen, [told("bob", "alice", Promoted), told("carol", "alice", Invited)]);
}
