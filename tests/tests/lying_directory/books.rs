//! Lies about backups, books and the directory's own key.

use node_core::{
    command::{Command, CommandResult, FailureCode, Outcome, Password},
    event::{EventKind, Trust},
};
use protocol::{
    Bounded, BoundedBytes, Fingerprint,
    certificate::SignedDeviceList,
    directory::{Person, Reply, Request, Who},
    limits::{BOOK_MAX, ROOT_BACKUP_MAX},
};
use tests::table::{Seat, Table, named, password_of};

use crate::hoard::{
    Shared, assert_failed, be_honest, device, devices, lie, number, pair, second, sign_in, trust, verify, watched,
};

type Book = (u64, BoundedBytes<BOOK_MAX>);
type Backup = BoundedBytes<ROOT_BACKUP_MAX>;

/// Bends what a seat is told when its password was right.
fn bend_sign_in(table: &mut Table, hoard: &Shared, at: Seat, list: Option<SignedDeviceList>, backup: &Backup) {
    let backup = backup.clone();
    lie(table, hoard, move |seat, _, answer| match answer {
        Ok(Reply::SignedIn { account, devices, book, enrolled, .. }) if seat == at => {
            let devices = list.clone().unwrap_or(devices);
            Ok(Reply::SignedIn { account, devices, root_backup: backup.clone(), book, enrolled })
        }
        Ok(Reply::RecoveryStarted { registration, devices, .. }) if seat == at => {
            let devices = list.clone().unwrap_or(devices);
            Ok(Reply::RecoveryStarted { registration, devices, recovery_backup: backup.clone() })
        }
        answer => answer,
    });
}

#[test]
fn a_swapped_backup_is_refused_by_whatever_needs_the_root_key() {
    let (mut table, hoard) = watched();
    let (alice, mallory) = (table.sign_up("alice"), table.sign_up("mallory"));
    let phone = second(&mut table, "alice");
    let (lost, new) = (device(&mut table, phone), table.sit());
    let theirs = hoard.borrow().backups.iter().find(|(seat, ..)| *seat == mallory).unwrap().1.clone();
    type Ask = fn(&mut Table, Seat, &str) -> CommandResult;
    let rows: [(&str, Seat, Ask); 4] = [
        ("SIGNIN on a new machine", new, |table, seat, _| sign_in(table, seat, "alice")),
        ("REVOKE", alice, |table, seat, lost| {
            table.command(seat, Command::Revoke { device: lost.to_owned(), password: password_of("alice") })
        }),
        ("PASSWD", alice, |table, seat, _| {
            let new = Password::new("another-password".to_owned());
            table.command(seat, Command::Passwd { old: password_of("alice"), new })
        }),
        ("CLOSE ACCOUNT", alice, |table, seat, _| {
            table.command(seat, Command::CloseAccount { password: password_of("alice") })
        }),
    ];
    for (what, seat, ask) in rows {
        bend_sign_in(&mut table, &hoard, seat, None, &theirs);
        let asked = ask(&mut table, seat, &lost);
        assert!(asked.is_err(), "{what}");
        assert_failed(asked, FailureCode::Trust, "a backup that is not this account's; nothing was changed here");
    }
    be_honest(&mut table, &hoard);
    assert_eq!(devices(&mut table, alice).len(), 2, "nothing was enrolled, revoked or closed");
    assert!(sign_in(&mut table, new, "alice").is_ok(), "and the password is the old one");
}

#[test]
fn a_swapped_recovery_backup_recovers_nothing() {
    let (mut table, hoard) = watched();
    let seat = table.sit();
    let sign_up = Command::SignUp { name: named("alice"), password: password_of("alice"), invite: None };
    let Ok(Outcome::SignedUp { recovery_code, .. }) = table.command(seat, sign_up) else { panic!("no account") };
    let mallory = table.sign_up("mallory");
    let (theirs, list) = (hoard.borrow().backups[1].2.clone(), hoard.borrow().list(mallory, 0));
    for list in [None, Some(list)] {
        let new = table.sit();
        bend_sign_in(&mut table, &hoard, new, list, &theirs);
        let recover = Command::Recover {
            name: named("alice"),
            code: recovery_code.clone(),
            password: Password::new("a-new-password".to_owned()),
        };
        assert_failed(table.command(new, recover), FailureCode::Auth, "wrong name or recovery code");
    }
    be_honest(&mut table, &hoard);
    assert_eq!(devices(&mut table, seat).len(), 1);
}

/// Bends the book wherever a seat is given it; `version` is what the directory then says that it holds.
fn bend_book(table: &mut Table, hoard: &Shared, at: Seat, book: &Book) {
    let book = book.clone();
    lie(table, hoard, move |seat, _, answer| match answer {
        Ok(Reply::SignedIn { account, devices, root_backup, enrolled, .. }) if seat == at => {
            Ok(Reply::SignedIn { account, devices, root_backup, book: Some(book.clone()), enrolled })
        }
        Ok(Reply::Book(_)) if seat == at => Ok(Reply::Book(Some(book.clone()))),
        Ok(Reply::Account { devices, seen, elsewhere, .. }) if seat == at => {
            Ok(Reply::Account { devices, seen, book_version: book.0, elsewhere })
        }
        answer => answer,
    });
}

/// Alice has verified Bob; the books that she wrote, oldest first, and one of Mallory's.
fn verified() -> (Table, Shared, Seat, Seat, Seat) {
    let (mut table, hoard) = watched();
    let (alice, bob, mallory) = (table.sign_up("alice"), table.sign_up("bob"), table.sign_up("mallory"));
    table.send(mallory, "bob", "hello").unwrap();
    table.send(alice, "mallory", "hello").unwrap();
    table.pass(10_000);
    table.send(alice, "bob", "one").unwrap();
    let code = number(&mut table, bob, "alice");
    verify(&mut table, alice, "bob", Some(code)).unwrap();
    table.pass(10_000);
    (table, hoard, alice, bob, mallory)
}

fn books_of(hoard: &Shared, seat: Seat) -> Vec<Book> {
    let hoard = hoard.borrow();
    hoard.books.iter().filter(|(of, ..)| *of == seat).map(|(_, version, book)| (*version, book.clone())).collect()
}

fn altered((version, book): &Book) -> Book {
    let mut bytes = book.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    (*version, bytes.try_into().unwrap())
}

#[test]
fn a_book_that_no_device_of_the_account_sealed_under_that_number_opens_no_account() {
    let (mut table, hoard, alice, _, mallory) = verified();
    let (own, theirs) = (books_of(&hoard, alice), books_of(&hoard, mallory));
    let last = own.last().unwrap();
    let rows = [
        ("another account's", theirs.last().unwrap().clone()),
        ("altered", altered(last)),
        ("an older one under the last number", (last.0, own[0].1.clone())),
        ("the last one under a higher number", (last.0 + 1, last.1.clone())),
    ];
    for (what, book) in rows {
        let new = table.sit();
        bend_book(&mut table, &hoard, new, &book);
        let signed_in = sign_in(&mut table, new, "alice");
        assert!(signed_in.is_err(), "{what}");
        assert_failed(signed_in, FailureCode::Trust, "a book that none of this account's devices sealed so");
    }
    be_honest(&mut table, &hoard);
    assert_eq!(devices(&mut table, alice).len(), 1);
}

#[test]
fn a_device_that_is_given_an_old_or_altered_book_says_so_and_keeps_what_it_knows() {
    type Bend = fn(&[Book], &Book) -> Book;
    let rows: [(&str, Bend, &str); 3] = [
        ("replayed", |own, _| own[0].clone(), "the directory shows an older book than it took before"),
        (
            "altered",
            |own, _| altered(&(own.last().unwrap().0 + 1, own[0].1.clone())),
            "the book that the directory gave does not hold",
        ),
        (
            "another account's",
            |own, theirs| (own.last().unwrap().0 + 1, theirs.1.clone()),
            "the book that the directory gave does not hold",
        ),
    ];
    for (what, bend, alarm) in rows {
        let (mut table, hoard, alice, _, mallory) = verified();
        let book = bend(&books_of(&hoard, alice), books_of(&hoard, mallory).last().unwrap());
        bend_book(&mut table, &hoard, alice, &book);
        table.hang_up(alice);
        table.connect(alice);
        table.pass(60_000);
        assert!(table.misbehaviour(alice).contains(&alarm), "{what}: {:?}", table.misbehaviour(alice));
        let known = verify(&mut table, alice, "bob", None);
        assert!(matches!(known, Ok(Outcome::SafetyNumber { trust: Trust::Verified, .. })), "{what}: {known:?}");
        // Once it is honest again, a new machine finds everything in the book.
        be_honest(&mut table, &hoard);
        table.hang_up(alice);
        table.connect(alice);
        table.pass(120_000);
        let phone = second(&mut table, "alice");
        let known = verify(&mut table, phone, "bob", None);
        assert!(matches!(known, Ok(Outcome::SafetyNumber { trust: Trust::Verified, .. })), "{what}: {known:?}");
    }
}

#[test]
fn a_new_machine_that_was_given_an_old_book_and_another_key_says_so_as_soon_as_it_sees_the_present_one() {
    let (mut table, hoard, alice, bob, _) = verified();
    let first = books_of(&hoard, alice).first().unwrap().clone();
    let (carol, new) = (table.sign_up("carol"), table.sit());
    let devices = hoard.borrow().list(carol, 0);
    let account = membership::account_id(&devices.list().unwrap().root_key);
    let passed_off = Person { account, name: named("bob"), devices, online: true, last_seen: None };
    lie(&mut table, &hoard, move |seat, request, answer| match (request, answer) {
        (_, Ok(Reply::SignedIn { account, devices, root_backup, enrolled, .. })) if seat == new => {
            Ok(Reply::SignedIn { account, devices, root_backup, book: Some(first.clone()), enrolled })
        }
        (_, Ok(Reply::Account { devices, seen, .. })) if seat == new => {
            Ok(Reply::Account { devices, seen, book_version: first.0, elsewhere: Bounded::default() })
        }
        (Request::PutBook { .. }, _) if seat == new => Ok(Reply::Done),
        (Request::LookUp { who }, _) if seat == new && who.contains(&Who::Name(named("bob"))) => {
            Ok(Reply::People(vec![passed_off.clone()].try_into().unwrap()))
        }
        (_, answer) => answer,
    });
    sign_in(&mut table, new, "alice").unwrap();
    // Whoever compares the number before writing is safe even now.
    let code = number(&mut table, bob, "alice");
    assert_failed(
        verify(&mut table, new, "bob", Some(code.clone())),
        FailureCode::Trust,
        "somebody stands between you",
    );
    be_honest(&mut table, &hoard);
    table.hang_up(new);
    table.connect(new);
    table.pass(60_000);
    let changed = table.events(new).into_iter().filter(|event| matches!(event, EventKind::KeyChanged { .. }));
    assert_eq!(changed.count(), 1);
    assert_failed(table.send(new, "bob", "secret"), FailureCode::Trust, "VERIFY bob shows the new safety number");
    assert_eq!(trust(&mut table, new, "bob", &code), Ok(Outcome::Verified { user: named("bob") }));
    table.send(new, "bob", "two").unwrap();
    table.pass(120_000);
    assert_eq!(table.texts(bob).last(), Some(&pair("alice", "two")));
    assert_eq!(table.texts(carol), []);
}

#[test]
fn a_directory_with_another_key_than_the_one_in_the_book_gets_no_new_device() {
    let (mut table, hoard, alice, ..) = verified();
    table.key = Fingerprint([0xd2; 32]);
    let new = table.sit();
    assert_failed(
        sign_in(&mut table, new, "alice"),
        FailureCode::Trust,
        "this directory has another key than the one that this account's devices know",
    );
    assert_eq!(devices(&mut table, alice).len(), 1);
    assert_eq!(hoard.borrow().lists.iter().filter(|(seat, _)| *seat == new).count(), 0, "nothing was signed for it");
}
