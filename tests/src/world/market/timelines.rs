//! Both sides' timelines: every payment of an account is told once on each of its devices, as the ledger has it.

use std::collections::BTreeMap;

use node_core::{
    command::{MoneyLine, PaymentView},
    event::{EventKind, PaymentState},
};
use protocol::AccountId;

use super::{
    Market,
    books::{Books, Deal},
    shown,
};
use crate::world::{
    World,
    coverage::Case,
    witness::{NodeIndex, Violation},
};

/// A payment as an event tells it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    id: Option<protocol::OrderId>,
    from: Option<String>,
    to: Option<String>,
    amount: String,
    balance: Option<String>,
}

impl World {
    /// What a device lists and has told of payments is what the ledger has of its account.
    pub(super) fn check_payments(&mut self, index: NodeIndex, books: &Books) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let broken = |what: String| Violation::PaymentTold { node: self.of_market(index), what };
        let (Some(own), Some(told)) = (market.account_at(index), market.told.get(&index)) else {
            return Err(broken("there is no account".to_owned()));
        };
        if told.unknown != Some(0) {
            return Err(Violation::Undecided { what: format!("{}: {:?} orders", self.of_market(index), told.unknown) });
        }
        let has = books.balances.get(&own).copied().unwrap_or_default();
        let balance = told.balance.as_ref().map(|view| view.available.to_string());
        if balance != u64::try_from(has).ok().map(shown) {
            return Err(broken(format!("the balance is {has} and is told as {balance:?}")));
        }
        let payments = told.payments.as_deref().unwrap_or_default();
        let listed = self.listed(index, payments, own, books)?;
        let (mut further, mut history) = (0, 0);
        for deal in books.own(own) {
            let Some(view) = listed.get(&deal.index) else {
                return Err(broken(format!("it does not list {deal:?}")));
            };
            let expected = market.line(deal, own);
            let line = Line {
                id: deal.id.map(|_| view.uid),
                from: view.from.as_ref().map(ToString::to_string),
                to: view.to.as_ref().map(ToString::to_string),
                amount: view.amount.to_string(),
                balance: view.balance.map(|balance| balance.to_string()),
            };
            if line != expected {
                return Err(broken(format!("it lists {line:?} for {expected:?}")));
            }
            let times = self.events_of(index, deal, &expected)?;
            let silent = view.history || deal.payer.is_none() && deal.id.is_none();
            if times != usize::from(!silent) {
                return Err(broken(format!("it has told {times} times of {deal:?}, history: {}", view.history)));
            }
            self.check_memo(index, deal, view)?;
            self.check_history(index, deal, times)?;
            further += usize::from(!market.is_first(index) && times == 1);
            history += usize::from(view.history);
        }
        (0..further).for_each(|_| self.coverage.met(Case::PaymentOnFurtherDevice));
        (0..history).for_each(|_| self.coverage.met(Case::PaymentIsHistory));
        Ok(())
    }

    /// What a device lists as paid, by place; what it lists as not paid is not in the ledger.
    fn listed<'a>(
        &self,
        index: NodeIndex,
        payments: &'a [PaymentView],
        own: AccountId,
        books: &Books,
    ) -> Result<BTreeMap<u64, &'a PaymentView>, Violation> {
        let mut listed = BTreeMap::new();
        let broken = |what: String| Violation::PaymentTold { node: self.of_market(index), what };
        for view in payments {
            match (view.state, view.ledger_seq) {
                (PaymentState::Paid, Some(place)) => {
                    if listed.insert(place, view).is_some() || books.deal(place).and_then(|d| d.balance(own)).is_none()
                    {
                        return Err(broken(format!("it lists {view:?} twice, or it is not its own")));
                    }
                }
                (PaymentState::NotPaid, _) => {
                    let paid = |deal: &&Deal| deal.id == Some(view.uid) && deal.payer == Some(own);
                    if let Some(deal) = books.deals.iter().find(paid) {
                        let what = format!("{view:?}, and the ledger has {deal:?}");
                        return Err(Violation::DeniedAndDone { node: self.of_market(index), what });
                    }
                }
                (state, _) => {
                    let what = format!("{} lists {view:?} as {state:?}", self.of_market(index));
                    return Err(Violation::Undecided { what });
                }
            }
        }
        Ok(listed)
    }

    /// How often a device has told of an entry, each time as it is.
    fn events_of(&self, index: NodeIndex, deal: &Deal, expected: &Line) -> Result<usize, Violation> {
        let mut times = 0;
        for event in self.nodes[index].disk.events() {
            let EventKind::Payment { uid, from, to, amount, balance, ledger_seq, .. } = &event.kind else { continue };
            if *ledger_seq != deal.index {
                continue;
            }
            let line = Line {
                id: Some(*uid),
                from: from.as_ref().map(ToString::to_string),
                to: to.as_ref().map(ToString::to_string),
                amount: amount.to_string(),
                balance: Some(balance.to_string()),
            };
            if line != *expected {
                let what = format!("it has told {line:?} of {expected:?}");
                return Err(Violation::PaymentTold { node: self.of_market(index), what });
            }
            times += 1;
        }
        Ok(times)
    }

    /// What was told of a payment between two people stands in the history once, as it was told.
    fn check_history(&self, index: NodeIndex, deal: &Deal, times: usize) -> Result<(), Violation> {
        let Some(id) = deal.id.filter(|_| deal.payer.is_some()) else { return Ok(()) };
        let lines = self.nodes[index].disk.timeline().filter(|entry| entry.uid.0 == id.0);
        let told = self.nodes[index].disk.events().iter().find_map(|event| match &event.kind {
            EventKind::Payment { uid, from, to, amount, memo, .. } if *uid == id => Some((from, to, amount, memo)),
            _ => None,
        });
        let mut found = 0;
        for entry in lines {
            let Some(MoneyLine::Payment { amount, .. }) = &entry.money else { continue };
            let memo = (!entry.text.is_empty()).then_some(&entry.text);
            let same = told.is_some_and(|(from, to, told, words)| {
                (from.as_ref(), to.as_ref(), told) == (Some(&entry.from), Some(&entry.to), amount)
                    && words.as_ref().filter(|words| !words.is_empty()) == memo
            });
            found += usize::from(same);
        }
        if found == times {
            return Ok(());
        }
        let what = format!("it has told {times} times of {deal:?}, and its history says so {found} times");
        Err(Violation::PaymentTold { node: self.of_market(index), what })
    }

    /// The words of a payment are those of whoever wanted it, on every device that was told any; and of each person one
    /// device was, or all that were there.
    fn check_memo(&self, index: NodeIndex, deal: &Deal, view: &PaymentView) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let broken = |what: String| Violation::PaymentTold { node: self.of_market(index), what };
        let Some(payer) = deal.payer.and_then(|payer| market.person_of(payer)) else {
            let same = view.memo == deal.memo;
            return if same {
                Ok(())
            } else {
                Err(broken(format!("the operator's words are {:?}: {deal:?}", view.memo)))
            };
        };
        let Some(memo) = &view.memo else {
            let told = market.nodes_of(market.owners[index]).any(|node| self.has_words(node, deal.index));
            let excused = view.history || market.was_long || told && !market.all_were_there(deal.index);
            return if excused { Ok(()) } else { Err(broken(format!("it has no words for {deal:?}"))) };
        };
        if self.memo_of(deal.index) != Some(memo) {
            return Err(broken(format!("its words for {deal:?} are {memo}, and elsewhere others")));
        }
        let payee = market.person_of(deal.payee);
        let meant = match market.wishes.get(memo) {
            Some(wish) if wish.asks => deal.request.is_some() && wish.is_request(payee, Some(payer), deal.amount),
            Some(wish) => {
                deal.request.is_none() && (wish.by, Some(wish.with), wish.amount) == (payer, payee, deal.amount)
            }
            None => memo.is_empty() && deal.refunds.is_some(),
        };
        if meant { Ok(()) } else { Err(broken(format!("nobody wanted {deal:?} with {memo}"))) }
    }

    fn has_words(&self, index: NodeIndex, place: u64) -> bool {
        let told = self.market.as_ref().and_then(|market| market.told.get(&index)?.payments.as_ref());
        told.is_some_and(|views| views.iter().any(|view| view.ledger_seq == Some(place) && view.memo.is_some()))
    }

    /// The words of an entry, as the first device that has any lists them.
    pub(super) fn memo_of(&self, place: u64) -> Option<&String> {
        let told = self.market.as_ref()?.told.values();
        let views = told.flat_map(|told| told.payments.iter().flatten());
        let mut memos = views.filter(|view| view.ledger_seq == Some(place)).filter_map(|view| view.memo.as_ref());
        memos.next()
    }
}

impl Market {
    /// What a device of an account should say of an entry.
    fn line(&self, deal: &Deal, own: AccountId) -> Line {
        let name = |account| self.name_of(account).map(ToString::to_string);
        Line {
            id: deal.id,
            from: deal.payer.and_then(name),
            to: name(deal.payee),
            amount: shown(deal.amount),
            balance: deal.balance(own).and_then(|units| u64::try_from(units).ok()).map(shown),
        }
    }
}
