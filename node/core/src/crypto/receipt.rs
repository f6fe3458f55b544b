//! Receipts, signed by the recipient's device with its MLS key under a label of their own.

use membership::signing::{self, BadSignature};
use p256::ecdsa::SigningKey;
use protocol::{
    BoundedBytes, PublicKey,
    certificate::{RECEIPT_LABEL, Receipt, SignedReceipt},
    frame::{self, FrameError},
};

/// Longest encoded receipt: what [`SignedReceipt`] takes.
const RECEIPT_MAX: usize = 4_096;

/// Signs a receipt.
///
/// # Errors
/// [`FrameError`] if it cannot be written; a bug.
pub fn sign_receipt(key: &SigningKey, receipt: &Receipt) -> Result<SignedReceipt, FrameError> {
    let bytes = frame::encode_body(receipt, RECEIPT_MAX)?;
    let signature = signing::sign(key, RECEIPT_LABEL, &bytes);
    let too_long = |error: protocol::bounded::TooLong| FrameError::TooLong { length: error.length, limit: error.limit };
    Ok(SignedReceipt { receipt: BoundedBytes::new(bytes).map_err(too_long)?, signature })
}

/// Checks that a device signed a receipt.
///
/// # Errors
/// [`BadSignature`] if it did not.
pub fn verify_receipt(key: &PublicKey, signed: &SignedReceipt) -> Result<(), BadSignature> {
    signing::verify(key, RECEIPT_LABEL, &signed.receipt, &signed.signature)
}
