//! Words and numbers of events about money.

use std::fmt;

use protocol::{
    directory::RequestState,
    money::{Amount, Currency},
};
use serde::{Deserialize, Serialize};

/// An amount with as many decimals as its currency has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// In minor units.
    pub amount: Amount,
    /// Decimals.
    pub scale: u8,
}

impl Money {
    /// An amount of a currency.
    #[must_use]
    pub const fn new(amount: Amount, currency: &Currency) -> Self {
        Self { amount, scale: currency.scale() }
    }

    /// Whether a text names this amount, whatever zeros it ends with.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.currency().is_some_and(|currency| currency.parse_any(text) == Ok(self.amount))
    }

    fn currency(&self) -> Option<Currency> {
        Currency::new(protocol::BoundedText::default(), self.scale)
    }
}

impl fmt::Display for Money {
    /// As people read and type it, with every decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.currency() {
            Some(currency) => currency.show(self.amount).fmt(f),
            None => self.amount.units().fmt(f),
        }
    }
}

/// How sure it is that a payment happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PaymentState {
    /// The ledger has it.
    Paid,
    /// The directory has not said yet; it is asked until it has.
    Unknown,
    /// It did not happen, and this order never will.
    NotPaid,
}

impl PaymentState {
    /// The word in results and scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Unknown => "unknown",
            Self::NotPaid => "not_paid",
        }
    }
}

/// The word of a request's state in events, results and scripts.
#[must_use]
pub const fn request_word(state: RequestState) -> &'static str {
    match state {
        RequestState::Open => "requested",
        RequestState::Paid => "paid",
        RequestState::Declined => "declined",
        RequestState::Cancelled => "cancelled",
        RequestState::Expired => "expired",
        RequestState::Refunded => "refunded",
    }
}

/// What was noticed of the ledger. Until it is [`LedgerState::Proven`] again, nothing is paid or asked for here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LedgerState {
    /// The directory shows another ledger than before.
    Changed,
    /// It shows a shorter one than it signed before.
    Shrunk,
    /// It cannot prove that the ledger it shows goes on from the one it signed before, here or towards somebody else.
    Forked,
    /// It shows an entry that does not hold.
    Forged,
    /// What it could not prove it has proven.
    Proven,
}

impl LedgerState {
    /// The word in events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Shrunk => "shrunk",
            Self::Forked => "forked",
            Self::Forged => "forged",
            Self::Proven => "proven",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_compared_by_value_and_shown_with_every_decimal() {
        let money = Money { amount: Amount::new(1_250).unwrap(), scale: 2 };
        assert_eq!(money.to_string(), "12.50");
        assert!(money.is("12.5") && money.is("12.50") && !money.is("12.51") && !money.is("12,5"));
    }
}
