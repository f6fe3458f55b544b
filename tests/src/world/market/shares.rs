//! REQUEST GROUP in a world with money: a small group, and sums that are split over whoever is in it.
//!
//! Only some worlds have the group: who comes in, goes and falls out of groups is played elsewhere, and each of its messages
//! and commits makes a world larger.

use std::collections::{BTreeMap, BTreeSet};

use node_core::command::{Command, CommandResult, FailureCode, MoneyCommand, MoneyRef};
use protocol::{Name, RequestId, policy::Access};

use super::{
    Errand, PersonIndex, RequestKey,
    errands::{Answer, Wish},
    shown,
};
use crate::world::{
    World,
    coverage::Case,
    node::Asked,
    witness::{NodeIndex, Violation},
};

/// What the group is called.
const GROUP: &str = "table";
/// Most that is split at once.
const SUM_MAX: u64 = 3_000;
/// How often somebody who takes a request back takes a whole one with all its shares.
const WHOLE_TAKEN_BACK: u64 = 900_000;

/// How often somebody who has asked for shares takes a whole back at once.
const TAKEN_BACK_AT_ONCE: u64 = 400_000;

/// The group, and what was split in it.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Whether it was made, as far as whoever makes it was told.
    made: bool,
    /// Who came in, as far as they were told.
    members: BTreeSet<PersonIndex>,
    /// The shares of each whole, and which device asked for them.
    wholes: BTreeMap<RequestId, (NodeIndex, Vec<RequestId>)>,
}

impl World {
    /// Makes the group, or goes into it, if somebody is not in it; says whether that is what they do now.
    pub(super) fn enter_group_to_split(&mut self, index: NodeIndex) -> bool {
        let Some(market) = self.market.as_ref() else { return false };
        let Some(shares) = market.shares.as_ref() else { return false };
        let person = market.owners[index];
        let asking = self.nodes[index].asked.values().any(|(asked, _)| matches!(asked, Asked::Change(_)));
        if !market.is_first(index) || asking || shares.members.contains(&person) || person != 0 && !shares.made {
            return false;
        }
        let Ok(group) = Name::parse(GROUP) else { return false };
        let (what, command) = if person == 0 {
            ("CREATE", Command::CreateGroup { group, access: Access::Open })
        } else {
            ("JOIN", Command::Join { group })
        };
        self.command(index, Asked::Change(what), command);
        true
    }

    /// Notes who has come into the group; says whether it was about that.
    pub(super) fn entered_group(&mut self, index: NodeIndex, what: &str, result: &CommandResult) -> bool {
        let is_in = match result {
            Ok(_) => true,
            // What was given up before may have been done all the same.
            Err(failure) => failure.code == FailureCode::Conflict,
        };
        let Some(market) = self.market.as_mut() else { return false };
        let person = market.owners[index];
        let Some(shares) = market.shares.as_mut() else { return false };
        if is_in {
            shares.made |= what == "CREATE";
            shares.members.insert(person);
        }
        is_in
    }

    /// Asks everybody in the group for a share.
    pub(super) fn ask_everybody(&mut self, index: NodeIndex) {
        let market = self.market.as_ref();
        let is_in = market.is_some_and(|market| {
            market.shares.as_ref().is_some_and(|shares| shares.members.contains(&market.owners[index]))
        });
        if !is_in {
            return self.ask_somebody(index);
        }
        let (memo, amount) = (self.words(), self.chance.between(1, SUM_MAX));
        let (Some(market), Ok(group)) = (self.market.as_mut(), Name::parse(GROUP)) else { return };
        let by = market.owners[index];
        let wish = Wish { by, with: by, amount, asks: true, splits: true, answer: Answer::None };
        market.wishes.insert(memo.clone(), wish);
        let command = MoneyCommand::RequestGroup { group, amount: shown(amount), memo: memo.clone() };
        self.command(index, Asked::Money(Errand::Split(memo)), Command::Money(command));
    }

    /// A device was told that its shares are asked for.
    pub(super) fn split(&mut self, index: NodeIndex, whole: RequestId, shares: Vec<RequestId>) {
        self.coverage.met(Case::AskedEverybody);
        if let Some(known) = self.market.as_mut().and_then(|market| market.shares.as_mut()) {
            known.wholes.insert(whole, (index, shares));
        }
        if self.chance.happens(TAKEN_BACK_AT_ONCE) {
            self.take_a_whole_back(index);
        }
    }

    /// Takes back all shares of a whole that this device asked for, if there is one and it comes to mind.
    pub(super) fn take_a_whole_back(&mut self, index: NodeIndex) -> bool {
        let Some(market) = self.market.as_ref() else { return false };
        let wholes = market.shares.iter().flat_map(|shares| &shares.wholes);
        let own: Vec<(RequestId, Vec<RequestId>)> =
            wholes.filter(|(_, (by, _))| *by == index).map(|(whole, (_, shares))| (*whole, shares.clone())).collect();
        if own.is_empty() || !self.chance.happens(WHOLE_TAKEN_BACK) {
            return false;
        }
        let (whole, shares) = own[self.chance.index(own.len())].clone();
        let reason = self.words();
        if let Some(market) = self.market.as_mut() {
            for share in shares {
                market.reasons.entry(share).or_default().insert(reason.clone());
            }
        }
        let command = MoneyCommand::Cancel { id: MoneyRef::Full(whole.0), reason: reason.clone() };
        self.command(index, Asked::Money(Errand::End(whole, reason)), Command::Money(command));
        true
    }

    /// A whole was taken back: each of its shares has come to an end.
    pub(super) fn check_taken_back(&mut self, index: NodeIndex, whole: RequestId) -> Result<(), Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(()) };
        let known = market.shares.as_ref().and_then(|shares| shares.wholes.get(&whole));
        let Some(((_, shares), own)) = known.cloned().zip(market.account_at(index)) else { return Ok(()) };
        for share in shares {
            self.stands(index, (own, share), |state| state != protocol::directory::RequestState::Open)?;
        }
        self.coverage.met(Case::AllSharesTakenBack);
        Ok(())
    }

    /// How many were asked for a share with these words: each once at most, and in all no more than the whole.
    pub(super) fn check_shares(&self, memo: &str, wish: &Wish) -> Result<usize, Violation> {
        let Some(market) = self.market.as_ref() else { return Ok(0) };
        let ids = self.requests_with(memo);
        let keys: Vec<RequestKey> = market.requests.keys().filter(|(_, id)| ids.contains(id)).copied().collect();
        let payers: BTreeSet<_> = keys.iter().map(|key| market.requests[key].payer).collect();
        let told = market.told.values().flat_map(|told| told.requests.iter().flatten());
        let told = told.filter(|view| view.memo.as_deref() == Some(memo)).map(|view| (view.uid, view.amount.amount));
        let amounts: BTreeMap<RequestId, protocol::money::Amount> = told.collect();
        let sum: u64 = amounts.values().map(|amount| amount.units()).sum();
        if payers.len() != keys.len() || sum > wish.amount {
            return Err(Violation::SettledTwice { what: format!("{memo}: {wish:?} was split into {amounts:?}") });
        }
        Ok(usize::from(!keys.is_empty()))
    }
}
