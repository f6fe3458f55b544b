//! Asking for money: a request is registered with the ledger, told to its payer, and followed to its end.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedText, Name, RequestId, Timestamp,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, Refusal, RequestChange, RequestState},
    money::{Amount, MEMO_MAX, MemoOpening, PaymentRequest, SignedRequest},
    peer::{Body, GroupShare, RequestNotice},
};
use settlement::{memo, signed};

use super::{
    Asked, UNDER_WAY_MAX,
    records::{RequestKey, RequestRecord, follows},
    sentences,
    terms::Told,
    waiting::MoneyWaiting,
};
use crate::{
    command::{CommandToken, Failure, FailureCode, MoneyCommand, MoneyOutcome, Outcome},
    core::Core,
    event::{Money, ShortId},
    input::Answer,
    outbox::bug,
};

/// How long a request can be paid, in milliseconds: thirty days, a bill's usual term.
const REQUEST_LIFETIME_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// Requests that are over and still kept: REQUESTS shows the latest of them.
const ENDED_MAX: usize = 2_000;

/// What a request is to be.
pub(super) struct Asking {
    pub(super) payer: AccountId,
    pub(super) name: Name,
    pub(super) amount: Amount,
    pub(super) memo: BoundedText<MEMO_MAX>,
    pub(super) share: Option<(GroupShare, u64)>,
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn request_money(&mut self, token: CommandToken, from: Name, amount: &str, memo: String) {
        let parsed = self.parse_amount(amount);
        let again = || MoneyCommand::Request { from: from.clone(), amount: amount.to_owned(), memo: memo.clone() };
        let amount = match parsed {
            Ok(parsed) => parsed,
            Err(failure) => return self.done(token, Err(failure)),
        };
        let Some(payer) = self.payable(token, &from, again) else { return };
        let asked =
            self.memo(memo).and_then(|memo| self.sign_request(Asking { payer, name: from, amount, memo, share: None }));
        match asked {
            Ok(key) => self.wait_money(token, MoneyWaiting::Open(key)),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// Signs a request and keeps it; it is registered as soon as the ledger can be asked.
    pub(super) fn sign_request(&mut self, asking: Asking) -> Result<RequestKey, Failure> {
        let missing = || Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account");
        let own = self.own().cloned().ok_or_else(missing)?;
        let ledger = self.money.key.as_ref().map(|key| key.ledger).ok_or_else(missing)?;
        let id = RequestId(self.draw());
        let opening = MemoOpening { salt: self.draw(), payer: asking.name, payee: own.name.clone(), memo: asking.memo };
        let not_after = self.ledger_now().plus_ms(REQUEST_LIFETIME_MS);
        let request = PaymentRequest {
            ledger,
            id,
            payee: own.account,
            payer: asking.payer,
            amount: asking.amount,
            memo: memo::commit(&opening).map_err(|error| bug(&error))?,
            not_after,
            device: own.device,
        };
        let signed = signed::sign_request(&request, self.keys.order_key()).map_err(|error| bug(&error))?;
        let (share, whole_short) = asking.share.unzip();
        let record = RequestRecord {
            short: self.next_request(),
            opening: Some(opening),
            share,
            whole_short,
            certificate: Some(own.certificate),
            told: true,
            ..new_record(&request, signed, self.now)
        };
        let key = record.key();
        self.money.requests.insert(key, record);
        self.money.requests_changed.insert(key);
        Ok(key)
    }

    /// Registers what the ledger has not got, and ends what is to end.
    pub(super) fn reconcile_requests(&mut self) {
        let unregistered = |record: &&RequestRecord| record.is_own() && !record.registered;
        let open: Vec<RequestKey> = self.money.requests.values().filter(unregistered).map(RequestRecord::key).collect();
        for key in open.into_iter().filter(|key| !self.money.refused_shares.contains_key(key)).collect::<Vec<_>>() {
            let flow = self.money.open_flows.entry(key).or_default();
            if !flow.is_ready(self.now) || self.money.under_way() >= UNDER_WAY_MAX {
                continue;
            }
            let Some(request) = self.money.requests.get(&key).map(|record| record.request.clone()) else { continue };
            let call = self.ask_ledger(Asked::Open { request: key }, LedgerRequest::OpenRequest { request });
            self.money.open_flows.entry(key).or_default().start(call);
        }
        self.reconcile_closings();
    }

    pub(super) fn on_request_opened(&mut self, key: RequestKey, answer: Answer) {
        let (jitter, now) = (self.jitter(), self.now);
        match self.told(answer) {
            Told::Reply(LedgerReply::Done) => self.request_opened(key),
            // It was there before, and has come to its end since: the list of changes says how.
            Told::Refused(Refusal::Ledger(LedgerRefusal::RequestClosed(_))) => self.request_opened(key),
            Told::Refused(refusal) => {
                self.money.open_flows.remove(&key);
                self.request_refused(key, &refusal);
            }
            Told::Reply(_) | Told::Again => self.money.open_flows.entry(key).or_default().fail(now, jitter),
        }
    }

    fn request_opened(&mut self, key: RequestKey) {
        self.money.open_flows.remove(&key);
        let Some(record) = self.money.edit_request(key).filter(|record| !record.registered) else { return };
        record.registered = true;
        let record = record.clone();
        self.money.requests_wanted = true;
        if let (Some(opening), Some(certificate)) = (record.opening.clone(), record.certificate.clone()) {
            let (request, share) = (record.request.clone(), record.share.clone());
            let notice = RequestNotice { request, opening, certificate, share };
            // Whoever was asked was written to.
            self.make_contact(record.payer);
            self.tell_in_conversation(record.payer, Body::Request(Box::new(notice)));
        }
        if let Some((opening, currency)) = record.opening.zip(self.currency()) {
            let outcome = MoneyOutcome::Requested {
                id: ShortId::Request(record.short),
                uid: record.id,
                from: opening.payer,
                amount: Money::new(record.amount, currency),
                expires_at: record.not_after,
            };
            let result = Ok(Outcome::Money(outcome));
            self.end_waiting(|waiting| matches!(waiting, MoneyWaiting::Open(of) if *of == key), &result);
        }
        if let Some(share) = record.share {
            self.end_shares(share.whole);
        }
    }

    fn request_refused(&mut self, key: RequestKey, refusal: &Refusal) {
        let Some((record, currency)) = self.money.requests.get(&key).zip(self.currency()) else { return };
        let other = record.opening.as_ref().map(|opening| opening.payer.to_string()).unwrap_or_default();
        let short = ShortId::Request(record.short).to_string();
        let failure = sentences::by_directory(refusal, &other, &short, currency);
        match record.share.clone() {
            Some(share) if self.waits_for_shares(share.whole) => {
                self.money.refused_shares.insert(key, failure.message);
                self.end_shares(share.whole);
            }
            _ => {
                self.remove_request(key);
                self.end_waiting(|waiting| matches!(waiting, MoneyWaiting::Open(of) if *of == key), &Err(failure));
            }
        }
    }

    pub(super) fn remove_request(&mut self, key: RequestKey) {
        self.money.requests.remove(&key);
        self.money.requests_changed.insert(key);
        self.money.refused_shares.remove(&key);
        self.money.open_flows.remove(&key);
        self.money.close_flows.remove(&key);
    }

    /// Somebody asks this account, or another device of it asked somebody.
    pub(super) fn note_request(&mut self, request: &PaymentRequest, notice: &RequestNotice) {
        let key = (request.payee, request.id);
        if self.money.requests.get(&key).is_some_and(|record| record.request != notice.request) {
            return self.report_misbehaviour("a request that was told is not the one that the ledger has");
        }
        let own = self.own().is_some_and(|own| own.account == request.payee);
        if !self.money.requests.contains_key(&key) {
            let record = RequestRecord {
                short: self.next_request(),
                told: own,
                ..new_record(request, notice.request.clone(), self.now)
            };
            self.money.requests.insert(key, record);
            self.take_early_ends(key);
        }
        if let Some(record) = self.money.edit_request(key) {
            record.opening = Some(notice.opening.clone());
            record.share = notice.share.clone();
        }
    }

    pub(super) fn on_requests(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Told::Reply(LedgerReply::Requests { changes, more }) = self.told(answer) else {
            self.money.requests_wanted = true;
            return self.money.requests_flow.fail(self.now, jitter);
        };
        self.money.requests_flow.succeed();
        for change in changes {
            if self.money.record.requests_after.is_some_and(|after| change.place <= after) {
                self.report_misbehaviour("the ledger tells changes of requests out of their order");
                return;
            }
            self.money.edit().requests_after = Some(change.place);
            self.take_change(&change);
        }
        if more {
            self.money.requests_wanted = true;
        } else if !self.money.record.requests_read {
            self.money.edit().requests_read = true;
        }
    }

    fn take_change(&mut self, change: &RequestChange) {
        let (Ok(request), Some(own)) = (change.request.request(), self.own().map(|own| own.account)) else { return };
        if request.payee != own && request.payer != own {
            return self.report_misbehaviour("the ledger told of somebody else's request");
        }
        let key = (request.payee, request.id);
        let (now, fresh) = (self.now, self.money.record.requests_read);
        if self.money.requests.get(&key).is_some_and(|record| record.request != change.request) {
            // What the ledger has is what counts; what was told instead is not shown.
            self.report_misbehaviour("a request that was told is not the one that the ledger has");
            self.remove_request(key);
        }
        if !self.money.requests.contains_key(&key) {
            let told = request.payee == own || !fresh;
            let short = self.next_request();
            let record = RequestRecord { short, told, ..new_record(&request, change.request.clone(), now) };
            self.money.requests.insert(key, record);
            self.take_early_ends(key);
        }
        if self.money.requests.get(&key).is_some_and(RequestRecord::is_own) {
            // The list of changes may be quicker than the answer, or come in place of it.
            self.request_opened(key);
        }
        let Some(record) = self.money.edit_request(key) else { return };
        record.registered = true;
        record.changed_at = now;
        // The answer to what was asked here may have told of a later step already.
        if follows(record.state, change.state) {
            record.state = change.state;
            if fresh {
                record.ends.push((change.state, change.order, now));
            }
        }
        if change.state != RequestState::Open
            && let Some(closing) = record.closing.take()
        {
            // The list of changes was quicker than the answer.
            self.tell_closed(key, closing, change.state);
        }
    }

    /// The oldest of what is over is forgotten.
    pub(super) fn forget_requests(&mut self) {
        if self.money.requests.len() <= ENDED_MAX {
            return;
        }
        let over = |record: &&RequestRecord| {
            record.state != RequestState::Open && record.ends.is_empty() && record.closing.is_none()
        };
        let mut ended: Vec<(Timestamp, RequestKey)> =
            self.money.requests.values().filter(over).map(|record| (record.changed_at, record.key())).collect();
        ended.sort_unstable();
        let excess = ended.len().saturating_sub(ENDED_MAX);
        for (_, key) in ended.into_iter().take(excess) {
            self.remove_request(key);
        }
    }
}

fn new_record(request: &PaymentRequest, signed: SignedRequest, now: Timestamp) -> RequestRecord {
    RequestRecord {
        payee: request.payee,
        payer: request.payer,
        id: request.id,
        short: 0,
        request: signed,
        amount: request.amount,
        not_after: request.not_after,
        opening: None,
        share: None,
        whole_short: None,
        certificate: None,
        registered: false,
        state: RequestState::Open,
        told: false,
        noted: false,
        ends: Vec::new(),
        closing: None,
        reason: None,
        changed_at: now,
    }
}
