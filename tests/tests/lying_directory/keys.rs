//! Lies about keys: of a contact's devices, of a known name, of a new one.

use node_core::{
    command::{FailureCode, Outcome},
    event::{DeliveryState, EventKind, Trust},
};
use protocol::{
    Bounded,
    certificate::{DeviceList, SignedDeviceList},
    directory::{KeyPackageBytes, Person, Reply, Request, Who},
    frame,
    limits::DEVICE_LIST_MAX,
};
use tests::table::{Seat, Table, named};

use crate::hoard::{
    Honest, Shared, assert_alarm, assert_failed, be_honest, bend_people, device, lie, number, pair, revoke, second,
    trust, verify, watched,
};

/// Bob at home and on a phone, his laptop revoked; Alice, who does not know him yet; Mallory.
struct Stage {
    table: Table,
    hoard: Shared,
    alice: Seat,
    bob: Seat,
    laptop: Seat,
    phone: Seat,
    mallory: Seat,
}

fn stage() -> Stage {
    let (mut table, hoard) = watched();
    let (alice, bob, mallory) = (table.sign_up("alice"), table.sign_up("bob"), table.sign_up("mallory"));
    let laptop = second(&mut table, "bob");
    let lost = device(&mut table, laptop);
    revoke(&mut table, bob, &lost, "bob");
    let phone = second(&mut table, "bob");
    table.pass(10_000);
    Stage { table, hoard, alice, bob, laptop, phone, mallory }
}

/// What stands in the place of the second of somebody's key packages.
fn with_package(stage: &mut Stage, of: Seat) {
    let (alice, other) = (stage.alice, stage.hoard.borrow().package(of));
    let bend = move |seat, _: &Request, answer| match answer {
        Ok(Reply::KeyPackages(packages)) if seat == alice => {
            let mut packages = packages.into_inner();
            packages.last_mut().unwrap().1 = KeyPackageBytes::clone(&other);
            Ok(Reply::KeyPackages(packages.try_into().unwrap()))
        }
        answer => answer,
    };
    lie(&mut stage.table, &stage.hoard, bend);
}

#[test]
fn a_key_package_of_another_root_or_of_a_revoked_device_begins_no_conversation() {
    type Whose = fn(&Stage) -> Seat;
    let rows: [(&str, Whose, &str); 2] = [
        ("another root's", |stage| stage.mallory, "a conversation cannot be made with what the directory gave"),
        ("a revoked device's", |stage| stage.laptop, "a key package of a device that its account's list does not name"),
    ];
    for (what, whose, alarm) in rows {
        let mut stage = stage();
        let of = whose(&stage);
        with_package(&mut stage, of);
        let Stage { mut table, hoard, alice, bob, phone, .. } = stage;
        let Ok(Outcome::Sent { state, .. }) = table.send(alice, "bob", "secret") else { panic!("{what}") };
        assert_eq!(state, DeliveryState::Queued, "{what}");
        assert_alarm(&table, alice, alarm);
        assert_eq!(hoard.borrow().said_by(alice), (0, 0), "{what}: nothing was begun, nothing sealed");
        be_honest(&mut table, &hoard);
        table.pass(120_000);
        for seat in [bob, phone] {
            assert_eq!(table.texts(seat), [pair("alice", "secret")], "{what}: seat {seat}");
        }
    }
}

/// Mallory's certificate put into somebody's list.
fn forged(list: &SignedDeviceList, by: &SignedDeviceList) -> SignedDeviceList {
    let mut forged: DeviceList = list.list().unwrap();
    let mut devices = forged.devices.into_inner();
    devices.extend(by.list().unwrap().devices);
    forged.devices = Bounded::new(devices).unwrap();
    let list_bytes = frame::encode_body(&forged, DEVICE_LIST_MAX).unwrap().try_into().unwrap();
    SignedDeviceList { list: list_bytes, signature: list.signature }
}

#[test]
fn a_device_list_that_the_contacts_root_did_not_sign_is_refused() {
    type Forge = fn(&SignedDeviceList, SignedDeviceList) -> SignedDeviceList;
    let rows: [(&str, Forge, &str); 2] = [
        ("another root's", |_, mallory| mallory, "a device list from the directory is another account's"),
        ("altered", |bob, mallory| forged(bob, &mallory), "a device list from the directory does not hold"),
    ];
    for (what, forge, alarm) in rows {
        let Stage { mut table, hoard, alice, mallory, .. } = stage();
        let theirs = hoard.borrow().list(mallory, 0);
        lie(&mut table, &hoard, move |seat, _, answer| match seat == alice {
            true => bend_people(answer, |p| Person { devices: forge(&p.devices, theirs.clone()), ..p }),
            false => answer,
        });
        let sent = table.send(alice, "bob", "secret");
        assert_failed(sent, FailureCode::Trust, "the directory gave an answer that does not hold; nothing was done");
        assert_alarm(&table, alice, alarm);
        table.pass(60_000);
        assert_eq!(hoard.borrow().said_by(alice), (0, 0), "{what}");
    }
}

/// Whatever is asked of one name is answered with another person under that name.
fn pass_off(table: &mut Table, hoard: &Shared, at: Seat, person: Person) {
    lie(table, hoard, move |seat, request, answer: Honest| match request {
        Request::LookUp { who } if seat == at => {
            let mut people = match answer {
                Ok(Reply::People(people)) => people.into_inner(),
                answer => return answer,
            };
            if who.contains(&Who::Name(person.name.clone())) || who.contains(&Who::Account(person.account)) {
                people.retain(|known| known.name != person.name && known.account != person.account);
                people.push(person.clone());
            }
            Ok(Reply::People(people.try_into().unwrap()))
        }
        _ => answer,
    });
}

/// An account as the directory would tell of it, under a name.
fn person(hoard: &Shared, seat: Seat, name: &str) -> Person {
    let devices = hoard.borrow().list(seat, 0);
    let account = membership::account_id(&devices.list().unwrap().root_key);
    Person { account, name: named(name), devices, online: true, last_seen: None }
}

#[test]
fn a_first_contact_with_another_key_is_found_out_by_the_safety_number() {
    let Stage { mut table, hoard, alice, bob, mallory, .. } = stage();
    let said_by_bob = number(&mut table, bob, "alice");
    let passed_off = person(&hoard, mallory, "bob");
    pass_off(&mut table, &hoard, alice, passed_off);
    let verified = verify(&mut table, alice, "bob", Some(said_by_bob));
    assert_failed(verified, FailureCode::Trust, "somebody stands between you");
}

#[test]
fn another_key_for_a_known_name_is_told_blocks_and_is_resolved_by_the_number() {
    let Stage { mut table, hoard, alice, bob, mallory, .. } = stage();
    table.send(alice, "bob", "one").unwrap();
    let said_by_bob = number(&mut table, bob, "alice");
    let passed_off = person(&hoard, mallory, "bob");
    pass_off(&mut table, &hoard, alice, passed_off);
    table.send(mallory, "alice", "I am bob").unwrap();
    table.pass(10_000);
    let changes = |table: &Table| {
        table.events(alice).into_iter().filter(|event| matches!(event, EventKind::KeyChanged { .. })).count()
    };
    assert_eq!(changes(&table), 1);
    assert_eq!(table.texts(alice), [], "nothing of mallory's is shown under bob's name");
    let before = hoard.borrow().said_by(alice);
    assert_failed(table.send(alice, "bob", "secret"), FailureCode::Trust, "VERIFY bob shows the new safety number");
    table.pass(60_000);
    let after = hoard.borrow().said_by(alice);
    assert_eq!(after, before, "nothing more is sealed");
    assert_eq!(changes(&table), 1, "told once");

    // The number of the changed key is not what the real bob reads; what he reads is the old one.
    let shown = number(&mut table, alice, "bob");
    assert_ne!(shown, said_by_bob);
    let wrong = "00000 ".repeat(12);
    assert_failed(trust(&mut table, alice, "bob", &wrong), FailureCode::Trust, "that is not the number");
    be_honest(&mut table, &hoard);
    assert_eq!(trust(&mut table, alice, "bob", &said_by_bob), Ok(Outcome::Verified { user: named("bob") }));
    assert_alarm(&table, alice, "the directory said that a key changed that did not");
    table.send(alice, "bob", "two").unwrap();
    table.pass(120_000);
    assert_eq!(table.texts(bob), [pair("alice", "one"), pair("alice", "two")]);
    assert_eq!(table.texts(mallory), []);
    assert_eq!(table.texts(alice), [pair("mallory", "I am bob")], "and it is shown under its writer's own name");
    let verified = verify(&mut table, alice, "bob", None);
    assert!(matches!(verified, Ok(Outcome::SafetyNumber { trust: Trust::Verified, .. })), "{verified:?}");
}

#[test]
fn a_name_stays_its_owners_whatever_the_directory_calls_them() {
    // Bob renamed, so that his name is free for another key.
    let Stage { mut table, hoard, alice, bob, mallory, .. } = stage();
    table.send(alice, "bob", "one").unwrap();
    let renamed = person(&hoard, bob, "robert");
    pass_off(&mut table, &hoard, alice, renamed);
    assert_failed(verify(&mut table, alice, "robert", None), FailureCode::Trust, "does not hold");
    assert_alarm(&table, alice, "the directory calls somebody by another name than before");
    let passed_off = person(&hoard, mallory, "bob");
    pass_off(&mut table, &hoard, alice, passed_off);
    table.send(alice, "bob", "two").unwrap();
    table.pass(10_000);
    assert_eq!(table.texts(bob), [pair("alice", "one"), pair("alice", "two")]);
    // Mallory called Alice, so that what Mallory wrote passes for Alice's own.
    let passed_off = person(&hoard, mallory, "alice");
    pass_off(&mut table, &hoard, alice, passed_off);
    table.send(mallory, "alice", "a note to myself").unwrap();
    table.pass(60_000);
    assert_eq!(table.texts(alice), []);
    assert_eq!(table.texts(mallory), []);
}
