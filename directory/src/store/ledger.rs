//! What the ledger's store keeps: a file of its own, since no transaction spans it and the accounts.
//!
//! One writer at a time hands over whole batches; each is on the disk, or nothing of it, when the call returns. The
//! rules are in [`crate::core::ledger`], the log's tree in [`crate::ledger::log`].

use protocol::{
    AccountId, DeviceId, LedgerId, OrderId, RequestId, Timestamp,
    certificate::Certificate,
    directory::{LedgerRefusal, RequestState},
    money::{Amount, Currency, HashBytes, SignedCheckpoint, SignedRequest},
};
use serde::{Deserialize, Serialize};

use super::Stored;

/// What a ledger is for as long as it lives.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// Its id.
    pub ledger: LedgerId,
    /// Its money.
    pub currency: Currency,
    /// The secret half of the key that signs checkpoints.
    pub receipt_key: Vec<u8>,
}

impl std::fmt::Debug for Founding {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Founding")
            .field("ledger", &self.ledger)
            .field("currency", &self.currency)
            .finish_non_exhaustive()
    }
}

/// Where the ledger stands after its last batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Counts up with each restoration from a backup.
    pub era: u32,
    /// Entries in the log.
    pub size: u64,
    /// The ledger's time.
    pub time: Timestamp,
    /// Changes of requests so far.
    pub changes: u64,
    /// The checkpoint of this size.
    pub checkpoint: SignedCheckpoint,
}

/// An order's id together with whose it is.
pub type OrderKey = (AccountId, OrderId);
/// A request's id together with who asks.
pub type RequestKey = (AccountId, RequestId);

/// What is known of an order that was handed in before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// SHA-256 of the order as it was signed.
    pub hash: HashBytes,
    /// What became of it.
    pub outcome: KnownOutcome,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KnownOutcome {
    /// It is this entry of the log.
    Posted(u64),
    /// It was refused for good.
    Refused(LedgerRefusal),
}

/// A payment that may be given back, and how much of it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Original {
    /// Who paid.
    pub payer: AccountId,
    /// Who was paid.
    pub payee: AccountId,
    /// How much.
    pub amount: Amount,
    /// How much of it was given back.
    pub refunded: Amount,
    /// The request that it answered, by its payee.
    pub answers: Option<RequestId>,
}

/// A request as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// As signed.
    pub request: SignedRequest,
    /// Who asks.
    pub payee: AccountId,
    /// Its id.
    pub id: RequestId,
    /// Who is asked.
    pub payer: AccountId,
    /// When it ends by itself.
    pub not_after: Timestamp,
    /// How it stands.
    pub state: RequestState,
}

impl RequestRecord {
    /// What names it.
    #[must_use]
    pub const fn key(&self) -> RequestKey {
        (self.payee, self.id)
    }
}

/// Something that became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestStep {
    /// Its place among all changes of requests.
    pub place: u64,
    /// The request, by its payee.
    pub key: RequestKey,
    /// Who is asked.
    pub payer: AccountId,
    /// What it became.
    pub state: RequestState,
    /// The order that did it.
    pub order: Option<OrderId>,
    /// The ledger's time.
    pub at: Timestamp,
}

/// An entry to be kept, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Its place in the log.
    pub index: u64,
    /// As hashed.
    pub bytes: Vec<u8>,
    /// The order, by the account that it is kept under.
    pub order: OrderKey,
    /// SHA-256 of the order as signed; of the bytes of the entry where nobody signed.
    pub hash: HashBytes,
    /// Who pays and the balance after it.
    pub payer: (AccountId, i64),
    /// Who is paid and the balance after it.
    pub payee: (AccountId, i64),
    /// The device that signed, where one did.
    pub device: Option<DeviceId>,
    /// The order that it gives back, with how much of that was given back by now.
    pub refunds: Option<(OrderKey, Amount)>,
}

/// A whole tile of the log's tree (see [`crate::ledger::log`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Zero for tiles of leaves.
    pub level: u8,
    /// Its place in its level.
    pub place: u64,
    /// Its hashes, one after the other.
    pub hashes: Vec<u8>,
    /// The hash of the subtree that it is the bottom of.
    pub root: HashBytes,
}

/// One batch. All of it is kept, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Entries, each after the one before it.
    pub entries: Vec<NewEntry>,
    /// Certificates of devices that signed something, whether they were kept before or not.
    pub certificates: Vec<(DeviceId, Certificate)>,
    /// Orders and requests that were refused for good, a request under [`crate::core::ledger::refused_request_id`].
    pub refused: Vec<(OrderKey, HashBytes, LedgerRefusal)>,
    /// Requests as they stand now.
    pub requests: Vec<RequestRecord>,
    /// What became of requests.
    pub steps: Vec<RequestStep>,
    /// Accounts that are closed now: they had nothing, and get nothing any more.
    pub closed: Vec<AccountId>,
    /// Tiles that are whole now.
    pub tiles: Vec<Tile>,
    /// Where the ledger stands after it.
    pub head: Head,
}

/// An account's own entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRecord {
    /// Its place in the log.
    pub index: u64,
    /// As hashed.
    pub bytes: Vec<u8>,
    /// Of the device that signed, where one did.
    pub certificate: Option<Certificate>,
    /// The account's balance after it.
    pub balance: i64,
}

/// Money that the operator wants to be issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueOrder {
    /// Drawn by whoever asks: issued once.
    pub id: OrderId,
    /// To whom.
    pub payee: AccountId,
    /// How much.
    pub amount: Amount,
    /// The operator's words.
    pub memo: protocol::BoundedText<{ protocol::money::MEMO_MAX }>,
}

/// The ledger's store.
pub trait LedgerStore: Send + Sync {
    /// What the ledger is; keeps this if there was none.
    fn found(&self, founding: &Founding, head: &Head) -> Stored<Founding>;
    /// What the ledger is, if there is one, and where it stands.
    fn head(&self) -> Stored<Option<(Founding, Head)>>;
    /// Every account's balance.
    fn balances(&self) -> Stored<Vec<(AccountId, i64)>>;
    /// Accounts that are closed here; of each whether [`Self::closing_finished`] was said.
    fn closed(&self) -> Stored<Vec<(AccountId, bool)>>;
    /// An account that is closed here is so everywhere else, too.
    fn closing_finished(&self, account: AccountId) -> Stored<()>;
    /// What is known of orders, in the order asked.
    fn known(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Known>>>;
    /// Payments that may be given back, in the order asked.
    fn originals(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Original>>>;
    /// Requests, in the order asked.
    fn requests(&self, keys: &[RequestKey]) -> Stored<Vec<Option<RequestRecord>>>;
    /// How many requests of a payee are open: all of them, and those to this payer.
    fn open_requests(&self, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)>;
    /// Open requests that end by themselves at this time or before it; at most so many.
    fn expired_requests(&self, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>>;
    /// What an account paid to whom since a time, in no order: transfers only.
    fn paid_since(&self, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, Amount)>>;
    /// Keeps a batch.
    fn keep(&self, batch: &Batch) -> Stored<()>;
    /// An account's own entries after a place, in order, at most so many.
    fn own(&self, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>>;
    /// What became of an account's requests after a place, in order, at most so many.
    fn steps(
        &self,
        account: AccountId,
        after: Option<u64>,
        at_most: usize,
    ) -> Stored<Vec<(RequestStep, SignedRequest)>>;
    /// Bytes of entries from a place on, in order, at most so many.
    fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>>;
    /// A whole tile's hashes.
    fn tile(&self, level: u8, place: u64) -> Stored<Option<Vec<u8>>>;
    /// Roots of the whole tiles of a level from a place on, in order.
    fn tile_roots(&self, level: u8, from: u64) -> Stored<Vec<HashBytes>>;
    /// Leaves what the operator wants issued for whoever writes the ledger.
    fn want_issue(&self, issue: &IssueOrder) -> Stored<()>;
    /// What the operator wants issued and is not yet posted.
    fn wanted_issues(&self) -> Stored<Vec<IssueOrder>>;
}
