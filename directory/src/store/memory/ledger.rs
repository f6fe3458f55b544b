//! The ledger's model: everything in ordered maps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::{
    AccountId, DeviceId, RequestId, Timestamp,
    certificate::Certificate,
    directory::RequestState,
    frame,
    money::{Amount, ENTRY_MAX, Entry, HashBytes, Order, SignedRequest},
};

use super::super::{
    StoreError, Stored,
    ledger::{
        Batch, Founding, Head, IssueOrder, Known, KnownOutcome, LedgerStore, OrderKey, Original, OwnRecord, RequestKey,
        RequestRecord, RequestStep,
    },
};

#[derive(Debug, Default)]
struct Inner {
    founding: Option<Founding>,
    head: Option<Head>,
    balances: BTreeMap<AccountId, i64>,
    certificates: BTreeMap<DeviceId, Certificate>,
    entries: Vec<(Vec<u8>, Option<DeviceId>)>,
    own: BTreeMap<(AccountId, u64), i64>,
    known: BTreeMap<OrderKey, Known>,
    refunded: BTreeMap<OrderKey, Amount>,
    requests: BTreeMap<RequestKey, RequestRecord>,
    steps: BTreeMap<u64, RequestStep>,
    tiles: BTreeMap<(u8, u64), (Vec<u8>, HashBytes)>,
    wanted: BTreeMap<protocol::OrderId, IssueOrder>,
    closed: BTreeMap<AccountId, bool>,
}

impl Inner {
    fn order(&self, index: u64) -> Stored<Option<Order>> {
        let damaged = || StoreError::Damaged("an entry".to_owned());
        let place = usize::try_from(index).map_err(|_| damaged())?;
        let (bytes, _) = self.entries.get(place).ok_or_else(damaged)?;
        match frame::decode_body(bytes, ENTRY_MAX).map_err(|_| damaged())? {
            Entry::Transfer { order, .. } => order.order().map(Some).map_err(|_| damaged()),
            Entry::Issue { .. } | Entry::Opening { .. } => Ok(None),
        }
    }

    fn original(&self, key: &OrderKey) -> Stored<Option<Original>> {
        let Some(Known { outcome: KnownOutcome::Posted(index), .. }) = self.known.get(key) else { return Ok(None) };
        let Some(order) = self.order(*index)? else { return Ok(None) };
        let answers: Option<RequestId> =
            order.answers.as_ref().and_then(|request| request.request().ok()).map(|request| request.id);
        let refunded = self.refunded.get(key).copied().unwrap_or_default();
        Ok(Some(Original { payer: order.payer, payee: order.payee, amount: order.amount, refunded, answers }))
    }
}

/// The ledger's store in memory. Handles share it, so that a directory can be started again over the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger(Arc<Mutex<Inner>>);

impl MemoryLedger {
    // Each call leaves whole records even if a later one panics.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerStore for MemoryLedger {
    fn found(&self, founding: &Founding, head: &Head) -> Stored<Founding> {
        let mut inner = self.lock();
        if inner.founding.is_none() {
            inner.head = Some(head.clone());
        }
        Ok(inner.founding.get_or_insert_with(|| founding.clone()).clone())
    }

    fn head(&self) -> Stored<Option<(Founding, Head)>> {
        let inner = self.lock();
        Ok(inner.founding.clone().zip(inner.head.clone()))
    }

    fn balances(&self) -> Stored<Vec<(AccountId, i64)>> {
        Ok(self.lock().balances.iter().map(|(account, balance)| (*account, *balance)).collect())
    }

    fn closed(&self) -> Stored<Vec<(AccountId, bool)>> {
        Ok(self.lock().closed.iter().map(|(account, finished)| (*account, *finished)).collect())
    }

    fn closing_finished(&self, account: AccountId) -> Stored<()> {
        self.lock().closed.entry(account).and_modify(|finished| *finished = true);
        Ok(())
    }

    fn known(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Known>>> {
        let inner = self.lock();
        Ok(orders.iter().map(|key| inner.known.get(key).copied()).collect())
    }

    fn originals(&self, orders: &[OrderKey]) -> Stored<Vec<Option<Original>>> {
        let inner = self.lock();
        orders.iter().map(|key| inner.original(key)).collect()
    }

    fn requests(&self, keys: &[RequestKey]) -> Stored<Vec<Option<RequestRecord>>> {
        let inner = self.lock();
        Ok(keys.iter().map(|key| inner.requests.get(key).cloned()).collect())
    }

    fn open_requests(&self, payee: AccountId, payer: AccountId) -> Stored<(usize, usize)> {
        let inner = self.lock();
        let open = |record: &&RequestRecord| record.state == RequestState::Open && record.payee == payee;
        let open: Vec<&RequestRecord> = inner.requests.values().filter(open).collect();
        Ok((open.len(), open.iter().filter(|record| record.payer == payer).count()))
    }

    fn expired_requests(&self, time: Timestamp, at_most: usize) -> Stored<Vec<RequestRecord>> {
        let inner = self.lock();
        let ended = |record: &&RequestRecord| record.state == RequestState::Open && record.not_after <= time;
        let mut ended: Vec<RequestRecord> = inner.requests.values().filter(ended).cloned().collect();
        ended.sort_by_key(|record| (record.not_after, record.key()));
        ended.truncate(at_most);
        Ok(ended)
    }

    fn paid_since(&self, payer: AccountId, since: Timestamp) -> Stored<Vec<(AccountId, Amount)>> {
        let inner = self.lock();
        let mut paid = Vec::new();
        for ((_, index), _) in inner.own.range((payer, 0)..=(payer, u64::MAX)).rev() {
            let place = usize::try_from(*index).unwrap_or(usize::MAX);
            let entry = inner.entries.get(place).and_then(|(bytes, _)| frame::decode_body(bytes, ENTRY_MAX).ok());
            if entry.is_none_or(|entry: Entry| entry.at() < since) {
                break;
            }
            let order = inner.order(*index)?.filter(|order| order.payer == payer);
            paid.extend(order.map(|order| (order.payee, order.amount)));
        }
        Ok(paid)
    }

    fn keep(&self, batch: &Batch) -> Stored<()> {
        let mut inner = self.lock();
        for (device, certificate) in &batch.certificates {
            inner.certificates.entry(*device).or_insert_with(|| certificate.clone());
        }
        for entry in &batch.entries {
            inner.entries.push((entry.bytes.clone(), entry.device));
            for (account, balance) in [entry.payer, entry.payee] {
                inner.balances.insert(account, balance);
                inner.own.insert((account, entry.index), balance);
            }
            let known = Known { hash: entry.hash, outcome: KnownOutcome::Posted(entry.index) };
            inner.known.insert(entry.order, known);
            inner.wanted.remove(&entry.order.1);
            if let Some((key, refunded)) = entry.refunds {
                inner.refunded.insert(key, refunded);
            }
        }
        for (key, hash, refusal) in &batch.refused {
            inner.known.insert(*key, Known { hash: *hash, outcome: KnownOutcome::Refused(*refusal) });
            inner.wanted.remove(&key.1);
        }
        for record in &batch.requests {
            inner.requests.insert(record.key(), record.clone());
        }
        for step in &batch.steps {
            inner.steps.insert(step.place, step.clone());
        }
        for account in &batch.closed {
            inner.closed.entry(*account).or_default();
        }
        for tile in &batch.tiles {
            inner.tiles.insert((tile.level, tile.place), (tile.hashes.clone(), tile.root));
        }
        inner.head = Some(batch.head.clone());
        Ok(())
    }

    fn own(&self, account: AccountId, after: Option<u64>, at_most: usize) -> Stored<Vec<OwnRecord>> {
        let inner = self.lock();
        let from = after.map_or(0, |after| after.saturating_add(1));
        let rows = inner.own.range((account, from)..=(account, u64::MAX)).take(at_most);
        let record = |((_, index), balance): (&(AccountId, u64), &i64)| {
            let place = usize::try_from(*index).ok().and_then(|place| inner.entries.get(place));
            let (bytes, device) = place.ok_or_else(|| StoreError::Damaged("an entry".to_owned()))?;
            let certificate = device.and_then(|device| inner.certificates.get(&device)).cloned();
            Ok(OwnRecord { index: *index, bytes: bytes.clone(), certificate, balance: *balance })
        };
        rows.map(record).collect()
    }

    fn steps(
        &self,
        account: AccountId,
        after: Option<u64>,
        at_most: usize,
    ) -> Stored<Vec<(RequestStep, SignedRequest)>> {
        let inner = self.lock();
        let from = after.map_or(0, |after| after.saturating_add(1));
        let own = |step: &&RequestStep| step.key.0 == account || step.payer == account;
        let steps = inner.steps.range(from..).map(|(_, step)| step).filter(own).take(at_most);
        let with_request = |step: &RequestStep| Some((step.clone(), inner.requests.get(&step.key)?.request.clone()));
        Ok(steps.filter_map(with_request).collect())
    }

    fn entries(&self, from: u64, at_most: usize) -> Stored<Vec<Vec<u8>>> {
        let inner = self.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(inner.entries.iter().skip(from).take(at_most).map(|(bytes, _)| bytes.clone()).collect())
    }

    fn tile(&self, level: u8, place: u64) -> Stored<Option<Vec<u8>>> {
        Ok(self.lock().tiles.get(&(level, place)).map(|(hashes, _)| hashes.clone()))
    }

    fn tile_roots(&self, level: u8, from: u64) -> Stored<Vec<HashBytes>> {
        Ok(self.lock().tiles.range((level, from)..=(level, u64::MAX)).map(|(_, (_, root))| *root).collect())
    }

    fn want_issue(&self, issue: &IssueOrder) -> Stored<()> {
        self.lock().wanted.entry(issue.id).or_insert_with(|| issue.clone());
        Ok(())
    }

    fn wanted_issues(&self) -> Stored<Vec<IssueOrder>> {
        Ok(self.lock().wanted.values().cloned().collect())
    }
}
