//! What a node asks of the ledger, and what it answers.

use serde::{Deserialize, Serialize};

use crate::{
    Bounded, OrderId, Timestamp,
    limits::{ENTRIES_PAGE_MAX, REQUESTS_PAGE_MAX},
    money::{
        Amount, HashBytes, PROOF_MAX, SettledEntry, SignedCheckpoint, SignedClosing, SignedOrder, SignedReceiptKey,
        SignedRequest,
    },
};

/// What a node asks of the ledger. Each may be repeated, and then has the same effect once and the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerRequest {
    /// Asks what the money here is and who vouches for it. Answers [`LedgerReply::Terms`].
    Terms,
    /// Settles an order, whoever of payer and payee hands it in. Answers [`LedgerReply::Settled`].
    Settle {
        /// The order.
        order: SignedOrder,
    },
    /// Registers a request, so that it can be paid, declined or cancelled once. Answers [`LedgerReply::Done`].
    OpenRequest {
        /// Signed by a device of the asker.
        request: SignedRequest,
    },
    /// Ends a request without a payment. Answers [`LedgerReply::Done`].
    CloseRequest {
        /// Signed by a device of the asker.
        closing: SignedClosing,
    },
    /// Asks for one's balance. Answers [`LedgerReply::Balance`].
    Balance,
    /// Asks for the proof that a later log has an earlier one as its beginning. Answers [`LedgerReply::Consistency`].
    Consistency {
        /// Entries of the earlier one.
        from: u64,
        /// Entries of the later one; `None` for the log as it is.
        to: Option<u64>,
    },
    /// Asks for one's own entries in order. Answers [`LedgerReply::Entries`].
    Entries {
        /// Only those after this place in the log.
        after: Option<u64>,
    },
    /// Asks what became of requests from and to oneself, in the order in which it happened. Answers
    /// [`LedgerReply::Requests`].
    Requests {
        /// Only what happened after this.
        after: Option<u64>,
    },
}

/// What the ledger answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerReply {
    /// Done; nothing more to say.
    Done,
    /// To [`LedgerRequest::Terms`].
    Terms {
        /// The ledger, its money, and the key of its receipts.
        key: SignedReceiptKey,
        /// What the operator allows.
        limits: PaymentLimits,
        /// The log as it is.
        checkpoint: SignedCheckpoint,
    },
    /// The order counts, now or since before.
    Settled(Box<OwnEntry>),
    /// To [`LedgerRequest::Balance`].
    Balance {
        /// What can be spent.
        available: Amount,
        /// What is set aside.
        held: Amount,
        /// The log after which this is so.
        checkpoint: SignedCheckpoint,
    },
    /// To [`LedgerRequest::Consistency`].
    Consistency {
        /// Consistency proof (RFC 9162, section 2.1.4).
        proof: Bounded<HashBytes, PROOF_MAX>,
        /// The log as it is now.
        checkpoint: SignedCheckpoint,
    },
    /// To [`LedgerRequest::Entries`].
    Entries {
        /// In order.
        entries: Bounded<OwnEntry, ENTRIES_PAGE_MAX>,
        /// Whether there are more after the last one.
        more: bool,
    },
    /// To [`LedgerRequest::Requests`].
    Requests {
        /// In order.
        changes: Bounded<RequestChange, REQUESTS_PAGE_MAX>,
        /// Whether there are more after the last one.
        more: bool,
    },
}

/// An entry that concerns the asker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEntry {
    /// The entry and its proof.
    pub entry: SettledEntry,
    /// The asker's balance right after it.
    pub balance: Amount,
}

/// What the operator allows. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentLimits {
    /// In one payment.
    pub payment: Option<Amount>,
    /// From one account within a day of UTC.
    pub day: Option<Amount>,
    /// From one account to one other within a day of UTC.
    pub peer: Option<Amount>,
}

/// Which limit was in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LimitKind {
    /// That of one payment.
    Payment,
    /// That of one day.
    Day,
    /// That of one day to one person.
    Peer,
}

/// How a request stands. All but [`RequestState::Open`] and [`RequestState::Paid`] are final; a paid one can be refunded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RequestState {
    /// It can be paid, declined and cancelled.
    Open,
    /// It was paid.
    Paid,
    /// Its payer declined.
    Declined,
    /// Its payee cancelled.
    Cancelled,
    /// Nobody paid in time.
    Expired,
    /// It was paid, and the whole of it was given back.
    Refunded,
}

/// Something that became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestChange {
    /// Its place in the order of the asker's changes.
    pub place: u64,
    /// The request.
    pub request: SignedRequest,
    /// What it became.
    pub state: RequestState,
    /// The order that paid it or gave it back.
    pub order: Option<OrderId>,
    /// The ledger's time.
    pub at: Timestamp,
}

/// Why the ledger refuses an order, a request or its end. In their precedence: an order is looked at in this order of steps,
/// and hears of the first that it does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum LedgerRefusal {
    /// It would be valid for too long.
    #[error("it expires too far ahead")]
    TooFar,
    /// It is for another ledger.
    #[error("it is for another ledger")]
    WrongLedger,
    /// No key that was ever the signer's signed it.
    #[error("the signature is by no key of the payer's")]
    BadSignature,
    /// The same id stands for something else.
    #[error("the same id was used for something else")]
    Conflict,
    /// The device that signed it is revoked.
    #[error("the device that signed it is revoked")]
    DeviceRevoked,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// The other account is unknown or closed.
    #[error("the other account is unknown or closed")]
    PayeeUnknown,
    /// Payer and payee are one.
    #[error("payer and payee are the same")]
    Oneself,
    /// The payee takes nothing from the payer, or the payer nothing from the payee.
    #[error("the other one has blocked you")]
    Blocked,
    /// More than is allowed.
    #[error("more than is allowed")]
    OverLimit {
        /// Which limit.
        kind: LimitKind,
        /// The limit.
        limit: Amount,
    },
    /// There is no such request, or it is somebody else's.
    #[error("there is no such request")]
    RequestUnknown,
    /// The order is not what the request asks for.
    #[error("the order is not what the request asks for")]
    RequestMismatch,
    /// The request is over.
    #[error("the request is over: {0:?}")]
    RequestClosed(RequestState),
    /// The order to give back is none that the payer was paid by.
    #[error("there is no such payment to give back")]
    NotRefundable,
    /// More than is left to give back.
    #[error("more than is left to give back")]
    RefundTooMuch {
        /// What is left.
        left: Amount,
    },
    /// The payer has less.
    #[error("insufficient funds")]
    Insufficient {
        /// What the payer has.
        available: Amount,
    },
    /// The payee's balance would be above the largest amount.
    #[error("the payee can't hold so much")]
    Overflow,
    /// A request to somebody who has not accepted the asker.
    #[error("the other one has not accepted you yet")]
    Stranger,
    /// Too many requests are open, or too many refusals came lately.
    #[error("too many for now")]
    TooMany,
    /// An account with money is not closed.
    #[error("the account still has money")]
    NotEmpty {
        /// What it has.
        available: Amount,
    },
}
