//! What a person or a script asks about money, and what comes of it.
//!
//! Amounts come as they were typed: how many decimals there are, only the directory's currency says. Whoever parses a line
//! checks the rest of the grammar with a currency of [`protocol::money::SCALE_MAX`] decimals.

use protocol::{Name, OrderId, RequestId, Timestamp, directory::RequestState};

use crate::event::{Money, PaymentState, ShortId};

/// Something about money in the history of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MoneyLine {
    /// It was paid.
    Payment {
        /// Short id.
        id: ShortId,
        /// How much.
        amount: Money,
        /// The request that it answers.
        request: Option<ShortId>,
        /// The payment that it gives back.
        refund_of: Option<ShortId>,
    },
    /// It is asked for.
    Request {
        /// Short id.
        id: ShortId,
        /// How much.
        amount: Money,
        /// The group over which the whole is split.
        group: Option<Name>,
        /// The whole.
        total: Option<Money>,
        /// How it stands when it is looked at, if that is known still.
        state: Option<RequestState>,
    },
    /// A request is over without a payment.
    Closed {
        /// Its short id.
        id: ShortId,
        /// How it ended.
        state: RequestState,
    },
}

/// What is asked about money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoneyCommand {
    /// Pays.
    Pay {
        /// Who pays, where that was said: anybody but this account is refused.
        payer: Option<Name>,
        /// To whom.
        to: Name,
        /// How much.
        amount: String,
        /// What for; empty for nothing.
        memo: String,
        /// The caller's own id: the same again is the same payment.
        id: Option<OrderId>,
    },
    /// Asks somebody for money.
    Request {
        /// Whom.
        from: Name,
        /// For how much.
        amount: String,
        /// What for; empty for nothing.
        memo: String,
    },
    /// Splits a sum over a group, oneself included, and asks each of the others for their share.
    RequestGroup {
        /// Which.
        group: Name,
        /// The sum.
        amount: String,
        /// What for; empty for nothing.
        memo: String,
    },
    /// Pays what somebody asked for.
    Accept {
        /// Which request.
        id: MoneyRef,
    },
    /// Tells whoever asked that it will not be paid.
    Decline {
        /// Which request.
        id: MoneyRef,
        /// Why; empty for nothing.
        reason: String,
    },
    /// Asks no more: one request, or all open shares of one to a group.
    Cancel {
        /// Which request.
        id: MoneyRef,
        /// Why; empty for nothing.
        reason: String,
    },
    /// Gives a payment back, whole or in part.
    Refund {
        /// Which payment, received here.
        id: MoneyRef,
        /// How much; what is left of it if absent.
        amount: Option<String>,
    },
    /// BALANCE, and `ASSERT BALANCE`: asked afresh of the directory.
    Balance,
    /// Lists requests to and from this account.
    Requests,
    /// Lists payments.
    Payments {
        /// With whom; everybody if absent.
        with: Option<Name>,
        /// How many at most, the latest.
        count: usize,
    },
    /// `ASSERT STATE` of a request.
    AskRequest {
        /// Which.
        id: MoneyRef,
    },
    /// `ASSERT STATE` of a payment.
    AskPayment {
        /// Which.
        id: MoneyRef,
    },
    /// What paying so much would come to, before it is confirmed at a prompt. Nothing is signed.
    Weigh {
        /// How much.
        amount: String,
    },
    /// The same for what somebody asks for.
    WeighRequest {
        /// Which request.
        id: MoneyRef,
    },
    /// The same for giving a payment back.
    WeighRefund {
        /// Which payment, received here.
        id: MoneyRef,
        /// How much; what is left of it if absent.
        amount: Option<String>,
    },
    /// Shows the person's own limits.
    Limits,
    /// Sets one of the person's own limits, or lifts it.
    SetLimit {
        /// Which.
        limit: OwnLimit,
        /// How much; no limit if absent.
        amount: Option<String>,
    },
}

/// A limit that the person sets for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnLimit {
    /// For one payment.
    Payment,
    /// For all payments of one day of UTC.
    Day,
    /// For all payments of one day of UTC to one person.
    Peer,
    /// A prompt asks before it pays more than this; nothing is refused.
    Confirm,
}

/// A request or a payment as people name it: by its short id or its 128-bit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyRef {
    /// `r7` or `p19`.
    Short(ShortId),
    /// The full id.
    Full([u8; 16]),
}

/// What comes of a command about money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoneyOutcome {
    /// PAY, ACCEPT and REFUND: the ledger has it.
    Paid {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: OrderId,
        /// To whom.
        to: Name,
        /// How much.
        amount: Money,
        /// One's own balance right after it.
        balance: Money,
        /// Its place in the ledger.
        ledger_seq: u64,
        /// The request that it answers.
        request: Option<ShortId>,
        /// The payment that it gives back.
        refund_of: Option<ShortId>,
    },
    /// REQUEST: the ledger has it, and the other person will hear of it.
    Requested {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: RequestId,
        /// From whom.
        from: Name,
        /// How much.
        amount: Money,
        /// Until when it can be paid.
        expires_at: Timestamp,
    },
    /// REQUEST GROUP.
    RequestedGroup {
        /// Short id of the whole: CANCEL takes it.
        id: ShortId,
        /// 128-bit id of the whole.
        uid: RequestId,
        /// Of which group.
        group: Name,
        /// The sum.
        total: Money,
        /// Each share that was asked for, by name.
        shares: Vec<ShareView>,
        /// Until when they can be paid.
        expires_at: Timestamp,
    },
    /// DECLINE and CANCEL.
    Closed {
        /// Short id.
        id: ShortId,
        /// 128-bit id.
        uid: RequestId,
        /// What the request is now.
        state: RequestState,
        /// How many requests were ended: more than one for shares of a group.
        count: usize,
    },
    /// BALANCE.
    Balance(BalanceView),
    /// REQUESTS: open ones first, then the latest that are over.
    Requests {
        /// Each with its direction.
        requests: Vec<RequestView>,
    },
    /// PAYMENTS.
    Payments {
        /// Oldest first; what is not settled last.
        payments: Vec<PaymentView>,
    },
    /// AskRequest.
    RequestState(RequestState),
    /// AskPayment.
    PaymentState(PaymentState),
    /// Weigh, WeighRequest and WeighRefund.
    Weighed {
        /// How much.
        amount: Money,
        /// To whom, if it is a request.
        to: Option<Name>,
        /// The balance after it, as far as it is known here; absent if it is not known or would not be enough.
        after: Option<Money>,
        /// Whether a prompt asks before.
        confirm: bool,
    },
    /// SET of a limit, and what they all are.
    Limits(LimitsView),
}

/// One share of a request to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareView {
    /// Short id of the share.
    pub id: ShortId,
    /// Its 128-bit id.
    pub uid: RequestId,
    /// Who is asked.
    pub from: Name,
    /// For how much.
    pub amount: Money,
    /// Why the directory did not take it, if it did not.
    pub refused: Option<String>,
}

/// What BALANCE shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceView {
    /// What can be spent.
    pub available: Money,
    /// What is set aside.
    pub held: Money,
    /// What the money is called; empty if the operator gave it no name.
    pub currency: String,
    /// Open requests of others to this account.
    pub requests: usize,
    /// What they ask for together; absent without any.
    pub requested: Option<Money>,
}

/// One request in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestView {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: RequestId,
    /// Who asks; absent while that is not known.
    pub from: Option<Name>,
    /// Who is asked; likewise.
    pub to: Option<Name>,
    /// Whether this account is asked.
    pub incoming: bool,
    /// How much.
    pub amount: Money,
    /// What for; absent if this device was never told.
    pub memo: Option<String>,
    /// The group that a larger sum was split over.
    pub group: Option<Name>,
    /// That sum.
    pub total: Option<Money>,
    /// The short id of the whole, if it was split here.
    pub whole: Option<ShortId>,
    /// Until when it can be paid.
    pub expires_at: Timestamp,
    /// How it stands.
    pub state: RequestState,
    /// Why it was declined or cancelled, if that was said.
    pub reason: Option<String>,
}

/// One payment in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentView {
    /// Short id.
    pub id: ShortId,
    /// 128-bit id.
    pub uid: OrderId,
    /// When the ledger took it; until then, when it was ordered.
    pub at: Timestamp,
    /// Who paid; absent for the operator's money, and for whoever is not known by name any more.
    pub from: Option<Name>,
    /// Who was paid; likewise.
    pub to: Option<Name>,
    /// Whether the money came from the operator.
    pub issued: bool,
    /// How much.
    pub amount: Money,
    /// What for; absent if this device was never told.
    pub memo: Option<String>,
    /// One's own balance right after it.
    pub balance: Option<Money>,
    /// Its place in the ledger.
    pub ledger_seq: Option<u64>,
    /// Whether it happened.
    pub state: PaymentState,
    /// Why it did not.
    pub reason: Option<String>,
    /// The request that it answers, if that is known here.
    pub request: Option<ShortId>,
    /// The payment that it gives back, if that is known here.
    pub refund_of: Option<ShortId>,
    /// Whether it is from before this device came: there was no event of it.
    pub history: bool,
}

/// The person's own limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsView {
    /// For one payment.
    pub payment: Option<Money>,
    /// For one day of UTC.
    pub day: Option<Money>,
    /// For one day of UTC to one person.
    pub peer: Option<Money>,
    /// A prompt asks above this.
    pub confirm: Option<Money>,
    /// From whom files of up to how many bytes are taken unasked, by name.
    pub accept: Vec<(Name, u64)>,
}
