//! The person's own limits: kept on this node, and looked at before anything is signed.

use mls_rs::CryptoProvider;
use protocol::{AccountId, Timestamp, money::Amount};

use super::{
    records::{OrderRecord, OrderStage, PaymentRecord},
    sentences,
};
use crate::{
    command::{CommandToken, Failure, LimitsView, MoneyCommand, MoneyOutcome, Outcome, OwnLimit},
    core::Core,
    event::Money,
};

/// A day of UTC, in milliseconds.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

fn day(at: Timestamp) -> u64 {
    at.0 / DAY_MS
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether the person allows this payment, with all that was paid or ordered today.
    pub(super) fn check_own_limits(&self, payee: AccountId, amount: Amount) -> Result<(), Failure> {
        let limits = self.money.record.limits;
        let Some(currency) = self.currency() else { return Ok(()) };
        let within = |limit: Option<Amount>, sum: Option<Amount>, kind: OwnLimit| match limit {
            Some(limit) if sum.is_none_or(|sum| sum > limit) => {
                Err(sentences::own_limit(kind, &currency.show(limit).to_string()))
            }
            _ => Ok(()),
        };
        within(limits.payment, Some(amount), OwnLimit::Payment)?;
        within(limits.day, self.spent_today(None).and_then(|sum| sum.checked_add(amount)), OwnLimit::Day)?;
        within(limits.peer, self.spent_today(Some(payee)).and_then(|sum| sum.checked_add(amount)), OwnLimit::Peer)
    }

    /// What was paid and ordered today, to one person or to all; nothing if it is more than any amount.
    fn spent_today(&self, to: Option<AccountId>) -> Option<Amount> {
        let own = self.own()?.account;
        let today = day(self.now);
        let meant = |payee: AccountId| to.is_none_or(|to| to == payee);
        let paid =
            |payment: &&PaymentRecord| payment.payer == Some(own) && meant(payment.payee) && day(payment.at) == today;
        let paid = self.money.payments.values().filter(paid).map(|payment| payment.amount);
        let counts =
            |order: &OrderRecord| !self.is_taken_in(order) && !matches!(order.stage, OrderStage::Refused { .. });
        let ordered = |order: &&OrderRecord| counts(order) && meant(order.payee) && day(order.made_at) == today;
        let ordered = self.money.orders.values().filter(ordered).map(|order| order.amount);
        paid.chain(ordered).try_fold(Amount::ZERO, Amount::checked_add)
    }

    pub(super) fn show_limits(&mut self, token: CommandToken) {
        let Some(currency) = self.currency() else {
            return self.wait_for_terms(token, MoneyCommand::Limits);
        };
        let limits = self.money.record.limits;
        let money = |limit: Option<Amount>| limit.map(|limit| Money::new(limit, currency));
        let view = LimitsView {
            payment: money(limits.payment),
            day: money(limits.day),
            peer: money(limits.peer),
            confirm: money(limits.confirm),
            accept: self.unasked_view(),
        };
        self.done(token, Ok(Outcome::Money(MoneyOutcome::Limits(view))));
    }

    pub(super) fn set_limit(&mut self, token: CommandToken, limit: OwnLimit, amount: Option<String>) {
        let Some(currency) = self.currency() else {
            return self.wait_for_terms(token, MoneyCommand::SetLimit { limit, amount });
        };
        let parsed = amount.map(|text| currency.parse_any(&text).map_err(|error| sentences::amount(error, currency)));
        let value = match parsed.transpose() {
            Ok(value) => value,
            Err(failure) => return self.done(token, Err(failure)),
        };
        let limits = &mut self.money.edit().limits;
        match limit {
            OwnLimit::Payment => limits.payment = value,
            OwnLimit::Day => limits.day = value,
            OwnLimit::Peer => limits.peer = value,
            OwnLimit::Confirm => limits.confirm = value,
        }
        self.show_limits(token);
    }
}
