//! PAY, ACCEPT and REFUND.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedText, Name, OrderId,
    money::{Amount, MEMO_MAX},
};

use super::{
    orders::Draft,
    records::{OrderStage, PaymentRecord, RequestKey},
    sentences,
    waiting::MoneyWaiting,
};
use crate::{
    command::{Command, CommandToken, Failure, FailureCode, MoneyCommand, MoneyRef},
    commands::changed_key,
    core::Core,
    event::{ShortId, Trust},
};

impl<C: CryptoProvider + Clone> Core<C> {
    pub(crate) fn on_money_command(&mut self, token: CommandToken, command: MoneyCommand) {
        let looks = matches!(
            command,
            MoneyCommand::Requests
                | MoneyCommand::Payments { .. }
                | MoneyCommand::AskRequest { .. }
                | MoneyCommand::AskPayment { .. }
                | MoneyCommand::Limits
                | MoneyCommand::SetLimit { .. }
        );
        if let Err(failure) = self.check_alarm()
            && !looks
        {
            return self.done(token, Err(failure));
        }
        if self.currency().is_none() {
            return self.wait_for_terms(token, command);
        }
        match command {
            MoneyCommand::Pay { .. } => self.pay(token, command),
            MoneyCommand::Request { from, amount, memo } => self.request_money(token, from, &amount, memo),
            MoneyCommand::RequestGroup { group, amount, memo } => self.request_group(token, group, &amount, memo),
            MoneyCommand::Accept { id } => self.accept_request(token, id),
            MoneyCommand::Decline { id, reason } => self.decline_request(token, id, &reason),
            MoneyCommand::Cancel { id, reason } => self.cancel_request(token, id, &reason),
            MoneyCommand::Refund { id, amount } => self.refund(token, id, amount.as_deref()),
            MoneyCommand::Balance => self.wait_money(token, MoneyWaiting::Balance(crate::flow::Flow::default())),
            MoneyCommand::Requests => self.list_requests(token),
            MoneyCommand::Payments { with, count } => self.list_payments(token, with.as_ref(), count),
            MoneyCommand::AskRequest { id } => self.ask_request(token, id),
            MoneyCommand::AskPayment { id } => self.ask_payment(token, id),
            MoneyCommand::Weigh { amount } => self.weigh(token, &amount),
            MoneyCommand::WeighRequest { id } => self.weigh_request(token, id),
            MoneyCommand::WeighRefund { id, amount } => self.weigh_refund(token, id, amount.as_deref()),
            MoneyCommand::Limits => self.show_limits(token),
            MoneyCommand::SetLimit { limit, amount } => self.set_limit(token, limit, amount),
        }
    }

    /// Nobody knows here yet what the money is: the directory says so when it is there.
    pub(super) fn wait_for_terms(&mut self, token: CommandToken, command: MoneyCommand) {
        self.wait_money(token, MoneyWaiting::Terms(command));
    }

    pub(super) fn parse_amount(&self, text: &str) -> Result<Amount, Failure> {
        let Some(currency) = self.currency() else { return Err(self.unreachable()) };
        currency.parse(text).map_err(|error| sentences::amount(error, currency))
    }

    fn pay(&mut self, token: CommandToken, command: MoneyCommand) {
        let MoneyCommand::Pay { payer, to, amount, memo, id } = command.clone() else { return };
        if let Some(payer) = payer.filter(|payer| Some(payer) != self.account_name()) {
            return self.done(token, Err(sentences::foreign_payer(&payer, &to)));
        }
        let amount = match self.parse_amount(&amount) {
            Ok(amount) => amount,
            Err(failure) => return self.done(token, Err(failure)),
        };
        let Some(payee) = self.payable(token, &to, || command) else { return };
        if let Some(id) = id
            && let Some(known) = self.same_order(id, payee, amount, &memo)
        {
            return match known {
                Ok(()) => self.follow_order(token, id),
                Err(failure) => self.done(token, Err(failure)),
            };
        }
        let draft = self.memo(memo).map(|memo| Draft { id, memo, ..Draft::new(payee, to, amount) });
        self.order(token, draft);
    }

    /// The person whom money goes to or is asked of, or the command has ended, or waits until the directory has said who
    /// that is.
    pub(super) fn payable(
        &mut self,
        token: CommandToken,
        to: &Name,
        again: impl FnOnce() -> MoneyCommand,
    ) -> Option<AccountId> {
        if self.group_named(to).is_some() {
            let text =
                format!("{to} is a group; REQUEST GROUP {to} AMOUNT asks its members, PAY takes a person's name");
            self.done(token, Err(Failure::new(FailureCode::Conflict, text)));
            return None;
        }
        let account = self.person(token, to, || Command::Money(again()))?;
        let failure = match self.people.trust(account) {
            Trust::Changed => Some(changed_key(to)),
            _ if self.has_blocked(account) => Some(sentences::blocked(to)),
            _ => None,
        };
        if let Some(failure) = failure {
            self.done(token, Err(failure));
            return None;
        }
        Some(account)
    }

    pub(super) fn memo(&self, memo: String) -> Result<BoundedText<MEMO_MAX>, Failure> {
        let length = memo.len();
        BoundedText::new(memo).map_err(|_| sentences::too_long(length, MEMO_MAX))
    }

    /// Whether a caller's own id stands for the same payment already, or for another one.
    fn same_order(&self, id: OrderId, payee: AccountId, amount: Amount, memo: &str) -> Option<Result<(), Failure>> {
        let same = match (self.money.orders.get(&id), self.paid_by_order(id)) {
            (Some(order), _) => (order.payee, order.amount) == (payee, amount) && *order.opening.memo == *memo,
            (None, Some(payment)) => {
                (payment.payee, payment.amount) == (payee, amount)
                    && payment.memo.as_deref().is_none_or(|known| known == memo)
            }
            (None, None) => return None,
        };
        Some(if same {
            Ok(())
        } else {
            let text = "this id stands for another payment; take a new one for a new payment";
            Err(Failure::new(FailureCode::Conflict, text))
        })
    }

    /// What this account paid by an order that is done with.
    pub(super) fn paid_by_order(&self, id: OrderId) -> Option<&PaymentRecord> {
        let own = self.own()?.account;
        self.money.payments.values().find(|payment| payment.id == id && payment.payer == Some(own))
    }

    /// Waits for the end of an order that is known, or tells it.
    pub(super) fn follow_order(&mut self, token: CommandToken, id: OrderId) {
        if let Some(result) = self.order_result(id).or_else(|| self.paid_result(id)) {
            return self.done(token, result);
        }
        self.wait_money(token, MoneyWaiting::Order(id));
    }

    /// Signs an order and waits for its end.
    fn order(&mut self, token: CommandToken, draft: Result<Draft, Failure>) {
        match draft.and_then(|draft| self.sign_order(draft)) {
            Ok(id) => self.wait_money(token, MoneyWaiting::Order(id)),
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    pub(super) fn accept_request(&mut self, token: CommandToken, id: MoneyRef) {
        match self.acceptable(id) {
            Ok(key) => {
                let paying = self
                    .money
                    .orders
                    .values()
                    .find(|order| order.request == Some(key) && !matches!(order.stage, OrderStage::Refused { .. }));
                if let Some(order) = paying.map(|order| order.id) {
                    return self.follow_order(token, order);
                }
                let draft = self.answer(key);
                self.order(token, draft);
            }
            Err(failure) => self.done(token, Err(failure)),
        }
    }

    /// The request that can be paid from here.
    pub(super) fn acceptable(&self, id: MoneyRef) -> Result<RequestKey, Failure> {
        let key = self.find_request(id)?;
        let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
        let short = ShortId::Request(record.short).to_string();
        if Some(record.payer) != self.own().map(|own| own.account) {
            return Err(sentences::not_asked(&short));
        }
        let state = self.state_of(record);
        if state != protocol::directory::RequestState::Open {
            return Err(sentences::over(&short, state));
        }
        if record.opening.is_none() {
            return Err(sentences::untold(&short));
        }
        Ok(key)
    }

    /// The order that a request asks for.
    fn answer(&self, key: RequestKey) -> Result<Draft, Failure> {
        let record = self.money.requests.get(&key).ok_or_else(sentences::no_request)?;
        let opening = record.opening.clone().ok_or_else(sentences::no_request)?;
        let payee = opening.payee.clone();
        match self.people.trust(record.payee) {
            Trust::Changed => return Err(changed_key(&payee)),
            _ if self.has_blocked(record.payee) => return Err(sentences::blocked(&payee)),
            _ => {}
        }
        let draft = Draft::new(record.payee, payee, record.amount);
        let answers = Some((key, record.request.clone(), opening, record.not_after));
        Ok(Draft { answers, ..draft })
    }

    pub(super) fn refund(&mut self, token: CommandToken, id: MoneyRef, amount: Option<&str>) {
        let draft = self.give_back(id, amount);
        self.order(token, draft);
    }

    pub(super) fn give_back(&self, id: MoneyRef, amount: Option<&str>) -> Result<Draft, Failure> {
        let index = self.find_payment(id)?.ok_or_else(|| {
            Failure::new(FailureCode::Refused, "that is a payment of your own; only who was paid can give it back")
        })?;
        let payment = self.money.payments.get(&index).ok_or_else(sentences::no_payment)?;
        let (own, short) = (self.own().map(|own| own.account), ShortId::Payment(payment.short));
        let refuse = |text: String| Err(Failure::new(FailureCode::Refused, text));
        let Some(payer) = payment.payer.filter(|payer| Some(*payer) != own) else {
            return refuse(format!(
                "{short} was not paid to you by anybody who could get it back; PAYMENTS lists what was"
            ));
        };
        let Some(name) = self.party(payer) else {
            return refuse(format!(
                "whoever paid {short} has no account any more; PAYMENTS lists what can be given back"
            ));
        };
        match self.people.trust(payer) {
            Trust::Changed => return Err(changed_key(&name)),
            _ if self.has_blocked(payer) => return Err(sentences::blocked(&name)),
            _ => {}
        }
        let left = self.left_of(payment);
        let amount = amount.map_or(Ok(left), |text| self.parse_amount(text))?;
        let shown = self.currency().map(|currency| currency.show(left).to_string()).unwrap_or_default();
        if amount == Amount::ZERO {
            return refuse(format!("nothing of {short} is left to give back; PAYMENTS shows what was"));
        }
        if amount > left {
            return refuse(format!(
                "only {shown} of {short} is left to give back; REFUND {short} alone gives back that"
            ));
        }
        let refunds = Some(payment.id);
        Ok(Draft { refunds, ..Draft::new(payer, name, amount) })
    }

    /// What of a payment was not given back or ordered to be.
    fn left_of(&self, payment: &PaymentRecord) -> Amount {
        let Some(payer) = payment.payer else { return Amount::ZERO };
        let back = |other: &&PaymentRecord| other.refunds == Some(payment.id) && other.payee == payer;
        let given = self.money.payments.values().filter(back).map(|other| other.amount);
        let ordered = self.money.orders.values().filter(|order| {
            let counts = !self.is_taken_in(order) && !matches!(order.stage, OrderStage::Refused { .. });
            order.refunds == Some(payment.id) && order.payee == payer && counts
        });
        let ordered = ordered.map(|order| order.amount);
        given.chain(ordered).fold(payment.amount, |left, given| left.checked_sub(given).unwrap_or(Amount::ZERO))
    }
}
