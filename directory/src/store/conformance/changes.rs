//! What every store must do when an account changes: its devices, its password, its end.

use protocol::{
    BoundedBytes, Signature, Timestamp,
    certificate::{Certificate, SignedDeviceList},
    money::Amount,
};

use super::{
    account, device, key, mail, name, new_account,
    packages::{package, stock},
    simple, waiting,
};
use crate::store::{
    AccountMade, AccountRecord, Counts, DeviceRecord, DevicesChange, DevicesChanged, NewAccount, NewSecrets, Store,
};

pub(super) fn list(version: u8) -> SignedDeviceList {
    SignedDeviceList { list: BoundedBytes::new(vec![version; 8]).unwrap(), signature: Signature([version; 64]) }
}

pub(super) fn row(of: u8, id: u8) -> DeviceRecord {
    DeviceRecord {
        device: device(id),
        account: account(of),
        tls_key: key(id),
        mls_key: key(id.wrapping_add(100)),
        signed_in: true,
        send_counter: 0,
        revoked: false,
    }
}

/// From the list of `simple(of)`, which is `list(of)`, or a later one.
pub(super) fn change(of: u8, before: u8, after: u8, added: &[u8], removed: &[u8]) -> DevicesChange {
    DevicesChange {
        account: account(of),
        before: list(before),
        after: list(after),
        added: added.iter().map(|id| row(of, *id)).collect(),
        removed: removed.iter().map(|id| device(*id)).collect(),
        secrets: None,
    }
}

pub(super) fn secrets(n: u8, recovery: bool) -> NewSecrets {
    let recovery_backup = recovery.then(|| vec![n, 3]);
    NewSecrets { password: vec![n, 1], root_backup: vec![n, 2], recovery_backup }
}

pub(super) fn a_device_list_takes_the_place_of_the_one_that_it_was_made_from(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    store.create_account(&simple(2)).unwrap();
    let second = change(1, 1, 11, &[21], &[]);
    assert_eq!(store.replace_devices(&change(3, 3, 13, &[23], &[])).unwrap(), DevicesChanged::Unknown);
    assert_eq!(store.replace_devices(&change(1, 9, 11, &[2], &[])).unwrap(), DevicesChanged::Stale);
    assert_eq!(store.replace_devices(&change(1, 1, 11, &[2], &[])).unwrap(), DevicesChanged::DeviceTaken);
    assert_eq!(store.devices_of(account(1)).unwrap(), [row(1, 1)], "a refusal changes nothing");
    assert_eq!(store.replace_devices(&second).unwrap(), DevicesChanged::Changed);
    assert_eq!(store.replace_devices(&second).unwrap(), DevicesChanged::Changed, "the same again");
    assert_eq!(store.replace_devices(&change(1, 1, 12, &[22], &[])).unwrap(), DevicesChanged::Stale);
    assert_eq!(store.devices_of(account(1)).unwrap(), [row(1, 1), row(1, 21)]);

    // Whoever removes another account's device removes nothing; whoever is removed never comes back.
    assert_eq!(store.replace_devices(&change(1, 11, 12, &[], &[1, 2])).unwrap(), DevicesChanged::Changed);
    let gone = DeviceRecord { revoked: true, signed_in: false, ..row(1, 1) };
    assert_eq!(store.devices_of(account(1)).unwrap(), [gone.clone(), row(1, 21)]);
    assert_eq!(store.device_by_key(&key(1)).unwrap(), Some(gone));
    assert_eq!(store.devices_of(account(2)).unwrap(), [row(2, 2)]);
    assert_eq!(store.replace_devices(&change(1, 12, 13, &[1], &[])).unwrap(), DevicesChanged::DeviceTaken);
    assert_eq!(store.accounts_by_id(&[account(1)]).unwrap()[0].as_ref().unwrap().devices, list(12));
}

pub(super) fn new_secrets_take_the_place_of_the_old_ones(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    assert!(!store.replace_secrets(account(2), &secrets(7, true)).unwrap());
    assert!(store.replace_secrets(account(1), &secrets(7, false)).unwrap());
    let kept = |n: u8, recovery: Vec<u8>| AccountRecord {
        password: vec![n, 1],
        root_backup: vec![n, 2],
        recovery_backup: recovery,
        ..simple(1).record
    };
    assert_eq!(store.accounts_by_id(&[account(1)]).unwrap(), [Some(kept(7, vec![1; 5]))]);
    let recovery = DevicesChange { secrets: Some(secrets(8, true)), ..change(1, 1, 11, &[21], &[]) };
    assert_eq!(store.replace_devices(&recovery).unwrap(), DevicesChanged::Changed);
    let expected = AccountRecord { devices: list(11), ..kept(8, vec![8, 3]) };
    assert_eq!(store.accounts_by_id(&[account(1)]).unwrap(), [Some(expected)]);
}

pub(super) fn a_closed_account_is_gone_and_its_name_is_nobody_elses(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    store.put_book(account(1), 1, b"book").unwrap();
    store.close_account(account(1)).unwrap();
    store.close_account(account(5)).unwrap();
    assert_eq!(store.accounts_by_name(&[name(1)]).unwrap(), [None]);
    assert_eq!(store.accounts_by_id(&[account(1)]).unwrap(), [None]);
    assert_eq!(store.book(account(1)).unwrap(), None);
    assert!(!store.put_book(account(1), 2, b"book").unwrap());
    assert!(!store.replace_secrets(account(1), &secrets(7, true)).unwrap());
    assert!(store.devices_of(account(1)).unwrap().iter().all(|row| row.revoked && !row.signed_in));
    assert_eq!(store.counts().unwrap(), Counts::default());
    assert!(!store.offer_reset(&name(1), "code").unwrap());
    assert_eq!(store.create_account(&new_account(2, 1, 9, 2, None)).unwrap(), AccountMade::NameTaken);
    assert_eq!(store.create_account(&new_account(2, 2, 1, 2, None)).unwrap(), AccountMade::NameConfusable);
}

pub(super) fn whoever_shows_the_offered_code_gets_the_name_and_the_old_account_is_closed(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    store.create_account(&simple(2)).unwrap();
    assert!(store.offer_reset(&name(1), "earlier").unwrap());
    assert!(store.offer_reset(&name(1), "code").unwrap());
    assert!(store.reset_is_offered(&name(1), "code").unwrap());
    assert!(!store.reset_is_offered(&name(1), "earlier").unwrap(), "a later code takes an earlier one's place");
    assert!(!store.reset_is_offered(&name(2), "code").unwrap() && !store.reset_is_offered(&name(1), "odec").unwrap());
    let with = |new: NewAccount, code: &str| NewAccount { reset: Some(code.to_owned()), ..new };
    let again = with(new_account(3, 1, 1, 3, None), "code");
    assert_eq!(store.create_account(&with(new_account(3, 1, 1, 3, None), "none")).unwrap(), AccountMade::NameTaken);
    assert_eq!(store.create_account(&with(new_account(3, 2, 2, 3, None), "code")).unwrap(), AccountMade::NameTaken);
    assert_eq!(store.create_account(&again).unwrap(), AccountMade::Made);
    assert_eq!(store.create_account(&again).unwrap(), AccountMade::Made, "the same again");
    assert_eq!(store.accounts_by_name(&[name(1)]).unwrap(), [Some(again.record.clone())]);
    assert_eq!(store.accounts_by_id(&[account(1)]).unwrap(), [None]);
    assert!(store.devices_of(account(1)).unwrap().iter().all(|row| row.revoked && !row.signed_in));
    assert!(!store.reset_is_offered(&name(1), "code").unwrap(), "a code is good once");
    let third = with(new_account(4, 1, 1, 4, None), "code");
    assert_eq!(store.create_account(&third).unwrap(), AccountMade::NameTaken);
}

pub(super) fn what_belongs_to_devices_that_are_gone_is_forgotten(store: &impl Store) {
    store.publish(device(1), &[package(1, 9)], Some(&package(2, 9))).unwrap();
    store.publish(device(2), &[package(3, 9)], None).unwrap();
    store.deliver(&[mail(1, &[1, 2])]).unwrap();
    store.forget_packages(&[device(1)]).unwrap();
    store.forget_mail(&[device(1)]).unwrap();
    assert_eq!((stock(store, 1, 0), stock(store, 2, 0)), ((0, false), (1, false)));
    assert_eq!((waiting(store, 1).len(), waiting(store, 2).len()), (0, 1));
}

pub(super) fn when_a_device_was_seen_and_whom_somebody_blocks_is_kept(store: &impl Store) {
    store.create_account(&simple(1)).unwrap();
    store.note_device_seen(device(1), Timestamp(7)).unwrap();
    store.note_device_seen(device(9), Timestamp(7)).unwrap();
    assert_eq!(store.devices_seen(&[device(9), device(1)]).unwrap(), [None, Some(Timestamp(7))]);
    store.block(account(1), &[account(2), account(3)], true).unwrap();
    store.block(account(1), &[account(2), account(4)], false).unwrap();
    let pairs = [(account(1), account(2)), (account(1), account(3)), (account(3), account(1))];
    assert_eq!(store.has_blocked(&pairs).unwrap(), [false, true, false]);
    store.block(account(1), &[account(5)], true).unwrap();
    assert_eq!(store.blocked_by(account(1), 9).unwrap(), [account(3), account(5)]);
    assert_eq!(store.blocked_by(account(1), 1).unwrap(), [account(3)]);
    assert_eq!(store.blocked_by(account(3), 9).unwrap(), []);
}

pub(super) fn what_the_ledger_owes_is_known_until_it_is_posted(store: &impl Store) {
    let opening = |units| Amount::new(units).unwrap();
    for (n, units) in [(2, 5), (1, 7), (3, 0)] {
        let new = NewAccount { opening: opening(units), ..simple(n) };
        assert_eq!(store.create_account(&new).unwrap(), AccountMade::Made);
    }
    // A repetition is owed nothing more.
    let again = NewAccount { opening: opening(9), ..simple(1) };
    assert_eq!(store.create_account(&again).unwrap(), AccountMade::Made);
    let owed = [(account(1), opening(7)), (account(2), opening(5))];
    assert_eq!(store.owed_openings(9).unwrap(), owed);
    assert_eq!(store.owed_openings(1).unwrap(), owed[..1]);
    store.opening_posted(account(1)).unwrap();
    store.opening_posted(account(1)).unwrap();
    assert_eq!(store.owed_openings(9).unwrap(), owed[1..]);
}

pub(super) fn certificates_that_are_kept_stay_as_they_are(store: &impl Store) {
    let certificate =
        |n: u8| Certificate { entry: BoundedBytes::new(vec![n; 3]).unwrap(), signature: Signature([n; 64]) };
    let first = [(device(2), certificate(2)), (device(1), certificate(1))];
    store.keep_certificates(account(1), &first).unwrap();
    store.keep_certificates(account(2), &[(device(1), certificate(3))]).unwrap();
    store.keep_certificates(account(1), &[(device(1), certificate(9)), (device(3), certificate(3))]).unwrap();
    let kept = [(device(1), certificate(1)), (device(2), certificate(2)), (device(3), certificate(3))];
    assert_eq!(store.certificates_of(account(1)).unwrap(), kept);
    assert_eq!(store.certificates_of(account(2)).unwrap(), [(device(1), certificate(3))]);
    assert_eq!(store.certificates_of(account(3)).unwrap(), []);
}
