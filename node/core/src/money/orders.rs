//! Making an order: everything of it is drawn, signed and kept before anybody hears of it.

use mls_rs::CryptoProvider;
use protocol::{
    AccountId, BoundedText, Name, OrderId, Timestamp,
    directory::RequestState,
    money::{Amount, MEMO_MAX, MemoOpening, Order, SignedRequest},
};
use settlement::{memo, signed};

use super::{
    records::{OrderRecord, OrderStage, RequestKey, RequestRecord},
    sentences,
};
use crate::{
    command::{Failure, FailureCode},
    core::Core,
    event::ShortId,
    outbox::bug,
};

/// How long an order can be settled after it was made, in milliseconds: a day, so that an evening without the directory ends
/// no payment, and what is unknown is certain a day later at the latest.
const ORDER_LIFETIME_MS: u64 = 24 * 3_600 * 1_000;
/// Orders whose outcome may be unknown at a time: far more than a person makes while the directory is away.
const ORDERS_MAX: usize = 1_024;

/// What an order is to be.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) payee: AccountId,
    pub(super) name: Name,
    pub(super) amount: Amount,
    pub(super) memo: BoundedText<MEMO_MAX>,
    pub(super) id: Option<OrderId>,
    pub(super) answers: Option<(RequestKey, SignedRequest, MemoOpening, Timestamp)>,
    pub(super) refunds: Option<OrderId>,
}

impl Draft {
    pub(super) fn new(payee: AccountId, name: Name, amount: Amount) -> Self {
        Self { payee, name, amount, memo: BoundedText::default(), id: None, answers: None, refunds: None }
    }
}

impl<C: CryptoProvider + Clone> Core<C> {
    /// Signs an order and keeps it; it is handed in as soon as the ledger can be asked.
    pub(super) fn sign_order(&mut self, draft: Draft) -> Result<OrderId, Failure> {
        self.check_own_limits(draft.payee, draft.amount)?;
        if self.money.unknown() >= ORDERS_MAX {
            let text =
                format!("{ORDERS_MAX} payments are unknown already; nothing more is paid until some are settled");
            return Err(Failure::new(FailureCode::Refused, text));
        }
        let missing = || Failure::new(FailureCode::Auth, "nobody is signed in here; SIGNUP NAME makes an account");
        let own = self.own().cloned().ok_or_else(missing)?;
        let ledger = self.money.key.as_ref().map(|key| key.ledger).ok_or_else(missing)?;
        let id = draft.id.unwrap_or_else(|| OrderId(self.draw()));
        let (opening, request, answers, latest) = match draft.answers {
            Some((key, request, opening, not_after)) => (opening, Some(key), Some(request), not_after),
            None => {
                let (payer, payee, memo) = (own.name.clone(), draft.name, draft.memo);
                (MemoOpening { salt: self.draw(), payer, payee, memo }, None, None, Timestamp(u64::MAX))
            }
        };
        let not_after = self.ledger_now().plus_ms(ORDER_LIFETIME_MS).min(latest);
        let order = Order {
            ledger,
            id,
            payer: own.account,
            payee: draft.payee,
            amount: draft.amount,
            memo: memo::commit(&opening).map_err(|error| bug(&error))?,
            answers,
            refunds: draft.refunds,
            not_after,
            device: own.device,
        };
        let signed = signed::sign_order(&order, self.keys.order_key()).map_err(|error| bug(&error))?;
        let record = OrderRecord {
            id,
            short: self.next_payment(),
            order: signed,
            opening,
            certificate: own.certificate,
            payee: draft.payee,
            amount: draft.amount,
            request,
            refunds: draft.refunds,
            made_at: self.now,
            not_after,
            stage: OrderStage::Open,
            handed: false,
            told: false,
        };
        self.money.orders.insert(id, record);
        self.money.orders_changed.insert(id);
        Ok(id)
    }

    /// Random bytes.
    pub(super) fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill_bytes(&mut bytes);
        bytes
    }

    /// The ledger's time is at least that of the last checkpoint, whatever this machine's clock says.
    pub(super) fn ledger_now(&self) -> Timestamp {
        self.proven_checkpoint().map_or(self.now, |checkpoint| checkpoint.time.max(self.now))
    }

    pub(super) fn next_payment(&mut self) -> u64 {
        let record = self.money.edit();
        record.last_payment += 1;
        record.last_payment
    }

    pub(super) fn next_request(&mut self) -> u64 {
        let record = self.money.edit();
        record.last_request += 1;
        record.last_request
    }

    /// How a request stands: one whose time is over is over, though the ledger has not said so yet.
    pub(super) fn state_of(&self, record: &RequestRecord) -> RequestState {
        match record.state {
            RequestState::Open if record.not_after <= self.ledger_now() => RequestState::Expired,
            state => state,
        }
    }

    pub(super) fn request_short(&self, key: RequestKey) -> Option<ShortId> {
        self.money.requests.get(&key).map(|request| ShortId::Request(request.short))
    }

    /// A payment by its order's id, as it is called here.
    pub(super) fn payment_short(&self, id: OrderId) -> Option<ShortId> {
        let payment = self.money.payments.values().find(|payment| payment.id == id);
        payment.map(|payment| ShortId::Payment(payment.short))
    }

    /// The sentence for an order that was refused.
    pub(super) fn order_refused(&self, id: OrderId, refusal: &protocol::directory::Refusal) -> Option<Failure> {
        let (order, currency) = (self.money.orders.get(&id)?, self.currency()?);
        let named = order.request.and_then(|key| self.request_short(key));
        let named = named.or_else(|| order.refunds.and_then(|id| self.payment_short(id)));
        let named = named.unwrap_or(ShortId::Payment(order.short)).to_string();
        Some(sentences::by_directory(refusal, order.opening_name(), &named, currency))
    }
}

impl OrderRecord {
    /// What the payee is called in it.
    pub(super) fn opening_name(&self) -> &str {
        self.opening.payee.as_str()
    }
}
