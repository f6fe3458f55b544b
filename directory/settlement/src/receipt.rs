//! The key that signs for the ledger, its checkpoints, and receipts.

use membership::signing;
use p256::ecdsa::SigningKey;
use protocol::{
    Fingerprint,
    frame::{self, FrameError},
    money::{
        CHECKPOINT_LABEL, CHECKPOINT_MAX, Checkpoint, Entry, LEDGER_ENTRIES_MAX, Order, RECEIPT_KEY_LABEL, ReceiptKey,
        SettledEntry, SignedCheckpoint, SignedReceiptKey,
    },
};

use crate::{proof, signed};

/// Why the ledger's word does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// It does not decode, or contradicts itself.
    #[error("malformed")]
    Malformed,
    /// The receipt key is not vouched for by the directory that was pinned.
    #[error("the receipt key is not the directory's")]
    ReceiptKey,
    /// The checkpoint is of another ledger, not signed by the receipt key, or later than that may sign.
    #[error("the checkpoint is not the ledger's")]
    Checkpoint,
    /// The entry is not where it is said to be.
    #[error("the entry is not in the ledger's log")]
    NotInLog,
    /// The order in the entry is not signed by a device of its payer.
    #[error("the order in the ledger is not signed by its payer")]
    Order,
}

/// An entry that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEntry {
    /// Its place in the log.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Its order, if it settles one.
    pub order: Option<Order>,
    /// The checkpoint that it was proven in.
    pub checkpoint: Checkpoint,
}

/// The receipt key, if the directory that was pinned vouches for it. Whether its time is over now is the caller's to judge:
/// what it signed before stays signed.
///
/// # Errors
/// [`BadReceipt::Malformed`] or [`BadReceipt::ReceiptKey`].
pub fn verify_key(signed: &SignedReceiptKey, pin: Fingerprint) -> Result<ReceiptKey, BadReceipt> {
    let key = signed.receipt_key().map_err(|_| BadReceipt::Malformed)?;
    if membership::fingerprint(&key.root_key) != pin {
        return Err(BadReceipt::ReceiptKey);
    }
    signing::verify(&key.root_key, RECEIPT_KEY_LABEL, &signed.receipt_key, &signed.signature)
        .map_err(|_| BadReceipt::ReceiptKey)?;
    Ok(key)
}

/// The checkpoint, if it is of the key's ledger, signed by it, and from before the key's time was over.
///
/// # Errors
/// [`BadReceipt::Malformed`] or [`BadReceipt::Checkpoint`].
pub fn verify_checkpoint(signed: &SignedCheckpoint, key: &ReceiptKey) -> Result<Checkpoint, BadReceipt> {
    let checkpoint = signed.checkpoint().map_err(|_| BadReceipt::Malformed)?;
    if checkpoint.ledger != key.ledger || checkpoint.size > LEDGER_ENTRIES_MAX || checkpoint.time > key.not_after {
        return Err(BadReceipt::Checkpoint);
    }
    signing::verify(&key.key, CHECKPOINT_LABEL, &signed.checkpoint, &signed.signature)
        .map_err(|_| BadReceipt::Checkpoint)?;
    Ok(checkpoint)
}

/// The entry, if it is in the log of its checkpoint, the checkpoint is the ledger's, and an order in it was signed by a
/// device of its payer.
///
/// # Errors
/// [`BadReceipt`].
pub fn verify(settled: &SettledEntry, key: &ReceiptKey) -> Result<VerifiedEntry, BadReceipt> {
    let checkpoint = verify_checkpoint(&settled.checkpoint, key)?;
    proof::verify_inclusion(&settled.entry, settled.index, checkpoint.size, &checkpoint.root, &settled.proof)
        .map_err(|_| BadReceipt::NotInLog)?;
    let entry = settled.entry().map_err(|_| BadReceipt::Malformed)?;
    let order = match (&entry, &settled.certificate) {
        (Entry::Transfer { order, .. }, Some(certificate)) => {
            let order = signed::verify_order(order, certificate).map_err(|_| BadReceipt::Order)?;
            if order.ledger != key.ledger {
                return Err(BadReceipt::Order);
            }
            Some(order)
        }
        (Entry::Transfer { .. }, None) => return Err(BadReceipt::Order),
        (Entry::Issue { .. } | Entry::Opening { .. }, _) => None,
    };
    Ok(VerifiedEntry { index: settled.index, entry, order, checkpoint })
}

/// Signs a checkpoint with the receipt key.
///
/// # Errors
/// [`FrameError`] if it is too long to be written, which none is.
pub fn sign_checkpoint(checkpoint: &Checkpoint, key: &SigningKey) -> Result<SignedCheckpoint, FrameError> {
    let bytes = frame::encode_body(checkpoint, CHECKPOINT_MAX)?;
    let signature = signing::sign(key, CHECKPOINT_LABEL, &bytes);
    let too_long = |_| FrameError::TooLong { length: CHECKPOINT_MAX + 1, limit: CHECKPOINT_MAX };
    Ok(SignedCheckpoint { checkpoint: bytes.try_into().map_err(too_long)?, signature })
}

/// What the directory's root key signs to vouch for a receipt key, without its label.
///
/// # Errors
/// [`FrameError`] if it is too long to be written, which none is.
pub fn receipt_key_bytes(key: &ReceiptKey) -> Result<Vec<u8>, FrameError> {
    frame::encode_body(key, protocol::money::RECEIPT_KEY_MAX)
}
