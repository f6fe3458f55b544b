//! Taking a batch through the rules, one operation after the other.

use protocol::{
    AccountId, OrderId, Timestamp,
    directory::{LedgerRefusal, RequestState},
    frame,
    money::{Amount, ENTRY_MAX, Entry, HashBytes, Order},
};
use sha2::{Digest as _, Sha256};

use crate::store::ledger::{IssueOrder, Known, KnownOutcome, NewEntry, OrderKey, Original, RequestKey, RequestRecord};

use super::{
    Changed, DAY_MS, Ledger, Operation, Outcome, Paid, Standing, Submission, View, available,
    ladder::{Facts, Verdict, credit, judge},
    opening_id,
};

/// An entry on its way into the log.
struct Posting {
    order: OrderKey,
    hash: HashBytes,
    entry: Entry,
    payer: (AccountId, i64),
    payee: (AccountId, i64),
}

impl Ledger {
    /// Does each operation, in their order, at a time that is never before that of an earlier batch. What it returns has
    /// to be kept before anybody hears of it; if that fails, so does this ledger.
    pub fn apply(&mut self, view: &mut View, operations: &[Operation], now: Timestamp) -> (Vec<Outcome>, Changed) {
        self.time = self.time.max(now);
        let mut changed = Changed::default();
        let outcomes = operations.iter().map(|operation| self.perform(view, operation, &mut changed)).collect();
        if !changed.is_empty() {
            self.kept_time = self.time;
        }
        (outcomes, changed)
    }

    fn perform(&mut self, view: &mut View, operation: &Operation, changed: &mut Changed) -> Outcome {
        match operation {
            Operation::Settle(submission) => self.settle(view, submission, changed),
            Operation::Issue(issue) => self.issue(view, issue, changed),
            Operation::Open { payee, amount } => self.open(view, *payee, *amount, changed),
            Operation::OpenRequest { record, device, against } => {
                self.open_request(view, (record, *against), device, changed)
            }
            Operation::CloseRequest { key, by, state, device } => {
                self.close_request(view, (*key, *by, *state), device, changed)
            }
            Operation::Close(account) => self.close(*account, changed),
            Operation::Expire(keys) => self.expire(view, keys, changed),
        }
    }

    fn settle(&mut self, view: &mut View, submission: &Submission, changed: &mut Changed) -> Outcome {
        let Submission { order, hash, .. } = submission;
        let key = (order.payer, order.id);
        let request = answered(order);
        let facts = Facts {
            order,
            hash: *hash,
            ledger: self.rules.ledger,
            time: self.time,
            // Whoever hands in what does not hold is not let in.
            signature_holds: true,
            known: view.known.get(&key).copied(),
            standing: self.standing(submission),
            limits: self.rules.limits,
            paid: self.paid_today(view, order),
            request: request.and_then(|key| view.requests.get(&key)),
            original: order.refunds.and_then(|id| view.originals.get(&(order.payee, id))).copied(),
            payer: self.balance(order.payer),
            payee: self.balance(order.payee),
        };
        match judge(&facts) {
            Verdict::Post { payer, payee } => {
                let entry = Entry::Transfer { order: submission.signed.clone(), at: self.time };
                let posting = Posting {
                    order: key,
                    hash: *hash,
                    entry,
                    payer: (order.payer, payer),
                    payee: (order.payee, payee),
                };
                self.post_order(view, submission, posting, changed)
            }
            Verdict::Again(KnownOutcome::Posted(index)) => Outcome::Before { index },
            Verdict::Refuse(LedgerRefusal::Expired) => self.too_late(order.not_after, changed),
            Verdict::Again(KnownOutcome::Refused(refusal)) | Verdict::Refuse(refusal) => Outcome::Refused(refusal),
            Verdict::Burn(refusal) => burn(view, key, *hash, refusal, changed),
        }
    }

    /// What the accounts said when it was handed in, and what has become of them here since.
    fn standing(&self, submission: &Submission) -> Standing {
        let Submission { order, standing, .. } = submission;
        Standing {
            revoked: standing.revoked || self.is_closed(order.payer),
            payee_known: standing.payee_known && !self.is_closed(order.payee),
            ..*standing
        }
    }

    /// Whoever hears that their time is over will never come with it again: so it has to stay over, also if the service is
    /// started again by a clock that was set back.
    pub(super) fn too_late(&self, not_after: Timestamp, changed: &mut Changed) -> Outcome {
        changed.time |= not_after > self.kept_time;
        Outcome::Refused(LedgerRefusal::Expired)
    }

    /// Nobody closes an account that has money; and once it is closed none comes.
    fn close(&mut self, account: AccountId, changed: &mut Changed) -> Outcome {
        let available = available(self.balance(account));
        if available > Amount::ZERO {
            return Outcome::Refused(LedgerRefusal::NotEmpty { available });
        }
        if self.closed.insert(account) {
            changed.closed.push(account);
        }
        Outcome::Done
    }

    pub(super) fn is_closed(&self, account: AccountId) -> bool {
        self.closed.contains(&account)
    }

    fn post_order(
        &mut self,
        view: &mut View,
        submission: &Submission,
        posting: Posting,
        changed: &mut Changed,
    ) -> Outcome {
        let order = &submission.order;
        let outcome = self.post(view, posting, changed);
        self.note_paid(order);
        let device = (order.device, submission.certificate.clone());
        changed.certificates.push(device);
        if let Some(entry) = changed.entries.last_mut() {
            entry.device = Some(order.device);
        }
        let original = Original {
            payer: order.payer,
            payee: order.payee,
            amount: order.amount,
            refunded: Amount::ZERO,
            answers: None,
        };
        let answers = answered(order);
        view.originals.insert((order.payer, order.id), Original { answers: answers.map(|(_, id)| id), ..original });
        if let Some(key) = answers {
            self.end_request(view, key, RequestState::Paid, Some(order.id), changed);
        }
        if let Some(original) = order.refunds.map(|id| (order.payee, id)) {
            self.give_back(view, original, order, changed);
        }
        outcome
    }

    /// A payment is given back, whole or in part; with the whole of it, the request that it answered is over.
    fn give_back(&mut self, view: &mut View, key: OrderKey, order: &Order, changed: &mut Changed) {
        let Some(original) = view.originals.get_mut(&key) else { return };
        original.refunded = original.refunded.checked_add(order.amount).unwrap_or(original.amount);
        if let Some(entry) = changed.entries.last_mut() {
            entry.refunds = Some((key, original.refunded));
        }
        let whole = original.refunded == original.amount;
        if let Some(request) = original.answers.filter(|_| whole) {
            let payee = original.payee;
            self.end_request(view, (payee, request), RequestState::Refunded, Some(order.id), changed);
        }
    }

    fn issue(&mut self, view: &mut View, issue: &IssueOrder, changed: &mut Changed) -> Outcome {
        let IssueOrder { id, payee, amount, memo } = issue.clone();
        let entry = Entry::Issue { id, payee, amount, memo, at: self.time };
        self.mint(view, (id, payee, amount), entry, changed)
    }

    fn open(&mut self, view: &mut View, payee: AccountId, amount: Amount, changed: &mut Changed) -> Outcome {
        let entry = Entry::Opening { payee, amount, at: self.time };
        self.mint(view, (opening_id(payee), payee, amount), entry, changed)
    }

    /// Money comes from the issuance account, which alone may be below zero.
    fn mint(
        &mut self,
        view: &mut View,
        (id, payee, amount): (OrderId, AccountId, Amount),
        entry: Entry,
        changed: &mut Changed,
    ) -> Outcome {
        let key = (self.issuance, id);
        if let Some(known) = view.known.get(&key) {
            return match known.outcome {
                KnownOutcome::Posted(index) => Outcome::Before { index },
                KnownOutcome::Refused(refusal) => Outcome::Refused(refusal),
            };
        }
        if self.is_closed(payee) {
            return burn(view, key, hash_of(&entry), LedgerRefusal::PayeeUnknown, changed);
        }
        let units = i64::try_from(amount.units()).unwrap_or(i64::MAX);
        let balances = self.balance(self.issuance).checked_sub(units).zip(credit(self.balance(payee), amount));
        let Some((left, after)) = balances else {
            return burn(view, key, hash_of(&entry), LedgerRefusal::Overflow, changed);
        };
        let hash = hash_of(&entry);
        let posting = Posting { order: key, hash, entry, payer: (self.issuance, left), payee: (payee, after) };
        self.post(view, posting, changed)
    }

    /// Adds an entry that may be added.
    fn post(&mut self, view: &mut View, posting: Posting, changed: &mut Changed) -> Outcome {
        let Posting { order, hash, entry, payer, payee } = posting;
        let index = self.size;
        for (account, balance) in [payer, payee] {
            self.balances.insert(account, balance);
        }
        self.size += 1;
        view.known.insert(order, Known { hash, outcome: KnownOutcome::Posted(index) });
        let bytes = encode(&entry);
        changed.entries.push(NewEntry { index, bytes, order, hash, payer, payee, device: None, refunds: None });
        Outcome::Posted { index }
    }

    fn paid_today(&mut self, view: &View, order: &Order) -> (u64, u64) {
        if !self.counts_days() {
            return (0, 0);
        }
        let day = self.time.0 / DAY_MS;
        let paid = self.paid.entry(order.payer).or_default();
        if paid.day != Some(day) {
            *paid = Paid { day: Some(day), ..Paid::default() };
            for (payee, amount) in view.paid.get(&order.payer).into_iter().flatten() {
                paid.add(*payee, *amount);
            }
        }
        (paid.total, paid.to.get(&order.payee).copied().unwrap_or(0))
    }

    fn note_paid(&mut self, order: &Order) {
        if let Some(paid) = self.paid.get_mut(&order.payer) {
            paid.add(order.payee, order.amount);
        }
    }

    /// Whether what is paid in a day matters here.
    #[must_use]
    pub const fn counts_days(&self) -> bool {
        self.rules.limits.day.is_some() || self.rules.limits.peer.is_some()
    }

    /// Forgets what was paid on days that are over.
    pub fn forget_days(&mut self) {
        let day = self.time.0 / DAY_MS;
        self.paid.retain(|_, paid| paid.day == Some(day));
    }
}

impl Paid {
    fn add(&mut self, payee: AccountId, amount: Amount) {
        self.total = self.total.saturating_add(amount.units());
        let to = self.to.entry(payee).or_default();
        *to = to.saturating_add(amount.units());
    }
}

/// The request that an order says it answers.
pub(crate) fn answered(order: &Order) -> Option<RequestKey> {
    let request = order.answers.as_ref()?.request().ok()?;
    Some((request.payee, request.id))
}

/// Refuses something for good.
pub(super) fn burn(
    view: &mut View,
    key: OrderKey,
    hash: HashBytes,
    refusal: LedgerRefusal,
    changed: &mut Changed,
) -> Outcome {
    view.known.insert(key, Known { hash, outcome: KnownOutcome::Refused(refusal) });
    changed.refused.push((key, hash, refusal));
    Outcome::Burned(refusal)
}

fn hash_of(entry: &Entry) -> HashBytes {
    Sha256::digest(encode(entry)).into()
}

/// An entry's bytes. Its parts are bounded below [`ENTRY_MAX`], so that it always fits.
fn encode(entry: &Entry) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "an order or a memo, and some numbers, are shorter than an entry may be")]
    frame::encode_body(entry, ENTRY_MAX).expect("an entry fits")
}

impl View {
    /// A request as it stands in this batch.
    pub(super) fn request(&self, key: &RequestKey) -> Option<&RequestRecord> {
        self.requests.get(key)
    }
}
