//! Money: amounts, and what is signed about them, to the byte.
//!
//! A payer's device signs an [`Order`], a payee's device a [`PaymentRequest`]; whoever ends a request signs a [`Closing`].
//! The directory posts each order at most once, as an [`Entry`] of an append-only log, and signs a [`Checkpoint`] of the
//! log with its receipt key. The bytes that were received are what is verified and hashed, never a re-encoding. Each kind of
//! signature stands under its own label.

mod amount;
mod log;
mod order;

pub use self::{
    amount::{AMOUNT_MAX, Amount, AmountError, Currency, SCALE_MAX},
    log::{
        CHECKPOINT_LABEL, Checkpoint, Entry, HashBytes, ISSUANCE_LABEL, LEDGER_ID_LABEL, RECEIPT_KEY_LABEL, ReceiptKey,
        SettledEntry, SignedCheckpoint, SignedReceiptKey, VouchedCheckpoint,
    },
    order::{
        CLOSING_LABEL, Closing, ClosingKind, MEMO_LABEL, MemoOpening, ORDER_LABEL, Order, PaymentRequest,
        REQUEST_LABEL, SignedClosing, SignedOrder, SignedRequest,
    },
};

/// Longest memo, in bytes of UTF-8: a sentence or two.
pub const MEMO_MAX: usize = 1_024;
/// Longest serialised [`PaymentRequest`]; ours have about 200 bytes.
pub const REQUEST_BYTES_MAX: usize = 512;
/// Longest serialised [`Order`], the request that it answers included.
pub const ORDER_BYTES_MAX: usize = 1_024;
/// Longest serialised [`Closing`].
pub const CLOSING_BYTES_MAX: usize = 256;
/// Longest serialised [`Entry`]: an order, or an operator's memo, and a few numbers.
pub const ENTRY_MAX: usize = 2 * 1_024;
/// Longest serialised [`Checkpoint`].
pub const CHECKPOINT_MAX: usize = 256;
/// Longest serialised [`ReceiptKey`].
pub const RECEIPT_KEY_MAX: usize = 512;
/// Longest name of a currency, in bytes of UTF-8.
pub const CURRENCY_MAX: usize = 16;
/// Entries that one ledger can hold: far beyond any, and low enough that no arithmetic about the tree overflows.
pub const LEDGER_ENTRIES_MAX: u64 = 1 << 40;
/// Hashes of one inclusion or consistency proof: the depth of the deepest log, and one for the subtree that a consistency
/// proof begins with.
pub const PROOF_MAX: usize = 41;
/// How far ahead an order may expire, in milliseconds: fourteen days, as long as a mailbox keeps mail.
pub const ORDER_LIFETIME_MAX_MS: u64 = 14 * 24 * 3_600 * 1_000;
/// How far ahead a request may expire, in milliseconds: ninety days, a bill's longest usual term.
pub const REQUEST_LIFETIME_MAX_MS: u64 = 90 * 24 * 3_600 * 1_000;
