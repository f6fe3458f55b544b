//! The ledger's rules, pure: what becomes of an order, of a request and of its end.
//!
//! [`ladder::judge`] decides about one order, in an order of precedence that is its whole point. [`Ledger::apply`] takes a
//! batch through it, one operation after the other, each seeing what the ones before it did, and says what is to be
//! kept. Neither reads a clock, a store or a key: signatures were looked at before, time comes from outside, and what the
//! batch needs to know of the past comes as a [`View`].

mod apply;
pub mod ladder;
#[cfg(test)]
pub(crate) mod model;
mod requests;

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{
    AccountId, DeviceId, LedgerId, OrderId, RequestId, Timestamp,
    certificate::Certificate,
    directory::{LedgerRefusal, PaymentLimits, RequestState},
    money::{Amount, HashBytes, Order, SignedOrder},
};
use sha2::{Digest as _, Sha256};

pub(crate) use self::apply::answered;

use crate::store::ledger::{
    Batch, Head, IssueOrder, Known, NewEntry, OrderKey, Original, RequestKey, RequestRecord, RequestStep,
};

/// Milliseconds of a day of UTC, over which limits are counted.
pub(crate) const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Label before an account when it is hashed into the id that its opening balance is known under.
const OPENING_LABEL: &[u8] = b"tuppence opening balance v1\0";
/// Label before a request's id when it is hashed into the id that its refusal is known under.
const REFUSED_LABEL: &[u8] = b"tuppence refused request v1\0";

/// What the ledger is, apart from anybody's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Its id.
    pub ledger: LedgerId,
    /// What the operator allows.
    pub limits: PaymentLimits,
}

impl Rules {
    /// The account that money comes from. Nobody has its key.
    #[must_use]
    pub fn issuance(&self) -> AccountId {
        settlement::issuance_account(self.ledger)
    }
}

/// An order that was handed in, its signature held, and what the accounts say of its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// As signed.
    pub signed: SignedOrder,
    /// What it says.
    pub order: Order,
    /// SHA-256 of what was signed.
    pub hash: HashBytes,
    /// The certificate whose order key signed it.
    pub certificate: Certificate,
    /// What the accounts say.
    pub standing: Standing,
}

/// What the accounts say of an order's people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The device that signed is revoked, or its account is closed.
    pub revoked: bool,
    /// The payee has an account that is not closed.
    pub payee_known: bool,
    /// One of the two blocks the other.
    pub blocked: bool,
}

/// Something to be done to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An order is to be settled.
    Settle(Box<Submission>),
    /// The operator's money.
    Issue(IssueOrder),
    /// What an account has from the beginning.
    Open {
        /// Whose.
        payee: AccountId,
        /// How much.
        amount: Amount,
    },
    /// A request is to be registered: its signature held.
    OpenRequest {
        /// The request.
        record: RequestRecord,
        /// Who signed.
        device: (DeviceId, Certificate),
        /// What its people say against it, unless it is registered already.
        against: Option<LedgerRefusal>,
    },
    /// A request is to be ended: the signature held, of a device of whoever may.
    CloseRequest {
        /// Which.
        key: RequestKey,
        /// Who ends it.
        by: AccountId,
        /// How.
        state: RequestState,
        /// Who signed.
        device: (DeviceId, Certificate),
    },
    /// An account is to be closed: it gets and gives nothing any more.
    Close(AccountId),
    /// Requests that may have ended by themselves.
    Expire(Vec<RequestKey>),
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is this entry, now.
    Posted {
        /// Its place in the log.
        index: u64,
    },
    /// It was this entry before.
    Before {
        /// Its place in the log.
        index: u64,
    },
    /// Refused, now for good: its id is taken.
    Burned(LedgerRefusal),
    /// Refused.
    Refused(LedgerRefusal),
    /// Done, now or before.
    Done,
}

/// What a batch needs to know of the past, besides balances. It is kept up to date while the batch is applied.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Orders that were handed in before.
    pub known: HashMap<OrderKey, Known>,
    /// Payments that may be given back.
    pub originals: HashMap<OrderKey, Original>,
    /// Requests.
    pub requests: HashMap<RequestKey, RequestRecord>,
    /// What a payer paid to whom today, of payers that the ledger holds nothing of yet.
    pub paid: HashMap<AccountId, Vec<(AccountId, Amount)>>,
    /// How many requests are open from a payee, and from a payee to a payer.
    pub open: HashMap<AccountId, usize>,
    /// See [`Self::open`].
    pub open_pairs: HashMap<(AccountId, AccountId), usize>,
}

/// What a payer paid on a day.
#[derive(Debug, Clone, Default)]
struct Paid {
    // None until what was paid before is known.
    day: Option<u64>,
    total: u64,
    to: BTreeMap<AccountId, u64>,
}

/// The ledger in memory: balances with authority, and where it stands.
#[derive(Debug, Clone)]
pub struct Ledger {
    rules: Rules,
    issuance: AccountId,
    size: u64,
    time: Timestamp,
    // The time of the last batch that was to be kept: a ledger that is opened again begins with it.
    kept_time: Timestamp,
    changes: u64,
    balances: HashMap<AccountId, i64>,
    closed: HashSet<AccountId>,
    paid: HashMap<AccountId, Paid>,
}

/// What is to be kept of a batch; its tiles and its checkpoint are the log's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// See [`Batch`].
    pub entries: Vec<NewEntry>,
    /// See [`Batch`].
    pub certificates: Vec<(DeviceId, Certificate)>,
    /// See [`Batch`].
    pub refused: Vec<(OrderKey, HashBytes, LedgerRefusal)>,
    /// See [`Batch`].
    pub requests: Vec<RequestRecord>,
    /// See [`Batch`].
    pub steps: Vec<RequestStep>,
    /// See [`Batch`].
    pub closed: Vec<AccountId>,
    /// Somebody is told what is only true if the ledger's time never goes back: so the time has to be kept.
    pub time: bool,
}

impl Changed {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let posted = !self.entries.is_empty() || !self.refused.is_empty();
        !posted && self.requests.is_empty() && self.closed.is_empty() && !self.time
    }

    /// The batch that it is, with what the log adds.
    #[must_use]
    pub fn into_batch(self, tiles: Vec<crate::store::ledger::Tile>, head: Head) -> Batch {
        let Self { entries, certificates, refused, requests, steps, closed, time: _ } = self;
        Batch { entries, certificates, refused, requests, steps, closed, tiles, head }
    }
}

impl Ledger {
    /// The ledger as it is kept.
    #[must_use]
    pub fn new(
        rules: Rules,
        head: &Head,
        balances: impl IntoIterator<Item = (AccountId, i64)>,
        closed: impl IntoIterator<Item = AccountId>,
    ) -> Self {
        Self {
            issuance: rules.issuance(),
            rules,
            size: head.size,
            time: head.time,
            kept_time: head.time,
            changes: head.changes,
            balances: balances.into_iter().collect(),
            closed: closed.into_iter().collect(),
            paid: HashMap::new(),
        }
    }

    /// What it is.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The account that money comes from.
    #[must_use]
    pub const fn issuance(&self) -> AccountId {
        self.issuance
    }

    /// Entries.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The ledger's time: that of its latest batch. It never goes back.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Changes of requests so far.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// An account's balance.
    #[must_use]
    pub fn balance(&self, account: AccountId) -> i64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// All balances, in no order.
    pub fn balances(&self) -> impl Iterator<Item = (AccountId, i64)> {
        self.balances.iter().map(|(account, balance)| (*account, *balance))
    }

    /// Whether what a payer paid today is held already.
    #[must_use]
    pub fn holds_paid(&self, payer: AccountId, now: Timestamp) -> bool {
        let day = self.time.max(now).0 / DAY_MS;
        self.paid.get(&payer).is_some_and(|paid| paid.day == Some(day))
    }
}

/// The id that an account's opening balance is known under, so that there is one.
#[must_use]
pub fn opening_id(payee: AccountId) -> OrderId {
    let hash: HashBytes = Sha256::new_with_prefix(OPENING_LABEL).chain_update(payee.0).finalize().into();
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    OrderId(id)
}

/// The id that a request's refusal is known under, among the payee's orders: so that the same request hears the same again,
/// and nobody is asked for what its asker was told is not asked for.
#[must_use]
pub fn refused_request_id(request: RequestId) -> OrderId {
    let hash: HashBytes = Sha256::new_with_prefix(REFUSED_LABEL).chain_update(request.0).finalize().into();
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    OrderId(id)
}

/// What a payer may be told to have: nothing below zero.
pub(crate) fn available(balance: i64) -> Amount {
    u64::try_from(balance).ok().and_then(Amount::new).unwrap_or(Amount::ZERO)
}
