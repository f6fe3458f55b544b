//! What a person is told of requests and their ends, and what of money stands in the history of a conversation: payments,
//! requests and their ends, each where it was told.

use mls_rs::CryptoProvider;
use protocol::{AccountId, ConversationId, MessageId, Name, OrderId, Timestamp, directory::RequestState};

use super::{
    NOTICE_WAIT_MS,
    records::{PaymentRecord, RequestKey, RequestRecord},
};
use crate::{
    command::{HistoryEntry, MoneyLine},
    core::Core,
    event::{EventKind, Money, ShortId},
    stored::Change,
};

/// How long the end of a request waits for its payment to be told, or for its reason, in milliseconds: the payment itself waits
/// for its words.
const END_WAIT_MS: u64 = NOTICE_WAIT_MS + 1_000;

/// Something about money, on its way into the history.
struct Line {
    from: Name,
    to: Name,
    uid: [u8; 16],
    text: String,
    /// The ledger's time, or when it came to be known here.
    at: Timestamp,
    money: MoneyLine,
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Tells requests that are both told and registered, and their ends.
    pub(super) fn tell_requests(&mut self) {
        let ready = |record: &&RequestRecord| !record.told && record.registered && record.opening.is_some();
        let ready: Vec<RequestKey> = self.money.requests.values().filter(ready).map(RequestRecord::key).collect();
        for key in ready {
            let Some(record) = self.money.edit_request(key) else { continue };
            record.told = true;
            record.noted = true;
            let record = record.clone();
            if record.state == RequestState::Open {
                self.tell_request(&record);
                self.note_request_in_history(&record);
            } else if let Some(record) = self.money.edit_request(key) {
                // It was over before it could be shown.
                record.ends.clear();
            }
        }
        self.note_own_requests();
        let ended = self.money.requests.values().filter(|record| !record.ends.is_empty());
        let ended: Vec<RequestKey> = ended.map(RequestRecord::key).collect();
        for key in ended {
            self.tell_ends(key);
        }
    }

    fn tell_request(&mut self, record: &RequestRecord) {
        let (Some(opening), Some(currency)) = (record.opening.clone(), self.currency()) else { return };
        let kind = EventKind::Request {
            id: ShortId::Request(record.short),
            uid: record.id,
            from: opening.payee,
            to: opening.payer,
            group: record.share.as_ref().map(|share| share.group.clone()),
            total: record.share.as_ref().map(|share| Money::new(share.total, currency)),
            amount: Money::new(record.amount, currency),
            memo: opening.memo.to_string(),
            expires_at: record.not_after,
        };
        self.batch.event(self.now, kind);
    }

    fn tell_ends(&mut self, key: RequestKey) {
        while let Some(record) = self.money.requests.get(&key) {
            let Some((state, order, since)) = record.ends.first().copied() else { return };
            if self.end_told_at(record, state, order, since) > self.now {
                return;
            }
            let (payer, own) = (record.payer, self.own().map(|own| own.account));
            let (id, uid, reason) = (ShortId::Request(record.short), record.id, record.reason.clone());
            let payment = order.and_then(|order| self.payment_of(payer, key.0, order));
            let payment = payment.map(|payment| ShortId::Payment(payment.short));
            // What was never shown needs no end.
            let shown = Some(record.payee) == own || record.told && record.opening.is_some();
            if let Some(record) = self.money.edit_request(key) {
                record.ends.remove(0);
            }
            if shown {
                let closed = matches!(state, RequestState::Declined | RequestState::Cancelled);
                let reason = reason.filter(|_| closed);
                self.note_end_in_history(key, state, reason.clone());
                self.batch.event(self.now, EventKind::Closed { id, uid, state, payment, reason });
            }
        }
    }

    /// The payment that paid a request, or gave it back: between the two, either way.
    fn payment_of(&self, payer: AccountId, payee: AccountId, order: OrderId) -> Option<&PaymentRecord> {
        let between = |from: Option<AccountId>| from == Some(payer) || from == Some(payee);
        self.money.payments.values().find(|payment| payment.id == order && between(payment.payer))
    }

    /// When the end of a request is told: at once if its payment or reason is there, else after a while.
    fn end_told_at(
        &self,
        record: &RequestRecord,
        state: RequestState,
        order: Option<OrderId>,
        since: Timestamp,
    ) -> Timestamp {
        let complete = match (state, order) {
            (RequestState::Paid | RequestState::Refunded, Some(order)) => {
                self.payment_of(record.payer, record.payee, order).is_some_and(|payment| payment.told)
            }
            (RequestState::Declined | RequestState::Cancelled, _) => record.reason.is_some(),
            _ => true,
        };
        if complete { since } else { since.plus_ms(END_WAIT_MS) }
    }

    pub(super) fn ends_due(&self) -> Option<Timestamp> {
        let records = self.money.requests.values();
        let ends = records.filter_map(|record| {
            let (state, order, since) = record.ends.first().copied()?;
            Some(self.end_told_at(record, state, order, since))
        });
        ends.min()
    }

    /// A payment that is told is part of what the two said to each other; what the operator gives is not.
    pub(super) fn note_payment_in_history(&mut self, payment: &PaymentRecord) {
        let (Some(own), Some(payer)) = (self.own().map(|own| own.account), payment.payer) else { return };
        let other = if payer == own { payment.payee } else { payer };
        let (Some(from), Some(to)) = (self.party(payer), self.party(payment.payee)) else { return };
        let Some(currency) = self.currency() else { return };
        let money = MoneyLine::Payment {
            id: ShortId::Payment(payment.short),
            amount: Money::new(payment.amount, currency),
            request: payment.request.and_then(|key| self.request_short(key)),
            refund_of: payment.refunds.and_then(|id| self.payment_short(id)),
        };
        let text = payment.memo.clone().unwrap_or_default();
        self.put_into_history(other, Line { from, to, uid: payment.id.0, text, at: payment.at, money });
    }

    /// What this account asks for stands there once the ledger has it, on each of its devices.
    fn note_own_requests(&mut self) {
        let own = self.own().map(|own| own.account);
        let unnoted = |record: &&RequestRecord| {
            !record.noted && Some(record.payee) == own && record.registered && record.opening.is_some()
        };
        let unnoted: Vec<RequestKey> = self.money.requests.values().filter(unnoted).map(RequestRecord::key).collect();
        for key in unnoted {
            let Some(record) = self.money.edit_request(key) else { continue };
            record.noted = true;
            let record = record.clone();
            self.note_request_in_history(&record);
        }
    }

    fn note_request_in_history(&mut self, record: &RequestRecord) {
        let (Some(opening), Some(currency)) = (record.opening.clone(), self.currency()) else { return };
        let money = MoneyLine::Request {
            id: ShortId::Request(record.short),
            amount: Money::new(record.amount, currency),
            group: record.share.as_ref().map(|share| share.group.clone()),
            total: record.share.as_ref().map(|share| Money::new(share.total, currency)),
            state: None,
        };
        let (from, to, text, at) = (opening.payee, opening.payer, opening.memo.to_string(), self.now);
        self.put_into_history(self.other_of(record), Line { from, to, uid: record.id.0, text, at, money });
    }

    /// Whoever pays is in the history by the payment.
    fn note_end_in_history(&mut self, key: RequestKey, state: RequestState, reason: Option<String>) {
        let Some(record) = self.money.requests.get(&key).filter(|record| record.noted) else { return };
        let (Some(payee), Some(payer)) = (self.party(record.payee), self.party(record.payer)) else { return };
        let (from, to) = match state {
            RequestState::Declined => (payer, payee),
            RequestState::Cancelled | RequestState::Expired => (payee, payer),
            RequestState::Open | RequestState::Paid | RequestState::Refunded => return,
        };
        let money = MoneyLine::Closed { id: ShortId::Request(record.short), state };
        let (other, uid) = (self.other_of(record), record.id.0);
        self.put_into_history(other, Line { from, to, uid, text: reason.unwrap_or_default(), at: self.now, money });
    }

    fn other_of(&self, record: &RequestRecord) -> AccountId {
        let own = self.own().map(|own| own.account);
        if Some(record.payee) == own { record.payer } else { record.payee }
    }

    fn put_into_history(&mut self, other: AccountId, line: Line) {
        let Some(conversation) = self.place_with(other) else { return };
        let Line { from, to, uid, text, at, money } = line;
        let entry = HistoryEntry {
            id: self.next_short_id(),
            uid: MessageId(uid),
            from,
            to,
            text,
            at: self.now,
            sent_at: at,
            state: None,
            gap: false,
            in_group: false,
            member: None,
            money: Some(money),
        };
        self.batch.change(Change::Timeline { conversation, entry });
    }

    /// The conversation with somebody, also if nothing was said in it yet.
    fn place_with(&self, other: AccountId) -> Option<ConversationId> {
        let first = || {
            let (own, peer) = (self.own()?.root_key, self.people.get(other)?.root_key);
            Some(membership::direct_conversation_id(&own, &peer, 0))
        };
        self.known_with(other).or_else(first)
    }

    /// How the requests among these lines stand by now.
    pub(crate) fn bring_up_to_date(&self, entries: &mut [HistoryEntry]) {
        for entry in entries {
            let HistoryEntry { uid, money: Some(MoneyLine::Request { id, state, .. }), .. } = entry else { continue };
            let is = |record: &&RequestRecord| record.id.0 == uid.0 && ShortId::Request(record.short) == *id;
            *state = self.money.requests.values().find(is).map(|record| self.state_of(record));
        }
    }
}
