//! Own entries of the ledger, in order: each verified, taken in once, and told once.

use std::collections::BTreeSet;

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, Bounded, Name, OrderId, Timestamp,
    directory::{LedgerReply, OwnEntry, Reply, Request, Who},
    limits::LOOK_UP_MAX,
    money::{Amount, Entry, Order, SignedOrder},
};
use settlement::{proof, receipt};

use super::{
    Asked, NOTICE_WAIT_MS,
    records::{OrderRecord, OrderStage, PaymentRecord},
    terms::Told,
};
use crate::{
    command::{CommandResult, MoneyOutcome, Outcome},
    core::Core,
    event::{EventKind, LedgerState, Money, ShortId},
    input::Answer,
    link::Purpose,
};

/// Payments that are kept here: PAYMENTS and REFUND reach so far back, the ledger keeps them all.
const PAYMENTS_MAX: usize = 10_000;
/// How long a refused order is kept after its end, in milliseconds, for whoever asks about it.
const REFUSED_KEPT_MS: u64 = 30_000;

/// What an entry means for this account.
struct Meaning {
    id: OrderId,
    payer: Option<AccountId>,
    payee: AccountId,
    amount: Amount,
    memo: Option<String>,
    order: Option<Order>,
    opening: bool,
}

impl<C: CryptoProvider + Clone> Core<C> {
    pub(super) fn on_entries(&mut self, answer: Answer) {
        let jitter = self.jitter();
        let Told::Reply(LedgerReply::Entries { entries, more }) = self.told(answer) else {
            self.money.entries_wanted = true;
            return self.money.entries_flow.fail(self.now, jitter);
        };
        self.money.entries_flow.succeed();
        for entry in entries {
            if let Err(state) = self.take_entry_of_ledger(&entry) {
                self.report_misbehaviour("an entry of the ledger does not hold");
                return self.raise(state);
            }
        }
        if more {
            self.money.entries_wanted = true;
        } else if !self.money.record.entries_read {
            self.money.edit().entries_read = true;
        }
    }

    /// Takes an entry in: in the ledger's order, by its own proof, and with the balance that follows from the one before.
    fn take_entry_of_ledger(&mut self, own_entry: &OwnEntry) -> Result<(), LedgerState> {
        let (Some(key), Some(own)) = (self.money.key.clone(), self.own().map(|own| own.account)) else { return Ok(()) };
        let settled = &own_entry.entry;
        if self.money.record.entries_after.is_some_and(|after| settled.index <= after) {
            return Err(LedgerState::Forged);
        }
        let verified = receipt::verify(settled, &key).map_err(|_| LedgerState::Forged)?;
        let at = verified.entry.at();
        let signed = match &verified.entry {
            Entry::Transfer { order, .. } => Some(order.clone()),
            Entry::Issue { .. } | Entry::Opening { .. } => None,
        };
        let meaning = meaning(verified.entry, verified.order, &settled.entry);
        let (id, by) = (meaning.id, meaning.payer);
        let before = self.money.record.balance;
        let after = match (meaning.payer == Some(own), meaning.payee == own) {
            (true, false) => before.checked_sub(meaning.amount),
            (false, true) => before.checked_add(meaning.amount),
            _ => None,
        };
        // Whoever leaves an entry out, or tells another balance, is found out here.
        if after != Some(own_entry.balance) {
            return Err(LedgerState::Forged);
        }
        self.add_unproven(settled.checkpoint.clone());
        if let Some(certificate) = settled.certificate.as_ref().and_then(|certificate| certificate.entry().ok())
            && meaning.payer != Some(own)
        {
            self.people.pin(certificate.root_key);
        }
        self.keep_payment(settled.index, own_entry.balance, at, meaning);
        if let Some(signed) = signed.filter(|_| by == Some(own)) {
            self.settle_by_entry(own_entry, &signed, id);
        }
        let record = self.money.edit();
        record.entries_after = Some(settled.index);
        record.balance = own_entry.balance;
        Ok(())
    }

    fn keep_payment(&mut self, index: u64, balance: Amount, at: Timestamp, meaning: Meaning) {
        let ordered = self.money.orders.get(&meaning.id).filter(|order| {
            meaning.order.as_ref().is_some_and(|own| own.payer != meaning.payee && order.payee == own.payee)
                && self.own().is_some_and(|own| meaning.payer == Some(own.account))
        });
        let short = ordered.map(|order| order.short);
        let known = ordered.map(|order| order.opening.memo.to_string());
        let noticed = meaning.payer.and_then(|payer| self.noticed_memo((payer, meaning.id), meaning.order.as_ref()));
        let history = !self.money.record.entries_read;
        let answers = meaning.order.as_ref().and_then(|order| order.answers.as_ref()?.request().ok());
        let record = PaymentRecord {
            index,
            short: short.unwrap_or_else(|| self.next_payment()),
            id: meaning.id,
            payer: meaning.payer,
            payee: meaning.payee,
            amount: meaning.amount,
            balance,
            memo: known.or(noticed).or(meaning.memo),
            at,
            request: answers.map(|request| (request.payee, request.id)),
            refunds: meaning.order.and_then(|order| order.refunds),
            history,
            // What an account had from the beginning is no news.
            told: history || meaning.opening,
            seen_at: self.now,
        };
        self.money.keep(record);
        self.money.payments_changed.insert(index);
    }

    /// An own order is in the ledger, whoever handed it in: that is certain now.
    fn settle_by_entry(&mut self, own_entry: &OwnEntry, order: &SignedOrder, id: OrderId) {
        let open = |record: &OrderRecord| record.stage == OrderStage::Open && record.order == *order;
        if !self.money.orders.get(&id).is_some_and(open) {
            return;
        }
        let receipt = Box::new(own_entry.entry.clone());
        if let Some(record) = self.money.edit_order(id) {
            record.stage = OrderStage::Settled { index: own_entry.entry.index, balance: own_entry.balance, receipt };
        }
        self.money.order_flows.remove(&id);
        self.end_order(id);
    }

    /// Whether what an own order moved is counted with the payments.
    pub(super) fn is_taken_in(&self, order: &OrderRecord) -> bool {
        matches!(order.stage, OrderStage::Settled { index, .. } if self.money.payments.contains_key(&index))
    }

    /// Tells payments whose words and names are there, or were waited for.
    pub(super) fn tell_payments(&mut self) {
        let untold = self.money.untold.iter().filter_map(|index| self.money.payments.get(index));
        let due: Vec<u64> = untold.filter(|payment| self.telling_at(payment) <= self.now).map(|p| p.index).collect();
        for index in due {
            self.money.untold.remove(&index);
            let Some(payment) = self.money.edit_payment(index) else { continue };
            payment.told = true;
            let payment = payment.clone();
            self.tell_payment(&payment);
        }
    }

    fn tell_payment(&mut self, payment: &PaymentRecord) {
        let Some(currency) = self.currency().cloned() else { return };
        self.note_payment_in_history(payment);
        let kind = EventKind::Payment {
            id: ShortId::Payment(payment.short),
            uid: payment.id,
            from: payment.payer.and_then(|payer| self.party(payer)),
            to: self.party(payment.payee),
            amount: Money::new(payment.amount, &currency),
            memo: payment.memo.clone(),
            balance: Money::new(payment.balance, &currency),
            ledger_seq: payment.index,
            request: payment.request.and_then(|key| self.request_short(key)),
            refund_of: payment.refunds.and_then(|id| self.payment_short(id)),
        };
        self.batch.event(self.now, kind);
    }

    /// When a payment is told: at once if everything is known, else after a while; but never without the names of the two, as
    /// long as the directory may still tell them. Money without a name is the operator's.
    fn telling_at(&self, payment: &PaymentRecord) -> Timestamp {
        let gone = |account: &AccountId| self.people.is_nameless(*account) || self.money.nobody.contains(account);
        let known = |account: AccountId| self.party(account).is_some() || gone(&account);
        let named = known(payment.payee) && payment.payer.is_none_or(known);
        let worded = payment.memo.is_some() || payment.payer.is_none();
        match (named, worded) {
            (true, true) => payment.seen_at,
            (true, false) => payment.seen_at.plus_ms(NOTICE_WAIT_MS),
            (false, _) => Timestamp(u64::MAX),
        }
    }

    pub(super) fn telling_due(&self) -> Option<Timestamp> {
        let payments = self.money.untold.iter().filter_map(|index| self.money.payments.get(index));
        let payments = payments.map(|payment| self.telling_at(payment));
        let payments = payments.filter(|at| *at < Timestamp(u64::MAX));
        payments.chain(self.ends_due()).min()
    }

    /// Accounts that paid or were paid, and of which nothing is known here.
    pub(super) fn nameless_in_money(&self) -> BTreeSet<AccountId> {
        let accounts = self.money.parties.iter().copied();
        let asked = self.money.requests.values().flat_map(|request| [request.payer, request.payee]);
        let own = self.own().map(|own| own.account);
        let unknown = |account: &AccountId| Some(*account) != own && self.people.get(*account).is_none();
        accounts.chain(asked).filter(unknown).filter(|account| !self.money.nobody.contains(account)).collect()
    }

    pub(super) fn ask_names(&mut self) {
        if !(self.is_online() && self.link.is_announced() && self.money.names_flow.is_ready(self.now)) {
            return;
        }
        let accounts: Vec<AccountId> = self.nameless_in_money().into_iter().take(LOOK_UP_MAX).collect();
        if accounts.is_empty() {
            return;
        }
        let who = accounts.iter().copied().map(Who::Account).collect();
        let request = Request::LookUp { who: Bounded::new(who).unwrap_or_default() };
        let call = self.ask(Purpose::Ledger(Asked::Names { accounts }), request);
        self.money.names_flow.start(call);
    }

    pub(super) fn on_money_names(&mut self, asked: &[AccountId], answer: Answer) {
        let jitter = self.jitter();
        let Answer::Reply(reply) = answer else { return self.money.names_flow.fail(self.now, jitter) };
        let Reply::People(people) = *reply else {
            self.money.names_flow.fail(self.now, jitter);
            return self.report_misbehaviour("the directory answered a look-up with something else");
        };
        self.money.names_flow.succeed();
        for person in &people {
            self.take_person(person);
        }
        let known = |account: &&AccountId| self.people.get(**account).is_some();
        let nobody: Vec<AccountId> = asked.iter().filter(|account| !known(account)).copied().collect();
        self.money.nobody.extend(nobody);
    }

    /// The result of a payment that is done with.
    pub(super) fn paid_result(&self, id: OrderId) -> Option<CommandResult> {
        let (payment, currency) = (self.paid_by_order(id)?, self.currency()?);
        let to: Name = self.party(payment.payee)?;
        Some(Ok(Outcome::Money(MoneyOutcome::Paid {
            id: ShortId::Payment(payment.short),
            uid: id,
            to,
            amount: Money::new(payment.amount, currency),
            balance: Money::new(payment.balance, currency),
            ledger_seq: payment.index,
            request: payment.request.and_then(|key| self.request_short(key)),
            refund_of: payment.refunds.and_then(|id| self.payment_short(id)),
        })))
    }

    /// Forgets what is done with: orders whose entry was taken in and told, and the oldest of what is only kept to be shown.
    pub(super) fn forget_money(&mut self) {
        let done: Vec<OrderId> = self
            .money
            .orders
            .values()
            .filter(|order| {
                let entered = |index: &u64| self.money.record.entries_after.is_some_and(|after| after >= *index);
                match &order.stage {
                    OrderStage::Settled { index, .. } => order.told && entered(index),
                    OrderStage::Refused { .. } => order.not_after.plus_ms(REFUSED_KEPT_MS) <= self.now,
                    OrderStage::Open => false,
                }
            })
            .map(|order| order.id)
            .collect();
        for id in done {
            self.money.orders.remove(&id);
            self.money.orders_changed.insert(id);
        }
        while self.money.payments.len() > PAYMENTS_MAX {
            let Some((index, _)) = self.money.payments.pop_first() else { return };
            self.money.payments_changed.insert(index);
            self.money.untold.remove(&index);
        }
        self.forget_notices();
        self.forget_requests();
    }
}

fn meaning(entry: Entry, order: Option<Order>, bytes: &[u8]) -> Meaning {
    match (entry, order) {
        (Entry::Issue { id, payee, amount, memo, .. }, _) => {
            let memo = Some(memo.to_string());
            Meaning { id, payer: None, payee, amount, memo, order: None, opening: false }
        }
        (Entry::Transfer { .. }, Some(order)) => Meaning {
            id: order.id,
            payer: Some(order.payer),
            payee: order.payee,
            amount: order.amount,
            memo: None,
            order: Some(order),
            opening: false,
        },
        (Entry::Opening { payee, amount, .. }, _) => {
            // Nobody ordered it: its own hash names it.
            let mut id = [0; 16];
            id.copy_from_slice(&proof::leaf(bytes)[..16]);
            Meaning { id: OrderId(id), payer: None, payee, amount, memo: None, order: None, opening: true }
        }
        // A transfer that was verified has its order.
        (Entry::Transfer { .. }, None) => Meaning {
            id: OrderId([0; 16]),
            payer: None,
            payee: AccountId([0; 32]),
            amount: Amount::ZERO,
            memo: None,
            order: None,
            opening: false,
        },
    }
}
