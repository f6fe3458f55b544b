//! One person, several devices: signing in on a new machine, revoking a lost one, new passwords, the recovery code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use node_core::{
    command::{Command, DeviceView, Failure, FailureCode, Outcome, Password},
    event::{DeviceChange, EventKind, Trust},
};
use protocol::directory::Request;
use tests::table::{Seat, Table, named, password_of};

fn sign_in(table: &mut Table, seat: Seat, name: &str) -> Result<Outcome, Failure> {
    table.command(seat, Command::SignIn { name: named(name), password: password_of(name) })
}

/// A new machine of somebody who has an account.
fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    let outcome = sign_in(table, seat, name).unwrap();
    assert_eq!(outcome, Outcome::SignedIn { name: named(name), online: true, unread: 0 });
    seat
}

fn devices(table: &mut Table, seat: Seat) -> Vec<DeviceView> {
    let Outcome::Devices { devices } = table.command(seat, Command::Devices).unwrap() else { panic!("no devices") };
    devices
}

fn revoke(table: &mut Table, seat: Seat, device: &str, name: &str) -> Result<Outcome, Failure> {
    table.command(seat, Command::Revoke { device: device.to_owned(), password: password_of(name) })
}

/// Device events that a node was told: whose, and what happened.
fn device_events(table: &Table, seat: Seat) -> Vec<(String, DeviceChange)> {
    let device = |kind| match kind {
        EventKind::Device { user, change, .. } => Some((user.to_string(), change)),
        _ => None,
    };
    table.events(seat).into_iter().filter_map(device).collect()
}

/// What a node shows of a conversation: who to whom, and what.
fn shown(table: &mut Table, seat: Seat, with: &str) -> Vec<(String, String)> {
    let history = Command::History { with: Some(named(with)), count: 100 };
    let Outcome::History { messages } = table.command(seat, history).unwrap() else { panic!("no history") };
    messages.into_iter().map(|entry| (entry.from.to_string(), entry.text)).collect()
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

#[test]
fn a_new_machine_is_in_all_conversations_and_nothing_delivered_comes_again() {
    let mut table = Table::new();
    let (alice, bob, carol) = (table.sign_up("alice"), table.sign_up("bob"), table.sign_up("carol"));
    table.send(alice, "bob", "one").unwrap();
    table.send(bob, "alice", "two").unwrap();
    table.send(carol, "alice", "three").unwrap();
    table.pass(10_000);
    let phone = second(&mut table, "alice");
    table.pass(10_000);
    assert_eq!(table.texts(phone), [], "what was delivered is not sent again");

    // What bob writes comes to both; what one of alice's devices writes, the other shows.
    table.send(bob, "alice", "four").unwrap();
    table.send(phone, "bob", "five").unwrap();
    table.send(alice, "bob", "six").unwrap();
    table.send(carol, "alice", "seven").unwrap();
    table.pass(10_000);
    let on_phone = [pair("bob", "four"), pair("alice", "five"), pair("alice", "six")];
    assert_eq!(shown(&mut table, phone, "bob"), on_phone);
    let at_home =
        [pair("alice", "one"), pair("bob", "two"), pair("bob", "four"), pair("alice", "five"), pair("alice", "six")];
    assert_eq!(shown(&mut table, alice, "bob"), at_home);
    assert_eq!(shown(&mut table, bob, "alice"), at_home);
    assert_eq!(shown(&mut table, phone, "carol"), [pair("carol", "seven")]);
    let own: Vec<_> = table
        .events(phone)
        .into_iter()
        .filter_map(|kind| match kind {
            EventKind::Message { from, to: Some(to), text, .. } => Some((from.to_string(), to.to_string(), text)),
            _ => None,
        })
        .collect();
    assert_eq!(own, [("alice".to_owned(), "bob".to_owned(), "six".to_owned())]);

    // Every other device and member is told, once.
    assert_eq!(device_events(&table, alice), [("alice".to_owned(), DeviceChange::Added)]);
    assert_eq!(device_events(&table, bob), [("alice".to_owned(), DeviceChange::Added)]);
    assert_eq!(device_events(&table, carol), [("alice".to_owned(), DeviceChange::Added)]);
    assert_eq!(device_events(&table, phone), []);
    let listed = devices(&mut table, phone);
    assert_eq!(
        listed.iter().map(|device| (device.this, device.online)).collect::<Vec<_>>(),
        [(false, true), (true, true)]
    );
    for seat in [alice, bob, carol, phone] {
        assert_eq!(table.command(seat, Command::WaitIdle), Ok(Outcome::Done), "seat {seat}");
    }
}

#[test]
fn a_message_that_waits_for_nobody_in_particular_reaches_the_device_that_comes_first() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    table.sleep(bob);
    table.send(alice, "bob", "three").unwrap();
    let phone = second(&mut table, "bob");
    table.pass(120_000);
    assert_eq!(table.texts(phone), [pair("alice", "three")], "no device of bob's had it");
    table.wake(bob);
    table.pass(10_000);
    assert_eq!(shown(&mut table, bob, "alice"), [pair("alice", "one"), pair("bob", "two"), pair("alice", "three")]);
}

#[test]
fn marks_pins_and_blocks_come_with_the_book_and_what_devices_say_later_is_merged() {
    let mut table = Table::new();
    let (alice, bob, carol) = (table.sign_up("alice"), table.sign_up("bob"), table.sign_up("carol"));
    for (to, text) in [("bob", "hello bob"), ("carol", "hello carol")] {
        table.send(alice, to, text).unwrap();
    }
    table.pass(1_000);
    let Outcome::SafetyNumber { number, .. } = verify(&mut table, bob, "alice", None).unwrap() else { panic!() };
    assert_eq!(verify(&mut table, alice, "bob", Some(&number)), Ok(Outcome::Verified { user: named("bob") }));
    table.command(alice, Command::Block { user: named("carol"), blocked: true }).unwrap();
    table.pass(10_000);
    let phone = second(&mut table, "alice");
    assert_eq!(trust(&mut table, phone, "bob"), Trust::Verified);
    let refused = table.send(phone, "carol", "still there?").unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (FailureCode::Refused, "you blocked carol; UNBLOCK carol first")
    );
    // The later word counts, whichever device said it.
    table.command(phone, Command::Block { user: named("carol"), blocked: false }).unwrap();
    table.pass(10_000);
    table.send(alice, "carol", "hello again").unwrap();
    table.send(carol, "alice", "hello").unwrap();
    table.pass(10_000);
    assert!(
        table.texts(alice).contains(&pair("carol", "hello")) && table.texts(phone).contains(&pair("carol", "hello"))
    );
}

fn verify(table: &mut Table, seat: Seat, user: &str, code: Option<&str>) -> Result<Outcome, Failure> {
    table.command(seat, Command::Verify { user: named(user), code: code.map(str::to_owned), picture: false })
}

fn trust(table: &mut Table, seat: Seat, user: &str) -> Trust {
    let Ok(Outcome::SafetyNumber { trust, .. }) = verify(table, seat, user, None) else { panic!("no number") };
    trust
}

#[test]
fn a_revoked_device_loses_its_connection_its_places_and_reads_nothing_later() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(10_000);
    let lost = second(&mut table, "alice");
    table.pass(10_000);
    let id = devices(&mut table, alice).into_iter().find(|device| !device.this).unwrap().device;
    assert_eq!(revoke(&mut table, alice, &id[..8], "alice"), Ok(Outcome::Done));
    table.pass(10_000);
    for (seat, others) in [(alice, 1), (bob, 1)] {
        let told = device_events(&table, seat);
        assert_eq!(told.iter().filter(|(_, change)| *change == DeviceChange::Revoked).count(), others, "seat {seat}");
    }
    table.send(bob, "alice", "two").unwrap();
    table.send(alice, "bob", "three").unwrap();
    table.pass(120_000);
    table.hang_up(lost);
    table.connect(lost);
    table.pass(120_000);
    assert_eq!(table.texts(lost), []);
    let refused = table.send(lost, "bob", "it is me").unwrap_err();
    assert_eq!(refused.code, FailureCode::Auth);
    assert_eq!(shown(&mut table, alice, "bob"), [pair("alice", "one"), pair("bob", "two"), pair("alice", "three")]);

    // Found again, it comes back with the password, as another device, with what it had.
    let first = sign_in(&mut table, lost, "alice").unwrap_err();
    assert_eq!(first.code, FailureCode::Auth);
    assert!(first.message.contains("SIGNIN alice"), "{first}");
    assert!(sign_in(&mut table, lost, "alice").is_ok());
    table.send(bob, "alice", "four").unwrap();
    table.send(lost, "bob", "five").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(lost), [pair("bob", "four")]);
    assert!(table.texts(bob).contains(&pair("alice", "five")));
    assert_eq!(devices(&mut table, alice).len(), 2);
}

#[test]
fn what_cannot_be_revoked_is_said_with_what_to_do() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let phone = second(&mut table, "alice");
    let listed = devices(&mut table, phone);
    let this = listed.iter().find(|device| device.this).unwrap().device.clone();
    let rows = [
        (this.as_str(), "alice", FailureCode::Refused, "REVOKE it from another one"),
        ("ffff", "alice", FailureCode::Conflict, "DEVICES shows them"),
        ("", "alice", FailureCode::Conflict, "DEVICES shows them"),
    ];
    for (device, name, code, next) in rows {
        let refused = revoke(&mut table, phone, device, name).unwrap_err();
        assert_eq!(refused.code, code, "{device}");
        assert!(refused.message.contains(next), "{refused}");
    }
    let other = listed.iter().find(|device| !device.this).unwrap().device.clone();
    let wrong = revoke(&mut table, phone, &other, "nobody").unwrap_err();
    assert_eq!(wrong.code, FailureCode::Auth);
    assert_eq!(devices(&mut table, alice).len(), 2, "a wrong password revokes nothing");
}

#[test]
fn a_new_password_opens_the_account_and_the_old_one_no_longer() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    let new = || Password::new("another-password".to_owned());
    let wrong = table.command(alice, Command::Passwd { old: password_of("bob"), new: new() }).unwrap_err();
    assert_eq!(wrong.code, FailureCode::Auth);
    assert_eq!(table.command(alice, Command::Passwd { old: password_of("alice"), new: new() }), Ok(Outcome::Done));
    let phone = table.sit();
    assert_eq!(sign_in(&mut table, phone, "alice").unwrap_err().code, FailureCode::Auth);
    let command = Command::SignIn { name: named("alice"), password: new() };
    assert!(table.command(phone, command).is_ok());
    assert_eq!(devices(&mut table, alice).len(), 2);
}

#[test]
fn the_recovery_code_opens_the_account_once_with_its_conversations_and_no_other_does() {
    let mut table = Table::new();
    let bob = table.sign_up("bob");
    let old = table.sit();
    let sign_up = Command::SignUp { name: named("alice"), password: password_of("alice"), invite: None };
    let Outcome::SignedUp { recovery_code, .. } = table.command(old, sign_up).unwrap() else { panic!() };
    table.send(old, "bob", "one").unwrap();
    table.pass(10_000);
    table.sleep(old);

    let new = table.sit();
    let recover = |code: &str| Command::Recover {
        name: named("alice"),
        code: code.to_owned(),
        password: Password::new("a-new-password".to_owned()),
    };
    assert_eq!(table.command(new, recover("12345")).unwrap_err().code, FailureCode::Usage);
    let other = "00000-00000-00000-00000-00000-00000-00000";
    assert!(matches!(table.command(new, recover(other)).unwrap_err().code, FailureCode::Usage | FailureCode::Auth));
    let Outcome::Recovered { recovery_code: next, .. } = table.command(new, recover(&recovery_code)).unwrap() else {
        panic!("no new code")
    };
    assert_ne!(next, recovery_code);
    table.pass(10_000);
    table.send(bob, "alice", "two").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(new), [pair("bob", "two")]);

    let third = table.sit();
    assert_eq!(
        table.command(third, recover(&recovery_code)).unwrap_err().code,
        FailureCode::Auth,
        "the code is used up"
    );
    assert_eq!(sign_in(&mut table, third, "alice").unwrap_err().code, FailureCode::Auth, "so is the old password");
    assert!(table.command(third, recover(&next)).is_ok());
}

#[test]
fn a_closed_account_is_gone_for_everybody() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    let phone = second(&mut table, "alice");
    let close = |name: &str| Command::CloseAccount { password: password_of(name) };
    assert_eq!(table.command(alice, close("bob")).unwrap_err().code, FailureCode::Auth);
    assert_eq!(table.command(alice, close("alice")), Ok(Outcome::Done));
    table.connect(phone);
    for seat in [alice, phone] {
        table.pass(60_000);
        assert_eq!(table.send(seat, "bob", "hello").unwrap_err().code, FailureCode::Auth, "seat {seat}");
    }
    assert_eq!(table.send(bob, "alice", "hello").unwrap_err().code, FailureCode::Conflict);
    let again = Command::SignUp { name: named("alice"), password: password_of("alice"), invite: None };
    let seat = table.sit();
    assert_eq!(table.command(seat, again).unwrap_err().code, FailureCode::Conflict, "a name is given out once");
}

#[test]
fn an_account_is_closed_though_the_directorys_word_about_it_is_lost() {
    let mut table = Table::new();
    let alice = table.sign_up("alice");
    table.lose_answer(|request| matches!(request, Request::CloseAccount));
    let close = Command::CloseAccount { password: password_of("alice") };
    assert_eq!(table.command(alice, close), Ok(Outcome::Done), "there is no such account any more, as was asked for");
}

#[test]
fn a_copy_of_a_profile_repeats_no_key_and_comes_back_as_a_new_device() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(20_000);
    let copy = table.disk(alice).clone();
    table.send(alice, "bob", "two").unwrap();
    table.pass(20_000);
    table.sleep(alice);
    let copied = table.sit_with(copy);
    table.pass(20_000);
    let refused = table.send(copied, "bob", "three").unwrap_err();
    assert_eq!(refused.code, FailureCode::Auth);
    assert!(refused.message.contains("SIGNIN alice"), "{refused}");
    assert!(sign_in(&mut table, copied, "alice").is_ok());
    table.send(copied, "bob", "three").unwrap();
    table.wake(alice);
    table.pass(20_000);
    let told = ["one", "two", "three"].map(|text| pair("alice", text));
    assert_eq!(shown(&mut table, bob, "alice"), told);
    assert_eq!(table.texts(alice), [pair("alice", "three")]);
    assert_eq!(devices(&mut table, alice).len(), 2);
}

fn unread(table: &mut Table, seat: Seat) -> Vec<(String, u32)> {
    let Ok(Outcome::Unread { people, .. }) = table.command(seat, Command::Unread) else { panic!("no list") };
    people.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
}

#[test]
fn what_is_read_on_one_device_is_read_on_all() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(10_000);
    let phone = second(&mut table, "alice");
    table.pass(10_000);
    for text in ["two", "three"] {
        table.send(bob, "alice", text).unwrap();
    }
    table.pass(10_000);
    let two = [("bob".to_owned(), 2)];
    assert_eq!((unread(&mut table, alice), unread(&mut table, phone)), (two.to_vec(), two.to_vec()));
    table.command(phone, Command::Read { target: named("bob") }).unwrap();
    table.pass(10_000);
    assert_eq!((unread(&mut table, alice), unread(&mut table, phone)), (vec![], vec![]));
    // Whoever answers has read what was there, and so has every device.
    table.send(bob, "alice", "four").unwrap();
    table.pass(10_000);
    table.send(alice, "bob", "five").unwrap();
    table.pass(10_000);
    assert_eq!((unread(&mut table, alice), unread(&mut table, phone)), (vec![], vec![]));
    assert_eq!(unread(&mut table, bob), [("alice".to_owned(), 1)]);
    assert_eq!(table.command(bob, Command::Read { target: named("nobody") }).unwrap_err().code, FailureCode::Conflict);
    // Nothing of this was shown to anybody.
    assert_eq!(shown(&mut table, bob, "alice").len(), 5);
    assert_eq!(unread(&mut table, bob), [], "whoever looks at a conversation reads it");
}

#[test]
fn what_a_copy_and_its_original_both_wrote_is_shown_once_and_by_neither_of_them() {
    let mut table = Table::new();
    let (alice, bob) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "one").unwrap();
    table.pass(20_000);
    table.sleep(bob);
    table.send(alice, "bob", "two").unwrap();
    let copy = table.disk(alice).clone();
    table.send(alice, "bob", "three").unwrap();
    table.pass(20_000);
    let copied = table.sit_with(copy);
    table.pass(20_000);
    assert!(sign_in(&mut table, copied, "alice").is_ok());
    table.pass(20_000);
    table.wake(bob);
    table.pass(60_000);
    // Both had the second one waiting for bob.
    assert_eq!(table.texts(alice), []);
    assert!(!table.texts(copied).contains(&pair("alice", "two")));
    let mut told = shown(&mut table, bob, "alice");
    told.sort();
    assert_eq!(told, [pair("alice", "one"), pair("alice", "three"), pair("alice", "two")]);
}
