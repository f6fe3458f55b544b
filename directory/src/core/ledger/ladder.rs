//! The ladder: what becomes of an order. The first step that it does not pass is what it hears of.

use protocol::{
    LedgerId, Timestamp,
    directory::{LedgerRefusal, LimitKind, PaymentLimits, RequestState},
    money::{Amount, HashBytes, ORDER_LIFETIME_MAX_MS, Order},
};

use settlement::signed::answers;

use crate::store::ledger::{Known, KnownOutcome, Original, RequestRecord};

use super::{Standing, available};

/// Everything that decides about one order.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What it says.
    pub order: &'a Order,
    /// SHA-256 of what was signed.
    pub hash: HashBytes,
    /// This ledger.
    pub ledger: LedgerId,
    /// The ledger's time.
    pub time: Timestamp,
    /// Whether a key that ever was the payer's signed it.
    pub signature_holds: bool,
    /// What is known of the payer's order of this id.
    pub known: Option<Known>,
    /// What the accounts say.
    pub standing: Standing,
    /// What the operator allows.
    pub limits: PaymentLimits,
    /// What the payer has paid today: to everybody, and to this payee.
    pub paid: (u64, u64),
    /// The request that it names, as it is registered.
    pub request: Option<&'a RequestRecord>,
    /// The payment that it names to give back.
    pub original: Option<Original>,
    /// The payer's balance.
    pub payer: i64,
    /// The payee's balance.
    pub payee: i64,
}

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is posted, and these are the balances of payer and payee then.
    Post {
        /// The payer's.
        payer: i64,
        /// The payee's.
        payee: i64,
    },
    /// It was judged before.
    Again(KnownOutcome),
    /// Refused, and nothing of it is remembered.
    Refuse(LedgerRefusal),
    /// Refused for good: the same order hears the same whenever it comes.
    Burn(LedgerRefusal),
}

/// The steps that can be taken before the signature is looked at.
///
/// # Errors
/// The refusal.
pub fn at_the_door(order: &Order, ledger: LedgerId, time: Timestamp) -> Result<(), LedgerRefusal> {
    if order.not_after > time.plus_ms(ORDER_LIFETIME_MAX_MS) {
        return Err(LedgerRefusal::TooFar);
    }
    if order.ledger != ledger { Err(LedgerRefusal::WrongLedger) } else { Ok(()) }
}

/// Judges an order that is well-formed.
#[must_use]
pub fn judge(facts: &Facts<'_>) -> Verdict {
    if let Err(refusal) = at_the_door(facts.order, facts.ledger, facts.time) {
        return Verdict::Refuse(refusal);
    }
    if !facts.signature_holds {
        return Verdict::Refuse(LedgerRefusal::BadSignature);
    }
    match facts.known {
        Some(known) if known.hash == facts.hash => return Verdict::Again(known.outcome),
        Some(_) => return Verdict::Refuse(LedgerRefusal::Conflict),
        None => {}
    }
    if facts.standing.revoked {
        return Verdict::Burn(LedgerRefusal::DeviceRevoked);
    }
    if facts.order.not_after <= facts.time {
        // Forgotten, since it can never be posted: time does not go back.
        return Verdict::Refuse(LedgerRefusal::Expired);
    }
    match people(facts).and_then(|()| limits(facts)).and_then(|()| request(facts)).and_then(|()| refund(facts)) {
        Ok(()) => transfer(facts),
        Err(refusal) => Verdict::Burn(refusal),
    }
}

fn people(facts: &Facts<'_>) -> Result<(), LedgerRefusal> {
    if !facts.standing.payee_known {
        return Err(LedgerRefusal::PayeeUnknown);
    }
    if facts.order.payer == facts.order.payee {
        return Err(LedgerRefusal::Oneself);
    }
    if facts.standing.blocked { Err(LedgerRefusal::Blocked) } else { Ok(()) }
}

fn limits(facts: &Facts<'_>) -> Result<(), LedgerRefusal> {
    let amount = facts.order.amount.units();
    let (today, today_to_peer) = facts.paid;
    let within = |kind: LimitKind, limit: Option<Amount>, before: u64| match limit {
        Some(limit) if before.saturating_add(amount) > limit.units() => Err(LedgerRefusal::OverLimit { kind, limit }),
        _ => Ok(()),
    };
    within(LimitKind::Payment, facts.limits.payment, 0)?;
    within(LimitKind::Day, facts.limits.day, today)?;
    within(LimitKind::Peer, facts.limits.peer, today_to_peer)
}

fn request(facts: &Facts<'_>) -> Result<(), LedgerRefusal> {
    let Some(signed) = &facts.order.answers else { return Ok(()) };
    let record = facts.request.ok_or(LedgerRefusal::RequestUnknown)?;
    let asked = signed.request().map_err(|_| LedgerRefusal::RequestMismatch)?;
    // The registered bytes are those whose signature was looked at; so the order's need no second look.
    if signed.request != record.request.request || !answers(facts.order, &asked) {
        return Err(LedgerRefusal::RequestMismatch);
    }
    match record.state {
        RequestState::Open if record.not_after <= facts.time => {
            Err(LedgerRefusal::RequestClosed(RequestState::Expired))
        }
        RequestState::Open => Ok(()),
        state => Err(LedgerRefusal::RequestClosed(state)),
    }
}

fn refund(facts: &Facts<'_>) -> Result<(), LedgerRefusal> {
    if facts.order.refunds.is_none() {
        return Ok(());
    }
    let back = |original: &Original| (original.payee, original.payer) == (facts.order.payer, facts.order.payee);
    let original = facts.original.filter(back).ok_or(LedgerRefusal::NotRefundable)?;
    let left = original.amount.checked_sub(original.refunded).unwrap_or(Amount::ZERO);
    if facts.order.amount > left { Err(LedgerRefusal::RefundTooMuch { left }) } else { Ok(()) }
}

fn transfer(facts: &Facts<'_>) -> Verdict {
    let Some(payer) = debit(facts.payer, facts.order.amount) else {
        return Verdict::Burn(LedgerRefusal::Insufficient { available: available(facts.payer) });
    };
    match credit(facts.payee, facts.order.amount) {
        Some(payee) => Verdict::Post { payer, payee },
        None => Verdict::Burn(LedgerRefusal::Overflow),
    }
}

/// A balance without an amount; `None` below zero.
pub(crate) fn debit(balance: i64, amount: Amount) -> Option<i64> {
    let amount = i64::try_from(amount.units()).ok()?;
    balance.checked_sub(amount).filter(|left| *left >= 0)
}

/// A balance with an amount; `None` above the largest.
pub(crate) fn credit(balance: i64, amount: Amount) -> Option<i64> {
    balance.checked_add(i64::try_from(amount.units()).ok()?)
}

#[cfg(test)]
mod tests;
