//! Stores of a ledger that do what none may, to see that it is noticed. They are wrappers around the real one; the product has
//! no switch for any of them.

use std::sync::{Mutex, PoisonError};

use directory::store::{
    Stored,
    ledger::{
        Batch, Founding, Head, IssueOrder, Known, LedgerStore, OrderKey, Original, OwnRecord, RequestKey,
        RequestRecord, RequestStep,
    },
};
use protocol::{
    AccountId, OrderId, Timestamp,
    money::{Amount, HashBytes, SignedRequest},
};

/// What is wrong with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers before the batch is kept: a batch is kept with the next one.
    AnswersEarly,
    /// It does not know an order again that was handed in before it was started.
    AppliesTwice,
    /// Now and then a leaf is missing from the log.
    LosesLeaves,
    /// Whoever is looked at has a little more than they have.
    OffByOne,
}

impl Fault {
    /// All of them, by the words that name them.
    pub const ALL: [(&str, Self); 4] = [
        ("answers-early", Self::AnswersEarly),
        ("applies-twice", Self::AppliesTwice),
        ("loses-leaves", Self::LosesLeaves),
        ("off-by-one", Self::OffByOne),
    ];

    /// The fault that a word names.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, fault)| *fault)
    }
}

/// One entry in so many has its leaf lost.
const LOST: u64 = 100;

/// A ledger's store with a fault.
#[derive(Debug)]
pub struct Faulty<L> {
    inner: L,
    fault: Fault,
    held: Mutex<Option<Batch>>,
}

impl<L: LedgerStore> Faulty<L> {
    /// The store with this fault.
    pub const fn new(inner: L, fault: Fault) -> Self {
        Self { inner, fault, held: Mutex::new(None) }
    }

    fn altered(&self, batch: &Batch) -> Batch {
        let mut batch = batch.clone();
        match self.fault {
            Fault::AppliesTwice => {
                for entry in batch.entries.iter_mut().filter(|entry| entry.device.is_some()) {
                    entry.order = (entry.order.0, forgotten(entry.index));
                }
            }
            Fault::LosesLeaves => batch.entries.retain(|entry| entry.index % LOST != LOST - 1),
            Fault::AnswersEarly | Fault::OffByOne => {}
        }
        batch
    }
}

/// An order's id that nobody ever asks for.
fn forgotten(index: u64) -> OrderId {
    let mut id = [0xff; 16];
    id[8..].copy_from_slice(&index.to_be_bytes());
    OrderId(id)
}

impl<L: LedgerStore> LedgerStore for Faulty<L> {
    fn found(&self, founding: &Founding, head: &Head) -> Stored<Founding> {
        self.inner.found(founding, head)
    }

    fn head(&self) -> Stored<Option<(Founding, Head)>> {
        self.inner.head()
    }

    fn balances(&self) -> Stored<Vec<(AccountId, i64)>> {
        let mut balances = self.inner.balances()?;
        if self.fault == Fault::OffByOne {
            balances.iter_mut().filter(|(_, balance)| *balance >= 0).for_each(|(_, balance)| *balance += 1);
        }
        Ok(balances)
    }

    fn closed(&self) -> Stored<Vec<(AccountId, bool)>> {
        self.inner.closed()
    }

    fn closing_finished(&self, account: AccountId) -> Stored<()> {
        self.inner.closing_finished(account)
    }

    fn known(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Known>>> {
        self.inner.known(orders)
    }

    fn originals(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Original>>> {
        self.inner.originals(orders)
    }

    fn requests(&self, keys: &[RequestKey]) -> Stored<Vec<Option<RequestRecord>>> {
        self.inner.requests(keys)
    }

    fn open_requests(&self, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)> {
        self.inner.open_requests(payee, payer)
    }

    fn expired_requests(&self, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>> {
        self.inner.expired_requests(time, at_most)
    }

    fn paid_since(&self, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, Amount)>> {
        self.inner.paid_since(payer, since)
    }

    fn keep(&self, batch: &Batch) -> Stored<()> {
        // The operator's money is there: it is people's that is treated so.
        let transfers = batch.entries.iter().any(|entry| entry.device.is_some());
        if self.fault != Fault::AnswersEarly || !transfers {
            return self.inner.keep(&self.altered(batch));
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.replace(batch.clone()) {
            Some(before) => self.inner.keep(&before),
            None => Ok(()),
        }
    }

    fn own(&self, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>> {
        self.inner.own(account, after, at_most)
    }

    fn steps(
        &self,
        account: AccountId,
        after: Option<u64>,
        at_most: usize,
    ) -> Stored<Vec<(RequestStep, SignedRequest)>> {
        self.inner.steps(account, after, at_most)
    }

    fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>> {
        self.inner.entries(from, at_most)
    }

    fn tile(&self, level: u8, place: u64) -> Stored<Option<Vec<u8>>> {
        self.inner.tile(level, place)
    }

    fn tile_roots(&self, level: u8, from: u64) -> Stored<Vec<HashBytes>> {
        self.inner.tile_roots(level, from)
    }

    fn want_issue(&self, issue: &IssueOrder) -> Stored<()> {
        self.inner.want_issue(issue)
    }

    fn wanted_issues(&self) -> Stored<Vec<IssueOrder>> {
        self.inner.wanted_issues()
    }
}
