//! BALANCE, and finding requests and payments by what people call them.

use mls_rs::CryptoProvider;
use protocol::{
    directory::{LedgerReply, RequestState},
    money::Amount,
};

use super::{
    records::{RequestKey, RequestRecord},
    sentences,
    terms::Told,
};
use crate::{
    command::{BalanceView, CommandToken, Failure, MoneyOutcome, MoneyRef, Outcome},
    core::Core,
    event::{Money, PaymentState, ShortId},
    input::Answer,
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn on_balance(&mut self, token: CommandToken, answer: Answer) {
        let (jitter, now) = (self.jitter(), self.now);
        let result = match self.told(answer) {
            Told::Reply(LedgerReply::Balance { available, held, checkpoint }) => {
                self.take_checkpoint(checkpoint);
                self.balance_view(available, held)
            }
            Told::Refused(refusal) => {
                let currency = self.currency().cloned().unwrap_or_default();
                Some(Err(sentences::by_directory(&refusal, "the other one", "that", &currency)))
            }
            Told::Reply(_) | Told::Again => None,
        };
        match result {
            Some(result) if self.balance_flow(token).is_some() => {
                self.take_waiting_command(token);
                self.done(token, result.map(|view| Outcome::Money(MoneyOutcome::Balance(view))));
            }
            Some(_) => {}
            None => {
                if let Some(flow) = self.balance_flow(token) {
                    flow.fail(now, jitter);
                }
            }
        }
    }

    /// Why the account can't be closed yet, as far as this device knows; the directory looks too.
    pub(crate) fn still_has_money(&self) -> Option<Failure> {
        let balance = self.money.balance().filter(|balance| balance.amount > Amount::ZERO)?;
        Some(sentences::not_empty(&balance.to_string()))
    }

    fn balance_view(&self, available: Amount, held: Amount) -> Option<Result<BalanceView, Failure>> {
        let (currency, own) = (self.currency()?, self.own()?.account);
        let asked =
            |record: &&RequestRecord| record.payer == own && record.told && self.state_of(record) == RequestState::Open;
        let asked: Vec<Amount> = self.money.requests.values().filter(asked).map(|record| record.amount).collect();
        let sum = asked.iter().try_fold(Amount::ZERO, |sum, amount| sum.checked_add(*amount));
        Some(Ok(BalanceView {
            available: Money::new(available, currency),
            held: Money::new(held, currency),
            currency: currency.name.to_string(),
            requests: asked.len(),
            requested: sum.filter(|_| !asked.is_empty()).map(|sum| Money::new(sum, currency)),
        }))
    }

    /// A request by its short id or its full one.
    pub(super) fn find_request(&self, id: MoneyRef) -> Result<RequestKey, Failure> {
        let named = |record: &&RequestRecord| match id {
            MoneyRef::Short(short) => short == ShortId::Request(record.short),
            MoneyRef::Full(uid) => record.id.0 == uid,
        };
        // One that nobody was told of is nothing that could be meant.
        let known = |record: &&RequestRecord| record.told || record.opening.is_some();
        let mut found = self.money.requests.values().filter(named).filter(known);
        match (found.next(), found.next()) {
            (Some(record), None) => Ok(record.key()),
            (Some(_), Some(_)) => Err(sentences::ambiguous()),
            (None, _) => Err(sentences::no_request()),
        }
    }

    /// A payment's place in the ledger by its short id or its full one; nothing for an own order that is not taken in yet.
    pub(super) fn find_payment(&self, id: MoneyRef) -> Result<Option<u64>, Failure> {
        let named = |short: u64, uid: [u8; 16]| match id {
            MoneyRef::Short(wanted) => wanted == ShortId::Payment(short),
            MoneyRef::Full(wanted) => wanted == uid,
        };
        let mut found = self.money.payments.values().filter(|payment| named(payment.short, payment.id.0));
        match (found.next(), found.next()) {
            (Some(payment), None) => Ok(Some(payment.index)),
            (Some(_), Some(_)) => Err(sentences::ambiguous()),
            (None, _) if self.money.orders.values().any(|order| named(order.short, order.id.0)) => Ok(None),
            (None, _) => Err(sentences::no_payment()),
        }
    }

    pub(super) fn ask_request(&mut self, token: CommandToken, id: MoneyRef) {
        let found = self.find_request(id);
        let state = found.map(|key| self.money.requests.get(&key).map(|record| self.state_of(record)));
        let result = state.and_then(|state| state.ok_or_else(sentences::no_request));
        self.done(token, result.map(|state| Outcome::Money(MoneyOutcome::RequestState(state))));
    }

    pub(super) fn ask_payment(&mut self, token: CommandToken, id: MoneyRef) {
        let state = self.find_payment(id).map(|place| match place {
            Some(_) => PaymentState::Paid,
            None => self.ordered_state(id),
        });
        self.done(token, state.map(|state| Outcome::Money(MoneyOutcome::PaymentState(state))));
    }

    pub(super) fn weigh(&mut self, token: CommandToken, amount: &str) {
        let result = self.parse_amount(amount).map(|amount| self.weighed(amount, None));
        self.done(token, result);
    }

    pub(super) fn weigh_request(&mut self, token: CommandToken, id: MoneyRef) {
        let result = self.acceptable(id).and_then(|key| {
            let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
            Ok(self.weighed(record.amount, record.opening.as_ref().map(|opening| opening.payee.clone())))
        });
        self.done(token, result);
    }

    pub(super) fn weigh_refund(&mut self, token: CommandToken, id: MoneyRef, amount: Option<&str>) {
        let result = self.give_back(id, amount).map(|draft| self.weighed(draft.amount, Some(draft.name)));
        self.done(token, result);
    }

    fn weighed(&self, amount: Amount, to: Option<protocol::Name>) -> Outcome {
        let currency = self.currency().cloned().unwrap_or_default();
        let known = self.money.record.entries_read.then_some(self.money.record.balance);
        let after = known.and_then(|balance| balance.checked_sub(amount));
        Outcome::Money(MoneyOutcome::Weighed {
            amount: Money::new(amount, &currency),
            to,
            after: after.map(|after| Money::new(after, &currency)),
            confirm: self.money.record.limits.confirm.is_some_and(|limit| amount > limit),
        })
    }
}
