//! Orders, requests and their ends, as they are signed.

use serde::{Deserialize, Serialize};

use super::{Amount, CLOSING_BYTES_MAX, MEMO_MAX, ORDER_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::{
    AccountId, BoundedBytes, BoundedText, DeviceId, LedgerId, MemoCommitment, Name, OrderId, RequestId, Signature,
    Timestamp,
    frame::{self, FrameError},
};

/// Label before an [`Order`]'s bytes when the payer's device signs them with its order key.
pub const ORDER_LABEL: &[u8] = b"tuppence payment order v1\0";
/// Label before a [`PaymentRequest`]'s bytes when the payee's device signs them with its order key.
pub const REQUEST_LABEL: &[u8] = b"tuppence payment request v1\0";
/// Label before a [`Closing`]'s bytes when a device of the payee or the payer signs them with its order key.
pub const CLOSING_LABEL: &[u8] = b"tuppence request closing v1\0";
/// Label before a [`MemoOpening`]'s bytes when they are hashed into a [`MemoCommitment`].
pub const MEMO_LABEL: &[u8] = b"tuppence memo commitment v1\0";

/// What a payer's device signs: this amount, to this account, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The ledger that shall settle it; no other one may.
    pub ledger: LedgerId,
    /// Drawn by the payer and kept before anything is sent: with the payer's account it is settled once.
    pub id: OrderId,
    /// Who pays.
    pub payer: AccountId,
    /// Who is paid.
    pub payee: AccountId,
    /// How much; never zero.
    pub amount: Amount,
    /// What it is for, and what the two are called: see [`MemoOpening`].
    pub memo: MemoCommitment,
    /// The whole request that it answers, which it then matches field by field.
    pub answers: Option<SignedRequest>,
    /// The order that it gives back, whole or in part: its payer is this order's payee, and its payee this order's payer.
    pub refunds: Option<OrderId>,
    /// From then on it is not settled any more; not later than the request that it answers.
    pub not_after: Timestamp,
    /// The payer's device, whose order key signs.
    pub device: DeviceId,
}

/// An [`Order`]'s bytes and the payer's device's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedOrder {
    /// Postcard of the [`Order`], exactly as signed.
    pub order: BoundedBytes<ORDER_BYTES_MAX>,
    /// Over [`ORDER_LABEL`] and `order`, by the device's order key.
    pub signature: Signature,
}

/// What a payee's device signs: please pay me.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// The ledger that it is about.
    pub ledger: LedgerId,
    /// Drawn by the payee; with the payee's account it names the request.
    pub id: RequestId,
    /// Who asks.
    pub payee: AccountId,
    /// Who is asked.
    pub payer: AccountId,
    /// How much; never zero.
    pub amount: Amount,
    /// What it is for, and what the two are called: see [`MemoOpening`].
    pub memo: MemoCommitment,
    /// From then on it can't be paid any more.
    pub not_after: Timestamp,
    /// The payee's device, whose order key signs.
    pub device: DeviceId,
}

/// A [`PaymentRequest`]'s bytes and the payee's device's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRequest {
    /// Postcard of the [`PaymentRequest`], exactly as signed.
    pub request: BoundedBytes<REQUEST_BYTES_MAX>,
    /// Over [`REQUEST_LABEL`] and `request`, by the device's order key.
    pub signature: Signature,
}

/// How a request ends without being paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClosingKind {
    /// The payer will not pay.
    Decline,
    /// The payee asks no more.
    Cancel,
}

/// What ends a request without a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// The ledger that it is about.
    pub ledger: LedgerId,
    /// The request's payee.
    pub payee: AccountId,
    /// The request.
    pub request: RequestId,
    /// Declined by its payer, or cancelled by its payee.
    pub kind: ClosingKind,
    /// The device, of whichever of the two, whose order key signs.
    pub device: DeviceId,
}

/// A [`Closing`]'s bytes and the device's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedClosing {
    /// Postcard of the [`Closing`], exactly as signed.
    pub closing: BoundedBytes<CLOSING_BYTES_MAX>,
    /// Over [`CLOSING_LABEL`] and `closing`, by the device's order key.
    pub signature: Signature,
}

/// What a [`MemoCommitment`] commits to: SHA-256 of [`MEMO_LABEL`] and these bytes. It travels end to end only; so what is
/// signed binds the words and the names, and the ledger learns neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoOpening {
    /// Drawn for each commitment, so that no memo can be guessed from it.
    pub salt: [u8; 32],
    /// What the payer is called.
    pub payer: Name,
    /// What the payee is called.
    pub payee: Name,
    /// What it is for; empty for nothing.
    pub memo: BoundedText<MEMO_MAX>,
}

impl SignedOrder {
    /// Reads the order, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`Order`].
    pub fn order(&self) -> Result<Order, FrameError> {
        frame::decode_body(&self.order, ORDER_BYTES_MAX)
    }
}

impl SignedRequest {
    /// Reads the request, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`PaymentRequest`].
    pub fn request(&self) -> Result<PaymentRequest, FrameError> {
        frame::decode_body(&self.request, REQUEST_BYTES_MAX)
    }
}

impl SignedClosing {
    /// Reads the closing, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`Closing`].
    pub fn closing(&self) -> Result<Closing, FrameError> {
        frame::decode_body(&self.closing, CLOSING_BYTES_MAX)
    }
}
