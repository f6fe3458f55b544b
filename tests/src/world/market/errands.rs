//! What people want done about money, and what they were promised.

use protocol::{OrderId, RequestId};

use super::PersonIndex;
use crate::world::witness::NodeIndex;

/// People in a world with money, at most.
pub(super) const PEOPLE_MAX: u64 = 5;

/// What a command about money is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// PAY with this memo.
    Pay(String),
    /// REQUEST with this memo.
    Request(String),
    /// REQUEST GROUP with this memo.
    Split(String),
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
    /// Whether it is asked of everybody in the group: each for a share of the amount.
    pub(super) splits: bool,
    /// What they were told.
    pub(super) answer: Answer,
}

impl Wish {
    /// Whether a request for so much, from one person to another, is what was wanted.
    pub(super) fn is_request(&self, by: Option<PersonIndex>, with: Option<PersonIndex>, amount: u64) -> bool {
        if !self.asks || Some(self.by) != by {
            return false;
        }
        if self.splits {
            // How many there were in the group then is nobody's to say here: an even share among some, rounded either way.
            let even = (2..=PEOPLE_MAX).any(|among| [self.amount / among, self.amount / among + 1].contains(&amount));
            return with != by && even;
        }
        (Some(self.with), self.amount) == (with, amount)
    }
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
