//! What is signed about money, and what a ledger's log proves: nodes, the directory and its audit must come to the same
//! verdict, and neither program may depend on the other.
//!
//! **Invariant:** a verdict depends only on the bytes and the keys that are named here: no clock, no look-up. Whether a time
//! is over, and whether a device was revoked, is the caller's to judge.

pub mod memo;
pub mod proof;
pub mod receipt;
pub mod signed;

use protocol::{AccountId, LedgerId, PublicKey, money};
use sha2::{Digest as _, Sha256};

/// The id of a directory's ledger: SHA-256 of a label, the directory's root key, and a nonce drawn once.
#[must_use]
pub fn ledger_id(root_key: &PublicKey, nonce: &[u8; 32]) -> LedgerId {
    LedgerId(hash(&[money::LEDGER_ID_LABEL, &root_key.0, nonce]))
}

/// The account that money comes from: the only one whose balance is ever negative. Nobody has a key of it.
#[must_use]
pub fn issuance_account(ledger: LedgerId) -> AccountId {
    AccountId(hash(&[money::ISSUANCE_LABEL, ledger.as_bytes()]))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().into()
}
