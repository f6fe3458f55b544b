//! Signing and checking orders, requests and their ends. Each stands under its own label and is signed by a device's order
//! key, which the device's certificate names.

use membership::{certificate::verify_certificate, signing};
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, BoundedBytes, DeviceId, PublicKey, Signature,
    certificate::Certificate,
    frame::{self, FrameError},
    money::{
        CLOSING_LABEL, Closing, ClosingKind, ORDER_LABEL, Order, PaymentRequest, REQUEST_LABEL, SignedClosing,
        SignedOrder, SignedRequest,
    },
};

/// Why something that should be signed does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It does not decode.
    #[error("malformed")]
    Malformed,
    /// The certificate is another device's or another account's, or does not hold.
    #[error("the certificate is not the signer's")]
    Certificate,
    /// The key did not sign it.
    #[error("the signature does not hold")]
    Signature,
}

/// Signs an order with the order key of the device that it names.
///
/// # Errors
/// [`FrameError`] if it is too long to be written.
pub fn sign_order(order: &Order, key: &SigningKey) -> Result<SignedOrder, FrameError> {
    let (order, signature) = sign(order, ORDER_LABEL, key)?;
    Ok(SignedOrder { order, signature })
}

/// Signs a request with the order key of the device that it names.
///
/// # Errors
/// [`FrameError`] if it is too long to be written.
pub fn sign_request(request: &PaymentRequest, key: &SigningKey) -> Result<SignedRequest, FrameError> {
    let (request, signature) = sign(request, REQUEST_LABEL, key)?;
    Ok(SignedRequest { request, signature })
}

/// Signs the end of a request with the order key of the device that it names.
///
/// # Errors
/// [`FrameError`] if it is too long to be written.
pub fn sign_closing(closing: &Closing, key: &SigningKey) -> Result<SignedClosing, FrameError> {
    let (closing, signature) = sign(closing, CLOSING_LABEL, key)?;
    Ok(SignedClosing { closing, signature })
}

/// Checks an order's signature by a key.
///
/// # Errors
/// [`Unsigned::Signature`].
pub fn check_order(signed: &SignedOrder, key: &PublicKey) -> Result<(), Unsigned> {
    check(key, ORDER_LABEL, &signed.order, &signed.signature)
}

/// Checks a request's signature by a key.
///
/// # Errors
/// [`Unsigned::Signature`].
pub fn check_request(signed: &SignedRequest, key: &PublicKey) -> Result<(), Unsigned> {
    check(key, REQUEST_LABEL, &signed.request, &signed.signature)
}

/// Checks the signature of a request's end by a key.
///
/// # Errors
/// [`Unsigned::Signature`].
pub fn check_closing(signed: &SignedClosing, key: &PublicKey) -> Result<(), Unsigned> {
    check(key, CLOSING_LABEL, &signed.closing, &signed.signature)
}

/// The order, if the payer's device of this certificate signed it. The request that it answers is not looked at: see
/// [`answers`].
///
/// # Errors
/// [`Unsigned`].
pub fn verify_order(signed: &SignedOrder, certificate: &Certificate) -> Result<Order, Unsigned> {
    let order = signed.order().map_err(|_| Unsigned::Malformed)?;
    check_order(signed, &order_key(certificate, order.payer, order.device)?)?;
    Ok(order)
}

/// The request, if the payee's device of this certificate signed it.
///
/// # Errors
/// [`Unsigned`].
pub fn verify_request(signed: &SignedRequest, certificate: &Certificate) -> Result<PaymentRequest, Unsigned> {
    let request = signed.request().map_err(|_| Unsigned::Malformed)?;
    check_request(signed, &order_key(certificate, request.payee, request.device)?)?;
    Ok(request)
}

/// The closing, if a device of whoever may end the request so signed it: its payer, who declines, or its payee, who cancels.
///
/// # Errors
/// [`Unsigned`].
pub fn verify_closing(
    signed: &SignedClosing,
    payer: AccountId,
    certificate: &Certificate,
) -> Result<Closing, Unsigned> {
    let closing = signed.closing().map_err(|_| Unsigned::Malformed)?;
    let by = match closing.kind {
        ClosingKind::Decline => payer,
        ClosingKind::Cancel => closing.payee,
    };
    check_closing(signed, &order_key(certificate, by, closing.device)?)?;
    Ok(closing)
}

/// The order key of a device, by its certificate.
///
/// # Errors
/// [`Unsigned::Certificate`] if it does not hold or is another device's or another account's.
pub fn order_key(certificate: &Certificate, account: AccountId, device: DeviceId) -> Result<PublicKey, Unsigned> {
    let verified = verify_certificate(certificate).map_err(|_| Unsigned::Certificate)?;
    let theirs = verified.account == account && verified.entry.device == device;
    if theirs { Ok(verified.entry.order_key) } else { Err(Unsigned::Certificate) }
}

/// Whether an order is what a request asks for: the same ledger, people, amount and memo, and it ends no later.
#[must_use]
pub fn answers(order: &Order, request: &PaymentRequest) -> bool {
    order.ledger == request.ledger
        && order.payer == request.payer
        && order.payee == request.payee
        && order.amount == request.amount
        && order.memo == request.memo
        && order.not_after <= request.not_after
        && order.refunds.is_none()
}

fn sign<T: serde::Serialize, const MAX: usize>(
    value: &T,
    label: &[u8],
    key: &SigningKey,
) -> Result<(BoundedBytes<MAX>, Signature), FrameError> {
    let bytes = frame::encode_body(value, MAX)?;
    let signature = signing::sign(key, label, &bytes);
    let length = bytes.len();
    let bytes = BoundedBytes::new(bytes).map_err(|_| FrameError::TooLong { length, limit: MAX })?;
    Ok((bytes, signature))
}

fn check(key: &PublicKey, label: &[u8], bytes: &[u8], signature: &Signature) -> Result<(), Unsigned> {
    signing::verify(key, label, bytes, signature).map_err(|_| Unsigned::Signature)
}
