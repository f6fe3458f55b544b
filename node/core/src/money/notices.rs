//! What people say of money end to end: checked against who says it, and matched with what the ledger says.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, ConversationId,
    money::{ClosingKind, MemoOpening, Order},
    peer::{Body, ClosedNotice, PaymentNotice, RequestNotice},
};
use settlement::{memo, signed};

use super::records::{EarlyEnd, NoticeRecord, OrderKey, RequestKey};
use crate::core::Core;

/// Notices whose entry has not come that are kept: a page of payments from a busy payer, some times over.
const NOTICES_MAX: usize = 4_096;
/// Reasons of ends that are kept of one person, and of all, before anything of their requests is known: what comes in another
/// order than it was said, and not more than what a stranger may fill up.
const EARLY_ENDS_EACH_MAX: usize = 16;
/// See [`EARLY_ENDS_EACH_MAX`].
const EARLY_ENDS_MAX: usize = 256;
/// How long a notice is kept at least, and after its order's end, in milliseconds: a day, for clocks that differ, and for
/// whoever was away and hears what was said before they see the ledger.
const NOTICE_AGE_MS: u64 = 24 * 3_600 * 1_000;

impl<C: CryptoProvider + Clone> Core<C> {
    /// Takes what somebody said of money in a conversation.
    pub(crate) fn take_money(&mut self, id: ConversationId, account: AccountId, body: &Body) {
        let Some(own) = self.own().map(|own| own.account) else { return };
        // Of money people talk in the conversation of the two alone.
        let Some(peer) = self.conversations.get(&id).and_then(|state| state.record.peer()) else {
            return self.report_misbehaviour("somebody told of money in a group");
        };
        if self.has_blocked(account) {
            return;
        }
        let other = if account == own { peer } else { own };
        match body {
            Body::Payment(notice) => self.take_payment_notice(account, other, notice),
            Body::Request(notice) => self.take_request_notice(account, other, notice),
            Body::Closed(notice) => self.take_closed_notice(account, notice),
            _ => {}
        }
    }

    /// Whether an opening names the two as they are called here, and is what was signed.
    fn names_both(&self, opening: &MemoOpening, payer: AccountId, payee: AccountId) -> bool {
        self.party(payer).is_some_and(|name| name == opening.payer)
            && self.party(payee).is_some_and(|name| name == opening.payee)
    }

    fn take_payment_notice(&mut self, payer: AccountId, payee: AccountId, notice: &PaymentNotice) {
        let order = match signed::verify_order(&notice.order, &notice.certificate) {
            Ok(order) => order,
            Err(error) => return self.report_refused("an order that was told does not hold", &error),
        };
        let ledger = self.money.key.as_ref().map(|key| key.ledger);
        let holds = (order.payer, order.payee) == (payer, payee)
            && ledger.is_none_or(|ledger| ledger == order.ledger)
            && memo::opens(&notice.opening, order.memo)
            && self.names_both(&notice.opening, payer, payee);
        if !holds {
            return self.report_misbehaviour("an order that was told is not what its words say");
        }
        let settled = notice.receipt.as_ref().filter(|receipt| self.is_receipt_of(&notice.order, receipt));
        if notice.receipt.is_some() && settled.is_none() && self.money.key.is_some() {
            return self.report_misbehaviour("a receipt that was told does not hold");
        }
        if let Some(receipt) = settled {
            self.take_checkpoint(receipt.checkpoint.clone());
        }
        let deposit = settled.is_none() && self.own().is_some_and(|own| own.account == payee);
        self.keep_notice(order, notice, deposit);
        self.money.want();
    }

    fn keep_notice(&mut self, order: Order, notice: &PaymentNotice, deposit: bool) {
        let key = (order.payer, order.id);
        let entry =
            self.money.payments.values().find(|payment| {
                (payment.payer, payment.id, payment.payee) == (Some(order.payer), order.id, order.payee)
            });
        if let Some((index, known)) = entry.map(|payment| (payment.index, payment.memo.is_some())) {
            // The entry came first; a commitment opens to one memo only, so this is what its order says too.
            if let Some(payment) = self.money.edit_payment(index).filter(|_| !known) {
                payment.memo = Some(notice.opening.memo.to_string());
            }
            return;
        }
        let known = self.money.notices.get(&key).is_some_and(|known| known.order == notice.order && !known.deposit);
        if known || self.money.notices.len() >= NOTICES_MAX && !self.money.notices.contains_key(&key) {
            return;
        }
        let record = NoticeRecord {
            payer: order.payer,
            id: order.id,
            order: notice.order.clone(),
            opening: notice.opening.clone(),
            keep_until: order.not_after.max(self.now).plus_ms(NOTICE_AGE_MS),
            deposit,
        };
        self.money.notices.insert(key, record);
        self.money.notices_changed.insert(key);
    }

    /// What was said of an order whose entry has come; the notice is done with.
    pub(super) fn noticed_memo(&mut self, key: OrderKey, order: Option<&Order>) -> Option<String> {
        let notice = self.money.notices.get(&key)?;
        let same = order.is_some_and(|order| memo::opens(&notice.opening, order.memo));
        let memo = notice.opening.memo.to_string();
        self.money.remove_notice(key);
        same.then_some(memo)
    }

    pub(super) fn forget_notices(&mut self) {
        // Whoever comes back after days has heard what was said, and not seen the entries that it was said of.
        let read = self.ledger_open() && !self.money.entries_wanted && !self.money.entries_flow.is_busy();
        if !read {
            return;
        }
        let now = self.now;
        let old = self.money.notices.values().filter(|notice| notice.keep_until <= now);
        let old: Vec<OrderKey> = old.map(|notice| (notice.payer, notice.id)).collect();
        for key in old {
            self.money.remove_notice(key);
        }
        if self.money.record.early.iter().any(|end| end.keep_until <= now) {
            self.money.edit().early.retain(|end| end.keep_until > now);
        }
    }

    fn take_request_notice(&mut self, payee: AccountId, payer: AccountId, notice: &RequestNotice) {
        let request = match signed::verify_request(&notice.request, &notice.certificate) {
            Ok(request) => request,
            Err(error) => return self.report_refused("a request that was told does not hold", &error),
        };
        let ledger = self.money.key.as_ref().map(|key| key.ledger);
        let holds = (request.payee, request.payer) == (payee, payer)
            && ledger.is_none_or(|ledger| ledger == request.ledger)
            && memo::opens(&notice.opening, request.memo)
            && self.names_both(&notice.opening, payer, payee);
        let share_holds = notice.share.as_ref().is_none_or(|share| share.total >= request.amount && share.shares > 0);
        if !holds || !share_holds {
            return self.report_misbehaviour("a request that was told is not what its words say");
        }
        self.note_request(&request, notice);
        self.money.want();
    }

    fn take_closed_notice(&mut self, by: AccountId, notice: &ClosedNotice) {
        let (request, kind, reason) = ((notice.payee, notice.request), notice.kind, notice.reason.to_string());
        if !reason.is_empty() {
            let keep_until = self.now.plus_ms(NOTICE_AGE_MS);
            let end = EarlyEnd { by, request, kind, reason, keep_until };
            if self.money.requests.contains_key(&request) { self.take_end(end) } else { self.keep_early_end(end) }
        }
        self.money.want();
    }

    /// Why a request is over, by whoever may end it.
    fn take_end(&mut self, end: EarlyEnd) {
        let Some(record) = self.money.requests.get(&end.request) else { return };
        let may = match end.kind {
            ClosingKind::Decline => record.payer,
            ClosingKind::Cancel => record.payee,
        };
        if may != end.by {
            return self.report_misbehaviour("somebody ended a request that is not theirs to end");
        }
        if let Some(record) = self.money.edit_request(end.request)
            && record.reason.is_none()
        {
            record.reason = Some(end.reason);
        }
    }

    /// One device of somebody may end what another one asks for, and be heard first.
    fn keep_early_end(&mut self, end: EarlyEnd) {
        let early = &self.money.record.early;
        let theirs = early.iter().filter(|other| other.by == end.by);
        if early.len() < EARLY_ENDS_MAX && theirs.count() < EARLY_ENDS_EACH_MAX {
            self.money.edit().early.push(end);
        }
    }

    /// Something of a request is known now: so what was said of its end before counts.
    pub(super) fn take_early_ends(&mut self, key: RequestKey) {
        if !self.money.record.early.iter().any(|end| end.request == key) {
            return;
        }
        let (said, others) =
            std::mem::take(&mut self.money.edit().early).into_iter().partition(|end| end.request == key);
        self.money.edit().early = others;
        let said: Vec<EarlyEnd> = said;
        said.into_iter().for_each(|end| self.take_end(end));
    }
}
