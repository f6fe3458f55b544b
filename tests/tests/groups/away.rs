//! Whoever was away, or has another device: it comes in by itself.

use node_core::event::MemberChange::Left;
use tests::table::password_of;

use super::*;

const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    let command = Command::SignIn { name: named(name), password: password_of(name) };
    assert!(table.command(seat, command).is_ok(), "{name} signs in");
    seat
}

#[test]
fn a_new_machine_is_in_the_groups_of_its_account_and_leaves_with_it() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let phone = second(&mut table, "bob");
    table.pass(10_000);
    must(&mut table, seats[0], "SAY team for both");
    must(&mut table, phone, "SAY team from the phone");
    table.pass(5_000);
    assert_eq!(heard(&table, phone), [pair("alice", "for both")]);
    assert_eq!(heard(&table, seats[1]), [pair("alice", "for both"), pair("bob", "from the phone")]);
    let joined = changes(&table, seats[0]);
    assert_eq!(joined.len(), 1, "a further device is nobody new: {joined:?}");
    let Outcome::Members { members: views, .. } = must(&mut table, seats[0], "MEMBERS team") else { panic!("none") };
    let devices: Vec<usize> = views.iter().map(|view| view.devices).collect();
    assert_eq!(devices, [1, 2]);

    must(&mut table, phone, "LEAVE team");
    table.pass(10_000);
    must(&mut table, seats[0], "SAY team without bob");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[1]).len(), 2);
    assert_eq!(changes(&table, seats[1]).last(), Some(&told("bob", "bob", Left)));
    fails(&mut table, seats[1], "SAY team am I in?", FailureCode::Refused);
    assert_eq!(members(&mut table, seats[0]), [("alice".to_owned(), Role::Owner)]);
}

#[test]
fn whoever_was_away_for_a_month_comes_back_and_talks() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    let (alice, bob, carol) = (seats[0], seats[1], seats[2]);
    must(&mut table, alice, "SAY team hello");
    table.pass(5_000);
    table.sleep(carol);
    must(&mut table, alice, "SAY team lost on carol");
    table.pass(DAY_MS * 2);
    must(&mut table, bob, "SAY team too");
    must(&mut table, alice, "PROMOTE team bob");
    table.pass(DAY_MS * 30);
    table.wake(carol);
    table.pass(60_000);
    must(&mut table, alice, "SAY team welcome back");
    table.pass(120_000);
    must(&mut table, carol, "SAY team where was I");
    table.pass(60_000);
    assert_eq!(heard(&table, carol).last(), Some(&pair("alice", "welcome back")));
    assert_eq!(heard(&table, bob).last(), Some(&pair("carol", "where was I")));
    assert_eq!(members(&mut table, carol), members(&mut table, alice));
    let gap = table.events(carol).into_iter().any(|kind| matches!(kind, EventKind::Message { gap: true, .. }));
    assert!(gap, "what could not be read is told");
}

#[test]
fn a_request_to_leave_is_granted_by_whoever_comes_first() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob", "carol"]);
    table.sleep(seats[0]);
    table.sleep(seats[1]);
    must(&mut table, seats[2], "LEAVE team");
    table.pass(DAY_MS);
    table.wake(seats[1]);
    table.pass(60_000);
    assert_eq!(members(&mut table, seats[1]).len(), 2);
    table.wake(seats[0]);
    table.pass(60_000);
    assert_eq!(changes(&table, seats[0]).last(), Some(&told("carol", "carol", Left)));
    must(&mut table, seats[0], "SAY team two of us");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[1]), [pair("alice", "two of us")]);
    assert_eq!(heard(&table, seats[2]), []);
}

#[test]
fn a_profile_that_was_copied_never_speaks_with_its_old_keys_in_a_group() {
    let mut table = Table::new();
    let seats = team(&mut table, &["alice", "bob"]);
    let old = table.disk(seats[1]).clone();
    must(&mut table, seats[1], "SAY team one");
    // Until the directory has heard how much was sealed.
    table.pass(30_000);
    table.sleep(seats[1]);
    let copy = table.sit_with(old);
    table.pass(10_000);
    let again = run(&mut table, copy, "SAY team again");
    assert!(again.is_err(), "{again:?}");
    let command = Command::SignIn { name: named("bob"), password: password_of("bob") };
    table.command(copy, command).unwrap();
    table.pass(10_000);
    must(&mut table, copy, "SAY team two");
    table.pass(5_000);
    assert_eq!(heard(&table, seats[0]), [pair("bob", "one"), pair("bob", "two")]);
}
