//! An account's devices, passwords and end: what changes them, and what does not.

use directory::store::Store;
use membership::signing::{public_key, sign};
use p256::ecdsa::SigningKey;
use protocol::{
    Bounded, BoundedBytes, Timestamp,
    certificate::{DEVICE_LIST_LABEL, DeviceEntry, DeviceList, SignedDeviceList},
    directory::{DepositResult, RECOVERY_LABEL, Recovery, Refusal, Reply, Request},
    frame,
    limits::DIRECTORY_FRAME_MAX,
};

use crate::{
    hall::{Answer, EXPORTER, Hall, Person, bytes, certify, key},
    talk::{is_malformed, place},
};

over_both!(
    a_list_that_does_not_follow_from_the_present_one_is_refused_and_changes_nothing,
    a_list_is_taken_once_and_its_repetition_is_answered_alike,
    a_revoked_device_has_neither_session_nor_packages_nor_a_way_back,
    a_new_password_and_the_end_need_a_proof_that_is_used_up,
    the_old_password_opens_nothing_once_the_new_one_is_taken_with_a_proof,
    a_recovery_counts_with_the_root_keys_signature_on_its_own_connection_only,
    whoever_is_blocked_leaves_nothing_and_learns_no_address_until_that_is_taken_back,
);

/// The root key of whoever has this seed.
fn root(seed: u8) -> SigningKey {
    key(seed, 1)
}

/// A list of devices, as the root key of this seed signs it.
fn device_list(seed: u8, version: u64, not_after: Timestamp, devices: &[&DeviceEntry]) -> SignedDeviceList {
    let root = root(seed);
    let devices = Bounded::new(devices.iter().map(|entry| certify(&root, entry)).collect()).unwrap();
    let list = DeviceList { root_key: public_key(&root), version, devices, not_after };
    let list: BoundedBytes<_> = bytes(&frame::encode_body(&list, DIRECTORY_FRAME_MAX).unwrap());
    SignedDeviceList { signature: sign(&root, DEVICE_LIST_LABEL, &list), list }
}

fn update(hall: &Hall<impl Store>, person: &mut Person, devices: SignedDeviceList) -> Answer {
    hall.ask(person, Request::UpdateDevices { devices })
}

fn present(hall: &Hall<impl Store>, person: &mut Person) -> SignedDeviceList {
    match hall.ask(person, Request::Account) {
        Ok(Reply::Account { devices, .. }) => devices,
        other => panic!("{other:?}"),
    }
}

/// Another device of the same person, which nobody enrolled.
fn another(hall: &Hall<impl Store>, person: &Person, seed: u8, device: u8) -> Person {
    let name = person.name.to_string();
    Person::with_device(&name, seed, device, hall.now.plus_ms(1_000_000_000))
}

fn a_list_that_does_not_follow_from_the_present_one_is_refused_and_changes_nothing(hall: Hall<impl Store>) {
    let (mut alice, bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let before = present(&hall, &mut alice);
    let (own, phone) = (alice.entry.clone(), another(&hall, &alice, 1, 11).entry);
    let list = |version: u64, devices: &[&DeviceEntry]| device_list(1, version, Timestamp(u64::MAX), devices);
    let other_keys = DeviceEntry { mls_key: phone.mls_key, ..own.clone() };
    let expired = DeviceEntry { not_after: hall.now, ..phone.clone() };
    let altered = SignedDeviceList { signature: before.signature, ..list(2, &[&own, &phone]) };
    let stale = Err(Refusal::Stale);
    let rows = [
        ("the present version", list(1, &[&own, &phone]), &stale),
        ("one too high", list(3, &[&own, &phone]), &stale),
        ("version zero", list(0, &[&own]), &stale),
    ];
    for (what, devices, answer) in rows {
        assert_eq!(update(&hall, &mut alice, devices), *answer, "{what}");
    }
    let rows = [
        ("another account's", device_list(2, 2, Timestamp(u64::MAX), &[&bob.entry])),
        ("another root's signature", altered),
        ("other keys behind an id", list(2, &[&other_keys, &phone])),
        ("without this connection's device", list(2, &[&phone])),
        ("an expired certificate", list(2, &[&own, &expired])),
        ("an expired list", device_list(1, 2, hall.now, &[&own, &phone])),
    ];
    for (what, devices) in rows {
        let answer = update(&hall, &mut alice, devices);
        assert!(is_malformed(&answer), "{what}: {answer:?}");
    }
    let taken = DeviceEntry { root_key: own.root_key, ..bob.entry };
    assert_eq!(update(&hall, &mut alice, list(2, &[&own, &taken])), Err(Refusal::DeviceTaken));
    assert_eq!(present(&hall, &mut alice), before);
}

fn a_list_is_taken_once_and_its_repetition_is_answered_alike(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let mut phone = another(&hall, &alice, 1, 11);
    let next = device_list(1, 2, Timestamp(u64::MAX), &[&alice.entry, &phone.entry]);
    assert_eq!(update(&hall, &mut phone, next.clone()), Err(Refusal::NotSignedIn), "without the password");
    let proven = hall.sign_in(&mut phone);
    assert!(matches!(proven, Ok(Reply::SignedIn { enrolled: false, .. })), "{proven:?}");
    for _ in 0..2 {
        assert_eq!(update(&hall, &mut phone, next.clone()), Ok(Reply::Done));
        assert_eq!(phone.caller.device(), Some(phone.device()));
    }
    assert_eq!(present(&hall, &mut alice), next);
}

fn a_revoked_device_has_neither_session_nor_packages_nor_a_way_back(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let mut phone = another(&hall, &alice, 1, 11);
    assert!(hall.sign_in(&mut phone).is_ok());
    let both = device_list(1, 2, Timestamp(u64::MAX), &[&alice.entry, &phone.entry]);
    assert_eq!(update(&hall, &mut phone, both), Ok(Reply::Done));
    hall.stock(&mut phone, 1);
    assert_eq!(hall.take(&mut bob, alice.account).len(), 1);
    let without = device_list(1, 3, Timestamp(u64::MAX), &[&alice.entry]);
    assert_eq!(update(&hall, &mut alice, without), Ok(Reply::Done));
    assert_eq!(hall.take(&mut bob, alice.account), []);
    for request in [Request::Drain { after: None }, Request::Account, Request::CloseAccount] {
        assert_eq!(hall.ask(&mut phone, request), Err(Refusal::NotSignedIn));
    }
    hall.connect(&mut phone);
    assert_eq!(phone.caller.device(), None);
    // Its certificate is the root key's still, and its keys are never another device's.
    let again = device_list(1, 4, Timestamp(u64::MAX), &[&alice.entry, &phone.entry]);
    assert_eq!(update(&hall, &mut alice, again), Err(Refusal::DeviceTaken));
}

fn a_new_password_and_the_end_need_a_proof_that_is_used_up(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    assert_eq!(hall.ask(&mut alice, Request::CloseAccount), Err(Refusal::PasswordNeeded));
    assert!(hall.sign_in(&mut alice).is_ok());
    hall.connect(&mut alice);
    assert_eq!(hall.ask(&mut alice, Request::CloseAccount), Err(Refusal::PasswordNeeded), "on another connection");
    // Somebody else's password is no proof for one's own account.
    let (name, password) = (bob.name.to_string(), bob.password.clone());
    let (_, credential) = hall.start_sign_in(&mut alice, &name, &password);
    assert!(hall.ask(&mut alice, Request::SignInFinish { credential: bytes(&credential.unwrap()) }).is_ok());
    assert_eq!(hall.ask(&mut alice, Request::CloseAccount), Err(Refusal::PasswordNeeded));
    assert!(hall.ask(&mut bob, Request::Account).is_ok());
    assert!(hall.sign_in(&mut alice).is_ok());
    let handled = hall.handle(&mut alice, Request::CloseAccount);
    // It hangs up by itself: cut off by the directory, it might not hear that the account is closed.
    assert_eq!((handled.answer, handled.effects), (Ok(Reply::Done), vec![]));
    assert_eq!(hall.ask(&mut alice, Request::Account), Err(Refusal::NotSignedIn));
    assert_eq!(hall.ask(&mut bob, Request::TakeKeyPackages { account: alice.account }), Err(Refusal::Unknown));
}

fn the_old_password_opens_nothing_once_the_new_one_is_taken_with_a_proof(hall: Hall<impl Store>) {
    let mut alice = hall.arrive("alice", 1);
    let begin = |registration| Request::PasswordStart { registration };
    let registration = hall.register(&mut alice, "another password", begin).unwrap();
    let root_backup = bytes(&[9; 64]);
    let change = Request::ChangePassword { registration, root_backup };
    assert_eq!(hall.ask(&mut alice, change.clone()), Err(Refusal::PasswordNeeded));
    assert!(hall.sign_in(&mut alice).is_ok(), "nothing has changed");
    assert_eq!(hall.ask(&mut alice, change.clone()), Ok(Reply::Done));
    assert_eq!(hall.ask(&mut alice, change), Err(Refusal::PasswordNeeded), "the proof is used up");
    let (name, old) = (alice.name.to_string(), alice.password.clone());
    assert_eq!(hall.start_sign_in(&mut alice, &name, &old).1, None, "the old password makes nothing of the answer");
    "another password".clone_into(&mut alice.password);
    let signed_in = hall.sign_in(&mut alice);
    let Ok(Reply::SignedIn { root_backup, .. }) = signed_in else { panic!("{signed_in:?}") };
    assert_eq!(*root_backup, [9; 64]);
}

fn a_recovery_counts_with_the_root_keys_signature_on_its_own_connection_only(hall: Hall<impl Store>) {
    let alice = hall.arrive("alice", 1);
    let mut new = another(&hall, &alice, 1, 11);
    let unsigned = Recovery {
        name: alice.name.clone(),
        registration: bytes(&[7; 32]),
        devices: device_list(1, 2, Timestamp(u64::MAX), &[&alice.entry, &new.entry]),
        root_backup: bytes(&[1; 64]),
        recovery_backup: bytes(&[2; 64]),
        signature: protocol::Signature([0; 64]),
    };
    let signed = |by: u8, exporter: [u8; 32], recovery: Recovery| {
        let said = recovery.signed(&exporter).unwrap();
        let signature = sign(&root(by), RECOVERY_LABEL, &said);
        Request::RecoveryFinish(Box::new(Recovery { signature, ..recovery }))
    };
    let exporter = EXPORTER;
    let nobody = Recovery { name: protocol::Name::parse("nobody").unwrap(), ..unsigned.clone() };
    let rows = [
        ("unsigned", Request::RecoveryFinish(Box::new(unsigned.clone()))),
        ("signed by another root", signed(2, exporter, unsigned.clone())),
        ("signed for another connection", signed(1, [6; 32], unsigned.clone())),
        ("an unknown name", signed(1, exporter, nobody)),
    ];
    for (what, request) in rows {
        assert_eq!(hall.ask(&mut new, request), Err(Refusal::WrongCredentials), "{what}");
    }
    let answer = hall.ask(&mut new, signed(1, exporter, unsigned));
    assert!(is_malformed(&answer), "what is signed is looked at: {answer:?}");
    assert_eq!(new.caller.device(), None);
}

fn whoever_is_blocked_leaves_nothing_and_learns_no_address_until_that_is_taken_back(hall: Hall<impl Store>) {
    let (mut alice, mut bob) = (hall.arrive("alice", 1), hall.arrive("bob", 2));
    let (group, _) = hall.talk(&mut alice, &mut bob);
    let place = place(&group);
    let block = |by: &mut Person, of: &Person, blocked| {
        let request = Request::Block { accounts: Bounded::new(vec![of.account]).unwrap(), blocked };
        assert_eq!(hall.ask(by, request), Ok(Reply::Done));
    };
    let accept = Request::Accept { accounts: Bounded::new(vec![alice.account]).unwrap() };
    assert_eq!(hall.ask(&mut bob, accept), Ok(Reply::Done));
    let announce = Request::Announce { addresses: Bounded::default(), send_counter: 0 };
    assert!(hall.ask(&mut bob, announce).is_ok());
    let account = bob.account;
    let told = |alice: &mut Person| match hall.ask(alice, Request::Addresses { account }) {
        Ok(Reply::Addresses(addresses)) => addresses.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&mut alice), 1);
    block(&mut bob, &alice, true);
    assert_eq!(told(&mut alice), 0);
    let refused = DepositResult::Refused(Refusal::Blocked);
    assert_eq!(hall.deposit(&mut alice, place, 1, &[bob.device()]), refused);
    block(&mut bob, &alice, false);
    assert_eq!(hall.deposit(&mut alice, place, 2, &[bob.device()]), DepositResult::Stored);
}
