//! The ledger's log: entries, checkpoints, the key that signs them, and receipts.

use serde::{Deserialize, Serialize};

use super::{Amount, CHECKPOINT_MAX, Currency, ENTRY_MAX, MEMO_MAX, PROOF_MAX, RECEIPT_KEY_MAX, order::SignedOrder};
use crate::{
    AccountId, Bounded, BoundedBytes, BoundedText, LedgerId, OrderId, PublicKey, Signature, Timestamp,
    certificate::Certificate,
    frame::{self, FrameError},
};

/// Label before a nonce and the directory's root key when they are hashed into a [`LedgerId`].
pub const LEDGER_ID_LABEL: &[u8] = b"tuppence ledger id v1\0";
/// Label before a [`LedgerId`] when it is hashed into the id of the account that money comes from. Nobody has its key.
pub const ISSUANCE_LABEL: &[u8] = b"tuppence issuance account v1\0";
/// Label before a [`Checkpoint`]'s bytes when the receipt key signs them.
pub const CHECKPOINT_LABEL: &[u8] = b"tuppence ledger checkpoint v1\0";
/// Label before a [`ReceiptKey`]'s bytes when the directory's root key signs them.
pub const RECEIPT_KEY_LABEL: &[u8] = b"tuppence receipt key v1\0";

/// One hash of SHA-256.
pub type HashBytes = [u8; 32];

/// One entry of the log: so much moved from one account to another. Append-only. A leaf of the Merkle tree (RFC 9162) is
/// SHA-256 of an entry's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A payer's order was settled.
    Transfer {
        /// The order, as signed.
        order: SignedOrder,
        /// The ledger's time.
        at: Timestamp,
    },
    /// The operator issued money.
    Issue {
        /// Names the issue, so that asking twice issues once.
        id: OrderId,
        /// To whom.
        payee: AccountId,
        /// How much.
        amount: Amount,
        /// The operator's words, which everybody who reads the ledger sees.
        memo: BoundedText<MEMO_MAX>,
        /// The ledger's time.
        at: Timestamp,
    },
    /// What an account had from the beginning.
    Opening {
        /// Whose; once for each account.
        payee: AccountId,
        /// How much.
        amount: Amount,
        /// The ledger's time.
        at: Timestamp,
    },
}

/// What the ledger was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The ledger, whose log this is.
    pub ledger: LedgerId,
    /// Counts up with each restoration from a backup.
    pub era: u32,
    /// Entries.
    pub size: u64,
    /// Root of the Merkle tree over them (RFC 9162, section 2.1.1).
    pub root: HashBytes,
    /// The ledger's time; never before an earlier checkpoint's.
    pub time: Timestamp,
}

/// A [`Checkpoint`]'s bytes and the receipt key's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedCheckpoint {
    /// Postcard of the [`Checkpoint`], exactly as signed.
    pub checkpoint: BoundedBytes<CHECKPOINT_MAX>,
    /// Over [`CHECKPOINT_LABEL`] and `checkpoint`, by the receipt key.
    pub signature: Signature,
}

/// The key that signs checkpoints, and what the ledger's money is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptKey {
    /// The directory's root key, whose fingerprint people pinned.
    pub root_key: PublicKey,
    /// The ledger.
    pub ledger: LedgerId,
    /// Its money.
    pub currency: Currency,
    /// The key.
    pub key: PublicKey,
    /// From then on it signs nothing new: a checkpoint of a later time is not vouched for.
    pub not_after: Timestamp,
}

/// A [`ReceiptKey`]'s bytes and the signature of the directory's root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceiptKey {
    /// Postcard of the [`ReceiptKey`], exactly as signed.
    pub receipt_key: BoundedBytes<RECEIPT_KEY_MAX>,
    /// Over [`RECEIPT_KEY_LABEL`] and `receipt_key`, by the root key in it.
    pub signature: Signature,
}

/// A checkpoint with the key that signed it: whoever hears it from somebody else can tell that the directory vouches for it,
/// also if they were shown another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VouchedCheckpoint {
    /// The key that signed it, as whoever tells it was shown it.
    pub key: SignedReceiptKey,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

/// An entry with the proof that it is in the log: a receipt. It can be verified with the receipt key and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledEntry {
    /// Its place in the log.
    pub index: u64,
    /// Postcard of the [`Entry`], exactly as hashed.
    pub entry: BoundedBytes<ENTRY_MAX>,
    /// The certificate of the device that signed the order; none where nobody's order was settled.
    pub certificate: Option<Certificate>,
    /// Inclusion proof (RFC 9162, section 2.1.3) of the entry in the checkpoint's tree.
    pub proof: Bounded<HashBytes, PROOF_MAX>,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl Entry {
    /// The ledger's time when it was posted.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Transfer { at, .. } | Self::Issue { at, .. } | Self::Opening { at, .. } => *at,
        }
    }
}

impl SettledEntry {
    /// Reads the entry, without judging the proof.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`Entry`].
    pub fn entry(&self) -> Result<Entry, FrameError> {
        frame::decode_body(&self.entry, ENTRY_MAX)
    }
}

impl SignedCheckpoint {
    /// Reads the checkpoint, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`Checkpoint`].
    pub fn checkpoint(&self) -> Result<Checkpoint, FrameError> {
        frame::decode_body(&self.checkpoint, CHECKPOINT_MAX)
    }
}

impl SignedReceiptKey {
    /// Reads the key, without judging the signature.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are no [`ReceiptKey`].
    pub fn receipt_key(&self) -> Result<ReceiptKey, FrameError> {
        frame::decode_body(&self.receipt_key, RECEIPT_KEY_MAX)
    }
}
