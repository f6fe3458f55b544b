//! What REQUESTS and PAYMENTS show.

use mls_rs::CryptoProvider;
use protocol::{AccountId, Name, directory::RequestState};

use super::records::{OrderRecord, OrderStage, PaymentRecord, RequestRecord};
use crate::{
    command::{CommandToken, Failure, FailureCode, MoneyOutcome, MoneyRef, Outcome, PaymentView, RequestView},
    core::Core,
    event::{Money, PaymentState, ShortId},
};

/// Requests that are over and that REQUESTS shows: a screen of them.
const ENDED_SHOWN: usize = 20;

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn list_requests(&mut self, token: CommandToken) {
        let shown = |record: &&RequestRecord| record.told || record.opening.is_some();
        let (mut open, mut ended): (Vec<&RequestRecord>, Vec<&RequestRecord>) =
            self.money.requests.values().filter(shown).partition(|record| self.state_of(record) == RequestState::Open);
        open.sort_by_key(|record| record.short);
        ended.sort_by_key(|record| (record.changed_at, record.short));
        let excess = ended.len().saturating_sub(ENDED_SHOWN);
        let records = open.into_iter().chain(ended.into_iter().skip(excess));
        let requests = records.filter_map(|record| self.request_view(record)).collect();
        self.done(token, Ok(Outcome::Money(MoneyOutcome::Requests { requests })));
    }

    fn request_view(&self, record: &RequestRecord) -> Option<RequestView> {
        let (currency, own) = (self.currency()?, self.own()?.account);
        Some(RequestView {
            id: ShortId::Request(record.short),
            uid: record.id,
            from: self.party(record.payee),
            to: self.party(record.payer),
            incoming: record.payer == own,
            amount: Money::new(record.amount, currency),
            memo: record.opening.as_ref().map(|opening| opening.memo.to_string()),
            group: record.share.as_ref().map(|share| share.group.clone()),
            total: record.share.as_ref().map(|share| Money::new(share.total, currency)),
            whole: record.whole_short.map(ShortId::Request),
            expires_at: record.not_after,
            state: self.state_of(record),
            reason: record.reason.clone(),
        })
    }

    pub(super) fn list_payments(&mut self, token: CommandToken, with: Option<&Name>, count: usize) {
        let who = with.map(|name| self.people.by_name(name).map(|contact| contact.account));
        let who = match who {
            Some(None) => {
                let text = "nobody whom you paid or who paid you is called so; PAYMENTS alone lists them all";
                return self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            }
            Some(Some(account)) => Some(account),
            None => None,
        };
        let meant = |payer: Option<AccountId>, payee: AccountId| {
            who.is_none_or(|account| payer == Some(account) || payee == account)
        };
        let entered = self.money.payments.values().filter(|payment| meant(payment.payer, payment.payee));
        let entered = entered.filter_map(|payment| self.payment_view(payment));
        let shown = |order: &&OrderRecord| !self.is_taken_in(order) && meant(None, order.payee);
        let mut ordered: Vec<&OrderRecord> = self.money.orders.values().filter(shown).collect();
        ordered.sort_by_key(|order| order.short);
        let ordered = ordered.into_iter().filter_map(|order| self.order_view(order));
        let mut payments: Vec<PaymentView> = entered.chain(ordered).collect();
        let excess = payments.len().saturating_sub(count);
        payments.drain(..excess);
        self.done(token, Ok(Outcome::Money(MoneyOutcome::Payments { payments })));
    }

    fn payment_view(&self, payment: &PaymentRecord) -> Option<PaymentView> {
        let currency = self.currency()?;
        Some(PaymentView {
            id: ShortId::Payment(payment.short),
            uid: payment.id,
            at: payment.at,
            from: payment.payer.and_then(|payer| self.party(payer)),
            to: self.party(payment.payee),
            issued: payment.payer.is_none(),
            amount: Money::new(payment.amount, currency),
            memo: payment.memo.clone(),
            balance: Some(Money::new(payment.balance, currency)),
            ledger_seq: Some(payment.index),
            state: PaymentState::Paid,
            reason: None,
            request: payment.request.and_then(|key| self.request_short(key)),
            refund_of: payment.refunds.and_then(|id| self.payment_short(id)),
            history: payment.history,
        })
    }

    fn order_view(&self, order: &OrderRecord) -> Option<PaymentView> {
        let currency = self.currency()?;
        let (state, reason) = stage_state(&order.stage);
        Some(PaymentView {
            id: ShortId::Payment(order.short),
            uid: order.id,
            at: order.made_at,
            from: self.account_name().cloned(),
            to: Some(order.opening.payee.clone()),
            issued: false,
            amount: Money::new(order.amount, currency),
            memo: Some(order.opening.memo.to_string()),
            balance: None,
            ledger_seq: None,
            state,
            reason,
            request: order.request.and_then(|key| self.request_short(key)),
            refund_of: order.refunds.and_then(|id| self.payment_short(id)),
            history: false,
        })
    }

    /// How an own order stands whose entry was not taken in.
    pub(super) fn ordered_state(&self, id: MoneyRef) -> PaymentState {
        let named = |order: &&OrderRecord| match id {
            MoneyRef::Short(short) => short == ShortId::Payment(order.short),
            MoneyRef::Full(uid) => order.id.0 == uid,
        };
        let order = self.money.orders.values().find(named);
        order.map_or(PaymentState::Unknown, |order| stage_state(&order.stage).0)
    }
}

fn stage_state(stage: &OrderStage) -> (PaymentState, Option<String>) {
    match stage {
        OrderStage::Open => (PaymentState::Unknown, None),
        OrderStage::Settled { .. } => (PaymentState::Paid, None),
        OrderStage::Refused { reason, .. } => (PaymentState::NotPaid, Some(reason.clone())),
    }
}
