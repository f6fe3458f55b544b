//! Proofs of the log (RFC 9162, section 2.1): the crate `ct-merkle` behind bounds, so that no number that comes over a wire
//! makes it panic.

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use protocol::money::{HashBytes, LEDGER_ENTRIES_MAX, PROOF_MAX};
use sha2::Sha256;

/// A proof does not hold: the log is not what was said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not hold")]
pub struct BadProof;

/// What a leaf of the tree is: SHA-256 of an entry's bytes.
#[must_use]
pub fn leaf(entry: &[u8]) -> HashBytes {
    crate::hash(&[entry])
}

/// The root of a log without entries: SHA-256 of nothing (RFC 9162, section 2.1.1).
#[must_use]
pub fn empty_root() -> HashBytes {
    crate::hash(&[])
}

/// Checks that an entry is at a place of the log of so many entries with this root.
///
/// # Errors
/// [`BadProof`] if it is not, or if the proof does not say so.
pub fn verify_inclusion(
    entry: &[u8],
    index: u64,
    size: u64,
    root: &HashBytes,
    proof: &[HashBytes],
) -> Result<(), BadProof> {
    if index >= size || size > LEDGER_ENTRIES_MAX || proof.len() > PROOF_MAX {
        return Err(BadProof);
    }
    let proof = InclusionProof::<Sha256>::try_from_bytes(proof.concat()).map_err(|_| BadProof)?;
    let root = RootHash::<Sha256>::new((*root).into(), size);
    root.verify_inclusion(&leaf(entry), index, &proof).map_err(|_| BadProof)
}

/// Checks that the log of `to` entries begins with the whole log of `from` entries.
///
/// # Errors
/// [`BadProof`] if it does not, or if the proof does not say so.
pub fn verify_consistency(
    (from, from_root): (u64, &HashBytes),
    (to, to_root): (u64, &HashBytes),
    proof: &[HashBytes],
) -> Result<(), BadProof> {
    if from > to || to > LEDGER_ENTRIES_MAX || proof.len() > PROOF_MAX {
        return Err(BadProof);
    }
    // The two cases for which no proof is defined.
    if from == to || from == 0 {
        let same = if from == to { from_root == to_root } else { *from_root == empty_root() };
        return if same && proof.is_empty() { Ok(()) } else { Err(BadProof) };
    }
    let proof = ConsistencyProof::<Sha256>::try_from_bytes(proof.concat()).map_err(|_| BadProof)?;
    let before = RootHash::<Sha256>::new((*from_root).into(), from);
    let after = RootHash::<Sha256>::new((*to_root).into(), to);
    after.verify_consistency(&before, &proof).map_err(|_| BadProof)
}
