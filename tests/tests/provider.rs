//! The seeded provider is a provider: repeatable where the production one is not, and otherwise the same.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "what a test is made of")]

use mls_rs_core::crypto::{CipherSuiteProvider, CryptoProvider as _, HpkeContextR as _, HpkeContextS as _, HpkePsk};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer as _};
use rand_core::RngCore as _;
use tests::{
    entropy::SeededEntropy,
    provider::{SeededCipherSuite, SeededProvider},
    world::witness::Keys,
};

fn suite(seed: u64, participant: u64) -> SeededCipherSuite {
    let provider = SeededProvider::new(SeededEntropy::new(seed, participant), Keys::default());
    provider.cipher_suite_provider(membership::SUITE).expect("the suite is supported")
}

fn production() -> impl CipherSuiteProvider {
    AwsLcCryptoProvider::new().cipher_suite_provider(membership::SUITE).expect("the suite is supported")
}

/// Everything that the provider draws, once.
fn draws(suite: &SeededCipherSuite) -> Vec<Vec<u8>> {
    let (kem_secret, kem_public) = suite.kem_generate().unwrap();
    let (signing_secret, signing_public) = suite.signature_key_generate().unwrap();
    let sealed = suite.hpke_seal(&kem_public, b"info", Some(b"data"), b"text").unwrap();
    let psk = HpkePsk::new(b"id", &[7; 32]);
    let sealed_psk = suite.hpke_seal_psk(&kem_public, b"info", None, b"text", psk).unwrap();
    let (encapsulated, mut context) = suite.hpke_setup_s(&kem_public, b"info").unwrap();
    vec![
        suite.random_bytes_vec(40).unwrap(),
        kem_secret.to_vec(),
        kem_public.to_vec(),
        signing_public.to_vec(),
        suite.sign(&signing_secret, b"text").unwrap(),
        sealed.kem_output,
        sealed.ciphertext,
        sealed_psk.kem_output,
        sealed_psk.ciphertext,
        encapsulated,
        context.seal(None, b"text").unwrap(),
    ]
}

#[test]
fn the_same_seed_draws_the_same_bytes() {
    assert_eq!(draws(&suite(1, 2)), draws(&suite(1, 2)));
}

#[test]
fn two_participants_and_two_seeds_differ_in_everything_drawn() {
    let first = draws(&suite(1, 2));
    for other in [draws(&suite(1, 3)), draws(&suite(2, 2))] {
        assert!(first.iter().zip(&other).all(|(one, other)| one != other));
    }
}

#[test]
fn clones_of_a_generator_draw_from_one_sequence() {
    let mut whole = [0; 16];
    SeededEntropy::new(5, 1).fill_bytes(&mut whole);
    let mut parts = [0; 16];
    let mut entropy = SeededEntropy::new(5, 1);
    entropy.clone().fill_bytes(&mut parts[..8]);
    entropy.fill_bytes(&mut parts[8..]);
    assert_eq!(whole, parts);
}

#[test]
fn signatures_verify_with_the_production_provider_and_the_other_way_round() {
    let (seeded, production) = (suite(3, 1), production());
    let (secret, public) = seeded.signature_key_generate().unwrap();
    let signature = seeded.sign(&secret, b"text").unwrap();
    assert!(production.verify(&public, &signature, b"text").is_ok());
    assert!(production.verify(&public, &signature, b"test").is_err());
    let signature = production.sign(&secret, b"text").unwrap();
    assert!(seeded.verify(&public, &signature, b"text").is_ok());
}

#[test]
fn signatures_are_those_of_rfc_6979_as_another_implementation_makes_them() {
    let seeded = suite(3, 1);
    for length in 0..40 {
        let (secret, public) = seeded.signature_key_generate().unwrap();
        let text = vec![7; length];
        let key = SigningKey::from_slice(&secret).unwrap();
        let signature: DerSignature = key.sign(&text);
        assert_eq!(seeded.sign(&secret, &text).unwrap(), signature.as_bytes());
        assert_eq!(public.as_bytes(), key.verifying_key().to_sec1_point(false).as_bytes());
    }
}

#[test]
fn a_scalar_without_its_leading_zeros_signs() {
    let (seeded, production) = (suite(3, 1), production());
    let secret = vec![9; 31].into();
    let public = production.signature_key_derive_public(&secret).unwrap();
    let signature = seeded.sign(&secret, b"text").unwrap();
    assert!(production.verify(&public, &signature, b"text").is_ok());
}

#[test]
fn hpke_opens_with_the_production_provider_and_the_other_way_round() {
    let (seeded, production) = (suite(4, 1), production());
    let (secret, public) = seeded.kem_generate().unwrap();
    let sealed = seeded.hpke_seal(&public, b"info", Some(b"data"), b"text").unwrap();
    let opened = production.hpke_open(&sealed, &secret, &public, b"info", Some(b"data")).unwrap();
    assert_eq!(opened.as_slice(), b"text");

    let (secret, public) = production.kem_generate().unwrap();
    let sealed = production.hpke_seal(&public, b"info", Some(b"data"), b"text").unwrap();
    let opened = seeded.hpke_open(&sealed, &secret, &public, b"info", Some(b"data")).unwrap();
    assert_eq!(opened.as_slice(), b"text");

    let (encapsulated, mut sender) = seeded.hpke_setup_s(&public, b"info").unwrap();
    let mut receiver = production.hpke_setup_r(&encapsulated, &secret, &public, b"info").unwrap();
    let sealed = sender.seal(None, b"text").unwrap();
    assert_eq!(receiver.open(None, &sealed).unwrap().as_slice(), b"text");
}
