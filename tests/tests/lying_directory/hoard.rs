//! What a directory that means to lie keeps of all that it was given, and how its answers are bent.

use std::{cell::RefCell, rc::Rc};

use node_core::command::{Command, CommandResult, Failure, Outcome};
use protocol::{
    BoundedBytes,
    certificate::SignedDeviceList,
    directory::{Deposit, KeyPackageBytes, Person, Refusal, Reply, Request},
    limits::{BOOK_MAX, ROOT_BACKUP_MAX},
    peer::Envelope,
};
use tests::table::{Seat, Table, named, password_of};

pub(crate) type Honest = Result<Reply, Refusal>;
pub(crate) type Shared = Rc<RefCell<Hoard>>;

/// Everything that was given to the directory, oldest first, with who gave it.
#[derive(Default)]
pub(crate) struct Hoard {
    pub(crate) packages: Vec<(Seat, KeyPackageBytes)>,
    pub(crate) lists: Vec<(Seat, SignedDeviceList)>,
    pub(crate) books: Vec<(Seat, u64, BoundedBytes<BOOK_MAX>)>,
    pub(crate) backups: Vec<(Seat, BoundedBytes<ROOT_BACKUP_MAX>, BoundedBytes<ROOT_BACKUP_MAX>)>,
    pub(crate) sealed: Vec<(Seat, Envelope)>,
    pub(crate) begun: Vec<Seat>,
}

impl Hoard {
    fn note(&mut self, seat: Seat, request: &Request) {
        match request {
            Request::PublishKeyPackages { packages, .. } => {
                self.packages.extend(packages.iter().map(|package| (seat, package.clone())));
            }
            Request::SignUpFinish(sign_up) => {
                self.lists.push((seat, sign_up.devices.clone()));
                self.backups.push((seat, sign_up.root_backup.clone(), sign_up.recovery_backup.clone()));
            }
            Request::UpdateDevices { devices } => self.lists.push((seat, devices.clone())),
            Request::PutBook { version, book } => self.books.push((seat, *version, book.clone())),
            Request::Deposit { items } => {
                let envelopes = items.iter().filter_map(|item| match item {
                    Deposit::Message { envelope, .. } => Some((seat, envelope.clone())),
                    Deposit::Receipt { .. } => None,
                });
                self.sealed.extend(envelopes);
            }
            Request::CreateConversation(_) => self.begun.push(seat),
            _ => {}
        }
    }

    /// The first key package of a seat.
    pub(crate) fn package(&self, seat: Seat) -> KeyPackageBytes {
        self.packages.iter().find(|(of, _)| *of == seat).unwrap().1.clone()
    }

    /// The list that a seat gave at some time, counted from its first.
    pub(crate) fn list(&self, seat: Seat, at: usize) -> SignedDeviceList {
        self.lists.iter().filter(|(of, _)| *of == seat).nth(at).unwrap().1.clone()
    }

    /// How much a seat has sealed and begun.
    pub(crate) fn said_by(&self, seat: Seat) -> (usize, usize) {
        let sealed = self.sealed.iter().filter(|(of, _)| *of == seat).count();
        (sealed, self.begun.iter().filter(|of| **of == seat).count())
    }
}

/// From now on everything is kept, and answers are bent.
pub(crate) fn lie(table: &mut Table, hoard: &Shared, mut bend: impl FnMut(Seat, &Request, Honest) -> Honest + 'static) {
    let hoard = hoard.clone();
    table.serve(Box::new(move |seat, request, answer| {
        hoard.borrow_mut().note(seat, request);
        bend(seat, request, answer)
    }));
}

/// From now on the directory is honest, and keeps everything.
pub(crate) fn be_honest(table: &mut Table, hoard: &Shared) {
    lie(table, hoard, |_, _, answer| answer);
}

/// A table whose directory keeps everything.
pub(crate) fn watched() -> (Table, Shared) {
    let (mut table, hoard) = (Table::new(), Shared::default());
    be_honest(&mut table, &hoard);
    (table, hoard)
}

/// The people of an answer, bent.
pub(crate) fn bend_people(answer: Honest, bend: impl Fn(Person) -> Person) -> Honest {
    match answer {
        Ok(Reply::People(people)) => {
            let bent: Vec<Person> = people.into_inner().into_iter().map(bend).collect();
            Ok(Reply::People(bent.try_into().unwrap()))
        }
        answer => answer,
    }
}

pub(crate) fn sign_in(table: &mut Table, seat: Seat, name: &str) -> CommandResult {
    table.command(seat, Command::SignIn { name: named(name), password: password_of(name) })
}

/// A new machine of somebody who has an account.
pub(crate) fn second(table: &mut Table, name: &str) -> Seat {
    let seat = table.sit();
    sign_in(table, seat, name).unwrap();
    table.pass(10_000);
    seat
}

/// The device at a seat.
pub(crate) fn device(table: &mut Table, seat: Seat) -> String {
    let Ok(Outcome::WhoAmI { device, .. }) = table.command(seat, Command::WhoAmI) else { panic!("nobody") };
    device
}

/// Revokes the device at a seat from another one.
pub(crate) fn revoke(table: &mut Table, by: Seat, device: &str, name: &str) {
    let command = Command::Revoke { device: device.to_owned(), password: password_of(name) };
    assert_eq!(table.command(by, command), Ok(Outcome::Done));
}

pub(crate) fn verify(table: &mut Table, seat: Seat, user: &str, code: Option<String>) -> CommandResult {
    table.command(seat, Command::Verify { user: named(user), code, picture: false })
}

pub(crate) fn number(table: &mut Table, seat: Seat, user: &str) -> String {
    match verify(table, seat, user, None) {
        Ok(Outcome::SafetyNumber { number, .. }) => number,
        other => panic!("no number: {other:?}"),
    }
}

pub(crate) fn trust(table: &mut Table, seat: Seat, user: &str, code: &str) -> CommandResult {
    table.command(seat, Command::Trust { user: named(user), code: code.to_owned() })
}

/// A command failed with this code and these words.
pub(crate) fn assert_failed(result: CommandResult, code: node_core::command::FailureCode, words: &str) {
    let Err(Failure { code: failed, message }) = result else { panic!("it did not fail: {result:?}") };
    assert_eq!(failed, code, "{message}");
    assert!(message.contains(words), "{message}");
}

pub(crate) fn assert_alarm(table: &Table, seat: Seat, alarm: &str) {
    assert!(table.misbehaviour(seat).contains(&alarm), "{:?}", table.misbehaviour(seat));
}

pub(crate) fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}
/// The devices of the account at a seat.
pub(crate) fn devices(table: &mut Table, seat: Seat) -> Vec<String> {
    let Ok(Outcome::Devices { devices }) = table.command(seat, Command::Devices) else { panic!("no devices") };
    devices.into_iter().map(|device| device.device).collect()
}
