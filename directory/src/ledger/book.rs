//! The book: balances, log and store together. One batch at a time goes through the rules and to the disk; readers see
//! what is on the disk, and nothing else.

mod reading;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use membership::signing;
use p256::ecdsa::SigningKey;
use protocol::{
    AccountId, Timestamp,
    directory::PaymentLimits,
    money::{Checkpoint, Currency, HashBytes, SignedCheckpoint},
};
use sha2::{Digest as _, Sha256};

use super::log::{Log, leaf};
use crate::{
    core::ledger::{DAY_MS, Ledger, Operation, Outcome, Rules, View, answered, opening_id, refused_request_id},
    store::{
        StoreError, Stored,
        ledger::{Founding, Head, IssueOrder, LedgerStore, NewEntry, OrderKey, RequestKey},
    },
};

/// Requests that one sweep ends: what does not hold up payments.
const EXPIRED_MAX: usize = 256;

/// What a ledger is opened with.
pub struct Founder {
    /// The directory's root key, which signs the receipt key.
    pub root: SigningKey,
    /// What the operator says the money is; `None` for whatever it is.
    pub currency: Option<Currency>,
    /// What the operator allows.
    pub limits: PaymentLimits,
    /// From the system's randomness: what a new ledger's id and receipt key are made from.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for Founder {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Founder")
            .field("currency", &self.currency)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why there is no book.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store can't do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Money does not change its name or its decimals.
    #[error(
        "this ledger's money is \"{kept}\" and stays so; leave --currency out, or start another directory with --data DIR"
    )]
    OtherCurrency {
        /// What it is, as --currency has it.
        kept: String,
    },
    /// What is kept is no secret of a key.
    #[error("the ledger's receipt key is damaged; restore the data folder from a backup")]
    ReceiptKey,
}

/// What became of an operation, and the entry that it is, if it is one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What became of it.
    pub outcome: Outcome,
    /// The entry, if it was posted now.
    pub entry: Option<NewEntry>,
}

/// What is to be done when an operation is on the disk, or can't be.
pub type Finish = Box<dyn FnOnce(Stored<Done>) + Send>;

/// The way to the one who writes the book.
pub trait Settle: Send + Sync {
    /// Hands in an operation; what is to follow is done when its batch is on the disk, on whichever thread. If nobody is
    /// there to write, it is dropped.
    fn hand_in(&self, now: Timestamp, operation: Operation, finish: Finish);
}

/// Each operation is a batch of its own, done by whoever asks.
#[derive(Debug, Clone)]
pub struct Direct(pub Arc<Book>);

impl Settle for Direct {
    fn hand_in(&self, now: Timestamp, operation: Operation, finish: Finish) {
        let done = self.0.perform(now, std::slice::from_ref(&operation));
        finish(done.and_then(|done| {
            done.into_iter().next().ok_or_else(|| StoreError::Damaged("an operation without an outcome".to_owned()))
        }));
    }
}

/// What is on the disk.
#[derive(Debug)]
struct Published {
    head: Head,
    balances: HashMap<AccountId, i64>,
}

/// The book.
pub struct Book {
    store: Arc<dyn LedgerStore>,
    founding: Founding,
    rules: Rules,
    receipt_key: SigningKey,
    root: SigningKey,
    // Held for a whole batch, the waiting for the disk included.
    writer: Mutex<Ledger>,
    // It may be ahead of what is published: proofs are made for sizes that are.
    log: RwLock<Log>,
    published: RwLock<Published>,
    failed: AtomicBool,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Book {
    /// Opens the ledger of a store; founds it if there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(store: Arc<dyn LedgerStore>, founder: Founder) -> Result<Self, OpenError> {
        let Founder { root, currency, limits, seed } = founder;
        let (founding, head) = match store.head()? {
            Some(kept) => kept,
            None => {
                let (founding, head) = found(&root, currency.clone().unwrap_or_default(), &seed)?;
                store.found(&founding, &head)?;
                store.head()?.ok_or_else(|| StoreError::Damaged("a ledger that was just founded".to_owned()))?
            }
        };
        if currency.is_some_and(|asked| asked != founding.currency) {
            let kept = format!("{}:{}", &*founding.currency.name, founding.currency.scale());
            return Err(OpenError::OtherCurrency { kept });
        }
        let receipt_key = SigningKey::from_slice(&founding.receipt_key).map_err(|_| OpenError::ReceiptKey)?;
        let rules = Rules { ledger: founding.ledger, limits };
        let balances: HashMap<AccountId, i64> = store.balances()?.into_iter().collect();
        let log = RwLock::new(Log::open(&*store, head.size)?);
        let closed = store.closed()?.into_iter().map(|(account, _)| account);
        let writer = Mutex::new(Ledger::new(rules, &head, balances.clone(), closed));
        let published = RwLock::new(Published { head, balances });
        let failed = AtomicBool::new(false);
        Ok(Self { store, founding, rules, receipt_key, root, writer, log, published, failed })
    }

    /// What it is.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its money.
    #[must_use]
    pub const fn currency(&self) -> &Currency {
        &self.founding.currency
    }

    fn writer(&self) -> MutexGuard<'_, Ledger> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> Head {
        self.published().head.clone()
    }

    /// Does a batch: when this returns it is on the disk.
    ///
    /// # Errors
    /// [`StoreError`], after which nothing is done here any more: what is in memory may not be on the disk.
    pub fn perform(&self, now: Timestamp, operations: &[Operation]) -> Stored<Vec<Done>> {
        let mut ledger = self.writer();
        if self.failed.load(Ordering::SeqCst) {
            return Err(StoreError::Fatal("an earlier batch failed".to_owned()));
        }
        let mut view = self.view(&ledger, operations, now)?;
        // From here on memory is ahead of the disk.
        self.failed.store(true, Ordering::SeqCst);
        let done = self.write(&mut ledger, &mut view, operations, now);
        let done = done.map_err(|error| StoreError::Fatal(error.to_string()))?;
        self.failed.store(false, Ordering::SeqCst);
        Ok(done)
    }

    fn write(
        &self,
        ledger: &mut Ledger,
        view: &mut View,
        operations: &[Operation],
        now: Timestamp,
    ) -> Stored<Vec<Done>> {
        let (outcomes, changed) = ledger.apply(view, operations, now);
        let mut entries = HashMap::new();
        if !changed.is_empty() {
            for entry in &changed.entries {
                entries.insert(entry.index, entry.clone());
            }
            let (tiles, root) = {
                let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
                let tiles = log.append(changed.entries.iter().map(|entry| leaf(&entry.bytes)));
                let root = if changed.entries.is_empty() { None } else { Some(log.root(&*self.store, log.size())?) };
                (tiles, root)
            };
            let head = self.next_head(ledger, root)?;
            let batch = changed.into_batch(tiles, head);
            self.store.keep(&batch)?;
            let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
            for entry in &batch.entries {
                published.balances.extend([entry.payer, entry.payee]);
            }
            published.head = batch.head;
        }
        let done = |outcome: Outcome| {
            let index = if let Outcome::Posted { index } = outcome { Some(index) } else { None };
            Done { outcome, entry: index.and_then(|index| entries.remove(&index)) }
        };
        Ok(outcomes.into_iter().map(done).collect())
    }

    fn next_head(&self, ledger: &Ledger, root: Option<HashBytes>) -> Stored<Head> {
        let before = self.head();
        let (size, time) = (ledger.size(), ledger.time());
        let checkpoint = match root {
            Some(root) => {
                let checkpoint = Checkpoint { ledger: self.rules.ledger, era: before.era, size, root, time };
                sign_checkpoint(&self.receipt_key, &checkpoint)?
            }
            None => before.checkpoint,
        };
        Ok(Head { era: before.era, size, time, changes: ledger.changes(), checkpoint })
    }

    /// What the rules need to know of the past for a batch.
    fn view(&self, ledger: &Ledger, operations: &[Operation], now: Timestamp) -> Stored<View> {
        let mut view = View::default();
        let (mut orders, mut originals, mut requests) = (Vec::new(), Vec::new(), Vec::<RequestKey>::new());
        for operation in operations {
            match operation {
                Operation::Settle(submission) => {
                    let order = &submission.order;
                    orders.push((order.payer, order.id));
                    originals.extend(order.refunds.map(|id| (order.payee, id)));
                    requests.extend(answered(order));
                    if ledger.counts_days() && !ledger.holds_paid(order.payer, now) {
                        let day = Timestamp(ledger.time().max(now).0 / DAY_MS * DAY_MS);
                        view.paid.insert(order.payer, self.store.paid_since(order.payer, day)?);
                    }
                }
                Operation::Issue(issue) => orders.push((ledger.issuance(), issue.id)),
                Operation::Open { payee, .. } => orders.push((ledger.issuance(), opening_id(*payee))),
                Operation::OpenRequest { record, .. } => {
                    requests.push(record.key());
                    orders.push((record.payee, refused_request_id(record.id)));
                    let (all, pair) = self.store.open_requests(record.payee, record.payer)?;
                    view.open.insert(record.payee, all);
                    view.open_pairs.insert((record.payee, record.payer), pair);
                }
                Operation::CloseRequest { key, .. } => requests.push(*key),
                Operation::Close(_) => {}
                Operation::Expire(keys) => requests.extend(keys),
            }
        }
        self.look_up(&mut view, &orders, &originals, requests)?;
        Ok(view)
    }

    fn look_up(
        &self,
        view: &mut View,
        orders: &[OrderKey],
        originals: &[OrderKey],
        mut requests: Vec<RequestKey>,
    ) -> Stored<()> {
        if !orders.is_empty() {
            let known = orders.iter().copied().zip(self.store.known(orders)?);
            view.known.extend(known.filter_map(|(key, known)| Some((key, known?))));
        }
        if !originals.is_empty() {
            let found = originals.iter().copied().zip(self.store.originals(originals)?);
            for (key, original) in found.filter_map(|(key, original)| Some((key, original?))) {
                requests.extend(original.answers.map(|id| (original.payee, id)));
                view.originals.insert(key, original);
            }
        }
        if !requests.is_empty() {
            let found = requests.iter().copied().zip(self.store.requests(&requests)?);
            view.requests.extend(found.filter_map(|(key, record)| Some((key, record?))));
        }
        Ok(())
    }

    /// The ledger's time, by a clock that may have been set back.
    #[must_use]
    pub fn time(&self, now: Timestamp) -> Timestamp {
        self.published().head.time.max(now)
    }

    /// What an account has.
    #[must_use]
    pub fn balance(&self, account: AccountId) -> i64 {
        self.published().balances.get(&account).copied().unwrap_or(0)
    }

    /// What the operator wants issued, and requests whose time is over: the operations that nobody else hands in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due(&self, now: Timestamp) -> Stored<Vec<Operation>> {
        let now = self.time(now);
        let mut due: Vec<Operation> = self.wanted()?.into_iter().map(Operation::Issue).collect();
        let expired = self.store.expired_requests(now, EXPIRED_MAX)?;
        if !expired.is_empty() {
            due.push(Operation::Expire(expired.iter().map(|record| record.key()).collect()));
        }
        self.writer().forget_days();
        Ok(due)
    }

    /// What the operator wants issued.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wanted(&self) -> Stored<Vec<IssueOrder>> {
        self.store.wanted_issues()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn LedgerStore {
        &*self.store
    }
}

fn found(root: &SigningKey, currency: Currency, seed: &[u8; 32]) -> Result<(Founding, Head), OpenError> {
    let derived = |what: &[u8]| -> HashBytes { Sha256::new_with_prefix(what).chain_update(seed).finalize().into() };
    let nonce = derived(b"ledger nonce");
    let root_key = signing::public_key(root);
    let ledger = settlement::ledger_id(&root_key, &nonce);
    let secret = derived(b"receipt key").to_vec();
    let receipt_key = SigningKey::from_slice(&secret).map_err(|_| OpenError::ReceiptKey)?;
    let (era, size, time) = (0, 0, Timestamp::default());
    let checkpoint = Checkpoint { ledger, era, size, root: settlement::proof::empty_root(), time };
    let checkpoint = sign_checkpoint(&receipt_key, &checkpoint)?;
    let head = Head { era, size, time, changes: 0, checkpoint };
    Ok((Founding { ledger, currency, receipt_key: secret }, head))
}

fn sign_checkpoint(key: &SigningKey, checkpoint: &Checkpoint) -> Stored<SignedCheckpoint> {
    settlement::receipt::sign_checkpoint(checkpoint, key).map_err(|error| StoreError::Damaged(error.to_string()))
}
