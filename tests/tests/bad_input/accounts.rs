//! What people ask on and of accounts, of real cores around a real directory.

use directory::{
    core::{Service, ServiceConfig},
    store::memory::MemoryStore,
};
use node_core::{
    command::{Command, Failure, MessageRef, Outcome, Password},
    event::ShortId,
};
use protocol::directory::Registration;
use tests::table::{Seat, Table, named, password_of};

use crate::{
    Next::{Do, NodeFlag, Type},
    Row, row, settle,
};

/// What somebody does, and what they are told at the end of it.
type Sent = (&'static str, fn(&mut Table) -> Failure);

/// A recovery code that is nobody's.
const OTHER_CODE: &str = "00000-00000-00000-00000-00000-00000-00000";

fn signing_up(table: &mut Table, name: &str) -> Failure {
    let seat = table.sit();
    sign_up(table, seat, name, None)
}

fn sign_up(table: &mut Table, seat: Seat, name: &str, invite: Option<&str>) -> Failure {
    let invite = invite.map(str::to_owned);
    table.command(seat, Command::SignUp { name: named(name), password: password_of(name), invite }).unwrap_err()
}

fn sign_in(table: &mut Table, seat: Seat, name: &str, whose: &str) -> Result<Outcome, Failure> {
    table.command(seat, Command::SignIn { name: named(name), password: password_of(whose) })
}

/// Somebody on a new machine with another one's password.
fn wrong_password(table: &mut Table, name: &str) -> Failure {
    let seat = table.sit();
    sign_in(table, seat, name, "mallory").unwrap_err()
}

fn recover(table: &mut Table, name: &str, code: &str) -> Failure {
    let password = Password::new("a new password".to_owned());
    let seat = table.sit();
    table.command(seat, Command::Recover { name: named(name), code: code.to_owned(), password }).unwrap_err()
}

/// A directory where not everybody can register.
fn register_by(table: &mut Table, registration: Registration) {
    let config = ServiceConfig { registration, presence_to_everyone: true, seed: [7; 32] };
    table.directory = Service::new(MemoryStore::default(), config, |_| {}).unwrap();
}

/// A phone that its owner revoked, connected again.
fn revoked(table: &mut Table) -> Seat {
    let (alice, phone) = (table.sign_up("alice"), table.sit());
    sign_in(table, phone, "alice", "alice").unwrap();
    table.pass(10_000);
    let Outcome::Devices { devices } = table.command(alice, Command::Devices).unwrap() else { panic!() };
    let device = devices.into_iter().find(|device| !device.this).unwrap().device;
    table.command(alice, Command::Revoke { device, password: password_of("alice") }).unwrap();
    table.pass(10_000);
    table.hang_up(phone);
    table.connect(phone);
    table.pass(10_000);
    phone
}

fn revoke(table: &mut Table, device: Option<&str>) -> Failure {
    let alice = table.sign_up("alice");
    let Outcome::Devices { devices } = table.command(alice, Command::Devices).unwrap() else { panic!() };
    let device = device.unwrap_or(&devices[0].device).to_owned();
    table.command(alice, Command::Revoke { device, password: password_of("alice") }).unwrap_err()
}

fn verify(table: &mut Table, user: &str, code: &str) -> Failure {
    let (alice, _) = (table.sign_up("alice"), table.sign_up("bob"));
    table.send(alice, "bob", "hello").unwrap();
    let command = Command::Verify { user: named(user), code: Some(code.to_owned()), picture: false };
    table.command(alice, command).unwrap_err()
}

fn closed(table: &mut Table) -> Seat {
    let alice = table.sign_up("alice");
    table.command(alice, Command::CloseAccount { password: password_of("alice") }).unwrap();
    table.pass(1_000);
    alice
}

fn sign_ins() -> Vec<Row<Sent>> {
    vec![
        row(
            ("a wrong password", |table| {
                table.sign_up("alice");
                wrong_password(table, "alice")
            }),
            "auth",
            &["wrong name or password"],
            Do("try SIGNIN again"),
        ),
        row(
            ("an unknown name", |table| wrong_password(table, "alice")),
            "auth",
            &["wrong name or password"],
            Do("try SIGNIN again"),
        ),
        row(
            ("one guess too many", |table| {
                table.sign_up("alice");
                let seat = table.sit();
                let told = (0..8).map(|_| sign_in(table, seat, "alice", "mallory").unwrap_err());
                told.last().unwrap()
            }),
            "refused",
            &["too many requests"],
            Do("try again in"),
        ),
        row(
            ("another name on this profile", |table| {
                let alice = table.sign_up("alice");
                sign_in(table, alice, "bob", "bob").unwrap_err()
            }),
            "conflict",
            &["this profile belongs to alice"],
            NodeFlag("--profile"),
        ),
        row(
            ("a revoked device writes", |table| {
                let phone = revoked(table);
                table.send(phone, "bob", "it is me").unwrap_err()
            }),
            "auth",
            &["signed out"],
            Type("SIGNIN alice"),
        ),
        row(
            ("a revoked device signs in", |table| {
                let phone = revoked(table);
                sign_in(table, phone, "alice", "alice").unwrap_err()
            }),
            "auth",
            &["this device", "revoked"],
            Type("SIGNIN alice"),
        ),
        row(
            ("a copied profile writes", |table| {
                let (alice, _) = (table.sign_up("alice"), table.sign_up("bob"));
                table.send(alice, "bob", "one").unwrap();
                table.pass(20_000);
                let copy = table.disk(alice).clone();
                table.send(alice, "bob", "two").unwrap();
                table.pass(20_000);
                table.sleep(alice);
                let copied = table.sit_with(copy);
                table.pass(20_000);
                table.send(copied, "bob", "three").unwrap_err()
            }),
            "auth",
            &["this device is not one of alice's any more", "a copy"],
            Type("SIGNIN alice"),
        ),
        row(
            ("nobody signed in", |table| {
                let seat = table.sit();
                table.send(seat, "bob", "hi").unwrap_err()
            }),
            "auth",
            &["nobody is signed in here"],
            Type("SIGNUP NAME"),
        ),
        row(
            ("signed out", |table| {
                let alice = table.sign_up("alice");
                table.command(alice, Command::SignOut).unwrap();
                table.send(alice, "bob", "hi").unwrap_err()
            }),
            "auth",
            &["signed out"],
            Type("SIGNIN alice"),
        ),
    ]
}

fn sign_ups() -> Vec<Row<Sent>> {
    vec![
        row(
            ("a taken name", |table| {
                table.sign_up("alice");
                signing_up(table, "alice")
            }),
            "conflict",
            &["the name is taken"],
            Do("choose another one"),
        ),
        row(
            ("a name that looks like another", |table| {
                table.sign_up("alice");
                signing_up(table, "a1ice")
            }),
            "conflict",
            &["looks like one that is taken"],
            Do("choose another one"),
        ),
        row(
            ("the name of a closed account", |table| {
                closed(table);
                signing_up(table, "alice")
            }),
            "conflict",
            &["the name is taken"],
            Do("choose another one"),
        ),
        row(
            ("a closed registration", |table| {
                register_by(table, Registration::Closed);
                signing_up(table, "alice")
            }),
            "refused",
            &["registration is closed"],
            Do("ask the operator"),
        ),
        row(
            ("no invite", |table| {
                register_by(table, Registration::Invite);
                signing_up(table, "alice")
            }),
            "refused",
            &["needs a valid invite code", "directory invite"],
            Type("SIGNUP NAME INVITE CODE"),
        ),
        row(
            ("an invite that nobody gave", |table| {
                register_by(table, Registration::Invite);
                let seat = table.sit();
                sign_up(table, seat, "alice", Some("made-up"))
            }),
            "refused",
            &["needs a valid invite code"],
            Type("SIGNUP NAME INVITE CODE"),
        ),
        row(
            ("an invite that is none", |table| {
                let seat = table.sit();
                sign_up(table, seat, "alice", Some(&"x".repeat(1_000)))
            }),
            "usage",
            &["that is no invite code"],
            Do("invite code"),
        ),
    ]
}

fn devices_and_codes() -> Vec<Row<Sent>> {
    vec![
        row(
            ("a device of nobody's", |table| revoke(table, Some("ffff"))),
            "conflict",
            &["no device of yours begins with ffff"],
            Type("DEVICES"),
        ),
        row(("this device", |table| revoke(table, None)), "refused", &["this"], Do("REVOKE it from another one")),
        row(
            ("a code of another form", |table| recover(table, "alice", "12345")),
            "usage",
            &["that is no recovery code"],
            Do("compare it with what SIGNUP printed"),
        ),
        row(
            ("a closed account", |table| {
                let alice = closed(table);
                table.send(alice, "bob", "hi").unwrap_err()
            }),
            "auth",
            &["alice was closed"],
            NodeFlag("--profile"),
        ),
        row(
            ("a wrong old password", |table| {
                let alice = table.sign_up("alice");
                let new = Password::new("another password".to_owned());
                table.command(alice, Command::Passwd { old: password_of("bob"), new }).unwrap_err()
            }),
            "auth",
            &["wrong"],
            Do("password"),
        ),
    ]
}

fn messages() -> Vec<Row<Sent>> {
    vec![
        row(
            ("to nobody", |table| {
                let alice = table.sign_up("alice");
                table.send(alice, "nobody", "hi").unwrap_err()
            }),
            "conflict",
            &["nobody here is called nobody"],
            Type("LIST"),
        ),
        row(
            ("to oneself", |table| {
                let alice = table.sign_up("alice");
                table.send(alice, "alice", "hi").unwrap_err()
            }),
            "refused",
            &["that is you"],
            Type("SEND NAME text"),
        ),
        row(
            ("again, what there never was", |table| {
                let alice = table.sign_up("alice");
                table.command(alice, Command::Resend { id: MessageRef::Short(ShortId::Message(99)) }).unwrap_err()
            }),
            "conflict",
            &["there is no such message"],
            Type("HISTORY"),
        ),
        row(
            ("a wrong safety number", |table| verify(table, "bob", &["12345"; 12].join(" "))),
            "trust",
            &["bob"],
            Do("number"),
        ),
        row(("half a safety number", |table| verify(table, "bob", "12345")), "usage", &["number"], Do("number")),
        row(
            ("to somebody blocked", |table| {
                let (alice, _) = (table.sign_up("alice"), table.sign_up("carol"));
                table.send(alice, "carol", "hi").unwrap();
                table.command(alice, Command::Block { user: named("carol"), blocked: true }).unwrap();
                table.send(alice, "carol", "still there?").unwrap_err()
            }),
            "refused",
            &["you blocked carol"],
            Type("UNBLOCK carol"),
        ),
    ]
}

pub(crate) fn rows() -> Vec<Row<Sent>> {
    [sign_ins(), sign_ups(), devices_and_codes(), messages()].into_iter().flatten().collect()
}

#[test]
fn whoever_asks_for_what_cannot_be_is_told_what_can() {
    settle(rows().into_iter().map(|row| {
        let (what, sent) = row.sent;
        let failure = sent(&mut Table::new());
        row.complaint(what, failure.code.name(), &failure.message)
    }));
}

#[test]
fn a_wrong_password_and_an_unknown_name_are_told_in_the_same_words() {
    let mut table = Table::new();
    table.sign_up("alice");
    assert_eq!(wrong_password(&mut table, "alice"), wrong_password(&mut table, "nobody"));
    let (known, unknown) = (recover(&mut table, "alice", OTHER_CODE), recover(&mut table, "nobody", OTHER_CODE));
    assert_eq!(known, unknown);
}
