//! From what the operator says about money to an open book.

use std::{fmt, sync::Arc};

use protocol::{
    directory::PaymentLimits,
    money::{Amount, Currency},
};

use crate::{
    ledger::{Book, Founder},
    server::StartError,
    store::ledger::LedgerStore,
    tls::{TlsError, identity::RootKey},
};

/// What the operator says about money. Amounts are texts until the currency is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoneySettings {
    /// What the money is; `None` for whatever it is, or an unnamed one with two decimals.
    pub currency: Option<Currency>,
    /// What every new account has; nothing if it is empty.
    pub opening_balance: Option<String>,
    /// The most in one payment.
    pub payment_limit: Option<String>,
    /// The most from one account in a day.
    pub day_limit: Option<String>,
    /// The most from one account to one other in a day.
    pub peer_limit: Option<String>,
}

/// A flag that takes an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountFlag {
    /// `--opening-balance`.
    OpeningBalance,
    /// `--limit-payment`.
    LimitPayment,
    /// `--limit-day`.
    LimitDay,
    /// `--limit-peer`.
    LimitPeer,
}

impl fmt::Display for AmountFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpeningBalance => "--opening-balance",
            Self::LimitPayment => "--limit-payment",
            Self::LimitDay => "--limit-day",
            Self::LimitPeer => "--limit-peer",
        })
    }
}

/// Opens the book; gives what every new account has, too.
pub(crate) fn open(
    store: Arc<dyn LedgerStore>,
    root: &RootKey,
    settings: &MoneySettings,
) -> Result<(Arc<Book>, Amount), StartError> {
    let kept = store.head()?.map(|(founding, _)| founding.currency);
    let currency = kept.or_else(|| settings.currency.clone()).unwrap_or_default();
    let amount = |flag: AmountFlag, text: &Option<String>| {
        let parse = |text: &String| {
            let wrong = |error| StartError::Amount { flag, text: text.clone(), error };
            currency.parse_any(text).map_err(wrong)
        };
        text.as_ref().map(parse).transpose()
    };
    let opening = amount(AmountFlag::OpeningBalance, &settings.opening_balance)?.unwrap_or_default();
    let limits = PaymentLimits {
        payment: amount(AmountFlag::LimitPayment, &settings.payment_limit)?,
        day: amount(AmountFlag::LimitDay, &settings.day_limit)?,
        peer: amount(AmountFlag::LimitPeer, &settings.peer_limit)?,
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(TlsError::Randomness)?;
    let founder = Founder { root: root.signing_key()?, currency: settings.currency.clone(), limits, seed };
    Ok((Arc::new(Book::open(store, founder)?), opening))
}
