//! What is asked of the ledger: who may ask it, and what the accounts know that the ledger does not.
//!
//! Signatures are looked at here, on whichever thread asks; the verdict is the ledger's. What is to be kept is handed in
//! as an operation, and answered when it is on the disk: see [`Pending`].

mod orders;
mod requests;

use std::sync::{Arc, PoisonError, atomic::Ordering, mpsc};

use protocol::{
    AccountId, DeviceId, Timestamp,
    certificate::Certificate,
    directory::{LedgerReply, LedgerRequest, Push, Refusal, Reply},
};

use crate::{
    core::ledger::{Operation, Outcome},
    ledger::{Book, Done, Settle},
    store::{Store, StoreError, Stored},
};

use super::{Caller, Handled, Service, ServiceEffect, Stop, limits::Limits, malformed};

/// Opening balances posted in one go, between two looks at the store.
const OPENINGS_MAX: usize = 256;

/// What a request came to, or what it waits for.
#[derive(Debug)]
pub enum Begun {
    /// It is answered.
    Done(Handled),
    /// Its answer waits for the ledger.
    Later(Box<Pending>),
}

/// As [`Begun`], inside.
pub(super) enum Ledgered {
    Answered(Reply),
    Pending(Box<Pending>),
}

/// A request whose answer waits for the ledger. It holds nothing of the connection that it came on.
pub struct Pending {
    now: Timestamp,
    operation: Operation,
    settle: Arc<dyn Settle>,
    finish: Finisher,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("operation", &self.operation).finish_non_exhaustive()
    }
}

impl Pending {
    /// Hands it to the ledger; `then` gets the answer on whichever thread has it. If the ledger has stopped, `then` is
    /// dropped: no answer would be true.
    pub fn settle(self: Box<Self>, then: impl FnOnce(Handled) + Send + 'static) {
        let Self { now, operation, settle, finish } = *self;
        settle.hand_in(now, operation, Box::new(move |done| then(finish.answer(now, done))));
    }
}

/// What makes an answer of what became of an operation.
struct Finisher {
    asker: AccountId,
    payer: AccountId,
    certificate: Option<Certificate>,
    // Everybody else whom it concerns.
    told: Vec<DeviceId>,
    book: Arc<Book>,
    limits: Arc<Limits>,
    on_fatal: Arc<dyn Fn(&StoreError) + Send + Sync>,
}

impl Finisher {
    fn answer(self, now: Timestamp, done: Stored<Done>) -> Handled {
        let Self { asker, payer, certificate, told, book, limits, on_fatal } = self;
        let reply = done.and_then(|Done { outcome, entry }| {
            let own = match (outcome, entry) {
                (Outcome::Posted { .. }, Some(entry)) => book.fresh_entry(asker, entry, certificate)?,
                (Outcome::Posted { index } | Outcome::Before { index }, _) => book.entry_of(asker, index)?,
                (Outcome::Done, _) => return Ok(Ok(LedgerReply::Done)),
                (Outcome::Refused(refusal), _) => return Ok(Err(Refusal::Ledger(refusal))),
                (Outcome::Burned(refusal), _) => {
                    limits.order_refused(now, payer);
                    return Ok(Err(Refusal::Ledger(refusal)));
                }
            };
            Ok(Ok(LedgerReply::Settled(Box::new(own))))
        });
        match reply {
            Ok(Ok(reply)) => {
                Handled { answer: Ok(Reply::Ledger(Box::new(reply))), effects: told.into_iter().map(tell).collect() }
            }
            Ok(Err(refusal)) => Handled { answer: Err(refusal), effects: Vec::new() },
            Err(error) => {
                on_fatal(&error);
                Handled { answer: Err(Refusal::Unavailable), effects: Vec::new() }
            }
        }
    }
}

fn tell(device: DeviceId) -> ServiceEffect {
    ServiceEffect::Push { device, push: Push::Ledger }
}

/// Whose device asks.
#[derive(Debug, Clone, Copy)]
struct Asker {
    account: AccountId,
    device: DeviceId,
}

impl<S: Store> Service<S> {
    pub(super) fn begin_ledger(
        &self,
        now: Timestamp,
        caller: &mut Caller,
        request: LedgerRequest,
        effects: &mut Vec<ServiceEffect>,
    ) -> Result<Ledgered, Stop> {
        self.at_the_door(now, caller, effects)?;
        let session = caller.session.ok_or(Refusal::NotSignedIn)?;
        let asker = Asker { account: session.account, device: session.device };
        if !self.openings_posted.load(Ordering::SeqCst) {
            self.post_openings(now)?;
        }
        let reply = match request {
            LedgerRequest::Terms => self.book.terms(now)?,
            LedgerRequest::Balance => self.book.balance_reply(asker.account),
            LedgerRequest::Consistency { from, to } => {
                self.book.consistency(from, to)?.ok_or_else(|| malformed("the log never had these sizes"))?
            }
            LedgerRequest::Entries { after } => self.book.entries(asker.account, after)?,
            LedgerRequest::Requests { after } => self.book.steps(asker.account, after)?,
            LedgerRequest::Settle { order } => return self.settle(now, asker, order).map(Ledgered::Pending),
            LedgerRequest::OpenRequest { request } => {
                return self.open_request(now, asker, request).map(Ledgered::Pending);
            }
            LedgerRequest::CloseRequest { closing } => {
                return self.close_request(now, asker, &closing).map(Ledgered::Pending);
            }
        };
        Ok(Ledgered::Answered(Reply::Ledger(Box::new(reply))))
    }

    /// An operation on its way: whom it concerns besides the asking device is told when it is done.
    fn pending(
        &self,
        now: Timestamp,
        asker: Asker,
        payer: AccountId,
        (operation, certificate): (Operation, Option<Certificate>),
        people: [AccountId; 2],
    ) -> Result<Box<Pending>, Stop> {
        let mut told = Vec::new();
        for person in people {
            told.extend(self.payer(person)?.told().filter(|device| *device != asker.device));
        }
        let finish = Finisher {
            asker: asker.account,
            payer,
            certificate,
            told,
            book: Arc::clone(&self.book),
            limits: Arc::clone(&self.limits),
            on_fatal: Arc::clone(&self.on_fatal),
        };
        Ok(Box::new(Pending { now, operation, settle: Arc::clone(&self.settle), finish }))
    }

    pub(super) fn wait(&self, pending: Box<Pending>) -> Handled {
        let (send, receive) = mpsc::sync_channel(1);
        pending.settle(move |handled| {
            let _ = send.send(handled);
        });
        receive.recv().unwrap_or_else(|_| {
            (self.on_fatal)(&stopped());
            Handled { answer: Err(Refusal::Unavailable), effects: Vec::new() }
        })
    }

    /// Has the ledger do something that nobody asked for, and waits for it.
    fn perform(&self, now: Timestamp, operation: Operation) -> Result<Done, StoreError> {
        let (send, receive) = mpsc::sync_channel(1);
        let finish = move |done| {
            let _ = send.send(done);
        };
        self.settle.hand_in(now, operation, Box::new(finish));
        receive.recv().map_err(|_| stopped())?
    }

    /// Posts what the ledger still owes new accounts: once each, also after a crash between account and ledger.
    pub(super) fn post_openings(&self, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let owed = self.store.owed_openings(OPENINGS_MAX)?;
            if owed.is_empty() {
                self.openings_posted.store(true, Ordering::SeqCst);
                return Ok(());
            }
            for (payee, amount) in owed {
                self.perform(now, Operation::Open { payee, amount })?;
                self.store.opening_posted(payee)?;
            }
        }
    }

    /// What the ledger does by itself: opening balances that are owed, the operator's issues, requests whose time is over.
    pub(super) fn sweep_ledger(&self, now: Timestamp) -> Result<Vec<ServiceEffect>, StoreError> {
        self.post_openings(now)?;
        let mut effects = Vec::new();
        for operation in self.book.due(now)? {
            effects.extend(self.perform_due(now, operation)?);
        }
        Ok(effects)
    }

    /// Posts what the operator's command has left: whoever waits for it looks several times a second.
    pub fn issue_wanted(&self, now: Timestamp) -> Vec<ServiceEffect> {
        let issued = self.book.wanted().and_then(|wanted| {
            let mut effects = Vec::new();
            for issue in wanted {
                effects.extend(self.perform_due(now, Operation::Issue(issue))?);
            }
            Ok(effects)
        });
        issued.unwrap_or_else(|error| {
            (self.on_fatal)(&error);
            Vec::new()
        })
    }

    fn perform_due(&self, now: Timestamp, operation: Operation) -> Result<Vec<ServiceEffect>, StoreError> {
        let people: Vec<AccountId> = match &operation {
            Operation::Issue(issue) => vec![issue.payee],
            Operation::Expire(keys) => {
                let records = self.book.store().requests(keys)?;
                records.into_iter().flatten().flat_map(|record| [record.payee, record.payer]).collect()
            }
            _ => Vec::new(),
        };
        self.perform(now, operation)?;
        let mut effects = Vec::new();
        for person in people {
            effects.extend(self.payer(person)?.told().map(tell));
        }
        Ok(effects)
    }

    /// Nobody closes an account that has money. What is on its way may still come: see [`Self::close_money`].
    pub(super) fn refuse_with_money(&self, account: AccountId) -> Result<(), Stop> {
        let balance = crate::core::ledger::available(self.book.balance(account));
        if balance > protocol::money::Amount::ZERO {
            return Err(Refusal::Ledger(protocol::directory::LedgerRefusal::NotEmpty { available: balance }).into());
        }
        Ok(())
    }

    /// An account is closed for the ledger: if it has nothing, and nothing comes any more. That is the first that is done
    /// about it; whatever dies then, the rest follows.
    pub(super) fn close_money(&self, now: Timestamp, account: AccountId) -> Result<(), Stop> {
        if !self.openings_posted.load(Ordering::SeqCst) {
            // What is owed to it is money, too.
            self.post_openings(now)?;
        }
        match self.perform(now, Operation::Close(account))?.outcome {
            Outcome::Refused(refusal) | Outcome::Burned(refusal) => Err(Refusal::Ledger(refusal).into()),
            Outcome::Posted { .. } | Outcome::Before { .. } | Outcome::Done => Ok(()),
        }
    }

    /// An account is closed everywhere.
    pub(super) fn closing_finished(&self, account: AccountId) -> Result<(), Stop> {
        Ok(self.book.store().closing_finished(account)?)
    }

    /// Closes what a crash found closed for the ledger alone.
    pub(super) fn finish_closings(&self, now: Timestamp) -> Result<Vec<ServiceEffect>, StoreError> {
        let mut effects = Vec::new();
        let begun = std::mem::take(&mut *self.closings.lock().unwrap_or_else(PoisonError::into_inner));
        for account in begun {
            match self.close_everywhere(now, account, &mut effects) {
                Err(Stop::Store(error)) => return Err(error),
                // Others were at the same thing: the next sweep tries again.
                Err(Stop::Refused(_)) => self.closings.lock().unwrap_or_else(PoisonError::into_inner).push(account),
                Ok(()) => {}
            }
        }
        Ok(effects)
    }
}

fn stopped() -> StoreError {
    StoreError::Fatal("the ledger has stopped".to_owned())
}
