//! Requests: from being registered to being over. What is over stays over, but that what was paid may be given back.

use protocol::{
    AccountId, DeviceId, OrderId,
    certificate::Certificate,
    directory::{LedgerRefusal, RequestState},
    limits::{REQUESTS_OPEN_MAX, REQUESTS_OPEN_PAIR_MAX},
};

use sha2::{Digest as _, Sha256};

use crate::store::ledger::{Known, KnownOutcome, RequestKey, RequestRecord, RequestStep};

use super::{Changed, Ledger, Outcome, View, apply::burn, refused_request_id};

impl Ledger {
    pub(super) fn open_request(
        &mut self,
        view: &mut View,
        (record, against): (&RequestRecord, Option<LedgerRefusal>),
        device: &(DeviceId, Certificate),
        changed: &mut Changed,
    ) -> Outcome {
        if let Some(known) = view.request(&record.key()) {
            // Registered before: what became of it is no answer to being asked to register it.
            let same = known.request.request == record.request.request;
            return if same { Outcome::Done } else { Outcome::Refused(LedgerRefusal::Conflict) };
        }
        let refused = (record.payee, refused_request_id(record.id));
        let hash = Sha256::digest(&*record.request.request).into();
        match view.known.get(&refused) {
            Some(Known { hash: known, outcome: KnownOutcome::Refused(refusal) }) if *known == hash => {
                return Outcome::Refused(*refusal);
            }
            Some(_) => return Outcome::Refused(LedgerRefusal::Conflict),
            None => {}
        }
        if record.not_after <= self.time {
            return self.too_late(record.not_after, changed);
        }
        let gone = [record.payer, record.payee].into_iter().any(|account| self.is_closed(account));
        if let Some(refusal) = against.or(gone.then_some(LedgerRefusal::PayeeUnknown)) {
            return burn(view, refused, hash, refusal, changed);
        }
        let pair = (record.payee, record.payer);
        let open = view.open.entry(record.payee).or_default();
        let open_pair = view.open_pairs.entry(pair).or_default();
        if *open >= REQUESTS_OPEN_MAX || *open_pair >= REQUESTS_OPEN_PAIR_MAX {
            return burn(view, refused, hash, LedgerRefusal::TooMany, changed);
        }
        *open += 1;
        *open_pair += 1;
        view.requests.insert(record.key(), record.clone());
        changed.certificates.push(device.clone());
        self.note_step(record, None, changed);
        Outcome::Done
    }

    pub(super) fn close_request(
        &mut self,
        view: &mut View,
        (key, by, state): (RequestKey, AccountId, RequestState),
        device: &(DeviceId, Certificate),
        changed: &mut Changed,
    ) -> Outcome {
        // Its payee cancels, its payer declines; to anybody else there is no such request.
        let theirs = |record: &&RequestRecord| match state {
            RequestState::Cancelled => record.payee == by,
            _ => record.payer == by,
        };
        let Some(record) = view.request(&key).filter(theirs) else {
            return Outcome::Refused(LedgerRefusal::RequestUnknown);
        };
        match record.state {
            RequestState::Open if record.not_after <= self.time => {
                self.end_request(view, key, RequestState::Expired, None, changed);
                Outcome::Refused(LedgerRefusal::RequestClosed(RequestState::Expired))
            }
            RequestState::Open => {
                changed.certificates.push(device.clone());
                self.end_request(view, key, state, None, changed);
                Outcome::Done
            }
            before if before == state => Outcome::Done,
            before => Outcome::Refused(LedgerRefusal::RequestClosed(before)),
        }
    }

    /// Ends those of these requests whose time is over.
    pub(super) fn expire(&mut self, view: &mut View, keys: &[RequestKey], changed: &mut Changed) -> Outcome {
        for key in keys {
            let over = |record: &&RequestRecord| record.state == RequestState::Open && record.not_after <= self.time;
            if view.request(key).filter(over).is_some() {
                self.end_request(view, *key, RequestState::Expired, None, changed);
            }
        }
        Outcome::Done
    }

    /// A request that may become this does.
    pub(super) fn end_request(
        &mut self,
        view: &mut View,
        key: RequestKey,
        state: RequestState,
        order: Option<OrderId>,
        changed: &mut Changed,
    ) {
        let Some(record) = view.requests.get_mut(&key) else { return };
        if record.state == RequestState::Open {
            let pair = (record.payee, record.payer);
            let counts = [view.open.get_mut(&record.payee), view.open_pairs.get_mut(&pair)];
            for count in counts.into_iter().flatten() {
                *count = count.saturating_sub(1);
            }
        }
        record.state = state;
        let record = record.clone();
        self.note_step(&record, order, changed);
    }

    fn note_step(&mut self, record: &RequestRecord, order: Option<OrderId>, changed: &mut Changed) {
        self.changes += 1;
        let (key, payer, state) = (record.key(), record.payer, record.state);
        changed.steps.push(RequestStep { place: self.changes, key, payer, state, order, at: self.time });
        // Kept in this order, so that the latest is what stays.
        changed.requests.push(record.clone());
    }
}
