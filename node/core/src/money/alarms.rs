//! What is done about a ledger that is not what it was, and what the account's devices tell each other of it.

use mls_rs::CryptoProvider;
use protocol::{
    Timestamp,
    money::{Currency, VouchedCheckpoint},
};
use serde::{Deserialize, Serialize};

use super::{Money, sentences};
use crate::{
    command::Failure,
    core::Core,
    event::{EventKind, LedgerState},
};

/// What the book holds of the ledger, so that a new device does not start with whatever it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BookLedger {
    vouched: VouchedCheckpoint,
}

impl Money {
    /// What goes into the book.
    pub(crate) fn for_book(&mut self) -> Option<BookLedger> {
        let (key, checkpoint) = (self.record.terms.clone()?, self.record.proven.clone()?);
        let time = checkpoint.checkpoint().ok()?.time;
        self.edit().book_time = Some(time);
        Some(BookLedger { vouched: VouchedCheckpoint { key, checkpoint } })
    }

    pub(super) fn book_checkpoint_time(&self) -> Option<Timestamp> {
        self.record.book_time
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes what another device of this account knew of the ledger: what the directory shows must go on from that too.
    pub(crate) fn take_book_ledger(&mut self, known: BookLedger) {
        let BookLedger { vouched } = known;
        let (Ok(key), Ok(checkpoint)) = (vouched.key.receipt_key(), vouched.checkpoint.checkpoint()) else { return };
        if checkpoint.ledger != key.ledger {
            return;
        }
        self.money.edit().book_time = Some(checkpoint.time);
        if self.money.key.is_some() {
            return self.take_vouched(vouched);
        }
        // The book is sealed by this account's devices, which took nothing in that was not signed.
        let record = self.money.edit();
        record.terms = Some(vouched.key);
        record.proven = Some(vouched.checkpoint);
        self.money.key = Some(key);
    }

    /// Something is wrong with the ledger: said once, and money stands still.
    pub(super) fn raise(&mut self, state: LedgerState) {
        self.money.entered = false;
        if state != LedgerState::Forked {
            // Only a new connection begins anew.
            self.money.fresh = false;
            self.money.terms_flow.wait_until(Timestamp(u64::MAX));
        }
        if self.money.record.alarm != Some(state) {
            self.money.edit().alarm = Some(state);
            self.batch.event(self.now, EventKind::Ledger { state });
        }
        let failure = sentences::alarm(state);
        self.end_money_waiters(&failure);
    }

    /// The ledger has proven what it could not prove before.
    pub(super) fn calm(&mut self) {
        self.money.edit().alarm = None;
        self.batch.event(self.now, EventKind::Ledger { state: LedgerState::Proven });
    }

    /// Why nothing about money is done now, if nothing is.
    pub(super) fn check_alarm(&self) -> Result<(), Failure> {
        self.money.record.alarm.map_or(Ok(()), |state| Err(sentences::alarm(state)))
    }

    /// The currency, once the ledger is known.
    pub(super) fn currency(&self) -> Option<&Currency> {
        self.money.key.as_ref().map(|key| &key.currency)
    }
}
