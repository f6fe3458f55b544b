//! Commands about money that are not done yet, and their ends.

use mls_rs::CryptoProvider;
use protocol::{
    OrderId, RequestId, Timestamp,
    directory::{LedgerRequest, RequestState},
};

use super::{
    Asked,
    records::{OrderStage, RequestKey},
    sentences,
};
use crate::{
    command::{CommandResult, CommandToken, Failure, FailureCode, MoneyCommand, MoneyOutcome, Outcome},
    commands::Waiting,
    core::Core,
    event::{Money, ShortId},
    flow::Flow,
};

/// What a command about money waits for.
#[derive(Debug)]
pub(crate) enum MoneyWaiting {
    /// For the currency.
    Terms(MoneyCommand),
    /// For an order to be settled or refused.
    Order(OrderId),
    /// For a request to be with the ledger.
    Open(RequestKey),
    /// For all shares of one to be with it.
    Shares(RequestId),
    /// For requests to be over; by what the person called them.
    Close { id: ShortId, uid: RequestId, keys: Vec<RequestKey> },
    /// For the balance.
    Balance(Flow),
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn wait_money(&mut self, token: CommandToken, waiting: MoneyWaiting) {
        self.wait(token, Waiting::Money(waiting));
    }

    /// Ends whoever waits for something of this kind.
    pub(super) fn end_waiting(&mut self, is: impl Fn(&MoneyWaiting) -> bool, result: &CommandResult) {
        for token in self.money_tokens(is) {
            self.take_waiting_command(token);
            self.done(token, result.clone());
        }
    }

    pub(super) fn money_tokens(&self, is: impl Fn(&MoneyWaiting) -> bool) -> Vec<CommandToken> {
        let waiting = self.waiting_commands().filter_map(|(token, waiting)| match waiting {
            Waiting::Money(waiting) if is(waiting) => Some(token),
            _ => None,
        });
        waiting.collect()
    }

    /// The ledger does not hold: nothing is waited for any more. What is unknown stays so, and is kept.
    pub(super) fn end_money_waiters(&mut self, failure: &Failure) {
        self.end_waiting(|_| true, &Err(failure.clone()));
    }

    /// Whoever asked waits no longer.
    pub(crate) fn abandon_money(&self, waiting: &MoneyWaiting) -> Failure {
        match waiting {
            MoneyWaiting::Terms(_) | MoneyWaiting::Balance(_) => self.unreachable(),
            MoneyWaiting::Order(id) => {
                let short = self.money.orders.get(id).map_or(0, |order| order.short);
                sentences::unknown(&format!("{} is paid", ShortId::Payment(short)))
            }
            MoneyWaiting::Open(key) => {
                let short = self.money.requests.get(key).map_or(0, |request| request.short);
                sentences::unknown(&format!("it has taken {}", ShortId::Request(short)))
            }
            MoneyWaiting::Shares(_) => sentences::unknown("it has taken every share"),
            MoneyWaiting::Close { id, .. } => sentences::unknown(&format!("{id} is over")),
        }
    }

    /// What can be said by now, and the balance for whoever waits for it.
    pub(super) fn reconcile_money_waiters(&mut self) {
        if self.money.key.is_some() {
            let ready = self.money_tokens(|waiting| matches!(waiting, MoneyWaiting::Terms(_)));
            for token in ready {
                if let Some(Waiting::Money(MoneyWaiting::Terms(command))) = self.take_waiting_command(token) {
                    self.on_money_command(token, command);
                }
            }
        }
        if !self.ledger_open() {
            return;
        }
        let now = self.now;
        let due = |waiting: &MoneyWaiting| matches!(waiting, MoneyWaiting::Balance(flow) if flow.is_ready(now));
        for token in self.money_tokens(due) {
            let call = self.ask_ledger(Asked::Balance { token }, LedgerRequest::Balance);
            if let Some(flow) = self.balance_flow(token) {
                flow.start(call);
            }
        }
    }

    pub(super) fn balance_flow(&mut self, token: CommandToken) -> Option<&mut Flow> {
        match self.waiting_command(token) {
            Some(Waiting::Money(MoneyWaiting::Balance(flow))) => Some(flow),
            _ => None,
        }
    }

    pub(super) fn money_waiters_due(&self) -> Option<Timestamp> {
        let flows = self.waiting_commands().filter_map(|(_, waiting)| match waiting {
            Waiting::Money(MoneyWaiting::Balance(flow)) => flow.due(),
            _ => None,
        });
        flows.min()
    }

    /// What an order has come to, once that is certain.
    pub(super) fn order_result(&self, id: OrderId) -> Option<CommandResult> {
        let (order, currency) = (self.money.orders.get(&id)?, self.currency()?);
        match &order.stage {
            OrderStage::Open => None,
            OrderStage::Refused { code, reason } => {
                let code =
                    if *code == FailureCode::Conflict as u8 { FailureCode::Conflict } else { FailureCode::Refused };
                Some(Err(Failure::new(code, reason.clone())))
            }
            OrderStage::Settled { index, balance, .. } => Some(Ok(Outcome::Money(MoneyOutcome::Paid {
                id: ShortId::Payment(order.short),
                uid: id,
                to: order.opening.payee.clone(),
                amount: Money::new(order.amount, currency),
                balance: Money::new(*balance, currency),
                ledger_seq: *index,
                request: order.request.and_then(|key| self.request_short(key)),
                refund_of: order.refunds.and_then(|id| self.payment_short(id)),
            }))),
        }
    }

    /// An order came to its end: whoever waits hears of it.
    pub(super) fn end_order(&mut self, id: OrderId) {
        if let Some(result) = self.order_result(id) {
            self.end_waiting(|waiting| matches!(waiting, MoneyWaiting::Order(of) if *of == id), &result);
        }
    }

    /// A request is over, for whoever ended it.
    pub(super) fn end_closing(&mut self, key: RequestKey) {
        let waits = |waiting: &MoneyWaiting| matches!(waiting, MoneyWaiting::Close { keys, .. } if keys.contains(&key));
        for token in self.money_tokens(waits) {
            let Some(Waiting::Money(MoneyWaiting::Close { id, uid, keys })) = self.take_waiting_command(token) else {
                continue;
            };
            let open = keys.iter().any(|key| self.money.requests.get(key).is_some_and(|r| r.closing.is_some()));
            if open {
                self.wait_money(token, MoneyWaiting::Close { id, uid, keys });
                continue;
            }
            let records: Vec<_> = keys.iter().filter_map(|key| self.money.requests.get(key)).collect();
            let ended = |state| records.iter().filter(|record| record.state == state).count();
            let (declined, cancelled) = (ended(RequestState::Declined), ended(RequestState::Cancelled));
            let result = match (declined, cancelled, records.first()) {
                (0, 0, Some(record)) => Err(sentences::over(&id.to_string(), record.state)),
                (0, 0, None) => Err(sentences::no_request()),
                (0, count, _) => Ok((RequestState::Cancelled, count)),
                (count, ..) => Ok((RequestState::Declined, count)),
            };
            let result = result.map(|(state, count)| Outcome::Money(MoneyOutcome::Closed { id, uid, state, count }));
            self.done(token, result);
        }
    }
}
