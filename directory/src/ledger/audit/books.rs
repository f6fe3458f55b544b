//! Balances, orders and requests, made anew from the entries.

use std::collections::HashMap;

use protocol::{
    AccountId, LedgerId, OrderId, Timestamp,
    directory::RequestState,
    frame,
    money::{Amount, ENTRY_MAX, Entry, Order, SignedOrder},
};

use super::{Checked, broken};
use crate::{
    core::ledger::{answered, ladder, opening_id},
    store::{ledger::RequestKey, sqlite::ledger::snapshot::Snapshot},
};

/// What an account had last, and after which entry.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    balance: i64,
    place: u64,
}

/// The books.
#[derive(Debug)]
pub(super) struct Books {
    ledger: LedgerId,
    issuance: AccountId,
    time: Timestamp,
    balances: HashMap<AccountId, Standing>,
    /// How much of each payment was given back, by its place, with the last refund's place.
    refunded: HashMap<u64, (u64, u64)>,
    /// Requests that were paid, with the payment's place.
    paid: HashMap<RequestKey, u64>,
    transfers: u64,
    issued: u64,
}

impl Books {
    pub(super) fn new(ledger: LedgerId) -> Self {
        Self {
            ledger,
            issuance: settlement::issuance_account(ledger),
            time: Timestamp::default(),
            balances: HashMap::new(),
            refunded: HashMap::new(),
            paid: HashMap::new(),
            transfers: 0,
            issued: 0,
        }
    }

    /// The time of the last entry.
    pub(super) const fn time(&self) -> Timestamp {
        self.time
    }

    /// Transfers, accounts besides the issuance account, and minor units issued.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        let accounts = self.balances.keys().filter(|account| **account != self.issuance).count();
        (self.transfers, accounts as u64, self.issued)
    }

    /// Takes the next entry in; gives its order, if it settles one.
    pub(super) fn take(
        &mut self,
        kept: &Snapshot<'_>,
        place: u64,
        bytes: &[u8],
    ) -> Checked<Option<(Order, SignedOrder)>> {
        let Ok(entry) = frame::decode_body::<Entry>(bytes, ENTRY_MAX) else {
            return broken(place, "its bytes are no entry");
        };
        if entry.at() < self.time {
            return broken(place, "it is earlier than the entry before it");
        }
        self.time = entry.at();
        match entry {
            Entry::Issue { id, payee, amount, .. } => {
                self.mint(kept, place, id, payee, amount)?;
                Ok(None)
            }
            Entry::Opening { payee, amount, .. } => {
                self.mint(kept, place, opening_id(payee), payee, amount)?;
                Ok(None)
            }
            Entry::Transfer { order: signed, at } => {
                let Ok(order) = signed.order() else { return broken(place, "its order can't be read") };
                self.transfer(kept, place, &order, at)?;
                Ok(Some((order, signed)))
            }
        }
    }

    fn mint(&mut self, kept: &Snapshot<'_>, place: u64, id: OrderId, payee: AccountId, amount: Amount) -> Checked<()> {
        let left = i64::try_from(amount.units()).ok().and_then(|units| self.balance(self.issuance).checked_sub(units));
        let Some(left) = left else { return broken(place, "more is issued than a ledger holds") };
        self.issued = self.issued.saturating_add(amount.units());
        self.post(kept, place, (self.issuance, id), (self.issuance, left), (payee, amount))
    }

    fn transfer(&mut self, kept: &Snapshot<'_>, place: u64, order: &Order, at: Timestamp) -> Checked<()> {
        if order.ledger != self.ledger {
            return broken(place, "its order is for another ledger");
        }
        if order.payer == order.payee || order.amount == Amount::ZERO || order.not_after <= at {
            return broken(place, "its order is none that could be settled then");
        }
        let Some(left) = ladder::debit(self.balance(order.payer), order.amount) else {
            return broken(place, "its payer did not have so much");
        };
        self.transfers += 1;
        self.post(kept, place, (order.payer, order.id), (order.payer, left), (order.payee, order.amount))?;
        if let Some(before) = answered(order).and_then(|key| self.paid.insert(key, place)) {
            return broken(place, format!("the request that it pays was paid by entry {before}"));
        }
        match order.refunds {
            Some(id) => self.give_back(kept, place, order, id),
            None => Ok(()),
        }
    }

    fn post(
        &mut self,
        kept: &Snapshot<'_>,
        place: u64,
        (owner, id): (AccountId, OrderId),
        payer: (AccountId, i64),
        (payee, amount): (AccountId, Amount),
    ) -> Checked<()> {
        let Some(after) = ladder::credit(self.balance(payee), amount) else {
            return broken(place, "its payee could not hold so much");
        };
        for (account, balance) in [payer, (payee, after)] {
            self.balances.insert(account, Standing { balance, place });
            if kept.balance_after(account, place)? != Some(balance) {
                return broken(
                    place,
                    format!("what account {account} has after it is {balance}, and not what is kept"),
                );
            }
        }
        // Each order is known once; so no two entries are of one order.
        match kept.known_as(owner, id)? {
            Some(known) if known == place => Ok(()),
            Some(known) => broken(place, format!("its order is known as entry {known}: it counts twice")),
            None => broken(place, "its order is not known as settled"),
        }
    }

    fn give_back(&mut self, kept: &Snapshot<'_>, place: u64, order: &Order, id: OrderId) -> Checked<()> {
        let original = kept.known_as(order.payee, id)?.filter(|original| *original < place);
        let Some(original) = original else { return broken(place, "what it gives back was never paid") };
        let entry = kept.entries(original, 1)?.into_iter().next();
        let entry = entry.and_then(|entry| frame::decode_body::<Entry>(&entry.bytes, ENTRY_MAX).ok());
        let paid = match entry {
            Some(Entry::Transfer { order, .. }) => order.order().ok(),
            _ => None,
        };
        let theirs = |paid: &Order| (paid.payer, paid.payee) == (order.payee, order.payer);
        let Some(paid) = paid.filter(theirs) else { return broken(place, "what it gives back was paid by others") };
        let (refunded, last) = self.refunded.entry(original).or_default();
        *refunded = refunded.saturating_add(order.amount.units());
        *last = place;
        if *refunded > paid.amount.units() {
            return broken(place, format!("more is given back than entry {original} paid"));
        }
        Ok(())
    }

    fn balance(&self, account: AccountId) -> i64 {
        self.balances.get(&account).map_or(0, |standing| standing.balance)
    }

    /// That what is kept beside the entries is what follows from them, and nothing else.
    pub(super) fn compare(&self, kept: &Snapshot<'_>, size: u64) -> Checked<()> {
        let last = size.saturating_sub(1);
        let [entries, own, known, _] = kept.counts()?;
        if entries != size {
            return broken(last, "there are entries outside of the order");
        }
        if own != 2 * size || known != size {
            return broken(last, "more is known of orders or of balances than there are entries");
        }
        let sum: i128 = self.balances.values().map(|standing| i128::from(standing.balance)).sum();
        if sum != 0 {
            return broken(last, format!("all balances together are {sum} and not zero"));
        }
        let mut missing = self.balances.clone();
        for (account, balance) in kept.balances()? {
            let standing = missing.remove(&account).unwrap_or_default();
            if standing.balance != balance {
                let what = format!("account {account} has {} after it, and {balance} is kept", standing.balance);
                return broken(standing.place, what);
            }
        }
        if let Some((account, standing)) = missing.into_iter().next() {
            return broken(standing.place, format!("account {account} is missing"));
        }
        for (account, _) in kept.closed()? {
            let Some(standing) = self.balances.get(&account).filter(|standing| standing.balance != 0) else { continue };
            return broken(
                standing.place,
                format!("account {account} is closed and has {} after it", standing.balance),
            );
        }
        let refunds = kept.refunds()?;
        for (original, (refunded, place)) in &self.refunded {
            if refunds.get(original) != Some(refunded) {
                return broken(*place, format!("how much of entry {original} was given back is not what is kept"));
            }
        }
        if refunds.len() != self.refunded.len() {
            return broken(last, "something is kept as given back that never was");
        }
        self.compare_requests(kept, last)
    }

    fn compare_requests(&self, kept: &Snapshot<'_>, last: u64) -> Checked<()> {
        let mut paid = self.paid.clone();
        for request in kept.requests()? {
            let place = paid.remove(&(request.payee, request.id));
            let closed_by_payment = matches!(request.state, RequestState::Paid | RequestState::Refunded);
            match place {
                Some(place) if !closed_by_payment => {
                    return broken(
                        place,
                        format!("the request {} that it pays is kept as {:?}", request.id, request.state),
                    );
                }
                None if closed_by_payment => {
                    return broken(last, format!("the request {} is kept as paid, and no entry pays it", request.id));
                }
                _ => {}
            }
        }
        match paid.into_iter().next() {
            Some(((_, id), place)) => broken(place, format!("the request {id} that it pays is not kept")),
            None => Ok(()),
        }
    }
}
