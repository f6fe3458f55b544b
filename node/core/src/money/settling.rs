//! Handing orders in, until the ledger has answered each; and telling payees.

use mls_rs::CryptoProvider;
use protocol::{
    OrderId,
    directory::{LedgerRefusal, LedgerReply, LedgerRequest, OwnEntry, Refusal},
    money::{Entry, SignedOrder},
    peer::{Body, PaymentNotice},
};
use settlement::receipt;

use super::{
    Asked, UNDER_WAY_MAX,
    records::{OrderKey, OrderRecord, OrderStage},
    terms::Told,
};
use crate::{command::FailureCode, core::Core, event::LedgerState, input::Answer};

impl<C: CryptoProvider + Clone> Core<C> {
    /// Hands in what is not certain.
    pub(super) fn reconcile_orders(&mut self) {
        let open = |order: &&OrderRecord| order.stage == OrderStage::Open;
        let open: Vec<OrderId> = self.money.orders.values().filter(open).map(|order| order.id).collect();
        for id in open {
            let flow = self.money.order_flows.entry(id).or_default();
            if !flow.is_ready(self.now) || self.money.under_way() >= UNDER_WAY_MAX {
                continue;
            }
            let Some(order) = self.money.orders.get(&id).map(|order| order.order.clone()) else { continue };
            let call = self.ask_ledger(Asked::Settle { order: id }, LedgerRequest::Settle { order });
            self.money.order_flows.entry(id).or_default().start(call);
        }
        let deposits = self.money.notices.values().filter(|notice| notice.deposit);
        let deposits: Vec<OrderKey> = deposits.map(|notice| (notice.payer, notice.id)).collect();
        for key in deposits {
            let flow = self.money.deposit_flows.entry(key).or_default();
            if !flow.is_ready(self.now) || self.money.under_way() >= UNDER_WAY_MAX {
                continue;
            }
            let Some(order) = self.money.notices.get(&key).map(|notice| notice.order.clone()) else { continue };
            let call = self.ask_ledger(Asked::Deposit { order: key }, LedgerRequest::Settle { order });
            self.money.deposit_flows.entry(key).or_default().start(call);
        }
    }

    pub(super) fn on_settled(&mut self, id: OrderId, answer: Answer) {
        let jitter = self.jitter();
        let told = self.told(answer);
        let (now, handed) = (self.now, self.money.orders.get(&id).is_some_and(|order| order.handed));
        match told {
            Told::Reply(LedgerReply::Settled(entry)) => {
                self.money.order_flows.remove(&id);
                self.settle_order(id, *entry);
            }
            // Whoever has it may hand it in when it is no longer too far ahead: then it is still unknown.
            Told::Refused(Refusal::Ledger(LedgerRefusal::TooFar)) if handed => {
                self.money.order_flows.entry(id).or_default().fail(now, jitter);
            }
            Told::Refused(refusal @ Refusal::Ledger(LedgerRefusal::TooMany)) => {
                // Nothing was decided; the next try comes later, and whoever waits is told in the meantime.
                self.report_refused("the ledger takes no more orders for now", &refusal);
                self.money.order_flows.entry(id).or_default().fail(now, jitter);
            }
            Told::Refused(refusal) => {
                self.money.order_flows.remove(&id);
                let failure = self.order_refused(id, &refusal);
                if let Some((order, failure)) = self.money.edit_order(id).zip(failure) {
                    let code = if failure.code == FailureCode::Conflict { failure.code } else { FailureCode::Refused };
                    order.stage = OrderStage::Refused { code: code as u8, reason: failure.message };
                }
                self.money.want();
                self.end_order(id);
            }
            Told::Reply(_) | Told::Again => self.money.order_flows.entry(id).or_default().fail(now, jitter),
        }
    }

    /// The ledger says that it has an order: its receipt must say so too.
    fn settle_order(&mut self, id: OrderId, entry: OwnEntry) {
        let Some(signed) = self.money.orders.get(&id).map(|order| order.order.clone()) else { return };
        if !self.is_receipt_of(&signed, &entry.entry) {
            self.report_misbehaviour("the ledger's receipt is not of the order that was handed in");
            return self.raise(LedgerState::Forged);
        }
        let (index, balance) = (entry.entry.index, entry.balance);
        self.add_unproven(entry.entry.checkpoint.clone());
        let mut of_request = false;
        if let Some(order) = self.money.edit_order(id) {
            of_request = order.request.is_some() || order.refunds.is_some();
            order.stage = OrderStage::Settled { index, balance, receipt: Box::new(entry.entry) };
        }
        self.money.entries_wanted = true;
        // Nobody else's request can have changed by it.
        self.money.requests_wanted |= of_request;
        self.end_order(id);
    }

    /// Whether a receipt holds and is of this very order.
    pub(super) fn is_receipt_of(&self, signed: &SignedOrder, settled: &protocol::money::SettledEntry) -> bool {
        let Some(key) = &self.money.key else { return false };
        let verified = receipt::verify(settled, key);
        verified.is_ok_and(|verified| matches!(verified.entry, Entry::Transfer { order, .. } if order == *signed))
    }

    pub(super) fn on_handed_in(&mut self, key: OrderKey, answer: Answer) {
        let jitter = self.jitter();
        let now = self.now;
        match self.told(answer) {
            Told::Reply(LedgerReply::Settled(_)) => {
                // The entry itself is verified where all of them are.
                self.money.want();
                self.end_deposit(key);
            }
            Told::Refused(Refusal::Ledger(LedgerRefusal::TooMany)) | Told::Reply(_) | Told::Again => {
                self.money.deposit_flows.entry(key).or_default().fail(now, jitter);
            }
            Told::Refused(_) => self.end_deposit(key),
        }
    }

    fn end_deposit(&mut self, key: OrderKey) {
        self.money.deposit_flows.remove(&key);
        self.money.notices_changed.insert(key);
        if let Some(notice) = self.money.notices.get_mut(&key) {
            notice.deposit = false;
        }
    }

    /// While the directory is away, a payee who is connected gets the order at once, and hands it in when they can.
    pub(super) fn hand_over_directly(&mut self) {
        if self.link.is_connected() || self.money.record.alarm.is_some() {
            return;
        }
        let connected: Vec<_> = self.peers.accounts().collect();
        let unheard =
            |order: &&OrderRecord| order.stage == OrderStage::Open && !order.handed && connected.contains(&order.payee);
        let unheard: Vec<OrderId> = self.money.orders.values().filter(unheard).map(|order| order.id).collect();
        for id in unheard {
            let Some(order) = self.money.edit_order(id) else { continue };
            order.handed = true;
            let (payee, notice) = (order.payee, notice(order, None));
            self.tell_in_conversation(payee, Body::Payment(Box::new(notice)));
        }
    }

    /// Each payee hears of what is settled, with the receipt.
    pub(super) fn tell_payees(&mut self) {
        let untold = |order: &&OrderRecord| !order.told && matches!(order.stage, OrderStage::Settled { .. });
        let untold: Vec<OrderId> = self.money.orders.values().filter(untold).map(|order| order.id).collect();
        for id in untold {
            let Some(order) = self.money.edit_order(id) else { continue };
            order.told = true;
            let OrderStage::Settled { receipt, .. } = &order.stage else { continue };
            let (payee, notice) = (order.payee, notice(order, Some((**receipt).clone())));
            self.make_contact(payee);
            self.tell_in_conversation(payee, Body::Payment(Box::new(notice)));
        }
    }

    /// Whoever was paid or asked is a contact.
    pub(super) fn make_contact(&mut self, account: protocol::AccountId) {
        if self.people.accept(account) {
            self.book_changed();
            self.announce_accepted_peers();
        }
    }

    /// Says something about money to a person, in the conversation with them.
    pub(super) fn tell_in_conversation(&mut self, account: protocol::AccountId, body: Body) {
        if let Some(id) = self.conversation_with(account) {
            self.enqueue_hidden(id, body, false);
        }
    }
}

fn notice(order: &OrderRecord, receipt: Option<protocol::money::SettledEntry>) -> PaymentNotice {
    PaymentNotice {
        order: order.order.clone(),
        opening: order.opening.clone(),
        certificate: order.certificate.clone(),
        receipt,
    }
}
