//! What becomes durable at the ledger and at nodes, as far as the promises about money ask for it.

use directory::store::ledger::{NewEntry, RequestStep};
use node_core::{
    event::EventKind,
    stored::{Change, Transaction},
};
use protocol::{
    AccountId, OrderId,
    directory::{LedgerRequest, Request, RequestState},
};

use super::{Standing, books::Deal};
use crate::world::{
    World,
    coverage::Case,
    mortal::{AccountChange, LedgerChange},
    witness::{NodeIndex, Violation},
};

/// An order that is handed in.
#[derive(Debug, Clone, Copy)]
pub(in crate::world) struct Asking(AccountId, OrderId);

impl Asking {
    /// The order that a request hands in, if it does.
    pub(in crate::world) fn of(request: &Request) -> Option<Self> {
        let Request::Ledger(request) = request else { return None };
        let LedgerRequest::Settle { order } = &**request else { return None };
        let order = order.order().ok()?;
        Some(Self(order.payer, order.id))
    }
}

/// What an honest world gives nobody a reason to say: the beginnings of it.
const DOUBTS: [&str; 8] = [
    "an order that was told",
    "a receipt that was told",
    "a request that was told",
    "somebody ended a request",
    "an entry of the ledger",
    "the ledger t",
    "the ledger's receipt",
    "a checkpoint that was told",
];

impl World {
    /// What became durable with a node's request, or as the directory looked at its clock.
    pub(in crate::world) fn note_for_market(
        &mut self,
        asker: Option<NodeIndex>,
        accounts: &[AccountChange],
        asking: Option<Asking>,
    ) -> Result<(), Violation> {
        let Some(market) = self.market.as_mut() else { return Ok(()) };
        for change in accounts {
            if let (Some(index), AccountChange::Devices(list)) = (asker, change)
                && let Ok(list) = list.list()
            {
                market.accounts.insert(membership::account_id(&list.root_key), market.owners[index]);
            }
        }
        if asking.is_some_and(|Asking(payer, id)| market.settled.contains(&(payer, id))) {
            self.coverage.met(Case::HandedInAgain);
        }
        let account = asker.and_then(|index| market.account_at(index));
        for change in self.directory.ledger.changes() {
            match change {
                LedgerChange::Posted(entry) => self.note_posted(account, &entry)?,
                LedgerChange::Step(step) => self.note_step(&step),
            }
        }
        Ok(())
    }

    fn note_posted(&mut self, asker: Option<AccountId>, entry: &NewEntry) -> Result<(), Violation> {
        let Some(market) = self.market.as_mut() else { return Ok(()) };
        let deal = Deal::read(entry.index, &entry.bytes)?;
        let text = format!("the ledger has entry {} {:?}", entry.index, entry.bytes);
        if !market.settled.insert(entry.order) {
            return Err(Violation::SettledTwice { what: format!("{deal:?}") });
        }
        if entry.payee.1 < 0 || deal.payer.is_some() && entry.payer.1 < 0 {
            return Err(Violation::Unbalanced { what: format!("somebody is below zero after {deal:?}") });
        }
        self.coverage.met_if(Case::Issued, deal.issued());
        self.coverage.met_if(Case::PaymentRefunded, deal.refunds.is_some());
        self.coverage.met_if(Case::DepositedByPayee, deal.payer.is_some() && asker == Some(deal.payee));
        market.posted.push(deal);
        self.trace.note(self.now, &|| text.clone());
        Ok(())
    }

    fn note_step(&mut self, step: &RequestStep) {
        let Some(market) = self.market.as_mut() else { return };
        market.requests.insert(step.key, Standing { payer: step.payer, state: step.state });
        let case = match step.state {
            RequestState::Open => None,
            RequestState::Paid => Some(Case::RequestPaid),
            RequestState::Declined => Some(Case::RequestDeclined),
            RequestState::Cancelled => Some(Case::RequestCancelled),
            RequestState::Expired => Some(Case::RequestExpired),
            RequestState::Refunded => Some(Case::RequestRefunded),
        };
        case.into_iter().for_each(|case| self.coverage.met(case));
        let text = format!("the ledger has {step:?}");
        self.trace.note(self.now, &|| text.clone());
    }

    /// What the promises say about a transaction that is about to be durable.
    pub(in crate::world) fn observe_market_transaction(
        &mut self,
        index: NodeIndex,
        transaction: &Transaction,
    ) -> Result<(), Violation> {
        for change in &transaction.changes {
            let Change::Event(event) = change else { continue };
            match &event.kind {
                EventKind::Ledger { state } => {
                    let what = format!("an event: {state:?}");
                    return Err(Violation::LedgerDoubted { node: self.of_market(index), what });
                }
                EventKind::KeyChanged { .. } => return Err(Violation::KeyChangeTold { node: self.of_market(index) }),
                EventKind::Payment { memo, ledger_seq, .. } => {
                    let has = self.market.as_ref().is_some_and(|market| {
                        let mut posted = market.posted.iter();
                        posted.any(|deal| deal.index == *ledger_seq)
                    });
                    if !has {
                        let what = format!("entry {ledger_seq} is told, and the ledger has none");
                        return Err(Violation::PaymentTold { node: self.of_market(index), what });
                    }
                    self.coverage.met_if(Case::ToldWithoutWords, memo.is_none());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A node finds fault with somebody: never with an honest ledger, nor with what honest people say of money.
    pub(in crate::world) fn doubt(&self, index: NodeIndex, what: &str, detail: &str) -> Result<(), Violation> {
        if self.market.is_none() || !DOUBTS.iter().any(|doubt| what.starts_with(doubt)) {
            return Ok(());
        }
        Err(Violation::LedgerDoubted { node: self.of_market(index), what: format!("{what}: {detail}") })
    }
}
