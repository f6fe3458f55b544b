//! Amounts and currencies: integers of minor units; decimal strings at the edges only.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::CURRENCY_MAX;
use crate::BoundedText;

/// The largest amount: so that every balance, the issuance account's too, is a signed 64-bit number.
pub const AMOUNT_MAX: u64 = i64::MAX as u64;
/// Most decimals that a currency can have: a nano-unit.
pub const SCALE_MAX: u8 = 9;

/// An amount of money in minor units, at most [`AMOUNT_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize)]
pub struct Amount(u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many minor units; `None` above [`AMOUNT_MAX`].
    #[must_use]
    pub const fn new(units: u64) -> Option<Self> {
        if units <= AMOUNT_MAX { Some(Self(units)) } else { None }
    }

    /// In minor units.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// The sum; `None` above [`AMOUNT_MAX`].
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(units) => Self::new(units),
            None => None,
        }
    }

    /// The difference; `None` below zero.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(units) => Some(Self(units)),
            None => None,
        }
    }

    /// Splits into so many parts that differ by one minor unit at most, the larger ones first (largest remainder); empty
    /// for no parts.
    #[must_use]
    pub fn split(self, parts: u32) -> Vec<Self> {
        let Some(share) = self.0.checked_div(u64::from(parts)) else { return Vec::new() };
        let larger = self.0 % u64::from(parts);
        (0..u64::from(parts)).map(|part| Self(share + u64::from(part < larger))).collect()
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("an amount above the largest"))
    }
}

/// Why a text is no amount. Each says what would be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is not digits, optionally a point and digits.
    #[error("an amount is digits and at most one point, like 12.50: no sign, comma, blank or exponent")]
    Form,
    /// The part before the point is missing.
    #[error("an amount begins with a digit: write 0.5 instead of .5")]
    NoWhole,
    /// The part after the point is missing.
    #[error("a digit must follow the point, or leave the point out")]
    NoDecimals,
    /// The currency has fewer decimals.
    #[error("at most {scale} decimals here")]
    TooManyDecimals {
        /// How many it has.
        scale: u8,
    },
    /// It is zero.
    #[error("an amount is more than zero")]
    Zero,
    /// It is above [`AMOUNT_MAX`].
    #[error("that is more money than any ledger can hold; write a smaller amount")]
    TooLarge,
}

/// What a directory's money is called, and how many decimals people write.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Currency {
    /// Its name; empty if the operator gave none.
    pub name: BoundedText<CURRENCY_MAX>,
    /// Decimals, at most [`SCALE_MAX`].
    #[serde(deserialize_with = "scale")]
    scale: u8,
}

fn scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let scale = u8::deserialize(deserializer)?;
    if scale <= SCALE_MAX { Ok(scale) } else { Err(de::Error::custom("too many decimals")) }
}

impl Default for Currency {
    /// Without a name, with two decimals.
    fn default() -> Self {
        Self { name: BoundedText::default(), scale: 2 }
    }
}

impl Currency {
    /// A currency; `None` if it would have more than [`SCALE_MAX`] decimals.
    #[must_use]
    pub fn new(name: BoundedText<CURRENCY_MAX>, scale: u8) -> Option<Self> {
        if scale <= SCALE_MAX { Some(Self { name, scale }) } else { None }
    }

    /// How many decimals it has.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// Reads an amount greater than zero: ASCII digits, optionally a point and at most as many decimals as there are.
    ///
    /// # Errors
    /// [`AmountError`].
    pub fn parse(&self, text: &str) -> Result<Amount, AmountError> {
        let amount = self.parse_any(text)?;
        if amount == Amount::ZERO { Err(AmountError::Zero) } else { Ok(amount) }
    }

    /// As [`Self::parse`], and zero too: a balance.
    ///
    /// # Errors
    /// [`AmountError`], never [`AmountError::Zero`].
    pub fn parse_any(&self, text: &str) -> Result<Amount, AmountError> {
        let (whole, decimals) = match text.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (text, None),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() || !digits(whole) || !decimals.is_none_or(digits) {
            return Err(AmountError::Form);
        }
        if whole.is_empty() {
            return Err(AmountError::NoWhole);
        }
        let decimals = match decimals {
            Some("") => return Err(AmountError::NoDecimals),
            Some(decimals) if decimals.len() > usize::from(self.scale) => {
                return Err(AmountError::TooManyDecimals { scale: self.scale });
            }
            other => other.unwrap_or(""),
        };
        let zeros = std::iter::repeat_n(b'0', usize::from(self.scale) - decimals.len());
        let mut units: u64 = 0;
        for digit in whole.bytes().chain(decimals.bytes()).chain(zeros) {
            units = units
                .checked_mul(10)
                .and_then(|units| units.checked_add(u64::from(digit - b'0')))
                .ok_or(AmountError::TooLarge)?;
        }
        Amount::new(units).ok_or(AmountError::TooLarge)
    }

    /// An amount as people read and type it, with every decimal.
    #[must_use]
    pub const fn show(&self, amount: Amount) -> Shown {
        Shown { units: amount.0, scale: self.scale, negative: false }
    }

    /// A balance as people read it: the issuance account's is negative.
    #[must_use]
    pub const fn show_balance(&self, units: i64) -> Shown {
        Shown { units: units.unsigned_abs(), scale: self.scale, negative: units < 0 }
    }
}

/// An amount on its way to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    units: u64,
    scale: u8,
    negative: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let unit = 10_u64.pow(u32::from(self.scale));
        let (whole, decimals) = (self.units / unit, self.units % unit);
        if self.scale == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{decimals:0width$}", width = usize::from(self.scale))
    }
}
