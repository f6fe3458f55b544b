//! DECLINE and CANCEL: the end of a request is signed, taken by the ledger, and told to the other with its reason.

use mls_rs::CryptoProvider;
use protocol::{
    BoundedText,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, Refusal, RequestState},
    limits::CLOSING_REASON_MAX,
    money::{Closing, ClosingKind},
    peer::{Body, ClosedNotice},
};
use settlement::signed;

use super::{
    Asked, UNDER_WAY_MAX,
    records::{ClosingRecord, RequestKey, RequestRecord},
    sentences,
    terms::Told,
    waiting::MoneyWaiting,
};
use crate::{
    command::{CommandToken, Failure, FailureCode, MoneyRef},
    core::Core,
    event::ShortId,
    input::Answer,
    outbox::bug,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn decline_request(&mut self, token: CommandToken, id: MoneyRef, reason: &str) {
        let declined = self.find_request(id).and_then(|key| {
            let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
            let short = ShortId::Request(record.short);
            if Some(record.payer) != self.own().map(|own| own.account) {
                return Err(sentences::not_asked(&short.to_string()));
            }
            let uid = record.id;
            self.close(key, ClosingKind::Decline, reason)?;
            Ok(MoneyWaiting::Close { id: short, uid, keys: vec![key] })
        });
        self.await_closing(token, declined);
    }

    pub(super) fn cancel_request(&mut self, token: CommandToken, id: MoneyRef, reason: &str) {
        let cancelled = match self.find_whole(id) {
            Some((short, whole)) => self.cancel_whole(short, whole, reason),
            None => self.find_request(id).and_then(|key| {
                let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
                let short = ShortId::Request(record.short);
                if Some(record.payee) != self.own().map(|own| own.account) {
                    return Err(sentences::not_asking(&short.to_string()));
                }
                let uid = record.id;
                self.close(key, ClosingKind::Cancel, reason)?;
                Ok(MoneyWaiting::Close { id: short, uid, keys: vec![key] })
            }),
        };
        self.await_closing(token, cancelled);
    }

    /// The whole that a request to a group was, by its short id or its full one.
    fn find_whole(&self, id: MoneyRef) -> Option<(ShortId, protocol::RequestId)> {
        self.money.requests.values().find_map(|record| {
            let (short, share) = (ShortId::Request(record.whole_short?), record.share.as_ref()?);
            let named = match id {
                MoneyRef::Short(wanted) => wanted == short,
                MoneyRef::Full(wanted) => wanted == share.whole.0,
            };
            named.then_some((short, share.whole))
        })
    }

    fn cancel_whole(&mut self, id: ShortId, whole: protocol::RequestId, reason: &str) -> Result<MoneyWaiting, Failure> {
        let shares = self.shares_of(whole);
        let open = |key: &RequestKey| {
            self.money.requests.get(key).is_some_and(|record| self.state_of(record) == RequestState::Open)
        };
        let open: Vec<RequestKey> = shares.iter().copied().filter(open).collect();
        if open.is_empty() {
            let text = format!("every share of {id} is over already; REQUESTS shows how");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        for key in &open {
            self.close(*key, ClosingKind::Cancel, reason)?;
        }
        Ok(MoneyWaiting::Close { id, uid: whole, keys: open })
    }

    fn await_closing(&mut self, token: CommandToken, waiting: Result<MoneyWaiting, Failure>) {
        match waiting {
            Ok(waiting) => self.wait_money(token, waiting),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// Signs the end of a request and keeps it; the ledger is told as soon as it can be asked.
    fn close(&mut self, key: RequestKey, kind: ClosingKind, reason: &str) -> Result<(), Failure> {
        let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
        let short = ShortId::Request(record.short).to_string();
        if reason.len() > CLOSING_REASON_MAX {
            return Err(sentences::too_long(reason.len(), CLOSING_REASON_MAX));
        }
        match self.state_of(record) {
            RequestState::Open => {}
            state => return Err(sentences::over(&short, state)),
        }
        if record.closing.is_some() {
            return Ok(());
        }
        let missing = || Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account");
        let device = self.own_device().ok_or_else(missing)?;
        let ledger = self.money.key.as_ref().map(|known| known.ledger).ok_or_else(missing)?;
        let closing = Closing { ledger, payee: key.0, request: key.1, kind, device };
        let signed = signed::sign_closing(&closing, self.keys.order_key()).map_err(|error| bug(&error))?;
        if let Some(record) = self.money.edit_request(key) {
            record.closing = Some(ClosingRecord { signed, kind, reason: reason.to_owned() });
        }
        Ok(())
    }

    pub(super) fn reconcile_closings(&mut self) {
        // What the ledger has not got can't be ended there.
        let closing = |record: &&RequestRecord| record.closing.is_some() && record.registered;
        let keys: Vec<RequestKey> = self.money.requests.values().filter(closing).map(RequestRecord::key).collect();
        for key in keys {
            let flow = self.money.close_flows.entry(key).or_default();
            if !flow.is_ready(self.now) || self.money.under_way() >= UNDER_WAY_MAX {
                continue;
            }
            let closing = self.money.requests.get(&key).and_then(|record| record.closing.as_ref());
            let Some(closing) = closing.map(|closing| closing.signed.clone()) else { continue };
            let call = self.ask_ledger(Asked::Close { request: key }, LedgerRequest::CloseRequest { closing });
            self.money.close_flows.entry(key).or_default().start(call);
        }
    }

    pub(super) fn on_request_closed(&mut self, key: RequestKey, answer: Answer) {
        let (jitter, now) = (self.jitter(), self.now);
        let state = match self.told(answer) {
            Told::Reply(LedgerReply::Done) => None,
            Told::Refused(Refusal::Ledger(LedgerRefusal::RequestClosed(state))) => Some(state),
            Told::Refused(refusal) => {
                self.money.close_flows.remove(&key);
                if let Some(record) = self.money.edit_request(key) {
                    record.closing = None;
                }
                let currency = self.currency().cloned().unwrap_or_default();
                let failure = sentences::by_directory(&refusal, "the other one", "that request", &currency);
                let of =
                    |waiting: &MoneyWaiting| matches!(waiting, MoneyWaiting::Close { keys, .. } if keys.contains(&key));
                return self.end_waiting(of, &Err(failure));
            }
            Told::Reply(_) | Told::Again => return self.money.close_flows.entry(key).or_default().fail(now, jitter),
        };
        self.money.requests_wanted = true;
        let Some(record) = self.money.edit_request(key) else { return };
        let Some(closing) = record.closing.take() else { return };
        let state = state.unwrap_or_else(|| became(closing.kind));
        if record.state != state {
            record.state = state;
            record.ends.push((state, None, now));
        }
        self.tell_closed(key, closing, state);
    }

    /// A request that was to be ended here is over: the other hears why, if it is over in that way.
    pub(super) fn tell_closed(&mut self, key: RequestKey, closing: ClosingRecord, state: RequestState) {
        self.money.close_flows.remove(&key);
        let Some(record) = self.money.edit_request(key) else { return };
        if state == became(closing.kind) {
            let other = match closing.kind {
                ClosingKind::Decline => record.payee,
                ClosingKind::Cancel => record.payer,
            };
            record.reason = Some(closing.reason.clone());
            let reason = BoundedText::new(closing.reason).unwrap_or_default();
            let notice = ClosedNotice { payee: key.0, request: key.1, kind: closing.kind, reason };
            self.tell_in_conversation(other, Body::Closed(notice));
        }
        self.end_closing(key);
    }
}

/// What a request is when it was ended so.
const fn became(kind: ClosingKind) -> RequestState {
    match kind {
        ClosingKind::Decline => RequestState::Declined,
        ClosingKind::Cancel => RequestState::Cancelled,
    }
}
