//! Signed device lists.

use membership::{
    certificate::{CertificateError, verify_device_list},
    signing,
};
use node_core::crypto::keys::DeviceKeys;
use protocol::{
    Bounded, BoundedBytes, DeviceId, Signature,
    certificate::{Certificate, DEVICE_ENTRY_LABEL, DeviceList, SignedDeviceList},
    frame::{self, FrameError},
    limits::DEVICE_LIST_MAX,
};

use super::{Account, NOT_AFTER, bad_signature, flips};

const VERSION: u64 = 7;

impl Account {
    /// A list that its root key signed, whatever is in it.
    fn sign(&self, devices: Vec<Certificate>) -> SignedDeviceList {
        self.secrets.root.device_list(VERSION, devices, NOT_AFTER).unwrap()
    }

    fn list(&self) -> SignedDeviceList {
        self.sign(self.certificates.to_vec())
    }
}

fn with_list(signed: &SignedDeviceList, list: Vec<u8>) -> SignedDeviceList {
    SignedDeviceList { list: BoundedBytes::new(list).unwrap(), signature: signed.signature }
}

fn refusal(signed: &SignedDeviceList) -> Option<CertificateError> {
    verify_device_list(signed).err()
}

/// Changes the list's devices.
fn devices(list: &mut DeviceList, change: impl FnOnce(&mut Vec<Certificate>)) {
    let mut devices = list.devices.to_vec();
    change(&mut devices);
    list.devices = Bounded::new(devices).unwrap();
}

#[test]
fn no_field_of_a_list_can_be_changed_or_taken_from_another_account() {
    type Change = fn(&mut DeviceList, &DeviceList);
    let rows: [(&str, Change); 13] = [
        ("root key, a bit", |list, _| list.root_key.0[1] ^= 1),
        ("root key, another account's", |list, other| list.root_key = other.root_key),
        ("version, a bit", |list, _| list.version ^= 1),
        ("version, as of a later list", |list, _| list.version = u64::MAX),
        ("devices, none left", |list, _| devices(list, Vec::clear)),
        ("devices, one revoked", |list, _| devices(list, |devices| drop(devices.pop()))),
        ("devices, one brought back", |list, _| devices(list, |devices| devices.push(devices[0].clone()))),
        ("devices, another order", |list, _| devices(list, |devices| devices.reverse())),
        ("devices, a bit of one's certificate", |list, _| {
            devices(list, |devices| devices[0].signature.0[0] ^= 1);
        }),
        ("devices, one of another account in one's place", |list, other| {
            devices(list, |devices| devices[1] = other.devices[0].clone());
        }),
        ("devices, another account's", |list, other| list.devices = other.devices.clone()),
        ("expiry, a bit", |list, _| list.not_after.0 ^= 1),
        ("expiry, never", |list, _| list.not_after.0 = u64::MAX),
    ];
    let (account, other) = (Account::new(1), Account::new(2));
    let signed = account.list();
    let verified = verify_device_list(&signed).unwrap();
    let entries = account.certificates.each_ref().map(|certificate| certificate.entry().unwrap());
    assert_eq!((verified.account, verified.root_key), (account.id, account.secrets.root.public()));
    assert_eq!((verified.version, verified.devices, verified.not_after), (VERSION, entries.to_vec(), NOT_AFTER));
    for (row, change) in rows {
        let mut list = signed.list().unwrap();
        change(&mut list, &other.list().list().unwrap());
        assert_ne!(list, signed.list().unwrap(), "{row} changes nothing");
        let changed = with_list(&signed, frame::encode_body(&list, DEVICE_LIST_MAX).unwrap());
        assert_eq!(refusal(&changed), Some(bad_signature()), "{row}");
    }
    let older = account.secrets.root.device_list(VERSION - 1, account.certificates.to_vec(), NOT_AFTER).unwrap();
    for signature in [other.list().signature, older.signature, account.certificates[0].signature] {
        let changed = SignedDeviceList { signature, ..signed.clone() };
        assert_eq!(refusal(&changed), Some(bad_signature()), "a signature of something else");
    }
}

#[test]
fn no_bit_of_a_list_can_be_flipped_and_no_byte_cut_or_added() {
    let signed = Account::new(1).list();
    for (at, list) in flips(&signed.list) {
        let changed = with_list(&signed, list);
        let expected = changed.list().map_or_else(CertificateError::Malformed, |_| bad_signature());
        assert_eq!(refusal(&changed), Some(expected), "byte {at} of the list");
    }
    for (at, signature) in flips(&signed.signature.0) {
        let signature = Signature(signature.try_into().unwrap());
        let changed = SignedDeviceList { signature, ..signed.clone() };
        assert_eq!(refusal(&changed), Some(bad_signature()), "byte {at} of the signature");
    }
    for length in 0..signed.list.len() {
        let cut = with_list(&signed, signed.list[..length].to_vec());
        let refused = refusal(&cut);
        assert!(matches!(refused, Some(CertificateError::Malformed(FrameError::Malformed(_)))), "cut at {length}");
    }
    let longer = with_list(&signed, [&signed.list[..], &[0]].concat());
    assert_eq!(refusal(&longer), Some(FrameError::TrailingBytes(1).into()));
}

#[test]
fn what_a_root_key_signed_as_something_else_is_no_list() {
    let account = Account::new(1);
    let signed = account.list();
    for label in [DEVICE_ENTRY_LABEL, b""] {
        let signature = signing::sign(&account.signer, label, &signed.list);
        assert_eq!(refusal(&SignedDeviceList { signature, ..signed.clone() }), Some(bad_signature()));
    }
}

#[test]
fn a_list_with_a_good_signature_may_hold_only_certificates_of_its_own_root_key() {
    let (account, other) = (Account::new(1), Account::new(2));
    let [first, second] = account.certificates.clone();
    let [foreign, _] = other.certificates.clone();

    let listed = account.sign(vec![first.clone(), foreign.clone()]);
    assert_eq!(refusal(&listed), Some(CertificateError::ForeignDevice));
    let stolen = other.sign(vec![first.clone(), second.clone()]);
    assert_eq!(refusal(&stolen), Some(CertificateError::ForeignDevice), "one's devices in another's list");

    let mut claimed = foreign.entry().unwrap();
    claimed.root_key = account.secrets.root.public();
    let entry = BoundedBytes::new(frame::encode_body(&claimed, 1_024).unwrap()).unwrap();
    let claimed = Certificate { entry, signature: foreign.signature };
    assert_eq!(refusal(&account.sign(vec![first.clone(), claimed])), Some(bad_signature()));

    let mut changed = second;
    changed.signature.0[63] ^= 1;
    assert_eq!(refusal(&account.sign(vec![first.clone(), changed])), Some(bad_signature()));

    let cut = Certificate { entry: BoundedBytes::new(first.entry[..40].to_vec()).unwrap(), ..first.clone() };
    let expected = FrameError::Malformed(postcard::Error::DeserializeUnexpectedEnd).into();
    assert_eq!(refusal(&account.sign(vec![first, cut])), Some(expected));
}

#[test]
fn no_two_devices_of_a_list_share_an_id_or_a_key() {
    let account = Account::new(1);
    let [first, second] = &account.certificates;
    let [one, two] = account.keys.each_ref().map(DeviceKeys::to_stored);
    let rows = [("TLS key", 1..33), ("MLS key", 33..65), ("order key", 65..97)];
    for (row, key) in rows {
        let mut shared = two.clone();
        shared[key.clone()].copy_from_slice(&one[key]);
        let keys = DeviceKeys::from_stored(&shared).unwrap();
        let shared = account.secrets.root.certify(&keys, second.entry().unwrap().device, NOT_AFTER).unwrap();
        let refused = refusal(&account.sign(vec![first.clone(), shared]));
        assert_eq!(refused, Some(CertificateError::DuplicateDevice), "{row}");
    }
    let device: DeviceId = first.entry().unwrap().device;
    let shared = account.secrets.root.certify(&account.keys[1], device, NOT_AFTER).unwrap();
    assert_eq!(refusal(&account.sign(vec![first.clone(), shared])), Some(CertificateError::DuplicateDevice), "id");
    let twice = account.sign(vec![first.clone(), first.clone()]);
    assert_eq!(refusal(&twice), Some(CertificateError::DuplicateDevice), "all");
}
