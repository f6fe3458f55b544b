//! What is told of the book: receipts, balances, proofs and what became of requests, as they are on the disk.

use std::sync::PoisonError;

use membership::signing;
use protocol::{
    AccountId, Bounded, BoundedBytes, Timestamp,
    certificate::Certificate,
    directory::{LedgerReply, OwnEntry, RequestChange},
    limits::{CERTIFICATE_LIFETIME_MS, ENTRIES_PAGE_MAX, REQUESTS_PAGE_MAX},
    money::{Amount, RECEIPT_KEY_LABEL, ReceiptKey, SettledEntry, SignedReceiptKey},
};

use super::Book;
use crate::{
    core::ledger::available,
    store::{
        StoreError, Stored,
        ledger::{Head, NewEntry, OwnRecord, RequestStep},
    },
};

impl Book {
    /// What the money is and who vouches for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn terms(&self, now: Timestamp) -> Stored<LedgerReply> {
        let key = ReceiptKey {
            root_key: signing::public_key(&self.root),
            ledger: self.rules.ledger,
            currency: self.founding.currency.clone(),
            key: signing::public_key(&self.receipt_key),
            // The ledger's own time may be ahead of a clock that was set back.
            not_after: self.time(now).plus_ms(CERTIFICATE_LIFETIME_MS),
        };
        let receipt_key = settlement::receipt::receipt_key_bytes(&key);
        let receipt_key = receipt_key.map_err(|error| StoreError::Damaged(error.to_string()))?;
        let signature = signing::sign(&self.root, RECEIPT_KEY_LABEL, &receipt_key);
        let key = SignedReceiptKey { receipt_key: bounded(receipt_key)?, signature };
        Ok(LedgerReply::Terms { key, limits: self.rules.limits, checkpoint: self.head().checkpoint })
    }

    /// What an account has, and after which entry.
    #[must_use]
    pub fn balance_reply(&self, account: AccountId) -> LedgerReply {
        let published = self.published();
        let balance = published.balances.get(&account).copied().unwrap_or(0);
        let (available, held) = (available(balance), Amount::ZERO);
        LedgerReply::Balance { available, held, checkpoint: published.head.checkpoint.clone() }
    }

    /// The proof that the log of one size begins with that of another; `None` if there are no such sizes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn consistency(&self, from: u64, to: Option<u64>) -> Stored<Option<LedgerReply>> {
        let head = self.head();
        let to = to.unwrap_or(head.size);
        if to > head.size {
            return Ok(None);
        }
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let Some(proof) = log.consistency(&*self.store, from, to)? else { return Ok(None) };
        Ok(Some(LedgerReply::Consistency { proof: list(proof)?, checkpoint: head.checkpoint }))
    }

    /// A page of an account's own entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries(&self, account: AccountId, after: Option<u64>) -> Stored<LedgerReply> {
        let head = self.head();
        let mut records = self.store.own(account, after, ENTRIES_PAGE_MAX + 1)?;
        // What came to the disk a moment ago may be there before its checkpoint is published: it comes with the next page.
        records.retain(|record| record.index < head.size);
        let more = records.len() > ENTRIES_PAGE_MAX;
        records.truncate(ENTRIES_PAGE_MAX);
        let entries = records.into_iter().map(|record| self.own_entry(&head, record)).collect::<Stored<_>>()?;
        Ok(LedgerReply::Entries { entries: list(entries)?, more })
    }

    /// One of an account's own entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entry_of(&self, account: AccountId, index: u64) -> Stored<OwnEntry> {
        let after = index.checked_sub(1);
        let record = self.store.own(account, after, 1)?.into_iter().find(|record| record.index == index);
        let record = record.ok_or_else(|| StoreError::Damaged("an account's own entry".to_owned()))?;
        self.own_entry(&self.head(), record)
    }

    /// An entry that was just posted, as one of its two people gets it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn fresh_entry(
        &self,
        account: AccountId,
        entry: NewEntry,
        certificate: Option<Certificate>,
    ) -> Stored<OwnEntry> {
        let NewEntry { index, bytes, payer, payee, .. } = entry;
        let balance = if payer.0 == account { payer.1 } else { payee.1 };
        self.own_entry(&self.head(), OwnRecord { index, bytes, certificate, balance })
    }

    fn own_entry(&self, head: &Head, record: OwnRecord) -> Stored<OwnEntry> {
        let OwnRecord { index, bytes, certificate, balance } = record;
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner);
        let proof = log.inclusion(&*self.store, index, head.size)?;
        let proof = proof.ok_or_else(|| StoreError::Damaged("an entry beyond the log".to_owned()))?;
        let entry = SettledEntry {
            index,
            entry: bounded(bytes)?,
            certificate,
            proof: list(proof)?,
            checkpoint: head.checkpoint.clone(),
        };
        Ok(OwnEntry { entry, balance: available(balance) })
    }

    /// A page of what became of an account's requests.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn steps(&self, account: AccountId, after: Option<u64>) -> Stored<LedgerReply> {
        let mut steps = self.store.steps(account, after, REQUESTS_PAGE_MAX + 1)?;
        let more = steps.len() > REQUESTS_PAGE_MAX;
        steps.truncate(REQUESTS_PAGE_MAX);
        let change = |(step, request): (RequestStep, _)| RequestChange {
            place: step.place,
            request,
            state: step.state,
            order: step.order,
            at: step.at,
        };
        Ok(LedgerReply::Requests { changes: list(steps.into_iter().map(change).collect())?, more })
    }
}

fn bounded<const MAX: usize>(bytes: Vec<u8>) -> Stored<BoundedBytes<MAX>> {
    BoundedBytes::new(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn list<T, const MAX: usize>(values: Vec<T>) -> Stored<Bounded<T, MAX>> {
    Bounded::new(values).map_err(|error| StoreError::Damaged(error.to_string()))
}
