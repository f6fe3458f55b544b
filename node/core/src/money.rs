//! Money: what is ordered, asked for and received, and whether the ledger is still the one that it was.
//!
//! An order is drawn, signed and kept before anybody hears of it, and handed in with the same bytes until the ledger has
//! answered; so whatever dies, it is settled once or not at all. What a person is told of money is what the ledger says:
//! every event of a payment follows from an entry that was verified, in one path for what came and what went. Memos and
//! reasons come end to end and are matched with it.
//!
//! **Invariant:** nothing is asked of a ledger in this connection before it has proven to go on from the last checkpoint
//! that was proven here; and nothing at all while it could not prove that.

mod alarms;
mod closing;
mod entries;
mod limits;
mod looking;
mod notices;
mod orders;
mod paying;
mod records;
mod requests;
pub(crate) mod sentences;
mod settling;
mod sharing;
mod telling;
mod terms;
mod views;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, OrderId, Timestamp,
    directory::{LedgerRequest, Request},
    money::{Checkpoint, ReceiptKey, SignedCheckpoint},
};

use self::records::{
    MONEY_KEY, MoneyRecord, NoticeRecord, OrderKey, OrderRecord, OrderStage, PaymentRecord, RequestKey, RequestRecord,
};
pub(crate) use self::{alarms::BookLedger, waiting::MoneyWaiting};
use crate::{
    command::CommandToken,
    core::{Core, OpenError},
    flow::Flow,
    input::{Answer, CallId},
    link::Purpose,
    records as encoded,
    stored::Table,
};

/// How often the ledger is asked for what is new without a hint, in milliseconds: ten minutes. It is asked on each connection,
/// and hints are lost with a connection alone, or by a fault of the directory's.
const SWEEP_MS: u64 = 600_000;
/// Requests to the ledger for orders, requests and their ends that are under way at a time.
const UNDER_WAY_MAX: usize = 16;
/// How long the payer's words are waited for before a payment is told without them, in milliseconds.
const NOTICE_WAIT_MS: u64 = 5_000;

/// Why the ledger was asked; decides what its answer means.
#[derive(Debug)]
pub(crate) enum Asked {
    Terms,
    Proof { earlier: Checkpoint, later: SignedCheckpoint, later_is_new: bool },
    Entries,
    Requests,
    Balance { token: CommandToken },
    Settle { order: OrderId },
    Deposit { order: OrderKey },
    Open { request: RequestKey },
    Close { request: RequestKey },
    Names { accounts: Vec<AccountId> },
}

/// What is kept of money, and what only this run knows of it.
#[derive(Debug, Default)]
pub(crate) struct Money {
    record: MoneyRecord,
    record_changed: bool,
    /// The record's terms, read and verified once.
    key: Option<ReceiptKey>,
    orders: BTreeMap<OrderId, OrderRecord>,
    orders_changed: BTreeSet<OrderId>,
    notices: BTreeMap<OrderKey, NoticeRecord>,
    notices_changed: BTreeSet<OrderKey>,
    payments: BTreeMap<u64, PaymentRecord>,
    payments_changed: BTreeSet<u64>,
    /// Those that are to be told: of thousands that are kept, few.
    untold: BTreeSet<u64>,
    /// Whoever paid or was paid and may not be known here.
    parties: BTreeSet<AccountId>,
    requests: BTreeMap<RequestKey, RequestRecord>,
    requests_changed: BTreeSet<RequestKey>,
    /// Whether this connection's terms came and hold.
    fresh: bool,
    /// Whether everything that was signed before was proven on this connection.
    entered: bool,
    /// Whether a proof failed on this connection: it is asked for again on the next one.
    proof_failed: bool,
    terms_flow: Flow,
    /// When the terms came.
    terms_read: Timestamp,
    proof_flow: Flow,
    entries_flow: Flow,
    entries_wanted: bool,
    requests_flow: Flow,
    requests_wanted: bool,
    names_flow: Flow,
    /// Accounts that the directory did not name when it was asked: they are gone.
    nobody: BTreeSet<AccountId>,
    swept: Timestamp,
    order_flows: BTreeMap<OrderId, Flow>,
    deposit_flows: BTreeMap<OrderKey, Flow>,
    open_flows: BTreeMap<RequestKey, Flow>,
    close_flows: BTreeMap<RequestKey, Flow>,
    /// Why the ledger did not take a share that somebody waits for.
    refused_shares: BTreeMap<RequestKey, String>,
}

impl Money {
    pub(crate) fn load(stored: &[(Table, Vec<u8>, Vec<u8>)]) -> Result<Self, OpenError> {
        let mut money = Self::default();
        for (table, _, value) in stored {
            let damaged = |_| OpenError::Record(*table);
            match table {
                Table::Money => money.record = encoded::decode(value).map_err(damaged)?,
                Table::Order => {
                    let record: OrderRecord = encoded::decode(value).map_err(damaged)?;
                    money.orders.insert(record.id, record);
                }
                Table::Notice => {
                    let record: NoticeRecord = encoded::decode(value).map_err(damaged)?;
                    money.notices.insert((record.payer, record.id), record);
                }
                Table::Payment => {
                    let record: PaymentRecord = encoded::decode(value).map_err(damaged)?;
                    money.keep(record);
                }
                Table::Request => {
                    let record: RequestRecord = encoded::decode(value).map_err(damaged)?;
                    money.requests.insert(record.key(), record);
                }
                _ => {}
            }
        }
        money.key = money.record.terms.as_ref().and_then(|terms| terms.receipt_key().ok());
        Ok(money)
    }

    fn edit(&mut self) -> &mut MoneyRecord {
        self.record_changed = true;
        &mut self.record
    }

    fn edit_order(&mut self, id: OrderId) -> Option<&mut OrderRecord> {
        self.orders_changed.insert(id);
        self.orders.get_mut(&id)
    }

    fn edit_payment(&mut self, index: u64) -> Option<&mut PaymentRecord> {
        self.payments_changed.insert(index);
        self.payments.get_mut(&index)
    }

    fn keep(&mut self, payment: PaymentRecord) {
        if !payment.told {
            self.untold.insert(payment.index);
        }
        self.parties.extend(payment.payer.into_iter().chain([payment.payee]));
        self.payments.insert(payment.index, payment);
    }

    fn edit_request(&mut self, key: RequestKey) -> Option<&mut RequestRecord> {
        self.requests_changed.insert(key);
        self.requests.get_mut(&key)
    }

    fn remove_notice(&mut self, key: OrderKey) {
        self.notices.remove(&key);
        self.notices_changed.insert(key);
        self.deposit_flows.remove(&key);
    }

    /// This account was made on this device: it has no past.
    pub(crate) fn begin(&mut self) {
        let record = self.edit();
        record.entries_read = true;
        record.requests_read = true;
    }

    /// Own entries or requests have changed, or may have.
    pub(crate) fn want(&mut self) {
        self.entries_wanted = true;
        self.requests_wanted = true;
    }

    /// A connection begins or ends: the ledger has to prove itself anew.
    pub(crate) fn reset(&mut self) {
        self.fresh = false;
        self.entered = false;
        self.proof_failed = false;
        self.want();
        let flows = [&mut self.terms_flow, &mut self.proof_flow, &mut self.entries_flow, &mut self.requests_flow];
        flows.into_iter().for_each(Flow::retry_now);
        self.names_flow.retry_now();
        self.order_flows.values_mut().for_each(Flow::retry_now);
        self.deposit_flows.values_mut().for_each(Flow::retry_now);
        self.open_flows.values_mut().for_each(Flow::retry_now);
        self.close_flows.values_mut().for_each(Flow::retry_now);
    }

    /// Orders whose outcome is not known.
    pub(crate) fn unknown(&self) -> usize {
        self.orders.values().filter(|order| order.stage == OrderStage::Open).count()
    }

    /// Whether nothing is unknown or on its way to the ledger.
    pub(crate) fn is_idle(&self) -> bool {
        let quiet = |request: &RequestRecord| request.closing.is_none() && (request.registered || !request.is_own());
        self.unknown() == 0 && self.requests.values().all(quiet)
    }

    /// The balance after what was taken in, once the ledger is known.
    pub(crate) fn balance(&self) -> Option<crate::event::Money> {
        let key = self.key.as_ref()?;
        self.record.entries_read.then(|| crate::event::Money::new(self.record.balance, &key.currency))
    }

    fn under_way(&self) -> usize {
        let all = self.order_flows.values().chain(self.deposit_flows.values());
        let all = all.chain(self.open_flows.values()).chain(self.close_flows.values());
        all.filter(|flow| flow.is_busy()).count()
    }
}

impl RequestRecord {
    /// Whether this device made it.
    fn is_own(&self) -> bool {
        self.certificate.is_some()
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Whether the ledger may be asked for anything: it has proven itself on this connection.
    fn ledger_open(&self) -> bool {
        let online = self.is_online() && self.link.is_announced();
        online && self.money.entered && self.money.record.alarm.is_none()
    }

    fn ask_ledger(&mut self, asked: Asked, request: LedgerRequest) -> CallId {
        self.ask(Purpose::Ledger(asked), Request::Ledger(Box::new(request)))
    }

    pub(crate) fn on_ledger_answer(&mut self, asked: Asked, answer: Answer) {
        match asked {
            Asked::Terms => self.on_terms(answer),
            Asked::Proof { earlier, later, later_is_new } => self.on_proof(&earlier, later, later_is_new, answer),
            Asked::Entries => self.on_entries(answer),
            Asked::Requests => self.on_requests(answer),
            Asked::Balance { token } => self.on_balance(token, answer),
            Asked::Settle { order } => self.on_settled(order, answer),
            Asked::Deposit { order } => self.on_handed_in(order, answer),
            Asked::Open { request } => self.on_request_opened(request, answer),
            Asked::Close { request } => self.on_request_closed(request, answer),
            Asked::Names { accounts } => self.on_money_names(&accounts, answer),
        }
    }

    pub(crate) fn reconcile_money(&mut self) {
        if self.own().is_none() {
            return;
        }
        self.reconcile_terms();
        if self.ledger_open() {
            if self.now.ms_since(self.money.swept) >= SWEEP_MS {
                self.money.want();
            }
            self.reconcile_orders();
            self.reconcile_requests();
            self.poll_ledger();
        }
        self.ask_names();
        self.hand_over_directly();
        self.tell_payees();
        self.tell_payments();
        self.tell_requests();
        self.forget_money();
        self.reconcile_money_waiters();
    }

    fn poll_ledger(&mut self) {
        if self.money.entries_wanted && self.money.entries_flow.is_ready(self.now) {
            self.money.entries_wanted = false;
            self.money.swept = self.now;
            let after = self.money.record.entries_after;
            let call = self.ask_ledger(Asked::Entries, LedgerRequest::Entries { after });
            self.money.entries_flow.start(call);
        }
        if self.money.requests_wanted && self.money.requests_flow.is_ready(self.now) {
            self.money.requests_wanted = false;
            let after = self.money.record.requests_after;
            let call = self.ask_ledger(Asked::Requests, LedgerRequest::Requests { after });
            self.money.requests_flow.start(call);
        }
    }

    pub(crate) fn money_timer(&self) -> Option<Timestamp> {
        self.own()?;
        let telling = self.telling_due();
        if !(self.is_online() && self.link.is_announced()) {
            return telling;
        }
        let money = &self.money;
        let terms = money.terms_flow.due().filter(|at| !money.fresh && *at < Timestamp(u64::MAX));
        let waits = money.fresh && !money.proof_failed && !money.record.unproven.is_empty();
        let proof = money.proof_flow.due().filter(|_| waits);
        let open = self.ledger_open().then(|| self.ledger_due()).flatten();
        let names = money.names_flow.due().filter(|_| !self.nameless_in_money().is_empty());
        terms.into_iter().chain(proof).chain(open).chain(telling).chain(names).min()
    }

    /// When the ledger is to be asked next for what is on its way.
    fn ledger_due(&self) -> Option<Timestamp> {
        let money = &self.money;
        let sweep = Some(money.swept.plus_ms(SWEEP_MS));
        let entries = money.entries_flow.due().filter(|_| money.entries_wanted);
        let requests = money.requests_flow.due().filter(|_| money.requests_wanted);
        let flows = money.order_flows.values().chain(money.deposit_flows.values());
        let flows = flows.chain(money.open_flows.values()).chain(money.close_flows.values()).filter_map(Flow::due);
        flows.chain(sweep).chain(entries).chain(requests).chain(self.money_waiters_due()).min()
    }

    pub(crate) fn write_money(&mut self) {
        if std::mem::take(&mut self.money.record_changed) {
            let record = encoded::encode(&self.money.record);
            self.put_record(Table::Money, MONEY_KEY.to_vec(), record);
        }
        for id in std::mem::take(&mut self.money.orders_changed) {
            let record = self.money.orders.get(&id).map(encoded::encode);
            self.write_money_record(Table::Order, id.0.to_vec(), record);
        }
        for (account, id) in std::mem::take(&mut self.money.notices_changed) {
            let record = self.money.notices.get(&(account, id)).map(encoded::encode);
            self.write_money_record(Table::Notice, records::pair_key(account, &id.0), record);
        }
        for index in std::mem::take(&mut self.money.payments_changed) {
            let record = self.money.payments.get(&index).map(encoded::encode);
            self.write_money_record(Table::Payment, index.to_be_bytes().to_vec(), record);
        }
        for (account, id) in std::mem::take(&mut self.money.requests_changed) {
            let record = self.money.requests.get(&(account, id)).map(encoded::encode);
            self.write_money_record(Table::Request, records::pair_key(account, &id.0), record);
        }
    }

    fn write_money_record(
        &mut self,
        table: Table,
        key: Vec<u8>,
        record: Option<Result<Vec<u8>, protocol::frame::FrameError>>,
    ) {
        match record {
            Some(record) => self.put_record(table, key, record),
            None => self.batch.delete(table, key),
        }
    }

    /// What an account is called; one's own too.
    fn party(&self, account: AccountId) -> Option<protocol::Name> {
        self.member_name(account)
    }
}
