//! Device certificates, alone and as MLS leaves.

use membership::{
    certificate::{CertificateError, verify_certificate},
    identity::{IdentityError, device_of, signing_identity},
    signing,
};
use mls_rs::identity::{SigningIdentity, basic::BasicCredential};
use protocol::{
    BoundedBytes, Signature,
    certificate::{Certificate, DEVICE_LIST_LABEL, DeviceEntry},
    frame::{self, FrameError},
    limits::CERTIFICATE_MAX,
};

use super::{Account, bad_signature, flips};

fn with_entry(certificate: &Certificate, entry: Vec<u8>) -> Certificate {
    Certificate { entry: BoundedBytes::new(entry).unwrap(), signature: certificate.signature }
}

fn refusal(certificate: &Certificate) -> Option<CertificateError> {
    verify_certificate(certificate).err()
}

#[test]
fn no_field_of_a_certificate_can_be_changed_or_taken_from_another_account() {
    type Change = fn(&mut DeviceEntry, &DeviceEntry);
    let rows: [(&str, Change); 13] = [
        ("root key, a bit of its x", |entry, _| entry.root_key.0[1] ^= 1),
        ("root key, a bit of its y", |entry, _| entry.root_key.0[64] ^= 1),
        ("root key, another account's", |entry, other| entry.root_key = other.root_key),
        ("device, a bit", |entry, _| entry.device.0[0] ^= 1),
        ("device, another account's", |entry, other| entry.device = other.device),
        ("TLS key, a bit", |entry, _| entry.tls_key.0[1] ^= 1),
        ("TLS key, another account's", |entry, other| entry.tls_key = other.tls_key),
        ("MLS key, a bit", |entry, _| entry.mls_key.0[1] ^= 1),
        ("MLS key, another account's", |entry, other| entry.mls_key = other.mls_key),
        ("order key, a bit", |entry, _| entry.order_key.0[1] ^= 1),
        ("order key, another account's", |entry, other| entry.order_key = other.order_key),
        ("expiry, a bit", |entry, _| entry.not_after.0 ^= 1),
        ("expiry, another account's", |entry, other| entry.not_after = other.not_after),
    ];
    let account = Account::new(1);
    let [certificate, sibling] = account.certificates;
    let [other, _] = Account::new(2).certificates;
    let verified = verify_certificate(&certificate).unwrap();
    assert_eq!((verified.account, verified.entry), (account.id, certificate.entry().unwrap()));
    for (row, change) in rows {
        let mut entry = certificate.entry().unwrap();
        change(&mut entry, &other.entry().unwrap());
        assert_ne!(entry, certificate.entry().unwrap(), "{row} changes nothing");
        let changed = with_entry(&certificate, frame::encode_body(&entry, CERTIFICATE_MAX).unwrap());
        assert_eq!(refusal(&changed), Some(bad_signature()), "{row}");
    }
    for signature in [other.signature, sibling.signature] {
        let changed = Certificate { signature, ..certificate.clone() };
        assert_eq!(refusal(&changed), Some(bad_signature()), "the signature of another certificate");
    }
}

#[test]
fn no_bit_of_a_certificate_can_be_flipped_and_no_byte_cut_or_added() {
    let [certificate, _] = Account::new(1).certificates;
    for (at, entry) in flips(&certificate.entry) {
        let changed = with_entry(&certificate, entry);
        // Most bits leave something that is read, and that nobody signed.
        let expected = changed.entry().map_or_else(CertificateError::Malformed, |_| bad_signature());
        assert_eq!(refusal(&changed), Some(expected), "byte {at} of the entry");
    }
    for (at, signature) in flips(&certificate.signature.0) {
        let signature = Signature(signature.try_into().unwrap());
        let changed = Certificate { signature, ..certificate.clone() };
        assert_eq!(refusal(&changed), Some(bad_signature()), "byte {at} of the signature");
    }
    for length in 0..certificate.entry.len() {
        let cut = with_entry(&certificate, certificate.entry[..length].to_vec());
        let expected = FrameError::Malformed(postcard::Error::DeserializeUnexpectedEnd).into();
        assert_eq!(refusal(&cut), Some(expected), "cut at {length}");
    }
    let longer = with_entry(&certificate, [&certificate.entry[..], &[0]].concat());
    assert_eq!(refusal(&longer), Some(FrameError::TrailingBytes(1).into()));
}

#[test]
fn what_a_root_key_signed_as_something_else_is_no_certificate() {
    let account = Account::new(1);
    let [certificate, _] = &account.certificates;
    for label in [DEVICE_LIST_LABEL, b""] {
        let signature = signing::sign(&account.signer, label, &certificate.entry);
        let changed = Certificate { signature, ..certificate.clone() };
        assert_eq!(refusal(&changed), Some(bad_signature()));
    }
}

#[test]
fn a_leaf_holds_only_with_its_own_certificate_and_key() {
    let [certificate, sibling] = Account::new(1).certificates;
    let leaf = signing_identity(&certificate).unwrap();
    assert_eq!(device_of(&leaf).unwrap().entry, certificate.entry().unwrap());

    let other_leaf = signing_identity(&sibling).unwrap();
    let swapped = SigningIdentity::new(leaf.credential.clone(), other_leaf.signature_key.clone());
    assert_eq!(device_of(&swapped), Err(IdentityError::Key));
    let swapped = SigningIdentity::new(other_leaf.credential, leaf.signature_key.clone());
    assert_eq!(device_of(&swapped), Err(IdentityError::Key));

    let credential = leaf.credential.as_basic().unwrap().identifier.clone();
    for (at, changed) in flips(&credential) {
        let changed = BasicCredential::new(changed).into_credential();
        let refused = device_of(&SigningIdentity::new(changed, leaf.signature_key.clone()));
        assert!(matches!(refused, Err(IdentityError::Malformed(_) | IdentityError::Certificate(_))), "byte {at}");
    }
    for length in 0..credential.len() {
        let cut = BasicCredential::new(credential[..length].to_vec()).into_credential();
        let refused = device_of(&SigningIdentity::new(cut, leaf.signature_key.clone()));
        let expected = FrameError::Malformed(postcard::Error::DeserializeUnexpectedEnd);
        assert_eq!(refused, Err(IdentityError::Malformed(expected)), "cut at {length}");
    }
}
