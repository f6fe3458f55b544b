//! The ledger's store, which dies where the other one does: before or after each batch. It can be made to break its word.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use directory::store::{
    Stored,
    ledger::{
        Batch, Founding, Head, IssueOrder, Known, LedgerStore, NewEntry, OrderKey, Original, OwnRecord, RequestKey,
        RequestRecord, RequestStep,
    },
    memory::MemoryLedger,
};
use protocol::{
    AccountId, OrderId, Timestamp,
    directory::RequestState,
    money::{Amount, HashBytes, SignedRequest},
};

use super::fate::{Fate, dead};
use crate::world::fault::Fault;

/// Batches that a store which answers early still holds in memory.
const UNSYNCED_MAX: usize = 3;

/// What became durable of the ledger.
#[derive(Debug, Clone)]
pub enum LedgerChange {
    /// An entry.
    Posted(NewEntry),
    /// Something became of a request.
    Step(RequestStep),
}

/// The ledger's store in memory, and what is to become of it.
#[derive(Debug)]
pub struct MortalLedger {
    fate: Arc<Mutex<Fate>>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    inner: MemoryLedger,
    fault: Option<Fault>,
    /// What was written, in order, if some of it is to be lost.
    journal: Vec<Written>,
}

#[derive(Debug, Clone)]
enum Written {
    Founded(Founding, Head),
    Batch(Batch),
    Wanted(IssueOrder),
}

impl Kept {
    fn write(&mut self, written: Written) -> Stored<()> {
        match &written {
            Written::Founded(founding, head) => self.inner.found(founding, head).map(|_| ())?,
            Written::Batch(batch) => self.inner.keep(batch)?,
            Written::Wanted(issue) => self.inner.want_issue(issue)?,
        }
        if self.fault == Some(Fault::SettlesEarly) {
            self.journal.push(written);
        }
        Ok(())
    }
}

impl MortalLedger {
    /// An empty one that dies with another store.
    pub(super) fn new(fate: Arc<Mutex<Fate>>) -> Self {
        Self { fate, kept: Mutex::default() }
    }

    /// Plants a fault.
    pub fn plant(&self, fault: Fault) {
        self.kept().fault = Some(fault);
    }

    /// What became durable since this was asked last.
    #[must_use]
    pub fn changes(&self) -> Vec<LedgerChange> {
        std::mem::take(&mut self.fate().ledger_changes)
    }

    /// What is kept of an order, whatever the store says when it is asked.
    #[must_use]
    pub fn kept_of(&self, payer: AccountId, id: OrderId) -> Option<Known> {
        self.kept().inner.known(&[(payer, id)]).ok()?.pop()?
    }

    /// Whether it was here that the directory died, since this was asked last.
    #[must_use]
    pub fn died_here(&self) -> bool {
        std::mem::take(&mut self.fate().died_in_ledger)
    }

    /// The process is gone, and with it what the store had not written though it said so.
    pub fn die(&self) {
        let mut kept = self.kept();
        if kept.fault != Some(Fault::SettlesEarly) {
            return;
        }
        let batches = kept.journal.iter().enumerate().filter(|(_, written)| matches!(written, Written::Batch(_)));
        let places: Vec<usize> = batches.map(|(place, _)| place).collect();
        let lost = places.get(places.len().saturating_sub(UNSYNCED_MAX)).copied().unwrap_or(kept.journal.len());
        let journal = std::mem::take(&mut kept.journal);
        kept.inner = MemoryLedger::default();
        for written in journal.into_iter().take(lost) {
            // It was written before, in this order.
            let _ = kept.write(written);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&MemoryLedger) -> Stored<T>) -> Stored<T> {
        if self.fate().died.is_some() { Err(dead()) } else { read(&self.kept().inner) }
    }

    fn forgets(&self, fault: Fault) -> bool {
        self.kept().fault == Some(fault)
    }

    /// A place to die at, before and after.
    fn change(&self, bytes: &[&[u8]], written: Written) -> Stored<()> {
        let begun = self.fate().begin(bytes);
        let planned = begun.inspect_err(|_| self.fate().died_in_ledger = true)?;
        self.kept().write(written)?;
        let ended = self.fate().end(planned);
        ended.inspect_err(|_| self.fate().died_in_ledger = true)
    }
}

impl LedgerStore for MortalLedger {
    fn found(&self, founding: &Founding, head: &Head) -> Stored<Founding> {
        // Nothing is lost with a ledger that was never used.
        self.kept().write(Written::Founded(founding.clone(), head.clone()))?;
        Ok(founding.clone())
    }

    fn head(&self) -> Stored<Option<(Founding, Head)>> {
        self.read(LedgerStore::head)
    }

    fn balances(&self) -> Stored<Vec<(AccountId, i64)>> {
        self.read(LedgerStore::balances)
    }

    fn closed(&self) -> Stored<Vec<(AccountId, bool)>> {
        self.read(LedgerStore::closed)
    }

    fn closing_finished(&self, account: AccountId) -> Stored<()> {
        self.read(|inner| inner.closing_finished(account))
    }

    fn known(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Known>>> {
        if self.forgets(Fault::AppliesAgain) {
            return Ok(vec![None; orders.len()]);
        }
        self.read(|inner| inner.known(orders))
    }

    fn originals(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Original>>> {
        self.read(|inner| inner.originals(orders))
    }

    fn requests(&self, keys: &[RequestKey]) -> Stored<Vec<Option<RequestRecord>>> {
        let mut found = self.read(|inner| inner.requests(keys))?;
        if self.forgets(Fault::ForgetsPaid) {
            let paid = found.iter_mut().flatten().filter(|record| record.state == RequestState::Paid);
            paid.for_each(|record| record.state = RequestState::Open);
        }
        Ok(found)
    }

    fn open_requests(&self, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)> {
        self.read(|inner| inner.open_requests(payee, payer))
    }

    fn expired_requests(&self, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>> {
        self.read(|inner| inner.expired_requests(time, at_most))
    }

    fn paid_since(&self, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, Amount)>> {
        self.read(|inner| inner.paid_since(payer, since))
    }

    fn keep(&self, batch: &Batch) -> Stored<()> {
        let entries = batch.entries.iter().map(|entry| entry.bytes.as_slice());
        let requests = batch.requests.iter().map(|record| &*record.request.request);
        let bytes: Vec<&[u8]> = entries.chain(requests).collect();
        let outcome = self.change(&bytes, Written::Batch(batch.clone()));
        let before = outcome.is_err() && self.fate().died == Some(crate::world::crash::Point::BeforeCommit);
        if !before {
            let posted = batch.entries.iter().cloned().map(LedgerChange::Posted);
            let steps = batch.steps.iter().cloned().map(LedgerChange::Step);
            self.fate().ledger_changes.extend(posted.chain(steps));
        }
        outcome
    }

    fn own(&self, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>> {
        self.read(|inner| inner.own(account, after, at_most))
    }

    fn steps(
        &self,
        account: AccountId,
        after: Option<u64>,
        at_most: usize,
    ) -> Stored<Vec<(RequestStep, SignedRequest)>> {
        self.read(|inner| inner.steps(account, after, at_most))
    }

    fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>> {
        self.read(|inner| inner.entries(from, at_most))
    }

    fn tile(&self, level: u8, place: u64) -> Stored<Option<Vec<u8>>> {
        self.read(|inner| inner.tile(level, place))
    }

    fn tile_roots(&self, level: u8, from: u64) -> Stored<Vec<HashBytes>> {
        self.read(|inner| inner.tile_roots(level, from))
    }

    fn want_issue(&self, issue: &IssueOrder) -> Stored<()> {
        self.kept().write(Written::Wanted(issue.clone()))
    }

    fn wanted_issues(&self) -> Stored<Vec<IssueOrder>> {
        self.read(LedgerStore::wanted_issues)
    }
}
