//! The MLS working group's crypto-basics for suite 2, through the public primitives of the provider that the programs use.
//!
//! The library's own functions that put labels around them are not public; the labels' encoding (RFC 9420, 5.1.2, 5.2, 8)
//! is a length and the bytes, and is written out here. What the library makes of them itself, the passive-client vectors
//! show: no Welcome opens and no commit applies without every one of these.

use data_encoding::HEXLOWER;
use mls_rs_core::crypto::{CipherSuiteProvider, CryptoProvider as _, HpkeCiphertext};
use mls_rs_crypto_awslc::AwsLcCryptoProvider;
use serde_json::Value;

const VECTORS: &str = include_str!("mls/crypto-basics.json");

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn vector() -> Value {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.as_array().map(Vec::len), Some(1), "one vector for the suite");
    vectors[0].clone()
}

fn suite() -> impl CipherSuiteProvider {
    AwsLcCryptoProvider::new().cipher_suite_provider(membership::SUITE).unwrap()
}

/// `opaque<V>`: a variable-length integer (RFC 9000, 16) and the bytes.
fn opaque(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let header = if length < 64 { vec![length as u8] } else { (length | 0x4000).to_be_bytes().to_vec() };
    [header, bytes.to_vec()].concat()
}

fn label(vector: &Value) -> Vec<u8> {
    opaque(format!("MLS 1.0 {}", vector["label"].as_str().unwrap()).as_bytes())
}

fn expand(vector: &Value, context: &[u8], length: usize) -> Vec<u8> {
    let info = [u16::try_from(length).unwrap().to_be_bytes().to_vec(), label(vector), opaque(context)].concat();
    suite().kdf_expand(&bytes(&vector["secret"]), &info, length).unwrap().to_vec()
}

#[test]
fn references_are_the_published_hashes() {
    let vector = &vector()["ref_hash"];
    // The label of a reference stands as it is, without the version before it.
    let name = opaque(vector["label"].as_str().unwrap().as_bytes());
    let hash = suite().hash(&[name, opaque(&bytes(&vector["value"]))].concat()).unwrap();
    assert_eq!(hash, bytes(&vector["out"]));
}

#[test]
fn keys_are_derived_as_published() {
    let vector = vector();
    let length = |vector: &Value| usize::try_from(vector["length"].as_u64().unwrap()).unwrap();
    let expanded = &vector["expand_with_label"];
    assert_eq!(expand(expanded, &bytes(&expanded["context"]), length(expanded)), bytes(&expanded["out"]));
    let derived = &vector["derive_secret"];
    assert_eq!(expand(derived, &[], suite().kdf_extract_size()), bytes(&derived["out"]));
    let of_tree = &vector["derive_tree_secret"];
    let generation = u32::try_from(of_tree["generation"].as_u64().unwrap()).unwrap().to_be_bytes();
    assert_eq!(expand(of_tree, &generation, length(of_tree)), bytes(&of_tree["out"]));
}

#[test]
fn the_published_signature_holds_and_no_other_content_has_it() {
    let vector = &vector()["sign_with_label"];
    let content = [label(vector), opaque(&bytes(&vector["content"]))].concat();
    let (public, secret) = (bytes(&vector["pub"]).into(), bytes(&vector["priv"]).into());
    let signature = bytes(&vector["signature"]);
    assert!(suite().verify(&public, &signature, &content).is_ok());
    let altered = [content.as_slice(), &[0]].concat();
    assert!(suite().verify(&public, &signature, &altered).is_err());
    let own = suite().sign(&secret, &content).unwrap();
    assert!(suite().verify(&public, &own, &content).is_ok(), "the published secret key signs for the public one");
}

#[test]
fn the_published_ciphertext_opens_under_its_label_and_context_only() {
    let vector = &vector()["encrypt_with_label"];
    let sealed = HpkeCiphertext { kem_output: bytes(&vector["kem_output"]), ciphertext: bytes(&vector["ciphertext"]) };
    let (secret, public) = (bytes(&vector["priv"]).into(), bytes(&vector["pub"]).into());
    let info = [label(vector), opaque(&bytes(&vector["context"]))].concat();
    let opened = suite().hpke_open(&sealed, &secret, &public, &info, None).unwrap();
    assert_eq!(opened.to_vec(), bytes(&vector["plaintext"]));
    assert!(suite().hpke_open(&sealed, &secret, &public, &label(vector), None).is_err());
}
