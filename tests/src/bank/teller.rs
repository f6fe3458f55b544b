//! One client of the bank: it hands in orders on the connection of its own account, for itself or as the payee of whoever
//! signed, and hands the same one in again until there is an answer.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use protocol::{
    OrderId,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, OwnEntry, Refusal, Reply, Request},
    money::{
        Amount, Checkpoint, HashBytes, MemoOpening, ORDER_LIFETIME_MAX_MS, Order, ReceiptKey, SignedCheckpoint,
        SignedOrder,
    },
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use settlement::{memo, proof, receipt, signed};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Plan,
    history::{Answer, Operation},
};
use crate::{
    client::{self, Client},
    fixture::{Account, Failed, address, now},
};

/// How long an answer is waited for before the same order is handed in again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before a directory that does not answer is dialled again.
const PAUSE: Duration = Duration::from_millis(20);
/// One order in so many is handed in again after its answer, and must have the same one.
const AGAIN: u32 = 8;
/// One payment in so many goes to or comes from an account that hardly anybody else uses.
const COLD: u32 = 3;

/// What clients saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// What they handed in and what came of it.
    pub operations: Vec<Operation>,
    /// Roots that were signed, by size.
    pub checkpoints: Vec<(u64, HashBytes)>,
    /// Orders whose outcome was unknown at first, because no answer came.
    pub unknown: u64,
    /// How often an order or a question was repeated because no answer came.
    pub retried: u64,
    /// Orders that were handed in again after their answer.
    pub repeated: u64,
    /// Consistency proofs that held.
    pub proofs: u64,
}

impl Seen {
    /// What others saw besides.
    pub fn merge(&mut self, other: Self) {
        self.operations.extend(other.operations);
        self.checkpoints.extend(other.checkpoints);
        self.unknown += other.unknown;
        self.retried += other.retried;
        self.repeated += other.repeated;
        self.proofs += other.proofs;
    }
}

/// What all clients share.
pub(super) struct Shared {
    pub(super) accounts: Arc<Vec<Account>>,
    /// Counts transfers that were acknowledged.
    pub(super) progress: Arc<AtomicU64>,
}

pub(super) struct Teller {
    directory: SocketAddr,
    accounts: Arc<Vec<Account>>,
    progress: Arc<AtomicU64>,
    plan: Plan,
    number: usize,
    clock: Instant,
    stop: watch::Receiver<bool>,
    rng: ChaCha20Rng,
    client: Option<Client>,
    /// Whether the ledger was proven to go on from what was seen, since the connection was made.
    proven: bool,
    key: Option<ReceiptKey>,
    last: Option<Checkpoint>,
    seen: Seen,
    roots: BTreeSet<(u64, HashBytes)>,
}

impl Teller {
    pub(super) fn new(
        directory: SocketAddr,
        shared: Shared,
        plan: Plan,
        number: usize,
        clock: Instant,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(plan.seed ^ (number as u64) << 32);
        let Shared { accounts, progress } = shared;
        let (client, proven, key, last, seen, roots) = (None, false, None, None, Seen::default(), BTreeSet::new());
        Self { directory, accounts, progress, plan, number, clock, stop, rng, client, proven, key, last, seen, roots }
    }

    /// Pays until told to stop.
    pub(super) async fn run(mut self) -> Result<Seen, Failed> {
        while !*self.stop.borrow() {
            self.pay().await?;
        }
        self.seen.checkpoints = self.roots.into_iter().collect();
        Ok(self.seen)
    }

    async fn pay(&mut self) -> Result<(), Failed> {
        let other = self.somebody();
        let pays = self.rng.next_u32().is_multiple_of(2);
        let (payer, payee) = if pays { (self.number, other) } else { (other, self.number) };
        let key = self.terms().await?;
        let (order, signed) = self.order(&key, payer, payee)?;
        let called = self.microseconds();
        let retried = self.seen.retried;
        let answer = self.settle(&signed, &key).await?;
        let returned = self.microseconds();
        self.seen.unknown += u64::from(self.seen.retried > retried);
        if matches!(answer, Answer::Posted { .. }) {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        let accounts = Arc::clone(&self.accounts);
        let account = |index: usize| accounts.get(index).ok_or("an account that is not there");
        if self.rng.next_u32().is_multiple_of(AGAIN) {
            self.seen.repeated += 1;
            let again = self.settle(&signed, &key).await?;
            if again != answer {
                return Err(format!("{:?} had two answers: {answer:?}, then {again:?}", order.id).into());
            }
        }
        self.seen.operations.push(Operation {
            payer: order.payer,
            payee: order.payee,
            order: order.id,
            amount: order.amount.units(),
            asker: account(self.number)?.id,
            called,
            returned,
            answer,
        });
        Ok(())
    }

    /// Another account than one's own.
    fn somebody(&mut self) -> usize {
        loop {
            let cold = self.rng.next_u32().is_multiple_of(COLD);
            let among = if cold { self.accounts.len() } else { self.plan.hot };
            let index = self.rng.next_u32() as usize % among.max(1);
            if index != self.number {
                return index;
            }
        }
    }

    fn order(&mut self, key: &ReceiptKey, payer: usize, payee: usize) -> Result<(Order, SignedOrder), Failed> {
        let accounts = Arc::clone(&self.accounts);
        let (Some(payer), Some(payee)) = (accounts.get(payer), accounts.get(payee)) else {
            return Err("an account that is not there".into());
        };
        let (mut id, mut salt) = ([0; 16], [0; 32]);
        self.rng.fill_bytes(&mut id);
        self.rng.fill_bytes(&mut salt);
        let units = 1 + self.rng.next_u64() % self.plan.amount.units().max(1);
        let opening = MemoOpening {
            salt,
            payer: payer.name.clone(),
            payee: payee.name.clone(),
            memo: protocol::BoundedText::default(),
        };
        let order = Order {
            ledger: key.ledger,
            id: OrderId(id),
            payer: payer.id,
            payee: payee.id,
            amount: Amount::new(units).ok_or("an amount above the largest")?,
            memo: memo::commit(&opening)?,
            answers: None,
            refunds: None,
            not_after: now().plus_ms(ORDER_LIFETIME_MAX_MS / 2),
            device: payer.device,
        };
        let signed = signed::sign_order(&order, payer.keys.order_key())?;
        Ok((order, signed))
    }

    /// Hands an order in until there is an answer.
    async fn settle(&mut self, order: &SignedOrder, key: &ReceiptKey) -> Result<Answer, Failed> {
        let request = LedgerRequest::Settle { order: order.clone() };
        match self.ask(request).await? {
            Ok(LedgerReply::Settled(own)) => self.receipt(&own, order, key),
            Err(LedgerRefusal::Insufficient { available }) => Ok(Answer::Insufficient { available: available.units() }),
            other => Err(format!("an order came to {other:?}").into()),
        }
    }

    fn receipt(&mut self, own: &OwnEntry, order: &SignedOrder, key: &ReceiptKey) -> Result<Answer, Failed> {
        let verified = receipt::verify(&own.entry, key)?;
        if verified.order != Some(order.order()?) {
            return Err("a receipt is for another order".into());
        }
        self.note(&verified.checkpoint);
        Ok(Answer::Posted { index: verified.index, balance: own.balance.units() })
    }

    /// What the money is; and, on each new connection, the proof that the log is a continuation of what was seen.
    async fn terms(&mut self) -> Result<ReceiptKey, Failed> {
        if let Some(key) = self.key.as_ref().filter(|_| self.proven) {
            return Ok(key.clone());
        }
        // A connection that is lost meanwhile leaves it unproven again.
        self.proven = true;
        let (key, checkpoint) = match self.ask(LedgerRequest::Terms).await? {
            Ok(LedgerReply::Terms { key, checkpoint, .. }) => (key.receipt_key()?, checkpoint),
            other => return Err(format!("the terms are {other:?}").into()),
        };
        let checkpoint = receipt::verify_checkpoint(&checkpoint, &key)?;
        if let Some(last) = self.last {
            let request = LedgerRequest::Consistency { from: last.size, to: None };
            let (hashes, later) = match self.ask(request).await? {
                Ok(LedgerReply::Consistency { proof, checkpoint }) => (proof, self.checkpoint(&checkpoint, &key)?),
                other => return Err(format!("instead of a proof: {other:?}").into()),
            };
            proof::verify_consistency((last.size, &last.root), (later.size, &later.root), &hashes)?;
            self.seen.proofs += 1;
            self.note(&later);
        }
        self.note(&checkpoint);
        self.key = Some(key.clone());
        Ok(key)
    }

    fn checkpoint(&self, signed: &SignedCheckpoint, key: &ReceiptKey) -> Result<Checkpoint, Failed> {
        Ok(receipt::verify_checkpoint(signed, key)?)
    }

    fn note(&mut self, checkpoint: &Checkpoint) {
        self.roots.insert((checkpoint.size, checkpoint.root));
        if self.last.is_none_or(|last| last.size < checkpoint.size) {
            self.last = Some(*checkpoint);
        }
    }

    /// Asks until there is an answer, on as many connections as it takes.
    async fn ask(&mut self, request: LedgerRequest) -> Result<Result<LedgerReply, LedgerRefusal>, Failed> {
        let request = Request::Ledger(Box::new(request));
        let silent = Instant::now();
        loop {
            if silent.elapsed() > self.plan.patience {
                return Err("the directory does not answer any more".into());
            }
            match timeout(PATIENCE, self.once(&request)).await {
                Ok(Ok(Ok(Reply::Ledger(reply)))) => return Ok(Ok(*reply)),
                Ok(Ok(Err(Refusal::Ledger(refusal)))) => return Ok(Err(refusal)),
                Ok(Ok(Err(Refusal::RateLimited { retry_after_ms }))) => {
                    sleep(Duration::from_millis(retry_after_ms.into())).await;
                }
                // The store of a directory that is about to die refuses everything.
                Ok(Ok(Err(Refusal::Unavailable)) | Err(_)) | Err(_) => {
                    self.client = None;
                    self.proven = false;
                    self.seen.retried += 1;
                    sleep(PAUSE).await;
                }
                Ok(Ok(other)) => return Err(format!("the directory answered {other:?}").into()),
            }
        }
    }

    async fn once(&mut self, request: &Request) -> Result<Result<Reply, Refusal>, Failed> {
        if self.client.is_none() {
            let account = self.accounts.get(self.number).ok_or("an account that is not there")?;
            self.client = Some(Client::connect(self.directory, account, address(self.number)).await?);
        }
        let Some(client) = &self.client else { return Err("no connection".into()) };
        client::answer(&client.connection, request).await
    }

    fn microseconds(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
