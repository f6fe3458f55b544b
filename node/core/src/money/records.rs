//! What is kept of money, record by record.

use protocol::{
    AccountId, OrderId, RequestId, Timestamp,
    certificate::Certificate,
    directory::{PaymentLimits, RequestState},
    money::{
        Amount, ClosingKind, MemoOpening, SettledEntry, SignedCheckpoint, SignedClosing, SignedOrder, SignedReceiptKey,
        SignedRequest, VouchedCheckpoint,
    },
    peer::GroupShare,
};
use serde::{Deserialize, Serialize};

use crate::event::LedgerState;

/// Key of the one [`MoneyRecord`].
pub(super) const MONEY_KEY: &[u8] = b"money";

/// What is known of the ledger, and how far it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoneyRecord {
    /// The ledger, its currency and the key of its receipts, as the directory's root key signed them last.
    pub(super) terms: Option<SignedReceiptKey>,
    /// What the operator allows.
    pub(super) operator: PaymentLimits,
    /// The latest checkpoint that was proven to go on from the one before: what every later one must go on from.
    pub(super) proven: Option<SignedCheckpoint>,
    /// Signed by the receipt key, and not proven to belong to the same log yet.
    pub(super) unproven: Vec<SignedCheckpoint>,
    /// Signed by the directory for somebody else, and not of the ledger or by the key that this device was shown: a proof of
    /// its own that the two were shown different things, which nothing can undo.
    pub(super) other: Option<VouchedCheckpoint>,
    /// What is wrong with the ledger. Nothing is paid or asked for meanwhile.
    pub(super) alarm: Option<LedgerState>,
    /// The last own entry that was taken in.
    pub(super) entries_after: Option<u64>,
    /// Whether own entries were read to their end once: what comes later is news.
    pub(super) entries_read: bool,
    /// The last change of a request that was taken in.
    pub(super) requests_after: Option<u64>,
    /// Likewise.
    pub(super) requests_read: bool,
    /// The balance after the last own entry that was taken in.
    pub(super) balance: Amount,
    /// The time of the checkpoint that the book holds.
    pub(super) book_time: Option<Timestamp>,
    /// The number of the last short id of a payment.
    pub(super) last_payment: u64,
    /// The number of the last short id of a request.
    pub(super) last_request: u64,
    /// The person's own limits.
    pub(super) limits: OwnLimits,
    /// Why requests were ended of which nothing else is known yet.
    pub(super) early: Vec<EarlyEnd>,
}

/// What somebody said of the end of a request before anything of the request itself was known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EarlyEnd {
    pub(super) by: AccountId,
    pub(super) request: RequestKey,
    pub(super) kind: ClosingKind,
    pub(super) reason: String,
    /// It is forgotten then.
    pub(super) keep_until: Timestamp,
}

/// The person's own limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnLimits {
    pub(super) payment: Option<Amount>,
    pub(super) day: Option<Amount>,
    pub(super) peer: Option<Amount>,
    pub(super) confirm: Option<Amount>,
}

/// Where an own order stands. `Settled` and `Refused` are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OrderStage {
    /// Signed and kept; perhaps the ledger has it.
    Open,
    /// The ledger has it.
    Settled { index: u64, balance: Amount, receipt: Box<SettledEntry> },
    /// The ledger has refused it for good.
    Refused { code: u8, reason: String },
}

/// An own order: kept before it is sent, and until its payee was told and its entry was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRecord {
    pub(super) id: OrderId,
    pub(super) short: u64,
    pub(super) order: SignedOrder,
    pub(super) opening: MemoOpening,
    /// The certificate of the device that signed: this one's may be another one by now.
    pub(super) certificate: Certificate,
    pub(super) payee: AccountId,
    pub(super) amount: Amount,
    /// The request that it answers.
    pub(super) request: Option<RequestKey>,
    /// The payment that it gives back.
    pub(super) refunds: Option<OrderId>,
    pub(super) made_at: Timestamp,
    pub(super) not_after: Timestamp,
    pub(super) stage: OrderStage,
    /// Whether the payee was told before it was settled.
    pub(super) handed: bool,
    /// Whether the payee was told that it is settled.
    pub(super) told: bool,
}

/// Names a request: its payee, and the id that the payee drew.
pub(super) type RequestKey = (AccountId, RequestId);
/// Names an order: its payer, and the id that the payer drew.
pub(super) type OrderKey = (AccountId, OrderId);

/// What a payer said of an order, here or on another device of this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NoticeRecord {
    pub(super) payer: AccountId,
    pub(super) id: OrderId,
    pub(super) order: SignedOrder,
    pub(super) opening: MemoOpening,
    /// It is forgotten then, whether its entry has come or not.
    pub(super) keep_until: Timestamp,
    /// Whether it is to be handed to the ledger from here too.
    pub(super) deposit: bool,
}

/// An entry of the ledger that is this account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PaymentRecord {
    pub(super) index: u64,
    pub(super) short: u64,
    pub(super) id: OrderId,
    /// Absent for the operator's money.
    pub(super) payer: Option<AccountId>,
    pub(super) payee: AccountId,
    pub(super) amount: Amount,
    /// One's own, right after it.
    pub(super) balance: Amount,
    pub(super) memo: Option<String>,
    /// The ledger's time.
    pub(super) at: Timestamp,
    pub(super) request: Option<RequestKey>,
    pub(super) refunds: Option<OrderId>,
    /// Whether it is from before this device came.
    pub(super) history: bool,
    /// Whether there was an event of it, or there is none.
    pub(super) told: bool,
    /// When it was taken in.
    pub(super) seen_at: Timestamp,
}

/// What ends a request from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClosingRecord {
    pub(super) signed: SignedClosing,
    pub(super) kind: ClosingKind,
    pub(super) reason: String,
}

/// A request to or from this account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestRecord {
    pub(super) payee: AccountId,
    pub(super) payer: AccountId,
    pub(super) id: RequestId,
    pub(super) short: u64,
    pub(super) request: SignedRequest,
    pub(super) amount: Amount,
    pub(super) not_after: Timestamp,
    /// What it is for, once its payee has said so.
    pub(super) opening: Option<MemoOpening>,
    pub(super) share: Option<GroupShare>,
    /// The short id of the whole that it is a share of, if it was split here.
    pub(super) whole_short: Option<u64>,
    /// The certificate of this device, if it made the request.
    pub(super) certificate: Option<Certificate>,
    /// Whether the ledger has it.
    pub(super) registered: bool,
    pub(super) state: RequestState,
    /// Whether the person was told of it, or need not be.
    pub(super) told: bool,
    /// Whether it stands in the history, or does not belong there.
    pub(super) noted: bool,
    /// Ends that the person was not told of yet: what it became, by which order, and since when that is known.
    pub(super) ends: Vec<(RequestState, Option<OrderId>, Timestamp)>,
    /// What ends it, until the ledger has taken that.
    pub(super) closing: Option<ClosingRecord>,
    /// Why it was ended, if that was said.
    pub(super) reason: Option<String>,
    pub(super) changed_at: Timestamp,
}

impl RequestRecord {
    pub(super) fn key(&self) -> RequestKey {
        (self.payee, self.id)
    }
}

/// Key of a record that an account and an id of its own name.
pub(super) fn pair_key(account: AccountId, id: &[u8; 16]) -> Vec<u8> {
    [account.0.as_slice(), id].concat()
}

/// Whether a request that stands so can come to stand otherwise.
pub(super) const fn follows(before: RequestState, after: RequestState) -> bool {
    match before {
        RequestState::Open => !matches!(after, RequestState::Open),
        RequestState::Paid => matches!(after, RequestState::Refunded),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_stays_over_but_that_what_was_paid_may_be_given_back() {
        use RequestState::{Cancelled, Declined, Expired, Open, Paid, Refunded};

        let all = [Open, Paid, Declined, Cancelled, Expired, Refunded];
        for before in all {
            let next: Vec<RequestState> = all.into_iter().filter(|after| follows(before, *after)).collect();
            let expected: &[RequestState] = match before {
                Open => &[Paid, Declined, Cancelled, Expired, Refunded],
                Paid => &[Refunded],
                Declined | Cancelled | Expired | Refunded => &[],
            };
            assert_eq!(next, expected, "{before:?}");
        }
    }
}
