//! What people want done about money, and what they were promised.

use protocol::{OrderId, RequestId};

use super::PersonIndex;
use crate::world::witness::NodeIndex;

/// What a command about money is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// PAY with this memo.
    Pay(String),
    /// REQUEST with this memo.
    Request(String),
    /// ACCEPT.
    Accept(RequestId),
    /// DECLINE or CANCEL with this reason.
    End(RequestId, String),
    /// REFUND.
    Refund(OrderId),
    /// What a device lists after healing.
    Learn,
}

/// What somebody wanted.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    /// Who.
    pub(super) by: PersonIndex,
    /// Whom to pay, or to ask.
    pub(super) with: PersonIndex,
    /// How much.
    pub(super) amount: u64,
    /// Whether money is asked for.
    pub(super) asks: bool,
    /// What they were told.
    pub(super) answer: Answer,
}

/// What somebody was told of what they wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: their node died first.
    None,
    /// It is done.
    Done,
    /// It is not, and won't be.
    Denied(NodeIndex),
    /// Nobody knows.
    Unknown,
}

/// The ledger has this, somebody was told.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    /// On which node.
    pub(super) node: NodeIndex,
    pub(super) id: OrderId,
    pub(super) to: String,
    pub(super) amount: String,
    /// Their own, right after it.
    pub(super) balance: String,
    pub(super) index: u64,
}
