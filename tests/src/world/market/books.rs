//! The ledger's own entries, read from the first one on and added up anew.

use std::collections::{BTreeMap, BTreeSet};

use directory::store::ledger::LedgerStore;
use protocol::{
    AccountId, OrderId, frame,
    money::{ENTRY_MAX, Entry, HashBytes, Order, SignedOrder},
};
use settlement::{proof, signed};
use sha2::{Digest as _, Sha256};

use super::RequestKey;
use crate::world::witness::Violation;

/// Entries and rows that are read at a time.
const PAGE: usize = 1_000;

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Deal {
    pub(super) index: u64,
    /// Absent for what nobody but the operator decided.
    pub(super) id: Option<OrderId>,
    pub(super) payer: Option<AccountId>,
    pub(super) payee: AccountId,
    pub(super) amount: u64,
    /// The operator's words.
    pub(super) memo: Option<String>,
    pub(super) request: Option<RequestKey>,
    pub(super) refunds: Option<OrderId>,
    /// Balances of payer and payee right after it.
    pub(super) after: (i64, i64),
    signed: Option<(SignedOrder, Order)>,
}

/// All entries, and what everybody has after the last one.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) deals: Vec<Deal>,
    pub(super) balances: BTreeMap<AccountId, i64>,
}

fn unbalanced(what: impl Into<String>) -> Violation {
    Violation::Unbalanced { what: what.into() }
}

impl Deal {
    /// An entry by its bytes; balances are not known yet.
    pub(super) fn read(index: u64, bytes: &[u8]) -> Result<Self, Violation> {
        let entry: Entry = frame::decode_body(bytes, ENTRY_MAX).map_err(|error| unbalanced(error.to_string()))?;
        let deal = |id, payee, amount: protocol::money::Amount| Self {
            index,
            id,
            payer: None,
            payee,
            amount: amount.units(),
            memo: None,
            request: None,
            refunds: None,
            after: (0, 0),
            signed: None,
        };
        Ok(match entry {
            Entry::Opening { payee, amount, .. } => deal(None, payee, amount),
            Entry::Issue { id, payee, amount, memo, .. } => {
                Self { memo: Some(memo.to_string()), ..deal(Some(id), payee, amount) }
            }
            Entry::Transfer { order: signed, .. } => {
                let order = signed.order().map_err(|error| unbalanced(error.to_string()))?;
                let request = order.answers.as_ref().and_then(|request| request.request().ok());
                Self {
                    payer: Some(order.payer),
                    request: request.map(|request| (request.payee, request.id)),
                    refunds: order.refunds,
                    signed: Some((signed, order.clone())),
                    ..deal(Some(order.id), order.payee, order.amount)
                }
            }
        })
    }

    /// Whether it is money that the operator gave out.
    pub(super) fn issued(&self) -> bool {
        self.payer.is_none() && self.id.is_some()
    }

    /// What an account has right after it; whose it is not has none.
    pub(super) fn balance(&self, account: AccountId) -> Option<i64> {
        let (payer, payee) = self.after;
        if self.payer == Some(account) { Some(payer) } else { (self.payee == account).then_some(payee) }
    }
}

impl Books {
    /// Reads and adds up a ledger.
    pub(super) fn read(store: &dyn LedgerStore) -> Result<Self, Violation> {
        let failed = |error: directory::store::StoreError| unbalanced(error.to_string());
        let (founding, head) = store.head().map_err(failed)?.ok_or_else(|| unbalanced("there is no ledger"))?;
        let issuance = settlement::issuance_account(founding.ledger);
        let mut books = Self::default();
        let mut leaves = Vec::new();
        while let Some(bytes) = store.entries(leaves.len() as u64, 1).map_err(failed)?.pop() {
            let deal = Deal::read(leaves.len() as u64, &bytes)?;
            leaves.push(proof::leaf(&bytes));
            books.post(deal, issuance)?;
        }
        let checkpoint = head.checkpoint.checkpoint().map_err(|error| unbalanced(error.to_string()))?;
        if (checkpoint.size, checkpoint.root) != (leaves.len() as u64, root(&leaves)) {
            return Err(unbalanced(format!("the checkpoint is not of these {} entries: {checkpoint:?}", leaves.len())));
        }
        let kept: BTreeMap<AccountId, i64> = store.balances().map_err(failed)?.into_iter().collect();
        if kept != books.balances {
            return Err(unbalanced(format!("balances are kept as {kept:?} and come to {:?}", books.balances)));
        }
        let sum: i64 = kept.values().sum();
        if sum != 0 {
            return Err(unbalanced(format!("the balances come to {sum} together")));
        }
        books.check_orders()?;
        for account in books.balances.keys().filter(|account| **account != issuance) {
            books.check_own(*account, &store.own(*account, None, PAGE).map_err(failed)?)?;
        }
        Ok(books)
    }

    fn post(&mut self, mut deal: Deal, issuance: AccountId) -> Result<(), Violation> {
        let amount = i64::try_from(deal.amount).map_err(|error| unbalanced(error.to_string()))?;
        let payer = deal.payer.unwrap_or(issuance);
        let left = self.balances.entry(payer).or_default();
        *left -= amount;
        let left = *left;
        let got = self.balances.entry(deal.payee).or_default();
        *got += amount;
        deal.after = (left, *got);
        if payer != issuance && left < 0 || deal.payee == issuance || payer == deal.payee {
            return Err(unbalanced(format!("{deal:?}")));
        }
        self.deals.push(deal);
        Ok(())
    }

    /// Each order once, each request once and as it asks, and no more given back than was paid.
    fn check_orders(&self) -> Result<(), Violation> {
        let (mut orders, mut requests) = (BTreeSet::new(), BTreeSet::new());
        let mut given: BTreeMap<(AccountId, OrderId), u64> = BTreeMap::new();
        for deal in &self.deals {
            let Some((_, order)) = &deal.signed else { continue };
            if !orders.insert((order.payer, order.id)) {
                return Err(Violation::SettledTwice { what: format!("{deal:?}") });
            }
            if let Some(request) = &order.answers {
                let asked = request.request().is_ok_and(|request| signed::answers(order, &request));
                if !asked || !requests.insert(deal.request) {
                    return Err(Violation::RequestPaidTwice { what: format!("{deal:?}") });
                }
            }
            if let Some(id) = order.refunds {
                let of = |other: &&Deal| other.id == Some(id) && other.payer == Some(order.payee);
                let original = self.deals.iter().take_while(|other| other.index < deal.index).find(of);
                let back = given.entry((order.payee, id)).or_default();
                *back += deal.amount;
                if original.is_none_or(|original| original.payee != order.payer || original.amount < *back) {
                    return Err(unbalanced(format!("too much was given back: {deal:?}")));
                }
            }
        }
        Ok(())
    }

    /// What an account is told to be its own is what is its own, and every order of it was signed by a device of its payer.
    fn check_own(&self, account: AccountId, rows: &[directory::store::ledger::OwnRecord]) -> Result<(), Violation> {
        let own: Vec<&Deal> = self.own(account).collect();
        let same = own.len() == rows.len()
            && own.iter().zip(rows).all(|(deal, row)| {
                (deal.index, deal.balance(account)) == (row.index, Some(row.balance))
                    && match (&deal.signed, &row.certificate) {
                        (Some((signed, _)), Some(certificate)) => signed::verify_order(signed, certificate).is_ok(),
                        (signed, _) => signed.is_none(),
                    }
            });
        if same { Ok(()) } else { Err(unbalanced(format!("the entries of {account:?} are not kept as its own"))) }
    }

    /// An account's entries.
    pub(super) fn own(&self, account: AccountId) -> impl Iterator<Item = &Deal> {
        self.deals.iter().filter(move |deal| deal.balance(account).is_some())
    }

    /// One entry.
    pub(super) fn deal(&self, index: u64) -> Option<&Deal> {
        self.deals.get(usize::try_from(index).ok()?)
    }
}

/// The root of a log, as RFC 9162 defines it, without any cleverness.
fn root(leaves: &[HashBytes]) -> HashBytes {
    match leaves {
        [] => proof::empty_root(),
        [leaf] => Sha256::new_with_prefix([0]).chain_update(leaf).finalize().into(),
        leaves => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::new_with_prefix([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
        }
    }
}
