//! P-256 ECDSA over labelled bytes: the one way in which Tuppence's own structures are signed and verified.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use p256::ecdsa::{SigningKey, signature::Signer as _};
use protocol::{PublicKey, Signature, certificate::labelled};

/// A signature does not hold: the bytes are not what the key's owner signed, or the key is no point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not hold")]
pub struct BadSignature;

/// Signs `bytes` under `label` (deterministic nonces, RFC 6979).
#[must_use]
pub fn sign(key: &SigningKey, label: &[u8], bytes: &[u8]) -> Signature {
    let signature: p256::ecdsa::Signature = key.sign(&labelled(label, bytes));
    Signature(signature.to_bytes().into())
}

/// Checks a signature of `bytes` under `label`.
///
/// # Errors
/// [`BadSignature`] if it does not hold.
pub fn verify(key: &PublicKey, label: &[u8], bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    // Three times as fast as p256's own: every receipt and every certificate passes here.
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.0);
    key.verify(&labelled(label, bytes), &signature.0).map_err(|_| BadSignature)
}

/// The public half of a signing key, in the form that crosses wires.
#[must_use]
pub fn public_key(key: &SigningKey) -> PublicKey {
    let point = key.verifying_key().to_sec1_point(false);
    let mut bytes = [0; 65];
    bytes.copy_from_slice(point.as_bytes());
    PublicKey(bytes)
}
