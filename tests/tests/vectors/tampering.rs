//! Tampering with what a root key signs and with what it is sealed into: each field changed, cut and taken from another
//! account, and which refusal it meets.

mod backup;
mod certificate;
mod list;

use membership::signing::BadSignature;
use node_core::crypto::keys::{AccountSecrets, BookKey, DeviceKeys, RootKey};
use p256::ecdsa::SigningKey;
use protocol::{AccountId, DeviceId, Timestamp, certificate::Certificate};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const NOT_AFTER: Timestamp = Timestamp(32_503_680_000_000);

/// An account with two devices.
struct Account {
    secrets: AccountSecrets,
    /// The root key itself, to sign what no program signs.
    signer: SigningKey,
    id: AccountId,
    keys: [DeviceKeys; 2],
    certificates: [Certificate; 2],
    rng: ChaCha20Rng,
}

impl Account {
    fn new(number: u8) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(number));
        let scalar = [number; 32];
        let root = RootKey::from_scalar(&scalar).unwrap();
        let id = membership::account_id(&root.public());
        let keys = [DeviceKeys::generate(&mut rng), DeviceKeys::generate(&mut rng)];
        let certify = |at: usize| {
            let device = DeviceId([number * 16 + at as u8; 16]);
            // Each entry differs in its expiry too, so that taking one's for another's is a change.
            let not_after = Timestamp(NOT_AFTER.0 + u64::from(number) * 1_000 + at as u64);
            root.certify(&keys[at], device, not_after).unwrap()
        };
        let certificates = [certify(0), certify(1)];
        let secrets = AccountSecrets { root, book: BookKey::generate(&mut rng) };
        Self { signer: SigningKey::from_slice(&scalar).unwrap(), secrets, id, keys, certificates, rng }
    }
}

/// Every way of flipping one bit.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit / 8, changed)
    })
}

/// What a signature that does not hold is refused with.
fn bad_signature<E: From<BadSignature>>() -> E {
    BadSignature.into()
}
